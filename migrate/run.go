package migrate

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/buffkit/buffkit/migrate/lexer"
)

// run is one run under the lock.
type run struct {
	m    *Migrator
	l    *ledger
	lock *lock
	conn *connection // that the work is done on; in SQLite also the lock's
	id   int64       // the server's number of it
	seq  int64       // of the next row

	lockID int64  // the server's number of the lock's connection; not with a lease
	leases *lease // to see those of others

	blockers []string  // those of the last statement that waited for long
	proved   time.Time // when the connection and the lock were last seen to be good
	leased   time.Time // when a transaction last found the lease to be ours
	looked   bool      // at the lease in the transaction that is open, in SQLite, where nobody can take it from then on
	dirty    bool      // the connection isn't as the pool gave it

	current current       // what the watcher looks at
	waited  time.Duration // for locks, in this step
}

// locked calls f under the lock.
func (m *Migrator) locked(ctx context.Context, f func(r *run) error) (err error) {
	if m.server.cancels() && m.db.Stats().MaxOpenConnections == 1 {
		return errors.New("migrate: the pool allows one connection, and two are needed, one for the lock: SetMaxOpenConns(2) or more")
	}
	conn, err := m.connect(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	l, err := m.openLedger(ctx, conn)
	if err != nil {
		return err
	}
	leased := m.opts.Lock == LeaseLock || !m.server.cancels()
	var id int64
	if m.server.cancels() && !leased {
		if id, err = m.server.open(ctx, conn, m.runner); err != nil { // names it, for those who wait
			return fmt.Errorf("migrate: set up a connection: %w", err)
		}
	}
	k, err := m.acquire(ctx, l, conn, leased)
	if err != nil {
		return err
	}
	r := &run{m: m, l: l, lock: k, conn: conn, lockID: id, leases: newLease(m, l)}
	defer r.close(ctx)
	if m.server.cancels() {
		r.conn = nil
		if err := r.connect(ctx); err != nil {
			return err
		}
	}
	return f(r)
}

// close lets go of everything.
func (r *run) close(ctx context.Context) {
	if r.m.server.cancels() {
		r.drop()
	}
	if err := r.lock.release(); err != nil {
		r.m.log.WarnContext(ctx, "migrate: give the lock back", "err", err)
	}
	if r.m.server.cancels() || r.dirty && !r.inMemory() {
		discard(r.lock.conn)
	}
}

// inMemory tells whether the database ends with its connection.
func (r *run) inMemory() bool {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	files, err := texts(ctx, r.lock.conn, "SELECT file FROM pragma_database_list WHERE name = 'main'")
	return err != nil || len(files) == 0 || files[0] == ""
}

// drop closes the connection that the work is done on.
func (r *run) drop() {
	if r.conn != nil {
		discard(r.conn)
		_ = r.conn.Close() // it is closed; this tells database/sql
		r.conn = nil
	}
}

// connect takes a new connection to work on. It waits for what an earlier one may still be running in the server.
func (r *run) connect(ctx context.Context) error {
	r.drop()
	conn, err := r.m.connect(ctx)
	if err != nil {
		return err
	}
	r.conn = conn
	if r.id, err = r.m.server.open(ctx, conn, r.m.runner); err != nil {
		return fmt.Errorf("migrate: set up a connection: %w", err)
	}
	if r.lock.lease != nil {
		return nil // behind a pooler a lock of the connection's would be somebody else's
	}
	if r.id == r.lockID {
		return r.shared(ctx)
	}
	return r.m.poll(ctx, func() (bool, error) { return r.tryWork(ctx) }, func() (*Holder, error) { return r.inTheWay(ctx) })
}

// shared refuses to work on the lock's own connection, and leaves that as others need it.
func (r *run) shared(ctx context.Context) error {
	for _, c := range []*connection{r.conn, r.lock.conn} { // of both, since a pooler remembers what each client has set
		_, _ = c.ExecContext(ctx, r.m.server.reset())
	}
	return fmt.Errorf("%w: two connections are one in the server, so a pooler shares them, behind which its locks keep nobody out: "+
		"use Options.Lock: LeaseLock (--lock lease), or connect without the pooler", ErrPooler)
}

// tryWork takes the lock of the connection that works, unless a runner with a lease is at work.
func (r *run) tryWork(ctx context.Context) (bool, error) {
	name := lockName{r.l.table, "work"}
	ok, err := r.m.server.tryLock(ctx, r.conn, name)
	if !ok || err != nil {
		return false, err
	}
	if free, err := r.leases.isFree(ctx, r.conn); !free || err != nil {
		return false, errors.Join(err, r.m.server.unlock(ctx, r.conn, name))
	}
	return true, nil
}

// inTheWay says who keeps tryWork from the lock: one with a lease, or a connection of a runner that is gone.
func (r *run) inTheWay(ctx context.Context) (*Holder, error) {
	if exists, err := r.leases.exists(ctx, r.conn); err != nil {
		return nil, err
	} else if exists {
		if h, err := r.leases.holder(ctx, r.conn); h != nil || err != nil {
			return h, err
		}
	}
	h, err := r.lock.working(ctx, r.conn)
	if h != nil {
		h.Orphan = true
	}
	return h, err
}

// pooled tells whether a pooler may stand between: then the number of the connection in the server may be another client's by now, and only the
// driver can stop what it runs.
func (r *run) pooled() bool { return r.lock.lease != nil && r.m.server.cancels() }

// How a statement is stopped, and how its waiting is looked at.
const (
	cancelEvery = 200 * time.Millisecond
	cancelFor   = 10 * time.Second // then the connection is dropped
	lookAfter   = time.Second      // at who blocks a statement, and as often
)

// do calls f with a context that doesn't end with ctx. When ctx ends, the server is told to stop what f has sent, and f returns its error: so
// the connection stays, and what became of the statement is known.
func (r *run) do(ctx context.Context, f func(ctx context.Context) error) error {
	if err := ctx.Err(); err != nil {
		return ended(ctx)
	}
	if !r.m.server.cancels() || r.pooled() {
		return f(ctx)
	}
	inner, drop := context.WithCancel(context.WithoutCancel(ctx))
	defer drop()
	var begun atomic.Bool
	finished, stopped := make(chan struct{}), make(chan struct{})
	begin := func() { // on a goroutine of its own, which a quick statement doesn't need
		if begun.CompareAndSwap(false, true) {
			defer close(stopped)
			r.watch(ctx, finished, drop)
		}
	}
	defer time.AfterFunc(r.lookEvery(), begin).Stop()
	defer context.AfterFunc(ctx, begin)()
	err := f(inner)
	close(finished)
	if !begun.CompareAndSwap(false, true) {
		<-stopped
	}
	if err != nil && ctx.Err() != nil {
		if errors.Is(err, ctx.Err()) {
			return err
		}
		return errors.Join(ended(ctx), err)
	}
	return err
}

// lookEvery is how often a statement that waits is looked at.
func (r *run) lookEvery() time.Duration {
	if t := r.m.opts.LockTimeout; t > 0 {
		return min(lookAfter, t/2)
	}
	return lookAfter
}

// watch stands by while a statement runs that isn't a quick one.
func (r *run) watch(ctx context.Context, finished <-chan struct{}, drop func()) {
	every := r.lookEvery()
	look := time.NewTicker(every)
	defer look.Stop()
	for {
		if ctx.Err() != nil {
			r.stop(ctx, finished, drop)
			return
		}
		r.observe(ctx, every)
		select {
		case <-finished:
			return
		case <-look.C:
		case <-ctx.Done():
		}
	}
}

// stop asks the server until the statement has returned: a request that comes before the statement is lost.
func (r *run) stop(ctx context.Context, finished <-chan struct{}, drop func()) {
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), cancelFor)
	defer cancel()
	tick := time.NewTicker(cancelEvery)
	defer tick.Stop()
	for {
		err := r.lock.use(func(q querier) error { return r.m.server.cancel(bounded, q, r.id) })
		if err != nil {
			r.m.log.WarnContext(ctx, "migrate: ask the server to stop the statement", "err", err)
		}
		select {
		case <-finished:
			return
		case <-tick.C:
		case <-bounded.Done():
			drop()
			<-finished
			return
		}
	}
}

// exec sends a statement of a migration.
func (r *run) exec(ctx context.Context, query string) (rows int64, err error) {
	err = r.do(ctx, func(ctx context.Context) error {
		res, err := r.conn.ExecContext(ctx, query)
		if err != nil {
			return err
		}
		if rows, err = res.RowsAffected(); err != nil {
			rows = -1
		}
		return nil
	})
	return rows, err
}

// The runner's own statements are short, and a half of them would be worse than their end: they don't end with the context, only with
// a time that no healthy server needs.
const ownTimeout = 30 * time.Second

func own(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), ownTimeout)
}

// ended is why a context ended.
func ended(ctx context.Context) error {
	if cause := context.Cause(ctx); !errors.Is(cause, ctx.Err()) {
		return errors.Join(ctx.Err(), cause)
	}
	return ctx.Err()
}

// own is own for the run's connection. SQLite's drivers watch each statement whose context may end by a goroutine; there a statement
// of the runner's hangs for busyTimeout at most, or on a disk that no driver can interrupt.
func (r *run) own(ctx context.Context) (context.Context, context.CancelFunc) {
	if !r.m.server.cancels() {
		return context.WithoutCancel(ctx), func() {}
	}
	return own(ctx)
}

// begin begins a transaction. In SQLite it waits for other writers.
func (r *run) begin(ctx context.Context) error {
	r.looked = false
	return r.m.patiently(ctx, func() error {
		bounded, cancel := r.own(ctx)
		defer cancel()
		if _, err := r.conn.ExecContext(bounded, r.m.server.begin()); err != nil {
			return fmt.Errorf("migrate: begin: %w", err)
		}
		if r.lock.lease == nil || r.m.server.cancels() || time.Since(r.leased) < leaseTime/3 { // else the commit looks early enough
			return nil
		}
		if err := r.lock.lease.renew(bounded, r.conn); err != nil {
			r.rollback(ctx)
			return err
		}
		return nil
	})
}

// commit returns errCommit if it isn't known what became of it.
func (r *run) commit(ctx context.Context) error {
	bounded, cancel := own(ctx)
	defer cancel()
	if r.lock.lease != nil { // as late as can be: with others the row is locked from here on, and SQLite's next runner must find it new
		if !r.looked {
			if err := r.lock.lease.renew(bounded, r.conn); err != nil {
				return err
			}
		}
		r.leased = time.Now()
	}
	unwatched, end := r.own(ctx)
	defer end()
	return r.m.patiently(bounded, func() error {
		if _, err := r.conn.ExecContext(unwatched, "COMMIT"); err != nil {
			if r.m.server.judge(err).busy {
				return err // SQLite: readers are in the way; the transaction goes on
			}
			return &commitError{err}
		}
		return nil
	})
}

// commitError is a COMMIT that returned an error.
type commitError struct{ error }

func (e *commitError) Unwrap() error { return e.error }

// rollback gives up a transaction. An error doesn't matter: it wasn't committed, and a connection that is broken is found later.
func (r *run) rollback(ctx context.Context) {
	bounded, cancel := own(ctx)
	defer cancel()
	_, _ = r.conn.ExecContext(bounded, "ROLLBACK")
}

// alive tells whether the connection still answers.
func (r *run) alive(ctx context.Context) bool {
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	var one int
	return r.conn.QueryRowContext(bounded, "SELECT 1").Scan(&one) == nil
}

// write writes to the ledger, in a transaction of its own.
func (r *run) write(ctx context.Context, f func(ctx context.Context) error) error {
	bounded, cancel := own(ctx)
	defer cancel()
	if err := r.begin(bounded); err != nil {
		return err
	}
	if err := f(bounded); err != nil {
		r.rollback(ctx)
		return err
	}
	if err := r.commit(bounded); err != nil {
		r.rollback(ctx)
		return err
	}
	return nil
}

// patiently calls f again as long as the database is locked by others, which only happens in SQLite: elsewhere the server waits.
func (m *Migrator) patiently(ctx context.Context, f func() error) error {
	begun := time.Now()
	for p := newPause(firstPoll, lastPoll); ; {
		err := f()
		if err == nil || m.server.cancels() || !m.server.judge(err).busy || time.Since(begun) > max(m.opts.LockWait, 0) {
			return err
		}
		if waited := p.wait(ctx); waited != nil {
			return errors.Join(waited, err)
		}
	}
}

// read reads the ledger, however long others keep SQLite locked.
func (m *Migrator) read(ctx context.Context, l *ledger, q querier) (b *book, err error) {
	err = m.patiently(ctx, func() error {
		b, err = l.read(ctx, q)
		return err
	})
	return b, err
}

// atomically calls f in a transaction on a connection of the lock's.
func (m *Migrator) atomically(ctx context.Context, q querier, f func() error) error {
	if _, err := q.ExecContext(ctx, m.server.begin()); err != nil {
		return err
	}
	err := f()
	end, cancel := own(ctx)
	defer cancel()
	if err == nil {
		_, err = q.ExecContext(end, "COMMIT")
	}
	if err != nil {
		_, _ = q.ExecContext(end, "ROLLBACK")
	}
	return err
}

// fault shows a server's error at its place in the file.
func (r *run) fault(st lexer.Statement, err error) error {
	f := r.m.server.judge(err)
	offset := int(st.Pos.Offset - st.Locate(0).Offset)
	if f.position > 0 {
		offset = 0
		n := 0
		for i := range st.SQL {
			if n++; n == f.position {
				offset = i
				break
			}
		}
	}
	if f.hint == "" && errors.Is(err, driver.ErrBadConn) {
		f.hint = "the connection to the server was lost: the server's log may say why; run it again when the server answers"
	}
	return st.Fault(offset, oneLine(err), f.hint, err)
}

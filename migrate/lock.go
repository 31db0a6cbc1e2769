package migrate

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"
)

// LockMode is how two runners are kept apart.
type LockMode uint8

// The ways to lock.
const (
	// AutoLock is SessionLock, and a lease in SQLite.
	AutoLock LockMode = iota
	// SessionLock is a lock of the server's that ends with its connection: pg_try_advisory_lock, GET_LOCK.
	SessionLock
	// LeaseLock is a row in a table of its own, renewed while the run lasts. It is for a pooler in transaction mode, behind which
	// a connection isn't one. After a kill it takes up to leaseTime until the next runner may begin, and that one doesn't wait for a
	// statement which the killed one has left in the server. The DSN must keep the driver from preparing statements, as poolers ask.
	// It keeps out runners with a SessionLock, and they it.
	LeaseLock
)

// lockName names a lock of the database: that of the run, or that of the connection which works.
type lockName struct{ ledger, part string }

// Holder is who holds the lock.
type Holder struct {
	Runner    string        `json:"runner,omitempty"`     // host:pid, where it is known
	Session   string        `json:"session,omitempty"`    // the server's number of the connection
	Who       string        `json:"who,omitempty"`        // user and address
	For       time.Duration `json:"for_ns,omitempty"`     // how long the connection, or the lease, is there
	Statement string        `json:"statement,omitempty"`  // what it runs now, shortened
	Running   time.Duration `json:"running_ns,omitempty"` // for how long
	Orphan    bool          `json:"orphan,omitempty"`     // the runner is gone; the server hasn't noticed, and goes on
}

// String is one line.
func (h Holder) String() string {
	var parts []string
	if h.Runner != "" {
		parts = append(parts, "runner "+h.Runner)
	}
	if h.Session != "" {
		parts = append(parts, "connection "+h.Session)
	}
	if h.Who != "" {
		parts = append(parts, "of "+h.Who)
	}
	if h.For > 0 {
		parts = append(parts, "for "+h.For.Round(100*time.Millisecond).String())
	}
	text := strings.Join(parts, " ")
	if text == "" {
		text = "unknown, it has just let go or the server doesn't tell"
	}
	if h.Orphan {
		text += " (left behind by a runner that is gone)"
	}
	if h.Statement != "" {
		text += fmt.Sprintf("; for %s it runs: %s", h.Running.Round(100*time.Millisecond), h.Statement)
	}
	return text
}

// lock keeps other runners out as long as it is held.
type lock struct {
	m     *Migrator
	l     *ledger
	lease *lease // nil for a lock of the session's
	begun time.Time

	mu   sync.Mutex  // guards what follows
	conn *connection // nil in SQLite, where all is done on one connection
}

// acquire waits for the lock.
func (m *Migrator) acquire(ctx context.Context, l *ledger, conn *connection, leased bool) (*lock, error) {
	k := &lock{m: m, l: l, conn: conn, begun: time.Now()}
	if leased {
		k.lease = newLease(m, l)
		if err := k.lease.create(ctx, conn); err != nil {
			return nil, err
		}
	}
	if err := m.poll(ctx, func() (bool, error) { return k.try(ctx, conn) }, func() (*Holder, error) { return k.holder(ctx, conn) }); err != nil {
		return nil, err
	}
	if leased && m.server.cancels() {
		k.lease.keep(k)
	}
	return k, nil
}

// try takes the lock, or doesn't. Runners with a lease and those with locks of the session's keep each other out too: whoever has taken the lease looks for
// the others' locks, and a connection that is to work looks for a lease (run.connect). So of two who come at once at least one sees the other.
func (k *lock) try(ctx context.Context, q querier) (bool, error) {
	if k.lease == nil {
		return k.m.server.tryLock(ctx, q, lockName{k.l.table, "run"})
	}
	ok, err := k.lease.try(ctx, q)
	if !ok || err != nil {
		return false, err
	}
	if h, err := k.session(ctx, q); h != nil || err != nil {
		return false, errors.Join(err, k.lease.release(context.WithoutCancel(ctx), q)) // it may have ended meanwhile
	}
	return true, nil
}

// session says who has locks of the session's: a runner, which may have no connection that works for a moment, or else such a connection that a killed
// one has left. It returns nil if nobody has.
func (k *lock) session(ctx context.Context, q querier) (*Holder, error) {
	h, err := k.m.server.holder(ctx, q, lockName{k.l.table, "run"})
	if err != nil {
		return nil, err
	}
	work, err := k.working(ctx, q)
	if h == nil || err != nil {
		return work, err
	}
	if work != nil {
		h.Statement, h.Running = work.Statement, work.Running
	}
	return h, nil
}

// working says who has the lock of the connection that works; nil if nobody has.
func (k *lock) working(ctx context.Context, q querier) (*Holder, error) {
	return k.m.server.holder(ctx, q, lockName{k.l.table, "work"})
}

// holder says who has the lock that was tried.
func (k *lock) holder(ctx context.Context, q querier) (*Holder, error) {
	if k.lease != nil {
		if h, err := k.lease.holder(ctx, q); h != nil || err != nil {
			return h, err
		}
	}
	return k.session(ctx, q)
}

// How often the lock is asked for, and how often the wait is told.
const (
	firstPoll = 20 * time.Millisecond
	lastPoll  = 500 * time.Millisecond
	tellEvery = 5 * time.Second
)

// poll asks until it gets the lock, Options.LockWait is over or the context ends. It never waits within the server.
func (m *Migrator) poll(ctx context.Context, try func() (bool, error), holder func() (*Holder, error)) error {
	begun, told := time.Now(), time.Time{}
	for p := newPause(firstPoll, lastPoll); ; {
		ok, err := try()
		if err != nil && ctx.Err() != nil {
			err = errors.Join(ended(ctx), err) // of a connection that was closed for it
		}
		if err != nil {
			return fmt.Errorf("migrate: take the lock: %w", advised(m.server, err))
		}
		if ok {
			return nil
		}
		waited := time.Since(begun)
		over := m.opts.LockWait < 0 || waited >= m.opts.LockWait
		if over || time.Since(told) >= tellEvery {
			h, err := holder()
			if err != nil {
				return fmt.Errorf("migrate: ask who holds the lock: %w", err)
			}
			if h == nil {
				h = &Holder{} // it let go in between
			}
			if over {
				return &LockedError{*h}
			}
			told = time.Now()
			m.opts.Hooks.waiting(*h)
			m.log.InfoContext(ctx, "migrate: waiting for another runner", "holder", h.String(), "waited", waited.Round(time.Millisecond))
		}
		if err := p.wait(ctx); err != nil {
			return fmt.Errorf("migrate: wait for the lock: %w", err)
		}
	}
}

// check returns ErrLockLost if the lock isn't held any more.
func (k *lock) check(ctx context.Context) error {
	if k.lease != nil {
		return nil // it is checked in each transaction
	}
	return k.use(func(q querier) error {
		ok, err := k.m.server.tryLock(ctx, q, lockName{k.l.table, "run"}) // it counts: whoever has it gets it again
		switch {
		case err != nil:
			return fmt.Errorf("%w, since its connection was: %w", ErrLockLost, err)
		case !ok:
			return fmt.Errorf("%w: another runner holds it", ErrLockLost)
		}
		return k.m.server.unlock(ctx, q, lockName{k.l.table, "run"})
	})
}

// use lends the lock's connection.
func (k *lock) use(f func(q querier) error) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return f(k.conn)
}

// release gives the lock back. If that can't be done its connection is closed, which does it too.
func (k *lock) release() error {
	if k.lease != nil {
		k.lease.stop()
		return k.use(func(q querier) error { return k.lease.release(context.Background(), q) })
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return k.use(func(q querier) error {
		err := k.m.server.unlock(ctx, q, lockName{k.l.table, "run"})
		if err != nil {
			discard(k.conn)
		}
		return err
	})
}

// discard closes a connection instead of giving it back to the pool.
func discard(c *connection) {
	c.undo = ""
	_ = c.Raw(func(any) error { return driver.ErrBadConn })
}

// pause is a wait that doubles, up to a limit, with some chance in it so that many don't come at once.
type pause struct{ next, most time.Duration }

func newPause(first, most time.Duration) *pause { return &pause{first, most} }

// wait returns the context's error if it ends first.
func (p *pause) wait(ctx context.Context) error {
	d := p.next/2 + rand.N(p.next)
	p.next = min(2*p.next, p.most)
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ended(ctx)
	}
}

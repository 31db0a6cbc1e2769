package sqlitelog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/buffkit/buffkit/eventlog"
)

// call is one Append.
type call struct {
	records []eventlog.Record
	epoch   uint64
	err     error
	done    chan struct{}
}

const maxCommitRecords = 4096 // of all calls that share a commit: a few milliseconds' work, so a sync costs little of it

// Append implements eventlog.Store. Calls that come while a commit is under way share the next.
func (s *Store) Append(ctx context.Context, records []eventlog.Record) (uint64, error) {
	if err := s.check(ctx); err != nil {
		return 0, err
	}
	c := &call{records: records, done: make(chan struct{})}
	select {
	case s.queue <- c:
	case <-ctx.Done():
		return 0, ctx.Err()
	case <-s.ctx.Done():
		return 0, eventlog.ErrClosed
	}
	<-c.done // it is being stored: its outcome counts, not the context's end
	return c.epoch, c.err
}

// write stores what calls bring, until Close.
func (s *Store) write() {
	var w writer
	defer func() { w.close() }()
	calls, took := 0, time.Duration(0) // of the commit before
	for {
		select {
		case first := <-s.queue:
			group := s.gather(first, calls, min(took/lingerPart, maxLinger))
			began := time.Now()
			err := s.commit(&w, group)
			if err != nil {
				w.close() // whatever state it is in
			}
			for _, c := range group {
				if c.err = err; err != nil {
					c.epoch = 0
				}
				close(c.done)
			}
			calls, took = len(group), time.Since(began)
			if err == nil {
				s.soon.ring(0)
			}
		case <-s.ctx.Done():
			return
		}
	}
}

// maxLinger is for a commit that had to wait for another process.
const maxLinger = 20 * time.Millisecond

// lingerPart of a commit's time is worth waiting for callers who had a part in the commit before: they come back when they know it, and
// without them a commit for the first of them alone would hold all others up.
const lingerPart = 4

// gather returns a call and those that wait, or come soon if more than one did before.
func (s *Store) gather(first *call, before int, linger time.Duration) []*call {
	group, n := []*call{first}, len(first.records)
	timer := time.NewTimer(linger)
	defer timer.Stop()
	for n < maxCommitRecords {
		select {
		case c := <-s.queue:
			group = append(group, c)
			n += len(c.records)
			continue
		default:
		}
		if len(group) >= before {
			return group
		}
		select {
		case c := <-s.queue:
			group = append(group, c)
			n += len(c.records)
		case <-timer.C:
			return group
		case <-s.ctx.Done():
			return group
		}
	}
	return group
}

// commit stores the records of all calls in one transaction.
func (s *Store) commit(w *writer, group []*call) error {
	ctx := context.Background() // nobody's: it belongs to all calls. A lock is waited for, but not for ever
	if err := w.open(ctx, s.db); err != nil {
		return fmt.Errorf("sqlitelog: append: %w", err)
	}
	a := appender{opts: &s.opts, query: w, now: time.Now(), newest: map[string]eventlog.Offset{}}
	err := inTx(ctx, w.conn, func() error {
		if err := a.begin(ctx); err != nil {
			return err
		}
		for _, c := range group {
			c.epoch = a.epoch
			if err := a.add(ctx, c.records); err != nil {
				return err
			}
		}
		return a.end(ctx)
	})
	if err != nil {
		return fmt.Errorf("sqlitelog: append: %w", err)
	}
	s.feed.add(a.epoch, a.stored)
	return nil
}

// AppendTx is Append in a transaction of the caller's on the same file: see Log.AppendTx.
func (s *Store) AppendTx(ctx context.Context, tx *sql.Tx, records []eventlog.Record) (uint64, error) {
	if err := s.check(ctx); err != nil {
		return 0, err
	}
	a := appender{opts: &s.opts, query: inTransaction{tx}, now: time.Now(), newest: map[string]eventlog.Offset{}}
	err := a.begin(ctx)
	if err == nil {
		err = a.add(ctx, records)
	}
	if err == nil {
		err = a.end(ctx)
	}
	if err != nil {
		return 0, fmt.Errorf("sqlitelog: append in a transaction: %w", err)
	}
	s.soon.ring(afterTx)
	return a.epoch, nil
}

// querier runs the statements of an appender: the writer's own prepared ones, or any driver's within the app's transaction.
type querier interface {
	exec(ctx context.Context, query string, args ...any) error
	row(ctx context.Context, query string, args ...any) *sql.Row
}

type inTransaction struct{ tx *sql.Tx }

func (q inTransaction) exec(ctx context.Context, query string, args ...any) error {
	_, err := q.tx.ExecContext(ctx, query, args...)
	return err
}

func (q inTransaction) row(ctx context.Context, query string, args ...any) *sql.Row {
	return q.tx.QueryRowContext(ctx, query, args...)
}

// writer is a connection and the statements that were prepared on it.
type writer struct {
	conn  *sql.Conn
	stmts map[string]*sql.Stmt
}

func (w *writer) open(ctx context.Context, db *sql.DB) (err error) {
	if w.conn == nil {
		w.conn, err = db.Conn(ctx)
		w.stmts = map[string]*sql.Stmt{}
	}
	return err
}

func (w *writer) close() {
	if w.conn == nil {
		return
	}
	for _, stmt := range w.stmts {
		stmt.Close()
	}
	w.conn.Close()
	w.conn = nil
}

func (w *writer) prepared(ctx context.Context, query string) (*sql.Stmt, error) {
	if stmt := w.stmts[query]; stmt != nil {
		return stmt, nil
	}
	stmt, err := w.conn.PrepareContext(ctx, query)
	if err == nil {
		w.stmts[query] = stmt
	}
	return stmt, err
}

func (w *writer) exec(ctx context.Context, query string, args ...any) error {
	stmt, err := w.prepared(ctx, query)
	if err != nil {
		return err
	}
	_, err = stmt.ExecContext(ctx, args...)
	return err
}

func (w *writer) row(ctx context.Context, query string, args ...any) *sql.Row {
	if stmt, err := w.prepared(ctx, query); err == nil {
		return stmt.QueryRowContext(ctx, args...)
	}
	return w.conn.QueryRowContext(ctx, query, args...) // it says what is wrong
}

// appender stores records within a transaction.
type appender struct {
	opts   *Options
	query  querier
	now    time.Time
	epoch  uint64
	head   eventlog.Offset
	bytes  int64
	newest map[string]eventlog.Offset // of the topics so far
	args   []any                      // of the rows that wait to be inserted
	stored []eventlog.Record
}

// begin takes the write lock, if the transaction hasn't got it yet, and finds out where the log is.
func (a *appender) begin(ctx context.Context) error {
	return a.query.row(ctx, "UPDATE buffkit_log SET bytes = bytes RETURNING epoch, head").Scan(&a.epoch, &a.head)
}

const (
	columns    = 7
	insertRows = 8 // of one statement: the driver looks through all values for each of them
)

var (
	insertOne  = insertOf(1)
	insertMany = insertOf(insertRows)
)

func insertOf(rows int) string {
	return "INSERT INTO buffkit_events (position, topic, chain, prev, size, key, body) VALUES " +
		strings.TrimSuffix(strings.Repeat("(?,?,?,?,?,?,?),", rows), ",")
}

func (a *appender) add(ctx context.Context, records []eventlog.Record) error {
	for i := range records {
		r := &records[i]
		if r.IdempotencyKey != "" {
			if err := a.repeat(ctx, r); err != nil {
				return err
			}
			if r.Repeated {
				continue
			}
		}
		prev, err := a.prev(ctx, r.Topic)
		if err != nil {
			return err
		}
		r.Partition, r.Prev, r.Chain, r.Offset, r.Repeated = 0, prev, a.head, a.head.Next(a.now), false
		a.head, a.newest[r.Topic] = r.Offset, r.Offset
		size := int64(len(r.Key) + len(r.Body))
		a.bytes += size
		a.stored = append(a.stored, *r)
		a.args = append(a.args, int64(r.Offset), r.Topic, int64(r.Chain), int64(r.Prev), size, r.Key, r.Body)
		if len(a.args) == insertRows*columns {
			if err := a.flush(ctx); err != nil {
				return err
			}
		}
		if err := a.remember(ctx, r); err != nil {
			return err
		}
	}
	return nil
}

// flush inserts the rows that wait.
func (a *appender) flush(ctx context.Context) error {
	args := a.args
	a.args = a.args[:0]
	if len(args) == insertRows*columns {
		return a.query.exec(ctx, insertMany, args...)
	}
	for ; len(args) > 0; args = args[columns:] {
		if err := a.query.exec(ctx, insertOne, args[:columns]...); err != nil {
			return err
		}
	}
	return nil
}

// prev returns the newest offset of a topic.
func (a *appender) prev(ctx context.Context, topic string) (prev eventlog.Offset, err error) {
	if prev, known := a.newest[topic]; known {
		return prev, nil
	}
	err = a.query.row(ctx, "SELECT coalesce((SELECT max(position) FROM buffkit_events WHERE topic = ?1),"+
		" (SELECT position FROM buffkit_trimmed WHERE topic = ?1), (SELECT floor FROM buffkit_log))", topic).Scan(&prev)
	return prev, err
}

// repeat looks for the record that was stored with the same idempotency key.
func (a *appender) repeat(ctx context.Context, r *eventlog.Record) error {
	var position int64
	err := a.query.row(ctx, "SELECT position FROM buffkit_keys WHERE topic = ? AND key = ? AND at >= ?",
		r.Topic, r.IdempotencyKey, a.now.Add(-a.opts.IdempotencyWindow).UnixMicro()).Scan(&position)
	if errors.Is(err, sql.ErrNoRows) {
		r.Repeated = false
		return nil
	}
	r.Partition, r.Offset, r.Repeated = 0, eventlog.Offset(position), true
	return err
}

func (a *appender) remember(ctx context.Context, r *eventlog.Record) error {
	if r.IdempotencyKey == "" {
		return nil
	}
	return a.query.exec(ctx, "INSERT OR REPLACE INTO buffkit_keys (topic, key, position, at) VALUES (?, ?, ?, ?)",
		r.Topic, r.IdempotencyKey, int64(r.Offset), a.now.UnixMicro())
}

func (a *appender) end(ctx context.Context) error {
	if err := a.flush(ctx); err != nil {
		return err
	}
	return a.query.exec(ctx, "UPDATE buffkit_log SET head = ?, bytes = bytes + ?", int64(a.head), a.bytes)
}

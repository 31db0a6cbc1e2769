package sqlitelog

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/buffkit/buffkit/eventlog"
)

// Append implements eventlog.Store. Calls that come while a commit is under way share the next.
func (s *Store) Append(ctx context.Context, records []eventlog.Record) (uint64, error) {
	if err := s.check(ctx); err != nil {
		return 0, err
	}
	c := &call{records: records}
	b, err := s.queue.join(c)
	if err != nil {
		return 0, err
	}
	select {
	case <-b.done:
	case <-ctx.Done():
		if s.queue.leave(b, c) {
			return 0, ctx.Err()
		}
		<-b.done // it is being stored: its outcome counts, not the context's end
	}
	return c.epoch, b.err
}

// A batch lingers for the callers who have waited at the same time before: those whose commit has just ended, if they come back, and those who
// came meanwhile. Without the former a commit for the latter alone would hold them up. So it waits for that many, as long as they keep coming.
const (
	lingerEach = 8                     // part of the last commit's time
	lingerMost = 20 * time.Millisecond // for a commit that had to wait for another process
)

// write stores what calls bring, until Close.
func (s *Store) write() {
	w := writer{db: s.db}
	defer func() { w.close() }()
	defer s.queue.close()
	var l linger
	for {
		b := s.queue.take(s.ctx, l)
		if b == nil {
			return
		}
		began := time.Now()
		if b.err = s.commit(&w, b.calls, b.records); b.err != nil {
			w.close() // whatever state it is in
		}
		took := time.Since(began)
		l = linger{calls: len(b.calls) + s.queue.waiting(), each: min(took/lingerEach, lingerMost), most: min(2*took, lingerMost)}
		if b.err == nil {
			s.soon.ring(0) // first: a caller looks for its events at once
		}
		close(b.done)
	}
}

// commit stores the records of all calls in one transaction.
func (s *Store) commit(w *writer, calls []*call, records int) error {
	ctx := context.Background() // nobody's: it belongs to all calls. A lock is waited for, but not for ever
	a := appender{opts: &s.opts, query: w, now: time.Now(), known: w.known, added: make([]eventlog.Record, 0, records), buffers: &w.buffers}
	err := w.use(ctx, func() error { // the connection first: who waits for the turn may have the last one
		<-s.turn
		defer func() { s.turn <- struct{}{} }()
		return inTx(ctx, w, func() error {
			if err := a.addAll(ctx, calls); err != nil {
				return err
			}
			return s.place.check()
		})
	})
	if err != nil {
		for _, c := range calls {
			c.epoch = 0
		}
		return fmt.Errorf("sqlitelog: append: %w", err)
	}
	w.known = a.known
	s.feed.add(a.epoch, a.added)
	return nil
}

func (a *appender) addAll(ctx context.Context, calls []*call) error {
	if err := a.resume(ctx); err != nil {
		return err
	}
	for _, c := range calls {
		c.epoch = a.epoch
		if err := a.add(ctx, c.records); err != nil {
			return err
		}
	}
	return a.flush(ctx)
}

// AppendTx is Append in a transaction of the caller's on the same file: see Log.AppendTx.
func (s *Store) AppendTx(ctx context.Context, tx *sql.Tx, records []eventlog.Record) (uint64, error) {
	if err := s.check(ctx); err != nil {
		return 0, err
	}
	a := appender{opts: &s.opts, query: plain{tx}, now: time.Now()}
	// The write lock first: a transaction that has read can't wait for it.
	err := a.query.exec(ctx, "UPDATE buffkit_log SET format = format")
	if err == nil {
		err = a.begin(ctx)
	}
	if err == nil {
		err = a.add(ctx, records)
	}
	if err == nil {
		err = a.flush(ctx)
	}
	if err == nil {
		err = s.place.check()
	}
	if err != nil {
		return 0, fmt.Errorf("sqlitelog: append in a transaction: %w", err)
	}
	s.soon.ring(afterTx)
	return a.epoch, nil
}

package pglog

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/buffkit/buffkit/eventlog"
)

const (
	maxBatchRecords = 2000    // of one transaction; more gain nothing, and others would wait longer for the lock
	maxBatchBytes   = 4 << 20 // 4 MiB, unless a single call has more
)

// call is one Append that waits.
type call struct {
	records []eventlog.Record // never written to by the appender: the caller may have gone
	size    int
	done    chan struct{} // closed when the rest is set
	places  []place
	epoch   uint64
	err     error
}

// place is what the server made of a record.
type place struct {
	offset, prev, chain eventlog.Offset
	repeated            bool
}

// Append implements eventlog.Store.
func (s *store) Append(ctx context.Context, records []eventlog.Record) (epoch uint64, err error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	c := &call{records: records, done: make(chan struct{})}
	for i := range records {
		c.size += len(records[i].Body)
	}
	if err := s.enqueue(c); err != nil {
		return 0, err
	}
	select {
	case <-c.done:
	case <-ctx.Done():
		if s.withdraw(c) {
			return 0, ctx.Err()
		}
		return 0, fmt.Errorf("%w: %w", eventlog.ErrUnknownOutcome, ctx.Err())
	}
	if c.err != nil {
		return 0, c.err
	}
	for i, p := range c.places {
		r := &records[i]
		r.Partition, r.Offset, r.Prev, r.Chain, r.Repeated = 0, p.offset, p.prev, p.chain, p.repeated
	}
	return c.epoch, nil
}

func (s *store) enqueue(c *call) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return eventlog.ErrClosed
	}
	s.queue = append(s.queue, c)
	signal(s.filled)
	return nil
}

// withdraw takes a call out of the queue. It returns false if it has left the queue.
func (s *store) withdraw(c *call) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, queued := range s.queue {
		if queued == c {
			s.queue = append(s.queue[:i:i], s.queue[i+1:]...)
			return true
		}
	}
	return false
}

// take removes the calls of the next transaction from the queue.
func (s *store) take() []*call {
	s.mu.Lock()
	defer s.mu.Unlock()
	records, size, n := 0, 0, 0
	for _, c := range s.queue {
		records, size = records+len(c.records), size+c.size
		if n > 0 && (records > maxBatchRecords || size > maxBatchBytes) {
			break
		}
		n++
	}
	calls := s.queue[:n:n]
	s.queue = s.queue[n:]
	if len(s.queue) > 0 {
		signal(s.filled)
	}
	return calls
}

// appendAll makes transactions of the queue until the store closes. While one waits for the disk, the next one's calls gather.
func (s *store) appendAll() {
	for {
		select {
		case <-s.filled:
			s.appendCalls(s.take())
		case <-s.ctx.Done():
			for calls := s.take(); len(calls) > 0; calls = s.take() {
				for _, c := range calls {
					c.finish(nil, 0, eventlog.ErrClosed)
				}
			}
			return
		}
	}
}

func (s *store) appendCalls(calls []*call) {
	if len(calls) == 0 {
		return
	}
	s.batches.Add(1)
	places, epoch, err := s.insert(calls)
	if isOfData(err) && len(calls) > 1 { // the others shan't suffer from one's record
		for _, c := range calls {
			s.appendCalls([]*call{c})
		}
		return
	}
	for _, c := range calls {
		if err != nil {
			c.finish(nil, 0, err)
			continue
		}
		c.finish(places[:len(c.records):len(c.records)], epoch, nil)
		places = places[len(c.records):]
	}
	signal(s.appended)
}

func (c *call) finish(places []place, epoch uint64, err error) {
	c.places, c.epoch, c.err = places, epoch, err
	close(c.done)
}

// Each is a transaction of its own: one round trip, and the lock is held during none.
const (
	appendQuery     = `SELECT epoch, first, chain, prevs FROM {log}_append($1::text[], $2::bytea[], $3::bytea[], $4::bigint[], $5::text[], $6::bigint[], $7::bigint)`
	appendOnceQuery = `SELECT epoch, "offset", prev, chain, repeated FROM {log}_append_once($1::text[], $2::bytea[], $3::bytea[], $4::bytea[], $5::bigint)`
)

// insert stores the records of the calls in one transaction.
func (s *store) insert(calls []*call) (places []place, epoch uint64, err error) {
	ctx, cancel := context.WithTimeout(s.ctx, s.opts.timeout)
	defer cancel()
	cols := columnsOf(calls)
	sent := false
	err = s.conns.with(ctx, func(conn *pgx.Conn) (err error) {
		sent = true
		if cols.keyed {
			places, epoch, err = s.insertOnce(ctx, conn, cols)
		} else {
			places, epoch, err = s.insertPlain(ctx, conn, cols)
		}
		return err
	})
	switch {
	case err != nil:
		return nil, 0, s.outcome(sent, err)
	case len(places) != len(cols.topics):
		return nil, 0, fmt.Errorf("%w: the server named %d places of %d", eventlog.ErrUnknownOutcome, len(places), len(cols.topics))
	}
	return places, epoch, nil
}

// insertPlain stores records without idempotency keys. The server names the first place, and for each topic what was before; the rest follows.
func (s *store) insertPlain(ctx context.Context, conn *pgx.Conn, cols columns) (places []place, epoch uint64, err error) {
	before, names := cols.chains()
	var first, chain eventlog.Offset
	var prevs []eventlog.Offset
	known, at := s.latest.of(names)
	args := s.args(cols.topics, cols.keys, cols.bodies, before, names, known, at)
	if err := conn.QueryRow(ctx, s.append, args...).Scan(&epoch, &first, &chain, &prevs); err != nil {
		return nil, 0, err
	}
	places = make([]place, len(before))
	for i, b := range before {
		p := place{offset: first + eventlog.Offset(i), chain: first + eventlog.Offset(i) - 1}
		if i == 0 {
			p.chain = chain
		}
		if b > 0 {
			p.prev = first + eventlog.Offset(b) - 1
		} else {
			p.prev = prevs[-b-1]
		}
		places[i] = p
	}
	s.latest.appended(cols.topics, places)
	return places, epoch, nil
}

func (s *store) insertOnce(ctx context.Context, conn *pgx.Conn, cols columns) (places []place, epoch uint64, err error) {
	rows, err := conn.Query(ctx, s.appendOnce, s.args(cols.topics, cols.keys, cols.bodies, cols.idems, s.period())...)
	if err != nil {
		return nil, 0, err
	}
	var p place
	places = make([]place, 0, len(cols.topics))
	_, err = pgx.ForEachRow(rows, []any{&epoch, &p.offset, &p.prev, &p.chain, &p.repeated}, func() error {
		places = append(places, p)
		return nil
	})
	return places, epoch, err
}

// columns are records as arrays, one for each column.
type columns struct {
	topics              []string
	keys, bodies, idems [][]byte
	keyed               bool // one has an idempotency key
}

func countOf(calls []*call) (n int) {
	for _, c := range calls {
		n += len(c.records)
	}
	return n
}

func columnsOf(calls []*call) columns {
	n := countOf(calls)
	cols := columns{topics: make([]string, 0, n), keys: make([][]byte, 0, n), bodies: make([][]byte, 0, n), idems: make([][]byte, 0, n)}
	for _, c := range calls {
		for i := range c.records {
			cols.add(&c.records[i])
		}
	}
	return cols
}

func (c *columns) add(r *eventlog.Record) {
	c.topics = append(c.topics, r.Topic)
	c.keys = append(c.keys, []byte(r.Key))
	c.bodies = append(c.bodies, orEmpty(r.Body))
	c.idems = append(c.idems, orNull(r.IdempotencyKey))
	c.keyed = c.keyed || r.IdempotencyKey != ""
}

// chains returns the topics, each once, and for each record the number of the one before it in its topic, counted from 1. The first of
// a topic has the topic's number instead, as a negative one.
func (c *columns) chains() (before []int64, names []string) {
	before = make([]int64, len(c.topics))
	last := make(map[string]int64, len(c.topics))
	for i, topic := range c.topics {
		if n, ok := last[topic]; ok {
			before[i] = n
		} else {
			names = append(names, topic)
			before[i] = -int64(len(names))
		}
		last[topic] = int64(i) + 1
	}
	return before, names
}

// orEmpty makes a NULL an empty value.
func orEmpty(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// orNull makes no key a NULL.
func orNull(key string) []byte {
	if key == "" {
		return nil
	}
	return []byte(key)
}

// outcome tells what an error of a statement means: sent is whether there was a connection to send it on. An ERROR has undone the statement. After
// a FATAL or a connection that broke, it may have been committed before.
func (s *store) outcome(sent bool, err error) error {
	var pg *pgconn.PgError
	switch {
	case !sent || pgconn.SafeToRetry(err):
		return s.orClosed(err)
	case errors.As(err, &pg) && pg.SeverityUnlocalized == "ERROR":
		return explain(pg)
	}
	return fmt.Errorf("%w: %w", eventlog.ErrUnknownOutcome, s.orClosed(err))
}

// explained is explain for an error that may be the server's.
func explained(err error) error {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return explain(pg)
	}
	return err
}

// explain adds what to do to an error that the server gave.
func explain(pg *pgconn.PgError) error {
	switch pg.Code {
	case "53100":
		return fmt.Errorf("%w: the server's disk is full: %w", eventlog.ErrFull, pg)
	case "25006":
		return fmt.Errorf("pglog: the server is read-only, a standby or one on its way down: connect to the primary, with target_session_attrs=read-write: %w", pg)
	case "42P01", "42883", "3F000":
		return fmt.Errorf("%w: %w", ErrNoSchema, pg)
	}
	return pg
}

// isOfData tells whether the server refused a statement for what it was given.
func isOfData(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && (pg.Code[:2] == "22" || pg.Code[:2] == "54")
}

// signal makes a channel of one element full.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

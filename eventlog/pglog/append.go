package pglog

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/buffkit/buffkit/eventlog"
)

// call is one Append that waits.
type call struct {
	records []eventlog.Record // never written to by the appender: the caller may have gone
	size    int               // of keys and bodies
	once    bool              // one has an idempotency key
	done    chan struct{}     // closed when the rest is set
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
		c.size += len(records[i].Key) + len(records[i].Body)
		c.once = c.once || records[i].IdempotencyKey != ""
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

// take removes the calls of the next transaction from the queue: as many as make one row, or a single one.
func (s *store) take() []*call {
	s.mu.Lock()
	defer s.mu.Unlock()
	records, size, n := 0, 0, 0
	for _, c := range s.queue {
		records, size = records+len(c.records), size+c.size
		if n > 0 && (records > rowEvents || size > rowBytes) {
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

// Each is a transaction of its own: one round trip, and the lock is held during none. The first stores events only if the newest row is still the one that
// this node takes for it, and it knows the newest offset of each topic: then it does without the functions, which take twice as long for a few events.
const (
	appendNextQuery = `
WITH moved AS (
	UPDATE {log} l SET chain = l.head, head = greatest(l.head + 1, {log}_clock()) + cardinality($3::smallint[]) - 1, mark = {log}_mark(l.mark)
	WHERE l.partition = 0 AND l.head = $8::bigint AND l.mark = $9::bigint RETURNING l.epoch, l.chain, l.head, l.mark
), stored AS (
	INSERT INTO {log}_batches (last, first, chain, mark, topics, prevs, lasts, members, ends, keys, body)
	SELECT m.head, m.head - cardinality($3::smallint[]) + 1, m.chain, m.mark, $1::text[], $7::bigint[], $2::smallint[], $3::smallint[], $4::integer[], $5::integer[], $6::bytea FROM moved m
)
SELECT m.epoch, m.head - cardinality($3::smallint[]) + 1, m.chain, m.mark, CASE WHEN pg_notification_queue_usage() < 0.5 THEN pg_notify('{channel}', '') END IS NULL FROM moved m`
	appendQuery = `SELECT epoch, first, chain, mark, prevs
FROM {log}_append($1::text[], $2::smallint[], $3::smallint[], $4::integer[], $5::integer[], $6::bytea, $7::bigint[], $8::bigint, $9::bigint, $10::bigint)`
	appendOnceQuery = `SELECT epoch, "offset", prev, chain, repeated FROM {log}_append_once($1::text[], $2::bytea[], $3::bytea[], $4::bytea[], $5::bigint)`
)

// insert stores the records of the calls in one transaction.
func (s *store) insert(calls []*call) (places []place, epoch uint64, err error) {
	ctx, cancel := context.WithTimeout(s.ctx, s.opts.timeout)
	defer cancel()
	statement := s.insertOnce
	if fits(calls) && !slices.ContainsFunc(calls, func(c *call) bool { return c.once }) {
		statement = s.insertRow
	}
	sent := false
	err = s.conns.with(ctx, func(conn *pgx.Conn) error {
		sent = true
		return s.committed(ctx, conn, func(q querier) (err error) {
			places, epoch, err = statement(ctx, q, calls)
			return err
		})
	})
	if err != nil {
		return nil, 0, s.outcome(sent, err)
	}
	if n, _ := extent(calls); len(places) != n {
		return nil, 0, fmt.Errorf("%w: the server named %d places of %d", eventlog.ErrUnknownOutcome, len(places), n)
	}
	return places, epoch, nil
}

// insertRow stores records without idempotency keys in one row.
func (s *store) insertRow(ctx context.Context, q querier, calls []*call) (places []place, epoch uint64, err error) {
	p := pack(calls)
	h := s.latest.of(p.topics)
	args := s.args(p.topics, p.lasts, p.members, p.ends, p.keys, p.body, h.known, h.at, h.mark)
	var first eventlog.Offset
	var l link
	if s.alone && !slices.Contains(h.known, 0) {
		var untold bool
		err := q.QueryRow(ctx, s.appendNext, args...).Scan(&epoch, &first, &l.chain, &l.mark, &untold)
		if s.alone = err == nil; s.alone {
			return s.placed(p, first, l, h.known), epoch, nil
		}
		if !errors.Is(err, pgx.ErrNoRows) {
			return nil, 0, err
		}
	}
	var prevs []int64
	if err := q.QueryRow(ctx, s.append, append(args, h.since)...).Scan(&epoch, &first, &l.chain, &l.mark, &prevs); err != nil {
		return nil, 0, err
	}
	if len(prevs) != len(p.topics) {
		return nil, 0, fmt.Errorf("the server named %d topics of %d", len(prevs), len(p.topics))
	}
	if s.alone = int64(l.chain) == h.at; int64(l.chain) < h.at {
		s.latest.forget()
	}
	return s.placed(p, first, l, prevs), epoch, nil
}

// placed tells what became of a row, and remembers it.
func (s *store) placed(p *packed, first eventlog.Offset, l link, prevs []int64) []place {
	places := p.places(first, l.chain, prevs)
	s.latest.appended(l, p, places)
	return places
}

// insertOnce stores records that may have idempotency keys, or are too many for a row.
func (s *store) insertOnce(ctx context.Context, q querier, calls []*call) (places []place, epoch uint64, err error) {
	topics, keys, bodies, idems := columnsOf(calls)
	rows, err := q.Query(ctx, s.appendOnce, s.args(topics, keys, bodies, idems, s.period())...)
	if err != nil {
		return nil, 0, err
	}
	var p place
	places = make([]place, 0, len(topics))
	_, err = pgx.ForEachRow(rows, []any{&epoch, &p.offset, &p.prev, &p.chain, &p.repeated}, func() error {
		places = append(places, p)
		return nil
	})
	return places, epoch, err
}

// columnsOf returns records as arrays.
func columnsOf(calls []*call) (topics []string, keys, bodies, idems [][]byte) {
	for _, c := range calls {
		for i := range c.records {
			r := &c.records[i]
			topics, keys = append(topics, r.Topic), append(keys, []byte(r.Key))
			bodies, idems = append(bodies, orEmpty(r.Body)), append(idems, orNull(r.IdempotencyKey))
		}
	}
	return topics, keys, bodies, idems
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
	case "40001":
		return fmt.Errorf("pglog: the isolation of the log's connections is stricter than READ COMMITTED since it was opened: open it again, or set default_transaction_isolation back: %w", pg)
	case readOnly:
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

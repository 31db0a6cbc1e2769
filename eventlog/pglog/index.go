package pglog

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/buffkit/buffkit/eventlog"
)

const (
	indexInterval  = time.Second // how late the index may be: History looks through all rows that it lacks
	indexMaxRows   = 1000        // of events that one transaction takes
	indexMaxEvents = 20_000      // in them, and a row more: a few megabytes
)

// The index is one node's business at a time. One that hangs meanwhile loses it.
const indexLockQuery = `
SELECT pg_try_advisory_xact_lock('{log}_index'::regclass::oid::bigint) FROM set_config('idle_in_transaction_session_timeout', '30s', true)`

// A statement of its own: it sees what the one who held the lock before has committed.
const unindexedQuery = `
SELECT b.last, b.first, b.topics, b.prevs, b.members, b.ends FROM (
	SELECT n.*, sum(cardinality(n.members)) OVER (ORDER BY n.last) - cardinality(n.members) AS events_before
	FROM (SELECT * FROM {log}_batches WHERE last > (SELECT upto FROM {log}_indexed) ORDER BY last LIMIT $1::int) n
) b WHERE b.events_before < $2::int ORDER BY b.last`

// Each row has a part of the offsets, and the same part of the sizes.
const indexRowsQuery = `
WITH moved AS (
	UPDATE {log}_indexed SET upto = $1::bigint
)
INSERT INTO {log}_index (topic, last, prev, offsets, sizes, bytes)
SELECT g.topic, ($2::bigint[])[g.stop], g.prev, ($2::bigint[])[g.start:g.stop], ($3::int[])[g.start:g.stop], g.bytes
FROM unnest($4::text[], $5::bigint[], $6::int[], $7::int[], $8::bigint[]) AS g (topic, prev, start, stop, bytes)`

// index keeps the index of topics up with the log, until the store closes.
func (s *store) index() {
	tick := time.NewTicker(s.opts.indexEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			err := s.conns.with(s.ctx, func(conn *pgx.Conn) error { return s.extendIndex(s.ctx, conn) })
			if err != nil && s.ctx.Err() == nil {
				s.opts.Logger.Warn("pglog: index", "err", explained(err))
			}
		case <-s.ctx.Done():
			return
		}
	}
}

// extendIndex brings the index up to the head, unless another node is at it.
func (s *store) extendIndex(ctx context.Context, conn *pgx.Conn) error {
	for more := true; more; {
		limited, cancel := context.WithTimeout(ctx, sweepTimeout)
		err := pgx.BeginTxFunc(limited, conn, pgx.TxOptions{IsoLevel: pgx.ReadCommitted}, func(tx pgx.Tx) (err error) {
			more, err = s.indexSome(limited, tx)
			return err
		})
		cancel()
		if err != nil {
			return err
		}
	}
	return nil
}

// indexSome takes the oldest rows that the index lacks into it. It returns false if there were none, or another node is at it.
func (s *store) indexSome(ctx context.Context, tx pgx.Tx) (more bool, err error) {
	var locked bool
	if err := tx.QueryRow(ctx, s.indexLock, s.args()...).Scan(&locked); err != nil || !locked {
		return false, err
	}
	rows, err := tx.Query(ctx, s.unindexed, s.args(indexMaxRows, indexMaxEvents)...)
	if err != nil {
		return false, err
	}
	var b batch
	var in indexer
	_, err = pgx.ForEachRow(rows, []any{&b.last, &b.first, &b.topics, &b.prevs, &b.members, &b.ends}, func() error {
		in.add(&b)
		return nil
	})
	if err != nil || in.upto == 0 {
		return false, err
	}
	_, err = tx.Exec(ctx, s.indexRows, s.args(in.rows()...)...)
	return true, err
}

// indexer sorts events by topic.
type indexer struct {
	upto   eventlog.Offset
	names  []string
	topics map[string]*indexed
}

// indexed are events that follow each other in their topic.
type indexed struct {
	prev    int64
	offsets []int64
	sizes   []int32
	bytes   int64
}

func (in *indexer) add(b *batch) {
	in.upto = *b.last
	of := make([]*indexed, len(b.topics))
	for i, name := range b.topics {
		of[i] = in.topic(name, b.prevs[i])
	}
	start := int32(0)
	for i, n := range b.members {
		if n > 0 {
			t, size := of[n-1], b.ends[i]-start
			t.offsets, t.sizes, t.bytes = append(t.offsets, int64(*b.first)+int64(i)), append(t.sizes, size), t.bytes+int64(size)
		}
		start = b.ends[i]
	}
}

func (in *indexer) topic(name string, prev int64) *indexed {
	t := in.topics[name]
	if t == nil {
		t = &indexed{prev: prev}
		if in.topics == nil {
			in.topics = make(map[string]*indexed)
		}
		in.topics[name] = t
		in.names = append(in.names, name)
	}
	return t
}

// rows returns the arguments of indexRowsQuery.
func (in *indexer) rows() []any {
	var offsets, prevs, bytes []int64
	var sizes, starts, stops []int32
	for _, name := range in.names {
		t := in.topics[name]
		prevs, bytes, starts = append(prevs, t.prev), append(bytes, t.bytes), append(starts, int32(len(offsets)+1))
		offsets, sizes = append(offsets, t.offsets...), append(sizes, t.sizes...)
		stops = append(stops, int32(len(offsets)))
	}
	return []any{int64(in.upto), offsets, sizes, in.names, prevs, starts, stops, bytes}
}

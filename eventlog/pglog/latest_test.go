package pglog_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/buffkit/buffkit/eventlog"
	"github.com/buffkit/buffkit/eventlog/pglog"
)

// What nodes know of topics by themselves, while others append, while topics are emptied and while they don't follow, never makes a record
// name another one than the one before it.
func TestRecordsNameTheOneBeforeWhateverANodeKnows(t *testing.T) {
	t.Parallel()
	dsn := fresh(t)
	open := func(indexed time.Duration) *pglog.Store {
		opts := &pglog.Options{}
		pglog.IndexEvery(opts, indexed)
		return openStore(t, dsn, opts)
	}
	nodes := []*pglog.Store{open(10 * time.Millisecond), open(time.Hour), open(time.Hour)}
	pool := newPool(t, dsn)
	var tail sync.WaitGroup
	ctx, cancel := context.WithCancel(t.Context())
	tail.Go(func() { _ = nodes[0].Tail(ctx, eventlog.Cursor{}, func(eventlog.Page) error { return nil }) }) // the others don't
	t.Cleanup(tail.Wait)
	t.Cleanup(cancel)
	all := follow(t, open(time.Hour), eventlog.Cursor{})
	var writers sync.WaitGroup
	for w, s := range nodes {
		writers.Go(func() {
			for i := range 150 {
				var records []eventlog.Record
				for range 1 + rand.N(5) {
					r := record(fmt.Sprint("t", rand.N(12)), fmt.Sprintf("%d/%d", w, i))
					if i%7 == 0 {
						r.IdempotencyKey = fmt.Sprintf("%d/%d/%d", w, i, len(records))
					}
					records = append(records, r)
				}
				if i%3 == 1 {
					mustPend(t, pool, s, records)
				} else {
					mustAppend(t, s, records...)
				}
			}
		})
	}
	done := make(chan struct{})
	var emptier sync.WaitGroup
	emptier.Go(func() { // as retention by age does, of some topics, but no record that the tape hasn't seen
		for i := 0; ; i++ {
			select {
			case <-done:
				return
			default:
			}
			var head eventlog.Offset
			all.seen(func() bool { head = all.head; return true })
			_, err := pool.Exec(context.Background(), `WITH gone AS (
					SELECT max("offset") AS upto FROM buffkit_log_events WHERE topic = $1 AND "offset" <= $2 HAVING max("offset") > 0
				), noted AS (
					INSERT INTO buffkit_log_topics AS t SELECT $1, upto FROM gone ON CONFLICT (topic) DO UPDATE SET trimmed = greatest(t.trimmed, excluded.trimmed)
				)
				DELETE FROM buffkit_log_index i USING gone WHERE i.topic = $1 AND i.last <= gone.upto`, fmt.Sprint("t", i%12), int64(head))
			if err == nil {
				_, err = pool.Exec(context.Background(), "SELECT buffkit_log_collect(0, 100, 0)")
			}
			if err != nil {
				t.Error(err)
				return
			}
		}
	})
	writers.Wait()
	close(done)
	emptier.Wait()
	last := mustAppend(t, nodes[1], record("last", "x"))[0].Offset
	until(t, "the tape", func() bool { return all.seen(func() bool { return all.head == last }) }) // and it checks each
}

// mustPend appends within a transaction of two calls, of which one may have no records.
func mustPend(t *testing.T, pool *pgxpool.Pool, s *pglog.Store, records []eventlog.Record) {
	t.Helper()
	n := rand.N(len(records) + 1)
	err := pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
		return errors.Join(s.Pend(t.Context(), tx, records[:n]...), s.Pend(t.Context(), tx, records[n:]...))
	})
	if err != nil {
		t.Fatal(err)
	}
}

// A node that knows a topic's newest event learns of a newer one that another node has stored, though retention has dropped that one meanwhile.
func TestARecordNamesTheOneBeforeThoughThatIsGone(t *testing.T) {
	t.Parallel()
	dsn := fresh(t)
	open := func() *pglog.Store {
		opts := &pglog.Options{Retention: forever, RetentionOf: func(topic string) eventlog.Retention {
			if topic == "short" {
				return eventlog.Retention{Age: time.Microsecond}
			}
			return eventlog.Retention{}
		}}
		pglog.IndexEvery(opts, time.Hour)
		return openStore(t, dsn, opts)
	}
	s, other := open(), open()
	mustAppend(t, s, record("long", "stays"), record("short", "as long as that and longer"))
	gone := mustAppend(t, other, record("short", "2"))[0]
	if err := other.Sweep(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	if _, rows := kept(t, s, dsn, "short"); rows != 0 {
		t.Fatalf("%d rows are left", rows)
	}
	if r := mustAppend(t, s, record("short", "3"))[0]; r.Prev != gone.Offset {
		t.Errorf("it names %d, want %d", r.Prev, gone.Offset)
	}
}

// A log that loses its end while its head is ahead of the clocks has other records at the same offsets afterwards. Nobody may know of it yet: its epoch
// is the one from before.
func TestARecordNamesTheOneBeforeThoughTheLogHasLostWhatTheNodeKnows(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		others int // records of b at the offsets of the three that were lost
		store  func(t *testing.T, n stale)
	}{
		{"alone", 3, func(t *testing.T, n stale) { mustAppend(t, n.node, record("b", "next")) }},
		{"with a topic that it doesn't know", 3, func(t *testing.T, n stale) {
			mustAppend(t, n.node, record("b", "next"), record("c", "first"))
		}},
		{"behind others", 3, func(t *testing.T, n stale) {
			mustAppend(t, n.other, record("c", "first"))
			mustAppend(t, n.node, record("b", "next"))
		}},
		{"behind others that it has followed", 3, func(t *testing.T, n stale) {
			mustAppend(t, n.other, record("c", "first"))
			follow(t, n.node, n.lost).wait(1)
			mustAppend(t, n.node, record("b", "next"))
		}},
		{"behind a large call that it has followed", 3, func(t *testing.T, n stale) {
			many := make([]eventlog.Record, 2500)
			for i := range many {
				many[i] = record("c", "of many")
			}
			mustAppend(t, n.other, many...)
			follow(t, n.node, n.lost).wait(len(many))
			mustAppend(t, n.node, record("b", "next"), record("c", "next"))
		}},
		{"in a transaction", 3, func(t *testing.T, n stale) {
			n.inTx(t, func(tx pgx.Tx) error { return n.node.Pend(t.Context(), tx, record("b", "next")) })
		}},
		{"in a transaction that has several", 3, func(t *testing.T, n stale) {
			n.inTx(t, func(tx pgx.Tx) error { return n.node.Pend(t.Context(), tx, record("b", "next"), record("a", "next")) })
		}},
		{"in a transaction that goes on when the node has learnt it", 1, func(t *testing.T, n stale) {
			n.inTx(t, func(tx pgx.Tx) error {
				err := n.node.Pend(t.Context(), tx, record("b", "next"))
				mustAppend(t, n.node, record("c", "first"))
				return errors.Join(err, n.node.Pend(t.Context(), tx, record("c", "next")))
			})
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			n := newStale(t, tt.others)
			tt.store(t, n)
			all := follow(t, n.other, eventlog.NewCursor(n.lost.Epoch(), 1))
			last := mustAppend(t, n.other, record("last", "x"))[0].Offset
			until(t, "the tape", func() bool { return all.seen(func() bool { return all.head == last }) }) // and it checks each
		})
	}
}

// stale is a node that knows a log of which the end was lost, and another one that has stored what is there now.
type stale struct {
	node, other *pglog.Store
	pool        *pgxpool.Pool
	lost        eventlog.Cursor // the newest that the node knows
}

// newStale returns a node that knows a and b, and three records of a that are lost. The other one has stored some of b in their place.
func newStale(t *testing.T, others int) stale {
	t.Helper()
	dsn := fresh(t)
	open := func() *pglog.Store {
		opts := &pglog.Options{}
		pglog.IndexEvery(opts, time.Hour)
		return openStore(t, dsn, opts)
	}
	n := stale{node: open(), other: open(), pool: newPool(t, dsn)}
	exec(t, dsn, "UPDATE buffkit_log SET head = buffkit_log_clock() + 60000000")
	mustAppend(t, n.node, record("a", "kept"))
	mustAppend(t, n.node, record("b", "kept"))
	exec(t, dsn, "CREATE TABLE kept AS TABLE buffkit_log")
	var lost []eventlog.Record
	for range 3 {
		lost = append(lost, mustAppend(t, n.node, record("a", "lost"))...)
	}
	exec(t, dsn, fmt.Sprintf("DELETE FROM buffkit_log_batches WHERE last >= %d; DELETE FROM buffkit_log; INSERT INTO buffkit_log TABLE kept", lost[0].Offset))
	for i := range others {
		if r := mustAppend(t, n.other, record("b", "new"))[0]; r.Offset != lost[i].Offset {
			t.Fatalf("the new record is at %d, the lost one was at %d: this shows nothing", r.Offset, lost[i].Offset)
		}
	}
	h, err := n.other.History(t.Context(), eventlog.Range{Topic: "b", Max: 1})
	if err != nil {
		t.Fatal(err)
	}
	n.lost = eventlog.NewCursor(h.Epoch, lost[2].Offset)
	return n
}

func (n stale) inTx(t *testing.T, do func(pgx.Tx) error) {
	t.Helper()
	if err := pgx.BeginFunc(t.Context(), n.pool, do); err != nil {
		t.Fatal(err)
	}
}

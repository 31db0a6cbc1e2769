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

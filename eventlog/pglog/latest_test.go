package pglog_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/buffkit/buffkit/eventlog"
	"github.com/buffkit/buffkit/eventlog/pglog"
)

// What nodes know of topics by themselves, while others append, while topics are emptied and while they don't follow, never makes a record
// name another one than the one before it.
func TestRecordsNameTheOneBeforeWhateverANodeKnows(t *testing.T) {
	t.Parallel()
	dsn := fresh(t)
	nodes := []*pglog.Store{openStore(t, dsn, nil), openStore(t, dsn, nil), openStore(t, dsn, nil)}
	pool := newPool(t, dsn)
	var tail sync.WaitGroup
	ctx, cancel := context.WithCancel(t.Context())
	tail.Go(func() { _ = nodes[0].Tail(ctx, eventlog.Cursor{}, func(eventlog.Page) error { return nil }) }) // the others don't
	t.Cleanup(tail.Wait)
	t.Cleanup(cancel)
	all := follow(t, openStore(t, dsn, nil), eventlog.Cursor{})
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
				mustAppend(t, s, records...)
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
			if _, err := pool.Exec(context.Background(), `WITH gone AS (DELETE FROM buffkit_log_events WHERE topic = $1 AND "offset" <= $2 RETURNING topic, "offset")
				INSERT INTO buffkit_log_topics AS t SELECT topic, max("offset") FROM gone GROUP BY topic
				ON CONFLICT (topic) DO UPDATE SET trimmed = greatest(t.trimmed, excluded.trimmed)`, fmt.Sprint("t", i%12), int64(head)); err != nil {
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

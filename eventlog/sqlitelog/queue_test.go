package sqlitelog

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/buffkit/buffkit/eventlog"
)

func testQueue() *queue { return &queue{come: make(chan struct{}, 1)} }

func mustJoin(t *testing.T, q *queue, c *call) *batch {
	t.Helper()
	b, err := q.join(c)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func callOf(records int) *call { return &call{records: make([]eventlog.Record, records)} }

func TestABatchLingersForTheCallersThatAreKnown(t *testing.T) {
	const ms = time.Millisecond
	for name, tt := range map[string]struct {
		wanted     int
		each, most time.Duration // for one more, and in all, from the first call on
		every      time.Duration // comes a call
		calls      int           // that are in the batch
		after      time.Duration // it is taken
	}{
		"as many as are wanted come": {wanted: 3, each: 3 * ms, most: 20 * ms, every: 2 * ms, calls: 3, after: 6 * ms},
		"they come too seldom":       {wanted: 9, each: 3 * ms, most: 20 * ms, every: 4 * ms, calls: 1, after: 7 * ms},
		"they never end to come":     {wanted: 99, each: 3 * ms, most: 9 * ms, every: 2 * ms, calls: 5, after: 11 * ms},
		"none is waited for":         {wanted: 1, each: 3 * ms, most: 20 * ms, every: 4 * ms, calls: 1, after: 4 * ms},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q, began := testQueue(), time.Now()
				go func() {
					for range 10 {
						time.Sleep(tt.every)
						q.join(callOf(1))
					}
				}()
				b := q.take(t.Context(), linger{calls: tt.wanted, each: tt.each, most: tt.most})
				if len(b.calls) != tt.calls || time.Since(began) != tt.after {
					t.Errorf("%d calls after %v, want %d after %v", len(b.calls), time.Since(began), tt.calls, tt.after)
				}
				time.Sleep(time.Second) // until all have come
			})
		})
	}
}

func TestAFullBatchIsTakenAtOnceAndTheNextBegins(t *testing.T) {
	t.Parallel()
	q := testQueue()
	first := mustJoin(t, q, callOf(maxCommitRecords-1))
	if mustJoin(t, q, callOf(2)) != first {
		t.Error("a batch that isn't full took no more")
	}
	second := mustJoin(t, q, callOf(1))
	if b := q.take(t.Context(), linger{calls: 99, each: time.Hour, most: time.Hour}); b != first || len(b.calls) != 2 {
		t.Errorf("%d calls were taken first", len(b.calls))
	}
	if b := q.take(t.Context(), linger{calls: 1}); b != second {
		t.Error("another batch came second")
	}
}

func TestACallLeavesUntilItIsBeingStored(t *testing.T) {
	t.Parallel()
	q := testQueue()
	gone, stays := callOf(maxCommitRecords), callOf(1)
	full := mustJoin(t, q, gone)
	next := mustJoin(t, q, stays)
	if !q.leave(full, gone) {
		t.Error("a call that waits couldn't leave")
	}
	if b := q.take(t.Context(), linger{}); b != next || b.calls[0] != stays {
		t.Error("an empty batch was taken")
	}
	if q.leave(next, stays) {
		t.Error("a call left that is being stored")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if b := q.take(ctx, linger{}); b != nil {
		t.Error("a batch came from nowhere")
	}
}

func TestAClosedQueueSendsAwayWhoWaitsAndWhoComes(t *testing.T) {
	t.Parallel()
	q := testQueue()
	b := mustJoin(t, q, callOf(1))
	q.close()
	if <-b.done; !errors.Is(b.err, eventlog.ErrClosed) {
		t.Errorf("who waited got %v", b.err)
	}
	if _, err := q.join(callOf(1)); !errors.Is(err, eventlog.ErrClosed) {
		t.Errorf("who came got %v", err)
	}
}

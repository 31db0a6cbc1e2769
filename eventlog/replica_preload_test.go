package eventlog_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/buffkit/buffkit/eventlog"
)

// Ten thousand clients come back to a node that has just started: each follows what all follow, and a topic of its own.
func TestReplicaKnowsTheNewestHistoryFromTheStart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const clients = 10_000
		store := newFakeStore()
		old := fill(t, store, series("all", 3)...)[0]
		time.Sleep(time.Hour)
		away := fill(t, store, series("all", 5)...)[0]
		r := newReplica(t, store, &eventlog.ReplicaOptions{Preload: eventlog.DefaultPreload})
		for i := range clients {
			if b := mustRead(t, r, away, "all", fmt.Sprint("own/", i)); dataOf(b) != "1 2 3 4" || len(b.Gaps) > 0 {
				t.Fatalf("read %q, gaps %v", dataOf(b), b.Gaps)
			}
		}
		if n := store.asked(); n != 0 {
			t.Errorf("%d range reads, want none", n)
		}
		if b := mustRead(t, r, old, "all"); dataOf(b) != "1 2 0 1 2 3 4" || len(b.Gaps) > 0 {
			t.Errorf("of who was away for longer: read %q, gaps %v", dataOf(b), b.Gaps)
		}
		if n := store.asked(); n != 1 {
			t.Errorf("%d range reads of who was away for longer, want 1", n)
		}
	})
}

// What isn't in the store's tail any more isn't taken for never written.
func TestReplicaPreloadsNothingOverAHole(t *testing.T) {
	t.Parallel()
	for _, window := range []int{1, 4} {
		store := newFakeStore()
		store.window = window
		cursors := fill(t, store, append(series("a", 5), series("b", 5)...)...)
		r := newReplica(t, store, &eventlog.ReplicaOptions{Preload: time.Hour})
		if b := mustRead(t, r, cursors[1], "a", "b"); dataOf(b) != "2 3 4 0 1 2 3 4" || len(b.Gaps) > 0 {
			t.Errorf("window of %d: read %q, gaps %v", window, dataOf(b), b.Gaps)
		}
	}
}

// A log that all is older than begins at its beginning.
func TestReplicaPreloadsAYoungLog(t *testing.T) {
	t.Parallel()
	store := newFakeStore()
	fill(t, store, series("a", 3)...)
	r := newReplica(t, store, &eventlog.ReplicaOptions{Preload: 250 * 365 * 24 * time.Hour})
	if b := mustRead(t, r, eventlog.Cursor{}, "a"); dataOf(b) != "0 1 2" || len(b.Gaps) > 0 {
		t.Errorf("read %q, gaps %v", dataOf(b), b.Gaps)
	}
}

// A store that takes its time to send what was isn't waited for.
func TestReplicaStartsWithoutAHistoryThatTakesLong(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := newFakeStore()
		at := fill(t, store, series("a", 3)...)[0]
		began := time.Now()
		r := newReplica(t, &slowTail{fakeStore: store, slow: 2}, &eventlog.ReplicaOptions{Preload: eventlog.DefaultPreload})
		if took := time.Since(began); took > 1100*time.Millisecond {
			t.Errorf("ready after %v", took)
		}
		if b := mustRead(t, r, at, "a"); dataOf(b) != "1 2" || len(b.Gaps) > 0 {
			t.Errorf("read %q, gaps %v", dataOf(b), b.Gaps)
		}
		if n := store.asked(); n != 1 {
			t.Errorf("%d range reads, want 1", n)
		}
	})
}

// slowTail sends nothing to the first so many who ask for more than the head.
type slowTail struct {
	*fakeStore
	slow int
}

func (s *slowTail) Tail(ctx context.Context, after eventlog.Cursor, next func(eventlog.Page) error) error {
	if !after.IsZero() && s.slow > 0 {
		s.slow--
		<-ctx.Done()
		return ctx.Err()
	}
	return s.fakeStore.Tail(ctx, after, next)
}

// What is lost while it is preloaded is told.
func TestReplicaPreloadsFromAStoreThatIsRolledBack(t *testing.T) {
	t.Parallel()
	store := newFakeStore()
	cursors := fill(t, store, series("a", 5)...)
	var pages atomic.Int32
	store.tail = func() error {
		if pages.Add(1) == 2 { // the first was asked for its head
			store.rollBack(2)
		}
		return nil
	}
	r := newReplica(t, store, &eventlog.ReplicaOptions{Preload: eventlog.DefaultPreload})
	until(t, "it is found", func() bool {
		store.wake()
		b := mustRead(t, r, cursors[4], "a")
		return len(b.Gaps) == 1
	})
}

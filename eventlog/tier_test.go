package eventlog_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/buffkit/buffkit/eventlog"
	"github.com/buffkit/buffkit/eventlog/storetest"
)

// fakeArchive is an Archive in memory, whose faults are on command. sqlarchive has the real one.
type fakeArchive struct {
	mu      sync.Mutex // guards everything below
	fails   error
	epoch   uint64
	place   eventlog.Offset
	floor   eventlog.Offset
	records []eventlog.Record
	extends int
}

func (a *fakeArchive) Place(context.Context) (eventlog.Cursor, eventlog.Offset, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.epoch == 0 {
		return eventlog.Cursor{}, 0, a.fails
	}
	return eventlog.NewCursor(a.epoch, a.place), a.floor, a.fails
}

func (a *fakeArchive) Extend(_ context.Context, from eventlog.Cursor, page eventlog.Page) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.fails != nil {
		return a.fails
	}
	if from.Epoch() != a.epoch || from.At(0) != a.place {
		return eventlog.ErrArchiveMoved
	}
	seen := a.place
	for _, r := range page.Records {
		if r.Chain > seen {
			a.floor = r.Chain
		}
		seen = r.Offset
		a.records = append(a.records, r)
	}
	a.epoch, a.place = page.Epoch, page.Head.At(0)
	a.floor = max(a.floor, a.place*eventlog.Offset(b2i(a.place > seen)))
	a.extends++
	return nil
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

func (a *fakeArchive) History(_ context.Context, r eventlog.Range) (eventlog.Archived, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	var found []eventlog.Record
	for _, one := range a.records {
		if one.Topic == r.Topic && one.Offset > r.After && one.Offset <= r.Until {
			found = append(found, one)
		}
	}
	if n := len(found); n > r.Max && r.Newest {
		found = found[n-r.Max:]
	} else if n > r.Max {
		found = found[:r.Max]
	}
	return eventlog.Archived{
		History: eventlog.History{Epoch: a.epoch, Records: slices.Clone(found), Trimmed: a.floor}, Place: a.place,
	}, a.fails
}

func (a *fakeArchive) Close() error { return nil }

func (a *fakeArchive) fail(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.fails = err
}

func (a *fakeArchive) at() eventlog.Offset {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.place
}

func newTier(store eventlog.Store, archive eventlog.Archive) *eventlog.Tier {
	return eventlog.NewTier(store, archive, &eventlog.TierOptions{Logger: slog.New(slog.DiscardHandler)})
}

func TestTierIsAStore(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T, c storetest.Config) storetest.Store {
		store := newFakeStore()
		store.keep = c.Retention
		return storetest.Store{Store: newTier(store, &othersArchive{fakeArchive{epoch: 1<<40 - 1}})}
	})
}

// othersArchive is extended by another node, from another log: it says nothing of this one.
type othersArchive struct{ fakeArchive }

func (a *othersArchive) Extend(context.Context, eventlog.Cursor, eventlog.Page) error {
	return eventlog.ErrArchiveMoved
}

// The store keeps 10 events of a topic, and the archive all: readers see no seam, wherever they were.
func TestTierReadsFromTheArchiveWhatTheStoreHasDropped(t *testing.T) {
	t.Parallel()
	for _, memory := range []int{5, 1000} {
		synctest.Test(t, func(t *testing.T) {
			store, archive := newFakeStore(), &fakeArchive{}
			store.keep.Count = 10
			tier := newTier(store, archive)
			var all []eventlog.Event
			for i := range 100 {
				all = append(all, eventlog.Event{Topic: []string{"a", "b"}[i%2], Data: fmt.Append(nil, i)})
			}
			cursors := fill(t, store, all...)
			synctest.Wait() // copied
			r := newReplica(t, tier, &eventlog.ReplicaOptions{Memory: eventlog.MemoryOptions{Retention: eventlog.Retention{Count: memory}}})
			for from, at := range cursors {
				var got []string
				for {
					b := mustRead(t, r, at, "a", "b")
					if len(b.Gaps) > 0 {
						t.Fatalf("from %d: gaps %v", from, b.Gaps)
					}
					for _, e := range b.Entries {
						got = append(got, string(e.Event().Data))
					}
					if at = b.Next; b.Behind <= len(b.Entries) {
						break
					}
				}
				if want := 99 - from; len(got) != want || want > 0 && got[0] != fmt.Sprint(from+1) {
					t.Fatalf("from %d: %v", from, got)
				}
			}
			r.Close()
		})
	}
}

// What the store's tail dropped before it was archived is told, and nothing that lies before it is taken for the whole.
func TestTierTellsWhatTheArchiveHasMissed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store, archive := newFakeStore(), &fakeArchive{}
		store.keep.Count, store.window = 2, 3
		tier := newTier(store, archive)
		first := fill(t, store, series("a", 3)...)
		synctest.Wait()
		archive.fail(errors.New("down"))
		lost := fill(t, store, append(series("a", 3), series("quiet", 1)...)...)
		time.Sleep(time.Minute)
		fill(t, store, series("b", 20)...)
		archive.fail(nil)
		time.Sleep(time.Minute)
		var later []eventlog.Cursor
		for _, e := range series("a", 5) {
			later = append(later, fill(t, store, e)...)
			synctest.Wait()
		}
		r := newReplica(t, tier, nil)
		for _, c := range []struct {
			at   eventlog.Cursor
			want string
		}{{first[0], "gap"}, {first[2], "gap"}, {lost[1], "gap"}, {lost[2], "0 1 2 3 4"}, {later[0], "1 2 3 4"}} {
			b := mustRead(t, r, c.at, "a")
			got := dataOf(b)
			if len(b.Gaps) > 0 {
				got = "gap"
			}
			if got != c.want {
				t.Errorf("after %v: %q, want %q", c.at, got, c.want)
			}
		}
		if b := mustRead(t, r, first[2], "quiet"); len(b.Gaps) > 0 || dataOf(b) != "0" {
			t.Errorf("of a quiet topic: %q, gaps %v", dataOf(b), b.Gaps)
		}
		small := newReplica(t, &sharedTier{tier}, &eventlog.ReplicaOptions{Memory: eventlog.MemoryOptions{Retention: eventlog.Retention{Count: 1}}})
		for page := 1; page <= 9; page++ {
			if got := paged(t, small, page, "a"); !strings.HasSuffix(got, "0 1 2 3 4") && !strings.HasSuffix(got, "gap") {
				t.Errorf("in pages of %d the history is %q", page, got)
			}
		}
		small.Close()
		r.Close()
	})
}

// While the archive is down nobody is told that something is gone, and live readers notice nothing.
func TestTierIsHonestWhileTheArchiveIsDown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store, archive := newFakeStore(), &fakeArchive{}
		store.keep.Count = 2
		tier := newTier(store, archive)
		cursors := fill(t, store, series("a", 10)...)
		synctest.Wait()
		archive.fail(errors.New("down"))
		r := newReplica(t, tier, nil)
		if _, err := r.Read(t.Context(), []string{"a"}, cursors[0], 10); err == nil {
			t.Error("the archive is down, and a read of the past knows")
		}
		mustAppend(t, r, series("live", 1)...)
		archive.fail(nil)
		if b := mustRead(t, r, cursors[0], "a"); len(b.Gaps) > 0 || len(b.Entries) != 9 {
			t.Errorf("%d entries, gaps %v", len(b.Entries), b.Gaps)
		}
		time.Sleep(time.Minute)
		if at := archive.at(); at == 0 {
			t.Error("it wasn't extended again")
		}
		r.Close()
	})
}

// A failover loses events that were archived: cursors are told, and the history is what the store's is.
func TestTierFollowsAStoreThatIsRolledBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store, archive := newFakeStore(), &fakeArchive{}
		store.keep.Count = 2
		tier := newTier(store, archive)
		r := newReplica(t, tier, nil)
		cursors := mustAppend(t, r, series("a", 6)...)
		synctest.Wait()
		store.rollBack(1)
		time.Sleep(time.Second)
		mustAppend(t, r, series("a", 3)...)
		time.Sleep(10 * time.Second)
		if b := mustRead(t, r, cursors[0], "a"); len(b.Gaps) != 1 {
			t.Errorf("after the failover: %q without a gap", dataOf(b))
		}
		if b := mustRead(t, r, eventlog.Cursor{}, "a"); dataOf(b) != "0 1 2 3 4 0 1 2" || len(b.Gaps) > 0 {
			t.Errorf("the history is %q, gaps %v", dataOf(b), b.Gaps)
		}
		small := newReplica(t, &sharedTier{tier}, &eventlog.ReplicaOptions{Memory: eventlog.MemoryOptions{Retention: eventlog.Retention{Count: 1}}})
		for page := 1; page <= 9; page++ {
			if got := paged(t, small, page, "a"); got != "0 1 2 3 4 0 1 2" {
				t.Errorf("in pages of %d the history is %q", page, got)
			}
		}
		small.Close()
		r.Close()
	})
}

// Of several nodes one extends the archive, and another one goes on when that has ended.
func TestTierIsFilledByOneNodeAtATime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store, archive := newFakeStore(), &fakeArchive{}
		nodes := make([]*eventlog.Tier, 3)
		for i := range nodes {
			nodes[i] = newTier(&shared{store}, archive)
		}
		const events = 100
		for range events {
			fill(t, store, series("a", 1)...)
			time.Sleep(100 * time.Millisecond)
		}
		for _, node := range nodes {
			head := fill(t, store, series("a", 1)...)[0]
			time.Sleep(time.Minute)
			if at := archive.at(); at != head.At(0) {
				t.Errorf("the archive is at %d, the log at %d", at, head.At(0))
			}
			node.Close()
		}
		if n := len(archive.records); n != events+len(nodes) {
			t.Errorf("%d records are archived, want %d", n, events+len(nodes))
		}
	})
}

// paged reads a topic from its beginning, in pages.
func paged(t *testing.T, r *eventlog.Replica, page int, topic string) string {
	t.Helper()
	var all []string
	for at := (eventlog.Cursor{}); ; {
		b, err := r.Read(t.Context(), []string{topic}, at, page)
		if err != nil {
			t.Fatal(err)
		}
		if len(b.Entries) > 0 {
			all = append(all, dataOf(b))
		}
		if len(b.Gaps) > 0 {
			return strings.Join(append(all, "gap"), " ")
		}
		if at = b.Next; b.Behind <= len(b.Entries) {
			return strings.Join(all, " ")
		}
	}
}

// sharedTier is a tier that others use, too.
type sharedTier struct{ *eventlog.Tier }

func (*sharedTier) Close() error { return nil }

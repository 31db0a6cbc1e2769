package eventlog_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/buffkit/buffkit/eventlog"
	"github.com/buffkit/buffkit/eventlog/logtest"
)

func newReplica(t *testing.T, store eventlog.Store, opts *eventlog.ReplicaOptions) *eventlog.Replica {
	t.Helper()
	var o eventlog.ReplicaOptions
	if opts != nil {
		o = *opts
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Preload == 0 {
		o.Preload = -1 // most tests are about a memory that lacks something
	}
	r, err := eventlog.NewReplica(t.Context(), store, &o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

func TestReplicaIsALog(t *testing.T) {
	t.Parallel()
	keys := ring(t, "k")
	for name, window := range map[string]int{"": 0, ", of a store that soon forgets what it tails, ": 8} {
		for _, sealed := range []*eventlog.KeyRing{nil, keys} {
			t.Run(fmt.Sprint("sealed ", sealed != nil, name), func(t *testing.T) {
				t.Parallel()
				logtest.Run(t, func(t *testing.T, c logtest.Config) eventlog.Log {
					store := newFakeStore()
					store.keep, store.window = c.Retention, window
					return newReplica(t, store, &eventlog.ReplicaOptions{
						Memory: eventlog.MemoryOptions{Retention: c.Retention, MaxEventBytes: c.MaxEventBytes}, Keys: sealed,
					})
				})
			})
		}
	}
}

// fill stores events through a replica that is gone when it returns, so that the next one begins with an empty memory.
func fill(t *testing.T, store *fakeStore, events ...eventlog.Event) []eventlog.Cursor {
	t.Helper()
	records := make([]eventlog.Record, len(events))
	for i, e := range events {
		records[i] = eventlog.Record{Topic: e.Topic, Key: e.Key, Body: []byte("data: " + string(e.Data) + "\n\n")}
	}
	epoch, err := store.Append(t.Context(), records)
	if err != nil {
		t.Fatal(err)
	}
	cursors := make([]eventlog.Cursor, len(records))
	for i, r := range records {
		cursors[i] = eventlog.NewCursor(epoch, r.Offset)
	}
	return cursors
}

func series(topic string, n int) []eventlog.Event {
	events := make([]eventlog.Event, n)
	for i := range events {
		events[i] = eventlog.Event{Topic: topic, Data: fmt.Append(nil, i)}
	}
	return events
}

func dataOf(b eventlog.Batch) string {
	var all []string
	for _, e := range b.Entries {
		all = append(all, string(e.Event().Data))
	}
	return strings.Join(all, " ")
}

func TestReplicaReadsATopicOnceForAllWhoWait(t *testing.T) {
	t.Parallel()
	const events, readers = 500, 2000
	store := newFakeStore()
	cursors := fill(t, store, series("t", events)...)
	r := newReplica(t, store, nil)
	var wg sync.WaitGroup
	for i := range readers {
		wg.Go(func() {
			from := i % events
			b, err := r.Read(t.Context(), []string{"t", "quiet"}, cursors[from], events)
			if err != nil || len(b.Gaps) > 0 || len(b.Entries) != events-from-1 || b.Behind != len(b.Entries) {
				t.Errorf("from %d: %d entries of %d behind, gaps %v, %v", from, len(b.Entries), b.Behind, b.Gaps, err)
			}
		})
	}
	wg.Wait()
	if got := store.asked(); got != 2 { // "quiet" is a topic, too
		t.Errorf("%d range reads for %d readers of 2 topics, want 2", got, readers)
	}
}

// Memory takes 10 events, the store has 100. What is older than memory's comes in pages from the store, and the reader sees no seam.
// Where memory is full of a topic, nothing more of it is loaded to be dropped again: each page is one read.
func TestReplicaLoadsNothingThatItHasNoRoomFor(t *testing.T) {
	t.Parallel()
	const events = 1000
	store := newFakeStore()
	all := series("t", events)
	for i := range all {
		all[i].Data = fmt.Appendf(nil, "%d %s", i, strings.Repeat("x", 200))
	}
	fill(t, store, all...)
	r := newReplica(t, store, &eventlog.ReplicaOptions{Memory: eventlog.MemoryOptions{MaxBytes: 64 << 10}})
	pages, got := 0, 0
	for at := (eventlog.Cursor{}); ; pages++ {
		b, err := r.Read(t.Context(), []string{"t"}, at, 50)
		if err != nil || len(b.Gaps) > 0 {
			t.Fatal(err, b.Gaps)
		}
		got += len(b.Entries)
		if at = b.Next; len(b.Entries) == 0 && b.Behind == 0 {
			break
		}
	}
	if got != events || store.asked() > pages+3 {
		t.Errorf("%d of %d events in %d pages, for which %d ranges were read", got, events, pages, store.asked())
	}
}

func TestReplicaPagesWhatMemoryCantHold(t *testing.T) {
	t.Parallel()
	for name, bounds := range map[string]eventlog.MemoryOptions{
		"by count":  {Retention: eventlog.Retention{Count: 10}},
		"by bytes":  {Retention: eventlog.Retention{Bytes: 400}},
		"by budget": {MaxBytes: 2000},
		"by topics": {MaxTopics: 1},
		"by age":    {Retention: eventlog.Retention{Age: time.Nanosecond}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := newFakeStore()
			var all []eventlog.Event
			for i := range 100 {
				all = append(all, eventlog.Event{Topic: []string{"a", "b"}[i%2], Data: fmt.Append(nil, i)})
			}
			cursors := fill(t, store, all[:50]...)
			r := newReplica(t, store, &eventlog.ReplicaOptions{Memory: bounds})
			mustAppend(t, r, all[50:]...)
			for _, from := range []eventlog.Cursor{{}, cursors[0], cursors[20], cursors[49]} {
				var got []string
				for at := from; ; {
					b := mustRead(t, r, at, "a", "b")
					if len(b.Gaps) > 0 {
						t.Fatalf("gaps %v", b.Gaps)
					}
					for _, e := range b.Entries {
						got = append(got, string(e.Event().Data))
					}
					if len(b.Entries) > b.Behind {
						t.Errorf("%d entries, %d behind", len(b.Entries), b.Behind)
					}
					if at = b.Next; len(b.Entries) == 0 && b.Behind == 0 {
						break
					}
				}
				want := 0
				if i := slices.IndexFunc(cursors, func(c eventlog.Cursor) bool { return c.String() == from.String() }); i >= 0 {
					want = i + 1
				}
				if len(got) != 100-want || got[0] != fmt.Sprint(want) || !slices.IsSortedFunc(got, byNumber) {
					t.Fatalf("from %v: %v", from, got)
				}
			}
		})
	}
}

func byNumber(a, b string) int {
	var x, y int
	fmt.Sscan(a, &x)
	fmt.Sscan(b, &y)
	return x - y
}

func TestReplicaTellsWhatTheStoreHasDropped(t *testing.T) {
	t.Parallel()
	store := newFakeStore()
	store.keep.Count = 10
	cursors := fill(t, store, series("t", 30)...)
	r := newReplica(t, store, nil)
	for i, want := range map[int]bool{0: true, 18: true, 19: false, 25: false} {
		b := mustRead(t, r, cursors[i], "t")
		if told := len(b.Gaps) == 1 && errors.Is(b.Gaps[0].Err, eventlog.ErrTrimmed); told != want {
			t.Errorf("after event %d: gaps %v, want one: %v", i, b.Gaps, want)
		}
	}
	if b := mustRead(t, r, eventlog.Cursor{}, "t"); len(b.Gaps) > 0 || len(b.Entries) != 10 {
		t.Errorf("from the beginning: %d entries, gaps %v", len(b.Entries), b.Gaps)
	}
}

// What a reader asks for in the window of a parked stream never waits for a store.
func TestReplicaReadIntoNeverWaits(t *testing.T) {
	t.Parallel()
	store := newFakeStore()
	cursors := fill(t, store, series("t", 3)...)
	store.history = func(eventlog.Range) { t.Error("the store was asked") }
	r := newReplica(t, store, nil)
	b, err := r.ReadInto(t.Context(), nil, []string{"t"}, cursors[0], 10)
	if err != nil || len(b.Gaps) != 1 || !errors.Is(b.Gaps[0].Err, eventlog.ErrTrimmed) {
		t.Errorf("%+v, %v: want a gap", b, err)
	}
}

// While one topic loads for ever, live readers and writers go on, and a reader who waits can leave.
func TestReplicaLoadingBlocksNobody(t *testing.T) {
	t.Parallel()
	store := newFakeStore()
	cursors := fill(t, store, series("slow", 3)...)
	loading, hold := make(chan struct{}), make(chan struct{})
	store.history = func(asked eventlog.Range) {
		if asked.Topic == "slow" {
			close(loading)
			<-hold
		}
	}
	r := newReplica(t, store, nil)
	ctx, cancel := context.WithCancel(t.Context())
	left, stayed := make(chan error, 1), make(chan eventlog.Batch, 1)
	go func() {
		_, err := r.Read(ctx, []string{"slow"}, cursors[0], 10)
		left <- err
	}()
	<-loading
	go func() {
		b, _ := r.Read(t.Context(), []string{"slow"}, cursors[1], 10)
		stayed <- b
	}()
	at := mustAppend(t, r, series("live", 1)...)[0]
	if b := mustRead(t, r, eventlog.NewCursor(at.Epoch(), at.At(0)-1), "live"); dataOf(b) != "0" {
		t.Errorf("live: %+v", b)
	}
	mustAppend(t, r, series("slow", 1)...)
	cancel()
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Errorf("who left got %v", err)
	}
	close(hold)
	if b := <-stayed; dataOf(b) != "2 0" {
		t.Errorf("who stayed read %q, gaps %v", dataOf(b), b.Gaps)
	}
}

// Memory drops what is live while older events load: nothing is joined over the hole.
func TestReplicaEvictsDuringALoad(t *testing.T) {
	t.Parallel()
	store := newFakeStore()
	cursors := fill(t, store, series("t", 3)...)
	r := newReplica(t, store, &eventlog.ReplicaOptions{Memory: eventlog.MemoryOptions{Retention: eventlog.Retention{Count: 2}}})
	var once sync.Once
	store.history = func(eventlog.Range) {
		once.Do(func() { mustAppend(t, r, series("t", 5)...) })
	}
	if b := mustRead(t, r, cursors[0], "t"); dataOf(b) != "1 2 0 1 2 3 4" {
		t.Errorf("read %q, gaps %v", dataOf(b), b.Gaps)
	}
}

func TestReplicaFindsALostTail(t *testing.T) {
	t.Parallel()
	for name, then := range map[string]func(*fakeStore){
		"and nothing new":      func(*fakeStore) {},
		"that is written over": func(s *fakeStore) { fill(t, s, series("other", 1)...) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := newFakeStore()
			r := newReplica(t, store, nil)
			cursors := mustAppend(t, r, series("t", 5)...)
			wakes := make(chan string, 100)
			go r.Watch(t.Context(), func(topic string) { wakes <- topic })
			<-wakes
			store.rollBack(2)
			then(store)
			for topic := range wakes {
				if topic == "" {
					break
				}
			}
			for _, at := range cursors {
				b := mustRead(t, r, at, "t")
				if len(b.Gaps) != 1 || !errors.Is(b.Gaps[0].Err, eventlog.ErrOtherLog) {
					t.Errorf("after the roll-back, %v: gaps %v", at, b.Gaps)
				}
			}
			if b := mustRead(t, r, eventlog.Cursor{}, "t"); dataOf(b) != "0 1 2" {
				t.Errorf("left is %q", dataOf(b))
			}
			at := mustAppend(t, r, series("t", 1)...)[0]
			if at.Epoch() == cursors[0].Epoch() {
				t.Error("the epoch is the old one")
			}
		})
	}
}

// A node that was away for longer than the store keeps its tail has a hole, no gap: what it lacks is in the store.
func TestReplicaFillsAHoleFromTheStore(t *testing.T) {
	t.Parallel()
	store, down := newCutStore()
	r := newReplica(t, store, nil)
	at := mustAppend(t, r, series("t", 3)...)[2]
	down.Store(true)
	until(t, "it says so", func() bool { store.wake(); return r.Health() != nil })
	store.window = 2
	fill(t, store, series("t", 10)...)
	fill(t, store, series("quiet", 1)...)
	down.Store(false)
	until(t, "it is well again", func() bool { return r.Health() == nil })
	if b := mustRead(t, r, at, "t"); dataOf(b) != "0 1 2 3 4 5 6 7 8 9" {
		t.Errorf("read %q, gaps %v", dataOf(b), b.Gaps)
	}
	if b := mustRead(t, r, at, "quiet", "nothing"); dataOf(b) != "0" || len(b.Gaps) > 0 {
		t.Errorf("read %q, gaps %v", dataOf(b), b.Gaps)
	}
}

func (s *fakeStore) wake() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.signal()
}

// until polls for what must come true.
func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(20 * time.Second); !is(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}

func TestReplicaSaysThatAnEventIsStoredButNotVisible(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := newFakeStore()
		var down atomic.Bool
		store.tail = func() error {
			if down.Load() {
				return errors.New("cut")
			}
			return nil
		}
		r := newReplica(t, store, nil)
		head, _ := r.Head(t.Context())
		down.Store(true)
		cursors, err := r.Append(t.Context(), series("t", 1)...)
		if !errors.Is(err, eventlog.ErrNotVisible) || len(cursors) != 1 {
			t.Fatalf("%v, %v", cursors, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := r.Append(ctx, series("t", 2)[1:]...); !errors.Is(err, eventlog.ErrNotVisible) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("with a context that ends: %v", err)
		}
		if n := r.Waiters(); n > 0 {
			t.Errorf("%d still wait", n)
		}
		down.Store(false)
		time.Sleep(time.Minute)
		if b := mustRead(t, r, head, "t"); dataOf(b) != "0 1" {
			t.Errorf("read %q after the store came back", dataOf(b))
		}
		r.Close()
	})
}

// A client comes from a node that is ahead: this one waits until it knows what the other knew.
func TestReplicaThatIsLateTellsNoGap(t *testing.T) {
	t.Parallel()
	store := newFakeStore()
	hold := make(chan struct{})
	var held atomic.Bool
	store.tail = func() error {
		if held.CompareAndSwap(true, false) {
			<-hold
		}
		return nil
	}
	r := newReplica(t, store, nil)
	held.Store(true)
	store.wake()
	until(t, "the tail is held", func() bool { return !held.Load() })
	at := fill(t, store, series("t", 3)...)
	read := make(chan eventlog.Batch)
	go func() { read <- mustRead(t, r, at[1], "t") }()
	close(hold)
	if b := <-read; dataOf(b) != "2" || len(b.Gaps) > 0 {
		t.Errorf("read %q, gaps %v", dataOf(b), b.Gaps)
	}
	epoch, _ := store.Supersede(t.Context(), at[0].Epoch())
	if b := mustRead(t, r, eventlog.NewCursor(epoch, at[2].At(0)), "t"); len(b.Gaps) > 0 {
		t.Errorf("gaps %v with a cursor of the new epoch", b.Gaps)
	}
}

func TestReplicaOfAStoreThatHangsTriesAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &hanging{fakeStore: newFakeStore()}
		r := newReplica(t, store, nil)
		at := mustAppend(t, r, series("t", 1)...)[0]
		store.hangs.Store(true)
		time.Sleep(15 * time.Second)
		if r.Health() == nil || r.Stats().Lag < 10*time.Second {
			t.Errorf("health %v, lag %v", r.Health(), r.Stats().Lag)
		}
		store.hangs.Store(false)
		fill(t, store.fakeStore, series("t", 1)...)
		time.Sleep(time.Minute)
		if b := mustRead(t, r, at, "t"); dataOf(b) != "0" || r.Health() != nil {
			t.Errorf("read %q, health %v", dataOf(b), r.Health())
		}
		r.Close()
	})
}

type hanging struct {
	*fakeStore
	hangs atomic.Bool
}

func (s *hanging) Tail(ctx context.Context, after eventlog.Cursor, next func(eventlog.Page) error) error {
	return s.fakeStore.Tail(ctx, after, func(p eventlog.Page) error {
		if s.hangs.Load() {
			<-ctx.Done()
			return ctx.Err()
		}
		return next(p)
	})
}

func TestNewReplicaReturnsTheStoresFirstError(t *testing.T) {
	t.Parallel()
	store := newFakeStore()
	broken := errors.New("no route")
	store.tail = func() error { return broken }
	if r, err := eventlog.NewReplica(t.Context(), store, nil); !errors.Is(err, broken) || r != nil {
		t.Errorf("%v, %v", r, err)
	}
}

func ring(t *testing.T, ids ...string) *eventlog.KeyRing {
	t.Helper()
	var keys []eventlog.Key
	for _, id := range ids {
		keys = append(keys, eventlog.Key{ID: id, Secret: []byte(fmt.Sprintf("%-32s", "secret of "+id))})
	}
	r, err := eventlog.NewKeyRing(keys, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestReplicaSealsWhatIsStored(t *testing.T) {
	t.Parallel()
	store := newFakeStore()
	event := eventlog.Event{Topic: "t", Name: "card", Key: "secret key", Data: []byte("secret text")}
	with := func(keys *eventlog.KeyRing) *eventlog.Replica {
		return newReplica(t, &shared{store}, &eventlog.ReplicaOptions{Keys: keys})
	}
	old := with(ring(t, "2024"))
	start, _ := old.Head(t.Context())
	at := mustAppend(t, old, event)[0]
	for _, r := range store.records {
		if text := fmt.Sprintf("%s %s", r.Key, r.Body); strings.Contains(text, "secret ") || strings.Contains(text, "card") {
			t.Errorf("stored: %q", text)
		}
	}
	rotated := with(ring(t, "2025", "2024"))
	mustAppend(t, rotated, event)
	b := mustRead(t, rotated, eventlog.Cursor{}, "t")
	if len(b.Entries) != 2 || b.Entries[0].Event().Key != event.Key || string(b.Entries[1].Event().Data) != "secret text" {
		t.Errorf("opened: %+v", b)
	}
	// The old node meets what it can't open: a gap for who hasn't read it, and none behind it.
	until(t, "the old node has come so far", func() bool { b := mustRead(t, old, start, "t"); return len(b.Gaps) == 1 })
	if b := mustRead(t, old, at, "t"); len(b.Gaps) != 1 || !errors.Is(b.Gaps[0].Err, eventlog.ErrTrimmed) {
		t.Errorf("gaps %v", b.Gaps)
	}
	behind, _ := old.Head(t.Context())
	mustAppend(t, old, event)
	if b := mustRead(t, old, behind, "t"); len(b.Gaps) > 0 || len(b.Entries) != 1 {
		t.Errorf("behind it: %+v", b)
	}
	for name, keys := range map[string]*eventlog.KeyRing{"no keys": nil, "another key": ring(t, "x")} {
		r := with(keys)
		if b := mustRead(t, r, start, "t"); len(b.Gaps) != 1 {
			t.Errorf("%s: %+v, want a gap", name, b)
		}
		if r.Stats().Unopened == 0 {
			t.Errorf("%s: none is counted", name)
		}
	}
}

// shared is a store that outlives its replicas.
type shared struct{ *fakeStore }

func (*shared) Close() error { return nil }

func TestKeyRingRefusesBadKeys(t *testing.T) {
	t.Parallel()
	good := eventlog.Key{ID: "a", Secret: make([]byte, 32)}
	for name, keys := range map[string][]eventlog.Key{
		"none":           nil,
		"a short secret": {{ID: "a", Secret: make([]byte, 31)}},
		"no id":          {{Secret: make([]byte, 32)}},
		"a long id":      {{ID: strings.Repeat("x", 64), Secret: make([]byte, 32)}},
		"an id twice":    {good, good},
	} {
		if _, err := eventlog.NewKeyRing(keys, nil); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// Readers share a page that is on its way, but not one that was looked up before they saw the head they go on from.
func TestReplicaSharesNoPageThatIsOlderThanItsReader(t *testing.T) {
	t.Parallel()
	store := newFakeStore()
	cursors := fill(t, store, series("t", 5)...)
	onItsWay, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	store.answers = func(asked eventlog.Range) {
		if !asked.Newest {
			once.Do(func() {
				close(onItsWay)
				<-release
			})
		}
	}
	r := newReplica(t, store, &eventlog.ReplicaOptions{Memory: eventlog.MemoryOptions{Retention: eventlog.Retention{Age: time.Nanosecond}}})
	var early, late string
	read := func(into *string) func() {
		return func() {
			for at, n := cursors[0], 0; n < 5; n++ {
				b, err := r.Read(t.Context(), []string{"t"}, at, 100)
				if err != nil || len(b.Gaps) > 0 {
					t.Errorf("gaps %v, %v", b.Gaps, err)
					return
				}
				*into, at = strings.TrimSpace(*into+" "+dataOf(b)), b.Next
			}
		}
	}
	var wg sync.WaitGroup
	wg.Go(read(&early))
	<-onItsWay
	mustAppend(t, r, eventlog.Event{Topic: "t", Data: []byte("new")})
	wg.Go(read(&late))
	<-time.After(50 * time.Millisecond) // for the second to join the first
	close(release)
	wg.Wait()
	if want := "1 2 3 4 new"; early != want || late != want {
		t.Errorf("%q and %q, want %q", early, late, want)
	}
}

// A backup that is restored after a roll-back brings an epoch back, without the events that led to the next one.
func TestReplicaFindsThatAnEarlierLogHasComeBack(t *testing.T) {
	t.Parallel()
	store := newFakeStore()
	r := newReplica(t, store, nil)
	first := mustAppend(t, r, series("t", 5)...)[4].Epoch()
	epochBeyond := func(others ...uint64) (epoch uint64) {
		until(t, "the log has another epoch", func() bool {
			head, err := r.Head(t.Context())
			epoch = head.Epoch()
			return err == nil && !slices.Contains(others, epoch)
		})
		return epoch
	}
	store.rollBack(1)
	second := epochBeyond(first)
	store.mu.Lock()
	store.epoch = first
	store.signal()
	store.mu.Unlock()
	epochBeyond(first, second)
}

// Whoever keeps where a topic is gets what stands in the log as it is now.
func TestASpotIsNoGoodInAnotherLog(t *testing.T) {
	t.Parallel()
	store := newFakeStore()
	r := newReplica(t, store, nil)
	last := mustAppend(t, r, series("t", 5)...)[4]
	asks := []eventlog.Ask{{Topics: []string{"t"}, After: last}}
	read := func() eventlog.Batch {
		if err := r.ReadAll(t.Context(), asks, 10); err != nil {
			t.Fatal(err)
		}
		return asks[0].Batch
	}
	read()
	store.rollBack(1)
	until(t, "it is told", func() bool { return len(read().Gaps) == 1 })
	asks[0].After = read().Next
	mustAppend(t, r, series("t", 1)...)
	if b := read(); len(b.Entries) != 1 || len(b.Gaps) > 0 {
		t.Errorf("%+v", b)
	}
}

func TestReplicaSealsKeysOfEveryLength(t *testing.T) {
	t.Parallel()
	keys, err := eventlog.NewKeyRing([]eventlog.Key{{ID: strings.Repeat("k", 63), Secret: make([]byte, eventlog.KeyBytes)}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	r := newReplica(t, newFakeStore(), &eventlog.ReplicaOptions{Keys: keys})
	for _, n := range []int{0, 1, 127, 128, 254, eventlog.MaxTopicBytes} {
		key := strings.Repeat("x", n)
		at := mustAppend(t, r, eventlog.Event{Topic: fmt.Sprint("t", n), Key: key, Data: []byte("text")})[0]
		b := mustRead(t, r, eventlog.NewCursor(at.Epoch(), at.At(0)-1), fmt.Sprint("t", n))
		if len(b.Entries) != 1 || b.Entries[0].Key != key || string(b.Entries[0].Event().Data) != "text" {
			t.Errorf("a key of %d bytes: %+v", n, b)
		}
	}
}

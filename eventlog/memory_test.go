package eventlog_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/buffkit/buffkit/eventlog"
	"github.com/buffkit/buffkit/eventlog/logtest"
)

func TestMemory(t *testing.T) {
	t.Parallel()
	logtest.Run(t, func(t *testing.T, c logtest.Config) eventlog.Log {
		return eventlog.NewMemory(&eventlog.MemoryOptions{Retention: c.Retention, MaxEventBytes: c.MaxEventBytes})
	})
}

// The helpers of all tests of Memory.

func newMemory(t *testing.T, opts *eventlog.MemoryOptions) *eventlog.Memory {
	t.Helper()
	log := eventlog.NewMemory(opts)
	t.Cleanup(func() { log.Close() })
	return log
}

func event(topic, data string) eventlog.Event {
	return eventlog.Event{Topic: topic, Data: []byte(data)}
}

// sized returns an event with n bytes of data.
func sized(topic string, n int) eventlog.Event { return event(topic, strings.Repeat("x", n)) }

// numbered returns events whose data are 0 to n-1.
func numbered(topic string, n int) []eventlog.Event {
	events := make([]eventlog.Event, n)
	for i := range events {
		events[i] = event(topic, fmt.Sprint(i))
	}
	return events
}

func mustAppend(t *testing.T, log eventlog.Log, events ...eventlog.Event) []eventlog.Cursor {
	t.Helper()
	cursors, err := log.Append(t.Context(), events...)
	if err != nil {
		t.Fatalf("Append: %v", err)
	}
	return cursors
}

func mustRead(t *testing.T, log eventlog.Log, after eventlog.Cursor, topics ...string) eventlog.Batch {
	t.Helper()
	b, err := log.Read(t.Context(), topics, after, 1<<20)
	if err != nil {
		t.Fatalf("Read: %v", err)
	}
	return b
}

func mustHead(t *testing.T, log *eventlog.Memory) eventlog.Cursor {
	t.Helper()
	head, err := log.Head(t.Context())
	if err != nil {
		t.Fatalf("Head: %v", err)
	}
	return head
}

// wantData fails unless the batch has no gap and these data.
func wantData(t *testing.T, b eventlog.Batch, want ...string) {
	t.Helper()
	got := []string{}
	for _, e := range b.Entries {
		got = append(got, string(e.Event().Data))
	}
	if len(b.Gaps) > 0 || !slices.Equal(got, want) {
		t.Fatalf("read %q and gaps %v, want %q", got, b.Gaps, want)
	}
}

// wantTrimmed fails unless the batch is nothing but a gap of one topic.
func wantTrimmed(t *testing.T, b eventlog.Batch) {
	t.Helper()
	if len(b.Entries) != 0 || len(b.Gaps) != 1 || !errors.Is(b.Gaps[0].Err, eventlog.ErrTrimmed) {
		t.Fatalf("read %d entries and gaps %v, want nothing but ErrTrimmed", len(b.Entries), b.Gaps)
	}
}

func wantEvents(t *testing.T, log *eventlog.Memory, want int, when string) {
	t.Helper()
	if got := log.Stats().Events; got != want {
		t.Fatalf("%s: %d events are kept, want %d", when, got, want)
	}
}

func wantConsistent(t *testing.T, log *eventlog.Memory) {
	t.Helper()
	if err := log.Check(); err != nil {
		t.Fatal(err)
	}
}

func TestOffsetsRiseWhenTheClockStandsStill(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := newMemory(t, nil)
		now := eventlog.Offset(time.Now().UnixMicro())
		for i, c := range mustAppend(t, log, numbered("t", 100)...) {
			if want := now + eventlog.Offset(i); c.At(0) != want {
				t.Fatalf("event %d of one moment is at %d, want %d", i, c.At(0), want)
			}
		}
		time.Sleep(time.Second)
		later := eventlog.Offset(time.Now().UnixMicro())
		if c := mustAppend(t, log, event("t", "x"))[0]; c.At(0) != later {
			t.Errorf("a second later the offset is %d, want the time %d", c.At(0), later)
		}
	})
}

func TestOffsetsRiseWhateverTheClockDoes(t *testing.T) {
	t.Parallel()
	last := eventlog.Offset(0)
	for _, clock := range []time.Time{
		time.UnixMicro(1000), time.UnixMicro(1000), time.UnixMicro(10), time.UnixMicro(-5), {}, time.UnixMicro(2000), time.UnixMicro(1999),
		time.UnixMicro(math.MaxInt64), time.UnixMicro(3000),
	} {
		next := last.Next(clock)
		if next <= last || clock.UnixMicro() > 0 && next < eventlog.Offset(clock.UnixMicro()) {
			t.Errorf("%d follows %d at the time %d", next, last, clock.UnixMicro())
		}
		last = next
	}
	if got := eventlog.Offset(1_700_000_000_000_001).Time(); !got.Equal(time.UnixMicro(1_700_000_000_000_001)) {
		t.Errorf("Time is %v", got)
	}
}

func TestFramesOutliveTheirEvents(t *testing.T) {
	t.Parallel()
	log := newMemory(t, &eventlog.MemoryOptions{Retention: eventlog.Retention{Count: 10}})
	mustAppend(t, log, numbered("t", 10)...)
	held := mustRead(t, log, eventlog.Cursor{}, "t").Entries
	var frames []string
	for _, e := range held {
		frames = append(frames, string(e.Frame))
	}
	for range 100 {
		mustAppend(t, log, sized("t", 100), sized("u", 100))
	}
	runtime.GC()
	for i, e := range held {
		if string(e.Frame) != frames[i] {
			t.Errorf("the frame of event %d became %q", i, e.Frame)
		}
	}
}

func TestMaxEventBytesCountsAllOfAnEvent(t *testing.T) {
	t.Parallel()
	const most = 500
	log := newMemory(t, &eventlog.MemoryOptions{MaxEventBytes: most})
	for name, e := range map[string]eventlog.Event{
		"data":       sized("t", most),
		"name":       {Topic: "t", Name: strings.Repeat("n", most)},
		"key":        {Topic: "t", Data: []byte(strings.Repeat("x", 300)), Key: strings.Repeat("k", 200)},
		"many lines": {Topic: "t", Data: []byte(strings.Repeat("\n", 100))},
	} {
		_, err := log.Append(t.Context(), event("t", "good"), e)
		var at *eventlog.EventError
		if !errors.Is(err, eventlog.ErrTooLarge) || !errors.As(err, &at) || at.Index != 1 || at.Topic != "t" {
			t.Errorf("%s: %v, want ErrTooLarge of event 1", name, err)
		}
	}
	wantEvents(t, log, 0, "after refusals")
	at := mustAppend(t, log, sized("t", 450))[0]
	if frame := mustRead(t, log, at.With(0, at.At(0)-1), "t").Entries[0].Frame; len(frame) > most {
		t.Errorf("a frame of %d bytes was let in, at most %d", len(frame), most)
	}
}

func TestAnEmptyAppendIsNone(t *testing.T) {
	t.Parallel()
	log := newMemory(t, &eventlog.MemoryOptions{MaxBytes: 1, MaxTopics: 1})
	if cursors := mustAppend(t, log); len(cursors) != 0 {
		t.Errorf("got the cursors %v", cursors)
	}
}

func TestReadOfManyTopicsIsInOrder(t *testing.T) {
	t.Parallel()
	const topics, rounds = 200, 5
	log := newMemory(t, nil)
	var names, want []string
	for i := range topics {
		names = append(names, fmt.Sprint("t", i))
	}
	for i := range rounds * topics {
		mustAppend(t, log, event(names[i*7%topics], fmt.Sprint(i)))
		want = append(want, fmt.Sprint(i))
	}
	wantData(t, mustRead(t, log, eventlog.Cursor{}, names...), want...)

	var paged []string
	var at eventlog.Cursor
	for len(paged) < len(want) {
		b, err := log.Read(t.Context(), names, at, 33)
		if err != nil || len(b.Entries) == 0 || b.Behind != len(want)-len(paged) {
			t.Fatalf("%d entries of %d behind after %d, %v", len(b.Entries), b.Behind, len(paged), err)
		}
		for _, e := range b.Entries {
			paged = append(paged, string(e.Event().Data))
		}
		at = b.Next
	}
	if !slices.Equal(paged, want) {
		t.Errorf("paged %q", paged)
	}
}

func TestReadOfForeignPositions(t *testing.T) {
	t.Parallel()
	log := newMemory(t, nil)
	at := mustAppend(t, log, numbered("t", 3)...)
	b := mustRead(t, log, at[0].With(7, 99), "t") // partition 7 is of no log with one partition
	wantData(t, b, "1", "2")
	if b.Next.String() != at[2].String() {
		t.Errorf("Next is %v, want %v", b.Next, at[2])
	}
	if b := mustRead(t, log, at[0].With(0, math.MaxUint64), "t", "t"); len(b.Gaps) != 1 || !errors.Is(b.Gaps[0].Err, eventlog.ErrRolledBack) {
		t.Errorf("the largest offset: %+v, want ErrRolledBack", b)
	}
}

func TestWatchLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	log := newMemory(t, nil)
	var watching sync.WaitGroup
	for range 50 {
		ctx, cancel := context.WithCancel(t.Context())
		watching.Go(func() { log.Watch(ctx, func(string) { cancel() }) })
	}
	watching.Wait()
	if n := log.Watchers(); n != 0 {
		t.Errorf("%d watchers are left", n)
	}
}

func TestCloseEndsEverything(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { // which fails on a goroutine that is left over
		log := eventlog.NewMemory(nil)
		mustAppend(t, log, numbered("t", 100)...)
		held := mustRead(t, log, eventlog.Cursor{}, "t").Entries[99]
		errs := make(chan error, 3)
		for range cap(errs) {
			go func() { errs <- log.Watch(context.Background(), func(string) {}) }()
		}
		synctest.Wait()
		if err := log.Close(); err != nil {
			t.Fatal(err)
		}
		if !log.SweeperIsGone() {
			t.Error("Close didn't wait for the sweeper")
		}
		for range cap(errs) {
			if err := <-errs; !errors.Is(err, eventlog.ErrClosed) {
				t.Errorf("Watch returned %v, want ErrClosed", err)
			}
		}
		if got := log.Stats(); got != (eventlog.MemoryStats{}) {
			t.Errorf("a closed log holds %+v", got)
		}
		if err := log.Close(); !errors.Is(err, eventlog.ErrClosed) {
			t.Errorf("the second Close returned %v, want ErrClosed", err)
		}
		if got := string(held.Event().Data); got != "99" {
			t.Errorf("a frame that is held became %q", got)
		}
	})
}

func TestCloseWhileEverythingIsInUse(t *testing.T) {
	t.Parallel()
	for range 20 {
		log := eventlog.NewMemory(&eventlog.MemoryOptions{MaxBytes: 50_000, MaxTopics: 50, Retention: eventlog.Retention{Age: time.Millisecond}})
		ctx := t.Context()
		var users sync.WaitGroup
		use := func(call func(i int) error) {
			users.Go(func() {
				for i := 0; ; i++ {
					if err := call(i); errors.Is(err, eventlog.ErrClosed) {
						return
					} else if err != nil && !errors.Is(err, eventlog.ErrFull) {
						t.Errorf("%v, want ErrClosed in the end", err)
						return
					}
				}
			})
		}
		for range 2 {
			use(func(i int) error {
				_, err := log.Append(ctx, event(fmt.Sprint("t", i%100), "x"))
				return err
			})
			use(func(i int) error {
				_, err := log.Read(ctx, []string{fmt.Sprint("t", i%100), "t1"}, eventlog.Cursor{}, 10)
				return err
			})
		}
		use(func(int) error {
			log.Stats()
			_, err := log.Head(ctx)
			return err
		})
		watching := make(chan struct{})
		var once sync.Once
		use(func(int) error { return log.Watch(ctx, func(string) { once.Do(func() { close(watching) }) }) })
		<-watching
		wantConsistent(t, log)
		if err := log.Close(); err != nil {
			t.Error(err)
		}
		users.Wait()
	}
}

func TestReadOfVeryManyTopics(t *testing.T) {
	t.Parallel()
	const topics = 20_000
	log := newMemory(t, nil)
	start := mustHead(t, log)
	names := make([]string, 0, 2*topics)
	events := make([]eventlog.Event, topics)
	for i := range events {
		names = append(names, fmt.Sprint("t", i))
		events[i] = event(names[i], "x")
	}
	mustAppend(t, log, events...)
	names = append(names, names...) // each twice
	if b := mustRead(t, log, start, names...); len(b.Entries) != topics || b.Behind != topics {
		t.Errorf("read %d entries of %d behind, want %d", len(b.Entries), b.Behind, topics)
	}
	if b := mustRead(t, log, eventlog.NewCursor(1, 1), names...); len(b.Gaps) != topics {
		t.Errorf("told %d gaps, want %d", len(b.Gaps), topics)
	}
}

// Nothing of what was read before shows through, and nothing is allocated.
func TestReadIntoIsReadInMemoryOfTheCallers(t *testing.T) {
	m := eventlog.NewMemory(nil)
	defer m.Close()
	for i, key := range []string{"k", "", "k", "", ""} {
		if _, err := m.Append(t.Context(), eventlog.Event{Topic: "a", Key: key, Data: fmt.Append(nil, i)}); err != nil {
			t.Fatal(err)
		}
	}
	var into []eventlog.Entry
	var after eventlog.Cursor
	for range 5 {
		want, err := m.Read(t.Context(), []string{"a"}, after, 1)
		if err != nil {
			t.Fatal(err)
		}
		got, err := m.ReadInto(t.Context(), into, []string{"a"}, after, 1)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("%v: got %+v, want %+v", err, got, want)
		}
		into, after = got.Entries, got.Next
	}
	topics := []string{"a"}
	into = make([]eventlog.Entry, 0, 9)
	if n := testing.AllocsPerRun(100, func() { m.ReadInto(context.Background(), into, topics, after, 9) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// Whatever is asked for at once, each gets what it would have got by itself, and nothing is allocated.
func TestReadAllAnswersEachAskAsRead(t *testing.T) {
	m := newMemory(t, &eventlog.MemoryOptions{Retention: eventlog.Retention{Count: 5}})
	first := mustAppend(t, m, event("a", "0"), event("b", "0"), event("trimmed", "0"))
	for i := range 9 {
		mustAppend(t, m, event("trimmed", fmt.Sprint(i)), event(fmt.Sprint("c", i%3), fmt.Sprint(i)))
	}
	head := mustHead(t, m)
	var asks []eventlog.Ask
	for _, topics := range [][]string{{}, {"a"}, {"nobody"}, {"trimmed"}, {"c0", "c1", "c2", "c0"}, {"trimmed", "a"}} {
		for _, after := range []eventlog.Cursor{{}, first[0], first[1], head, eventlog.NewCursor(1, 1), head.With(0, head.At(0)+1)} {
			asks = append(asks, eventlog.Ask{Topics: topics, After: after})
		}
	}
	for _, most := range []int{4, 1, 100} { // again and again with the same memory
		if err := m.ReadAll(t.Context(), asks, most); err != nil {
			t.Fatal(err)
		}
		for _, ask := range asks {
			want, err := m.ReadInto(t.Context(), ask.Batch.Entries[len(ask.Batch.Entries):], ask.Topics, ask.After, most)
			if err != nil || !reflect.DeepEqual(ask.Batch, want) {
				t.Errorf("%q after %v: %v: got %+v, want %+v", ask.Topics, ask.After, err, ask.Batch, want)
			}
		}
	}
	few := []eventlog.Ask{{Topics: []string{"a"}, Batch: eventlog.Batch{Entries: make([]eventlog.Entry, 0, 9)}}, {Topics: []string{"b"}, After: head}}
	if n := testing.AllocsPerRun(100, func() { m.ReadAll(context.Background(), few, 9) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
	m.Close()
	if err := m.ReadAll(t.Context(), asks, 1); !errors.Is(err, eventlog.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

package eventlog_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/buffkit/buffkit/eventlog"
)

func wantFull(t *testing.T, log *eventlog.Memory, events ...eventlog.Event) {
	t.Helper()
	before := log.Stats()
	if _, err := log.Append(t.Context(), events...); !errors.Is(err, eventlog.ErrFull) {
		t.Fatalf("Append: %v, want ErrFull", err)
	}
	if after := log.Stats(); after != before {
		t.Fatalf("the refused Append changed the log from %+v to %+v", before, after)
	}
}

func TestBusyTopicDoesNotPushOutAQuietOne(t *testing.T) {
	t.Parallel()
	const budget = 1 << 20
	log := newMemory(t, &eventlog.MemoryOptions{MaxBytes: budget})
	start := mustHead(t, log)
	var quiet []string
	for i := range 100 {
		quiet = append(quiet, fmt.Sprint(i))
		mustAppend(t, log, event("quiet", fmt.Sprint(i)))
		for range 100 {
			mustAppend(t, log, sized("busy", 1000))
		}
		if got := log.Stats().Bytes; got > budget {
			t.Fatalf("%d bytes are kept, at most %d", got, budget)
		}
	}
	wantData(t, mustRead(t, log, start, "quiet"), quiet...)
	wantTrimmed(t, mustRead(t, log, start, "busy"))
	if kept := mustRead(t, log, eventlog.Cursor{}, "busy").Behind; kept*1000 < budget/2 {
		t.Errorf("only %d events of 1000 bytes are kept of a budget of %d", kept, budget)
	}
	wantConsistent(t, log)
}

func TestTheLargestTopicsAreEvictedFirst(t *testing.T) {
	t.Parallel()
	log := newMemory(t, &eventlog.MemoryOptions{MaxBytes: 1 << 20})
	start := mustHead(t, log)
	sizes := map[string]int{"small": 10, "middle": 100, "large": 600} // events of 1000 bytes
	for topic, n := range sizes {
		for range n {
			mustAppend(t, log, sized(topic, 1000))
		}
	}
	for i := range 300 { // many small ones come and push
		mustAppend(t, log, sized(fmt.Sprint("new/", i), 1500))
	}
	for topic, want := range map[string]bool{"small": true, "middle": true, "large": false, "new/0": true, "new/299": true} {
		if whole := len(mustRead(t, log, start, topic).Gaps) == 0; whole != want {
			t.Errorf("topic %s is whole: %v", topic, whole)
		}
	}
	wantConsistent(t, log)
}

func TestTopicsOfASizeTakeTurnsToGiveWay(t *testing.T) {
	t.Parallel()
	log := newMemory(t, &eventlog.MemoryOptions{MaxBytes: 1 << 20})
	for range 400 {
		mustAppend(t, log, sized("a", 1000), sized("b", 1000))
	}
	for i := range 200 {
		mustAppend(t, log, sized(fmt.Sprint("new/", i), 1000))
	}
	a, b := mustRead(t, log, eventlog.Cursor{}, "a").Behind, mustRead(t, log, eventlog.Cursor{}, "b").Behind
	if a+b > 700 || max(a, b)-min(a, b) > 60 { // a chunk is an eighth of the topic
		t.Errorf("%d and %d events of 400 are left of topics of one size", a, b)
	}
	wantConsistent(t, log)
}

func TestTheNewestEventIsKeptInTheSmallestBudget(t *testing.T) {
	t.Parallel()
	log := newMemory(t, &eventlog.MemoryOptions{MaxBytes: 2000})
	for i := range 500 {
		e := sized(fmt.Sprint("t", i%7), i%1000)
		if i%50 == 0 {
			e.IdempotencyKey = fmt.Sprint(i) // less and less room is left
		}
		at, err := log.Append(t.Context(), e)
		if errors.Is(err, eventlog.ErrFull) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		b := mustRead(t, log, at[0].With(0, at[0].At(0)-1), e.Topic)
		if len(b.Entries) != 1 || string(b.Entries[0].Event().Data) != string(e.Data) {
			t.Fatalf("event %d was stored and is gone: %+v", i, b)
		}
		wantConsistent(t, log)
	}
}

func TestWhatGivesWayToTheNewestEventIsTold(t *testing.T) {
	t.Parallel()
	log := newMemory(t, &eventlog.MemoryOptions{MaxBytes: 3000})
	cursors := []eventlog.Cursor{mustHead(t, log)}
	for i := range 100 {
		e := event("t", "x")
		e.IdempotencyKey = fmt.Sprint(i, strings.Repeat("k", i)) // less and less room is left
		at, err := log.Append(t.Context(), e)
		if errors.Is(err, eventlog.ErrFull) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		cursors = append(cursors, at[0])
		for seen, cursor := range cursors {
			if b := mustRead(t, log, cursor, "t"); len(b.Gaps) == 0 && b.Behind != i+1-seen {
				t.Fatalf("%d events were published after number %d, %d are read and no gap", i+1-seen, seen, b.Behind)
			}
		}
		wantConsistent(t, log)
	}
	left := mustRead(t, log, eventlog.Cursor{}, "t").Entries
	if n, dropped := len(left), len(cursors)-len(left); n == 0 || left[0].Prev != cursors[dropped-1].At(0) {
		t.Errorf("the full log has the entries %+v; want the newest, the first of them naming the one before it", left)
	}
}

func TestABatchOverTheBudgetIsRefused(t *testing.T) {
	t.Parallel()
	log := newMemory(t, &eventlog.MemoryOptions{MaxBytes: 100_000, MaxEventBytes: -1})
	mustAppend(t, log, event("t", "kept"))
	wantFull(t, log, slices.Repeat([]eventlog.Event{sized("t", 1000)}, 101)...)
	wantFull(t, log, sized("t", 100_000))
	wantData(t, mustRead(t, log, eventlog.Cursor{}, "t"), "kept")
	mustAppend(t, log, slices.Repeat([]eventlog.Event{sized("t", 1000)}, 80)...)
	wantConsistent(t, log)
}

func TestMaxTopicsCountsTopicsWithEvents(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const age = 10 * time.Second
		log := newMemory(t, &eventlog.MemoryOptions{
			MaxTopics: 2,
			Retention: eventlog.Retention{Age: age},
			RetentionOf: func(topic string) eventlog.Retention {
				return map[string]eventlog.Retention{"stays": {Age: time.Hour}}[topic]
			},
		})
		start := mustHead(t, log)
		mustAppend(t, log, event("a", "1"), event("stays", "1"))
		wantFull(t, log, event("b", "1"))
		wantFull(t, log, event("a", "2"), event("b", "1"))
		mustAppend(t, log, event("a", "2"), event("stays", "2"))

		time.Sleep(age + 2*time.Second) // a is empty
		wantFull(t, log, event("b", "1"), event("c", "1"))
		wantFull(t, log, event("b", "1"), event("a", "3"))
		wantData(t, mustRead(t, log, mustHead(t, log), "a")) // a refused Append forgets no topic
		wantData(t, mustRead(t, log, start, "never seen"))
		mustAppend(t, log, event("a", "3"), event("stays", "3"))

		time.Sleep(age + 2*time.Second)
		mustAppend(t, log, event("b", "1"))
		if got := log.Stats(); got.Topics != 2 || got.Events != 4 {
			t.Errorf("%+v, want 2 topics with 4 events", got)
		}
		wantTrimmed(t, mustRead(t, log, start, "never seen")) // it might be a, for all that the log still knows
		wantConsistent(t, log)
	})
}

func TestForgottenTopicIsNeverTakenForWhole(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const age = time.Minute
		log := newMemory(t, &eventlog.MemoryOptions{MaxTopics: 1, Retention: eventlog.Retention{Age: age}})
		start := mustHead(t, log)
		lost := mustAppend(t, log, event("a", "lost"))[0]
		time.Sleep(2 * age)
		mustAppend(t, log, event("b", "takes the place of a"))
		wantTrimmed(t, mustRead(t, log, start, "a"))
		wantData(t, mustRead(t, log, lost, "a"))

		time.Sleep(2 * age)
		recent := mustHead(t, log)
		mustAppend(t, log, event("a", "comes back"))
		wantTrimmed(t, mustRead(t, log, start, "a"))
		wantTrimmed(t, mustRead(t, log, start, "never seen"))
		wantData(t, mustRead(t, log, recent, "a"), "comes back")
		wantData(t, mustRead(t, log, eventlog.Cursor{}, "a"), "comes back")
	})
}

func TestNamesThatComeAndGoPushOutNoHistory(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := newMemory(t, &eventlog.MemoryOptions{
			MaxBytes: 300_000,
			RetentionOf: func(topic string) eventlog.Retention {
				if topic == "history" {
					return eventlog.Retention{Age: -1}
				}
				return eventlog.Retention{Age: 1}
			},
		})
		start := mustHead(t, log)
		mustAppend(t, log, slices.Repeat([]eventlog.Event{sized("history", 1000)}, 100)...)
		for i := range 10_000 { // 3 MB of topics that are empty after a second
			mustAppend(t, log, event(fmt.Sprint("typing/", i), "x"))
			if i%100 == 0 {
				time.Sleep(2 * time.Second)
			}
		}
		if b := mustRead(t, log, start, "history"); len(b.Gaps) > 0 || b.Behind != 100 {
			t.Errorf("%d events of the history are left, gaps %v", b.Behind, b.Gaps)
		}
		wantConsistent(t, log)
	})
}

func TestIdempotencyKeysFillTheBudgetUntilTheirWindowEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := newMemory(t, &eventlog.MemoryOptions{MaxBytes: 20_000, IdempotencyWindow: time.Minute})
		once := func(i int) eventlog.Event {
			e := event("t", "x")
			e.IdempotencyKey = fmt.Sprintf("%08d", i)
			return e
		}
		first := mustAppend(t, log, once(0))[0]
		stored := 1
		for ; ; stored++ {
			if _, err := log.Append(t.Context(), once(stored)); errors.Is(err, eventlog.ErrFull) {
				break
			} else if err != nil || stored > 1000 {
				t.Fatalf("%d keys fit 20000 bytes, %v", stored, err)
			}
		}
		wantFull(t, log, once(stored))
		if again := mustAppend(t, log, once(0))[0]; again.String() != first.String() {
			t.Errorf("a repeat to the full log got %v, want %v", again, first)
		}
		wantConsistent(t, log)

		time.Sleep(time.Minute + time.Second)
		if again := mustAppend(t, log, once(0))[0]; again.String() == first.String() {
			t.Error("a key was remembered for longer than its window")
		}
		wantConsistent(t, log)
	})
}

func TestIdempotencyWindow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := newMemory(t, &eventlog.MemoryOptions{IdempotencyWindow: time.Minute, Retention: eventlog.Retention{Age: time.Second}})
		e := event("t", "x")
		e.IdempotencyKey = "k"
		first := mustAppend(t, log, e)[0]
		time.Sleep(time.Minute) // the event is long gone, its key isn't
		wantEvents(t, log, 0, "after its age")
		if again := mustAppend(t, log, e)[0]; again.String() != first.String() {
			t.Errorf("within the window the key got %v, want %v", again, first)
		}
		time.Sleep(time.Nanosecond)
		if again := mustAppend(t, log, e)[0]; !again.Beyond(first) {
			t.Errorf("after the window the key got %v again", again)
		}
		time.Sleep(time.Minute + 2*time.Second) // without an Append, the sweeper forgets it
		synctest.Wait()
		empty := log.Stats().Bytes
		mustAppend(t, log, event("t", "x"))
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if got := log.Stats().Bytes; got != empty {
			t.Errorf("%d bytes are kept, %d without keys", got, empty)
		}
	})
}

func TestKeysWithinTheirWindowOutliveManyThatExpire(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := newMemory(t, &eventlog.MemoryOptions{IdempotencyWindow: time.Minute})
		once := func(from, n int) []eventlog.Event {
			events := numbered("t", n)
			for i := range events {
				events[i].IdempotencyKey = fmt.Sprint(from + i)
			}
			return events
		}
		mustAppend(t, log, once(0, 5000)...)
		time.Sleep(30 * time.Second)
		late := mustAppend(t, log, once(5000, 100)...)
		time.Sleep(31 * time.Second) // the 5000 are forgotten
		synctest.Wait()
		wantConsistent(t, log)
		for i, again := range mustAppend(t, log, once(5000, 100)...) {
			if again.String() != late[i].String() {
				t.Fatalf("key %d got %v, then %v", 5000+i, late[i], again)
			}
		}
		if again := mustAppend(t, log, once(0, 1)...)[0]; !again.Beyond(late[99]) {
			t.Error("a key was remembered for longer than its window")
		}
		wantConsistent(t, log)
	})
}

func TestAPanicOfRetentionOfHurtsNobodyElse(t *testing.T) {
	t.Parallel()
	log := newMemory(t, &eventlog.MemoryOptions{RetentionOf: func(topic string) eventlog.Retention {
		if topic == "bad" {
			panic("bad")
		}
		return eventlog.Retention{}
	}})
	mustAppend(t, log, event("good", "1"))
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic didn't reach the publisher")
			}
		}()
		log.Append(t.Context(), event("bad", "x"))
	}()
	mustAppend(t, log, event("good", "2"))
	wantData(t, mustRead(t, log, eventlog.Cursor{}, "good", "bad"), "1", "2")
	wantConsistent(t, log)
}

func TestWhatOneEventNeedsIsNeverUnderestimated(t *testing.T) {
	t.Parallel()
	for size := 1; size < 1<<20; size += 1 + size/50 {
		if most, is := eventlog.LoneTopicBytes("topic", int64(size)), eventlog.LoneTopic("topic", size); is > most {
			t.Fatalf("an event of %d bytes takes %d, counted with %d", size, is, most)
		}
	}
}

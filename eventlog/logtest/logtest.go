// Package logtest is the contract of eventlog.Log as tests. A backend's own test is three lines:
//
//	func TestLog(t *testing.T) {
//		logtest.Run(t, func(t *testing.T, c logtest.Config) eventlog.Log { return newLog(t, c) })
//	}
package logtest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/buffkit/buffkit/eventlog"
)

// Config is what a test needs of the log it is given.
type Config struct {
	Retention     eventlog.Retention // of every topic
	MaxEventBytes int                // 0: the backend's default
}

// Factory returns an empty log, which the suite closes. Logs of one test differ in their epoch. Calls overlap.
type Factory func(t *testing.T, c Config) eventlog.Log

// patience is how long something that must happen may take, on the slowest machine and backend.
const patience = 30 * time.Second

// Run runs the suite.
func Run(t *testing.T, newLog Factory) {
	tests := []struct {
		name string
		test func(t *testing.T, newLog Factory)
	}{
		{"offsets rise and are the ids of the frames", testOffsets},
		{"a frame decodes to what was published", testFrames},
		{"read goes on where it stopped", testPaging},
		{"topics are read together in order", testTopics},
		{"a topic that is asked for twice counts once", testRepeatedTopic},
		{"each entry names the one before it in its topic", testPrev},
		{"a topic nobody published to is whole and empty", testUnknownTopic},
		{"the head moves a reader of a quiet topic on", testHead},
		{"a trimmed topic is told and adds nothing, the others are whole", testTrimmed},
		{"a quiet topic yields no gap beside a busy one", testQuietTopic},
		{"a time leads to what was appended since", testSince},
		{"a cursor of another log is told", testOtherLog},
		{"a cursor ahead of the log is told", testRolledBack},
		{"an idempotency key is stored once", testIdempotency},
		{"an idempotency key is stored once by many at a time", testIdempotencyAtOnce},
		{"a bad event is named and nothing is stored", testBadEvents},
		{"an oversized event is refused", testTooLarge},
		{"the caller may reuse its data", testOwnership},
		{"watch wakes for what can then be read", testWatch},
		{"an event is read only after its wake", testWatchFirst},
		{"watch is over when it returns", testWatchEnds},
		{"concurrent writers and readers: each event once, in order", testConcurrency},
		{"a cancelled context stops every call", testCancelled},
		{"a closed log says so", testClosed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.test(t, newLog)
		})
	}
}

func open(t *testing.T, newLog Factory, c Config) eventlog.Log {
	log := newLog(t, c)
	t.Cleanup(func() {
		if err := log.Close(); err != nil && !errors.Is(err, eventlog.ErrClosed) {
			t.Errorf("Close: %v", err)
		}
	})
	return log
}

func event(topic, data string) eventlog.Event {
	return eventlog.Event{Topic: topic, Data: []byte(data)}
}

func mustAppend(t *testing.T, log eventlog.Log, events ...eventlog.Event) []eventlog.Cursor {
	t.Helper()
	cursors, err := log.Append(t.Context(), events...)
	if err != nil {
		t.Fatalf("Append: %v", err)
	}
	if len(cursors) != len(events) {
		t.Fatalf("Append of %d events returned %d cursors", len(events), len(cursors))
	}
	return cursors
}

func mustRead(t *testing.T, log eventlog.Log, after eventlog.Cursor, max int, topics ...string) eventlog.Batch {
	t.Helper()
	b, err := log.Read(t.Context(), topics, after, max)
	if err != nil {
		t.Fatalf("Read: %v", err)
	}
	return b
}

func mustHead(t *testing.T, log eventlog.Log) eventlog.Cursor {
	t.Helper()
	head, err := log.Head(t.Context())
	if err != nil {
		t.Fatalf("Head: %v", err)
	}
	return head
}

func data(b eventlog.Batch) []string {
	all := []string{}
	for _, e := range b.Entries {
		all = append(all, string(e.Event().Data))
	}
	return all
}

func wantData(t *testing.T, b eventlog.Batch, want ...string) {
	t.Helper()
	if len(b.Gaps) > 0 {
		t.Fatalf("gaps: %v, want none", b.Gaps)
	}
	if got := data(b); !slices.Equal(got, want) {
		t.Fatalf("read %q, want %q", got, want)
	}
}

func wantGaps(t *testing.T, b eventlog.Batch, err error, topics ...string) {
	t.Helper()
	var got []string
	for _, gap := range b.Gaps {
		got = append(got, gap.Topic)
		if !errors.Is(gap.Err, err) {
			t.Errorf("gap of %q: %v, want %v", gap.Topic, gap.Err, err)
		}
	}
	if !slices.Equal(got, topics) {
		t.Fatalf("gaps of %q, want of %q", got, topics)
	}
}

func testOffsets(t *testing.T, newLog Factory) {
	log := open(t, newLog, Config{})
	before := time.Now().Add(-time.Minute)
	first := mustAppend(t, log, event("a", "1"), event("b", "2"))
	second := mustAppend(t, log, event("a", "3"))
	cursors := append(first, second...)
	b := mustRead(t, log, eventlog.Cursor{}, 10, "a", "b")
	if len(b.Entries) != 3 {
		t.Fatalf("read %d entries, want 3", len(b.Entries))
	}
	for i, e := range b.Entries {
		if i > 0 && e.Partition == b.Entries[i-1].Partition && e.Offset <= b.Entries[i-1].Offset {
			t.Errorf("offset %d follows %d", e.Offset, b.Entries[i-1].Offset)
		}
		if at := e.Offset.Time(); at.Before(before) || at.After(time.Now().Add(time.Minute)) {
			t.Errorf("offset %d is the time %v, want about now", e.Offset, at)
		}
		if want := "id: " + cursors[i].String() + "\n"; !strings.HasPrefix(string(e.Frame), want) {
			t.Errorf("frame %q, want it to start with %q", e.Frame, want)
		}
		if got := e.At(cursors[i].Epoch()); got.String() != cursors[i].String() {
			t.Errorf("entry is at %v, Append said %v", got, cursors[i])
		}
		parsed, err := eventlog.ParseCursor(cursors[i].String())
		if err != nil || parsed.String() != cursors[i].String() {
			t.Errorf("ParseCursor(%q) = %v, %v", cursors[i], parsed, err)
		}
	}
	if head := mustHead(t, log); head.Beyond(b.Next) || b.Next.Beyond(head) {
		t.Errorf("after reading all, Next is %v and Head %v", b.Next, head)
	}
}

func testFrames(t *testing.T, newLog Factory) {
	log := open(t, newLog, Config{})
	published := []eventlog.Event{
		{Topic: "t", Data: []byte("plain")},
		{Topic: "t", Name: "named", Data: []byte("two\nlines"), Key: "k"},
		{Topic: "t", Data: nil},
		{Topic: "t", Data: []byte("\n")},
		{Topic: "t", Data: []byte("id: 7\ndata: not a field\n\n")},
		{Topic: "t", Data: []byte(" leading space, ünïcödé ✓")},
	}
	mustAppend(t, log, published...)
	b := mustRead(t, log, eventlog.Cursor{}, 100, "t")
	if len(b.Entries) != len(published) {
		t.Fatalf("read %d entries, want %d", len(b.Entries), len(published))
	}
	for i, want := range published {
		e, got := b.Entries[i], b.Entries[i].Event()
		if got.Topic != want.Topic || got.Name != want.Name || string(got.Data) != string(want.Data) || got.Key != want.Key || e.Key != want.Key {
			t.Errorf("event %d: read %+v, published %+v", i, got, want)
		}
	}
}

func testPaging(t *testing.T, newLog Factory) {
	log := open(t, newLog, Config{})
	mustAppend(t, log, event("t", "1"), event("t", "2"), event("t", "3"))
	var got []string
	var at eventlog.Cursor
	for behind := 3; behind > 0; behind-- {
		b := mustRead(t, log, at, 1, "t")
		if len(b.Entries) != 1 || b.Behind != behind {
			t.Fatalf("read %d entries of %d behind, want 1 of %d", len(b.Entries), b.Behind, behind)
		}
		got, at = append(got, data(b)...), b.Next
	}
	if want := []string{"1", "2", "3"}; !slices.Equal(got, want) {
		t.Fatalf("paged %q, want %q", got, want)
	}
	if b := mustRead(t, log, at, 1, "t"); len(b.Entries) != 0 || b.Behind != 0 || len(b.Gaps) != 0 {
		t.Fatalf("after the last: %+v", b)
	}
	if b := mustRead(t, log, eventlog.Cursor{}, 0, "t"); len(b.Entries) != 1 {
		t.Fatalf("max 0 read %d entries, want 1", len(b.Entries))
	}
}

func testTopics(t *testing.T, newLog Factory) {
	log := open(t, newLog, Config{})
	var all []eventlog.Event
	var want []string
	for i := range 40 {
		e := event(fmt.Sprintf("topic/%d", i%4), fmt.Sprint(i))
		all = append(all, e)
		if i%4 != 3 {
			want = append(want, fmt.Sprint(i))
		}
	}
	mustAppend(t, log, all...)
	b := mustRead(t, log, eventlog.Cursor{}, 100, "topic/2", "topic/0", "topic/1")
	if sorted := slices.IsSortedFunc(b.Entries, func(x, y eventlog.Entry) int {
		if x.Partition != y.Partition {
			return 0
		}
		return cmp.Compare(x.Offset, y.Offset)
	}); !sorted {
		t.Error("entries aren't in offset order")
	}
	got := data(b)
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Fatalf("read %q, want %q", got, want)
	}
}

func testRepeatedTopic(t *testing.T, newLog Factory) {
	log, other := open(t, newLog, Config{Retention: eventlog.Retention{Count: 3}}), open(t, newLog, Config{})
	mustAppend(t, log, event("b", "0"))
	start := mustHead(t, log)
	mustAppend(t, log, event("a", "1"), event("b", "2"), event("a", "3"))
	b := mustRead(t, log, start, 10, "a", "b", "a", "b", "b")
	if got := slices.Sorted(slices.Values(data(b))); !slices.Equal(got, []string{"1", "2", "3"}) || b.Behind != 3 {
		t.Errorf("read %q of %d behind, want each of 3 once", got, b.Behind)
	}
	mustAppend(t, log, event("a", "4"), event("a", "5"))
	wantGaps(t, mustRead(t, log, start, 10, "a", "b", "a"), eventlog.ErrTrimmed, "a")
	wantGaps(t, mustRead(t, log, mustHead(t, other), 10, "a", "b", "a"), eventlog.ErrOtherLog, "a", "b")
}

func testPrev(t *testing.T, newLog Factory) {
	log := open(t, newLog, Config{Retention: eventlog.Retention{Count: 3}})
	newest := map[string]eventlog.Offset{}
	prev := map[eventlog.Offset]eventlog.Offset{}
	for i := range 12 {
		topic := []string{"a", "b"}[i%3%2]
		at := mustAppend(t, log, event(topic, fmt.Sprint(i)))[0]
		entry := mustRead(t, log, mustHeadBefore(t, log, topic), 1, topic).Entries[0]
		if at.At(entry.Partition) != entry.Offset {
			t.Fatalf("read %d, appended %v", entry.Offset, at)
		}
		prev[entry.Offset], newest[topic] = newest[topic], entry.Offset
	}
	for _, topic := range []string{"a", "b"} {
		b := mustRead(t, log, eventlog.Cursor{}, 100, topic)
		if len(b.Entries) == 0 {
			t.Fatalf("topic %s is empty", topic)
		}
		for _, e := range b.Entries {
			if e.Prev != prev[e.Offset] {
				t.Errorf("entry %d of %s names %d, want %d", e.Offset, topic, e.Prev, prev[e.Offset])
			}
		}
	}
}

// mustHeadBefore returns a cursor behind which only the newest event of the topic stands.
func mustHeadBefore(t *testing.T, log eventlog.Log, topic string) eventlog.Cursor {
	t.Helper()
	all := mustRead(t, log, eventlog.Cursor{}, 1000, topic)
	newest := all.Entries[len(all.Entries)-1]
	return all.Next.With(newest.Partition, newest.Offset-1)
}

func testUnknownTopic(t *testing.T, newLog Factory) {
	log := open(t, newLog, Config{})
	for _, after := range []eventlog.Cursor{{}, mustHead(t, log)} {
		b := mustRead(t, log, after, 10, "nobody", "was here")
		if len(b.Entries) != 0 || len(b.Gaps) != 0 || b.Behind != 0 || b.Next.IsZero() {
			t.Errorf("read after %v: %+v", after, b)
		}
	}
	b := mustRead(t, log, mustHead(t, log), 10)
	if len(b.Entries) != 0 || len(b.Gaps) != 0 {
		t.Errorf("no topics: %+v", b)
	}
}

func testHead(t *testing.T, newLog Factory) {
	log := open(t, newLog, Config{})
	start := mustHead(t, log)
	at := mustAppend(t, log, event("busy", "1"))[0]
	b := mustRead(t, log, start, 10, "quiet")
	if !b.Next.Beyond(start) || at.Beyond(mustHead(t, log)) {
		t.Errorf("the reader of a quiet topic stays at %v, the log is at %v", b.Next, at)
	}
	wantData(t, mustRead(t, log, start, 10, "busy"), "1")
	wantData(t, mustRead(t, log, mustHead(t, log), 10, "busy"))
}

func testTrimmed(t *testing.T, newLog Factory) {
	log := open(t, newLog, Config{Retention: eventlog.Retention{Count: 3}})
	mustAppend(t, log, event("whole", "w1"))
	start := mustHead(t, log)
	for i := range 5 {
		mustAppend(t, log, event("trimmed", fmt.Sprint(i)))
	}
	mustAppend(t, log, event("whole", "w2"))
	b := mustRead(t, log, start, 10, "trimmed", "whole")
	wantGaps(t, b, eventlog.ErrTrimmed, "trimmed")
	if got := data(b); !slices.Equal(got, []string{"w2"}) || b.Behind != 1 {
		t.Errorf("read %q of %d behind, want only the topic that is whole", got, b.Behind)
	}
	wantData(t, mustRead(t, log, eventlog.Cursor{}, 10, "trimmed"), "2", "3", "4")

	kept := mustRead(t, log, eventlog.Cursor{}, 1, "trimmed").Entries[0]
	edge := start.With(kept.Partition, kept.Prev)
	wantData(t, mustRead(t, log, edge, 10, "trimmed"), "2", "3", "4")
	wantGaps(t, mustRead(t, log, start.With(kept.Partition, kept.Prev-1), 10, "trimmed"), eventlog.ErrTrimmed, "trimmed")
}

func testQuietTopic(t *testing.T, newLog Factory) {
	log := open(t, newLog, Config{Retention: eventlog.Retention{Count: 3}})
	mustAppend(t, log, event("quiet", "early"))
	start := mustHead(t, log)
	mustAppend(t, log, event("quiet", "late"))
	for i := range 100 {
		mustAppend(t, log, event("busy", fmt.Sprint(i)))
	}
	wantData(t, mustRead(t, log, start, 10, "quiet"), "late")
	wantData(t, mustRead(t, log, start, 10, "never"))
}

func testSince(t *testing.T, newLog Factory) {
	log := open(t, newLog, Config{Retention: eventlog.Retention{Count: 3}})
	for i := range 5 {
		mustAppend(t, log, event("busy", fmt.Sprint(i)))
	}
	mustAppend(t, log, event("quiet", "q1"), event("quiet", "q2"))
	busy := mustRead(t, log, eventlog.Cursor{}, 10, "busy").Entries
	quiet := mustRead(t, log, eventlog.Cursor{}, 10, "quiet").Entries
	oldest, middle, newest := busy[0].Offset.Time(), busy[1].Offset.Time(), quiet[1].Offset.Time()

	since := func(at time.Time, topics ...string) eventlog.Batch {
		t.Helper()
		place, err := eventlog.Since(t.Context(), log, at)
		if err != nil {
			t.Fatal(err)
		}
		return mustRead(t, log, place, 10, topics...)
	}
	wantData(t, since(middle, "busy"), "3", "4")
	wantData(t, since(middle.Add(time.Microsecond), "busy"), "4")
	wantData(t, since(newest, "quiet", "busy"), "q2")
	wantData(t, since(oldest.Add(-time.Hour), "quiet"), "q1", "q2")
	wantData(t, since(time.Unix(-1, 0), "quiet", "never"), "q1", "q2")
	wantGaps(t, since(oldest.Add(-time.Hour), "quiet", "busy"), eventlog.ErrTrimmed, "busy")
	wantGaps(t, since(time.Time{}, "busy"), eventlog.ErrTrimmed, "busy")

	ahead := since(newest.Add(time.Hour), "quiet", "busy")
	wantData(t, ahead)
	mustAppend(t, log, event("busy", "5"))
	wantData(t, mustRead(t, log, ahead.Next, 10, "quiet", "busy"), "5")
}

func testOtherLog(t *testing.T, newLog Factory) {
	log, other := open(t, newLog, Config{}), open(t, newLog, Config{})
	mustAppend(t, log, event("a", "1"))
	foreign := mustAppend(t, other, event("a", "x"))[0]
	b := mustRead(t, log, foreign, 10, "b", "a")
	wantGaps(t, b, eventlog.ErrOtherLog, "b", "a")
	if len(b.Entries) != 0 {
		t.Errorf("read %q", data(b))
	}
	if head := mustHead(t, log); b.Next.String() != head.String() {
		t.Errorf("Next is %v, want the head %v", b.Next, head)
	}
}

func testRolledBack(t *testing.T, newLog Factory) {
	log := open(t, newLog, Config{})
	mustAppend(t, log, event("a", "1"))
	head := mustHead(t, log)
	entry := mustRead(t, log, eventlog.Cursor{}, 1, "a").Entries[0]
	ahead := head.With(entry.Partition, entry.Offset+1_000_000_000)
	b := mustRead(t, log, ahead, 10, "a")
	wantGaps(t, b, eventlog.ErrRolledBack, "a")
	if len(b.Entries) != 0 || b.Next.String() != head.String() {
		t.Errorf("read %+v, want nothing and the head %v", b, head)
	}
}

func testIdempotency(t *testing.T, newLog Factory) {
	log := open(t, newLog, Config{})
	once := event("a", "1")
	once.IdempotencyKey = "order-7"
	first := mustAppend(t, log, once)[0]
	mustAppend(t, log, event("a", "2"))
	once.Data = []byte("1 again")
	again := mustAppend(t, log, once, event("a", "3"))
	if again[0].String() != first.String() {
		t.Errorf("the same key got %v, then %v", first, again[0])
	}
	elsewhere := event("b", "4")
	elsewhere.IdempotencyKey = once.IdempotencyKey
	mustAppend(t, log, elsewhere, elsewhere)
	wantData(t, mustRead(t, log, eventlog.Cursor{}, 10, "a"), "1", "2", "3")
	wantData(t, mustRead(t, log, eventlog.Cursor{}, 10, "b"), "4")
}

func testIdempotencyAtOnce(t *testing.T, newLog Factory) {
	log := open(t, newLog, Config{})
	const writers = 16
	got := make([]string, writers)
	var writing sync.WaitGroup
	for i := range writers {
		writing.Go(func() {
			once := event("t", fmt.Sprint("by ", i))
			once.IdempotencyKey = "k"
			cursors, err := log.Append(t.Context(), once, event("t", "beside"))
			if err != nil {
				t.Error(err)
				return
			}
			got[i] = cursors[0].String()
		})
	}
	writing.Wait()
	if all := slices.Compact(got); len(all) != 1 {
		t.Errorf("the same key got %q", all)
	}
	var stored []string
	for _, e := range mustRead(t, log, eventlog.Cursor{}, 100, "t").Entries {
		if text := string(e.Event().Data); text != "beside" {
			stored = append(stored, e.At(mustHead(t, log).Epoch()).String())
		}
	}
	if !slices.Equal(stored, got[:1]) {
		t.Errorf("stored at %q, told %q", stored, got[0])
	}
}

func testBadEvents(t *testing.T, newLog Factory) {
	log := open(t, newLog, Config{})
	bad := map[string]eventlog.Event{
		"no topic":                 event("", "x"),
		"topic too long":           event(strings.Repeat("t", eventlog.MaxTopicBytes+1), "x"),
		"topic with a line end":    event("a\nb", "x"),
		"topic with NUL":           event("a\x00", "x"),
		"topic that isn't UTF-8":   event("a\xff", "x"),
		"name with a line end":     {Topic: "t", Name: "a\nb"},
		"name with CR":             {Topic: "t", Name: "a\rb"},
		"name with NUL":            {Topic: "t", Name: "a\x00b"},
		"name that isn't UTF-8":    {Topic: "t", Name: "\xc3"},
		"data that isn't UTF-8":    event("t", "a\xffb"),
		"key too long":             {Topic: "t", Key: strings.Repeat("k", eventlog.MaxTopicBytes+1)},
		"idempotency key too long": {Topic: "t", IdempotencyKey: strings.Repeat("k", eventlog.MaxTopicBytes+1)},
	}
	for name, e := range bad {
		_, err := log.Append(t.Context(), event("t", "good"), e)
		var at *eventlog.EventError
		if !errors.Is(err, eventlog.ErrInvalid) || !errors.As(err, &at) || at.Index != 1 {
			t.Errorf("%s: %v, want ErrInvalid of event 1", name, err)
		}
	}
	wantData(t, mustRead(t, log, eventlog.Cursor{}, 10, "t"))
}

func testTooLarge(t *testing.T, newLog Factory) {
	log := open(t, newLog, Config{MaxEventBytes: 1000})
	for _, big := range []string{strings.Repeat("x", 1001), strings.Repeat("\n", 999)} {
		if _, err := log.Append(t.Context(), event("t", "small"), event("t", big)); !errors.Is(err, eventlog.ErrTooLarge) {
			t.Errorf("%d bytes: %v, want ErrTooLarge", len(big), err)
		}
	}
	wantData(t, mustRead(t, log, eventlog.Cursor{}, 10, "t"))
	mustAppend(t, log, event("t", strings.Repeat("x", 900)))
}

func testOwnership(t *testing.T, newLog Factory) {
	log := open(t, newLog, Config{})
	mine := []byte("mine")
	mustAppend(t, log, eventlog.Event{Topic: "t", Data: mine})
	before := mustRead(t, log, eventlog.Cursor{}, 1, "t").Entries[0]
	frame := string(before.Frame)
	copy(mine, "gone")
	for range 200 {
		mustAppend(t, log, eventlog.Event{Topic: "t", Data: mine})
	}
	if string(before.Frame) != frame {
		t.Errorf("frame changed from %q to %q", frame, before.Frame)
	}
	entries := mustRead(t, log, eventlog.Cursor{}, 1000, "t").Entries
	var frames []string
	for _, e := range entries {
		frames = append(frames, string(e.Frame))
	}
	for _, e := range entries {
		if grown := append(e.Frame, "over what stands behind"...); len(grown) == 0 {
			t.Fatal("unreachable")
		}
	}
	for i, e := range mustRead(t, log, eventlog.Cursor{}, 1000, "t").Entries {
		if string(e.Frame) != frames[i] {
			t.Errorf("frame %q was overwritten with %q", frames[i], e.Frame)
		}
	}
	wantData(t, mustRead(t, log, eventlog.Cursor{}, 2, "t"), "mine", "gone")
}

func testCancelled(t *testing.T, newLog Factory) {
	log := open(t, newLog, Config{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err1 := log.Append(ctx, event("t", "x"))
	_, err2 := log.Read(ctx, []string{"t"}, eventlog.Cursor{}, 1)
	_, err3 := log.Head(ctx)
	err4 := log.Watch(ctx, func(string) {})
	for i, err := range []error{err1, err2, err3, err4} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("call %d: %v, want context.Canceled", i+1, err)
		}
	}
	wantData(t, mustRead(t, log, eventlog.Cursor{}, 10, "t"))
}

func testClosed(t *testing.T, newLog Factory) {
	log := open(t, newLog, Config{})
	mustAppend(t, log, event("t", "x"))
	wakes, watched := make(chan string, 10), make(chan error, 1)
	go func() { watched <- log.Watch(t.Context(), func(topic string) { wakes <- topic }) }()
	waitWake(t, wakes, "")
	if err := log.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
	_, err1 := log.Append(t.Context(), event("t", "x"))
	_, err2 := log.Read(t.Context(), []string{"t"}, eventlog.Cursor{}, 1)
	_, err3 := log.Head(t.Context())
	err4 := log.Watch(t.Context(), func(string) {})
	for i, err := range []error{err1, err2, err3, err4, receive(t, watched), log.Close()} {
		if !errors.Is(err, eventlog.ErrClosed) {
			t.Errorf("call %d: %v, want ErrClosed", i+1, err)
		}
	}
}

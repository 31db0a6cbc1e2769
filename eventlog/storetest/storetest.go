// Package storetest is the contract of eventlog.Store as tests. A store's own test is a few lines, beside logtest for its Replica:
//
//	func TestStore(t *testing.T) {
//		storetest.Run(t, func(t *testing.T, c storetest.Config) storetest.Store {
//			path := filepath.Join(t.TempDir(), "log.db")
//			return storetest.Store{Store: open(t, path, c), Again: func(t *testing.T) eventlog.Store { return open(t, path, c) }}
//		})
//	}
package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/buffkit/buffkit/eventlog"
)

// Config is what a test needs of the store it is given.
type Config struct {
	Retention eventlog.Retention // of every topic
}

// Store is what a test works with.
type Store struct {
	eventlog.Store
	// Again opens the same store once more, as another node does. Nil for a store that can't be shared.
	Again func(t *testing.T) eventlog.Store
}

// Factory returns an empty store, which the suite closes, as it does what Again returns. Calls overlap.
type Factory func(t *testing.T, c Config) Store

// patience is how long something that must happen may take, on the slowest machine and store.
const patience = 30 * time.Second

// Run runs the suite.
func Run(t *testing.T, newStore Factory) {
	tests := []struct {
		name string
		test func(t *testing.T, newStore Factory)
	}{
		{"offsets rise and each record names the ones before it", testPositions},
		{"a record comes back as it was", testBytes},
		{"history reads any range of a topic", testRanges},
		{"history is within the retention at once and says what is gone", testTrimmed},
		{"an idempotency key is stored once", testIdempotency},
		{"tail begins at the head, or behind its cursor", testTailFrom},
		{"tail says something each second", testTailIsAlive},
		{"tail returns next's error", testTailStops},
		{"what tail and history return is the callee's to keep", testOwnership},
		{"concurrent writers: visible in offset order, each once", testConcurrency},
		{"what is superseded has a new epoch, one for all who ask", testSupersede},
		{"what one node stores, another sees", testNodes},
		{"a cancelled context stops every call, and nothing is stored", testCancelled},
		{"a closed store says so", testClosed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.test(t, newStore)
		})
	}
}

func open(t *testing.T, newStore Factory, c Config) Store {
	t.Helper()
	store := newStore(t, c)
	closeAtEnd(t, store)
	if again := store.Again; again != nil {
		store.Again = func(t *testing.T) eventlog.Store {
			t.Helper()
			another := again(t)
			closeAtEnd(t, another)
			return another
		}
	}
	return store
}

func closeAtEnd(t *testing.T, store eventlog.Store) {
	t.Cleanup(func() {
		if err := store.Close(); err != nil && !errors.Is(err, eventlog.ErrClosed) {
			t.Errorf("Close: %v", err)
		}
	})
}

func record(topic string, n int) eventlog.Record {
	return eventlog.Record{Topic: topic, Body: fmt.Appendf(nil, "data: %d\n\n", n)}
}

func series(topic string, n int) []eventlog.Record {
	records := make([]eventlog.Record, n)
	for i := range records {
		records[i] = record(topic, i)
	}
	return records
}

func mustAppend(t *testing.T, store eventlog.Store, records ...eventlog.Record) uint64 {
	t.Helper()
	epoch, err := store.Append(t.Context(), records)
	if err != nil {
		t.Fatalf("Append: %v", err)
	}
	if epoch == 0 {
		t.Fatal("Append returned no epoch")
	}
	return epoch
}

func mustHistory(t *testing.T, store eventlog.Store, asked eventlog.Range) eventlog.History {
	t.Helper()
	h, err := store.History(t.Context(), asked)
	if err != nil {
		t.Fatalf("History of %+v: %v", asked, err)
	}
	return h
}

// headOf is the head that the first page of a Tail names.
func headOf(t *testing.T, store eventlog.Store) eventlog.Cursor {
	t.Helper()
	enough := errors.New("enough")
	var page eventlog.Page
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	err := store.Tail(ctx, eventlog.Cursor{}, func(p eventlog.Page) error { page = p; return enough })
	if !errors.Is(err, enough) {
		t.Fatalf("Tail: %v, want the error of next", err)
	}
	if len(page.Records) > 0 {
		t.Fatalf("Tail from the zero Cursor sent %d records first, want only the head", len(page.Records))
	}
	if page.Epoch == 0 || page.Head.Epoch() != page.Epoch {
		t.Fatalf("the first page has the epoch %d and the head %v", page.Epoch, page.Head)
	}
	return page.Head
}

// tailer follows a store and checks what it is sent.
type tailer struct {
	t       *testing.T
	pages   chan eventlog.Page
	done    chan error
	last    map[uint32]eventlog.Offset
	inTopic map[string]eventlog.Offset
}

// follow begins to tail behind a cursor, and returns when the first page is there.
func follow(t *testing.T, ctx context.Context, store eventlog.Store, after eventlog.Cursor) *tailer {
	t.Helper()
	f := &tailer{
		t: t, pages: make(chan eventlog.Page, 1000), done: make(chan error, 1),
		last: map[uint32]eventlog.Offset{}, inTopic: map[string]eventlog.Offset{},
	}
	if !after.IsZero() {
		f.last[0] = after.At(0)
	}
	go func() {
		f.done <- store.Tail(ctx, after, func(p eventlog.Page) error {
			select {
			case f.pages <- p:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	}()
	return f
}

// page returns the next page, in which everything must be in order.
func (f *tailer) page() eventlog.Page {
	f.t.Helper()
	var p eventlog.Page
	select {
	case p = <-f.pages:
	case err := <-f.done:
		f.t.Fatalf("Tail ended: %v", err)
	case <-time.After(patience):
		f.t.Fatalf("no page within %v", patience)
	}
	for _, r := range p.Records {
		f.check(r)
	}
	for _, r := range p.Records {
		if head := p.Head.At(r.Partition); head < f.last[r.Partition] {
			f.t.Fatalf("the head of a page is %d, its last record %d", head, f.last[r.Partition])
		}
	}
	return p
}

func (f *tailer) check(r eventlog.Record) {
	f.t.Helper()
	last, known := f.last[r.Partition]
	if r.Offset <= last {
		f.t.Fatalf("offset %d came after %d", r.Offset, last)
	}
	if known && r.Chain != last {
		f.t.Fatalf("record %d names %d before it, but %d came", r.Offset, r.Chain, last)
	}
	if prev, known := f.inTopic[r.Topic]; known && r.Prev != prev {
		f.t.Fatalf("record %d of %s names %d before it in its topic, but %d came", r.Offset, r.Topic, r.Prev, prev)
	}
	f.last[r.Partition], f.inTopic[r.Topic] = r.Offset, r.Offset
}

// records returns the next n records.
func (f *tailer) records(n int) (all []eventlog.Record) {
	f.t.Helper()
	for deadline := time.Now().Add(patience); len(all) < n; {
		all = append(all, f.page().Records...)
		if time.Now().After(deadline) {
			f.t.Fatalf("%d of %d records came within %v", len(all), n, patience)
		}
	}
	if len(all) > n {
		f.t.Fatalf("%d records came, want %d", len(all), n)
	}
	return all
}

// end waits for the Tail to return.
func (f *tailer) end() error {
	f.t.Helper()
	select {
	case err := <-f.done:
		return err
	case <-time.After(patience):
		f.t.Fatalf("Tail didn't end within %v", patience)
		return nil
	}
}

func bodies(records []eventlog.Record) string {
	var all []string
	for _, r := range records {
		all = append(all, strings.TrimSuffix(strings.TrimPrefix(string(r.Body), "data: "), "\n\n"))
	}
	return strings.Join(all, " ")
}

func offsets(records []eventlog.Record) (all []eventlog.Offset) {
	for _, r := range records {
		all = append(all, r.Offset)
	}
	return all
}

func testPositions(t *testing.T, newStore Factory) {
	store := open(t, newStore, Config{})
	start := headOf(t, store)
	before := eventlog.Offset(time.Now().Add(-time.Minute).UnixMicro())
	first, second := append(series("a", 2), record("b", 2)), series("a", 1)
	epoch := mustAppend(t, store, first...)
	if again := mustAppend(t, store, second...); again != epoch || epoch != start.Epoch() {
		t.Errorf("epochs %d, %d, %d: want one", start.Epoch(), epoch, again)
	}
	all := append(slices.Clone(first), second...)
	want := [][2]eventlog.Offset{{start.At(0), 0}, {all[0].Offset, all[0].Offset}, {all[1].Offset, 0}, {all[2].Offset, all[1].Offset}}
	for i, r := range all {
		if r.Offset <= start.At(r.Partition) || i > 0 && r.Offset <= all[i-1].Offset && r.Partition == all[i-1].Partition {
			t.Errorf("record %d has the offset %d, after %v", i, r.Offset, start)
		}
		if r.Offset < before {
			t.Errorf("offset %d is the time %v, want about now", r.Offset, r.Offset.Time())
		}
		if r.Prev != want[i][1] || r.Chain != want[i][0] || r.Repeated {
			t.Errorf("record %d names %d before it and %d in its topic, want %v; repeated: %v", i, r.Chain, r.Prev, want[i], r.Repeated)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	tailed := follow(t, ctx, store, start).records(len(all))
	for i, r := range tailed {
		if r.Topic != all[i].Topic || r.Offset != all[i].Offset || r.Prev != all[i].Prev || r.Chain != all[i].Chain || string(r.Body) != string(all[i].Body) {
			t.Errorf("tailed %+v, appended %+v", r, all[i])
		}
	}
	h := mustHistory(t, store, eventlog.Range{Topic: "a", Max: 10})
	for i, r := range h.Records {
		if same := []eventlog.Record{all[0], all[1], all[3]}[i]; r.Offset != same.Offset || r.Prev != same.Prev || r.Topic != "a" {
			t.Errorf("history has %+v, appended was %+v", r, same)
		}
	}
	if len(h.Records) != 3 || h.Epoch != epoch || h.Trimmed != 0 {
		t.Errorf("history: %+v", h)
	}
	if head := headOf(t, store); head.At(0) != all[3].Offset {
		t.Errorf("the head is %v, the newest %d", head, all[3].Offset)
	}
}

func testBytes(t *testing.T, newStore Factory) {
	store := open(t, newStore, Config{})
	start := headOf(t, store)
	var any [256]byte
	for i := range any {
		any[i] = byte(i)
	}
	all := []eventlog.Record{
		{Topic: "Ünïcödé/✓", Key: "k'\"\\%_", Body: []byte("data: x\n\n")},
		{Topic: "t'; --", Body: append([]byte{0xff, 0}, any[:]...)},
		{Topic: strings.Repeat("t", eventlog.MaxTopicBytes), Key: strings.Repeat("k", eventlog.MaxTopicBytes), Body: []byte("\n")},
		{Topic: "large", Body: slices.Repeat(any[:], 4096)},
	}
	mustAppend(t, store, all...)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for i, r := range follow(t, ctx, store, start).records(len(all)) {
		h := mustHistory(t, store, eventlog.Range{Topic: all[i].Topic, Max: 2})
		if len(h.Records) != 1 {
			t.Fatalf("history of %.20q has %d records", all[i].Topic, len(h.Records))
		}
		for how, got := range map[string]eventlog.Record{"tail": r, "history": h.Records[0]} {
			if got.Topic != all[i].Topic || got.Key != all[i].Key || string(got.Body) != string(all[i].Body) {
				t.Errorf("%s: record %d of %.20q came back as another", how, i, all[i].Topic)
			}
		}
	}
	if h := mustHistory(t, store, eventlog.Range{Topic: "ÜNÏCÖDÉ/✓", Max: 1}); len(h.Records) > 0 {
		t.Error("topics that differ in case are one")
	}
}

func testRanges(t *testing.T, newStore Factory) {
	store := open(t, newStore, Config{})
	all := series("t", 10)
	for i := range all {
		mustAppend(t, store, record("other", i))
		mustAppend(t, store, all[i:i+1]...)
	}
	for _, tt := range []struct {
		asked eventlog.Range
		want  string
	}{
		{eventlog.Range{Max: 100}, "0 1 2 3 4 5 6 7 8 9"},
		{eventlog.Range{Max: 3}, "0 1 2"},
		{eventlog.Range{Max: 3, Newest: true}, "7 8 9"},
		{eventlog.Range{After: all[4].Offset, Max: 2}, "5 6"},
		{eventlog.Range{After: all[4].Offset - 1, Max: 2}, "4 5"},
		{eventlog.Range{After: all[4].Offset, Until: all[6].Offset, Max: 9}, "5 6"},
		{eventlog.Range{Until: all[3].Offset, Max: 2, Newest: true}, "2 3"},
		{eventlog.Range{Until: all[3].Offset - 1, Max: 2, Newest: true}, "1 2"},
		{eventlog.Range{After: all[9].Offset, Max: 1}, ""},
	} {
		tt.asked.Topic = "t"
		if got := bodies(mustHistory(t, store, tt.asked).Records); got != tt.want {
			t.Errorf("%+v: %q, want %q", tt.asked, got, tt.want)
		}
	}
	if h := mustHistory(t, store, eventlog.Range{Topic: "nobody was here", Max: 5}); len(h.Records) > 0 || h.Trimmed != 0 || h.Epoch == 0 {
		t.Errorf("a topic that never was: %+v", h)
	}
	big := mustHistory(t, store, eventlog.Range{Topic: "t", Max: 5, Newest: true, Bytes: 1})
	if n := len(big.Records); n == 0 || big.Records[n-1].Offset != all[9].Offset {
		t.Errorf("with few bytes wanted: %d records", n)
	}
}

func testTrimmed(t *testing.T, newStore Factory) {
	store := open(t, newStore, Config{Retention: eventlog.Retention{Count: 3}})
	quiet, busy := series("quiet", 1), series("busy", 50)
	mustAppend(t, store, quiet...)
	for i := range busy {
		mustAppend(t, store, busy[i:i+1]...)
		kept := busy[max(0, i-2) : i+1]
		h := mustHistory(t, store, eventlog.Range{Topic: "busy", Max: 100})
		if !slices.Equal(offsets(h.Records), offsets(kept)) {
			t.Fatalf("after %d: %d are kept, want 3 at most", i, len(h.Records))
		}
		if gone := kept[0].Prev; h.Records[0].Prev != gone || h.Trimmed < gone || h.Trimmed >= kept[0].Offset {
			t.Fatalf("after %d: trimmed up to %d, want %d; the first kept is %d and names %d", i, h.Trimmed, gone, kept[0].Offset, h.Records[0].Prev)
		}
	}
	part := mustHistory(t, store, eventlog.Range{Topic: "busy", After: busy[0].Offset, Until: busy[48].Offset, Max: 1})
	if !slices.Equal(offsets(part.Records), offsets(busy[47:48])) || part.Trimmed < busy[46].Offset {
		t.Errorf("a part of it: %+v", part)
	}
	for i, r := range busy { // what a Replica asks that has met this one last
		h := mustHistory(t, store, eventlog.Range{Topic: "busy", After: r.Offset - 1, Until: r.Offset, Max: 1})
		if i >= 47 && (len(h.Records) != 1 || h.Records[0].Offset != r.Offset) || i < 47 && (len(h.Records) > 0 || h.Trimmed < r.Offset) {
			t.Errorf("the place of %d of 50 alone: %+v", i, h)
		}
	}
	if h := mustHistory(t, store, eventlog.Range{Topic: "quiet", Max: 100}); len(h.Records) != 1 || h.Trimmed != 0 {
		t.Errorf("a quiet topic beside it: %+v", h)
	}
}

func testIdempotency(t *testing.T, newStore Factory) {
	store := open(t, newStore, Config{})
	once := record("t", 1)
	once.IdempotencyKey = "order-7"
	first := []eventlog.Record{once, record("t", 2), once}
	mustAppend(t, store, first...)
	if !first[2].Repeated || first[2].Offset != first[0].Offset || first[0].Repeated {
		t.Errorf("in one call: %+v", first)
	}
	later := []eventlog.Record{record("t", 3), once}
	mustAppend(t, store, later...)
	if !later[1].Repeated || later[1].Offset != first[0].Offset || later[0].Prev != first[1].Offset || later[0].Chain != first[1].Offset {
		t.Errorf("in a later one: %+v, %+v", first, later)
	}
	elsewhere := once
	elsewhere.Topic = "u"
	other := []eventlog.Record{elsewhere}
	mustAppend(t, store, other...)
	if other[0].Repeated {
		t.Error("the same key on another topic is a repeat")
	}
	if got := bodies(mustHistory(t, store, eventlog.Range{Topic: "t", Max: 9}).Records); got != "1 2 3" {
		t.Errorf("stored: %q", got)
	}
}

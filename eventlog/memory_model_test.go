package eventlog_test

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/buffkit/buffkit/eventlog"
)

// TestMemoryAgainstAModel does the same random things to a Memory and to plain slices, and compares them at each step.
func TestMemoryAgainstAModel(t *testing.T) {
	t.Parallel()
	for name, opts := range modelOptions {
		for seed := range uint64(3) {
			t.Run(fmt.Sprintf("%s/%d", name, seed), func(t *testing.T) {
				t.Parallel()
				script := make([]byte, 4000) // about a thousand steps
				if raceDetector {
					script = script[:1000]
				}
				random := rand.New(rand.NewPCG(seed, 0))
				for i := range script {
					script[i] = byte(random.Uint32())
				}
				synctest.Test(t, func(t *testing.T) { runModel(t, opts, script) })
			})
		}
	}
}

// FuzzMemory is the model test with steps that the fuzzer thinks of.
func FuzzMemory(f *testing.F) {
	names := slices.Sorted(func(yield func(string) bool) {
		for name := range modelOptions {
			if !yield(name) {
				return
			}
		}
	})
	for i := range names {
		f.Add(uint8(i), []byte("\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09some steps, any steps will do \xff\xfe\xfd\xfc"))
	}
	f.Fuzz(func(t *testing.T, options uint8, script []byte) {
		if len(script) > 2000 {
			t.Skip("shorter scripts find the same")
		}
		opts := modelOptions[names[int(options)%len(names)]]
		synctest.Test(t, func(t *testing.T) { runModel(t, opts, script) })
	})
}

// modelOptions squeeze each limit. Retention is exact in the model. MaxBytes isn't: what it evicts is only held to be told.
var modelOptions = map[string]eventlog.MemoryOptions{
	"defaults":      {},
	"count":         {Retention: eventlog.Retention{Count: 5}},
	"state":         {Retention: eventlog.Retention{Count: 1, Age: 20 * time.Second}},
	"bytes":         {Retention: eventlog.Retention{Bytes: 2000}},
	"age":           {Retention: eventlog.Retention{Age: 10 * time.Second}, IdempotencyWindow: 30 * time.Second},
	"few topics":    {MaxTopics: 4, Retention: eventlog.Retention{Age: 5 * time.Second, Count: 20}},
	"budget":        {MaxBytes: 20_000, IdempotencyWindow: time.Second},
	"small budget":  {MaxBytes: 4_000, IdempotencyWindow: 3 * time.Second},
	"tiny budget":   {MaxBytes: 1_000, IdempotencyWindow: 5 * time.Second},
	"few of budget": {MaxBytes: 6_000, MaxTopics: 5, Retention: eventlog.Retention{Age: 7 * time.Second, Count: 9}, MaxEventBytes: 900},
}

type modelEvent struct {
	offset eventlog.Offset
	prev   eventlog.Offset
	key    string
	data   string
	size   int64
}

type modelTopic struct {
	all  []modelEvent // ever published
	kept int          // how many of them, the newest, retention keeps
}

func (t *modelTopic) live() []modelEvent { return t.all[len(t.all)-t.kept:] }

type modelKey struct {
	at     eventlog.Offset
	offset eventlog.Offset
}

// model is a log as plain slices.
type model struct {
	t       *testing.T
	log     *eventlog.Memory
	opts    eventlog.MemoryOptions
	keep    eventlog.Retention
	start   time.Time
	topics  map[string]*modelTopic
	keys    map[[2]string]modelKey
	cursors []eventlog.Cursor // that were handed out
	newest  eventlog.Offset
	n       int
	inexact bool // MaxBytes may evict, too
	forgets bool // MaxTopics or MaxBytes may make it forget topics
	spots   map[string]eventlog.Spot
}

var modelNames = []string{"a", "b", "c", "d", "e", "f", "g", strings.Repeat("long", 50)}

func runModel(t *testing.T, opts eventlog.MemoryOptions, script []byte) {
	log := eventlog.NewMemory(&opts)
	defer log.Close()
	m := &model{
		t: t, log: log, opts: opts, start: time.Now(), topics: map[string]*modelTopic{}, keys: map[[2]string]modelKey{},
		keep:    eventlog.Retention{Count: eventlog.DefaultRetentionCount, Bytes: eventlog.DefaultRetentionBytes, Age: eventlog.DefaultRetentionAge},
		inexact: opts.MaxBytes > 0, forgets: opts.MaxBytes > 0 || opts.MaxTopics > 0,
		cursors: []eventlog.Cursor{{}}, spots: map[string]eventlog.Spot{},
	}
	for _, name := range modelNames {
		m.topics[name] = &modelTopic{}
	}
	if opts.Retention.Count > 0 {
		m.keep.Count = opts.Retention.Count
	}
	if opts.Retention.Bytes > 0 {
		m.keep.Bytes = opts.Retention.Bytes
	}
	if opts.Retention.Age > 0 {
		m.keep.Age = opts.Retention.Age
	}
	steps := &steps{script}
	for !steps.done() {
		m.step(steps)
		if err := log.Check(); err != nil {
			t.Fatalf("after %d bytes of script: %v", len(script)-len(steps.left), err)
		}
	}
	for _, after := range m.cursors {
		m.read(after, modelNames, 1<<20)
	}
}

// steps deals out a script, and 0 when it is over.
type steps struct{ left []byte }

func (s *steps) done() bool { return len(s.left) == 0 }

func (s *steps) next(n int) int {
	if s.done() {
		return 0
	}
	b := s.left[0]
	s.left = s.left[1:]
	return int(b) % n
}

func (m *model) step(s *steps) {
	switch s.next(8) {
	case 0, 1, 2:
		m.append(m.event(s))
	case 3:
		events := make([]eventlog.Event, s.next(12))
		for i := range events {
			events[i] = m.event(s)
		}
		m.append(events...)
	case 4, 5:
		topics := make([]string, s.next(5))
		for i := range topics {
			topics[i] = modelNames[s.next(len(modelNames))]
		}
		m.read(m.cursors[s.next(len(m.cursors))], topics, s.next(20))
	case 6:
		m.sleep([]time.Duration{time.Microsecond, 100 * time.Millisecond, time.Second, 5 * time.Second, 11 * time.Second, time.Minute}[s.next(6)])
	case 7:
		head, err := m.log.Head(m.t.Context())
		if err != nil || head.At(0) != m.newest {
			m.t.Fatalf("Head is %v, %v; want %d", head, err, m.newest)
		}
		m.remember(head)
	}
}

func (m *model) remember(c eventlog.Cursor) {
	if len(m.cursors) >= 200 {
		m.cursors = slices.Delete(m.cursors, 1, 2) // the zero Cursor stays
	}
	m.cursors = append(m.cursors, c)
}

func (m *model) event(s *steps) eventlog.Event {
	m.n++
	e := eventlog.Event{Topic: modelNames[s.next(len(modelNames))]}
	size := []int{0, 1, 30, 200, 800, 3000}[s.next(6)]
	e.Data = fmt.Appendf(nil, "%d %s", m.n, strings.Repeat("x", size))
	switch s.next(8) {
	case 0:
		e.Key = fmt.Sprint("key", s.next(3))
	case 1:
		e.IdempotencyKey = fmt.Sprint("once", s.next(5))
	}
	return e
}

// size returns what the event takes on the wire, with the longest id.
func (m *model) size(e eventlog.Event, offset eventlog.Offset, epoch uint64) int64 {
	return int64(len(e.Key) + len(fmt.Sprintf("id: %s\ndata: %s\n\n", eventlog.NewCursor(epoch, offset), e.Data)))
}

func (m *model) append(events ...eventlog.Event) {
	cursors, err := m.log.Append(m.t.Context(), events...)
	now := eventlog.Offset(time.Now().UnixMicro())
	m.expireKeys(now)
	switch {
	case errors.Is(err, eventlog.ErrTooLarge):
		if m.opts.MaxEventBytes == 0 {
			m.t.Fatal(err)
		}
		return
	case errors.Is(err, eventlog.ErrFull):
		m.checkFull(err, events)
		return
	case err != nil || len(cursors) != len(events):
		m.t.Fatalf("Append: %d cursors of %d events, %v", len(cursors), len(events), err)
	}
	for i, e := range events {
		m.store(e, cursors[i], now)
	}
	if len(events) > 0 {
		m.checkNewestIsKept()
	}
}

func (m *model) expireKeys(now eventlog.Offset) {
	window := m.opts.IdempotencyWindow
	if window == 0 {
		window = eventlog.DefaultIdempotency
	}
	for key, k := range m.keys {
		if k.at+eventlog.Offset(window/time.Microsecond) < now {
			delete(m.keys, key)
		}
	}
}

func (m *model) store(e eventlog.Event, at eventlog.Cursor, now eventlog.Offset) {
	m.remember(at)
	offset := at.At(0)
	if e.IdempotencyKey != "" {
		id := [2]string{e.Topic, e.IdempotencyKey}
		if k, repeat := m.keys[id]; repeat {
			if offset != k.offset {
				m.t.Fatalf("repeat of %v got %d, want %d", id, offset, k.offset)
			}
			return
		}
		m.keys[id] = modelKey{now, offset}
	}
	if want := max(m.newest+1, now); offset != want {
		m.t.Fatalf("offset %d after %d at the time %d, want %d", offset, m.newest, now, want)
	}
	m.newest = offset
	t := m.topics[e.Topic]
	stored := modelEvent{offset: offset, key: e.Key, data: string(e.Data), size: m.size(e, offset, at.Epoch())}
	if n := len(t.all); n > 0 {
		stored.prev = t.all[n-1].offset
	}
	t.all = append(t.all, stored)
	t.kept++
	for t.kept > 1 && (t.kept > m.keep.Count || sizeOf(t.live()) > m.keep.Bytes) {
		t.kept--
	}
}

func sizeOf(events []modelEvent) (sum int64) {
	for _, e := range events {
		sum += e.size
	}
	return sum
}

// checkFull: an ErrFull must be one.
func (m *model) checkFull(err error, events []eventlog.Event) {
	live := map[string]bool{}
	for name, t := range m.topics {
		if t.kept > 0 {
			live[name] = true
		}
	}
	need, largest := int64(0), int64(0)
	for id := range m.keys {
		need += eventlog.IdempotencyBytes(&eventlog.Event{Topic: id[0], IdempotencyKey: id[1]})
	}
	for _, e := range events {
		live[e.Topic] = true
		size := m.size(e, m.newest, 1<<40-1)
		need += eventlog.IdempotencyBytes(&e) + size + 16
		largest = max(largest, eventlog.LoneTopicBytes(e.Topic, size+10))
	}
	tooManyTopics := m.opts.MaxTopics > 0 && len(live) > m.opts.MaxTopics
	tooManyBytes := m.opts.MaxBytes > 0 && need+largest > m.opts.MaxBytes
	if !tooManyTopics && !tooManyBytes {
		m.t.Fatalf("%v, with %d topics and %d bytes at most needed", err, len(live), need+largest)
	}
}

// checkNewestIsKept: nothing but age drops the newest event of all, however small the budget.
func (m *model) checkNewestIsKept() {
	for name, t := range m.topics {
		if n := len(t.all); t.kept > 0 && t.all[n-1].offset == m.newest && m.log.Dropped(name) >= m.newest {
			m.t.Fatalf("the newest event, %d of %s, was dropped at once", m.newest, name)
		}
	}
}

func (m *model) sleep(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
	swept := m.start.Add(time.Since(m.start).Truncate(time.Second)) // when the sweeper ran
	for _, t := range m.topics {
		for t.kept > 0 && t.live()[0].offset+eventlog.Offset(m.keep.Age/time.Microsecond) < eventlog.Offset(swept.UnixMicro()) {
			t.kept--
		}
	}
}

func (m *model) read(after eventlog.Cursor, topics []string, most int) {
	b, err := m.log.Read(m.t.Context(), topics, after, most)
	if err != nil {
		m.t.Fatal(err)
	}
	m.remember(b.Next)
	want, gaps := m.want(after, topics)
	for _, gap := range b.Gaps {
		if i := slices.Index(gaps, gap.Topic); i >= 0 {
			gaps = slices.Delete(gaps, i, i+1)
			continue
		}
		if !errors.Is(gap.Err, eventlog.ErrTrimmed) || !m.mayBeGap(after, gap.Topic) {
			m.t.Fatalf("Read of %q after %v told a gap of %s that is none: %v", topics, after, gap.Topic, gap.Err)
		}
		want = slices.DeleteFunc(want, func(e eventlog.Entry) bool { return e.Topic == gap.Topic })
	}
	if len(gaps) > 0 {
		m.t.Fatalf("Read of %q after %v told no gap of %q", topics, after, gaps)
	}
	m.compare(b, want, most, after.IsZero())
	if len(topics) > 0 {
		m.ask(after, topics, most, b)
	}
}

// ask reads again, by the spot where the first topic was the last time, however much has happened to that since.
func (m *model) ask(after eventlog.Cursor, topics []string, most int, want eventlog.Batch) {
	asks := []eventlog.Ask{{Topics: topics, After: after, Spot: m.spots[topics[0]]}}
	if err := m.log.ReadAll(m.t.Context(), asks, most); err != nil {
		m.t.Fatal(err)
	}
	m.spots[topics[0]] = asks[0].Spot
	if got := asks[0].Batch; !reflect.DeepEqual(got, want) {
		m.t.Fatalf("ReadAll of %q after %v: got %+v, want %+v", topics, after, got, want)
	}
}

// want returns what a Read must return if nothing was evicted, in full, and the topics that retention has trimmed.
func (m *model) want(after eventlog.Cursor, topics []string) (want []eventlog.Entry, gaps []string) {
	seen := map[string]bool{}
	for _, name := range topics {
		if seen[name] {
			continue
		}
		seen[name] = true
		t := m.topics[name]
		dropped := t.all[:len(t.all)-t.kept]
		if n := len(dropped); n > 0 && dropped[n-1].offset > after.At(0) && !after.IsZero() {
			gaps = append(gaps, name)
			continue
		}
		for _, e := range t.live() {
			if e.offset > after.At(0) {
				want = append(want, eventlog.Entry{Topic: name, Offset: e.offset, Prev: e.prev, Key: e.key, Frame: []byte(e.data)})
			}
		}
	}
	slices.SortFunc(want, func(a, b eventlog.Entry) int { return cmp.Compare(a.Offset, b.Offset) })
	return want, gaps
}

// mayBeGap tells whether a gap may be told of a topic that retention hasn't trimmed.
func (m *model) mayBeGap(after eventlog.Cursor, topic string) bool {
	switch dropped := m.log.Dropped(topic); {
	case after.At(0) >= dropped:
		return false
	case m.inexact:
		return true
	default: // only a topic that may have been forgotten
		return m.forgets && (m.topics[topic].kept == 0 || m.topics[topic].live()[0].offset > dropped)
	}
}

func (m *model) compare(b eventlog.Batch, want []eventlog.Entry, most int, all bool) {
	if all && m.inexact { // a reader from the very beginning gets what is left
		want = slices.DeleteFunc(want, func(e eventlog.Entry) bool { return e.Offset <= m.log.Dropped(e.Topic) })
	}
	if b.Behind != len(want) || len(b.Entries) != min(len(want), max(most, 1)) {
		m.t.Fatalf("read %d entries of %d behind, want up to %d of %d", len(b.Entries), b.Behind, most, len(want))
	}
	for i, got := range b.Entries {
		w := want[i]
		prevOK := got.Prev == w.Prev || m.forgets && got.Prev > w.Prev && got.Prev < got.Offset
		if got.Topic != w.Topic || got.Offset != w.Offset || got.Key != w.Key || !prevOK || string(got.Event().Data) != string(w.Frame) {
			m.t.Fatalf("entry %d is %+v, want %+v", i, got, w)
		}
	}
	next := m.newest
	if len(b.Entries) < len(want) {
		next = b.Entries[len(b.Entries)-1].Offset
	}
	if b.Next.At(0) != next {
		m.t.Fatalf("Next is %v, want %d", b.Next, next)
	}
}

package oracle

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/buffkit/buffkit/client"
	"github.com/buffkit/buffkit/eventlog"
	"github.com/buffkit/buffkit/push"
)

// place is a position in the log. The zero place is none.
type place struct {
	epoch  uint64
	offset eventlog.Offset
}

func parsePlace(id string) (place, error) {
	c, err := eventlog.ParseCursor(id)
	return place{c.Epoch(), c.At(0)}, err
}

func (p place) String() string {
	if p == (place{}) {
		return "nowhere"
	}
	return fmt.Sprintf("%s of %s", strconv.FormatUint(uint64(p.offset), 36), strconv.FormatUint(p.epoch, 36))
}

// outcome is what a publisher was told.
type outcome int

const (
	unknown      outcome = iota // stored or not
	acknowledged                // stored, at a place
	stored                      // stored, and the place wasn't told
	failed                      // an error that says that nothing was stored
	rolledBack                  // its transaction was
)

func (o outcome) String() string {
	return [...]string{"unknown", "acknowledged", "stored", "failed", "rolled back"}[o]
}

// event is one that somebody tried to publish. All times are since the run began.
type event struct {
	number  int // in the order of their beginnings; those of a batch follow one another
	topic   string
	batch   int // the number of its first
	tries   int
	began   time.Duration
	ended   time.Duration
	outcome outcome
	at      place  // of an acknowledged one
	answer  string // the error, "" without one
}

// ledger is what is known of a run. Its methods may be called at the same time.
type ledger struct {
	start  time.Time
	newest atomic.Uint64 // the epoch that was seen last

	mu        sync.RWMutex // guards what follows
	events    []*event     // each guarded by mu until it has ended
	followers []*follower
	epochs    []sighting
	losses    []*loss
	faults    []*incident
}

// sighting is when an epoch was first seen.
type sighting struct {
	epoch uint64
	at    time.Duration
}

// span is a time.
type span struct{ from, to time.Duration }

// loss is a time in which what was stored may have got lost. What was published and acknowledged within sure has got lost.
type loss struct {
	span
	sure span
}

// incident is a fault that happened.
type incident struct {
	span
	what string
}

func newLedger() *ledger { return &ledger{start: time.Now()} }

func (l *ledger) now() time.Duration { return time.Since(l.start) }

// begin records a batch that is about to be published.
func (l *ledger) begin(topics ...string) []*event {
	l.mu.Lock()
	defer l.mu.Unlock()
	batch, now := len(l.events), l.now()
	for i, topic := range topics {
		l.events = append(l.events, &event{number: batch + i, topic: topic, batch: batch, began: now})
	}
	return slices.Clone(l.events[batch:])
}

// count is how many have begun.
func (l *ledger) count() int {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return len(l.events)
}

func (l *ledger) end(events []*event, o outcome, places []place, tries int, answer string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, e := range events {
		e.ended, e.outcome, e.tries, e.answer = l.now(), o, tries, answer
		if o == acknowledged {
			e.at = places[i]
			l.sightLocked(e.at.epoch)
		}
	}
}

const stamp = "oracle "

// dataOf is what an event carries: its number, and enough more to see whether it arrived whole.
func dataOf(number int) []byte {
	return fmt.Appendf(nil, stamp+"%d %s", number, strings.Repeat(string(rune('a'+number%26)), number*37%250))
}

func numberOf(data []byte) (int, bool) {
	rest, _ := bytes.CutPrefix(data, []byte(stamp))
	digits, _, _ := bytes.Cut(rest, []byte(" "))
	number, err := strconv.Atoi(string(digits))
	return number, err == nil && bytes.Equal(data, dataOf(number))
}

func (l *ledger) topicOf(number int) (string, bool) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if number < 0 || number >= len(l.events) {
		return "", false
	}
	return l.events[number].topic, true
}

// sight notes an epoch that somebody has met.
func (l *ledger) sight(epoch uint64) {
	if epoch == 0 || l.newest.Load() == epoch {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sightLocked(epoch)
}

func (l *ledger) sightLocked(epoch uint64) {
	if !slices.ContainsFunc(l.epochs, func(s sighting) bool { return s.epoch == epoch }) {
		l.epochs = append(l.epochs, sighting{epoch, l.now()})
		l.newest.Store(epoch)
	}
}

// happens records a fault that begins. Call the function that it returns when it is over.
func (l *ledger) happens(format string, args ...any) (over func()) {
	i := &incident{span{from: l.now()}, fmt.Sprintf(format, args...)}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.faults = append(l.faults, i)
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		i.to = l.now()
	}
}

// loses records that from now on what is stored may get lost. All that is there already surely is, unless the caller says otherwise. Call the
// function that it returns when nothing can get lost any more, and every node knows of it.
func (l *ledger) loses() (lost *loss, over func()) {
	now := l.now()
	lost = &loss{span: span{now, math.MaxInt64}, sure: span{0, now}}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.losses = append(l.losses, lost)
	return lost, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		lost.to = l.now()
	}
}

// noteKind is what a client may notice.
type noteKind uint8

const (
	asks  noteKind = iota // a request leaves, with a cursor or without
	opens                 // buffkit.open
	told                  // buffkit.gap
	moves                 // a place came without an event
	gets                  // an event
)

// note is one thing that a client noticed.
type note struct {
	at     time.Duration
	place  place
	gaps   []client.Gap
	state  client.State
	number int32 // of an event
	kind   noteKind
}

func (n note) String() string {
	text := fmt.Sprintf("%9.3fs ", n.at.Seconds())
	switch n.kind {
	case asks:
		return text + "asks from " + n.place.String()
	case opens:
		return text + fmt.Sprintf("is told %s %v, at %v", n.state, n.gaps, n.place)
	case told:
		return text + fmt.Sprintf("is told the gaps %v", n.gaps)
	case moves:
		return text + "moves to " + n.place.String()
	}
	return text + fmt.Sprintf("gets %d at %v", n.number, n.place)
}

// follower is a client. Its methods record, in the order in which the client sees things, and don't overlap.
type follower struct {
	name   string
	raw    bool // it drops no repeats
	topics []string
	ledger *ledger

	mu     sync.Mutex // guards what follows
	notes  []note
	blames []violation
	last   map[string]int           // the number of the last event of each topic
	gapAt  map[string]time.Duration // when the last gap of each topic was told
}

func (l *ledger) follower(name string, raw bool, topics ...string) *follower {
	f := &follower{name: name, raw: raw, topics: topics, ledger: l, last: map[string]int{}, gapAt: map[string]time.Duration{}}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.followers = append(l.followers, f)
	return f
}

func (f *follower) add(n note) {
	n.at = f.ledger.now()
	f.ledger.sight(n.place.epoch)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.notes = append(f.notes, n)
	for _, g := range n.gaps {
		f.gapAt[g.Topic] = n.at
	}
}

// blame records what must not happen, whatever else does.
func (f *follower) blame(rule, format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.blames = append(f.blames, violation{rule: rule, follower: f, text: fmt.Sprintf(format, args...), at: f.ledger.now()})
}

// placed reads an id.
func (f *follower) placed(id string) place {
	p, err := parsePlace(id)
	if err != nil {
		f.blame("damaged", "the id %.100q isn't a cursor", id)
	}
	return p
}

func (f *follower) asks(cursor string) { f.add(note{kind: asks, place: f.placed(cursor)}) }

func (f *follower) opened(id string, state client.State, gaps []client.Gap) {
	f.add(note{kind: opens, place: f.placed(id), state: state, gaps: gaps})
}

func (f *follower) toldGap(gaps []client.Gap) { f.add(note{kind: told, gaps: gaps}) }

func (f *follower) moved(id string) { f.add(note{kind: moves, place: f.placed(id)}) }

func (f *follower) got(id string, data []byte) {
	number, whole := numberOf(data)
	topic, known := f.ledger.topicOf(number)
	switch {
	case !whole || !known || id == "":
		f.blame("damaged", "an event with the id %s and the data %.200q", id, data)
	case !slices.Contains(f.topics, topic):
		f.blame("damaged", "event %d is of the topic %s, which it doesn't follow", number, topic)
	default:
		f.add(note{kind: gets, place: f.placed(id), number: int32(number)})
		f.mu.Lock()
		defer f.mu.Unlock()
		f.last[topic] = number
	}
}

// hasCome tells whether the client has got the last event of a topic, or was told a gap that covers it.
func (f *follower) hasCome(last *event) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.last[last.topic] == last.number || f.gapAt[last.topic] > last.began
}

// resets tells whether the log may count from elsewhere after a gap.
func resets(g client.Gap) bool {
	return g.Reason == string(push.ReasonOtherLog) || g.Reason == string(push.ReasonRolledBack)
}

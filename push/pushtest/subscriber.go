package pushtest

import (
	"context"
	"fmt"
	"hash/maphash"
	"slices"
	"sync"

	"github.com/buffkit/buffkit/client"
	"github.com/buffkit/buffkit/eventlog"
	"github.com/buffkit/buffkit/push"
)

// Subscriber is one client as the oracle sees it: what it asked for, was told and received. Its methods record, in the order in
// which the client sees things; they don't overlap. A client of your own calls them; Follow and FollowStreams do it
// for the clients of this repository.
type Subscriber struct {
	// MaxBehind is how many events the subscriber's streams may lie behind before they are skipped to the newest
	// (push.SkipToLatest, push.Limits.MaxBehind). 0 means that they never are. Set it before the subscriber connects.
	MaxBehind int

	oracle *Oracle
	name   string
	topics []string

	mu       sync.Mutex // guards what follows
	changed  chan struct{}
	began    bool
	start    place           // where it began
	newest   eventlog.Cursor // how far it has come
	asked    string          // by the last request
	askedAt  int64           // when
	firstAt  int64           // when the first request left
	receipts []receipt
	openings []opening
	gaps     []gap
	faults   []Violation // seen at once
}

// place is a place in the log that may not be known: then it is when it was told.
type place struct {
	at      eventlog.Cursor
	earlier int64 // with a zero at: it isn't before what had been published then
	later   int64 // and not after what was begun later
}

// receipt is an event that the app saw.
type receipt struct {
	number int
	sum    uint64
	id     eventlog.Cursor
}

// opening is what a stream began with.
type opening struct {
	at      eventlog.Cursor // the cursor that was asked for, zero if there was none that can be read
	askedAt int64
	toldAt  int64
	open    client.Open
}

// gap is one topic of a told gap.
type gap struct {
	client.Gap
	at     eventlog.Cursor // the subscriber's
	asked  string          // what it was told for, of a gap at the beginning of a stream
	toldAt int64
	limit  eventlog.Cursor // where the stream went on, zero if it didn't say
	oldest eventlog.Cursor // the oldest event of the topic that the log then held, zero if it held none
	epoch  uint64          // of the log then
}

// Subscriber adds a subscriber of topics. Events of other topics that it receives are violations.
func (o *Oracle) Subscriber(name string, topics ...string) *Subscriber {
	s := &Subscriber{oracle: o, name: name, topics: slices.Clone(topics), changed: make(chan struct{}, 1)}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.subscribers = append(o.subscribers, s)
	return s
}

// Asks records that a request leaves, with the cursor that it carries, "" for none.
func (s *Subscriber) Asks(cursor string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked, s.askedAt = cursor, s.oracle.clock.Add(1)
	if s.firstAt == 0 {
		s.firstAt = s.askedAt
	}
	at, _ := eventlog.ParseCursor(cursor)
	if !s.began && !at.IsZero() {
		s.began, s.start, s.newest = true, place{at: at}, at
	}
	s.wentOnLocked(at)
}

// Told records buffkit.open, with its id, which is that of a fresh stream's place and else "".
func (s *Subscriber) Told(id string, open client.Open) {
	held := s.oracle.held(open.Gaps)
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.oracle.clock.Add(1)
	at, _ := eventlog.ParseCursor(s.asked)
	s.openings = append(s.openings, opening{at, s.askedAt, now, open})
	if open.State == client.Fresh && len(s.receipts) > 0 {
		s.faults = append(s.faults, Violation{WrongState, s.name, "", "told fresh, after it had received events: the cursor was forgotten"})
	} else if open.State == client.Fresh {
		start, _ := eventlog.ParseCursor(id)
		s.began, s.start, s.newest = true, place{start, s.askedAt, now}, start
	} else if !s.began { // resumed by its session, which began with some request before
		s.began, s.start = true, place{earlier: s.firstAt, later: now}
	}
	if at.IsZero() {
		at = s.newest
	}
	for i := range held {
		held[i].at, held[i].asked = at, s.asked
	}
	s.gapLocked(held, now)
}

// ToldGap records buffkit.gap.
func (s *Subscriber) ToldGap(gaps []client.Gap) {
	held := s.oracle.held(gaps)
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range held {
		held[i].at = s.newest
	}
	s.gapLocked(held, s.oracle.clock.Add(1))
}

// Moved records a cursor that came without an event: by a ping, or after a gap.
func (s *Subscriber) Moved(cursor string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, err := eventlog.ParseCursor(cursor)
	if err != nil || at.IsZero() {
		s.faults = append(s.faults, Violation{Damaged, s.name, "", fmt.Sprintf("a place that isn't a cursor: %.100q", cursor)})
		return
	}
	s.wentOnLocked(at)
	if at.Beyond(s.newest) {
		s.newest = at
	}
	s.notify()
}

// Received records an event that the app sees, after repeats were dropped, with its id or that of the event before.
func (s *Subscriber) Received(id string, data []byte) {
	number, ok := stampOf(data)
	if !ok {
		return // not the oracle's: a snapshot
	}
	sum := maphash.Bytes(s.oracle.seed, data)
	s.mu.Lock()
	defer s.mu.Unlock()
	at, err := eventlog.ParseCursor(id)
	if err != nil || at.IsZero() {
		s.faults = append(s.faults, Violation{Damaged, s.name, "", fmt.Sprintf("event number %d has the id %.100q, which isn't a cursor", number, id)})
		return
	}
	s.receipts = append(s.receipts, receipt{number, sum, at})
	s.newest = at
	s.notify()
}

func (s *Subscriber) gapLocked(gaps []gap, now int64) {
	for _, g := range gaps {
		g.toldAt = now
		s.gaps = append(s.gaps, g)
		if resets(g.Reason) {
			s.newest = eventlog.Cursor{}
		}
	}
	s.notify()
}

// resets tells whether the log may count from elsewhere after a gap with this reason, so that cursors before and after it can't be
// compared.
func resets(reason string) bool {
	return reason == string(push.ReasonOtherLog) || reason == string(push.ReasonRolledBack) || reason == string(push.ReasonUnreadable)
}

// wentOnLocked ends the gaps that are open at their end: the stream went on at a place.
func (s *Subscriber) wentOnLocked(at eventlog.Cursor) {
	for i := len(s.gaps) - 1; i >= 0 && s.gaps[i].limit.IsZero(); i-- {
		s.gaps[i].limit = at
	}
}

func (s *Subscriber) notify() {
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

// await waits until the subscriber has come to an event.
func (s *Subscriber) await(ctx context.Context, e *published) error {
	for {
		s.mu.Lock()
		there := s.began && (!e.at.Beyond(s.newest) || !s.dueLocked(e) || s.coveredLocked(e))
		s.mu.Unlock()
		if there {
			return nil
		}
		select {
		case <-s.changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// dueLocked tells whether an event lies beyond where the subscriber began. Where that isn't known, an event is due that was begun
// later, or that follows one that was received.
func (s *Subscriber) dueLocked(e *published) bool {
	if !s.start.at.IsZero() {
		return e.at.Beyond(s.start.at)
	}
	return e.began > s.start.later || len(s.receipts) > 0 && e.at.Beyond(s.receipts[0].id)
}

// coveredLocked tells whether a told gap covers an event.
func (s *Subscriber) coveredLocked(e *published) bool {
	for i := range s.gaps {
		if s.gaps[i].covers(e) {
			return true
		}
	}
	return false
}

func (g *gap) covers(e *published) bool {
	past := !g.limit.IsZero() && g.limit.Epoch() == e.at.Epoch() && e.at.Beyond(g.limit)
	return g.Topic == e.topic && e.began < g.toldAt && e.at.Beyond(g.at) && !past
}

// held asks the log what it holds of topics that are said to have a gap.
func (o *Oracle) held(told []client.Gap) []gap {
	if len(told) == 0 {
		return nil
	}
	gaps := make([]gap, len(told))
	ctx := context.Background()
	head, err := o.log.Head(ctx)
	for i := range gaps {
		gaps[i].Gap, gaps[i].epoch = told[i], head.Epoch()
		if err != nil {
			continue
		}
		if b, err := o.log.Read(ctx, []string{told[i].Topic}, eventlog.Cursor{}, 1); err == nil && len(b.Entries) > 0 {
			gaps[i].oldest = b.Entries[0].At(head.Epoch())
		}
	}
	return gaps
}

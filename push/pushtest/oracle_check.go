package pushtest

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/buffkit/buffkit/client"
	"github.com/buffkit/buffkit/eventlog"
	"github.com/buffkit/buffkit/push"
)

// Kind says what was broken.
type Kind string

// What can be broken.
const (
	Lost         Kind = "lost"          // due, never received, and not covered by a told gap
	Doubled      Kind = "doubled"       // received again, although repeats were dropped
	OutOfOrder   Kind = "out of order"  // received after a later event of its topic
	Damaged      Kind = "damaged"       // received with other data, or under an id that isn't its cursor's
	Unexpected   Kind = "unexpected"    // received, although never published, of a topic not followed, or from before the beginning
	FalseGap     Kind = "false gap"     // a told gap that wasn't one
	WrongReplay  Kind = "wrong replay"  // told with another number of stored events than there were
	WrongState   Kind = "wrong state"   // told fresh for a cursor
	PublishOrder Kind = "publish order" // cursors whose order isn't that of the publishing, or that name two events
)

// Violation is one breach of the promise.
type Violation struct {
	Kind       Kind
	Subscriber string // "" for PublishOrder
	Topic      string // "" if it isn't about one
	Text       string
}

func (v Violation) String() string {
	text := string(v.Kind)
	if v.Subscriber != "" {
		text += ", subscriber " + v.Subscriber
	}
	if v.Topic != "" {
		text += ", topic " + v.Topic
	}
	return text + ": " + v.Text
}

// Report is what Check has found.
type Report struct {
	Violations []Violation // by subscriber

	Events     int // published
	Failed     int // those whose Publish returned an error
	Deliveries int // events received, repeats left out
	Fresh      int // streams told fresh
	Resumed    int // streams told resumed
	Gapped     int // streams told gap
	Gaps       int // topics in gaps, of streams at their beginning and open ones
}

// Count returns how many violations are of a kind.
func (r Report) Count(kind Kind) (n int) {
	for _, v := range r.Violations {
		if v.Kind == kind {
			n++
		}
	}
	return n
}

// String is one line of figures.
func (r Report) String() string {
	return fmt.Sprintf("%d events, %d deliveries, %d resumes, %d gaps told, lost %d, doubled %d, other violations %d",
		r.Events, r.Deliveries, r.Resumed, r.Gaps, r.Count(Lost), r.Count(Doubled),
		len(r.Violations)-r.Count(Lost)-r.Count(Doubled))
}

const maxReported = 5 // violations of a kind in words; where one thing is broken thousands may follow

// Fail fails the test if there are violations, and says the first of each kind.
func (r Report) Fail(t testing.TB) {
	t.Helper()
	said := make(map[Kind]int)
	for _, v := range r.Violations {
		if said[v.Kind]++; said[v.Kind] <= maxReported {
			t.Error(v)
		}
	}
	for kind, n := range said {
		if n > maxReported {
			t.Errorf("%s: %d times in all", kind, n)
		}
	}
}

// Check judges what was recorded so far. Every event is due to every subscriber by now: call Wait before.
func (o *Oracle) Check() Report {
	o.mu.Lock()
	defer o.mu.Unlock()
	j := &judge{events: make([]*published, len(o.events)), topics: make(map[string][]*published), rollbacks: o.rollbacks}
	for i, e := range o.events {
		own := *e
		j.events[i] = &own
		j.topics[e.topic] = append(j.topics[e.topic], &own)
		j.Events++
		if e.at.IsZero() {
			j.Failed++
		}
	}
	for _, s := range o.subscribers {
		s.mu.Lock()
		defer s.mu.Unlock()
		j.locate(s)
	}
	j.sort()
	for topic := range j.topics {
		j.publishOrder(topic)
	}
	for _, s := range o.subscribers {
		j.subscriber(s)
	}
	return j.Report
}

// judge holds what one Check compares. The caller holds all locks.
type judge struct {
	Report
	events    []*published            // copies, by number
	topics    map[string][]*published // those that have a cursor, in its order
	unlocated map[string][]*published // failed ones that nobody received: they may be anywhere
	rollbacks []eventlog.Cursor
	located   map[*published]bool // failed ones that somebody received
}

func (j *judge) blame(kind Kind, s *Subscriber, topic, format string, args ...any) {
	name := ""
	if s != nil {
		name = s.name
	}
	j.Violations = append(j.Violations, Violation{kind, name, topic, fmt.Sprintf(format, args...)})
}

// locate gives failed events that somebody received the cursor that they had.
func (j *judge) locate(s *Subscriber) {
	for _, r := range s.receipts {
		if r.number < len(j.events) && j.events[r.number].at.IsZero() {
			if j.located == nil {
				j.located = make(map[*published]bool)
			}
			j.events[r.number].at = r.id
			j.located[j.events[r.number]] = true
		}
	}
}

// sort orders each topic by its cursors. Epochs come in the order in which they were first published to.
func (j *judge) sort() {
	j.unlocated = make(map[string][]*published)
	for topic, events := range j.topics {
		epochs := make(map[uint64]int64)
		known := events[:0]
		for _, e := range events {
			if e.at.IsZero() {
				j.unlocated[topic] = append(j.unlocated[topic], e)
				continue
			}
			known = append(known, e)
			if first, ok := epochs[e.at.Epoch()]; !ok || e.began < first {
				epochs[e.at.Epoch()] = e.began
			}
		}
		slices.SortStableFunc(known, func(a, b *published) int {
			switch {
			case a.at.Epoch() != b.at.Epoch():
				return int(epochs[a.at.Epoch()] - epochs[b.at.Epoch()])
			case a.at.Beyond(b.at):
				return 1
			case b.at.Beyond(a.at):
				return -1
			}
			return 0
		})
		j.topics[topic] = known
	}
}

// publishOrder holds the cursors of a topic against the time of publishing.
func (j *judge) publishOrder(topic string) {
	var next, firstEnded *published // of the later ones
	batch := make(map[int64]int)    // the least number of the later ones of each batch
	for _, e := range slices.Backward(j.topics[topic]) {
		if j.located[e] {
			continue
		}
		switch later, ok := batch[e.began]; {
		case next != nil && next.at.Epoch() == e.at.Epoch() && !next.at.Beyond(e.at):
			j.blame(PublishOrder, nil, topic, "two events have the cursor %s", e.at)
		case firstEnded != nil && firstEnded.ended < e.began:
			j.blame(PublishOrder, nil, topic, "event %s was published after event %s, but comes before it", e.at, firstEnded.at)
		case ok && later < e.number:
			j.blame(PublishOrder, nil, topic, "event %s stood behind another one in its batch, but comes before it", e.at)
		default:
			batch[e.began] = e.number
		}
		if firstEnded == nil || e.ended < firstEnded.ended {
			firstEnded = e
		}
		next = e
	}
}

// subscriber judges one subscriber.
func (j *judge) subscriber(s *Subscriber) {
	j.Violations = append(j.Violations, s.faults...)
	seen := j.receipts(s)
	for _, topic := range s.topics {
		for _, e := range j.topics[topic] {
			if !seen[e] && !j.located[e] && s.dueLocked(e) && !s.coveredLocked(e) {
				j.blame(Lost, s, topic, "event %s", e.at)
			}
		}
	}
	for _, o := range s.openings {
		j.opening(s, &o)
	}
	for i := range s.gaps {
		j.gap(s, &s.gaps[i])
	}
}

// receipts judges what a subscriber received, and returns it.
func (j *judge) receipts(s *Subscriber) map[*published]bool {
	seen := make(map[*published]bool, len(s.receipts))
	last := make(map[string]*published)
	j.Deliveries += len(s.receipts)
	for _, r := range s.receipts {
		if r.number >= len(j.events) {
			j.blame(Unexpected, s, "", "event %s says that it is number %d, which wasn't published", r.id, r.number)
			continue
		}
		e := j.events[r.number]
		switch {
		case !slices.Contains(s.topics, e.topic):
			j.blame(Unexpected, s, e.topic, "event %s, of a topic that it doesn't follow", e.at)
		case e.sum != r.sum:
			j.blame(Damaged, s, e.topic, "event %s came with other data", e.at)
		case seen[e]:
			j.blame(Doubled, s, e.topic, "event %s", e.at)
		case e.at.Beyond(r.id) || e.at.At(0) > 0 && e.at.At(0) != r.id.At(0):
			j.blame(Damaged, s, e.topic, "event %s came with the id %s", e.at, r.id)
		case last[e.topic] != nil && !e.at.Beyond(last[e.topic].at):
			j.blame(OutOfOrder, s, e.topic, "event %s after event %s", e.at, last[e.topic].at)
		case !s.start.at.IsZero() && !e.at.Beyond(s.start.at),
			s.start.at.IsZero() && e.ended > 0 && e.ended < s.start.earlier:
			j.blame(Unexpected, s, e.topic, "event %s, from before it began", e.at)
		}
		if l := last[e.topic]; l == nil || e.at.Beyond(l.at) {
			last[e.topic] = e
		}
		seen[e] = true
	}
	return seen
}

// opening judges what a stream was told first.
func (j *judge) opening(s *Subscriber, o *opening) {
	switch o.open.State {
	case client.Fresh:
		j.Fresh++
		if !o.at.IsZero() {
			j.blame(WrongState, s, "", "told fresh, but it asked for %s", o.at)
		}
		return
	case client.Resumed:
		j.Resumed++
	case client.Gapped:
		j.Gapped++
	default:
		j.blame(WrongState, s, "", "told %q", o.open.State)
	}
	if o.at.IsZero() {
		return // by its session: it isn't known from where
	}
	least, most := 0, 0
	for _, topic := range s.topics {
		if !slices.ContainsFunc(o.open.Gaps, func(g client.Gap) bool { return g.Topic == topic }) {
			l, m := j.between(topic, o)
			least, most = least+l, most+m
		}
	}
	if n := o.open.Replay; n < least || n > most {
		j.blame(WrongReplay, s, "", "told %s after %s with %d stored events, there were %d to %d", o.open.State, o.at, n, least, most)
	}
}

// between counts the events of a topic that must and may have been stored beyond a cursor when a stream began.
func (j *judge) between(topic string, o *opening) (least, most int) {
	for _, e := range slices.Backward(j.topics[topic]) {
		if e.at.Epoch() != o.at.Epoch() {
			continue // of another log
		}
		if !e.at.Beyond(o.at) {
			break
		}
		if !j.located[e] && e.ended < o.askedAt {
			least++
		}
		if e.began < o.toldAt {
			most++
		}
	}
	return least, most + j.unlocatedBefore(topic, o.toldAt)
}

func (j *judge) unlocatedBefore(topic string, t int64) (n int) {
	for _, e := range j.unlocated[topic] {
		if e.began < t {
			n++
		}
	}
	return n
}

// gap judges one topic of a gap.
func (j *judge) gap(s *Subscriber, g *gap) {
	j.Gaps++
	var why string
	switch push.Reason(g.Reason) {
	case push.ReasonTrimmed:
		why = j.trimmed(g)
	case push.ReasonOtherLog:
		if g.at.Epoch() == g.epoch {
			why = "the cursor has the epoch of the log"
		}
	case push.ReasonUnreadable:
		if _, err := eventlog.ParseCursor(g.asked); err == nil {
			why = fmt.Sprintf("%q is a cursor", g.asked)
		}
	case push.ReasonRolledBack:
		if !slices.ContainsFunc(j.rollbacks, g.at.Beyond) {
			why = "the log has lost nothing before the cursor"
		}
	case push.ReasonSlow:
		if n := j.behind(s, g); s.MaxBehind == 0 || n <= s.MaxBehind {
			why = fmt.Sprintf("it lay at most %d events behind, and may lie %d", n, s.MaxBehind)
		}
	default:
		why = "unknown reason"
	}
	if !slices.Contains(s.topics, g.Topic) && !strings.HasPrefix(g.Topic, "~") {
		why = "it doesn't follow the topic"
	}
	if why != "" {
		j.blame(FalseGap, s, g.Topic, "%s after %s: %s", g.Reason, g.at, why)
	}
}

// trimmed returns why a gap isn't one, "" if it is or nobody can know.
func (j *judge) trimmed(g *gap) string {
	if g.at.Epoch() != g.epoch || j.unlocatedBefore(g.Topic, g.toldAt) > 0 {
		return ""
	}
	for _, e := range j.topics[g.Topic] {
		if e.at.Beyond(g.at) {
			if e.began < g.toldAt && (g.oldest.IsZero() || g.oldest.Beyond(e.at)) {
				return ""
			}
			return fmt.Sprintf("the next event, %s, was still in the log", e.at)
		}
	}
	return "there were no events after it"
}

// behind counts the events that may have lain beyond a subscriber's cursor.
func (j *judge) behind(s *Subscriber, g *gap) (n int) {
	for _, topic := range s.topics {
		for _, e := range j.topics[topic] {
			if e.at.Beyond(g.at) && e.began < g.toldAt {
				n++
			}
		}
		n += j.unlocatedBefore(topic, g.toldAt)
	}
	return n
}

package oracle

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/buffkit/buffkit/client"
	"github.com/buffkit/buffkit/eventlog"
	"github.com/buffkit/buffkit/push"
)

// violation is a breach of the promise.
type violation struct {
	rule     string
	follower *follower // nil if it is about an event alone
	event    *event    // nil if it isn't about one
	at       time.Duration
	text     string
}

func (v violation) String() string {
	text := v.rule
	if v.follower != nil {
		text += ", client " + v.follower.name
	}
	if v.event != nil {
		text += fmt.Sprintf(", event %d of %s at %v (%v, published from %.3fs to %.3fs, %s)", v.event.number, v.event.topic, v.event.at, v.event.outcome,
			v.event.began.Seconds(), v.event.ended.Seconds(), v.event.answer)
	}
	return text + ": " + v.text
}

// judge holds a ledger against the promise when nothing is added to it any more.
type judge struct {
	*ledger
	keeps func(topic string) int // events of a topic

	order    map[uint64]int      // the epochs, in the order in which they were first seen
	topics   map[string][]*event // those whose place is known, in their order
	nowhere  map[string][]*event // stored, and nobody knows where
	perhaps  map[string][]*event // maybe stored, and nobody has got them
	violated []violation
	counts   map[string]int
}

func (l *ledger) judge(keeps func(topic string) int) *judge {
	l.mu.RLock()
	defer l.mu.RUnlock()
	j := &judge{
		ledger: l, keeps: keeps, order: map[uint64]int{}, counts: map[string]int{},
		topics: map[string][]*event{}, nowhere: map[string][]*event{}, perhaps: map[string][]*event{},
	}
	for i, s := range l.epochs {
		j.order[s.epoch] = i
		if causes := j.lossesBefore(s.at); causes < i {
			j.blame(violation{rule: "false gap", at: s.at, text: fmt.Sprintf("the log has its epoch number %d after %d faults that lose anything", i+1, causes)})
		}
	}
	j.locate()
	for _, events := range j.topics {
		slices.SortFunc(events, func(a, b *event) int { return j.compare(a.at, b.at) })
		j.publishOrder(events)
	}
	for _, s := range l.losses {
		j.isAnotherLog(s)
	}
	for _, f := range l.followers {
		j.walk(f)
	}
	slices.SortStableFunc(j.violated, func(a, b violation) int { return cmp.Compare(a.at, b.at) })
	return j
}

func (j *judge) blame(v violation) { j.violated = append(j.violated, v) }

func (j *judge) lossesBefore(t time.Duration) (n int) {
	for _, s := range j.losses {
		if s.from < t {
			n++
		}
	}
	return n
}

// compare orders places: epochs come in the order in which they were first seen.
func (j *judge) compare(a, b place) int {
	return cmp.Or(cmp.Compare(j.order[a.epoch], j.order[b.epoch]), cmp.Compare(a.offset, b.offset))
}

// locate finds out where each event is stored.
func (j *judge) locate() {
	for _, f := range j.followers {
		for _, n := range f.notes {
			if n.kind == gets {
				j.receipt(f, n)
			}
		}
	}
	for i, e := range j.events {
		j.counts[e.outcome.String()]++
		if e.at == (place{}) {
			e.at = j.besideOf(i)
		}
		switch {
		case e.outcome == failed || e.outcome == rolledBack:
		case e.at != (place{}):
			j.topics[e.topic] = append(j.topics[e.topic], e)
		case e.outcome == stored:
			j.nowhere[e.topic] = append(j.nowhere[e.topic], e)
		default:
			j.perhaps[e.topic] = append(j.perhaps[e.topic], e)
		}
	}
}

// receipt compares what a client got with what is known of the event.
func (j *judge) receipt(f *follower, n note) {
	e := j.events[n.number]
	switch {
	case e.outcome == failed || e.outcome == rolledBack:
		j.blame(violation{"refused, and delivered", f, e, n.at, "it came at " + n.place.String()})
	case e.at == (place{}):
		e.at = n.place
	case e.at != n.place && (e.tries < 2 || e.at.epoch == n.place.epoch && !j.mayBeLost(e)): // what was tried again may be in two logs
		j.blame(violation{"damaged", f, e, n.at, "it came at " + n.place.String()})
	}
}

// mayBeLost tells whether an event may have been stored while a fault lost the end of a log. Two servers may have had it then, each at a place of its own.
func (j *judge) mayBeLost(e *event) bool {
	return slices.ContainsFunc(j.losses, func(s *loss) bool { return s.from < storedBy(e) && e.began < s.to })
}

// besideOf returns where an event of a batch is if another one of it was received: they are stored together, one after the other.
func (j *judge) besideOf(i int) place {
	e := j.events[i]
	if e.outcome == failed || e.outcome == rolledBack {
		return place{}
	}
	for n := e.batch; n < len(j.events) && j.events[n].batch == e.batch; n++ {
		if other := j.events[n].at; other != (place{}) {
			return place{other.epoch, other.offset + eventlog.Offset(i) - eventlog.Offset(n)}
		}
	}
	return place{}
}

// publishOrder holds the places of a topic against the time of publishing.
func (j *judge) publishOrder(events []*event) {
	var next, first *event // the next one, and of all behind the one that ended first
	for _, e := range slices.Backward(events) {
		if e.outcome != acknowledged || e.tries > 1 {
			continue
		}
		if first != nil && first.at.epoch != e.at.epoch {
			first = nil
		}
		if next != nil && next.at == e.at {
			j.blame(violation{"order", nil, e, e.ended, fmt.Sprintf("event %d has the same place", next.number)})
		}
		if first != nil && first.ended < e.began {
			j.blame(violation{"order", nil, e, e.ended, fmt.Sprintf("it stands before event %d, and was begun after that had ended", first.number)})
		}
		if next = e; first == nil || e.ended < first.ended {
			first = e
		}
	}
}

// isAnotherLog demands that a log that has surely lost something goes on as another one: only then those are told who have seen what was lost.
func (j *judge) isAnotherLog(s *loss) {
	lost, ever := 0, false // the newest log that has lost an event
	for _, e := range j.events {
		if e.outcome == acknowledged && e.tries == 1 && e.began >= s.sure.from && e.ended <= s.sure.to {
			lost, ever = max(lost, j.order[e.at.epoch]), true
			j.counts["surely lost by the server"]++
		}
	}
	for _, e := range j.events {
		if ever && e.outcome == acknowledged && e.tries == 1 && e.began > s.to && j.order[e.at.epoch] <= lost {
			j.blame(violation{"silent", nil, e, e.ended, fmt.Sprintf("what the fault at %.3fs has lost was of the same log", s.from.Seconds())})
			return
		}
	}
}

// toldGap is one topic of a gap.
type toldGap struct {
	client.Gap
	at      place // the client's
	told    time.Duration
	conn    int
	limit   place // where the stream went on, zero if it wasn't seen
	without bool  // the event at the limit is not covered
}

// walk goes through what one client noticed.
type walk struct {
	*judge
	f     *follower
	conn  int
	at    place // how far the client has come
	start place
	since time.Duration // it has its start
	reset *toldGap      // the newest gap that may have led to another log, until the client is in it
	gaps  []*toldGap
	last  map[string]place
	seen  map[int32]int // events, and the connection that each came by
}

func (j *judge) walk(f *follower) {
	j.violated = append(j.violated, f.blames...)
	w := &walk{judge: j, f: f, last: map[string]place{}, seen: map[int32]int{}}
	for _, n := range f.notes {
		w.step(n)
	}
	w.missing()
}

func (w *walk) blame(rule string, at time.Duration, format string, args ...any) {
	w.judge.blame(violation{rule: rule, follower: w.f, at: at, text: fmt.Sprintf(format, args...)})
}

func (w *walk) step(n note) {
	switch n.kind {
	case asks:
		w.conn++
		w.counts["requests"]++
		if n.place == (place{}) && w.at != (place{}) {
			w.blame("wrong state", n.at, "it asks without a cursor, and had come to %v", w.at)
		}
		w.goesOn(n)
	case opens:
		w.counts["told "+string(n.state)]++
		if n.state == client.Fresh && w.at != (place{}) {
			w.blame("wrong state", n.at, "told fresh at %v", w.at)
		}
		w.lost(n)
		if n.state == client.Fresh || n.place != (place{}) && len(n.gaps) == 0 {
			w.goesOn(n)
		}
	case told:
		w.lost(n)
	case moves:
		w.goesOn(n)
	case gets:
		w.receive(n)
	}
}

// lost takes in gaps.
func (w *walk) lost(n note) {
	for _, g := range n.gaps {
		gap := &toldGap{Gap: g, at: w.at, told: n.at, conn: w.conn}
		w.gaps = append(w.gaps, gap)
		w.counts["gap "+g.Reason]++
		if why := w.isFalse(gap); why != "" {
			w.blame("false gap", n.at, "%s of %s at %v: %s", g.Reason, g.Topic, w.at, why)
		}
		if resets(g) {
			w.reset = gap
			clear(w.last)
		}
	}
}

// isFalse says why a gap isn't one, or "".
func (w *walk) isFalse(g *toldGap) string {
	own := slices.Contains(w.f.topics, g.Topic)
	switch push.Reason(g.Reason) {
	case push.ReasonOtherLog, push.ReasonRolledBack:
		nth := w.order[g.at.epoch] + 1
		if losses := w.lossesBefore(g.told); losses < nth {
			return fmt.Sprintf("the cursor is of the log number %d, and only %d faults had lost anything", nth, losses)
		}
		if g.Reason == string(push.ReasonOtherLog) && nth == len(w.epochs) {
			return "the cursor is of the newest log"
		}
		return ""
	case push.ReasonTrimmed:
		if !own {
			return "nobody publishes there"
		}
		n := 0
		for _, e := range w.topics[g.Topic] {
			if e.began < g.told && w.compare(e.at, g.at) > 0 {
				n++
			}
		}
		for _, e := range slices.Concat(w.perhaps[g.Topic], w.nowhere[g.Topic]) {
			if e.began < g.told {
				n++
			}
		}
		if keeps := w.keeps(g.Topic); n <= keeps {
			return fmt.Sprintf("%d events lay behind it, the topic keeps %d", n, keeps)
		}
		return ""
	}
	return "there is no reason for this reason"
}

// goesOn takes in a place up to which nothing more comes.
func (w *walk) goesOn(n note) {
	if n.place == (place{}) {
		return
	}
	w.arrives(n)
	for _, g := range w.gaps {
		if g.limit == (place{}) {
			g.limit = n.place
		}
	}
}

// arrives takes in any place.
func (w *walk) arrives(n note) {
	switch {
	case w.at == (place{}):
		w.start, w.since = n.place, n.at
	case w.reset != nil && w.at.epoch == n.place.epoch && w.reset.Reason == string(push.ReasonOtherLog) && w.reset.conn == w.conn && n.kind != asks:
		w.blame("false gap", n.at, "told other_log at %v, and the log goes on to %v", w.at, n.place)
	case w.reset != nil:
		if w.compare(n.place, w.start) < 0 { // it had begun at what was lost
			w.start = n.place
		}
	case w.at.epoch != n.place.epoch:
		w.blame("silent", n.at, "from %v to %v, without a gap", w.at, n.place)
	case n.place.offset < w.at.offset:
		w.blame("order", n.at, "from %v back to %v", w.at, n.place)
	}
	if w.order[n.place.epoch] < w.order[w.at.epoch] && w.at != (place{}) {
		w.blame("order", n.at, "from %v back to the log of %v", w.at, n.place)
	}
	if n.kind != asks || n.place.epoch != w.at.epoch {
		w.reset = nil
	}
	w.at = n.place
}

// receive takes in an event.
func (w *walk) receive(n note) {
	w.counts["delivered"]++
	e := w.events[n.number]
	conn, again := w.seen[n.number]
	switch {
	case again && w.f.raw && conn != w.conn:
		w.counts["repeats"]++
		return
	case again && e.tries < 2:
		w.judge.blame(violation{"twice", w.f, e, n.at, "it had come before"})
	case w.last[e.topic] != (place{}) && w.compare(n.place, w.last[e.topic]) <= 0:
		w.judge.blame(violation{"order", w.f, e, n.at, "it came after what is at " + w.last[e.topic].String()})
	case w.start != (place{}) && w.compare(n.place, w.start) <= 0:
		w.judge.blame(violation{"order", w.f, e, n.at, "it is from before the beginning, " + w.start.String()})
	}
	w.seen[n.number], w.last[e.topic] = w.conn, n.place
	w.arrives(n)
	for _, g := range w.gaps {
		if g.limit == (place{}) && g.Topic == e.topic {
			g.limit, g.without = n.place, true
		}
	}
}

// missing looks for what was due, and neither came nor is covered.
func (w *walk) missing() {
	for _, topic := range w.f.topics {
		for _, e := range w.topics[topic] {
			if _, ok := w.seen[int32(e.number)]; !ok && w.start != (place{}) && w.compare(e.at, w.start) > 0 {
				w.account(e, slices.ContainsFunc(w.gaps, func(g *toldGap) bool { return w.covers(g, e) }))
			}
		}
		for _, e := range w.nowhere[topic] {
			if w.start != (place{}) && e.began > w.since {
				w.account(e, slices.ContainsFunc(w.gaps, func(g *toldGap) bool { return g.Topic == topic && e.began < g.told }))
			}
		}
	}
	if w.start == (place{}) {
		w.blame("silent", w.now(), "it was never let in")
	}
}

func (w *walk) account(e *event, covered bool) {
	if covered {
		w.counts["lost and told"]++
		return
	}
	w.judge.blame(violation{"silent", w.f, e, e.ended, "it never came, and no gap covers it"})
}

func (w *walk) covers(g *toldGap, e *event) bool {
	if g.Topic != e.topic || e.began >= g.told {
		return false
	}
	if resets(g.Gap) && w.order[e.at.epoch] <= w.order[g.at.epoch] && slices.ContainsFunc(w.losses, func(s *loss) bool {
		return s.from < storedBy(e) && e.began < s.to && s.from < g.told
	}) {
		return true
	}
	if w.compare(e.at, g.at) <= 0 {
		return false
	}
	behind := w.compare(e.at, g.limit)
	return g.limit == (place{}) || behind < 0 || behind == 0 && !g.without
}

// storedBy is when an event was stored at the latest. What nobody has answered may still be on its way.
func storedBy(e *event) time.Duration {
	if e.outcome == acknowledged || e.outcome == stored {
		return e.ended
	}
	return math.MaxInt64
}

// String is the figures of the run.
func (j *judge) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d events, %d clients, %d faults, %d of them lose what is stored, %d violations", len(j.events), len(j.followers), len(j.faults),
		len(j.losses), len(j.violated))
	names := make([]string, 0, len(j.counts))
	for name := range j.counts {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		fmt.Fprintf(&b, "\n%10d %s", j.counts[name], name)
	}
	kinds := map[string]int{}
	for _, i := range j.faults {
		kind, _, _ := strings.Cut(i.what, ": ")
		kinds[kind]++
	}
	names = names[:0]
	for kind := range kinds {
		names = append(names, kind)
	}
	slices.Sort(names)
	for _, kind := range names {
		fmt.Fprintf(&b, "\n%10d × %s", kinds[kind], kind)
	}
	return b.String()
}

const (
	maxExplained = 3 // violations of a rule: where one thing is broken thousands follow
	maxAround    = 12
	around       = 8 * time.Second
)

// fail fails the test if there are violations, with what happened around the first of each rule.
func (j *judge) fail(t *testing.T) {
	t.Helper()
	said := map[string]int{}
	for _, v := range j.violated {
		if said[v.rule]++; said[v.rule] <= maxExplained {
			t.Errorf("%v%s", v, j.explain(v))
		}
	}
	for rule, n := range said {
		if n > maxExplained {
			t.Errorf("%s: %d times in all", rule, n)
		}
	}
}

// explain tells what happened around a violation: faults, what the client noticed, what is next to the event in its topic.
func (j *judge) explain(v violation) string {
	var b strings.Builder
	for _, i := range j.faults {
		if i.from < v.at+around && (i.to == 0 || i.to > v.at-around) {
			fmt.Fprintf(&b, "\n    fault  %9.3fs to %.3fs %s", i.from.Seconds(), i.to.Seconds(), i.what)
		}
	}
	if v.follower != nil {
		notes := v.follower.notes
		n, _ := slices.BinarySearchFunc(notes, v.at, func(n note, at time.Duration) int { return cmp.Compare(n.at, at) })
		for _, n := range notes[max(n-maxAround, 0):min(n+maxAround, len(notes))] {
			fmt.Fprintf(&b, "\n    client %v", n)
		}
	}
	if v.event != nil {
		events := j.topics[v.event.topic]
		n := slices.Index(events, v.event)
		for _, e := range events[max(n-maxAround/2, 0):min(max(n, 0)+maxAround/2, len(events))] {
			fmt.Fprintf(&b, "\n    topic  %d at %v, %v, published from %.3fs to %.3fs", e.number, e.at, e.outcome, e.began.Seconds(), e.ended.Seconds())
		}
	}
	return b.String()
}

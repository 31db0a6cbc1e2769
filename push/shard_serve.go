package push

import (
	"slices"
	"time"

	"github.com/buffkit/buffkit/eventlog"
)

// turn is what those that catch up get of a shard between two rounds, while those that are in step wait: one stream at least, and no more than a
// millisecond's work. That is to write to some thirty, or to compress for two, each from a place of its own.
type turn struct {
	streams int // that may be served yet
	until   time.Time
}

const (
	turnStreams = 32 // also where a write costs nothing, as into a queue for TLS
	turnTime    = time.Millisecond
)

func (t *turn) over() bool {
	if t.streams == turnStreams {
		t.until = time.Now().Add(turnTime)
		return false
	}
	return t.streams == 0 || !time.Now().Before(t.until)
}

func (s *shard) hasLate() bool { return len(s.late)+len(s.alone) > 0 }

// beAlone lets a stream be served alone, until it is in step.
func (s *shard) beAlone(p *parked) {
	if p.alone || !p.listed {
		return
	}
	p.crowd.leave(p)
	p.alone, p.late = true, false
	s.alone = append(s.alone, p)
}

// beLate lets a stream catch up with others.
func (s *shard) beLate(p *parked) {
	c := p.crowd
	p.late = true
	c.late = append(c.late, p)
	if !c.listed {
		c.listed = true
		s.late = append(s.late, c)
	}
}

// A crowd is read for together with others if it has few topics: the log is locked meanwhile.
const (
	glanceTopics  = 16
	glanceEntries = 4 // of each crowd: as many as most have that have any
)

// serveCrowds is serveCrowd for some that have news: one read for all of them. Those that have more than a glance finds are read for one by one.
func (s *shard) serveCrowds(some []*crowd) {
	s.lookAt(some)
	s.asks = slices.Grow(s.asks[:0], len(some))[:len(some)]
	for i, c := range some {
		c.news.Store(false) // before the read: what comes from here on asks for another
		s.asks[i].Topics, s.asks[i].After, s.asks[i].Spot = nil, c.at, c.spot
		if len(c.step) > 0 && len(c.audience.topics) <= glanceTopics {
			s.asks[i].Topics = c.audience.topics
		}
	}
	glanced := s.broker.readAll(s.asks, glanceEntries)
	s.takeOwn()
	for i, c := range some {
		a := &s.asks[i]
		c.spot, a.Spot = a.Spot, eventlog.Spot{}
		found := a.Batch.Entries
		switch {
		case len(c.step) == 0:
		case glanced && len(a.Topics) > 0 && (a.Batch.Behind == len(found) || len(found) == 0):
			s.glance.fill(s.broker, c.audience.slow, &a.Batch, c.at, eventlog.Cursor{})
			s.serveStep(c, &s.glance)
		default:
			s.serveCrowd(c)
		}
		clear(found) // else they would keep what the log drops
	}
}

// serveCrowd brings all that are in step to the head, or as far as one write goes: one read, and the same bytes for each.
func (s *shard) serveCrowd(c *crowd) {
	if len(c.step) == 0 {
		return
	}
	w := &s.window
	if err := w.read(s.broker, c.audience.slow, c.audience.topics, c.at, eventlog.Cursor{}); err != nil {
		s.eachInStep(c, func(p *parked) { s.sayGoodbye(p, err) })
		return
	}
	s.takeOwn()
	s.serveStep(c, w)
}

// serveStep gives a window to all that are in step.
func (s *shard) serveStep(c *crowd, w *window) {
	switch {
	case w.gap || w.farBehind:
		s.eachInStep(c, s.beAlone)
		return
	case len(w.entries) > 0:
		c.sent = s.now.UnixNano()
		if c.audience.gzip {
			s.writeBlocks(c, w)
		} else {
			s.writeAll(c, w)
		}
	}
	if len(c.step) == 0 {
		return
	}
	c.at = w.next
	if !w.whole {
		s.postNews([]*crowd{c})
	}
}

// eachInStep calls f, which may end a stream or let it leave, with each member that is in step.
func (s *shard) eachInStep(c *crowd, f func(*parked)) {
	for i := len(c.step) - 1; i >= 0; i-- { // backwards: one that goes is replaced by the last
		f(c.step[i].p)
	}
}

// catchUp serves some of those that aren't in step: of either kind, so that neither waits for the other.
func (s *shard) catchUp() {
	for t := (turn{streams: turnStreams}); len(s.alone) > 0 && !t.over(); t.streams-- {
		p := s.alone[0]
		s.alone[0] = nil
		s.alone = s.alone[1:]
		if p.alone && !p.gone && p.backlog == nil {
			s.serveOne(p)
		}
	}
	for t := (turn{streams: turnStreams}); len(s.late) > 0 && !t.over(); {
		c := s.late[0]
		s.late[0] = nil
		s.late = s.late[1:]
		s.serveLate(c, &t)
		if c.listed = len(c.late) > 0; c.listed {
			s.late = append(s.late, c)
		}
	}
}

// serveLate serves those that catch up, from one read, until their turn is over. Those that lie elsewhere
// have their turn when they are the first.
func (s *shard) serveLate(c *crowd, t *turn) {
	w := &s.lateness
	list := c.late
	c.late = nil
	if len(list) > 0 && len(c.step) > 0 && list[0].at.Beyond(c.at) {
		s.serveCrowd(c) // nothing else may do so, if its topics are quiet
	}
	if s.latest != c || len(c.step) == 0 { // another crowd's; or with nobody in step who hears of what came since it was read
		s.latest = nil
	}
	s.lateRead = false
	for looks := len(list); looks > 0 && !t.over(); looks-- {
		p := list[0]
		list[0] = nil
		list = list[1:]
		t.streams--
		if p.late && !p.gone {
			s.serveLateOne(c, p, w)
		}
		if p.late && !p.gone {
			list = append(list, p)
		}
	}
	c.late = append(list, c.late...)
}

func (s *shard) serveLateOne(c *crowd, p *parked, w *window) {
	if len(c.step) > 0 && p.at.Epoch() != c.at.Epoch() {
		s.beAlone(p)
		return
	}
	if len(c.step) > 0 && samePlace(p.at, c.at) {
		p.late = false
		c.join(p)
		return
	}
	if s.latest != c || !w.covers(p.at) {
		if s.lateRead || len(c.step) > 0 && p.at.Beyond(c.at) {
			return // another time: of one read at a time, or when the others have come so far
		}
		s.latest = nil // if it fails, nothing in it counts
		if err := w.read(s.broker, c.audience.slow, c.audience.topics, p.at, c.at); err != nil {
			s.sayGoodbye(p, err)
			return
		}
		s.latest, s.lateRead = c, true
		s.takeOwn()
		if !p.late {
			return // something of its own has come
		}
	}
	if w.gap || w.farBehind {
		s.latest, s.lateRead = nil, false
		s.beAlone(p)
		return
	}
	s.give(p, w)
	s.arrive(p, w)
}

// arrive puts a stream in step that has come to where the others are.
func (s *shard) arrive(p *parked, w *window) {
	c := p.crowd
	if p.gone || p.backlog != nil {
		return
	}
	if len(c.step) > 0 && samePlace(p.at, c.at) || len(c.step) == 0 && w.whole && samePlace(p.at, w.next) {
		p.late, p.alone = false, false
		c.join(p)
	}
}

// serveOne serves a stream that is alone.
func (s *shard) serveOne(p *parked) {
	c := p.crowd
	s.serveCrowd(c) // so that it finds the others at the head
	if p.gone {
		return
	}
	p.alone = false
	if len(c.step) > 0 && p.at.Beyond(c.at) && p.at.Epoch() == c.at.Epoch() { // they need more than one write
		s.beAlone(p)
		return
	}
	w := &s.window
	s.topics = p.appendTopics(s.topics[:0])
	err := w.read(s.broker, c.audience.slow, s.topics, p.at, c.at)
	switch {
	case err != nil:
		s.sayGoodbye(p, err)
		return
	case w.gap || w.farBehind:
		s.unpark(p)
		return
	}
	w.private = anyPrivate(w.entries)
	s.give(p, w)
	if w.complete && !anyOwn(w.dropped) { // else something of its own may lie behind what was read
		s.arrive(p, w)
	}
	if !p.inStep() && !p.gone && p.backlog == nil {
		s.beAlone(p)
	}
}

// ping moves a stream that is in step on to the head with the others, and its client with it, if nothing is due to it.
func (s *shard) ping(p *parked) {
	c := p.crowd
	s.serveCrowd(c)
	if !p.inStep() || c.sent == s.now.UnixNano() {
		return
	}
	s.buf = appendPing(s.buf[:0], c.at)
	beat := s.private(p, s.buf)
	n, err := s.medium.write(p.handle, beat)
	switch err {
	case nil:
		p.sent = s.now.UnixNano()
	case errFull:
		c.leave(p)
		s.lag(p, slices.Clone(beat[n:]))
	default:
		s.drop(p, &brokenError{err})
	}
}

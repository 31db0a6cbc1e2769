package push

import (
	"slices"

	"github.com/buffkit/buffkit/eventlog"
)

// catchUpStreams are served between two rounds: a millisecond's work.
const catchUpStreams = 64

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
		c.wake()
	}
}

// eachInStep calls f, which may end a stream or let it leave, with each member that is in step.
func (s *shard) eachInStep(c *crowd, f func(*parked)) {
	for i := len(c.step) - 1; i >= 0; i-- { // backwards: one that goes is replaced by the last
		f(c.step[i].p)
	}
}

// writeAll writes a window to all that are in step.
func (s *shard) writeAll(c *crowd, w *window) {
	observed := s.broker.opts.Hooks.Delivered != nil
	for i := len(c.step) - 1; i >= 0; i-- { // backwards: one that goes is replaced by the last
		n, err := s.medium.write(c.step[i].handle, w.bytes)
		p := c.step[i].p
		switch {
		case err == nil && !observed:
		case err == nil:
			s.broker.deliveredTo(p, len(w.entries), n)
		case err == errFull:
			c.leave(p)
			s.holdBack(p, w, 0, n)
		default:
			s.drop(p, &brokenError{err})
		}
	}
}

// catchUp serves some of those that aren't in step.
func (s *shard) catchUp() {
	budget := catchUpStreams
	for ; budget > 0 && len(s.alone) > 0; budget-- {
		p := s.alone[0]
		s.alone[0] = nil
		s.alone = s.alone[1:]
		if p.alone && !p.gone && p.backlog == nil {
			s.serveOne(p)
		}
	}
	for budget > 0 && len(s.late) > 0 {
		c := s.late[0]
		s.late[0] = nil
		s.late = s.late[1:]
		budget -= max(s.serveLate(c, budget), 1)
		if c.listed = len(c.late) > 0; c.listed {
			s.late = append(s.late, c)
		}
	}
}

// serveLate serves up to so many of those that catch up, from one read, and returns how many it looked at. Those that lie elsewhere
// have their turn when they are the first.
func (s *shard) serveLate(c *crowd, most int) (n int) {
	w := &s.lateness
	s.latest = nil // its memory may be another crowd's, and its limit old
	list := c.late
	c.late = nil
	if len(list) > 0 && len(c.step) > 0 && list[0].at.Beyond(c.at) {
		s.serveCrowd(c) // nothing else may do so, if its topics are quiet
	}
	for ; n < most && len(list) > 0; n++ {
		p := list[0]
		list[0] = nil
		list = list[1:]
		if p.late && !p.gone {
			s.serveLateOne(c, p, w)
		}
		if p.late && !p.gone {
			list = append(list, p)
		}
	}
	c.late = append(list, c.late...)
	return n
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
		if s.latest == c || len(c.step) > 0 && p.at.Beyond(c.at) {
			return // another time: of one read at a time, or when the others have come so far
		}
		if err := w.read(s.broker, c.audience.slow, c.audience.topics, p.at, c.at); err != nil {
			s.sayGoodbye(p, err)
			return
		}
		s.latest = c
		s.takeOwn()
		if !p.late {
			return // something of its own has come
		}
	}
	if w.gap || w.farBehind {
		s.latest = nil
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

// give writes what of the window stands after the place of p, and moves it on.
func (s *shard) give(p *parked, w *window) {
	first := 0
	if len(w.entries) > 0 {
		first = w.after(p.at)
	}
	if first == len(w.entries) {
		p.at = w.next
		return
	}
	if p.crowd.audience.gzip {
		s.giveBlock(p, w, first)
		return
	}
	bytes := w.bytes[w.starts[first]:]
	n, err := s.medium.write(p.handle, bytes)
	switch err {
	case nil:
		p.at, p.sent = w.next, s.now.UnixNano()
		s.broker.deliveredTo(p, len(w.entries)-first, n)
	case errFull:
		s.holdBack(p, w, first, n)
	default:
		s.drop(p, &brokenError{err})
	}
}

// giveBlock is give for a stream that is compressed.
func (s *shard) giveBlock(p *parked, w *window, first int) {
	b := w.blocks.of(w, first, nil)
	n, err := s.medium.write(p.handle, b.bytes)
	if err != nil && err != errFull {
		s.drop(p, &brokenError{err})
		return
	}
	s.gave(p, w, first, b, n)
}

// gave notes how much of a block a socket took. A block that was begun has to leave whole.
func (s *shard) gave(p *parked, w *window, first int, b *block, n int) {
	if n == 0 {
		s.lag(p, nil)
		return
	}
	p.at, p.sent = w.next, s.now.UnixNano()
	s.broker.deliveredTo(p, len(w.entries)-first, len(b.bytes))
	if n < len(b.bytes) {
		b.kept = true
		s.lag(p, b.bytes[n:])
	}
}

// writeBlocks is writeAll for streams that are compressed: whoever has got the tail, or its end, gets a block that relies on it.
func (s *shard) writeBlocks(c *crowd, w *window) {
	for i := len(c.step) - 1; i >= 0; i-- { // backwards: one that goes is replaced by the last
		m := &c.step[i]
		b := w.blocks.of(w, 0, tailFor(c.tail, int(m.got)))
		n, err := s.medium.write(m.handle, b.bytes)
		switch p := m.p; err {
		case nil:
			m.got = int32(min(int(m.got)+len(w.bytes), tailSize))
			s.broker.deliveredTo(p, len(w.entries), n)
		case errFull:
			c.leave(p)
			s.gave(p, w, 0, b, n)
		default:
			s.drop(p, &brokenError{err})
		}
	}
	if len(c.step) > 0 {
		c.tail = appendTail(c.tail, w.bytes, tailRoom(len(c.step)))
	}
}

// holdBack keeps what its socket didn't take of an event that was begun. Until that is gone, the stream gets nothing else: a slow client
// costs a place in the log, and shares the bytes with it.
func (s *shard) holdBack(p *parked, w *window, first, n int) {
	n += w.starts[first]
	i := w.entryAt(n)
	begun := n - w.starts[i]
	var rest []byte
	if begun > 0 {
		rest = w.entries[i].Frame[begun:]
		i++
	}
	if i > first {
		p.at, p.sent = w.place(p.at, first, i-1), s.now.UnixNano()
		s.broker.deliveredTo(p, i-first, n-w.starts[first]+len(rest))
	}
	s.lag(p, rest)
}

// lag lets a stream catch up once its socket has taken the rest of what it was given.
func (s *shard) lag(p *parked, rest []byte) {
	p.late, p.alone = false, true
	p.backlog = &backlog{rest: rest, since: s.now}
	s.clock.wait(p)
	if err := s.medium.wantWrite(p.handle, p.tag(), true); err != nil {
		s.drop(p, &brokenError{err})
	}
}

// ready deals with what the medium has seen.
func (s *shard) ready(r readiness) {
	if int(r.handle) >= len(s.byHandle) {
		return
	}
	p := s.byHandle[r.handle]
	switch {
	case p == nil || p.tag() != r.tag: // of a stream that had the handle before
	case r.gone && r.err != nil:
		s.drop(p, &brokenError{r.err})
	case r.gone:
		s.drop(p, nil)
	case r.writable && p.backlog != nil:
		s.drain(p)
	}
}

// drain goes on with what was held back.
func (s *shard) drain(p *parked) {
	if len(p.backlog.rest) > 0 {
		n, err := s.medium.write(p.handle, p.backlog.rest)
		p.backlog.rest = p.backlog.rest[n:]
		switch err {
		case nil:
		case errFull:
			return
		default:
			s.drop(p, &brokenError{err})
			return
		}
	}
	if p.backlog.end != nil {
		s.drop(p, p.backlog.end)
		return
	}
	p.backlog, p.sent = nil, s.now.UnixNano()
	if err := s.medium.wantWrite(p.handle, p.tag(), false); err != nil {
		s.drop(p, &brokenError{err})
		return
	}
	p.alone = false
	s.beAlone(p)
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

// private returns what is for one stream alone as it leaves. It is valid until the next call.
func (s *shard) private(p *parked, text []byte) []byte {
	if !p.crowd.audience.gzip {
		return text
	}
	if p.inStep() {
		p.crowd.step[p.place].got = 0
	}
	s.stored = appendStored(s.stored[:0], text)
	return s.stored
}

// endThose says goodbye to the streams that a note names.
func (s *shard) endThose(e ending) {
	if e.p == nil {
		s.clock.each(func(p *parked) {
			switch {
			case p.id%e.of != e.rest:
			case e.cut:
				s.drop(p, e.cause)
			default:
				s.sayGoodbye(p, e.cause)
			}
		})
		return
	}
	if heir := e.p.heir.Load(); e.p.gone && heir != nil {
		heir.end(e.cause)
		return
	}
	if !e.p.listed && !e.p.gone && e.p.backlog == nil { // it is on its way: admit ends it
		e.p.backlog = &backlog{end: e.cause}
		return
	}
	s.sayGoodbye(e.p, e.cause)
}

// sayGoodbye ends a stream with a last word, as soon as its socket takes it. The first cause counts.
func (s *shard) sayGoodbye(p *parked, cause error) {
	if p.gone || p.backlog != nil && p.backlog.end != nil {
		return
	}
	bye := s.private(p, s.broker.lastWord(p.info(), cause))
	if p.backlog != nil {
		p.backlog.rest = slices.Concat(p.backlog.rest, bye)
		p.backlog.end = cause
		return
	}
	n, err := s.medium.write(p.handle, bye)
	if err != errFull {
		s.drop(p, cause)
		return
	}
	p.crowd.leave(p)
	s.lag(p, slices.Clone(bye[n:]))
	if !p.gone {
		p.backlog.end = cause
	}
}

// drop closes a stream.
func (s *shard) drop(p *parked, cause error) {
	if p.gone {
		return
	}
	s.unlist(p)
	s.medium.close(p.handle)
	p.backlog = nil
	s.broker.unparked(p, cause)
}

// unpark gives a stream a goroutine again: it needs what may take time.
func (s *shard) unpark(p *parked) {
	if _, err := s.medium.write(p.handle, nil); err == errFull { // what it was given must leave before
		s.lag(p, nil)
		return
	}
	s.unlist(p)
	conn, err := s.medium.take(p.handle)
	if err != nil {
		s.broker.unparked(p, &brokenError{err})
		return
	}
	s.broker.resumeRunning(p, conn)
}

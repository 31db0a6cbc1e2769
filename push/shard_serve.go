package push

import "slices"

// catchUpStreams are served between two rounds: a millisecond's work.
const catchUpStreams = 64

func (s *shard) hasLate() bool { return len(s.late)+len(s.alone) > 0 }

// beAlone lets a stream be served alone, until it is in step.
func (s *shard) beAlone(p *parked) {
	if p.alone || p.gone || !p.listed {
		return
	}
	p.alone, p.late = true, false
	if p.backlog == nil {
		s.alone = append(s.alone, p)
	}
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

// serveCrowd reads once for all members that are in step, and writes to each what stands after its place.
func (s *shard) serveCrowd(c *crowd) {
	if c.at.IsZero() || len(c.members) == 0 {
		return
	}
	w := &s.window
	if err := w.read(s.broker, c.audience.slow, c.audience.topics, c.at); err != nil {
		s.endCrowd(c, err)
		return
	}
	s.takeOwn()
	c.at = w.next
	for i := len(c.members) - 1; i >= 0; i-- { // backwards: one that goes is replaced by the last
		p := c.members[i]
		switch {
		case p.alone || p.late || p.backlog != nil:
		case w.gap || w.farBehind:
			s.beAlone(p)
		default:
			s.give(p, w)
		}
	}
	if !w.whole {
		c.wake()
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
		budget -= s.serveLate(c, budget)
		if c.listed = len(c.late) > 0; c.listed {
			s.late = append(s.late, c)
		}
	}
}

// serveLate serves up to so many of those that catch up, from one read, and returns how many it looked at. Those that lie elsewhere
// have their turn when they are the first.
func (s *shard) serveLate(c *crowd, most int) (n int) {
	w := &s.lateness
	fresh := false
	list := c.late
	for n = 0; n < most && len(list) > 0; n++ {
		p := list[0]
		list[0] = nil
		list = list[1:]
		if !p.late || p.gone {
			continue
		}
		if s.latest != c || !w.covers(p.at) {
			if fresh {
				list = append(list, p)
				continue
			}
			if err := w.read(s.broker, c.audience.slow, c.audience.topics, p.at); err != nil {
				s.sayGoodbye(p, err)
				continue
			}
			s.latest, fresh = c, true
			s.takeOwn()
		}
		s.serveLateOne(p, w)
		if p.late && !p.gone {
			list = append(list, p)
		}
	}
	c.late = list
	return n
}

func (s *shard) serveLateOne(p *parked, w *window) {
	switch {
	case !p.late: // something of its own has come
	case w.gap || w.farBehind:
		s.latest = nil
		s.beAlone(p)
	default:
		s.give(p, w)
		if p.backlog == nil && !p.gone && p.crowd.reached(p.at, w.whole) {
			p.late = false
			s.inStep(p)
		}
	}
}

// serveOne serves a stream that is alone.
func (s *shard) serveOne(p *parked) {
	p.alone = false
	w := &s.window
	s.topics = p.appendTopics(s.topics[:0])
	err := w.read(s.broker, p.crowd.audience.slow, s.topics, p.at)
	switch {
	case err != nil:
		s.sayGoodbye(p, err)
	case w.gap || w.farBehind:
		s.unpark(p)
	default:
		s.give(p, w)
		switch {
		case p.gone || p.backlog != nil:
		case w.whole:
			s.inStep(p)
		default:
			s.beAlone(p)
		}
	}
}

// give writes what of the window stands after the place of p, and moves it on.
func (s *shard) give(p *parked, w *window) {
	if !w.covers(p.at) {
		if p.at.Epoch() != w.next.Epoch() || !w.chained {
			s.beAlone(p)
		}
		return // it has all that
	}
	first := w.after(p.at)
	if first == len(w.entries) {
		p.at = w.next
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
	p.late, p.alone = false, true // it has something to catch up, once it can
	s.wait(p, rest)
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

// wait has the medium say when a stream can be written to again.
func (s *shard) wait(p *parked, rest []byte) {
	p.backlog = &backlog{rest: rest, since: s.now}
	s.clock.wait(p)
	if err := s.medium.wantWrite(p.handle, p.tag(), true); err != nil {
		s.drop(p, &brokenError{err})
	}
}

// ping moves a stream on to the head, and its client with it, if nothing is due to it.
func (s *shard) ping(p *parked) {
	s.topics = p.appendTopics(s.topics[:0])
	missed, err := s.missed(s.topics, p)
	switch {
	case err != nil:
		s.sayGoodbye(p, err)
		return
	case missed.Behind > 0 || len(missed.Gaps) > 0:
		s.beAlone(p)
		return
	}
	p.at = missed.Next
	s.buf = appendPing(s.buf[:0], p.at)
	n, err := s.medium.write(p.handle, s.buf)
	switch err {
	case nil:
		p.sent = s.now.UnixNano()
	case errFull:
		p.alone = true
		s.wait(p, append([]byte(nil), s.buf[n:]...))
	default:
		s.drop(p, &brokenError{err})
	}
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
	s.sayGoodbye(e.p, e.cause)
}

func (s *shard) endCrowd(c *crowd, cause error) {
	for i := len(c.members) - 1; i >= 0; i-- { // backwards: one that goes is replaced by the last
		s.sayGoodbye(c.members[i], cause)
	}
}

// sayGoodbye ends a stream with a last word, as soon as its socket takes it. The first cause counts.
func (s *shard) sayGoodbye(p *parked, cause error) {
	if p.gone || p.backlog != nil && p.backlog.end != nil {
		return
	}
	bye := s.broker.lastWord(p.info(), cause)
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
	p.alone = true
	s.wait(p, bye[n:])
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
		p.alone = true
		s.wait(p, nil)
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

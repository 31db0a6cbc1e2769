package push

import "slices"

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

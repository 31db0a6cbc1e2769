package push

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

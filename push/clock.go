package push

import (
	"cmp"
	"container/heap"
	"time"
)

// clock holds all that a shard does at a time: heartbeats, writes that take too long, and grants that end. It runs off one timer.
type clock struct {
	timer     *time.Timer
	heartbeat time.Duration
	wheel     [beatTurns][]*parked // by the turn at which their silence is looked at
	turn      int                  // that comes next, at next
	next      time.Time
	inHand    []*parked // those of a turn, while it is dealt with
	streams   int
	waiting   []waiter // whose socket took not all, the longest waiting first; some may be done or gone
	expiries  expiries
}

const beatTurns = 128 // in a heartbeat's time: a heartbeat comes so much of it early, at most

func (c *clock) init(o Options) {
	c.heartbeat = o.Heartbeat
	c.timer = time.NewTimer(maxDuration)
}

func (c *clock) stop() { c.timer.Stop() }

func (c *clock) C() <-chan time.Time { return c.timer.C }

func (c *clock) tick() time.Duration { return max(c.heartbeat/beatTurns, 1) }

// add lists a stream, and looks at it at first.
func (c *clock) add(p *parked, now, first time.Time) {
	if c.streams++; c.streams == 1 {
		c.next = now.Add(c.tick())
	}
	c.lookAt(p, first)
	if p.expires != 0 {
		heap.Push(&c.expiries, p)
	}
}

// lookAt puts a stream in the last turn before a time.
func (c *clock) lookAt(p *parked, at time.Time) {
	turns := min(max(int(at.Sub(c.next)/c.tick()), 0), beatTurns-1)
	p.slot = uint8((c.turn + turns) % beatTurns)
	p.seat = int32(len(c.wheel[p.slot]))
	c.wheel[p.slot] = append(c.wheel[p.slot], p)
}

func (c *clock) remove(p *parked) {
	if c.streams--; p.seat >= 0 {
		list := swapOut(c.wheel[p.slot], p.seat)
		c.wheel[p.slot] = list
		if int(p.seat) < len(list) {
			list[p.seat].seat = p.seat
		}
	}
	if p.expires != 0 {
		heap.Remove(&c.expiries, int(p.turn))
	}
}

// each calls f with every stream; f may end it.
func (c *clock) each(f func(*parked)) {
	for i := range c.wheel {
		for j := len(c.wheel[i]) - 1; j >= 0; j-- { // backwards: one that goes is replaced by the last
			f(c.wheel[i][j])
		}
	}
}

func (c *clock) wait(p *parked) { c.waiting = append(c.waiting, waiter{p, p.backlog}) }

// waiter is a stream that waits to get rid of a backlog.
type waiter struct {
	p *parked
	b *backlog
}

func (w waiter) over() bool { return w.p.gone || w.p.backlog != w.b }

// set sets the timer to what comes next.
func (c *clock) set(s *shard) {
	next := s.now.Add(maxDuration)
	if c.streams > 0 {
		turns := 0
		for turns < beatTurns-1 && len(c.wheel[(c.turn+turns)%beatTurns]) == 0 {
			turns++
		}
		next = c.next.Add(time.Duration(turns) * c.tick())
	}
	for len(c.waiting) > 0 && c.waiting[0].over() {
		c.waiting = c.waiting[1:]
	}
	if len(c.waiting) > 0 {
		next = earlier(next, c.waiting[0].b.since.Add(s.broker.opts.WriteTimeout))
	}
	if len(c.expiries) > 0 {
		next = earlier(next, time.Unix(0, c.expiries[0].expires))
	}
	c.timer.Reset(time.Until(next))
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// tick does what is due.
func (s *shard) tick() {
	c := &s.clock
	for len(c.waiting) > 0 {
		w := c.waiting[0]
		if !w.over() {
			if w.b.since.Add(s.broker.opts.WriteTimeout).After(s.now) {
				break
			}
			s.drop(w.p, cmp.Or(w.b.end, ErrSlow))
		}
		c.waiting = c.waiting[1:]
	}
	for len(c.expiries) > 0 && c.expiries[0].expires <= s.now.UnixNano() {
		p := c.expiries[0]
		heap.Pop(&c.expiries)
		p.expires = 0
		s.sayGoodbye(p, p.expiryCause())
	}
	for turns := 0; c.streams > 0 && !c.next.After(s.now) && turns < beatTurns; turns++ {
		c.next = c.next.Add(c.tick())
		s.beat()
	}
}

// beat looks at the streams of a turn: those that were quiet for long enough get a heartbeat.
func (s *shard) beat() {
	c := &s.clock
	list := c.wheel[c.turn]
	c.wheel[c.turn] = c.inHand[:0]
	c.turn = (c.turn + 1) % beatTurns
	for _, p := range list {
		p.seat = -1
	}
	for _, p := range list {
		sent := p.sent
		if p.inStep() {
			sent = max(sent, p.crowd.sent)
		}
		due := time.Unix(0, sent).Add(c.heartbeat)
		if left := due.Sub(s.now); left <= c.tick() || left > c.heartbeat { // the latter if the machine's clock was set back
			due = s.now.Add(8 * c.tick()) // if something else is on its way to it
			if p.inStep() {
				due = s.now.Add(c.heartbeat)
				s.ping(p)
			}
		}
		if !p.gone {
			c.lookAt(p, due)
		}
	}
	clear(list)
	c.inHand = list[:0]
}

// expiries is a heap of the streams whose grant ends.
type expiries []*parked

func (e expiries) Len() int           { return len(e) }
func (e expiries) Less(i, j int) bool { return e[i].expires < e[j].expires }
func (e expiries) Swap(i, j int) {
	e[i], e[j] = e[j], e[i]
	e[i].turn, e[j].turn = int32(i), int32(j)
}
func (e *expiries) Push(p any) {
	p.(*parked).turn = int32(len(*e))
	*e = append(*e, p.(*parked))
}
func (e *expiries) Pop() any {
	last := len(*e) - 1
	p := (*e)[last]
	(*e)[last] = nil
	*e = (*e)[:last]
	return p
}

// swapOut removes an element by putting the last one in its place.
func swapOut(list []*parked, i int32) []*parked {
	last := len(list) - 1
	list[i] = list[last]
	list[last] = nil
	return list[:last]
}

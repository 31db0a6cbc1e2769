package push

import (
	"container/heap"
	"time"
)

// clock holds all that a shard does at a time: heartbeats, writes that take too long, and grants that end. It runs off one timer.
type clock struct {
	timer     *time.Timer
	heartbeat time.Duration
	slots     [beatSlots][]*parked // whose silence is looked at together
	slot      int                  // whose turn it is
	nextBeat  time.Time
	streams   int
	waiting   []waiter // whose socket took not all, the longest waiting first; some may be done or gone
	expiries  expiries
}

const (
	beatSlots     = 8 // heartbeats come in so many groups
	looksPerBeat  = 4 // at each group in a heartbeat's time: a stream is silent for three quarters of it at least
	beatsPerTicks = beatSlots * looksPerBeat
)

func (c *clock) init(o Options) {
	c.heartbeat = o.Heartbeat
	c.timer = time.NewTimer(maxDuration)
}

func (c *clock) stop() { c.timer.Stop() }

func (c *clock) C() <-chan time.Time { return c.timer.C }

func (c *clock) add(p *parked) {
	p.slot = uint8(p.id / 2 % beatSlots)
	p.seat = int32(len(c.slots[p.slot]))
	c.slots[p.slot] = append(c.slots[p.slot], p)
	if c.streams++; c.streams == 1 {
		c.nextBeat = time.Now().Add(c.heartbeat / beatsPerTicks)
	}
	if p.expires != 0 {
		heap.Push(&c.expiries, p)
	}
}

func (c *clock) remove(p *parked) {
	list := swapOut(c.slots[p.slot], p.seat)
	c.slots[p.slot] = list
	if int(p.seat) < len(list) {
		list[p.seat].seat = p.seat
	}
	c.streams--
	if p.expires != 0 {
		heap.Remove(&c.expiries, int(p.turn))
	}
}

// each calls f with every stream; f may end it.
func (c *clock) each(f func(*parked)) {
	for i := range c.slots {
		for j := len(c.slots[i]) - 1; j >= 0; j-- { // backwards: one that goes is replaced by the last
			f(c.slots[i][j])
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
		next = c.nextBeat
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
			s.drop(w.p, ErrSlow)
		}
		c.waiting = c.waiting[1:]
	}
	for len(c.expiries) > 0 && c.expiries[0].expires <= s.now.UnixNano() {
		s.sayGoodbye(c.expiries[0], ErrExpired)
	}
	if c.streams > 0 && !c.nextBeat.After(s.now) {
		c.nextBeat = s.now.Add(c.heartbeat / beatsPerTicks)
		s.beat()
	}
}

// beat looks at one group: those that were quiet for too long get a heartbeat.
func (s *shard) beat() {
	c := &s.clock
	quiet := s.now.Add(-c.heartbeat * (looksPerBeat - 1) / looksPerBeat).UnixNano()
	list := c.slots[c.slot]
	for i := len(list) - 1; i >= 0; i-- {
		if p := list[i]; p.sent <= quiet && p.backlog == nil && !p.alone && !p.late {
			s.ping(p)
		}
	}
	c.slot = (c.slot + 1) % beatSlots
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

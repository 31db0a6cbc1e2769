package push

import (
	"sync/atomic"

	"github.com/buffkit/buffkit/eventlog"
)

// crowd is the part of an audience that is parked at one shard. Most of its members are in step: they have got exactly what is before
// the crowd's place, so what one read finds there is for all of them, and to deliver it takes nothing of a member but its handle. The others
// catch up, each from a place of its own.
type crowd struct {
	audience *audience
	shard    *shard
	news     atomic.Bool // it is in the shard's inbox, or about to be

	// The shard alone touches what follows.

	at     eventlog.Cursor // zero while nobody is in step
	spot   eventlog.Spot   // where the log has its first topic
	sent   int64           // nanoseconds since 1970: when those in step were last written to
	step   []stepper
	late   []*parked // those that catch up and have nothing of their own, the longest waiting first; some may be gone, or alone
	listed bool      // in shard.late
	tail   []byte    // the newest text of those in step, where they are compressed
}

// stepper is a member that is in step.
type stepper struct {
	p      *parked
	handle int32
	got    int32 // bytes of the crowd's text since it last got something else
}

// inStep tells whether the crowd's place is that of p.
func (p *parked) inStep() bool { return p.place >= 0 }

// join puts a member in step that stands where the crowd does, or where it will if nobody else is.
func (c *crowd) join(p *parked) {
	if len(c.step) == 0 {
		c.at, c.sent = p.at, 0
	}
	p.place = int32(len(c.step))
	c.step = append(c.step, stepper{p, p.handle, 0})
}

// leave lets a member go on from a place of its own, where the crowd is.
func (c *crowd) leave(p *parked) {
	if !p.inStep() {
		return
	}
	p.at, p.sent = c.at, max(p.sent, c.sent)
	last := len(c.step) - 1
	moved := c.step[last]
	c.step[p.place], c.step[last] = moved, stepper{}
	moved.p.place = p.place
	p.place = -1
	if c.step = c.step[:last]; last == 0 {
		c.at, c.tail = eventlog.Cursor{}, nil
	}
}

// samePlace tells whether two cursors of a log are the same.
func samePlace(a, b eventlog.Cursor) bool { return !a.Beyond(b) && !b.Beyond(a) }

package push

import (
	"sync/atomic"

	"github.com/buffkit/buffkit/eventlog"
)

// crowd is the part of an audience that is parked at one shard. Most of its members are in step: they have got all that is before
// the crowd's place, so one read from there is for all of them. The others catch up, each from a place of its own.
type crowd struct {
	audience *audience
	shard    *shard
	news     atomic.Bool // it is in the shard's inbox

	// The shard alone touches what follows.

	at      eventlog.Cursor // zero while nobody is in step
	members []*parked
	late    []*parked // those that catch up and have nothing of their own, the longest waiting first; some may be gone, or alone
	listed  bool      // in shard.late
	tail    []byte    // the newest text of those in step, where they are compressed
}

// wake says that the audience's topics may have news. It doesn't block.
func (c *crowd) wake() {
	if !c.news.Swap(true) {
		c.shard.postNews(c)
	}
}

// add lists a member that isn't in step yet.
func (c *crowd) add(p *parked) {
	if len(c.members) == 0 {
		c.at = eventlog.Cursor{}
		c.tail = c.tail[:0]
	}
	p.place = int32(len(c.members))
	c.members = append(c.members, p)
}

func (c *crowd) remove(p *parked) {
	c.members = swapOut(c.members, p.place)
	if int(p.place) < len(c.members) {
		c.members[p.place].place = p.place
	}
	if len(c.members) == 0 {
		c.tail = nil
	}
}

// reached tells whether a member that has got everything before a place is in step. It is whole if there was nothing left when the log
// was read for it.
func (c *crowd) reached(at eventlog.Cursor, whole bool) bool {
	if c.at.IsZero() {
		return whole
	}
	return !c.at.Beyond(at)
}

// swapOut removes an element by putting the last one in its place.
func swapOut(list []*parked, i int32) []*parked {
	last := len(list) - 1
	list[i] = list[last]
	list[last] = nil
	return list[:last]
}

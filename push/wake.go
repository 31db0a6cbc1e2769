package push

import (
	"errors"
	"hash/maphash"
	"sync"
	"time"

	"github.com/buffkit/buffkit/eventlog"
)

// dispatcher stands between the log and the streams: the log says which topics have news and goes on, and the dispatcher's
// goroutine wakes their streams. News of a topic that come while it is busy count as one.
type dispatcher struct {
	news chan struct{} // one, if there is something to take

	mu     sync.Mutex // guards what follows
	topics map[string]struct{}
	spare  map[string]struct{} // the empty map that topics is swapped with
	canary chan struct{}       // closed at the next wake of topicCanary
}

func newDispatcher() *dispatcher {
	return &dispatcher{
		news:   make(chan struct{}, 1),
		topics: make(map[string]struct{}),
		spare:  make(map[string]struct{}),
		canary: make(chan struct{}),
	}
}

const maxSpareTopics = 1024

// wake notes that a topic has news; "" means any may have. It doesn't block.
func (d *dispatcher) wake(topic string) {
	d.mu.Lock()
	d.topics[topic] = struct{}{}
	d.mu.Unlock()
	signal(d.news)
}

// signal leaves a token in a channel of capacity one, if none is there.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// take returns the topics with news. They belong to the caller until the next take.
func (d *dispatcher) take() map[string]struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	taken := d.topics
	if len(d.spare) > maxSpareTopics {
		d.spare = make(map[string]struct{}) // to clear a map costs what it once held
	}
	clear(d.spare)
	d.topics, d.spare = d.spare, taken
	if _, ok := taken[topicCanary]; ok {
		close(d.canary)
		d.canary = make(chan struct{})
	}
	return taken
}

// awaitCanary returns a channel that is closed when the next canary comes by.
func (d *dispatcher) awaitCanary() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.canary
}

// watch listens to the log until the broker ends.
func (b *Broker) watch() {
	for {
		err := b.log.Watch(b.ctx, b.wakes.wake)
		if b.ctx.Err() != nil {
			return
		}
		if errors.Is(err, eventlog.ErrClosed) {
			b.logger().Error("push: the log was closed before the broker; all streams end")
			b.streams.wake(topicAll) // they find out when they read
			return
		}
		b.logger().Error("push: the log stopped telling news; trying again", "error", err, "in", watchRetry)
		select {
		case <-time.After(watchRetry):
		case <-b.ctx.Done():
			return
		}
	}
}

const watchRetry = time.Second

// dispatch wakes streams until the broker ends.
func (b *Broker) dispatch() {
	for {
		select {
		case <-b.wakes.news:
		case <-b.ctx.Done():
			return
		}
		topics := b.wakes.take()
		if _, any := topics[""]; any {
			b.streams.wake(topicAll) // every stream follows it
			continue
		}
		for topic := range topics {
			b.streams.wake(topic)
		}
	}
}

// index finds the streams of a topic. A publish touches the shard of its topic and the streams that follow it, nothing else.
type index struct {
	seed   maphash.Seed
	shards [64]indexShard // enough that few publishers meet; a power of two
}

type indexShard struct {
	mu     sync.Mutex // guards topics, and of each connection the places for topics of this shard
	topics map[string][]follower
}

// follower is a connection in the list of its topic number slot. The connection's places[slot] says where in the list it is,
// so that it leaves without a search.
type follower struct {
	c    *connection
	slot int
}

func (x *index) init() {
	x.seed = maphash.MakeSeed()
	for i := range x.shards {
		x.shards[i].topics = make(map[string][]follower)
	}
}

func (x *index) shard(topic string) *indexShard {
	return &x.shards[maphash.String(x.seed, topic)%uint64(len(x.shards))]
}

// add makes a connection a follower of its topics.
func (x *index) add(c *connection) {
	c.places = make([]int, len(c.topics))
	for slot, topic := range c.topics {
		s := x.shard(topic)
		s.mu.Lock()
		c.places[slot] = len(s.topics[topic])
		s.topics[topic] = append(s.topics[topic], follower{c, slot})
		s.mu.Unlock()
	}
}

// remove ends what add began.
func (x *index) remove(c *connection) {
	for slot, topic := range c.topics {
		s := x.shard(topic)
		s.mu.Lock()
		list, place := s.topics[topic], c.places[slot]
		last := len(list) - 1
		list[place] = list[last]
		list[place].c.places[list[place].slot] = place
		list[last] = follower{}
		if last == 0 {
			delete(s.topics, topic)
		} else {
			s.topics[topic] = list[:last]
		}
		s.mu.Unlock()
	}
}

// place returns how many streams stood before a connection in the list of its topic number slot when it came, or fewer.
func (x *index) place(c *connection, slot int) int {
	s := x.shard(c.topics[slot])
	s.mu.Lock()
	defer s.mu.Unlock()
	return c.places[slot]
}

// count returns how many streams follow a topic.
func (x *index) count(topic string) int {
	s := x.shard(topic)
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.topics[topic])
}

// wake leaves each stream of a topic a token; none is waited for.
func (x *index) wake(topic string) {
	s := x.shard(topic)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.topics[topic] {
		signal(f.c.woken)
	}
}

// connections returns the streams of a topic.
func (x *index) connections(topic string) []*connection {
	s := x.shard(topic)
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]*connection, len(s.topics[topic]))
	for i, f := range s.topics[topic] {
		all[i] = f.c
	}
	return all
}

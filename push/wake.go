package push

import (
	"errors"
	"strings"
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
	canary chan struct{}       // closed at the next wake of topicCanary, or of any topic
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
	_, sung := taken[topicCanary]
	_, any := taken[""]
	if sung || any {
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

// news takes what the log tells. It is called before an event can be read, so that a shard which has read for a crowd knows who
// has something of its own before that.
func (b *Broker) news(topic string) {
	if id, ok := strings.CutPrefix(topic, topicSession); ok {
		if s, ok := b.sessions.get(id); ok {
			s.wake()
		}
	} else if user, ok := strings.CutPrefix(topic, topicUser); ok {
		b.streams.wakeUser(user)
	} else {
		if topic == "" {
			b.shards.post(func(in *inbox) { in.all = true })
		}
		b.wakes.wake(topic)
	}
}

// watch listens to the log until the broker ends.
func (b *Broker) watch() {
	for {
		err := b.log.Watch(b.ctx, b.news)
		if b.ctx.Err() != nil {
			return
		}
		if errors.Is(err, eventlog.ErrClosed) {
			b.logger().Error("push: the log was closed before the broker; all streams end")
			r := rousing{topics: []string{topicAll}}
			r.wake(&b.streams) // they find out when they read
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

// linger lets news gather. It returns false when the broker ends.
func (b *Broker) linger() bool {
	wait := time.NewTimer(b.opts.Linger)
	defer wait.Stop()
	select {
	case <-wait.C:
		return true
	case <-b.ctx.Done():
		return false
	}
}

// dispatch wakes streams until the broker ends.
func (b *Broker) dispatch() {
	var r rousing
	for {
		select {
		case <-b.wakes.news:
		case <-b.ctx.Done():
			return
		}
		if b.opts.Linger > 0 && !b.linger() {
			return
		}
		topics := b.wakes.take()
		if _, any := topics[""]; any {
			topics = map[string]struct{}{topicAll: {}} // every audience follows it
		}
		for topic := range topics {
			if r.topics = append(r.topics, topic); len(r.topics) == together {
				r.wake(&b.streams)
			}
		}
		r.wake(&b.streams)
	}
}

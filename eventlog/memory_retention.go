package eventlog

import (
	"container/heap"
	"fmt"
	"math/bits"
	"time"
)

// makeRoomFor checks that the batch can be stored at all, and drops what must go for it.
func (m *Memory) makeRoomFor(events []Event, bodies int) error {
	fresh := m.freshTopics(events)
	if over := len(m.topics) + fresh - m.opts.MaxTopics; over > 0 && !m.forgetEmpty(over) {
		return fmt.Errorf("%w: %d topics have events; raise MaxTopics or keep events for a shorter time", ErrFull, len(m.topics))
	}
	need := int64(bodies) + int64(len(events))*(maxIDBytes+recordBytes) + int64(fresh)*topicBytes
	for i := range events {
		need += idempotencyBytes(events[i].Topic, events[i].IdempotencyKey)
	}
	if need+m.keys.bytes > m.opts.MaxBytes {
		return fmt.Errorf("%w: %d bytes needed of %d, and %d are taken by idempotency keys; raise MaxBytes",
			ErrFull, need, m.opts.MaxBytes, m.keys.bytes)
	}
	m.evictTo(m.opts.MaxBytes - need)
	return nil
}

// freshTopics counts the topics of the events that the log doesn't know.
func (m *Memory) freshTopics(events []Event) int {
	if len(events) == 1 {
		if _, known := m.topics[events[0].Topic]; known {
			return 0
		}
		return 1
	}
	fresh := make(map[string]struct{})
	for i := range events {
		if _, known := m.topics[events[i].Topic]; !known {
			fresh[events[i].Topic] = struct{}{}
		}
	}
	return len(fresh)
}

// forgetEmpty forgets n topics that have no events, those that are empty for longest; it tells whether there were so many.
// What they had dropped is remembered by the floor.
func (m *Memory) forgetEmpty(n int) bool {
	for range n {
		t := m.classes.front(0)
		if t == nil {
			return false
		}
		m.forget(t)
	}
	return true
}

func (m *Memory) forget(t *topic) {
	m.floor = max(m.floor, t.trimmed)
	m.classes.remove(t)
	if t.dueIndex >= 0 {
		heap.Remove(&m.due, t.dueIndex)
	}
	delete(m.topics, t.name)
	m.bytes -= t.overhead()
}

// evictTo drops the oldest events of the largest topics until the log takes no more than budget bytes or is empty.
func (m *Memory) evictTo(budget int64) {
	for m.bytes > budget {
		t := m.classes.largest()
		if t == nil {
			return
		}
		if t.count == 0 {
			m.forget(t)
			continue
		}
		m.bytes -= t.dropOldestChunk()
		m.classes.remove(t) // to the back: topics of a size take turns
		m.classes.place(t)
	}
}

// trimTopic drops what is over the topic's own limits.
func (m *Memory) trimTopic(t *topic, now time.Time) {
	for t.count > 1 && (t.count > t.keep.Count || t.wire > t.keep.Bytes) {
		m.bytes -= t.drop()
	}
	if t.keep.Age == time.Duration(unlimited) {
		return
	}
	limit := Offset(max(now.Add(-t.keep.Age).UnixMicro(), 0))
	for t.count > 0 && t.oldest() < limit {
		m.bytes -= t.drop()
	}
}

// sweep drops what has become too old, until Close.
func (m *Memory) sweep() {
	defer close(m.swept)
	tick := time.NewTicker(sweepInterval)
	defer tick.Stop()
	for {
		select {
		case <-m.done:
			return
		case now := <-tick.C:
			for m.sweepSome(now) {
			}
		}
	}
}

// sweepSome trims the topics that are due, as many as may be done under one lock, and tells whether there are more.
func (m *Memory) sweepSome(now time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return false
	}
	m.bytes -= m.keys.expire(now.Add(-m.opts.IdempotencyWindow))
	for range sweepBatch {
		if len(m.due) == 0 || m.due[0].dueAt().After(now) {
			return false
		}
		t := heap.Pop(&m.due).(*topic)
		m.trimTopic(t, now)
		m.classes.place(t)
		m.due.add(t)
	}
	return true
}

// classes holds the topics in lists by the size of their memory, one list a power of two, so that the largest is found, within a
// factor of two, without sorting. Class 0 is the topics without events, those that are empty for longest first.
type classes struct {
	lists [64]struct{ front, back *topic }
	used  uint64 // a bit for each list that isn't empty
}

func classOf(t *topic) uint8 {
	if t.count == 0 {
		return 0
	}
	return uint8(min(bits.Len64(uint64(t.memory)), 63))
}

// place puts a topic at the back of the list of its size, if it isn't in it yet.
func (c *classes) place(t *topic) {
	class := classOf(t)
	if c.has(t) {
		if t.class == class {
			return
		}
		c.remove(t)
	}
	t.class = class
	l := &c.lists[class]
	t.prev, t.next = l.back, nil
	if l.back == nil {
		l.front = t
	} else {
		l.back.next = t
	}
	l.back = t
	c.used |= 1 << class
}

func (c *classes) has(t *topic) bool { return t.prev != nil || c.lists[t.class].front == t }

func (c *classes) remove(t *topic) {
	l := &c.lists[t.class]
	if t.prev == nil {
		l.front = t.next
	} else {
		t.prev.next = t.next
	}
	if t.next == nil {
		l.back = t.prev
	} else {
		t.next.prev = t.prev
	}
	t.prev, t.next = nil, nil
	if l.front == nil {
		c.used &^= 1 << t.class
	}
}

func (c *classes) front(class uint8) *topic { return c.lists[class].front }

// largest returns a topic of the largest class, nil if there is none.
func (c *classes) largest() *topic {
	if c.used == 0 {
		return nil
	}
	return c.front(uint8(bits.Len64(c.used) - 1))
}

// dueQueue is a heap of the topics by when their oldest event gets too old. A topic isn't moved when its oldest events are dropped
// for another reason: it is then looked at once too early, and put back.
type dueQueue []*topic

func (t *topic) dueAt() time.Time { return t.dueSince.Time().Add(t.keep.Age) }

// add puts a topic into the queue, if it has events that age and isn't in it.
func (q *dueQueue) add(t *topic) {
	if t.dueIndex >= 0 || t.count == 0 || t.keep.Age == time.Duration(unlimited) {
		return
	}
	t.dueSince = t.oldest()
	heap.Push(q, t)
}

func (q dueQueue) Len() int           { return len(q) }
func (q dueQueue) Less(i, j int) bool { return q[i].dueAt().Before(q[j].dueAt()) }
func (q dueQueue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].dueIndex, q[j].dueIndex = i, j
}

// Push implements heap.Interface.
func (q *dueQueue) Push(x any) {
	t := x.(*topic)
	t.dueIndex = len(*q)
	*q = append(*q, t)
}

// Pop implements heap.Interface.
func (q *dueQueue) Pop() any {
	old := *q
	t := old[len(old)-1]
	old[len(old)-1] = nil
	*q = old[:len(old)-1]
	t.dueIndex = -1
	return t
}

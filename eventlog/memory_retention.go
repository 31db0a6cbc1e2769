package eventlog

import (
	"container/heap"
	"fmt"
	"time"
)

// admit returns an error unless all events can be stored. It changes nothing: a refused batch costs nobody an event.
func (m *Memory) admit(events []Event, bodies *encoded) error {
	var all, largest, keys int64
	first := make(map[string]struct{}) // the topics that get their first event, or the first after all were dropped
	for i := range events {
		e := &events[i]
		if _, repeat := m.keys.find(e); repeat {
			continue
		}
		size := int64(len(e.Key) + maxIDBytes + len(bodies.body(i)))
		all += size + recordBytes
		largest = max(largest, loneTopicBytes(e.Topic, size))
		keys += idempotencyBytes(e)
		if t := m.topics[e.Topic]; t == nil || t.count == 0 {
			first[e.Topic] = struct{}{}
		}
	}
	if live := m.liveTopics(); live+len(first) > m.opts.MaxTopics {
		return fmt.Errorf("%w: %d topics have events, and this would be %d more; raise MaxTopics or keep events for a shorter time",
			ErrFull, live, len(first))
	}
	if need := max(all, largest) + keys; need+m.keys.bytes > m.opts.MaxBytes {
		return fmt.Errorf("%w: %d bytes needed of %d, and %d are taken by idempotency keys; raise MaxBytes or append less at once",
			ErrFull, need, m.opts.MaxBytes, m.keys.bytes)
	}
	return nil
}

func (m *Memory) liveTopics() int { return len(m.topics) - m.classes.empties }

// count brings the totals up to date after events of the topic, which had the extent before, came or went.
func (m *Memory) count(t *topic, before extent) {
	m.events += t.count - before.count
	m.bytes += t.memory - before.memory
	if t.count == 0 {
		t.chunks = nil // an empty topic costs no slice
	}
}

// evict drops the oldest events of the largest topics, and forgets empty ones, until the log is within MaxBytes. The topic
// given keeps the event that was just stored in it; it must be placed into its class afterwards.
func (m *Memory) evict(newest *topic) {
	if m.bytes <= m.opts.MaxBytes {
		return
	}
	m.classes.remove(newest)
	for m.bytes > m.opts.MaxBytes {
		t, class := m.classes.heaviest()
		switch {
		case len(newest.chunks) > 1 && classOf(newest) >= class:
			m.dropChunk(newest)
		case t == nil && newest.count == 0: // a topic that a Replica has looked up, and nothing else
			return
		case t == nil: // nothing is left but what stands beside the newest event
			before := newest.extent
			newest.isolate()
			m.count(newest, before)
			return // it fits: admit saw to that. What a Replica is told may not, and is kept all the same
		case t.count == 0:
			m.forget(t)
		default:
			m.dropChunk(t)
			m.classes.remove(t) // to the back: topics of a size take turns
			m.classes.place(t)
		}
	}
}

func (m *Memory) dropChunk(t *topic) {
	before := t.extent
	t.dropChunk()
	m.count(t, before)
}

// forgetOne makes place for another topic: the one that is empty for longest goes, or in a Replica's memory one that takes little.
func (m *Memory) forgetOne() {
	t := m.classes.longestEmpty()
	if t == nil {
		t = m.classes.lightest()
		before := t.extent
		t.dropAll()
		m.count(t, before)
	}
	m.forget(t)
}

// forget drops a topic without events. The floor remembers how far it had dropped any.
func (m *Memory) forget(t *topic) {
	m.floor = max(m.floor, t.trimmed)
	m.classes.remove(t)
	m.due.remove(t)
	delete(m.topics, t.name)
	t.forgotten = true
	m.bytes -= t.overhead()
}

// letGo parts from all topics. Whoever has a Spot keeps one of them, but not its events.
func (m *Memory) letGo() {
	for _, t := range m.topics {
		t.chunks = nil
	}
	m.era++
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

// sweepSome drops what has expired, of as many topics as may be looked at under one lock. It tells whether there are more.
func (m *Memory) sweepSome(now time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return false
	}
	m.bytes -= m.keys.expire(now.Add(-m.opts.IdempotencyWindow))
	for range sweepBatch {
		if len(m.due) == 0 || m.due[0].dueAt > offsetAt(now) {
			return false
		}
		t := heap.Pop(&m.due).(*topic)
		before := t.extent
		t.expire(offsetAt(now))
		m.count(t, before)
		m.classes.place(t)
		m.due.add(t)
	}
	return true
}

package eventlog

import (
	"bytes"
	"fmt"
	"slices"
)

// LoneTopicBytes is what admit takes for the most that one event can need.
func LoneTopicBytes(topic string, size int64) int64 { return loneTopicBytes(topic, size) }

// IdempotencyBytes is what the books say of a key.
func IdempotencyBytes(e *Event) int64 { return idempotencyBytes(e) }

// LoneTopic returns the memory of a topic that holds one event of that size and nothing else.
func LoneTopic(name string, size int) int64 {
	t := newTopic(name, Retention{}, 0)
	t.append(1, "", nil, make([]byte, size))
	return t.overhead() + t.memory
}

// Dropped returns the newest offset that the topic has dropped, as far as the log knows.
func (m *Memory) Dropped(topic string) Offset {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if t, ok := m.topics[topic]; ok {
		return t.trimmed
	}
	return m.floor
}

// Waiters returns how many wait for what they have appended.
func (r *Replica) Waiters() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.waiters)
}

// Doubts returns how many records are to be looked for in the store.
func (r *Replica) Doubts() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.doubts)
}

// Watchers returns how many watch.
func (m *Memory) Watchers() int {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return len(m.watchers)
}

// SweeperIsGone tells whether the sweeper has ended.
func (m *Memory) SweeperIsGone() bool {
	select {
	case <-m.swept:
		return true
	default:
		return false
	}
}

// Check recounts everything and compares it with the books.
func (m *Memory) Check() error {
	m.mu.RLock()
	defer m.mu.RUnlock()
	c := checker{m: m}
	c.topics()
	c.classes()
	c.due()
	c.keys()
	c.equal("events", m.events, c.events)
	c.equal("bytes", m.bytes, c.bytes)
	if m.bytes > m.opts.MaxBytes {
		c.fail("%d bytes, at most %d", m.bytes, m.opts.MaxBytes)
	}
	if len(m.topics) > m.opts.MaxTopics {
		c.fail("%d topics, at most %d", len(m.topics), m.opts.MaxTopics)
	}
	if m.floor > m.last {
		c.fail("floor %d beyond the newest offset %d", m.floor, m.last)
	}
	return c.err
}

// checker collects the first error and the sums.
type checker struct {
	m      *Memory
	err    error
	events int
	bytes  int64
}

func (c *checker) fail(format string, args ...any) {
	if c.err == nil {
		c.err = fmt.Errorf(format, args...)
	}
}

func (c *checker) equal(what string, booked, counted any) {
	if fmt.Sprint(booked) != fmt.Sprint(counted) {
		c.fail("%s: %v by the books, %v counted", what, booked, counted)
	}
}

func (c *checker) topics() {
	for name, t := range c.m.topics {
		c.equal("name of "+name, t.name, name)
		sum := c.chunks(t)
		c.equal("extent of "+name, t.extent, sum)
		if t.newest > c.m.last {
			c.fail("%s: newest %d beyond the log's %d", name, t.newest, c.m.last)
		}
		if t.count > t.keep.Count || t.wire > t.keep.Bytes && t.count > 1 {
			c.fail("%s: %+v is over %+v", name, t.extent, t.keep)
		}
		if t.keep.Count < 1 || t.keep.Bytes < 1 || t.keep.Age < 1 {
			c.fail("%s: retention %+v", name, t.keep)
		}
		c.events += sum.count
		c.bytes += sum.memory + t.overhead()
	}
}

func (c *checker) chunks(t *topic) (sum extent) {
	last := t.trimmed
	for i := range t.chunks {
		ch := &t.chunks[i]
		first := 0
		if i == 0 {
			first = t.first
		}
		if first >= len(ch.records) {
			c.fail("%s: chunk %d is dead", t.name, i)
		}
		for j, r := range ch.records {
			if j < first {
				continue
			}
			if r.offset <= last {
				c.fail("%s: offset %d behind %d", t.name, r.offset, last)
			}
			last = r.offset
			frame := ch.data[ch.start(j)+uint32(r.key) : r.end]
			if !bytes.HasPrefix(frame, appendIDLine(nil, c.m.idHead, r.offset)) || !bytes.HasSuffix(frame, []byte("\n\n")) {
				c.fail("%s: offset %d has the frame %q", t.name, r.offset, frame)
			}
			sum.count++
			sum.wire += int64(r.end - ch.start(j))
		}
		c.equal("end of a chunk of "+t.name, int(ch.records[len(ch.records)-1].end), len(ch.data))
		sum.memory += chunkBytes + int64(cap(ch.data)) + int64(cap(ch.records))*recordBytes
	}
	if sum.count > 0 {
		c.equal("newest of "+t.name, t.newest, last)
	}
	c.equal("chunks of the empty "+t.name, len(t.chunks) == 0, sum.count == 0)
	return sum
}

func (c *checker) classes() {
	listed, empties, emptyBytes := 0, 0, int64(0)
	for class, l := range c.m.classes.lists {
		c.equal(fmt.Sprint("use of class ", class), c.m.classes.used>>class&1 == 1, l.front != nil)
		var prev *topic
		for t := l.front; t != nil && c.err == nil; prev, t = t, t.next {
			listed++
			c.equal("class of "+t.name, t.class, class)
			c.equal("memory class of "+t.name, classOf(t), class)
			if t.prev != prev || c.m.topics[t.name] != t {
				c.fail("%s is linked wrongly in class %d", t.name, class)
			}
			if t.count == 0 {
				empties, emptyBytes = empties+1, emptyBytes+t.overhead()
			}
		}
		if l.back != prev {
			c.fail("class %d ends wrongly", class)
		}
	}
	c.equal("topics in classes", len(c.m.topics), listed)
	c.equal("empty topics", c.m.classes.empties, empties)
	c.equal("bytes of empty topics", c.m.classes.emptyBytes, emptyBytes)
}

func (c *checker) due() {
	for i, t := range c.m.due {
		if t.dueIndex != i || c.m.topics[t.name] != t {
			c.fail("%s is at %d of the due queue, not %d", t.name, i, t.dueIndex)
		}
		if i > 0 && t.dueAt < c.m.due[(i-1)/2].dueAt {
			c.fail("%s is due before its parent", t.name)
		}
		if t.count > 0 && t.dueAt > t.keep.expires(t.oldest()) {
			c.fail("%s is due at %d, after its oldest event expires", t.name, t.dueAt)
		}
	}
	for name, t := range c.m.topics {
		if t.count > 0 && t.dueIndex < 0 {
			c.fail("%s is never due", name)
		}
	}
}

func (c *checker) keys() {
	var all []*idempotencyEntry
	size := int64(0)
	for e := c.m.keys.first; e != nil; e = e.next {
		all = append(all, e)
		size += idempotencyBytes(&Event{Topic: e.key.topic, IdempotencyKey: e.key.key})
		if c.m.keys.seen[e.key] != e || (e.next == nil) != (e == c.m.keys.last) {
			c.fail("key %v is linked wrongly", e.key)
		}
	}
	if !slices.IsSortedFunc(all, func(a, b *idempotencyEntry) int { return a.at.Compare(b.at) }) {
		c.fail("keys aren't in the order of their time")
	}
	c.equal("keys", len(c.m.keys.seen), len(all))
	c.equal("bytes of keys", c.m.keys.bytes, size)
	c.bytes += size
}

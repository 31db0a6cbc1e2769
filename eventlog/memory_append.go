package eventlog

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/buffkit/buffkit/sse"
)

// encoded holds the bodies of one Append: everything on the wire but the ids, which are known only under the lock.
type encoded struct {
	bytes []byte
	ends  []int
}

var encodedPool = sync.Pool{New: func() any { return new(encoded) }}

const maxPooledBytes = 1 << 20 // a rare huge batch shouldn't stay in the pool

// Append implements Log.
func (m *Memory) Append(ctx context.Context, events ...Event) ([]Cursor, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	bodies := encodedPool.Get().(*encoded)
	defer bodies.release()
	if err := bodies.encode(events, m.opts.MaxEventBytes); err != nil {
		return nil, err
	}
	return m.appendEncoded(events, bodies)
}

func (e *encoded) release() {
	if cap(e.bytes) <= maxPooledBytes {
		e.bytes, e.ends = e.bytes[:0], e.ends[:0]
		encodedPool.Put(e)
	}
}

func (e *encoded) body(i int) []byte {
	start := 0
	if i > 0 {
		start = e.ends[i-1]
	}
	return e.bytes[start:e.ends[i]]
}

// encode checks the events and builds their bodies, outside the lock.
func (e *encoded) encode(events []Event, maxBytes int) error {
	for i, event := range events {
		if err := e.encodeOne(event, maxBytes); err != nil {
			return &EventError{Index: i, Topic: event.Topic[:min(len(event.Topic), 64)], Err: err}
		}
	}
	return nil
}

func (e *encoded) encodeOne(event Event, maxBytes int) error {
	if err := CheckTopic(event.Topic); err != nil {
		return err
	}
	if len(event.Key) > MaxTopicBytes || len(event.IdempotencyKey) > MaxTopicBytes {
		return fmt.Errorf("%w: key of more than %d bytes", ErrInvalid, MaxTopicBytes)
	}
	// Before the copy, so that a huge event costs nothing.
	if len(event.Data)+len(event.Name) > maxBytes {
		return tooLarge(len(event.Data)+len(event.Name), maxBytes)
	}
	start := len(e.bytes)
	grown, err := sse.AppendBody(e.bytes, event.Name, event.Data)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	e.bytes = grown
	e.ends = append(e.ends, len(grown))
	if size := len(grown) - start + maxIDBytes + len(event.Key); size > maxBytes {
		return tooLarge(size, maxBytes)
	}
	return nil
}

func tooLarge(size, maxBytes int) error {
	return fmt.Errorf("%w: %d bytes on the wire, at most %d; raise MaxEventBytes, or publish a link to it", ErrTooLarge, size, maxBytes)
}

// maxIDBytes is the longest id line: "id: ", an epoch of 8 digits, ".", 13 digits of an uint64, LF.
const maxIDBytes = 4 + 8 + 1 + 13 + 1

func (m *Memory) appendEncoded(events []Event, bodies *encoded) ([]Cursor, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, ErrClosed
	}
	now := time.Now()
	m.bytes -= m.keys.expire(now.Add(-m.opts.IdempotencyWindow))
	if err := m.admit(events, bodies); err != nil {
		return nil, err
	}
	cursors := make([]Cursor, len(events))
	for i := range events {
		cursors[i] = NewCursor(m.epoch, m.store(&events[i], bodies.body(i), now))
	}
	m.tell(events)
	return cursors, nil
}

// store puts one event at the end of its topic, or finds the one that was stored with its idempotency key.
func (m *Memory) store(event *Event, body []byte, now time.Time) Offset {
	if offset, ok := m.keys.find(event); ok {
		return offset
	}
	t := m.topicFor(event.Topic)
	offset := m.last.Next(now)
	m.bytes += m.keys.add(event, t.name, offset, now)
	m.put(t, offset, event.Key, body)
	return offset
}

// put makes what stands at an offset the newest event of its topic and of the log.
func (m *Memory) put(t *topic, offset Offset, key string, body []byte) {
	m.last = offset
	var buf [maxIDBytes]byte
	id := appendIDLine(buf[:0], m.idHead, offset)

	before := t.extent
	t.makeRoom(len(key) + len(id) + len(body))
	t.append(offset, key, id, body)
	m.count(t, before)
	m.evict(t)
	m.classes.place(t)
	m.due.add(t)
}

func appendIDLine(dst, head []byte, offset Offset) []byte {
	dst = append(dst, head...)
	dst = strconv.AppendUint(dst, uint64(offset), cursorBase)
	return append(dst, '\n')
}

// topicFor returns the topic, a new one if need be. The log may have one more that has events: admit saw to that, or one is given up.
func (m *Memory) topicFor(name string) *topic {
	if t, ok := m.topics[name]; ok {
		return t
	}
	if len(m.topics) >= m.opts.MaxTopics {
		m.forgetOne()
	}
	t := newTopic(name, m.retentionOf(name), m.floor)
	m.topics[t.name] = t
	m.bytes += t.overhead()
	return t
}

func (m *Memory) retentionOf(name string) Retention {
	if m.opts.RetentionOf == nil {
		return m.opts.Retention
	}
	return m.opts.RetentionOf(name).or(m.opts.Retention)
}

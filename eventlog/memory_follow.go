package eventlog

import (
	"fmt"
	"slices"
	"time"
)

// errNotLoaded is in the Gap of a topic of which a Replica's memory lacks something that the store may have.
var errNotLoaded = fmt.Errorf("%w from memory; Read looks into the store", ErrTrimmed)

// restart forgets everything and goes on behind the head of a log. Any reader may have lost something.
func (m *Memory) restart(epoch uint64, head Offset) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return
	}
	m.epoch, m.idHead = epoch, idHeadOf(epoch)
	m.last, m.floor = head, head
	m.letGo()
	m.topics, m.classes, m.due, m.events, m.bytes = make(map[string]*topic), classes{}, nil, 0, 0
	for _, w := range m.watchers {
		w.wake("")
	}
}

// follow adds records that come next in the log. One without a body is one that can't be opened: its topic begins behind it.
func (m *Memory) follow(records []Record) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return
	}
	for i := range records {
		m.add(&records[i])
	}
	for i := range records {
		if i > 0 && records[i].Topic == records[i-1].Topic {
			continue
		}
		for _, w := range m.watchers {
			w.wake(records[i].Topic)
		}
	}
}

func (m *Memory) add(r *Record) {
	t := m.topicFor(r.Topic)
	if t.count == 0 || r.Prev > t.newest || r.Body == nil {
		m.empty(t)
		t.trimmed, t.gone = r.Prev, min(t.gone, r.Prev)
	}
	if r.Body != nil {
		m.put(t, r.Offset, r.Key, r.Body)
		return
	}
	m.last = r.Offset
	t.newest, t.trimmed, t.gone = r.Offset, r.Offset, r.Offset
	m.classes.place(t)
}

// misses tells that a topic has no event at an offset up to the head, though nothing there was dropped. Of another log it tells nothing.
func (m *Memory) misses(epoch uint64, name string, offset Offset) bool {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if m.closed || m.epoch != epoch {
		return false
	}
	t, known := m.topics[name]
	switch {
	case !known:
		return m.floor < offset
	case offset <= t.trimmed:
		return false
	case t.count == 0 || t.newest < offset:
		return true
	}
	at, _ := t.after(offset - 1)
	return t.offset(at) != offset
}

func (m *Memory) empty(t *topic) {
	before := t.extent
	t.dropAll()
	m.count(t, before)
}

// lack is what a Replica's memory hasn't got of a topic, and has room for.
type lack struct {
	epoch uint64
	until Offset // nothing behind it is lacking
	count int    // records that there is room for, none if it is useless to load any
	bytes int64
	keep  Retention
}

const loadShare = 8 // a load takes no more than this part of all memory: it may push out other topics

func (m *Memory) lacks(name string) lack {
	m.mu.RLock()
	defer m.mu.RUnlock()
	t, known := m.topics[name]
	if !known {
		t = newTopic("", m.retentionOf(name), m.floor)
	}
	l := lack{epoch: m.epoch, until: t.trimmed, keep: t.keep}
	l.count = t.keep.Count - t.count
	l.bytes = min(t.keep.Bytes-t.wire, m.opts.MaxBytes/loadShare)
	if room := m.room(t); room/2 < l.bytes { // in memory events take up to twice their bytes
		if l.bytes = room / 2; room <= t.memory/2 { // evict would take it back at once, and so page after page
			l.bytes = 0
		}
	}
	if l.bytes <= 0 || t.gone == t.trimmed {
		l.count = 0
	}
	return l
}

// room is by how much a topic may grow so that evict leaves it that: what is free, or up to the class below the heaviest.
func (m *Memory) room(t *topic) int64 {
	room := m.opts.MaxBytes - m.bytes
	if _, class := m.classes.heaviest(); class > 0 {
		room = max(room, int64(1)<<(class-1)-1-t.memory)
	}
	return room
}

// past makes a topic of what a store has kept, nil if all of that is too old.
func (l *lack) past(name string, h History) *topic {
	t := newTopic(name, l.keep, h.Trimmed)
	t.newest, t.gone = h.Trimmed, h.Trimmed
	if len(h.Records) == 0 {
		return t
	}
	t.trimmed = h.Records[0].Prev
	if t.gone >= t.trimmed || t.trimmed == 0 { // these are all: only the store's upper bound says otherwise
		t.gone = t.trimmed
	}
	var buf [maxIDBytes]byte
	head := idHeadOf(l.epoch)
	for i := range h.Records {
		r := &h.Records[i]
		t.append(r.Offset, r.Key, appendIDLine(buf[:0], head, r.Offset), r.Body)
	}
	if t.expire(offsetAt(time.Now())); t.count == 0 {
		return nil
	}
	return t
}

// join puts the past of a topic, which is whole up to what was lacking, in front of what is kept of it. It does nothing if the memory has moved on.
func (m *Memory) join(l lack, past *topic) {
	m.mu.Lock()
	defer m.mu.Unlock()
	t, known := m.topics[past.name]
	switch {
	case m.closed || m.epoch != l.epoch:
		return
	case !known && m.floor > l.until, known && t.trimmed > l.until: // what lay between was dropped meanwhile
		return
	}
	if !known {
		t = m.topicFor(past.name)
		t.trimmed, t.newest = past.trimmed, past.newest
	}
	before := t.extent
	t.prepend(past)
	for t.count > 1 && (t.count > t.keep.Count || t.wire > t.keep.Bytes) {
		t.drop()
	}
	m.count(t, before)
	m.evict(t)
	m.classes.place(t)
	m.due.remove(t)
	m.due.add(t)
}

// prepend takes over the events of another topic, older than its own.
func (t *topic) prepend(past *topic) {
	switch {
	case past.count == 0 || t.count > 0 && past.newest != t.trimmed: // nothing is left before what is here
		t.gone = t.trimmed
		return
	case t.count > 0 && t.first > 0:
		t.memory -= t.chunks[0].memory()
		t.chunks[0] = t.chunks[0].from(t.first)
		t.memory += t.chunks[0].memory()
	}
	t.chunks = slices.Concat(past.chunks, t.chunks)
	t.first, t.trimmed, t.gone = past.first, past.trimmed, past.gone
	t.newest = max(t.newest, past.newest)
	t.count += past.count
	t.wire += past.wire
	t.memory += past.memory
}

// from returns the chunk without the events before the i-th. The bytes of a chunk are never moved: readers hold them.
func (c *chunk) from(i int) chunk {
	start := c.start(i)
	rest := chunk{data: slices.Clone(c.data[start:]), records: slices.Clone(c.records[i:])}
	for j := range rest.records {
		rest.records[j].end -= start
	}
	return rest
}

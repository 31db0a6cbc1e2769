package eventlog

import (
	"slices"
	"sort"
	"strings"
	"unsafe"
)

// A topic keeps its events in chunks of its own: bytes end to end, with a small record for each event. A chunk is as
// large as half of what the topic holds, so that dead events, which stay until their chunk's last one dies, are never more than that,
// and at most maxChunkBytes. Chunks are written once and never reused: a reader may still hold frames of a dropped one.
type topic struct {
	name    string
	keep    Retention
	chunks  []chunk // oldest first
	first   int     // the oldest live event of chunks[0]
	count   int     // live events
	wire    int64   // their bytes
	memory  int64   // of the chunks, live or dead
	trimmed Offset  // the newest dropped
	newest  Offset  // the newest ever

	class      uint8  // where in classes it is
	prev, next *topic // in its class

	dueIndex int    // where in dueQueue it is, -1 if it isn't
	dueSince Offset // of its oldest event when it was put there
}

type chunk struct {
	data    []byte // key and frame of each event, end to end
	records []record
}

type record struct {
	offset Offset
	end    uint32 // of its frame; its key starts where the record before it ends
	key    uint8  // bytes of the key
}

const (
	minChunkBytes = 1 << 10  // smaller ones cost more in books than they save
	maxChunkBytes = 64 << 10 // above, allocation gets no cheaper
	recordBytes   = int64(unsafe.Sizeof(record{}))
	chunkBytes    = int64(unsafe.Sizeof(chunk{}))
	topicBytes    = int64(unsafe.Sizeof(topic{})) + 48 // and its share of the map and the due queue
)

func newTopic(name string, keep Retention) *topic {
	return &topic{name: strings.Clone(name), keep: keep, dueIndex: -1}
}

// overhead is the memory of a topic without its chunks.
func (t *topic) overhead() int64 { return topicBytes + int64(len(t.name)) }

// append stores an event and returns by how much the topic's memory grew.
func (t *topic) append(offset Offset, key string, body []byte, appendIDLine func([]byte, Offset) []byte) int64 {
	before := t.memory
	c := t.chunkFor(len(key) + maxIDBytes + len(body))
	start := len(c.data)
	c.data = append(c.data, key...)
	c.data = appendIDLine(c.data, offset)
	c.data = append(c.data, body...)
	room := cap(c.records)
	c.records = append(c.records, record{offset: offset, end: uint32(len(c.data)), key: uint8(len(key))})
	t.memory += int64(cap(c.records)-room) * recordBytes
	t.count++
	t.wire += int64(len(c.data) - start - len(key))
	t.newest = offset
	return t.memory - before
}

// chunkFor returns the last chunk if it has the room, else a new one.
func (t *topic) chunkFor(size int) *chunk {
	expect := 0
	if n := len(t.chunks); n > 0 {
		c := &t.chunks[n-1]
		if cap(c.data)-len(c.data) >= size {
			return c
		}
		if len(c.data) > 0 {
			expect = len(c.records) * min(maxChunkBytes, int(t.wire)/2) / len(c.data)
		}
	}
	room := size
	if t.count > 0 {
		room = max(size, minChunkBytes, min(int(t.wire/2), maxChunkBytes))
	}
	c := chunk{data: slices.Grow([]byte(nil), room), records: make([]record, 0, max(expect, 1))}
	t.chunks = append(t.chunks, c)
	t.memory += c.memory()
	return &t.chunks[len(t.chunks)-1]
}

func (c *chunk) memory() int64 {
	return chunkBytes + int64(cap(c.data)) + int64(cap(c.records))*recordBytes
}

// start returns where the key of record i begins.
func (c *chunk) start(i int) uint32 {
	if i == 0 {
		return 0
	}
	return c.records[i-1].end
}

func (c *chunk) size(i int) int64 {
	return int64(c.records[i].end - c.start(i) - uint32(c.records[i].key))
}

// oldest returns the offset of the oldest live event. There must be one.
func (t *topic) oldest() Offset { return t.chunks[0].records[t.first].offset }

// drop forgets the oldest event and returns by how much the topic's memory shrank.
func (t *topic) drop() int64 {
	c := &t.chunks[0]
	t.trimmed = c.records[t.first].offset
	t.wire -= c.size(t.first)
	t.count--
	t.first++
	if t.first < len(c.records) {
		return 0
	}
	return t.dropChunk()
}

// dropOldestChunk forgets all events of the oldest chunk at once.
func (t *topic) dropOldestChunk() int64 {
	c := &t.chunks[0]
	for i := t.first; i < len(c.records); i++ {
		t.wire -= c.size(i)
	}
	t.count -= len(c.records) - t.first
	t.trimmed = c.records[len(c.records)-1].offset
	return t.dropChunk()
}

func (t *topic) dropChunk() int64 {
	freed := t.chunks[0].memory()
	t.first = 0
	if len(t.chunks) == 1 {
		t.chunks = nil // an empty topic costs no slice
	} else {
		t.chunks[0] = chunk{} // the array behind the slice must not hold it
		t.chunks = t.chunks[1:]
	}
	t.memory -= freed
	return freed
}

// place is an event of a topic while the log's lock is held.
type place struct{ chunk, record int }

// after returns the place of the first event beyond the offset, and how many events stand there and behind.
func (t *topic) after(offset Offset) (place, int) {
	if t.count == 0 || t.newest <= offset {
		return place{len(t.chunks), 0}, 0
	}
	ci := sort.Search(len(t.chunks), func(i int) bool {
		records := t.chunks[i].records
		return records[len(records)-1].offset > offset
	})
	records := t.chunks[ci].records
	ri := sort.Search(len(records), func(i int) bool { return records[i].offset > offset })
	if ci == 0 {
		ri = max(ri, t.first)
	}
	n := len(records) - ri
	for _, c := range t.chunks[ci+1:] {
		n += len(c.records)
	}
	return place{ci, ri}, n
}

// step returns the place behind p.
func (t *topic) step(p place) place {
	if p.record+1 < len(t.chunks[p.chunk].records) {
		return place{p.chunk, p.record + 1}
	}
	return place{p.chunk + 1, 0}
}

func (t *topic) has(p place) bool      { return p.chunk < len(t.chunks) }
func (t *topic) offset(p place) Offset { return t.chunks[p.chunk].records[p.record].offset }
func (t *topic) entry(p place) (e Entry) {
	c := &t.chunks[p.chunk]
	r, start := c.records[p.record], c.start(p.record)
	e.Topic, e.Offset, e.Prev = t.name, r.offset, t.before(p)
	if r.key > 0 {
		e.Key = string(c.data[start : start+uint32(r.key)])
	}
	e.Frame = c.data[start+uint32(r.key) : r.end : r.end]
	return e
}

// before returns the offset of the event before p in the topic, dropped or not.
func (t *topic) before(p place) Offset {
	switch {
	case p.record > 0:
		return t.chunks[p.chunk].records[p.record-1].offset
	case p.chunk > 0:
		records := t.chunks[p.chunk-1].records
		return records[len(records)-1].offset
	}
	return t.trimmed
}

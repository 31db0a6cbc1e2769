package eventlog

import (
	"slices"
	"sort"
	"strings"
	"unsafe"
)

// A topic keeps its events in chunks of its own: bytes end to end, with a small record for each event. Dead events stay until
// their chunk's last one dies, and a new chunk is mostly empty. So a chunk is only as large as an eighth of what lives in the
// topic, at most maxChunkBytes (and while little lives, as all of that). Chunks are written once and never reused: a reader may still hold frames of a dropped one.
type topic struct {
	name    string
	keep    Retention
	chunks  []chunk // oldest first, none without live events
	first   int     // the oldest live event of chunks[0]
	trimmed Offset  // the newest dropped
	gone    Offset  // in a Replica's memory: the newest that the store has dropped too, as far as is known; never beyond trimmed
	newest  Offset  // the newest ever
	extent

	forgotten  bool   // it isn't in the log any more
	class      uint8  // where in classes it is
	prev, next *topic // in its class

	dueIndex int    // where in dueQueue it is, -1 if it isn't
	dueAt    Offset // when its oldest event of the time it was put there expires
}

// extent is how much a topic holds.
type extent struct {
	count  int   // live events
	wire   int64 // their bytes, keys included
	memory int64 // of the chunks, live or dead
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
	minChunkBytes = 1 << 10  // smaller ones cost more in books than they save, once there is more than that in the topic
	maxChunkBytes = 64 << 10 // above, allocation gets no cheaper
	recordBytes   = int64(unsafe.Sizeof(record{}))
	chunkBytes    = int64(unsafe.Sizeof(chunk{}))
	topicBytes    = int64(unsafe.Sizeof(topic{})) + 48 // and its share of the map and the due queue
)

// newTopic returns a topic that may have been forgotten: all its events up to trimmed are gone, if there were any.
func newTopic(name string, keep Retention, trimmed Offset) *topic {
	return &topic{name: strings.Clone(name), keep: keep, trimmed: trimmed, dueIndex: -1}
}

// overhead is the memory of a topic without its chunks.
func (t *topic) overhead() int64 { return topicBytes + int64(len(t.name)) }

// loneTopicBytes is the most that a topic with nothing but an event of that size takes.
func loneTopicBytes(name string, size int64) int64 {
	return topicBytes + int64(len(name)) + chunkBytes + recordBytes + size + size/4 + 64 // an allocation is rounded up by less
}

// makeRoom drops what will be over the count and the bytes that the topic keeps, when an event of that size comes.
func (t *topic) makeRoom(size int) {
	for t.count > 0 && (t.count >= t.keep.Count || t.wire+int64(size) > t.keep.Bytes) {
		t.drop()
	}
}

// append stores an event: its key, and its frame of an id line and a body.
func (t *topic) append(offset Offset, key string, id, body []byte) {
	size := len(key) + len(id) + len(body)
	c := t.chunkFor(size)
	c.data = append(c.data, key...)
	c.data = append(c.data, id...)
	c.data = append(c.data, body...)
	room := cap(c.records)
	c.records = append(c.records, record{offset: offset, end: uint32(len(c.data)), key: uint8(len(key))})
	t.memory += int64(cap(c.records)-room) * recordBytes
	t.count++
	t.wire += int64(size)
	t.newest = offset
}

// chunkFor returns the last chunk if it has the room, else a new one.
func (t *topic) chunkFor(size int) *chunk {
	if n := len(t.chunks); n > 0 {
		if c := &t.chunks[n-1]; cap(c.data)-len(c.data) >= size {
			return c
		}
	}
	// As large as all that lives while that is little, then an eighth of it: 1.3 times the wire bytes in a topic of 100 events
	// of 200 bytes, books included, where half of it would be 1.7.
	room := max(int64(size), min(t.wire, max(minChunkBytes, min(t.wire/8, maxChunkBytes))))
	c := chunk{data: slices.Grow([]byte(nil), int(room))}
	records := int64(1)
	if t.count > 0 {
		records = max(1, int64(cap(c.data))*int64(t.count)/t.wire) // if sizes stay as they are
	}
	c.records = make([]record, 0, records)
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

func (c *chunk) newest() Offset { return c.records[len(c.records)-1].offset }

// oldest returns the offset of the oldest live event. There must be one.
func (t *topic) oldest() Offset { return t.chunks[0].records[t.first].offset }

// expire drops what is too old at the time.
func (t *topic) expire(now Offset) {
	for t.count > 0 && t.keep.expires(t.oldest()) <= now {
		if t.keep.expires(t.chunks[0].newest()) <= now {
			t.dropChunk()
		} else {
			t.drop()
		}
	}
}

// drop forgets the oldest event.
func (t *topic) drop() {
	c := &t.chunks[0]
	if t.first == len(c.records)-1 {
		t.dropChunk()
		return
	}
	t.trimmed = c.records[t.first].offset
	t.wire -= int64(c.records[t.first].end - c.start(t.first))
	t.count--
	t.first++
}

// dropChunk forgets all events of the oldest chunk.
func (t *topic) dropChunk() {
	c := &t.chunks[0]
	t.trimmed = c.newest()
	t.wire -= int64(len(c.data)) - int64(c.start(t.first))
	t.count -= len(c.records) - t.first
	t.memory -= c.memory()
	t.first = 0
	t.chunks[0] = chunk{} // the array behind the slice must not hold it
	if len(t.chunks) == 1 {
		t.chunks = t.chunks[:0]
	} else {
		t.chunks = t.chunks[1:]
	}
}

// dropAll forgets all events.
func (t *topic) dropAll() {
	for t.count > 0 {
		t.dropChunk()
	}
}

// isolate drops all but the newest event, and moves that into a chunk of its own without any spare room. There must be one chunk.
func (t *topic) isolate() {
	c, i := &t.chunks[0], len(t.chunks[0].records)-1
	r, data := c.records[i], slices.Clone(c.data[c.start(i):])
	t.trimmed = t.before(place{0, i})
	lone := chunk{data: data, records: []record{{offset: r.offset, end: uint32(len(data)), key: r.key}}}
	t.chunks, t.first = []chunk{lone}, 0
	t.extent = extent{count: 1, wire: int64(len(data)), memory: lone.memory()}
}

// place is an event of a topic while the log's lock is held.
type place struct{ chunk, record int }

// after returns the place of the first event beyond the offset, and how many events stand there and behind. There must be one.
func (t *topic) after(offset Offset) (place, int) {
	last := len(t.chunks) - 1
	if newest := (place{last, len(t.chunks[last].records) - 1}); t.before(newest) <= offset { // as most readers stand
		return newest, 1
	}
	ci := sort.Search(len(t.chunks), func(i int) bool { return t.chunks[i].newest() > offset })
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

func (t *topic) offset(p place) Offset { return t.chunks[p.chunk].records[p.record].offset }

// fill makes the event at p an entry.
func (t *topic) fill(e *Entry, p place) {
	c := &t.chunks[p.chunk]
	r, start := c.records[p.record], c.start(p.record)
	frame := start + uint32(r.key)
	*e = Entry{Topic: t.name, Offset: r.offset, Prev: t.before(p), Key: string(c.data[start:frame]), Frame: c.data[frame:r.end:r.end]}
}

// before returns the offset of the event before p in the topic, dropped or not.
func (t *topic) before(p place) Offset {
	switch {
	case p.record > 0:
		return t.chunks[p.chunk].records[p.record-1].offset
	case p.chunk > 0:
		return t.chunks[p.chunk-1].newest()
	}
	return t.trimmed
}

package pglog

import (
	"github.com/buffkit/buffkit/eventlog"
)

// What one row of events holds at most, whoever makes it: the functions in the database have the same numbers.
const (
	rowEvents = 1000
	rowBytes  = 512 << 10 // of keys and bodies; one event may be larger
)

// batch is a row of events: packed, they cost the server little more than the bytes of their bodies.
type batch struct {
	last, first, chain *eventlog.Offset // nil: there is no row
	mark               *int64

	topics  []string // each once, "" if all of it was dropped
	prevs   []int64  // the offset before the first of each topic
	members []int16  // the number of each event's topic from 1 on, 0 if it was dropped
	ends    []int32  // where each ends in body
	keys    []int32  // how many bytes of it are the key; nil: none has one
	body    []byte
}

// records returns the events behind an offset that are still there. They share the row's bytes.
func (b *batch) records(after eventlog.Offset) (records []eventlog.Record) {
	start, chain := int32(0), *b.chain
	prevs := append([]int64(nil), b.prevs...)
	for i, end := range b.ends {
		offset := *b.first + eventlog.Offset(i)
		if n := b.members[i]; n > 0 {
			if offset > after {
				r := eventlog.Record{Topic: b.topics[n-1], Offset: offset, Prev: eventlog.Offset(prevs[n-1]), Chain: chain}
				r.Key, r.Body = b.split(i, start, end)
				records = append(records, r)
			}
			prevs[n-1] = int64(offset)
		}
		start, chain = end, offset
	}
	return records
}

func (b *batch) split(i int, start, end int32) (key string, body []byte) {
	size := int32(0)
	if b.keys != nil {
		size = b.keys[i]
	}
	return string(b.body[start : start+size]), b.body[start+size : end : end]
}

// packed is the row of the records of some calls, as it is sent. It has no offsets yet.
type packed struct {
	batch
	lasts  []int16 // the number of each topic's last record, counted from 1
	before []int   // the number of the record before each in its topic; 0: it is the first
}

func pack(calls []*call) *packed {
	n, size := extent(calls)
	p := &packed{before: make([]int, 0, n)}
	p.members, p.ends, p.body = make([]int16, 0, n), make([]int32, 0, n), make([]byte, 0, size)
	numbers := make(map[string]int16, n)
	for _, c := range calls {
		for i := range c.records {
			p.add(&c.records[i], numbers)
		}
	}
	return p
}

func (p *packed) add(r *eventlog.Record, numbers map[string]int16) {
	topic := numbers[r.Topic]
	if topic == 0 {
		p.topics, p.lasts = append(p.topics, r.Topic), append(p.lasts, 0)
		topic = int16(len(p.topics))
		numbers[r.Topic] = topic
	}
	if r.Key != "" && p.keys == nil {
		p.keys = make([]int32, len(p.members), cap(p.members))
	}
	if p.keys != nil {
		p.keys = append(p.keys, int32(len(r.Key)))
	}
	p.body = append(append(p.body, r.Key...), r.Body...)
	p.before = append(p.before, int(p.lasts[topic-1]))
	p.members, p.ends = append(p.members, topic), append(p.ends, int32(len(p.body)))
	p.lasts[topic-1] = int16(len(p.members))
}

// places are those of the records, when the server has named the first offset, the one before it, and for each topic the one before.
func (p *packed) places(first, chain eventlog.Offset, prevs []int64) []place {
	places := make([]place, len(p.before))
	for i, before := range p.before {
		at := place{offset: first + eventlog.Offset(i), chain: first + eventlog.Offset(i) - 1}
		if i == 0 {
			at.chain = chain
		}
		if before > 0 {
			at.prev = first + eventlog.Offset(before) - 1
		} else {
			at.prev = eventlog.Offset(prevs[p.members[i]-1])
		}
		places[i] = at
	}
	return places
}

// fits tells whether the records of the calls can be one row.
func fits(calls []*call) bool {
	n, size := extent(calls)
	return n == 1 || n > 1 && n <= rowEvents && size <= rowBytes
}

// extent returns how many records the calls have, and the bytes of their keys and bodies.
func extent(calls []*call) (n, size int) {
	for _, c := range calls {
		n, size = n+len(c.records), size+c.size
	}
	return n, size
}

package eventlog

import (
	"strings"
	"time"
)

// idempotency remembers the keys of the window, oldest first.
type idempotency struct {
	seen        map[idempotencyKey]*idempotencyEntry
	first, last *idempotencyEntry
	bytes       int64
	peak        int // the most keys that the map had
}

type idempotencyKey struct{ topic, key string }

type idempotencyEntry struct {
	key    idempotencyKey
	offset Offset
	at     time.Time
	next   *idempotencyEntry
}

// idempotencyBytes is about what an event's key costs: its entry and its share of the map. No key costs nothing.
func idempotencyBytes(event *Event) int64 {
	if event.IdempotencyKey == "" {
		return 0
	}
	return 160 + int64(len(event.Topic)+len(event.IdempotencyKey))
}

// find returns the offset that the event got when it was stored before.
func (d *idempotency) find(event *Event) (Offset, bool) {
	if event.IdempotencyKey == "" {
		return 0, false
	}
	e, ok := d.seen[idempotencyKey{event.Topic, event.IdempotencyKey}]
	if !ok {
		return 0, false
	}
	return e.offset, true
}

// add remembers the event's key, if it has one, and returns the memory it takes. The topic's name is the log's own copy.
func (d *idempotency) add(event *Event, topic string, offset Offset, now time.Time) int64 {
	if event.IdempotencyKey == "" {
		return 0
	}
	e := &idempotencyEntry{key: idempotencyKey{topic, strings.Clone(event.IdempotencyKey)}, offset: offset, at: now}
	d.seen[e.key] = e
	d.peak = max(d.peak, len(d.seen))
	if d.last == nil {
		d.first = e
	} else {
		d.last.next = e
	}
	d.last = e
	size := idempotencyBytes(event)
	d.bytes += size
	return size
}

// expire forgets the keys from before the limit and returns the memory they took.
func (d *idempotency) expire(limit time.Time) (freed int64) {
	for d.first != nil && d.first.at.Before(limit) {
		e := d.first
		delete(d.seen, e.key)
		freed += idempotencyBytes(&Event{Topic: e.key.topic, IdempotencyKey: e.key.key})
		if d.first = e.next; d.first == nil {
			d.last = nil
		}
	}
	d.bytes -= freed
	d.shrink()
	return freed
}

// shrink makes a new map of what is left, when that is little: a map keeps the memory of all it ever had.
func (d *idempotency) shrink() {
	if d.peak < 1024 || len(d.seen) > d.peak/4 {
		return
	}
	d.seen, d.peak = make(map[idempotencyKey]*idempotencyEntry, len(d.seen)), len(d.seen)
	for e := d.first; e != nil; e = e.next {
		d.seen[e.key] = e
	}
}

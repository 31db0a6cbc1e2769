package eventlog

import "time"

// idempotency remembers the keys of the window, oldest first.
type idempotency struct {
	seen        map[idempotencyKey]*idempotencyEntry
	first, last *idempotencyEntry
	bytes       int64
}

type idempotencyKey struct{ topic, key string }

type idempotencyEntry struct {
	key    idempotencyKey
	offset Offset
	at     time.Time
	next   *idempotencyEntry
}

// idempotencyBytes is about what a key costs: its entry and its share of the map. "" costs nothing.
func idempotencyBytes(topic, key string) int64 {
	if key == "" {
		return 0
	}
	return 160 + int64(len(topic)+len(key))
}

// add remembers a key and returns the memory it takes.
func (d *idempotency) add(key idempotencyKey, offset Offset, now time.Time) int64 {
	e := &idempotencyEntry{key: key, offset: offset, at: now}
	d.seen[key] = e
	if d.last == nil {
		d.first = e
	} else {
		d.last.next = e
	}
	d.last = e
	size := idempotencyBytes(key.topic, key.key)
	d.bytes += size
	return size
}

// expire forgets the keys from before the limit and returns the memory they took.
func (d *idempotency) expire(limit time.Time) (freed int64) {
	for d.first != nil && d.first.at.Before(limit) {
		e := d.first
		delete(d.seen, e.key)
		freed += idempotencyBytes(e.key.topic, e.key.key)
		if d.first = e.next; d.first == nil {
			d.last = nil
		}
	}
	d.bytes -= freed
	return freed
}

package eventlog

import (
	"cmp"
	"context"
	"slices"
)

// Read implements Log.
func (m *Memory) Read(ctx context.Context, topics []string, after Cursor, most int) (Batch, error) {
	return m.ReadInto(ctx, nil, topics, after, most)
}

// ReadInto is Read into memory of the caller's: the entries of the batch take the place of what is in the slice, which grows if they don't fit.
func (m *Memory) ReadInto(ctx context.Context, into []Entry, topics []string, after Cursor, most int) (Batch, error) {
	if err := ctx.Err(); err != nil {
		return Batch{}, err
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	if m.closed {
		return Batch{}, ErrClosed
	}
	return m.read(into[:0], topics, nil, after, most), nil
}

// Ask is one of the reads of a ReadAll.
type Ask struct {
	Topics []string
	After  Cursor
	Spot   Spot  // the one that a read of the same topics has left here before, or none
	Batch  Batch // the answer. Its entries take the place of those that are in its memory

	topic *topic // the first one, nil if there is none, while the asks are answered
	seen  int
}

// Spot is where a log's memory has the first topic of an Ask, so that the next read of it needn't look it up. It is good for that log and topic alone, and
// does no harm when the topic has gone from there. The zero Spot is none.
type Spot struct {
	topic *topic
	era   uint64
}

// find returns a topic, nil if there is none, and leaves in spot where it is.
func (m *Memory) find(name string, spot *Spot) *topic {
	if spot.topic != nil && spot.era == m.era && !spot.topic.forgotten {
		return spot.topic
	}
	*spot = Spot{m.topics[name], m.era}
	return spot.topic
}

// ReadAll answers each of the asks as ReadInto does, all at the same moment, with at most so many entries each. On an error none is answered.
func (m *Memory) ReadAll(ctx context.Context, asks []Ask, most int) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	if m.closed {
		return ErrClosed
	}
	m.lookAt(asks)
	for i := range asks {
		a := &asks[i]
		a.Batch = m.read(a.Batch.Entries[:0], a.Topics, a.topic, a.After, most)
		a.topic = nil
	}
	return nil
}

// lookAt brings what it takes to answer the asks into the processor's caches. What there is of a topic lies in several places of
// memory. Looked up one topic after the other, each place is waited for by itself; step by step for all of them, they are waited for
// together.
func (m *Memory) lookAt(asks []Ask) {
	for i := range asks {
		if a := &asks[i]; len(a.Topics) > 0 {
			a.topic = m.find(a.Topics[0], &a.Spot)
		}
	}
	for i := range asks {
		if t := asks[i].topic; t != nil {
			asks[i].seen += len(t.chunks)
		}
	}
	for i := range asks {
		if t := asks[i].topic; t != nil && len(t.chunks) > 0 {
			asks[i].seen += len(t.chunks[len(t.chunks)-1].records)
		}
	}
	for i := range asks {
		if t := asks[i].topic; t != nil && len(t.chunks) > 0 {
			asks[i].seen += int(t.chunks[len(t.chunks)-1].newest())
		}
	}
}

// read answers a read, with entries in memory of the caller's. The first topic needn't be looked up if it is given.
func (m *Memory) read(into []Entry, topics []string, first *topic, after Cursor, most int) Batch {
	b := Batch{Entries: into, Next: NewCursor(m.epoch, m.last)}
	if err := m.checkCursor(after); err != nil {
		b.Gaps = gapOfAll(topics, err)
		return b
	}
	var few [8]reader // most streams follow no more topics than this, and need no allocation
	readers, gaps := m.readersAfter(topics, first, after, few[:0])
	b.Gaps = gaps
	for i := range readers {
		b.Behind += readers[i].left
	}
	if b.Behind == 0 {
		return b
	}
	n := min(b.Behind, max(most, 1))
	b.Entries = slices.Grow(b.Entries, n)[:n]
	merge(readers, b.Entries)
	if n < b.Behind {
		b.Next = NewCursor(m.epoch, b.Entries[n-1].Offset)
	}
	return b
}

// checkCursor says why a cursor can't be honoured on any topic.
func (m *Memory) checkCursor(after Cursor) error {
	switch {
	case after.IsZero():
		return nil
	case after.Epoch() != m.epoch:
		return ErrOtherLog
	case after.first > m.last:
		return ErrRolledBack
	}
	return nil
}

func gapOfAll(topics []string, err error) []Gap {
	gaps := make([]Gap, len(topics))
	for i, topic := range topics {
		gaps[i] = Gap{topic, err}
	}
	return distinct(gaps)
}

// distinct keeps the first gap of each topic.
func distinct(gaps []Gap) []Gap {
	if len(gaps) < 2 {
		return gaps
	}
	seen := make(map[string]bool, len(gaps))
	return slices.DeleteFunc(gaps, func(g Gap) bool {
		again := seen[g.Topic]
		seen[g.Topic] = true
		return again
	})
}

// readersAfter returns a reader for each topic that has events beyond the cursor, by their next offsets, and the gaps.
func (m *Memory) readersAfter(topics []string, first *topic, after Cursor, readers []reader) ([]reader, []Gap) {
	var gaps []Gap
	for i, name := range topics {
		t, known := first, first != nil
		if i > 0 || !known {
			t, known = m.topics[name]
		}
		trimmed, gone := m.floor, Offset(0)
		if known {
			trimmed, gone = t.trimmed, t.gone
		}
		switch {
		case m.follows && after.first < trimmed && gone < trimmed && (after.IsZero() || after.first >= gone):
			gaps = append(gaps, Gap{name, errNotLoaded})
		case !after.IsZero() && after.first < trimmed:
			gaps = append(gaps, Gap{name, ErrTrimmed})
		case known && t.newest > after.first && t.count > 0:
			at, left := t.after(after.first)
			readers = append(readers, reader{t, at, left, t.offset(at)})
		}
	}
	slices.SortFunc(readers, func(a, b reader) int { return cmp.Compare(a.next, b.next) })
	readers = slices.CompactFunc(readers, func(a, b reader) bool { return a.topic == b.topic }) // what was asked for twice
	return readers, distinct(gaps)
}

// reader walks one topic.
type reader struct {
	topic *topic
	at    place
	left  int    // events from there on
	next  Offset // of the first of them
}

// step goes on to the next event, and tells whether there is one.
func (r *reader) step() bool {
	if r.left--; r.left == 0 {
		return false
	}
	r.at = r.topic.step(r.at)
	r.next = r.topic.offset(r.at)
	return true
}

// merge fills the entries in the order of their offsets. The readers, which are a heap by their next ones, have as many at least.
func merge(readers []reader, entries []Entry) {
	for i := range entries {
		r := &readers[0]
		r.topic.fill(&entries[i], r.at)
		if !r.step() {
			*r = readers[len(readers)-1]
			readers = readers[:len(readers)-1]
		}
		siftDown(readers)
	}
}

// siftDown makes readers a heap again when only the first is out of place. container/heap would cost an allocation.
func siftDown(readers []reader) {
	for i := 0; ; {
		child := 2*i + 1
		if child+1 < len(readers) && readers[child+1].next < readers[child].next {
			child++
		}
		if child >= len(readers) || readers[i].next <= readers[child].next {
			return
		}
		readers[i], readers[child] = readers[child], readers[i]
		i = child
	}
}

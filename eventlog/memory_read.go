package eventlog

import (
	"context"
	"slices"
)

// Read implements Log.
func (m *Memory) Read(ctx context.Context, topics []string, after Cursor, most int) (Batch, error) {
	if err := ctx.Err(); err != nil {
		return Batch{}, err
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	if m.closed {
		return Batch{}, ErrClosed
	}
	if err := m.checkCursor(after); err != nil {
		return Batch{Next: NewCursor(m.epoch, m.last), Gaps: gapOfAll(topics, err)}, nil
	}
	var few [8]reader // most streams follow no more topics than this, and need no allocation
	readers, b := m.readersAfter(topics, after, few[:0])
	n := min(b.Behind, max(most, 1))
	b.Next = NewCursor(m.epoch, m.last)
	if n == 0 {
		return b, nil
	}
	b.Entries = make([]Entry, n)
	merge(readers, b.Entries)
	if n < b.Behind {
		b.Next = NewCursor(m.epoch, b.Entries[n-1].Offset)
	}
	return b, nil
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

func gapOfAll(topics []string, err error) (gaps []Gap) {
	for _, topic := range topics {
		gaps = appendGap(gaps, topic, err)
	}
	return gaps
}

// appendGap appends the gap of a topic, once.
func appendGap(gaps []Gap, topic string, err error) []Gap {
	if slices.ContainsFunc(gaps, func(g Gap) bool { return g.Topic == topic }) {
		return gaps
	}
	return append(gaps, Gap{topic, err})
}

// reader walks one topic.
type reader struct {
	topic *topic
	at    place
	next  Offset // of the event at the place
}

// step goes on to the next event, and tells whether there is one.
func (r *reader) step() bool {
	r.at = r.topic.step(r.at)
	if !r.topic.has(r.at) {
		return false
	}
	r.next = r.topic.offset(r.at)
	return true
}

// readersAfter returns a reader for each topic that has events beyond the cursor, and a batch with the gaps and the count.
func (m *Memory) readersAfter(topics []string, after Cursor, readers []reader) ([]reader, Batch) {
	var b Batch
	for _, name := range topics {
		t, known := m.topics[name]
		trimmed := m.floor
		if known {
			trimmed = t.trimmed
		}
		if !after.IsZero() && after.first < trimmed {
			b.Gaps = appendGap(b.Gaps, name, ErrTrimmed)
			continue
		}
		if !known || t.newest <= after.first || t.count == 0 {
			continue
		}
		if slices.ContainsFunc(readers, func(r reader) bool { return r.topic == t }) {
			continue // asked for twice
		}
		at, n := t.after(after.first)
		readers = append(readers, reader{t, at, t.offset(at)})
		b.Behind += n
	}
	return readers, b
}

// merge fills the entries in the order of their offsets. The readers have as many at least.
func merge(readers []reader, entries []Entry) {
	for i := range entries {
		oldest := 0
		for j := range readers {
			if readers[j].next < readers[oldest].next {
				oldest = j
			}
		}
		r := &readers[oldest]
		r.topic.fill(&entries[i], r.at)
		if !r.step() {
			readers[oldest] = readers[len(readers)-1]
			readers = readers[:len(readers)-1]
		}
	}
}

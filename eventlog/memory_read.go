package eventlog

import "context"

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
	b.Entries = merge(readers, make([]Entry, 0, n))
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

func gapOfAll(topics []string, err error) []Gap {
	gaps := make([]Gap, len(topics))
	for i, topic := range topics {
		gaps[i] = Gap{topic, err}
	}
	return gaps
}

// reader walks one topic.
type reader struct {
	topic *topic
	at    place
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
			b.Gaps = append(b.Gaps, Gap{name, ErrTrimmed})
			continue
		}
		if !known {
			continue
		}
		if at, n := t.after(after.first); n > 0 {
			readers = append(readers, reader{t, at})
			b.Behind += n
		}
	}
	return readers, b
}

// merge fills entries to their capacity in the order of the offsets.
func merge(readers []reader, entries []Entry) []Entry {
	for len(entries) < cap(entries) {
		oldest := 0
		for i := 1; i < len(readers); i++ {
			if readers[i].offset() < readers[oldest].offset() {
				oldest = i
			}
		}
		r := &readers[oldest]
		entries = append(entries, r.topic.entry(r.at))
		r.at = r.topic.step(r.at)
		if !r.topic.has(r.at) {
			readers[oldest] = readers[len(readers)-1]
			readers = readers[:len(readers)-1]
		}
	}
	return entries
}

func (r *reader) offset() Offset { return r.topic.offset(r.at) }

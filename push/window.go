package push

import (
	"context"
	"fmt"
	"slices"

	"github.com/buffkit/buffkit/eventlog"
)

// window is what one read found, joined so that everybody who stands within it gets a part of the same bytes.
type window struct {
	from, next eventlog.Cursor
	entries    []eventlog.Entry
	bytes      []byte // the frames of the entries behind each other
	starts     []int  // of each entry in bytes
	whole      bool   // nothing is left behind it
	complete   bool   // the read found all there was, though not all of it may be in the window
	gap        bool
	farBehind  bool     // SkipToLatest has to act
	chained    bool     // one partition: a place before an entry is told by its offset
	private    bool     // some of it is for one stream alone
	dropped    []string // topics of what was beyond the limit
	joined     []byte
	blocks     blocks
}

const windowEntries = 256 // of one read for a crowd

// read fills the window with what comes after a place, up to a limit if that isn't zero.
func (w *window) read(b *Broker, slow SlowPolicy, topics []string, after, limit eventlog.Cursor) error {
	most := windowEntries
	if slow == Conflate {
		most = conflateEntries
	}
	batch, err := b.readInto(context.Background(), w.entries[:0], topics, after, most)
	if err != nil {
		return err
	}
	w.fill(b, slow, &batch, after, limit)
	return nil
}

// fill makes a window of what a read after a place has found.
func (w *window) fill(b *Broker, slow SlowPolicy, batch *eventlog.Batch, after, limit eventlog.Cursor) {
	w.from, w.next, w.entries = after, batch.Next, batch.Entries
	w.gap = len(batch.Gaps) > 0
	w.farBehind = slow == SkipToLatest && batch.Behind > b.opts.Limits.MaxBehind
	w.whole = len(batch.Entries) == batch.Behind || len(batch.Entries) == 0 // the latter, lest a log that counts wrongly keep us busy
	w.complete = w.whole
	w.cutOff(limit)
	if slow == Conflate {
		w.entries = conflate(w.entries)
	}
	w.join(b.opts.Limits.MaxBatchBytes)
}

// cutOff drops what is beyond a limit.
func (w *window) cutOff(limit eventlog.Cursor) {
	w.dropped = w.dropped[:0]
	if limit.IsZero() || !w.next.Beyond(limit) {
		return
	}
	w.next = w.next.Capped(limit)
	kept := w.entries[:0]
	for _, e := range w.entries {
		if e.Offset <= limit.At(e.Partition) {
			kept = append(kept, e)
		} else {
			w.dropped = append(w.dropped, e.Topic)
		}
	}
	clear(w.entries[len(kept):])
	w.entries = kept
}

// join puts as many frames behind each other as may leave together.
func (w *window) join(maxBytes int) {
	w.chained, w.private = true, false
	w.blocks.reset()
	w.joined, w.starts = w.joined[:0], w.starts[:0]
	size := 0
	for i := range w.entries {
		e := &w.entries[i]
		if i > 0 && size+len(e.Frame) > maxBytes {
			w.whole = false
			w.next = w.place(w.from, 0, i-1)
			w.entries = w.entries[:i]
			break
		}
		w.chained = w.chained && e.Partition == 0
		w.starts = append(w.starts, size)
		size += len(e.Frame)
	}
	switch len(w.entries) {
	case 0:
		w.bytes = nil
	case 1:
		w.bytes = w.entries[0].Frame // as most are
	default:
		for i := range w.entries {
			w.joined = append(w.joined, w.entries[i].Frame...)
		}
		w.bytes = w.joined
	}
}

// place returns the place of who stood at a place, and has got the entries from one to another.
func (w *window) place(at eventlog.Cursor, first, last int) eventlog.Cursor {
	for _, e := range w.entries[first : last+1] {
		at = at.With(e.Partition, e.Offset)
	}
	return at
}

// covers tells whether who stands at a place may be served from the window.
func (w *window) covers(at eventlog.Cursor) bool {
	if !w.next.Beyond(at) || at.Beyond(w.next) { // also of another epoch, or further in another partition
		return false
	}
	return !w.from.Beyond(at) && (w.chained || !at.Beyond(w.from))
}

// after returns the first entry beyond a place that the window covers.
func (w *window) after(at eventlog.Cursor) int {
	if !w.chained {
		return 0
	}
	seen := at.At(0)
	if len(w.entries) == 0 || w.entries[0].Offset > seen { // as most stand
		return 0
	}
	i, _ := slices.BinarySearchFunc(w.entries, seen+1, func(e eventlog.Entry, offset eventlog.Offset) int {
		if e.Offset < offset {
			return -1
		}
		return 1
	})
	return i
}

// entryAt returns the entry that the byte n is part of, or begins.
func (w *window) entryAt(n int) int {
	i, begins := slices.BinarySearch(w.starts, n)
	if !begins {
		i--
	}
	return i
}

// readInto reads the log, into memory of the caller's if the log can.
func (b *Broker) readInto(ctx context.Context, into []eventlog.Entry, topics []string, after eventlog.Cursor, most int) (batch eventlog.Batch, err error) {
	if b.logInto != nil {
		batch, err = b.logInto.ReadInto(ctx, into, topics, after, most)
	} else {
		batch, err = b.log.Read(ctx, topics, after, most)
	}
	if err != nil {
		err = fmt.Errorf("read the log: %w", err)
	}
	return batch, err
}

// readAll asks the log for several places at once, if it can be asked so.
func (b *Broker) readAll(asks []eventlog.Ask, most int) bool {
	return b.logAll != nil && b.logAll.ReadAll(context.Background(), asks, most) == nil
}

// logAll is what a log may have, so that many reads are one.
type logAll interface {
	ReadAll(ctx context.Context, asks []eventlog.Ask, most int) error
}

// logInto is what a log may have, so that a read costs no allocation: its entries are appended to a slice of the caller's.
type logInto interface {
	ReadInto(ctx context.Context, into []eventlog.Entry, topics []string, after eventlog.Cursor, most int) (eventlog.Batch, error)
}

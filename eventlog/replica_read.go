package eventlog

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
)

// Read implements Log. What it needs of the past that memory lacks is read from the store: errors of the store are returned.
func (r *Replica) Read(ctx context.Context, topics []string, after Cursor, most int) (Batch, error) {
	for {
		turn, epochs := r.next()
		b, err := r.read(ctx, topics, after, max(most, 1), epochs)
		if !errors.Is(err, errMoved) {
			return b, err
		}
		select { // this node is about to know it, too
		case <-turn:
		case <-ctx.Done():
			return Batch{}, ctx.Err()
		case <-r.ctx.Done():
			return Batch{}, ErrClosed
		}
	}
}

func (r *Replica) read(ctx context.Context, topics []string, after Cursor, most, epochs int) (Batch, error) {
	b, err := r.mem.Read(ctx, topics, after, most)
	if err != nil || len(b.Gaps) == 0 {
		return b, err
	}
	if first := b.Gaps[0].Err; first == ErrOtherLog || first == ErrRolledBack { // of all topics
		if err := r.catchUp(ctx, after, epochs); err != nil {
			return Batch{}, err
		}
		if b, err = r.mem.Read(ctx, topics, after, most); err != nil {
			return b, err
		}
	}
	if missing := notLoaded(b.Gaps); len(missing) > 0 {
		if err := r.loadAll(ctx, missing); err != nil {
			return Batch{}, err
		}
		if b, err = r.mem.Read(ctx, topics, after, most); err != nil {
			return b, err
		}
	}
	if len(notLoaded(b.Gaps)) > 0 {
		return r.readThrough(ctx, b, after, most)
	}
	return b, nil
}

// ReadInto is Read into memory of the caller's that never waits for the store. What isn't in memory, and what this node may only be late to know, is
// a gap: only Read finds out whether it is one.
func (r *Replica) ReadInto(ctx context.Context, into []Entry, topics []string, after Cursor, most int) (Batch, error) {
	return r.mem.ReadInto(ctx, into, topics, after, most)
}

// ReadAll answers each of the asks as ReadInto does, all at the same moment.
func (r *Replica) ReadAll(ctx context.Context, asks []Ask, most int) error {
	return r.mem.ReadAll(ctx, asks, most)
}

func notLoaded(gaps []Gap) (topics []string) {
	for _, gap := range gaps {
		if gap.Err == errNotLoaded {
			topics = append(topics, gap.Topic)
		}
	}
	return topics
}

// catchUp waits until this node has come to a place that the store has already. A place that it doesn't have is none of our business.
func (r *Replica) catchUp(ctx context.Context, after Cursor, epochs int) error {
	for range 2 { // the first answer may be from before we asked
		head, err := r.probes.do(ctx, r, struct{}{}, r.probe)
		if err != nil {
			return fmt.Errorf("ask the store for its head: %w", err)
		}
		if head.Epoch() == after.Epoch() && head.At(0) >= after.At(0) {
			return r.await(ctx, after.Epoch(), after.At(0), epochs)
		}
	}
	return nil
}

// probe asks the store where it is.
func (r *Replica) probe(ctx context.Context) (head Cursor, err error) { return headOf(ctx, r.store) }

// headOf asks a store where it is.
func headOf(ctx context.Context, store Store) (head Cursor, err error) {
	err = store.Tail(ctx, Cursor{}, func(p Page) error {
		head = NewCursor(p.Epoch, p.Head.At(0))
		return errProbed
	})
	if errors.Is(err, errProbed) {
		err = nil
	}
	return head, err
}

// page is a range of a topic as readers get it.
type page struct {
	entries []Entry
	trimmed Offset // the newest that is gone
	end     Offset // of the last record, if there may be more behind it, else 0
	upTo    Offset // it has all up to there, at least: this node's head when the store was asked
}

// readThrough completes a batch with pages from the store of the topics that it lacks.
func (r *Replica) readThrough(ctx context.Context, b Batch, after Cursor, most int) (Batch, error) {
	limit := b.Next.At(0) // what is behind that, memory has or will have, and its wakes may not have been called
	gaps := b.Gaps[:0]
	for _, gap := range b.Gaps {
		if gap.Err != errNotLoaded {
			gaps = append(gaps, gap)
			continue
		}
		asked := Range{Topic: gap.Topic, After: after.At(0), Max: most}
		p, err := r.page(ctx, b.Next.Epoch(), asked)
		if err == nil && p.upTo < b.Next.At(0) { // it was on its way before this reader looked into memory; the next one wasn't
			p, err = r.page(ctx, b.Next.Epoch(), asked)
		}
		switch {
		case err != nil:
			return Batch{}, fmt.Errorf("read the history of %q: %w", gap.Topic, err)
		case p.trimmed > after.At(0) && !after.IsZero():
			gaps = append(gaps, Gap{gap.Topic, ErrTrimmed})
			continue
		case p.end > 0:
			limit = min(limit, p.end)
			b.Behind++ // at least
		}
		b.Entries = append(b.Entries, p.entries...)
		b.Behind += len(p.entries)
	}
	b.Entries = slices.DeleteFunc(b.Entries, func(e Entry) bool { return e.Offset > limit })
	slices.SortFunc(b.Entries, func(a, b Entry) int { return cmp.Compare(a.Offset, b.Offset) })
	if len(b.Entries) > most {
		b.Entries = b.Entries[:most]
		limit = b.Entries[most-1].Offset
	}
	b.Gaps, b.Next = gaps, b.Next.With(0, limit)
	return b, nil
}

// page reads a range of the log with that epoch, once for all who ask for the same at a time.
func (r *Replica) page(ctx context.Context, epoch uint64, asked Range) (page, error) {
	return r.pages.do(ctx, r, pageKey{epoch, asked}, func(ctx context.Context) (page, error) {
		upTo := r.mem.head().At(0) // before the store is asked
		h, end, err := r.history(ctx, asked, epoch)
		if err != nil {
			return page{}, err
		}
		p := page{entries: make([]Entry, len(h.Records)), trimmed: h.Trimmed, end: end, upTo: upTo}
		head := idHeadOf(epoch)
		for i := range h.Records {
			record := &h.Records[i]
			frame := append(appendIDLine(make([]byte, 0, maxIDBytes+len(record.Body)), head, record.Offset), record.Body...)
			p.entries[i] = Entry{Topic: record.Topic, Offset: record.Offset, Prev: record.Prev, Key: record.Key, Frame: slices.Clip(frame)}
		}
		return p, nil
	})
}

type pageKey struct {
	epoch uint64
	asked Range
}

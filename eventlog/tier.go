package eventlog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// Archive keeps the records of a Store for longer than that does. NewTier fills it, and reads from it. All methods may be called at the same time.
type Archive interface {
	// Place returns how far the archive has come in the log, and its floor: it has all that lies behind the floor and up to the place. The place is zero while the
	// archive is empty.
	Place(ctx context.Context) (place Cursor, floor Offset, err error)
	// Extend stores what comes next, all or nothing: the records of the page, and that nothing else is up to its head. It returns ErrArchiveMoved, and stores
	// nothing, if the archive isn't at the place from: another node has extended it. The epoch of the page may be another than that of from.
	//
	// What the page doesn't prove to be whole sets the floor: a record that doesn't follow what is before it. What it proves to be lost is forgotten: what is behind the
	// record that its first names, or behind its head, if that is before from; all, if the archive has no record there.
	Extend(ctx context.Context, from Cursor, page Page) error
	// History reads what is kept of one topic.
	History(ctx context.Context, r Range) (Archived, error)
	// Close releases what the archive holds.
	Close() error
}

// Archived is what an Archive keeps of a range.
type Archived struct {
	History        // Trimmed is the archive's floor
	Place   Offset // how far the archive has come
}

// ErrArchiveMoved is returned by Archive.Extend when another node has extended the archive.
var ErrArchiveMoved = errors.New("eventlog: the archive isn't where it was")

// TierOptions of NewTier. The zero value, and nil, mean the defaults.
type TierOptions struct {
	// Logger is told once when the archive can't be extended, and once when it can again. Default slog.Default().
	Logger *slog.Logger
}

// Tier is a Store with an Archive behind it: what the store has dropped is read from the archive. Appends and live readers know nothing of it: the store's
// tail is copied in the background, by one of the nodes at a time, and by another one seconds after that has ended.
//
// What the store loses after it was archived, by a failover say, is lost to readers: they are told a gap, and the archive shows what leads to what the store has now.
// What the store's tail drops before it is archived, because no node ran or the archive was down for so long, is missing in the archive, and told as trimmed.
type Tier struct {
	Store
	archive Archive
	log     *slog.Logger

	ctx     context.Context
	stop    context.CancelFunc
	copying sync.WaitGroup
}

// NewTier puts an archive behind a store, and begins to fill it. The tier owns both: Close closes them.
func NewTier(store Store, archive Archive, opts *TierOptions) *Tier {
	t := &Tier{Store: store, archive: archive, log: slog.Default()}
	if opts != nil && opts.Logger != nil {
		t.log = opts.Logger
	}
	t.ctx, t.stop = context.WithCancel(context.Background())
	t.copying.Go(t.copy)
	return t
}

// Close implements Store.
func (t *Tier) Close() error {
	t.stop()
	t.copying.Wait()
	return errors.Join(t.Store.Close(), t.archive.Close())
}

// History implements Store. While the archive can't be asked it returns an error, since what it lacks isn't known to be gone.
func (t *Tier) History(ctx context.Context, r Range) (History, error) {
	h, err := t.Store.History(ctx, r)
	if err != nil || h.Trimmed <= r.After {
		return h, err
	}
	a, full, err := t.older(ctx, r, h)
	if err != nil {
		return History{}, fmt.Errorf("read the archive: %w", err)
	}
	if a.Epoch != h.Epoch || a.Place < h.begin() { // it isn't so far yet
		return h, nil
	}
	if full {
		h.Records = nil
	} else {
		a.Records = unbroken(a.upTo(h))
	}
	whole := h.Trimmed
	h.Trimmed = min(h.Trimmed, a.Trimmed)
	h.Records = slices.Concat(a.Records, h.Records)
	if !r.Newest && len(h.Records) > 0 { // what the first names is gone, if it was asked for
		h.Trimmed = max(h.Trimmed, min(whole, h.Records[0].Prev))
	}
	if !r.Newest && len(h.Records) > r.Max {
		h.Records = h.Records[:r.Max]
	}
	return h, nil
}

// older asks the archive for what lies before what the store has of a range. If it is full, that has as many as are asked for, none of which the store has lost.
func (t *Tier) older(ctx context.Context, r Range, found History) (a Archived, full bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, archiveWithin)
	defer cancel()
	older, lacking := r.before(found)
	switch {
	case !lacking:
		place, floor, err := t.archive.Place(ctx)
		return Archived{History{Epoch: place.Epoch(), Trimmed: floor}, place.At(0)}, false, err
	case r.Newest:
		a, err = t.archive.History(ctx, older)
		return a, false, err
	}
	var all []Record
	older.Max++ // the last one is proven by the one behind it
	for {
		a, err = t.archive.History(ctx, older)
		if err != nil {
			return a, false, err
		}
		n := len(a.Records)
		all = unbroken(append(all, a.Records...))
		a.Records = all
		switch {
		case n < older.Max:
			return a, false, nil
		case len(all) > r.Max:
			a.Records = all[:r.Max]
			return a, true, nil
		}
		older.After = all[len(all)-1].Offset
	}
}

// begin is the place that a history is whole from.
func (h *History) begin() Offset {
	if len(h.Records) > 0 {
		return h.Records[0].Prev
	}
	return h.Trimmed
}

// upTo returns the records if nothing is missing between them and what a store has of the topic, or the end of that.
func (a *Archived) upTo(h History) []Record {
	if len(h.Records) > 0 {
		end := h.Records[0].Prev
		i := slices.IndexFunc(a.Records, func(r Record) bool { return r.Offset == end })
		return a.Records[:i+1]
	}
	if n := len(a.Records); n > 0 && a.Trimmed > a.Records[n-1].Offset {
		return nil
	}
	return a.Records
}

// unbroken returns the records that lead to the last, each naming the one before it, from behind the last hole. Others are what the store has lost.
func unbroken(records []Record) []Record {
	kept := len(records)
	for i := len(records) - 1; i >= 0; i-- {
		if kept < len(records) && records[i].Offset < records[kept].Prev {
			break
		}
		if kept == len(records) || records[i].Offset == records[kept].Prev {
			kept--
			records[kept] = records[i]
		}
	}
	return records[kept:]
}

// before returns the part of a range that lies before what was found of it, and whether there may be any.
func (r Range) before(found History) (Range, bool) {
	until := found.Trimmed
	if len(found.Records) > 0 {
		until = found.Records[0].Prev
	}
	if r.Until == 0 || until < r.Until {
		r.Until = until
	}
	if r.Newest {
		r.Max -= len(found.Records)
	}
	if r.Newest && r.Bytes > 0 {
		for i := range found.Records {
			r.Bytes -= int64(len(found.Records[i].Body))
		}
		if r.Bytes <= 0 {
			return r, false
		}
	}
	return r, r.Until > r.After && r.Max > 0
}

const (
	archiveIdle  = 3 * time.Second // that nobody extends an archive before another node does
	archiveRetry = time.Second     // after an error

	archiveWithin = 30 * time.Second // of a call: a thousand times what one takes
)

// copy extends the archive until the tier is closed.
func (t *Tier) copy() {
	failing := false
	works := func() {
		if failing {
			failing = false
			t.log.Info("eventlog: the archive is extended again")
		}
	}
	for {
		err := t.extend(works)
		switch {
		case t.ctx.Err() != nil:
			return
		case errors.Is(err, ErrArchiveMoved):
			t.standBy()
			continue
		case !failing && !errors.Is(err, errMoved):
			failing = true
			t.log.Error("eventlog: the archive can't be extended; trying again", "error", err)
		}
		t.pause(archiveRetry/2 + rand.N(archiveRetry/2))
	}
}

// place asks the archive how far it is.
func (t *Tier) place() (Cursor, error) {
	ctx, cancel := context.WithTimeout(t.ctx, archiveWithin)
	defer cancel()
	place, _, err := t.archive.Place(ctx)
	return place, err
}

// standBy returns when nobody has extended the archive for some time. It may be that there was nothing to add.
func (t *Tier) standBy() {
	var seen Cursor
	for t.ctx.Err() == nil {
		place, err := t.place()
		if err == nil && samePlace(place, seen) {
			return
		}
		seen = place
		t.pause(archiveIdle + rand.N(archiveIdle/2))
	}
}

func samePlace(a, b Cursor) bool { return a.Epoch() == b.Epoch() && a.At(0) == b.At(0) }

func (t *Tier) pause(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-t.ctx.Done():
	}
}

// extend follows the store from where the archive is, until an error. It calls works after each page.
func (t *Tier) extend(works func()) error {
	place, err := t.place()
	if err != nil {
		return err
	}
	head, err := headOf(t.ctx, t.Store)
	if err != nil {
		return err
	}
	from := NewCursor(head.Epoch(), max(place.At(0), 1)) // an empty archive begins where the store's tail does
	return t.Store.Tail(t.ctx, from, func(p Page) error {
		if p.Epoch != head.Epoch() && len(p.Records) == 0 { // else these are from before it was superseded, and are still in the tail
			return errMoved
		}
		if len(p.Records) > 0 || !samePlace(p.Head, place) {
			ctx, cancel := context.WithTimeout(t.ctx, archiveWithin)
			defer cancel()
			if err := t.archive.Extend(ctx, place, p); err != nil {
				return err
			}
			place = p.Head
		}
		works()
		return nil
	})
}

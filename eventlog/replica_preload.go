package eventlog

import (
	"context"
	"errors"
	"time"
)

const (
	preloadWithin = 500 * time.Millisecond // of one try
	preloadTries  = 2
	preloadShrink = 8 // the second try asks for so much less
)

var errPreloaded = errors.New("eventlog: the head is reached")

// preload brings the newest history into memory, as much of it as can be had in short time. If that fails, memory begins at the head, and
// whoever follows the store next finds out why.
func (r *Replica) preload(history time.Duration) {
	if history == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(r.ctx, silence)
	defer cancel()
	head, err := r.probe(ctx)
	if err != nil || head.At(0) == 0 || r.begin(head.Epoch(), head.At(0)) != nil {
		return
	}
	for range preloadTries {
		if r.preloadFrom(head, head.At(0).before(history)) {
			return
		}
		history /= preloadShrink
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.epochs, r.past = 0, nil
}

// preloadFrom follows the store from a place, which needn't be that of a record, to a head.
func (r *Replica) preloadFrom(head Cursor, from Offset) bool {
	ctx, cancel := context.WithTimeout(r.ctx, preloadWithin)
	defer cancel()
	r.mem.restart(head.Epoch(), from)
	err := r.store.Tail(ctx, NewCursor(head.Epoch(), from), func(p Page) error {
		if len(p.Records) > 0 && r.mem.head().At(0) == from {
			p.Records[0].Chain = max(p.Records[0].Chain, from) // the one before it is before the place
		}
		if p.Epoch != head.Epoch() {
			return errMoved
		}
		if err := r.take(p); err != nil {
			return err
		}
		if r.mem.head().At(0) >= head.At(0) {
			return errPreloaded
		}
		return ctx.Err()
	})
	return errors.Is(err, errPreloaded)
}

// before returns the place that the clock had so much earlier.
func (o Offset) before(d time.Duration) Offset {
	earlier := Offset(d / time.Microsecond)
	if o <= earlier {
		return 1
	}
	return o - earlier
}

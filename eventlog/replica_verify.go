package eventlog

import (
	"context"
	"fmt"
	"hash/maphash"
	"slices"
	"time"
)

// landmark is a record that a replica has met, as the store gave it.
type landmark struct {
	epoch  uint64
	topic  string
	offset Offset
	sum    uint64 // of key and body
}

const (
	maxLandmarks = 8  // topics: in one that keeps little the newest record may be gone before it is looked for
	maxDoubts    = 32 // landmarks for which there is no answer yet
)

// note remembers the newest record of a page.
func (r *Replica) note(epoch uint64, record *Record) {
	r.landmarks = slices.DeleteFunc(r.landmarks, func(l landmark) bool { return l.topic == record.Topic || l.epoch != epoch })
	if len(r.landmarks) == maxLandmarks {
		r.landmarks = slices.Delete(r.landmarks, 0, 1)
	}
	r.landmarks = append(r.landmarks, r.landmark(epoch, record))
}

func (r *Replica) landmark(epoch uint64, record *Record) landmark {
	return landmark{epoch, record.Topic, record.Offset, r.sum(record)}
}

func (r *Replica) sum(record *Record) uint64 {
	var h maphash.Hash
	h.SetSeed(r.seed)
	_, _ = h.WriteString(record.Key)
	_, _ = h.Write(record.Body)
	return h.Sum64()
}

// doubt puts the landmarks on the list of those that are to be looked for, where there are others already if the store was lost before there was an answer.
func (r *Replica) doubt(epoch uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.doubts = slices.DeleteFunc(r.doubts, func(l landmark) bool { return l.epoch != epoch })
	for _, l := range r.landmarks {
		if l.epoch == epoch {
			r.addDoubt(l)
		}
	}
	r.doubtful = true
}

// suspect puts a record on that list that this node has stored, if there is one, and hasn't met. Only the store knows whether it has it still: a failover
// may have lost it before any node has seen it, and then nothing else tells of that.
func (r *Replica) suspect(epoch uint64, record *Record) {
	if record == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.addDoubt(r.landmark(epoch, record))
	r.doubtful = true
}

// addDoubt needs the lock.
func (r *Replica) addDoubt(l landmark) {
	if slices.Contains(r.doubts, l) {
		return
	}
	if r.doubts = append(r.doubts, l); len(r.doubts) > maxDoubts {
		r.doubts = slices.Delete(r.doubts, 1, 2) // the oldest and the newest show most
	}
}

// inDoubt returns what is to be looked for, once.
func (r *Replica) inDoubt() []landmark {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.doubtful {
		return nil
	}
	r.doubtful = false
	return slices.Clone(r.doubts)
}

// assured takes a landmark off the list: it is where it was.
func (r *Replica) assured(known landmark) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.doubts = slices.DeleteFunc(r.doubts, func(l landmark) bool { return l == known })
}

// verify looks for landmarks in a store that is followed again or has left something out, until there is an answer for each or the context ends, and calls lost if another record is in the
// place of one, or none. Offsets alone don't show every lost tail: while the server's clock is behind the log, what replaces it is at the same offsets, and a
// store that sends the end of the log alone shows nothing of what was before.
func (r *Replica) verify(ctx context.Context, doubts []landmark, lost func(error)) {
	for _, known := range doubts {
		whole, err := r.find(ctx, known)
		switch {
		case err != nil:
			return // they are looked for again when the store is followed again
		case !whole:
			lost(&rolledBack{known.epoch, fmt.Sprintf("what it has at %d of %q isn't what was there", known.offset, known.topic)})
			return
		}
		r.assured(known)
	}
}

// find tells whether a landmark is where it was, or was dropped in order. It asks until there is an answer, or the context ends.
func (r *Replica) find(ctx context.Context, known landmark) (whole bool, err error) {
	for wait := retryFirst; ; wait = min(2*wait, retryMost) {
		h, err := r.lookFor(ctx, known)
		if err == nil {
			return h.Epoch != known.epoch || // who follows the store tells of that
				len(h.Records) == 0 && h.Trimmed >= known.offset || len(h.Records) == 1 && r.sum(&h.Records[0]) == known.sum, nil
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return false, ctx.Err()
		}
	}
}

func (r *Replica) lookFor(ctx context.Context, known landmark) (History, error) {
	ctx, cancel := context.WithTimeout(ctx, rangeWithin)
	defer cancel()
	return r.store.History(ctx, Range{Topic: known.topic, After: known.offset - 1, Until: known.offset, Max: 1})
}

package eventlog

import (
	"context"
	"fmt"
	"hash/maphash"
	"time"
)

// landmark is the newest record that a replica has met, as the store gave it.
type landmark struct {
	epoch  uint64
	topic  string
	offset Offset
	sum    uint64 // of key and body
}

func (r *Replica) landmarkOf(epoch uint64, record *Record) landmark {
	return landmark{epoch, record.Topic, record.Offset, r.sum(record)}
}

func (r *Replica) sum(record *Record) uint64 {
	var h maphash.Hash
	h.SetSeed(r.seed)
	_, _ = h.WriteString(record.Key)
	_, _ = h.Write(record.Body)
	return h.Sum64()
}

// verify looks for the landmark in a store that is followed again, until it has an answer or the context ends, and calls lost if another record is
// there, or none. Offsets alone don't show every lost tail: while the server's clock is behind the log, what replaces it is at the same offsets, and a
// store that sends the end of the log alone shows nothing of what was before.
func (r *Replica) verify(ctx context.Context, known landmark, lost func(error)) {
	for wait := retryFirst; ctx.Err() == nil; wait = min(2*wait, retryMost) {
		h, err := r.lookFor(ctx, known)
		switch {
		case err != nil: // who follows the store tells of that
		case h.Epoch != known.epoch, len(h.Records) == 0 && h.Trimmed >= known.offset, len(h.Records) == 1 && r.sum(&h.Records[0]) == known.sum:
			return
		default:
			lost(&rolledBack{known.epoch, fmt.Sprintf("what it has at %d of %q isn't what was there", known.offset, known.topic)})
			return
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		}
	}
}

func (r *Replica) lookFor(ctx context.Context, known landmark) (History, error) {
	ctx, cancel := context.WithTimeout(ctx, rangeWithin)
	defer cancel()
	return r.store.History(ctx, Range{Topic: known.topic, After: known.offset - 1, Until: known.offset, Max: 1})
}

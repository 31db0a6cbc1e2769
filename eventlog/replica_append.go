package eventlog

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// Append implements Log.
func (r *Replica) Append(ctx context.Context, events ...Event) ([]Cursor, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	records, err := r.Records(events...)
	if err != nil {
		return nil, err
	}
	epochs := r.epochsSoFar()
	if r.ctx.Err() != nil {
		return nil, ErrClosed
	}
	if len(records) == 0 {
		return nil, nil
	}
	epoch, err := r.store.Append(ctx, records)
	if err != nil {
		return nil, err
	}
	cursors, last := make([]Cursor, len(records)), Offset(0)
	var own *Record // the newest that this call has stored
	for i := range records {
		cursors[i] = NewCursor(epoch, records[i].Offset)
		last = max(last, records[i].Offset)
		if !records[i].Repeated {
			own = &records[i]
		}
	}
	switch err := r.await(ctx, epoch, last, epochs); {
	case errors.Is(err, errMoved):
		return nil, fmt.Errorf("%w: %w", ErrUnknownOutcome, err)
	case err != nil:
		r.suspect(epoch, own)
		return cursors, fmt.Errorf("%w: %w", ErrNotVisible, err)
	case own != nil && r.mem.misses(epoch, own.Topic, own.Offset): // a failover has lost it before any node has met it
		r.suspect(epoch, own)
		return nil, fmt.Errorf("%w: %w", ErrUnknownOutcome, errMissing)
	}
	return cursors, nil
}

// Records checks, encodes and seals events, as Append does, and returns them without positions: what a store's AppendTx takes.
// Errors: *EventError.
func (r *Replica) Records(events ...Event) ([]Record, error) {
	size := 0
	for i := range events {
		if len(events[i].Data) <= r.mem.opts.MaxEventBytes {
			size += len(events[i].Data) + len(events[i].Name) + recordRoom
		}
	}
	bodies := encoded{bytes: make([]byte, 0, size), ends: make([]int, 0, len(events))}
	if err := bodies.encode(events, r.mem.opts.MaxEventBytes); err != nil {
		return nil, err
	}
	records := make([]Record, len(events))
	for i, event := range events {
		records[i] = Record{Topic: event.Topic, Key: event.Key, IdempotencyKey: event.IdempotencyKey, Body: slices.Clip(bodies.body(i))}
		if r.keys == nil {
			continue
		}
		if err := r.keys.sealRecord(&records[i]); err != nil {
			return nil, fmt.Errorf("seal an event of %q: %w", event.Topic, err)
		}
	}
	return records, nil
}

const recordRoom = 32 // for the fields of a name and a line or two of data

package eventlog

import (
	"context"
	"fmt"
	"sync"
)

// loadAll brings into memory what it lacks of topics and has room for.
func (r *Replica) loadAll(ctx context.Context, topics []string) error {
	var wait sync.WaitGroup
	errs := make([]error, len(topics))
	for i, topic := range topics {
		wait.Go(func() { errs[i] = r.load(ctx, topic) })
	}
	wait.Wait()
	for i, err := range errs {
		if err != nil {
			return fmt.Errorf("load the history of %q: %w", topics[i], err)
		}
	}
	return nil
}

// load reads the newest part of what is kept of a topic, once for all who wait for it.
func (r *Replica) load(ctx context.Context, topic string) error {
	_, err := r.loads.do(ctx, r, topic, func(ctx context.Context) (struct{}, error) {
		lack := r.mem.lacks(topic)
		if lack.count <= 0 {
			return struct{}{}, nil
		}
		h, _, err := r.history(ctx, Range{Topic: topic, Until: lack.until, Max: lack.count, Newest: true, Bytes: lack.bytes}, lack.epoch)
		if err != nil {
			return struct{}{}, err
		}
		if past := lack.past(topic, h); past != nil {
			r.mem.join(lack, past)
		}
		return struct{}{}, nil
	})
	return err
}

// history reads a range of the log with that epoch and opens its records. What can't be opened counts as trimmed, and all before it. It
// also returns the offset of the last record if there may be more behind it.
func (r *Replica) history(ctx context.Context, asked Range, epoch uint64) (h History, end Offset, err error) {
	select {
	case r.slots <- struct{}{}:
		defer func() { <-r.slots }()
	case <-ctx.Done():
		return History{}, 0, ctx.Err()
	}
	r.ranges.Add(1)
	h, err = r.store.History(ctx, asked)
	if err == nil && h.Epoch != epoch {
		err = errMoved
	}
	if err != nil {
		return History{}, 0, err
	}
	if n := len(h.Records); n >= asked.Max {
		end = h.Records[n-1].Offset
	}
	for i := range h.Records {
		r.open(&h.Records[i])
	}
	for i := len(h.Records) - 1; i >= 0; i-- {
		if h.Records[i].Body == nil {
			h.Trimmed, h.Records = h.Records[i].Offset, h.Records[i+1:]
			break
		}
	}
	if len(h.Records) > 0 { // an upper bound may be too high
		h.Trimmed = min(h.Trimmed, max(h.Records[0].Prev, asked.After))
	}
	return h, end, nil
}

// flights do what several ask for at a time once.
type flights[K comparable, V any] struct {
	mu     sync.Mutex // guards everything below
	flying map[K]*flight[V]
}

type flight[V any] struct {
	landed chan struct{}
	value  V
	err    error
}

// do returns what fetch returns, to all who come with the same key before it does. The end of one caller's context is nobody else's business:
// fetch has one of its own.
func (f *flights[K, V]) do(ctx context.Context, r *Replica, key K, fetch func(context.Context) (V, error)) (V, error) {
	f.mu.Lock()
	one := f.flying[key]
	lead := one == nil
	if lead {
		if f.flying == nil {
			f.flying = make(map[K]*flight[V])
		}
		one = &flight[V]{landed: make(chan struct{}), err: ErrClosed}
		f.flying[key] = one
	}
	f.mu.Unlock()
	land := func() {
		f.mu.Lock()
		delete(f.flying, key)
		f.mu.Unlock()
		close(one.landed)
	}
	if lead && !r.background(func() {
		defer land()
		ctx, cancel := context.WithTimeout(r.ctx, rangeWithin)
		defer cancel()
		value, err := fetch(ctx)
		if r.ctx.Err() == nil {
			one.value, one.err = value, err
		}
	}) {
		land()
	}
	select {
	case <-one.landed:
		return one.value, one.err
	case <-ctx.Done():
		var none V
		return none, ctx.Err()
	}
}

package push

import (
	"context"
	"math/rand/v2"
	"time"
)

const drainWaves = 20 // goodbyes come in so many groups: each is a twentieth of the load of all at once

// Drain sends the clients away before the server goes down: in waves over Options.DrainWindow, each with a time to return of its own,
// so that neither they nor the servers they return to feel a stampede. New streams are refused meanwhile, and told when
// to come back. Publishing goes on. Drain returns when all streams have ended; when the context ends first, the rest
// is cut, and the context's error returned, a second later at most. Then call
// http.Server.Shutdown, which knows nothing of parked streams and so wouldn't wait for them, and Close.
func (b *Broker) Drain(ctx context.Context) error {
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return ErrClosed
	}
	b.draining = true
	b.mu.Unlock()

	streams := b.streams.running()
	rand.Shuffle(len(streams), func(i, j int) { streams[i], streams[j] = streams[j], streams[i] })
	ended := make(chan struct{})
	go func() { b.handlers.Wait(); close(ended) }()

	pause := time.NewTicker(b.opts.DrainWindow / drainWaves)
	defer pause.Stop()
	for wave := range drainWaves {
		for _, c := range streams[len(streams)*wave/drainWaves : len(streams)*(wave+1)/drainWaves] {
			c.end(ErrDraining)
		}
		b.shards.post(func(in *inbox) {
			in.ends = append(in.ends, ending{cause: ErrDraining, rest: uint64(wave), of: drainWaves})
		})
		select {
		case <-pause.C:
		case <-ended:
			return nil
		case <-ctx.Done():
			return b.cutAll(ctx, ended)
		}
	}
	b.endAll(ErrDraining) // those that moved between a goroutine and a shard meanwhile
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		return b.cutAll(ctx, ended)
	}
}

// cutAll ends the streams that are left when there is no more time.
func (b *Broker) cutAll(ctx context.Context, ended <-chan struct{}) error {
	b.endAll(ErrDraining)
	b.abortAll()
	select {
	case <-ended:
	case <-time.After(closeGrace): // a Snapshot or a hook doesn't return
	}
	return ctx.Err()
}

package main

import (
	"context"
	"errors"
	"sync"

	"github.com/buffkit/buffkit/eventlog"
	"github.com/buffkit/buffkit/eventlog/redislog"
)

// buffkit is two nodes of ours. A reader at the second one follows all topics.
type buffkit struct {
	near, far *redislog.Log
	stop      context.CancelFunc
	reader    sync.WaitGroup
}

func openBuffkit(addr string, c config, r receive) (peer, error) {
	opts := &redislog.Options{Addrs: []string{addr}, Retention: eventlog.Retention{Count: c.history}}
	near, err := redislog.Open(context.Background(), opts)
	if err != nil {
		return nil, err
	}
	far, err := redislog.Open(context.Background(), opts)
	if err != nil {
		return nil, errors.Join(err, near.Close())
	}
	b := &buffkit{near: near, far: far}
	var ctx context.Context
	ctx, b.stop = context.WithCancel(context.Background())
	b.reader.Go(func() { _ = b.read(ctx, topicNames(c), r) })
	return b, nil
}

func (b *buffkit) read(ctx context.Context, topics []string, r receive) error {
	news := make(chan struct{}, 1)
	b.reader.Go(func() {
		_ = b.far.Watch(ctx, func(string) {
			select {
			case news <- struct{}{}:
			default:
			}
		})
	})
	at, err := b.far.Head(ctx)
	for err == nil {
		var batch eventlog.Batch
		if batch, err = b.far.Read(ctx, topics, at, 1000); err != nil {
			break
		}
		at = batch.Next
		for _, e := range batch.Entries {
			r(e.Event().Data)
		}
		if len(batch.Entries) > 0 {
			continue
		}
		select {
		case <-news:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return err
}

func (b *buffkit) publish(ctx context.Context, topic string, data []byte) error {
	_, err := b.near.Append(ctx, eventlog.Event{Topic: topic, Data: data})
	return err
}

func (b *buffkit) close() {
	b.stop()
	b.reader.Wait()
	_ = b.near.Close()
	_ = b.far.Close()
}

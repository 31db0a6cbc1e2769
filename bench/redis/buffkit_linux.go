package main

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"sync"

	"github.com/buffkit/buffkit/eventlog"
	"github.com/buffkit/buffkit/eventlog/redislog"
	"github.com/buffkit/buffkit/push"
)

// buffkit is two nodes of ours. A reader at the second one follows all topics.
type buffkit struct {
	near, far *redislog.Log
	stop      context.CancelFunc
	reader    sync.WaitGroup
}

func openLogs(addr string, c config) (near, far *redislog.Log, err error) {
	opts := &redislog.Options{Addrs: []string{addr}, Retention: eventlog.Retention{Count: c.history}}
	if near, err = redislog.Open(context.Background(), opts); err != nil {
		return nil, nil, err
	}
	if far, err = redislog.Open(context.Background(), opts); err != nil {
		return nil, nil, errors.Join(err, near.Close())
	}
	return near, far, nil
}

func openBuffkit(addr string, c config, r receive) (peer, error) {
	near, far, err := openLogs(addr, c)
	if err != nil {
		return nil, err
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
		for _, e := range batch.Entries { // as a broker, which passes frames on and decodes none
			_, data, _ := bytes.Cut(e.Frame, []byte("\ndata: "))
			r(data)
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

// buffkitSite is two nodes of ours, the second with a broker.
type buffkitSite struct {
	near, far *redislog.Log
	broker    *push.Broker
}

func openBuffkitSite(addr string, c config) (site, error) {
	near, far, err := openLogs(addr, c)
	if err != nil {
		return nil, err
	}
	broker, err := push.New(func(r *http.Request) (push.Grant, error) {
		return push.Grant{Topics: push.RequestedTopics(r)}, nil
	}, &push.Options{Log: far})
	if err != nil {
		return nil, errors.Join(err, near.Close(), far.Close())
	}
	return &buffkitSite{near, far, broker}, nil
}

func (b *buffkitSite) publish(ctx context.Context, topic string, data []byte) error {
	_, err := b.near.Append(ctx, eventlog.Event{Topic: topic, Data: data})
	return err
}

func (b *buffkitSite) handler() http.Handler { return b.broker }

func (b *buffkitSite) query(topic string) string { return "topic=" + topic }

func (b *buffkitSite) close() {
	b.broker.Close()
	_ = b.near.Close()
	_ = b.far.Close()
}

package push_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/buffkit/buffkit/push"
)

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// following serves streams of a topic until the function it returns is called.
func following(b *testing.B, broker *push.Broker, topic string, streams int) (leave func()) {
	b.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	for range streams {
		all.Go(func() {
			broker.ServeHTTP(nowhere{header: http.Header{}}, httptest.NewRequestWithContext(ctx, http.MethodGet, "/?topic="+topic, nil))
		})
	}
	for broker.Followers(topic) < streams {
		// They are on their way.
	}
	return func() { cancel(); all.Wait() }
}

func BenchmarkPublish(b *testing.B) {
	event := push.Event{Topic: "a", Data: make([]byte, 200)}
	for i := range event.Data {
		event.Data[i] = 'x'
	}
	for _, bench := range []struct {
		topic   string
		streams int
	}{{"a", 0}, {"a", 1}, {"a", 1000}, {"b", 1}, {"b", 1000}} {
		b.Run(fmt.Sprintf("%d streams of topic %s", bench.streams, bench.topic), func(b *testing.B) {
			broker := newBroker(b, push.Public("a", "b"), push.Options{Logger: quiet()})
			defer following(b, broker, bench.topic, bench.streams)()
			b.ReportAllocs()
			for b.Loop() {
				if _, err := broker.Publish(context.Background(), event); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// One event at a time to one stream, from Publish until it was flushed.
func BenchmarkDeliver(b *testing.B) {
	delivered := make(chan struct{}, 1)
	broker := newBroker(b, push.Public("a"), push.Options{Logger: quiet(), Hooks: push.Hooks{
		Delivered: func(push.Connection, int, int) { delivered <- struct{}{} },
	}})
	defer following(b, broker, "a", 1)()
	event := push.Event{Topic: "a", Data: make([]byte, 200)}
	for i := range event.Data {
		event.Data[i] = 'x'
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := broker.Publish(context.Background(), event); err != nil {
			b.Fatal(err)
		}
		<-delivered
	}
}

func BenchmarkConnect(b *testing.B) {
	for name, headers := range map[string][]string{"anonymous": nil, "with a token": {"Buffkit-Client", "test/1"}} {
		b.Run(name, func(b *testing.B) {
			broker := newBroker(b, asUser, push.Options{Logger: quiet()})
			b.ReportAllocs()
			for b.Loop() {
				comeAndGo(broker, headers...)
			}
		})
	}
	b.Run("in a fleet", func(b *testing.B) {
		broker := newFleet(b, 1, push.Options{Logger: quiet()})[0]
		b.ReportAllocs()
		for b.Loop() {
			comeAndGo(broker)
		}
	})
}

// Many that publish at once, to a log in memory.
func BenchmarkPublishTogether(b *testing.B) {
	broker := newBroker(b, push.Public("a"), push.Options{Logger: quiet()})
	event := push.Event{Topic: "a", Data: []byte(strings.Repeat("x", 200))}
	b.ReportAllocs()
	b.SetParallelism(16)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := broker.Publish(context.Background(), event); err != nil {
				b.Error(err)
			}
		}
	})
}

package push_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"github.com/buffkit/buffkit/push"
)

const subscribersOfATopic = 10

// A publish costs what its subscribers cost, however many others there are: each topic has ten, and there are up to a million in all.
func BenchmarkPublishToSubscribers(b *testing.B) {
	for _, subscribers := range []int{10_000, 100_000, 1_000_000} {
		b.Run(fmt.Sprintf("subscribers=%d", subscribers), func(b *testing.B) {
			before := heap()
			broker := newBroker(b, push.Public(), push.Options{Logger: quiet(), Heartbeat: time.Hour, Limits: push.Limits{MaxSessions: -1, MaxConnections: -1}})
			void := push.NewVoid(broker)
			topics := make([]string, subscribers/subscribersOfATopic)
			for i := range topics {
				topics[i] = fmt.Sprint("topic/", i)
			}
			for range subscribersOfATopic {
				for _, topic := range topics {
					void.Park(broker, topic)
				}
			}
			for broker.Stats().Parked < subscribers {
				runtime.Gosched()
			}
			each := float64(heap()-before) / float64(subscribers)
			rand.Shuffle(len(topics), func(i, j int) { topics[i], topics[j] = topics[j], topics[i] })
			measureDeliveries(b, broker, void, topics, subscribersOfATopic)
			b.ReportMetric(each, "B/subscriber")
		})
	}
}

// One event to a thousand streams that are in step.
func BenchmarkDelivery(b *testing.B) {
	const streams = 1000
	broker := newBroker(b, push.Public(), push.Options{Logger: quiet(), Heartbeat: time.Hour})
	void := push.NewVoid(broker)
	for range streams {
		void.Park(broker, "a")
	}
	for broker.Stats().Parked < streams {
		runtime.Gosched()
	}
	measureDeliveries(b, broker, void, []string{"a"}, streams)
}

// measureDeliveries publishes an event to each topic in turn, some at a time, and waits for them to be delivered. It reports what a delivery costs.
func measureDeliveries(b *testing.B, broker *push.Broker, void *push.Void, topics []string, subscribers int) {
	b.Helper()
	const together = 500 // publishes between two waits: to different topics, so that no two events leave in one write
	event := push.Event{Data: make([]byte, 200)}
	for i := range event.Data {
		event.Data[i] = 'x'
	}
	burst := min(together, len(topics))
	publishes, at := 0, 0
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for b.Loop() {
		void.Expect(burst * subscribers)
		for range burst {
			event.Topic = topics[at]
			at = (at + 1) % len(topics)
			if _, err := broker.Publish(context.Background(), event); err != nil {
				b.Fatal(err)
			}
		}
		void.Wait()
		publishes += burst
	}
	runtime.ReadMemStats(&after)
	deliveries := float64(publishes * subscribers)
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/deliveries, "ns/delivery")
	b.ReportMetric(float64(after.Mallocs-before.Mallocs)/deliveries, "allocs/delivery")
}

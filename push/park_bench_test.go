package push_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/buffkit/buffkit/eventlog"
	"github.com/buffkit/buffkit/push"
)

const subscribersOfATopic = 10

// A publish costs what its subscribers cost, however many others there are: each topic has ten, and there are up to a million in all.
func BenchmarkPublishToSubscribers(b *testing.B) {
	for _, subscribers := range []int{10_000, 100_000, 1_000_000} {
		b.Run(fmt.Sprintf("subscribers=%d", subscribers), func(b *testing.B) {
			const kept = 4 // events of a topic, which are there before, so that the log is what it will be
			log := eventlog.NewMemory(&eventlog.MemoryOptions{Retention: eventlog.Retention{Count: kept}, MaxBytes: 1 << 30})
			defer log.Close()
			topics := make([]string, subscribers/subscribersOfATopic)
			for i := range topics {
				topics[i] = fmt.Sprint("topic/", i)
			}
			for range 2 * kept {
				for _, topic := range topics {
					if _, err := log.Append(context.Background(), eventOf(topic)); err != nil {
						b.Fatal(err)
					}
				}
			}
			before := heap()
			broker := newBroker(b, push.Public(), push.Options{
				Log: log, Logger: quiet(), Heartbeat: time.Hour, Limits: push.Limits{MaxSessions: -1, MaxConnections: -1},
			})
			void := push.NewVoid(broker)
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

var benchData = []byte(strings.Repeat("x", 200))

func eventOf(topic string) push.Event { return push.Event{Topic: topic, Data: benchData} }

// measureDeliveries publishes an event to each topic in turn, some at a time, and waits for them to be delivered. It reports what a delivery costs.
func measureDeliveries(b *testing.B, broker *push.Broker, void *push.Void, topics []string, subscribers int) {
	b.Helper()
	const together = 500 // publishes between two waits: to different topics, so that no two events leave in one write
	burst := min(together, len(topics))
	publishes, at := 0, 0
	var before, after runtime.MemStats
	runtime.GC() // of what the preparation left
	runtime.ReadMemStats(&before)
	for b.Loop() {
		void.Expect(burst * subscribers)
		for range burst {
			if _, err := broker.Publish(context.Background(), eventOf(topics[at])); err != nil {
				b.Fatal(err)
			}
			at = (at + 1) % len(topics)
		}
		void.Wait()
		publishes += burst
	}
	runtime.ReadMemStats(&after)
	deliveries := float64(publishes * subscribers)
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/deliveries, "ns/delivery")
	b.ReportMetric(float64(after.Mallocs-before.Mallocs)/deliveries, "allocs/delivery")
}

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

const (
	subscribersOfATopic = 10
	hotTopics           = 1000
	publishTogether     = 500 // between two waits: to different topics, so that no two events leave in one write
)

// A publish costs what its subscribers cost, however many others there are: each topic has ten, and there are up to a million in all. Events
// go to the same number of topics among all others, and then to all, for which processors have no cache.
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
			hot := make([]string, hotTopics)
			for i := range hot {
				hot[i] = strings.Clone(topics[i]) // a publisher has just made the name
			}
			measureDeliveries(b, broker, void, hot, subscribersOfATopic)
			b.ReportMetric(each, "B/subscriber")
			b.ReportMetric(anywhere(b, broker, void, topics, subscribersOfATopic), "ns/delivery-anywhere")
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
	publishes, next := 0, turns(topics)
	var before, after runtime.MemStats
	runtime.GC() // of what the preparation left
	runtime.ReadMemStats(&before)
	for b.Loop() {
		publishes += publishBurst(b, broker, void, next, min(publishTogether, len(topics)), subscribers)
	}
	runtime.ReadMemStats(&after)
	deliveries := float64(publishes * subscribers)
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/deliveries, "ns/delivery")
	b.ReportMetric(float64(after.Mallocs-before.Mallocs)/deliveries, "allocs/delivery")
}

// anywhere publishes an event to each topic, and returns the nanoseconds of a delivery.
func anywhere(b *testing.B, broker *push.Broker, void *push.Void, topics []string, subscribers int) float64 {
	began, publishes, next := time.Now(), 0, turns(topics)
	for publishes < max(len(topics), 10*hotTopics) {
		publishes += publishBurst(b, broker, void, next, publishTogether, subscribers)
	}
	return float64(time.Since(began).Nanoseconds()) / float64(publishes*subscribers)
}

// turns returns the topics in turn.
func turns(topics []string) func() string {
	at := -1
	return func() string {
		at = (at + 1) % len(topics)
		return topics[at]
	}
}

// publishBurst publishes an event to each of the next topics, and waits until all are delivered.
func publishBurst(b *testing.B, broker *push.Broker, void *push.Void, next func() string, events, subscribers int) int {
	void.Expect(events * subscribers)
	for range events {
		if _, err := broker.Publish(context.Background(), eventOf(next())); err != nil {
			b.Fatal(err)
		}
	}
	void.Wait()
	return events
}

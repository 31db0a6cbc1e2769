package pushtest_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/buffkit/buffkit/client"
	"github.com/buffkit/buffkit/eventlog"
	"github.com/buffkit/buffkit/push"
	"github.com/buffkit/buffkit/push/pushtest"
)

// newLog returns a log that keeps so many events of each topic. It ends with the test.
func newLog(t *testing.T, keep int) *eventlog.Memory {
	log := eventlog.NewMemory(&eventlog.MemoryOptions{Retention: eventlog.Retention{Count: keep}})
	t.Cleanup(func() { log.Close() })
	return log
}

// newBroker returns a broker of a log for the topics a and b, whose snapshots take five seconds. It ends with the test.
func newBroker(t *testing.T, log eventlog.Log) *push.Broker {
	t.Helper()
	slowly := func(ctx context.Context, lost push.Lost) ([]push.Event, error) {
		pause(ctx, 5*time.Second)
		return snapshot(ctx, lost)
	}
	b, err := push.New(push.Public("a", "b"), &push.Options{Log: log, Snapshot: slowly, Heartbeat: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil && !errors.Is(err, push.ErrClosed) {
			t.Error(err)
		}
	})
	return b
}

// publish returns the ids.
func publish(t *testing.T, b *push.Broker, topic string, texts ...string) (ids []string) {
	t.Helper()
	for _, text := range texts {
		at, err := b.Publish(t.Context(), push.Event{Topic: topic, Data: []byte(text)})
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, at.String())
	}
	return ids
}

// opened opens a stream and returns what it was told first.
func opened(t *testing.T, s *pushtest.Server, c *http.Client, cursor string) (*pushtest.Stream, pushtest.Event) {
	t.Helper()
	stream, err := s.Open(t.Context(), "/", &pushtest.StreamOptions{HTTP: c, Cursor: cursor})
	if err != nil {
		t.Fatal(err)
	}
	e, err := stream.Next(t.Context())
	if err != nil || e.Open == nil {
		t.Fatalf("the stream begins with %+v, %v", e, err)
	}
	return stream, e
}

// expect wants events, given as their texts, and returns the id of the last one.
func expect(t *testing.T, stream *pushtest.Stream, texts ...string) (id string) {
	t.Helper()
	for _, want := range texts {
		e, err := stream.Next(t.Context())
		if err != nil || string(e.Data) != want {
			t.Fatalf("got %+v, %v, want %q", e, err, want)
		}
		id = e.ID
	}
	return id
}

func TestAStreamThatWasCutResumesAndGoesOnLive(t *testing.T) {
	t.Parallel()
	for name, clientOf := range map[string]func(*pushtest.Server) *http.Client{
		"HTTP/1.1": (*pushtest.Server).Client,
		"HTTP/2":   (*pushtest.Server).ClientHTTP2,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newBroker(t, newLog(t, 100))
				s := pushtest.NewServer(t, b)
				publish(t, b, "a", "before")
				stream, open := opened(t, s, clientOf(s), "")
				if open.Open.State != client.Fresh || open.ID == "" || open.Retry == 0 || open.Open.Heartbeat != 10*time.Second {
					t.Errorf("told %+v, %+v", open, open.Open)
				}
				began := time.Now()
				ids := publish(t, b, "a", "1", "2")
				if id := expect(t, stream, "1", "2"); id != ids[1] || time.Since(began) > 0 {
					t.Errorf("the last event, published as %s, came as %s after %v", ids[1], id, time.Since(began))
				}
				quiet(t, stream, time.Second)

				s.Cut()
				if _, err := stream.Next(t.Context()); err == nil || err == io.EOF {
					t.Errorf("a stream that was cut ends with %v", err)
				}
				publish(t, b, "a", "3")
				publish(t, b, "b", "4")
				publish(t, b, "a", "5")
				time.Sleep(30 * time.Minute)

				stream, open = opened(t, s, clientOf(s), ids[1])
				if open.Open.State != client.Resumed || open.Open.Replay != 3 || open.ID != "" {
					t.Errorf("told %+v, %+v", open, open.Open)
				}
				expect(t, stream, "3", "4", "5")
				publish(t, b, "b", "6")
				expect(t, stream, "6")
				if n := b.Stats().Connections; n != 1 {
					t.Errorf("%d streams are open", n)
				}
			})
		})
	}
}

// A fresh stream's place is that of its first message: a client that is cut right after it misses nothing.
func TestAFreshStreamResumesFromItsOpen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBroker(t, newLog(t, 100))
		s := pushtest.NewServer(t, b)
		_, open := opened(t, s, nil, "")
		s.Cut()
		publish(t, b, "a", "1")
		stream, again := opened(t, s, nil, open.ID)
		if again.Open.State != client.Resumed || again.Open.Replay != 1 {
			t.Errorf("told %+v", again.Open)
		}
		expect(t, stream, "1")
	})
}

func TestATrimmedTopicIsToldHealedAndGoesOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBroker(t, newLog(t, 3))
		s := pushtest.NewServer(t, b)
		stream, _ := opened(t, s, nil, "")
		last := publish(t, b, "a", "1")[0]
		expect(t, stream, "1")
		s.Cut()
		publish(t, b, "a", "2", "3")
		publish(t, b, "b", "one", "two")
		publish(t, b, "a", "4", "5")

		stream, open := opened(t, s, nil, last)
		want := []client.Gap{{Topic: "a", Reason: "trimmed"}}
		if open.Open.State != client.Gapped || !slices.Equal(open.Open.Gaps, want) || open.Open.Replay != 2 || open.ID != "" {
			t.Errorf("told %+v, want a gap of %v and 2 stored events", open.Open, want)
		}
		publish(t, b, "a", "6") // the snapshot is being taken
		e, err := stream.Next(t.Context())
		if err != nil || e.ID != "" || e.Name != "snapshot" || string(e.Data) != "a" {
			t.Errorf("after the gap came %+v, %v, want the snapshot of topic a, without an id", e, err)
		}
		if id := expect(t, stream, "one", "two"); id == "" {
			t.Error("the events of the whole topic have no ids")
		}
		expect(t, stream, "6")
		last = publish(t, b, "a", "7")[0]
		if id := expect(t, stream, "7"); id != last {
			t.Errorf("the stream went on with %s, want %s", id, last)
		}

		s.Cut()
		_, open = opened(t, s, nil, last)
		if open.Open.State != client.Resumed || open.Open.Replay != 0 {
			t.Errorf("after the gap was healed, told %+v", open.Open)
		}
	})
}

// Who is cut between the gap and its snapshot, or between the snapshot and the next event, asks from where it was and is told again.
func TestAClientCutWhileItIsHealedIsToldTheGapAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBroker(t, newLog(t, 3))
		s := pushtest.NewServer(t, b)
		publish(t, b, "a", "0")
		last := publish(t, b, "a", "1", "2", "3", "4", "5")[0]
		for range 3 {
			stream, open := opened(t, s, nil, last)
			if open.Open.State != client.Gapped || open.ID != "" {
				t.Fatalf("told %+v with the id %q", open.Open, open.ID)
			}
			e, err := stream.Next(t.Context())
			if err != nil || e.Name != "snapshot" || e.ID != "" {
				t.Fatalf("got %+v, %v", e, err)
			}
			s.Cut()
		}
	})
}

func TestDrainSendsClientsAwayInWavesToTheNextBroker(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const clients = 100
		log := newLog(t, 1000)
		oracle := pushtest.NewOracle(log)
		first := newBroker(t, log)
		s := pushtest.NewServer(t, first)
		ctx, leave := context.WithCancel(t.Context())
		defer leave()
		for n := range clients {
			go oracle.Subscriber(fmt.Sprint(n), "a").FollowStreams(ctx, s.URL, &pushtest.StreamOptions{HTTP: s.Client()}, 0)
		}
		time.Sleep(time.Second)
		watchers := make([]*pushtest.Stream, clients)
		for i := range watchers {
			watchers[i], _ = opened(t, s, nil, "")
		}
		drained := make(chan error)
		began := time.Now()
		go func() { drained <- first.Drain(t.Context()) }()
		synctest.Wait() // the first wave

		var mu sync.Mutex // guards when and retries
		when, retries := make(map[time.Duration]int), make(map[time.Duration]int)
		var watching sync.WaitGroup
		for _, stream := range watchers {
			watching.Go(func() {
				e, err := stream.Next(t.Context())
				for err == nil && e.Bye == nil {
					e, err = stream.Next(t.Context())
				}
				mu.Lock()
				when[time.Since(began)]++
				retries[e.Retry]++
				mu.Unlock()
				if _, after := stream.Next(t.Context()); err != nil || after != io.EOF {
					t.Errorf("got %v before a goodbye, %v after it", err, after)
				}
			})
			oracle.Publish(t.Context(), first, push.Event{Topic: "a"}) // publishing goes on
		}
		watching.Wait()
		if err := <-drained; err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took > push.DefaultDrainWindow {
			t.Errorf("the drain took %v", took)
		}
		if len(when) < 3 || len(retries) < clients/2 {
			t.Errorf("goodbyes at %d different times, with %d different times to return, for %d clients", len(when), len(retries), clients)
		}
		refused, err := s.Open(t.Context(), "/", nil)
		if err != nil {
			t.Fatal(err)
		}
		if e, err := refused.Next(t.Context()); err != nil || e.Bye == nil || e.Bye.Code != "draining" {
			t.Errorf("a new stream got %+v, %v", e, err)
		}

		second := newBroker(t, log)
		s.Restart(second)
		oracle.Publish(t.Context(), second, push.Event{Topic: "a"})
		if err := oracle.Wait(t.Context()); err != nil {
			t.Error(err)
		}
		report := oracle.Check()
		report.Fail(t)
		if report.Fresh != clients || report.Resumed < clients || report.Gapped > 0 {
			t.Errorf("%d fresh, %d resumed and %d gaps of %d clients", report.Fresh, report.Resumed, report.Gapped, clients)
		}
		leave()
		synctest.Wait()
	})
}

// An hour of bad weather: cuts, black holes, slow lines, refused connections, crashes and drained brokers, and a history that is
// often too short. Clients of both kinds get everything or are told.
func TestAnHourOfBadWeather(t *testing.T) {
	t.Parallel()
	for _, seed := range []uint64{1, 2} {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { badWeather(t, rand.New(rand.NewPCG(seed, 0))) })
		})
	}
}

func badWeather(t *testing.T, rng *rand.Rand) {
	log := newLog(t, 40)
	oracle := pushtest.NewOracle(log)
	broker := newBroker(t, log)
	s := pushtest.NewServer(t, broker)
	ctx, leave := context.WithCancel(t.Context())
	var following sync.WaitGroup
	for n := range 10 {
		topics := [][]string{{"a"}, {"b"}, {"a", "b"}}[n%3]
		sub := oracle.Subscriber(fmt.Sprint(n), topics...)
		target := s.URL + "/?topic=" + topics[0]
		if len(topics) > 1 {
			target += "&topic=" + topics[1]
		}
		following.Go(func() {
			if n%2 == 0 {
				sub.FollowStreams(ctx, target, &pushtest.StreamOptions{HTTP: s.Client()}, time.Minute)
			} else if err := sub.Follow(ctx, target, &client.Options{HTTP: s.Client()}); err != nil {
				t.Error(err)
			}
		})
	}

	began := time.Now()
	for time.Since(began) < time.Hour {
		for range rng.IntN(10) {
			oracle.Publish(t.Context(), broker, push.Event{Topic: []string{"a", "b"}[rng.IntN(2)]})
		}
		pause(ctx, upTo(rng, 20*time.Second))
		switch rng.IntN(40) {
		case 0:
			s.Stall()
		case 1:
			s.Throttle(500)
		case 2:
			s.Refuse()
		case 3:
			next := newBroker(t, log)
			if err := broker.Drain(t.Context()); err != nil {
				t.Error(err)
			}
			s.Restart(next)
			broker.Close()
			broker = next
		case 4:
			next := newBroker(t, log)
			s.Restart(next)
			broker.Close()
			broker = next
		case 5, 6, 7, 8:
			s.Restore()
		default:
			if conns := s.Conns(); len(conns) > 0 {
				conns[rng.IntN(len(conns))].Cut()
			}
		}
	}
	s.Restore()
	s.Cut()
	oracle.Publish(t.Context(), broker, push.Event{Topic: "a"}, push.Event{Topic: "b"})
	waiting, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	if err := oracle.Wait(waiting); err != nil {
		t.Error(err)
	}
	leave()
	following.Wait()
	report := oracle.Check()
	t.Log(report)
	report.Fail(t)
	if report.Resumed < 100 || report.Gaps < 10 {
		t.Error("this weather was too good")
	}
}

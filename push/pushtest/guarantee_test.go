package pushtest_test

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/buffkit/buffkit/client"
	"github.com/buffkit/buffkit/eventlog"
	"github.com/buffkit/buffkit/push"
	"github.com/buffkit/buffkit/push/pushtest"
)

var seed = flag.Uint64("seed", 0, "of TestEveryEventOnceInOrderOrAToldGap; 0 chooses one")

// The promise, over real TCP: 200 clients, each cut about every second, while events are published at mixed rates and the server is
// drained and restarted twice. Every event reaches every subscriber exactly once, in the order of its topic, or the subscriber is
// told a gap that is one.
func TestEveryEventOnceInOrderOrAToldGap(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		keep     eventlog.MemoryOptions
		wantGaps bool
	}{
		{"everything is kept", eventlog.MemoryOptions{}, false},
		{"little is kept", eventlog.MemoryOptions{
			RetentionOf: func(topic string) eventlog.Retention {
				switch kind, _, _ := strings.Cut(topic, "/"); kind {
				case "steady":
					return eventlog.Retention{Count: 5}
				case "batch":
					return eventlog.Retention{Bytes: 5_000}
				case "burst":
					return eventlog.Retention{Age: time.Second}
				}
				return eventlog.Retention{}
			},
			MaxBytes: 200_000, // ten of the large ones
		}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newStorm(t, &tt.keep)
			s.run()
			report := s.oracle.Check()
			t.Logf("%v, %d cuts, %d failed publishes, seed %d", report, s.cuts.Load(), report.Failed, s.seed)
			report.Fail(t)
			if got := report.Gaps > 0; got != tt.wantGaps {
				t.Errorf("%d gaps were told", report.Gaps)
			}
			if s.cuts.Load() < s.leastCuts {
				t.Errorf("only %d connections were cut in %v: something is wrong with the proxy, or the machine is too busy",
					s.cuts.Load(), s.patience)
			}
		})
	}
}

// storm is one run.
type storm struct {
	t         *testing.T
	seed      uint64
	clients   int
	length    time.Duration // of publishing, at least
	leastCuts int64         // so many cuts must come before the end, or else
	patience  time.Duration // must be over
	log       *eventlog.Memory
	oracle    *pushtest.Oracle
	proxy     *pushtest.Proxy
	broker    atomic.Pointer[push.Broker]
	transport *http.Transport
	cuts      atomic.Int64
}

var stormTopics = []string{"steady/0", "steady/1", "steady/2", "batch/0", "batch/1", "burst", "quiet", "large"}

func newStorm(t *testing.T, keep *eventlog.MemoryOptions) *storm {
	s := &storm{t: t, seed: *seed, clients: 200, length: 30 * time.Second, leastCuts: 600, patience: 2 * time.Minute}
	if s.seed == 0 {
		s.seed = rand.Uint64()
	}
	if testing.Short() {
		s.clients, s.length, s.leastCuts, s.patience = 50, 3*time.Second, 50, 30*time.Second
	}
	s.transport = &http.Transport{}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("run it again with -seed %d", s.seed)
		}
	})
	s.log = eventlog.NewMemory(keep)
	t.Cleanup(func() { s.log.Close() })
	s.oracle = pushtest.NewOracle(s.log)
	s.proxy = pushtest.NewProxy(t, "")
	t.Cleanup(s.transport.CloseIdleConnections)
	return s
}

// rng returns a generator of its own for a goroutine.
func (s *storm) rng(stream int) *rand.Rand { return rand.New(rand.NewPCG(s.seed, uint64(stream))) }

func (s *storm) run() {
	node := s.serve()
	defer func() { node.close() }()
	following, leave := context.WithCancel(s.t.Context())
	var followers sync.WaitGroup
	for n := range s.clients {
		followers.Go(func() { s.follow(following, n) })
	}
	defer followers.Wait()
	defer leave()

	publishing, end := context.WithTimeout(s.t.Context(), s.patience)
	defer end()
	var storming sync.WaitGroup
	s.publishers(publishing, &storming)
	storming.Go(func() { s.cut(publishing) })
	began := time.Now()
	for range 2 {
		pause(publishing, s.length/3)
		node = s.restart(node)
	}
	for time.Since(began) < s.length || s.cuts.Load() < s.leastCuts { // a busy machine takes longer
		if !pause(publishing, 100*time.Millisecond) {
			break
		}
	}
	end()
	storming.Wait()

	s.proxy.Restore()
	s.proxy.Cut()
	for _, topic := range stormTopics {
		s.publish(push.Event{Topic: topic, Data: []byte("the last")})
	}
	waiting, done := context.WithTimeout(s.t.Context(), 2*time.Minute)
	defer done()
	if err := s.oracle.Wait(waiting); err != nil {
		s.t.Error(err)
	}
}

func upTo(rng *rand.Rand, d time.Duration) time.Duration { return time.Duration(rng.Int64N(int64(d))) }

// pause returns false if the context ended before.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// publishers publish at mixed rates until the context ends.
func (s *storm) publishers(ctx context.Context, running *sync.WaitGroup) {
	kinds := []func(rng *rand.Rand) time.Duration{
		func(rng *rand.Rand) time.Duration { // one event, ten times a second and topic
			s.publish(event(fmt.Sprint("steady/", rng.IntN(3)), 100))
			return upTo(rng, 66*time.Millisecond)
		},
		func(rng *rand.Rand) time.Duration { // batches over two topics
			events := make([]push.Event, 2+rng.IntN(18))
			for i := range events {
				events[i] = event(fmt.Sprint("batch/", rng.IntN(2)), 100)
			}
			s.publish(events...)
			return upTo(rng, 400*time.Millisecond)
		},
		func(rng *rand.Rand) time.Duration { // nothing, and then a hundred at once
			for range 100 {
				s.publish(event("burst", 100))
			}
			return time.Second + upTo(rng, 2*time.Second)
		},
		func(rng *rand.Rand) time.Duration { s.publish(event("quiet", 10)); return upTo(rng, 14*time.Second) },
		func(rng *rand.Rand) time.Duration { s.publish(event("large", 20_000)); return upTo(rng, 2*time.Second) },
	}
	for n, kind := range kinds {
		rng := s.rng(n)
		running.Go(func() {
			for pause(ctx, kind(rng)) {
			}
		})
	}
}

func event(topic string, size int) push.Event {
	return push.Event{Topic: topic, Data: bytes.Repeat([]byte("line\n"), size/5)}
}

// publish doesn't try again: what a broker refused because it was just closed may be in the log or not.
func (s *storm) publish(events ...push.Event) {
	s.oracle.Publish(s.t.Context(), s.broker.Load(), events...)
}

// cut does something bad to every connection, about every second, until the context ends.
func (s *storm) cut(ctx context.Context) {
	rng := s.rng(100)
	for pause(ctx, 10*time.Millisecond) {
		for _, c := range s.proxy.Conns() {
			if rng.IntN(100) > 0 {
				continue
			}
			s.cuts.Add(1)
			switch rng.IntN(10) {
			case 0:
				c.HalfClose(pushtest.ToClient)
			case 1:
				c.HalfClose(pushtest.ToServer)
			case 2:
				c.Stall() // until it is cut, or restored, or the server's or the client's patience is over
				if rng.IntN(2) == 0 {
					time.AfterFunc(upTo(rng, time.Second), c.Restore)
				}
			default:
				c.Cut()
			}
		}
	}
}

// follow is one client, of some of the topics, fresh or from a place: in turn package client, with its session, and a reader that knows
// only Last-Event-ID.
func (s *storm) follow(ctx context.Context, n int) {
	rng := s.rng(1000 + n)
	topics := make([]string, 0, len(stormTopics))
	for _, i := range rng.Perm(len(stormTopics))[:1+rng.IntN(len(stormTopics))] {
		topics = append(topics, stormTopics[i])
	}
	var cursor string
	if rng.IntN(2) == 0 {
		at, err := s.log.Head(ctx)
		if err != nil {
			s.t.Error(err)
		}
		cursor = at.String()
	}
	target := s.proxy.URL + "/?" + url.Values{"topic": topics}.Encode()
	httpClient := &http.Client{Transport: s.transport}
	sub := s.oracle.Subscriber(fmt.Sprintf("%d of %q", n, topics), topics...)
	if n%2 == 0 {
		err := sub.Follow(ctx, target, &client.Options{
			HTTP: httpClient, Cursor: cursor, MinRetry: 50 * time.Millisecond, MaxRetry: time.Second, OpenTimeout: 20 * time.Second,
		})
		if err != nil {
			s.t.Errorf("client %d gave up: %v", n, err)
		}
		return
	}
	sub.FollowStreams(ctx, target, &pushtest.StreamOptions{HTTP: httpClient, Cursor: cursor}, 100*time.Millisecond)
}

// node is one run of the server.
type node struct {
	broker *push.Broker
	server *http.Server
	served chan struct{}
}

// serve starts a server on a port of its own and leads the proxy and the publishers to it.
func (s *storm) serve() *node {
	broker, err := push.New(push.Public(stormTopics...), &push.Options{
		Log:          s.log,
		Keys:         []push.Key{{ID: "storm", Secret: bytes.Repeat([]byte("k"), push.MinSecretBytes)}},
		Retry:        100 * time.Millisecond,
		Heartbeat:    5 * time.Second, // a busy machine must not look like a dead network
		WriteTimeout: 5 * time.Second,
		DrainWindow:  time.Second,
		Snapshot:     snapshot,
		Logger:       slog.New(&errorsOnly{slog.DiscardHandler, s.t}),
	})
	if err != nil {
		s.t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.t.Fatal(err)
	}
	n := &node{broker, &http.Server{Handler: broker}, make(chan struct{})}
	go func() { defer close(n.served); n.server.Serve(listener) }()
	s.proxy.SetTarget(listener.Addr().String())
	s.broker.Store(broker)
	return n
}

// snapshot takes its time: what is published meanwhile mustn't fall between it and what follows.
func snapshot(ctx context.Context, lost push.Lost) (events []push.Event, err error) {
	pause(ctx, 20*time.Millisecond)
	for _, topic := range lost.Topics() {
		events = append(events, push.Event{Name: "snapshot", Data: []byte(topic)})
	}
	return events, nil
}

// restart drains a server while publishing goes on, and replaces it.
func (s *storm) restart(old *node) *node {
	ctx, cancel := context.WithTimeout(s.t.Context(), 10*time.Second)
	defer cancel()
	if err := old.broker.Drain(ctx); err != nil {
		s.t.Errorf("drain: %v", err)
	}
	n := s.serve()
	old.close()
	return n
}

func (n *node) close() {
	n.broker.Close()
	n.server.Close()
	<-n.served
}

// errorsOnly fails the test with what the broker logs as an error: it would be the server's fault.
type errorsOnly struct {
	slog.Handler
	t *testing.T
}

func (h *errorsOnly) Enabled(_ context.Context, level slog.Level) bool {
	return level >= slog.LevelError
}

func (h *errorsOnly) Handle(_ context.Context, r slog.Record) error {
	r.Attrs(func(a slog.Attr) bool { r.Message += fmt.Sprintf(" %v", a); return true })
	h.t.Error(r.Message)
	return nil
}

package integration

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	launchdarkly "github.com/launchdarkly/eventsource"
	r3labs "github.com/r3labs/sse/v2"
	tmaxmax "github.com/tmaxmax/go-sse"

	"github.com/buffkit/buffkit/eventlog"
	"github.com/buffkit/buffkit/push"
)

// foreignClients are Go clients of other people. follow keeps to a URL until the context ends, and reconnects by the client's own
// means.
var foreignClients = []struct {
	name   string
	follow func(ctx context.Context, client *http.Client, url string, got func(note))

	// dropsHalf tells that an event which was cut off in its midst doesn't count.
	dropsHalf bool
}{
	{"tmaxmax go-sse", followTmaxmax, true},
	// r3labs/sse takes what stands before a cut for a whole event, and its id for the last one. The rest of it is lost, whatever a
	// server does.
	{"r3labs sse", followR3labs, false},
	{"launchdarkly eventsource", followLaunchdarkly, true},
}

func followTmaxmax(ctx context.Context, client *http.Client, url string, got func(note)) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		panic(err)
	}
	conn := (&tmaxmax.Client{HTTPClient: client, Backoff: tmaxmax.Backoff{InitialInterval: retry}}).NewConnection(req)
	conn.SubscribeToAll(func(e tmaxmax.Event) { got(note{Type: e.Type, ID: e.LastEventID, Data: e.Data}) })
	conn.Connect()
}

func followR3labs(ctx context.Context, client *http.Client, url string, got func(note)) {
	c := r3labs.NewClient(url)
	c.Connection = client
	c.ReconnectStrategy = untilDone{ctx} // its own waits are half a second and more; it doesn't read retry
	for ctx.Err() == nil {
		// It reconnects after a broken connection, but returns when the server ends the stream cleanly. It keeps the last id.
		c.SubscribeRawWithContext(ctx, func(e *r3labs.Event) {
			got(note{Type: string(e.Event), ID: string(e.ID), Data: string(e.Data)})
		})
		select {
		case <-time.After(retry):
		case <-ctx.Done():
		}
	}
}

// untilDone is a backoff.BackOff that ends with a context, which r3labs/sse by itself doesn't.
type untilDone struct{ ctx context.Context }

func (b untilDone) Reset() {}
func (b untilDone) NextBackOff() time.Duration {
	if b.ctx.Err() != nil {
		return -1 // backoff.Stop
	}
	return retry
}

func followLaunchdarkly(ctx context.Context, client *http.Client, url string, got func(note)) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		panic(err)
	}
	stream, err := launchdarkly.SubscribeWithRequestAndOptions(req,
		launchdarkly.StreamOptionHTTPClient(client),
		launchdarkly.StreamOptionInitialRetry(retry),
		launchdarkly.StreamOptionCanRetryFirstConnection(-1),
		launchdarkly.StreamOptionErrorHandler(func(error) launchdarkly.StreamErrorHandlerResult {
			return launchdarkly.StreamErrorHandlerResult{CloseNow: ctx.Err() != nil}
		}))
	if err != nil {
		return // only when the context has ended
	}
	stop := context.AfterFunc(ctx, stream.Close)
	defer stop()
	for e := range stream.Events {
		got(note{Type: e.Event(), ID: e.Id(), Data: e.Data()})
	}
}

// followed runs a test for each foreign client: it is connected to a site through a cutter.
func followed(t *testing.T, setup func(*site), test func(t *testing.T, s *site, c *cutter, got *events, dropsHalf bool)) {
	t.Parallel()
	for _, client := range foreignClients {
		t.Run(client.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			if setup != nil {
				setup(s)
			}
			s.start(nil)
			cut := cutterTo(t, s.addr)
			got := &events{}
			followWith(t, client.follow, s.urlAt(cut.addr, "/events"), got)
			test(t, s, cut, got, client.dropsHalf)
		})
	}
}

// followWith runs a foreign client until the end of the test.
func followWith(t *testing.T, follow func(context.Context, *http.Client, string, func(note)), url string, got *events) {
	ctx, cancel := context.WithCancel(t.Context())
	transport := &http.Transport{}
	var running sync.WaitGroup
	running.Go(func() {
		follow(ctx, &http.Client{Transport: transport}, url, func(n note) {
			switch {
			case n.Type == "" && n.Data == "":
				return // an id alone: the standard doesn't dispatch it, these clients do
			case n.Type == "":
				n.Type = "message"
			}
			got.add(n)
		})
	})
	t.Cleanup(func() {
		cancel()
		running.Wait()
		transport.CloseIdleConnections()
	})
}

func TestForeignClientsResumeAfterACut(t *testing.T) {
	followed(t, nil, func(t *testing.T, s *site, c *cutter, got *events, _ bool) {
		got.awaitNth(t, "buffkit.open", 1)
		s.publish(3)
		got.awaitLast(t, 1, 3)

		c.stall() // nothing arrives any more, and nobody knows
		s.publish(4)
		c.cut()
		s.publish(2)
		c.resume()
		got.awaitLast(t, 1, 9)

		s.publish(1)
		got.awaitLast(t, 1, 10)
		if opens := opens(t, got.all()); !slices.Equal(opens, []string{"fresh", "resumed 6"}) {
			t.Errorf("told %q", opens)
		}
	})
}

func TestForeignClientsResumeAfterHalfAnEvent(t *testing.T) {
	followed(t, nil, func(t *testing.T, s *site, c *cutter, got *events, dropsHalf bool) {
		if !dropsHalf {
			t.Skip("this client takes half an event for a whole one")
		}
		got.awaitNth(t, "buffkit.open", 1)
		s.publish(1)
		got.awaitLast(t, 1, 1)
		// An event, in its chunk, has 4 + 22 + 9 + 2 bytes or so: cut in its id, between the fields, in its data, before its end.
		for i, bytes := range []int{10, 30, 34, 36} {
			c.tearAfter(bytes)
			s.publish(1)
			c.awaitCuts(t, i+1)
			got.awaitLast(t, 1, 2+i)
		}
		s.publish(1)
		got.awaitLast(t, 1, 6)
	})
}

func TestForeignClientsResumeUnderLoad(t *testing.T) {
	const last = 400
	followed(t, nil, func(t *testing.T, s *site, c *cutter, got *events, _ bool) {
		got.awaitNth(t, "buffkit.open", 1)
		for n := 1; n <= last; n++ {
			s.publish(1)
			if n%40 == 0 {
				got.awaitNth(t, "buffkit.open", n/40)
				c.cut()
			}
		}
		got.awaitLast(t, 1, last)
		s.publish(1)
		got.awaitLast(t, 1, last+1)
	})
}

func TestForeignClientsResumeAfterARestart(t *testing.T) {
	followed(t, nil, func(t *testing.T, s *site, c *cutter, got *events, _ bool) {
		got.awaitNth(t, "buffkit.open", 1)
		s.publish(2)
		got.awaitLast(t, 1, 2)

		s.crash()
		s.publish(2)
		s.start(nil)
		s.publish(2)
		got.awaitLast(t, 1, 6)

		s.stop()
		bye := got.awaitNth(t, "buffkit.bye", 1)
		if parse[goodbye](t, bye.Data).Code != "draining" {
			t.Errorf("told %q", bye.Data)
		}
		s.publish(2)
		s.start(nil)
		got.awaitNth(t, "buffkit.open", 3)
		s.publish(1)
		got.awaitLast(t, 1, 9)
	})
}

func TestForeignClientsAreToldAGapAndGetASnapshot(t *testing.T) {
	followed(t, func(s *site) { s.Options.Snapshot = s.snapshot }, func(t *testing.T, s *site, c *cutter, got *events, _ bool) {
		got.awaitNth(t, "buffkit.open", 1)
		s.publish(2)
		got.awaitLast(t, 1, 2)
		s.crash()
		log := eventlog.NewMemory(nil)
		t.Cleanup(func() { log.Close() })
		s.start(log)
		got.awaitNth(t, "snapshot", 1)
		s.publish(2)
		got.awaitLast(t, 1, 4)

		c.cut() // the place it was given after the gap is one of the new log
		s.publish(1)
		got.awaitLast(t, 1, 5)
		if opens := opens(t, got.all()); opens[1] != "gap other_log" || opens[2] != "resumed 1" {
			t.Errorf("told %q", opens)
		}
	})
}

// A client that is refused with 200 and a goodbye comes back, as an EventSource does.
func TestForeignClientsComeBackAfterARefusal(t *testing.T) {
	var doors sync.Map // *site -> chan struct{}
	setup := func(s *site) {
		door := make(chan struct{})
		doors.Store(s, door)
		allow := push.Public(topic)
		s.Grant = func(r *http.Request) (push.Grant, error) {
			select {
			case <-door:
				return allow(r)
			default:
				return push.Grant{}, push.ErrUnauthorized
			}
		}
	}
	followed(t, setup, func(t *testing.T, s *site, _ *cutter, got *events, _ bool) {
		bye := got.awaitNth(t, "buffkit.bye", 2)
		if parse[goodbye](t, bye.Data).Code != "unauthorized" {
			t.Errorf("told %q", bye.Data)
		}
		door, _ := doors.Load(s)
		close(door.(chan struct{}))
		got.awaitNth(t, "buffkit.open", 1)
		s.publish(2)
		got.awaitLast(t, 1, 2)
	})
}

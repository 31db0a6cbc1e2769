package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/buffkit/buffkit/internal/servers"
)

// site is two nodes: events are published at one, and the streams of clients are at the other.
type site interface {
	publish(ctx context.Context, topic string, data []byte) error
	handler() http.Handler
	query(topic string) string // of a request for a stream
	close()
}

const (
	patience  = 10 * time.Second // for events that are on their way when a round ends, and for streams to open
	openLoops = 256              // publishes at a time that don't wait for clients: more than any of the servers needs for its pace
)

func (c config) runLast() error {
	rates, err := numbers("rates", c.rates)
	if err != nil {
		return err
	}
	loads := append([]int{0}, rates...) // events a second; 0: closed
	t := c.newTable("redis-last", "To the last client over Redis", fmt.Sprintf("An event is published at one node, and counts from when it was due until the last of its topic's clients has it, "+
		"at another node: %d streams of server-sent events over loopback, %d topics, %d bytes, history of %d events, %v a round, all in one process. "+
		"Closed: %d publishers, each waiting until the last client has its event.", c.clients, c.topics, c.size, c.history, c.measured, c.closed),
		"load", "publishes/s", "to the last client, median", "p99", "not received")
	for range c.rounds {
		for _, load := range loads {
			for _, p := range peers {
				if c.only != "" && p.name != c.only {
					continue
				}
				r, err := c.lastRound(p.site, load)
				if err != nil {
					return fmt.Errorf("%s: %w", p.name, err)
				}
				name := strconv.Itoa(load) + "/s"
				if load == 0 {
					name = "closed"
				}
				t.row(p.name, name, fmt.Sprintf("%.0f", r.rate), r.p50, r.p99, r.sent-r.received)
			}
		}
	}
	return t.save()
}

func (c config) lastRound(open func(string, config) (site, error), load int) (r outcome, err error) {
	server, err := servers.Redis()
	if err != nil {
		return r, err
	}
	defer server.Stop()
	s, err := open(server.Addr, c)
	if err != nil {
		return r, err
	}
	defer s.close()
	a := &audience{c: c, site: s, times: hdrhistogram.New(1, 60_000_000, 3), topics: topicNames(c)[:min(c.topics, c.clients)]}
	defer a.leave()
	if err := a.connect(); err != nil {
		return r, err
	}
	begin := time.Now()
	if load == 0 {
		err = a.publishClosed()
	} else {
		err = a.publishOpen(load)
	}
	r.rate = float64(a.sent.Load()) / time.Since(begin).Seconds()
	if err != nil {
		return r, err
	}
	a.settle()
	a.mu.Lock()
	defer a.mu.Unlock()
	r.sent, r.received = a.sent.Load(), a.complete.Load()
	r.p50, r.p99 = time.Duration(a.times.ValueAtQuantile(50))*time.Microsecond, time.Duration(a.times.ValueAtQuantile(99))*time.Microsecond
	return r, nil
}

// audience is the clients of a round, and what they have got.
type audience struct {
	c       config
	site    site
	topics  []string
	server  *http.Server
	http    *http.Transport
	cancel  context.CancelFunc
	streams sync.WaitGroup
	ready   atomic.Int64 // streams that have had an event

	events         sync.Map // those that are on their way, by number
	sent, complete atomic.Int64

	mu    sync.Mutex // guards what follows
	times *hdrhistogram.Histogram
}

// flying is an event that some clients haven't got yet.
type flying struct {
	due  time.Time
	left atomic.Int64
	done chan struct{} // closed when all have it
}

// connect opens all streams, and publishes until each has had an event.
func (a *audience) connect() error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	a.server = &http.Server{Handler: a.site.handler()}
	a.streams.Go(func() { _ = a.server.Serve(listener) })
	a.http = &http.Transport{}
	var ctx context.Context
	ctx, a.cancel = context.WithCancel(context.Background())
	failed := make(chan error, a.c.clients)
	for i := range a.c.clients {
		a.streams.Go(func() {
			url := "http://" + listener.Addr().String() + "/?" + a.site.query(a.topics[i%len(a.topics)])
			if err := a.follow(ctx, url); ctx.Err() == nil {
				failed <- fmt.Errorf("a stream ended: %w", err)
			}
		})
	}
	for deadline := time.After(patience); a.ready.Load() < int64(a.c.clients); {
		for _, topic := range a.topics {
			if err := a.site.publish(ctx, topic, a.payload(0)); err != nil {
				return err
			}
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case err := <-failed:
			return err
		case <-deadline:
			return fmt.Errorf("%d of %d streams had no event within %v", int64(a.c.clients)-a.ready.Load(), a.c.clients, patience)
		}
	}
	return nil
}

var number = []byte(`"n":`)

// payload is an event of the size that is asked for. Its number is 0 before the round begins.
func (a *audience) payload(n int64) []byte {
	text := fmt.Sprintf(`{"n":%d,"fill":"`, n)
	return []byte(text + strings.Repeat("x", max(a.c.size-len(text)-2, 0)) + `"}`)
}

// follow reads a stream until it ends.
func (a *audience) follow(ctx context.Context, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	request.Header.Set("Accept", "text/event-stream")
	response, err := a.http.RoundTrip(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	lines, first := bufio.NewScanner(response.Body), true
	for lines.Scan() {
		_, rest, found := bytes.Cut(lines.Bytes(), number)
		for ; found; _, rest, found = bytes.Cut(rest, number) {
			text, _, _ := bytes.Cut(rest, []byte(","))
			n, err := strconv.ParseInt(string(text), 10, 64)
			if err != nil {
				return err
			}
			if first {
				first = false
				a.ready.Add(1)
			}
			if n > 0 {
				a.got(n)
			}
		}
	}
	return errors.Join(lines.Err(), errors.New("the server has ended it"))
}

// got counts an event at a client.
func (a *audience) got(n int64) {
	found, ok := a.events.Load(n)
	if !ok {
		return
	}
	f := found.(*flying)
	if f.left.Add(-1) != 0 {
		return
	}
	took := time.Since(f.due)
	a.events.Delete(n)
	a.mu.Lock()
	_ = a.times.RecordValue(max(1, took.Microseconds()))
	a.mu.Unlock()
	a.complete.Add(1)
	close(f.done)
}

// publish publishes the n-th event, which is due at a time.
func (a *audience) publish(n int64, due time.Time) (*flying, error) {
	topic := int(n) % len(a.topics)
	f := &flying{due: due, done: make(chan struct{})}
	f.left.Store(int64((a.c.clients - topic + len(a.topics) - 1) / len(a.topics)))
	a.events.Store(n, f)
	a.sent.Add(1)
	return f, a.site.publish(context.Background(), a.topics[topic], a.payload(n))
}

// publishClosed publishes as soon as the last client has what was published before.
func (a *audience) publishClosed() error {
	end, numbers := time.Now().Add(a.c.measured), atomic.Int64{}
	return inParallel(a.c.closed, func() error {
		for time.Now().Before(end) {
			f, err := a.publish(numbers.Add(1), time.Now())
			if err != nil {
				return err
			}
			select {
			case <-f.done:
			case <-time.After(patience):
				return fmt.Errorf("an event didn't reach all clients within %v", patience)
			}
		}
		return nil
	})
}

// publishOpen publishes so many events a second, each when it is due.
func (a *audience) publishOpen(rate int) error {
	begin, numbers := time.Now(), atomic.Int64{}
	return inParallel(openLoops, func() error {
		for {
			n := numbers.Add(1)
			after := time.Duration(n) * time.Second / time.Duration(rate)
			if after > a.c.measured {
				return nil
			}
			due := begin.Add(after)
			<-time.After(time.Until(due))
			if _, err := a.publish(n, due); err != nil {
				return err
			}
		}
	})
}

// inParallel runs a task so many times at once and returns the first error.
func inParallel(n int, task func() error) error {
	var all sync.WaitGroup
	errs := make([]error, n)
	for i := range n {
		all.Go(func() { errs[i] = task() })
	}
	all.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// settle waits for what is on its way.
func (a *audience) settle() {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); a.complete.Load() < a.sent.Load() && time.Now().Before(deadline); {
		<-tick.C
	}
}

// leave ends all streams.
func (a *audience) leave() {
	if a.cancel != nil {
		a.cancel()
		_ = a.server.Close()
		a.http.CloseIdleConnections()
	}
	a.streams.Wait()
}

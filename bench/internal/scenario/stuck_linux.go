package scenario

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/buffkit/buffkit/bench/internal/load"
	"github.com/buffkit/buffkit/bench/internal/peer"
	"github.com/buffkit/buffkit/bench/internal/result"
)

var stuck = Scenario{
	Name:  "stuck",
	Title: "One stuck client among healthy ones",
	Text: `Healthy clients follow a topic, first without and then with one more client that asks for the stream and never reads, in
one process of the server. The ratio is that of the healthy clients' p99 with it and without. Then the stuck client reads what
the kernel holds for it, and asks for the rest: "cut" tells whether the server ended its stream, after how long, and
"missed" how many events it never got. An event that the server's publisher could only publish late counts from when it was due.`,
	Params: Params{ // the kernel takes 2 to 4 MB for who doesn't read: that much is published in a third of the window
		Conns: 300, Rate: 40, Size: 32 << 10, Warm: 2 * time.Second, Window: 8 * time.Second, WriteTimeout: 2 * time.Second, Turns: 1,
	},
	Smoke: Params{
		Conns: 5, Rate: 200, Size: 64 << 10, Window: 700 * time.Millisecond, WriteTimeout: 100 * time.Millisecond, Turns: 1,
	},
	Rounds: 1,
	Skip: func(p peer.Peer, _ Params) string {
		if p.Floor {
			return "has no slow clients"
		}
		return ""
	},
	Columns: []result.Column{
		{Title: "p99 without", Metric: "without_p99", Format: result.Duration, Spread: true},
		{Title: "p99 with", Metric: "with_p99", Format: result.Duration, Spread: true},
		{Title: "ratio", Metric: "ratio", Format: result.Ratio, Spread: true},
		{Title: "median without", Metric: "without_p50", Format: result.Duration},
		{Title: "median with", Metric: "with_p50", Format: result.Duration},
		{Title: "cut", Metric: "cut", Format: result.Yes},
		{Title: "after", Metric: "cut_after", Format: result.Duration},
		{Title: "missed", Metric: "missed", Format: result.Count},
		{Title: "twice", Metric: "doubled", Format: result.Count},
	},
	measure: measureStuck,
	takes: func(_ peer.Peer, p Params) time.Duration {
		return p.Warm + 2*time.Duration(p.Turns)*p.Window + p.WriteTimeout + 3*time.Second // to read what was held
	},
}

func measureStuck(ctx context.Context, r *run) (result.Metrics, error) {
	events := int(r.params.Rate * seconds(r.params.Window))
	if err := r.start(2*r.params.Turns*events, true); err != nil {
		return nil, err
	}
	if err := r.connect(ctx); err != nil {
		return nil, err
	}
	if err := r.warmUp(ctx); err != nil {
		return nil, err
	}
	without, with := load.NewHistogram(), load.NewHistogram()
	m := result.Metrics{}
	for range r.params.Turns {
		r.say("without the stuck client")
		a, err := r.turn(ctx, events, nil)
		if err != nil {
			return nil, err
		}
		without.Add(a)
		r.say("with the stuck client")
		b, err := r.turn(ctx, events, m)
		if err != nil {
			return nil, err
		}
		with.Add(b)
	}
	for name, h := range map[string]load.Histogram{"without": without, "with": with} {
		m[name+"_p50"] = seconds(h.Quantile(0.5))
		m[name+"_p99"] = seconds(h.Quantile(0.99))
		m[name+"_max"] = seconds(h.Max())
	}
	m["ratio"] = m["with_p99"] / m["without_p99"]
	if m["cut"] > 0 {
		m["cut_after"] /= m["cut"]
	}
	m["cut"] /= float64(r.params.Turns)
	return m, nil
}

// turn publishes events to the healthy clients and returns their latencies; with m, there is a stuck client too, and what became
// of it is added to m.
func (r *run) turn(ctx context.Context, events int, m result.Metrics) (h load.Histogram, err error) {
	goal := r.client.Expect(events, true)
	r.client.Take()
	last := r.next + uint32(events) - 1
	var end endFunc
	if m != nil {
		if end, err = r.stick(ctx, m); err != nil {
			return h, err
		}
	}
	published := make(chan error, 1)
	go func() {
		_, err := r.publish(ctx, peer.Order{Count: events, Rate: r.params.Rate})
		published <- err
	}()
	// A server may make its publisher wait for the stuck client. It gets some time more, and then the client reads.
	done, patience := false, time.Duration(0)
	select {
	case err = <-published:
		done, patience = true, r.params.WriteTimeout
	case <-time.After(r.params.Window + r.params.Window/4):
	}
	if err == nil && end != nil {
		err = end(last, patience)
	}
	if err == nil && !done {
		err = <-published
	}
	if err != nil {
		return h, err
	}
	late, cancel := context.WithTimeout(ctx, catchUp)
	defer cancel()
	if _, err := goal.Await(late); err != nil && !errors.Is(err, load.ErrNotAll) { // who drops events never gets all
		return h, err
	}
	return r.client.Take().Latency, nil
}

const catchUp = 10 * time.Second

// endFunc waits for the stuck client to be cut, lets it read, lets it come back if it was cut, and sees what it has missed when it has the last
// event.
type endFunc func(last uint32, patience time.Duration) error

// stick connects a client that doesn't read, and watches whether the server cuts it. What becomes of it is added to m.
func (r *run) stick(ctx context.Context, m result.Metrics) (end endFunc, err error) {
	before, err := r.server.Usage()
	if err != nil {
		return nil, err
	}
	s := load.NewStuck(load.Options{
		Addr: r.server.Addr, Conns: 1, TokenHeader: r.peer.TokenHeader, Many: r.peer.Many,
		Request: func(a load.Ask) []byte { return r.request(a, []int{0}) },
	})
	if err := s.Connect(); err != nil {
		return nil, err
	}
	begin := time.Now()
	cut := make(chan time.Duration, 1)
	watching, stop := context.WithCancel(ctx)
	go func() {
		defer close(cut)
		joined := false
		for sleep(watching, min(watchInterval, r.params.WriteTimeout/10)) == nil {
			now, err := r.server.Usage()
			if err != nil {
				return
			}
			joined = joined || now.Sockets > before.Sockets
			if joined && now.Sockets <= before.Sockets {
				cut <- time.Since(begin)
				return
			}
		}
	}()
	return func(last uint32, patience time.Duration) error {
		defer s.Close()
		defer time.AfterFunc(patience, stop).Stop()
		if after, wasCut := <-cut; wasCut {
			m["cut"]++
			m["cut_after"] += seconds(after)
		}
		stop()
		return r.unstick(s, last, m)
	}, nil
}

const watchInterval = 100 * time.Millisecond // a look costs a third of a millisecond

// unstick lets the client read to the end or, if nobody cut it, to the last event.
func (r *run) unstick(s *load.Stuck, last uint32, m result.Metrics) error {
	ended, err := s.Read(last)
	if ended && r.peer.Resumes {
		if err := s.Connect(); err != nil {
			return err
		}
		_, err = s.Read(last)
	}
	if err != nil && !errors.Is(err, load.ErrNoEnd) {
		return fmt.Errorf("the stuck client: %w", err)
	}
	lost, doubled := s.Missed(last)
	m["missed"] += float64(lost)
	m["doubled"] += float64(doubled)
	return nil
}

package scenario

import (
	"context"
	"time"

	"github.com/buffkit/buffkit/bench/internal/child"
	"github.com/buffkit/buffkit/bench/internal/peer"
	"github.com/buffkit/buffkit/bench/internal/result"
)

var fanout = Scenario{
	Name:  "fanout",
	Title: "Deliveries a second that are sustained",
	Text: `Events are published at a fixed rate, which is more than a server can deliver when it writes each event to each socket by itself.
Deliveries are counted where they arrive, in the window after the warm-up. "Skipped" are events that a client has missed when a later one
came, as a part of all: who drops events to keep up is not wrong, but should be compared as such. Latency runs from when an event was due; that of a server that falls
behind grows with the length of the run.`,
	Params: Params{Conns: 10_000, Rate: 500, Size: 200, Warm: 2 * time.Second, Window: 5 * time.Second},
	Smoke:  Params{Conns: 100, Rate: 100, Size: 200, Warm: 50 * time.Millisecond, Window: 200 * time.Millisecond},
	Rounds: 2,
	Columns: []result.Column{
		{Title: "deliveries/s", Metric: "deliveries", Format: result.Thousands, Spread: true},
		{Title: "of those due", Metric: "share", Format: result.Percent},
		{Title: "× goroutine", Metric: "deliveries", Of: "goroutine"},
		{Title: "skipped", Metric: "skipped", Format: result.Percent},
		{Title: "cut", Metric: "ended", Format: result.Count},
		{Title: "median", Metric: "p50", Format: result.Duration},
		{Title: "p99", Metric: "p99", Format: result.Duration},
		{Title: "CPU a delivery", Metric: "cpu_each", Format: result.Duration},
		{Title: "memory", Metric: "memory", Format: result.Megabytes},
	},
	measure: measureSustained,
	takes:   sustaining,
}

var latency = Scenario{
	Name:  "latency",
	Title: "Latency under a steady load",
	Text: `Fewer connections, many events, open loop: latency runs from when an event was due to when a client had it, over all
deliveries of the window.`,
	Params: Params{Conns: 1000, Rate: 1000, Size: 200, Warm: 2 * time.Second, Window: 5 * time.Second},
	Smoke:  Params{Conns: 20, Rate: 100, Size: 200, Warm: 50 * time.Millisecond, Window: 200 * time.Millisecond},
	Rounds: 2,
	Columns: []result.Column{
		{Title: "median", Metric: "p50", Format: result.Duration},
		{Title: "p99", Metric: "p99", Format: result.Duration, Spread: true},
		{Title: "p99.9", Metric: "p999", Format: result.Duration},
		{Title: "longest", Metric: "max", Format: result.Duration},
		{Title: "of those due", Metric: "share", Format: result.Percent},
		{Title: "skipped", Metric: "skipped", Format: result.Percent},
		{Title: "cut", Metric: "ended", Format: result.Count},
		{Title: "CPU of the server", Metric: "load", Format: result.Percent},
		{Title: "of the generator", Metric: "own_load", Format: result.Percent},
	},
	measure: measureSustained,
	takes:   sustaining,
}

func sustaining(_ peer.Peer, p Params) time.Duration { return p.Warm + p.Window }

// profileEnds is how long before the window a profile ends: it must be written before the server is stopped.
const profileEnds = 400 * time.Millisecond

// afterWindow is how much longer events are published than is measured.
const afterWindow = time.Second

func measureSustained(ctx context.Context, r *run) (result.Metrics, error) {
	during := r.params.Warm + r.params.Window + afterWindow
	events := int(r.params.Rate * seconds(during))
	if err := r.start(events, false); err != nil {
		return nil, err
	}
	if err := r.connect(ctx); err != nil {
		return nil, err
	}
	if r.profile != "" {
		o := peer.Order{Do: "profile", File: r.profile, Seconds: seconds(r.params.Warm + r.params.Window - profileEnds)}
		if _, err := r.server.Order(ctx, o); err != nil {
			return nil, err
		}
	}
	published := make(chan error, 1)
	go func() {
		_, err := r.publish(ctx, peer.Order{Count: events, Rate: r.params.Rate, Seconds: seconds(during)})
		published <- err
	}()
	m, err := r.window(ctx)
	r.server.Stop() // one that is behind would go on for long
	<-published
	return m, err
}

// window measures what happens in the window, after the warm-up.
func (r *run) window(ctx context.Context) (result.Metrics, error) {
	r.say("warming up")
	if err := sleep(ctx, r.params.Warm); err != nil {
		return nil, err
	}
	r.say("measuring")
	begin := time.Now()
	r.client.Take()
	before, own, err := usages(r)
	if err != nil {
		return nil, err
	}
	if err := sleep(ctx, r.params.Window); err != nil {
		return nil, err
	}
	s := r.client.Take()
	after, ownAfter, err := usages(r)
	if err != nil {
		return nil, err
	}
	took := seconds(time.Since(begin))
	due := r.params.Rate * max(1, float64(r.params.Conns)/float64(r.topics())) // deliveries a second
	cpu := seconds(after.CPU - before.CPU)
	m := result.Metrics{
		"deliveries": s.Rate,
		"share":      s.Rate / due,
		"skipped":    float64(s.Lost) / max(1, float64(s.Lost+s.Deliveries)),
		"lost":       float64(s.Lost),
		"doubled":    float64(s.Doubled),
		"ended":      float64(s.Ended),
		"p50":        seconds(s.Latency.Quantile(0.5)),
		"p99":        seconds(s.Latency.Quantile(0.99)),
		"p999":       seconds(s.Latency.Quantile(0.999)),
		"max":        seconds(s.Latency.Max()),
		"load":       cpu / took,
		"own_load":   seconds(ownAfter.CPU-own.CPU) / took,
		"memory":     float64(after.Memory),
		"bytes_each": float64(s.Bytes) / max(1, float64(s.Deliveries)),
		"reads_each": float64(s.Reads) / max(1, float64(s.Deliveries)),
	}
	if s.Deliveries > 0 {
		m["cpu_each"] = cpu / float64(s.Deliveries)
	}
	return m, nil
}

func usages(r *run) (server, own child.Usage, err error) {
	if server, err = r.server.Usage(); err != nil {
		return server, own, err
	}
	own, err = child.Self()
	return server, own, err
}

package scenario

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/buffkit/buffkit/bench/internal/browser"
	"github.com/buffkit/buffkit/bench/internal/load"
	"github.com/buffkit/buffkit/bench/internal/peer"
	"github.com/buffkit/buffkit/bench/internal/result"
)

var compressed = Scenario{
	Name:  "gzip",
	Title: "Compressed HTML",
	Text: `Fragments of HTML, as a page's server would render them, to clients that take gzip. All bytes that arrive are counted, with HTTP's own; ten
of the clients decode them and check the sequence, and stand for the others: who drops events to keep up has "skipped" that part of
them. "CPU a delivery" is the server's processor time from the first event until nothing comes any more, "memory" its resident set then, over what it was before the clients came. "Chromium" tells whether the browser's own EventSource got
all events of a stream.`,
	Params: Params{
		Conns: 1000, Rate: 50, Size: 1024, HTML: true, Sample: 10, Browser: true, Warm: time.Second, Window: 5 * time.Second,
	},
	Smoke: Params{
		Conns: 30, Rate: 100, Size: 1024, HTML: true, Sample: 10, Warm: 20 * time.Millisecond, Window: 200 * time.Millisecond,
	},
	Rounds: 2,
	Gzip:   true,
	Skip: func(p peer.Peer, _ Params) string {
		if !p.Gzip && p.Name != peer.Ours {
			return NotMeant
		}
		return ""
	},
	Columns: []result.Column{
		{Title: "bytes an event", Metric: "wire_each", Format: result.Count},
		{Title: "of the data", Metric: "wire_part", Format: result.Percent},
		{Title: "CPU a delivery", Metric: "cpu_each", Format: result.Duration, Spread: true},
		{Title: "× buffkit without", Metric: "cpu_each", Of: peer.Ours},
		{Title: "memory a connection", Metric: "memory_each", Format: result.Kilobytes, Spread: true},
		{Title: "median", Metric: "p50", Format: result.Duration},
		{Title: "p99", Metric: "p99", Format: result.Duration},
		{Title: "skipped", Metric: "skipped", Format: result.Percent},
		{Title: "Chromium", Metric: "chromium", Format: result.Yes, Rare: true},
	},
	measure: measureGzip,
	takes: func(p peer.Peer, params Params) time.Duration {
		behind := time.Duration(float64(params.Conns*gzipBehind) / p.Pace * float64(time.Second))
		return params.Warm + params.Window + behind + 2*gzipCalm + browserTakes
	},
}

const (
	browserTakes  = 4 * time.Second
	browserEvents = 50
	gzipBehind    = 64                     // events that a client of the goroutine server may be behind
	gzipCalm      = 500 * time.Millisecond // without a byte: then all has come
)

func measureGzip(ctx context.Context, r *run) (result.Metrics, error) {
	events := int(r.params.Rate * seconds(r.params.Window))
	if err := r.start(events+int(r.params.Rate*seconds(r.params.Warm)), false); err != nil {
		return nil, err
	}
	if err := r.wearIn(ctx); err != nil {
		return nil, err
	}
	before, err := r.server.Usage()
	if err != nil {
		return nil, err
	}
	if err := r.connect(ctx); err != nil {
		return nil, err
	}
	if err := r.warmUp(ctx); err != nil {
		return nil, err
	}
	if _, err := r.settled(ctx); err != nil {
		return nil, err
	}
	r.say("measuring")
	begin, err := r.server.Usage()
	if err != nil {
		return nil, err
	}
	if _, err := r.publish(ctx, peer.Order{Count: events, Rate: r.params.Rate}); err != nil {
		return nil, err
	}
	s, err := r.settled(ctx)
	if err != nil {
		return nil, err
	}
	after, err := r.server.Usage()
	if err != nil {
		return nil, err
	}
	if s.Deliveries == 0 {
		return nil, errors.New("no event came")
	}
	looked := r.params.Sample
	if looked == 0 {
		looked = r.params.Conns
	}
	deliveries := float64(s.Deliveries) * float64(r.params.Conns) / float64(looked)
	m := result.Metrics{
		"wire_each":   float64(s.Bytes) / deliveries,
		"wire_part":   float64(s.Bytes) / deliveries / float64(r.params.Size),
		"cpu_each":    seconds(after.CPU-begin.CPU) / deliveries,
		"memory_each": float64(after.Memory-before.Memory) / float64(r.params.Conns),
		"p50":         seconds(s.Latency.Quantile(0.5)),
		"p99":         seconds(s.Latency.Quantile(0.99)),
		"skipped":     1 - float64(s.Deliveries)/float64(events*looked),
		"lost":        float64(s.Lost),
		"doubled":     float64(s.Doubled),
		"ended":       float64(s.Ended),
	}
	if r.params.Browser && r.peer.Gzip {
		return m, r.browse(ctx, m)
	}
	return m, nil
}

// settled waits until nothing comes any more, and returns what came.
func (r *run) settled(ctx context.Context) (sum load.Stats, err error) {
	sum = r.client.Take()
	for calm := time.Duration(0); calm < gzipCalm; calm += watchInterval {
		if err := sleep(ctx, watchInterval); err != nil {
			return sum, err
		}
		s := r.client.Take()
		sum.Add(s)
		if s.Bytes > 0 {
			calm = 0
		}
	}
	return sum, nil
}

// browse has Chromium read a stream, and adds to m whether it got all events. Without a browser nothing is added.
func (r *run) browse(ctx context.Context, m result.Metrics) error {
	r.say("asking Chromium")
	if !browser.There() {
		return nil
	}
	publish := func(ctx context.Context) error {
		_, err := r.publish(ctx, peer.Order{Count: browserEvents, Rate: r.params.Rate})
		return err
	}
	got, err := browser.Read(ctx, "http://"+r.server.Addr.String(), r.peer.Path(peer.Topic(0)), browserEvents, publish)
	if err != nil {
		return fmt.Errorf("chromium: %w", err)
	}
	m["chromium"] = 0
	if got == browserEvents {
		m["chromium"] = 1
	}
	return nil
}

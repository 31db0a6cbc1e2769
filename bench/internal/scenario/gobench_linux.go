package scenario

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/buffkit/buffkit/bench/internal/gobench"
	"github.com/buffkit/buffkit/bench/internal/peer"
	"github.com/buffkit/buffkit/bench/internal/plot"
	"github.com/buffkit/buffkit/bench/internal/result"
)

// What no load generator can show is measured by Go benchmarks of package push, without sockets.

const pushFolder = "./push"

// Subscribers are the points of the scenario of that name.
var Subscribers = []float64{10_000, 100_000, 1_000_000}

var subscribers = Scenario{
	Name:  "subscribers",
	Title: "A million subscribers",
	Text: `Subscribers in memory, without sockets, 10 of a topic, so up to 100,000 topics: what publishing costs for each subscriber that gets the
event, and the memory of a subscriber. "Among others" publishes to the same 1,000 topics, whatever else there is: it tells whether a publish feels
subscribers that it isn't for. "Anywhere" publishes to all topics in turn, in random order: then less and less of what a publish touches is in the
processor's caches. A Go benchmark, ` + "`BenchmarkPublishToSubscribers` in `push`" + `, a process for each line.`,
	Params:      Params{BenchTime: "5s"},
	Smoke:       Params{BenchTime: "1x"},
	Rounds:      5,
	Alone:       true,
	Points:      Subscribers,
	SmokePoints: Subscribers[:1],
	PointTitle:  "subscribers",
	Vary:        func(p *Params, x float64) { p.Conns = int(x) },
	Columns: []result.Column{
		{Title: "a delivery, among others", Metric: "each", Format: result.Duration, Spread: true},
		{Title: "a delivery, anywhere", Metric: "anywhere", Format: result.Duration, Spread: true},
		{Title: "bytes a subscriber", Metric: "bytes", Format: result.Count, Spread: true},
		{Title: "allocations a delivery", Metric: "allocs", Format: result.Fixed},
	},
	Plots: []Plot{
		{Name: "each", Title: "Time to publish, for each subscriber", Metric: "each", Axis: plot.Axis{Format: result.Duration}},
	},
	measure: measureSubscribers,
	takes:   func(_ peer.Peer, p Params) time.Duration { return benchTakes - connecting(p.Conns) },
}

const benchTakes = 17 * time.Second // to link the test, to make the subscribers, and to publish

func measureSubscribers(ctx context.Context, r *run) (result.Metrics, error) {
	r.say("running the benchmark")
	name := fmt.Sprintf("subscribers=%d", r.params.Conns)
	results, err := gobench.Run(ctx, pushFolder, "^BenchmarkPublishToSubscribers$/^"+name+"$", r.params.BenchTime)
	if err != nil {
		return nil, err
	}
	m := result.Metrics{}
	for _, b := range results {
		if !strings.HasSuffix(b.Name, "/"+name) {
			continue
		}
		err := take(b, m, map[string]string{"ns/delivery": "each", "ns/delivery-anywhere": "anywhere", "B/subscriber": "bytes", "allocs/delivery": "allocs"})
		m["each"] /= float64(time.Second)
		m["anywhere"] /= float64(time.Second)
		return m, err
	}
	return nil, fmt.Errorf("%w: %s", gobench.ErrNone, name)
}

// take copies what a benchmark reported, by its units, to metrics of these names.
func take(b gobench.Result, m result.Metrics, names map[string]string) error {
	for unit, name := range names {
		v, ok := b.Metrics[unit]
		if !ok {
			return fmt.Errorf("%s reports no %s", b.Name, unit)
		}
		m[name] = v
	}
	return nil
}

var delivery = Scenario{
	Name:  "delivery",
	Title: "Allocations of a delivery",
	Text: `What the memory allocator is asked for when an event goes to one more connection: the worst of all cases of a Go benchmark,
` + "`BenchmarkDelivery` in `push`" + `.`,
	Params: Params{BenchTime: "1s"},
	Smoke:  Params{BenchTime: "1x"},
	Rounds: 1,
	Alone:  true,
	Columns: []result.Column{
		{Title: "allocations a delivery", Metric: "allocs", Format: result.Fixed},
		{Title: "cases", Metric: "cases", Format: result.Count},
	},
	measure: measureDelivery,
	takes:   func(peer.Peer, Params) time.Duration { return benchTakes },
}

func measureDelivery(ctx context.Context, r *run) (result.Metrics, error) {
	r.say("running the benchmark")
	results, err := gobench.Run(ctx, pushFolder, "^BenchmarkDelivery$", r.params.BenchTime)
	if err != nil {
		return nil, err
	}
	worst := result.Metrics{"cases": float64(len(results))}
	for _, b := range results {
		m := result.Metrics{}
		if err := take(b, m, map[string]string{"allocs/delivery": "allocs"}); err != nil {
			return nil, err
		}
		worst["allocs"] = max(worst["allocs"], m["allocs"])
	}
	return worst, nil
}

package scenario

import (
	"context"
	"time"

	"github.com/buffkit/buffkit/bench/internal/load"
	"github.com/buffkit/buffkit/bench/internal/peer"
	"github.com/buffkit/buffkit/bench/internal/result"
)

var one = Scenario{
	Name:  "one",
	Title: "One event to everybody",
	Text: `One event at a time, and the next one when all have it: the time until the last client had it, over all events, and the
median over all deliveries.`,
	Params: Params{Conns: 10_000, Size: 200, Events: 200},
	Smoke:  Params{Conns: 100, Size: 200, Events: 5},
	Rounds: 3,
	Columns: []result.Column{
		{Title: "to the last: median", Metric: "last_p50", Format: result.Duration, Spread: true},
		{Title: "p99", Metric: "last_p99", Format: result.Duration, Spread: true},
		{Title: "median × floor", Metric: "last_p50", Of: "floor"},
		{Title: "p99 × floor", Metric: "last_p99", Of: "floor"},
		{Title: "to any: median", Metric: "p50", Format: result.Duration},
		{Title: "CPU a delivery", Metric: "cpu_each", Format: result.Duration},
	},
	measure: measureOne,
}

const (
	oneWarm  = 10                    // events that don't count
	onePause = 20 * time.Millisecond // between two events, so that each meets a server at rest
)

func measureOne(ctx context.Context, r *run) (result.Metrics, error) {
	if err := r.start(oneWarm+r.params.Events, false); err != nil {
		return nil, err
	}
	if err := r.connect(ctx); err != nil {
		return nil, err
	}
	r.client.Expect(0, true)
	last := load.NewHistogram()
	r.say("measuring")
	var before, after float64
	for i := range oneWarm + r.params.Events {
		if i == oneWarm {
			r.client.Take()
			u, err := r.server.Usage()
			if err != nil {
				return nil, err
			}
			before = seconds(u.CPU)
		}
		goal := r.client.Expect(i+1, false)
		a, err := r.publish(ctx, peer.Order{Count: 1})
		if err != nil {
			return nil, err
		}
		at, err := goal.Await(ctx)
		if err != nil {
			return nil, err
		}
		if i >= oneWarm {
			last.Record(time.Duration(at - a.Last))
		}
		if err := sleep(ctx, onePause); err != nil {
			return nil, err
		}
	}
	u, err := r.server.Usage()
	if err != nil {
		return nil, err
	}
	after = seconds(u.CPU)
	s := r.client.Take()
	return result.Metrics{
		"last_p50": seconds(last.Quantile(0.5)),
		"last_p99": seconds(last.Quantile(0.99)),
		"last_max": seconds(last.Max()),
		"p50":      seconds(s.Latency.Quantile(0.5)),
		"p99":      seconds(s.Latency.Quantile(0.99)),
		"cpu_each": (after - before) / float64(max(1, s.Deliveries)),
	}, nil
}

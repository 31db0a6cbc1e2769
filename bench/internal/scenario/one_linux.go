package scenario

import (
	"context"
	"time"

	"github.com/buffkit/buffkit/bench/internal/child"
	"github.com/buffkit/buffkit/bench/internal/load"
	"github.com/buffkit/buffkit/bench/internal/peer"
	"github.com/buffkit/buffkit/bench/internal/result"
)

var one = Scenario{
	Name:  "one",
	Title: "One event to everybody",
	Text: `One event at a time, and the next one when all have it: the time until the last client had it, over all events, and the
median over all deliveries. Who takes long for an event gets fewer of them: a window ends it.`,
	Params:     Params{Conns: 10_000, Size: 200, Events: 200, Window: 10 * time.Second},
	Smoke:      Params{Conns: 100, Size: 200, Events: 5, Window: 10 * time.Second},
	Rounds:     3,
	PeerRounds: 1,
	Columns: []result.Column{
		{Title: "to the last: median", Metric: "last_p50", Format: result.Duration, Spread: true},
		{Title: "p99", Metric: "last_p99", Format: result.Duration, Spread: true},
		{Title: "median × floor", Metric: "last_p50", Of: "floor"},
		{Title: "p99 × floor", Metric: "last_p99", Of: "floor"},
		{Title: "to any: median", Metric: "p50", Format: result.Duration},
		{Title: "CPU a delivery", Metric: "cpu_each", Format: result.Duration},
		{Title: "events", Metric: "events", Format: result.Count},
	},
	measure: measureOne,
	takes: func(_ peer.Peer, p Params) time.Duration {
		each := onePause + time.Duration(p.Conns)*oneTakes
		return oneWarm*each + min(p.Window, time.Duration(p.Events)*each)
	},
}

const (
	oneWarm  = 10                    // events that don't count
	oneLeast = 30                    // events, however long they take
	onePause = 10 * time.Millisecond // between two events, so that each meets a server at rest
	oneTakes = 12 * time.Microsecond // for each connection: what the floor took on two cores
)

func measureOne(ctx context.Context, r *run) (result.Metrics, error) {
	if err := r.start(oneWarm+r.params.Events, false); err != nil {
		return nil, err
	}
	if err := r.connect(ctx); err != nil {
		return nil, err
	}
	r.client.Expect(0, true)
	r.say("measuring")
	last := load.NewHistogram()
	var before child.Usage
	var begin time.Time
	for i := range oneWarm + r.params.Events {
		if i >= oneWarm+oneLeast && time.Since(begin) > r.params.Window {
			break
		}
		if i == oneWarm {
			r.client.Take()
			begin = time.Now()
			var err error
			if before, err = r.server.Usage(); err != nil {
				return nil, err
			}
		}
		took, err := r.once(ctx, i+1)
		if err != nil {
			return nil, err
		}
		if i >= oneWarm {
			last.Record(took)
		}
	}
	after, err := r.server.Usage()
	if err != nil {
		return nil, err
	}
	s := r.client.Take()
	return result.Metrics{
		"events":   float64(last.Count()),
		"last_p50": seconds(last.Quantile(0.5)),
		"last_p99": seconds(last.Quantile(0.99)),
		"last_max": seconds(last.Max()),
		"p50":      seconds(s.Latency.Quantile(0.5)),
		"p99":      seconds(s.Latency.Quantile(0.99)),
		"cpu_each": seconds(after.CPU-before.CPU) / float64(max(1, s.Deliveries)),
	}, nil
}

// once publishes event number n and returns how long it took until the last client had it.
func (r *run) once(ctx context.Context, n int) (time.Duration, error) {
	goal := r.client.Expect(n, false)
	a, err := r.publish(ctx, peer.Order{Count: 1})
	if err != nil {
		return 0, err
	}
	at, err := goal.Await(ctx)
	if err != nil {
		return 0, err
	}
	return time.Duration(at - a.Last), sleep(ctx, onePause)
}

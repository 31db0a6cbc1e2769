package scenario

import (
	"fmt"
	"time"

	"github.com/buffkit/buffkit/bench/internal/peer"
	"github.com/buffkit/buffkit/bench/internal/plot"
	"github.com/buffkit/buffkit/bench/internal/result"
)

// The sweeps show how cost grows with the work: each is another scenario, with one size going up.

var (
	deliveryColumns = []result.Column{
		{Title: "deliveries/s", Metric: "deliveries", Format: result.Thousands},
		{Title: "of those due", Metric: "share", Format: result.Percent},
		{Title: "median", Metric: "p50", Format: result.Duration},
		{Title: "p99", Metric: "p99", Format: result.Duration},
		{Title: "CPU a delivery", Metric: "cpu_each", Format: result.Duration},
		{Title: "memory", Metric: "memory", Format: result.Megabytes},
		{Title: "skipped", Metric: "skipped", Format: result.Percent},
		{Title: "cut", Metric: "ended", Format: result.Count},
	}
	p99Plot        = Plot{Name: "p99", Title: "p99 latency", Metric: "p99", Axis: plot.Axis{Log: true, Format: result.Duration}}
	cpuPlot        = Plot{Name: "cpu", Title: "Server's processor time for a delivery", Metric: "cpu_each", Axis: plot.Axis{Log: true, Format: result.Duration}}
	memoryPlot     = Plot{Name: "memory", Title: "Server's memory", Metric: "memory", Axis: plot.Axis{Log: true, Format: result.Megabytes}}
	deliveriesPlot = Plot{Name: "deliveries", Title: "Deliveries a second", Metric: "deliveries", Axis: plot.Axis{Log: true, Format: result.Thousands}}
)

// short is the time of a point: there are many.
const (
	sweepWarm   = time.Second
	sweepWindow = 3 * time.Second
	smokeWindow = 200 * time.Millisecond
)

var sweepConns = Scenario{
	Name:        "sweep-conns",
	Title:       "Cost over connections",
	Text:        `Ten events a second to ever more connections of one topic.`,
	Params:      Params{Rate: 10, Size: 200, Warm: sweepWarm, Window: sweepWindow},
	Smoke:       Params{Rate: 50, Size: 200, Window: smokeWindow},
	Rounds:      1,
	Points:      []float64{1000, 2000, 5000, 10_000, 19_000},
	SmokePoints: []float64{10, 100},
	PointTitle:  "connections",
	Vary:        func(p *Params, x float64) { p.Conns = int(x) },
	Skip:        skipHopeless,
	Columns:     deliveryColumns,
	Plots:       []Plot{p99Plot, cpuPlot, memoryPlot},
	measure:     measureSustained,
	takes:       sustaining,
}

var sweepRate = Scenario{
	Name:        "sweep-rate",
	Title:       "Cost over events a second",
	Text:        `Ever more events a second to the same connections of one topic.`,
	Params:      Params{Conns: 2000, Size: 200, Warm: sweepWarm, Window: sweepWindow},
	Smoke:       Params{Conns: 50, Size: 200, Window: smokeWindow},
	Rounds:      1,
	Points:      []float64{1, 10, 50, 200, 700, 2000},
	SmokePoints: []float64{10, 100},
	PointTitle:  "events/s",
	Vary:        func(p *Params, x float64) { p.Rate = x },
	Skip:        skipSlow,
	Columns:     deliveryColumns,
	Plots:       []Plot{deliveriesPlot, p99Plot, cpuPlot},
	measure:     measureSustained,
	takes:       sustaining,
}

var sweepSize = Scenario{
	Name:        "sweep-size",
	Title:       "Cost over the size of an event",
	Text:        `Ten events a second of ever more bytes.`,
	Params:      Params{Conns: 500, Rate: 10, Warm: sweepWarm, Window: sweepWindow},
	Smoke:       Params{Conns: 20, Rate: 50, Window: smokeWindow},
	Rounds:      1,
	Points:      []float64{100, 500, 2500, 12_500, 65_536},
	SmokePoints: []float64{100, 65_536},
	PointTitle:  "bytes",
	Vary:        func(p *Params, x float64) { p.Size = int(x) },
	Skip:        skipSlow,
	Columns:     deliveryColumns,
	Plots:       []Plot{p99Plot, cpuPlot, memoryPlot},
	measure:     measureSustained,
	takes:       sustaining,
}

const topicsDeliveries = 20_000 // a second, over all topics: little enough for every peer with one topic

const topicsDeliveriesSmoke = 2000 // so that even a short window has some

var sweepTopics = Scenario{
	Name:  "sweep-topics",
	Title: "Cost over topics",
	Text: `The same connections and the same 20,000 deliveries a second, over ever more topics: with one topic an event goes to all
connections, with as many topics as connections to one. With more, each connection follows several; peers of which a stream follows one topic only
are left out there.`,
	Params:      Params{Conns: 5000, Size: 200, Warm: sweepWarm, Window: sweepWindow},
	Smoke:       Params{Conns: 20, Size: 200, Window: smokeWindow},
	Rounds:      1,
	Points:      []float64{1, 30, 1000, 10_000, 100_000},
	SmokePoints: []float64{1, 20, 100},
	PointTitle:  "topics",
	Vary: func(p *Params, x float64) {
		deliveries := float64(topicsDeliveries)
		if p.Conns < 1000 {
			deliveries = topicsDeliveriesSmoke
		}
		p.Topics = int(x)
		p.Rate = deliveries / max(1, float64(p.Conns)/x)
	},
	Skip: func(p peer.Peer, params Params) string {
		if p.OneTopic && params.Topics > params.Conns {
			return "a stream follows one topic only"
		}
		return skipSlow(p, params)
	},
	Columns: deliveryColumns,
	Plots:   []Plot{deliveriesPlot, p99Plot, cpuPlot, memoryPlot},
	measure: measureSustained,
	takes:   sustaining,
}

var sweepMissed = Scenario{
	Name:        "sweep-missed",
	Title:       "Cost over missed events",
	Text:        `A storm of reconnects, as above, of fewer clients, each of which has missed ever more.`,
	Params:      Params{Conns: 1000, Size: 200, Stay: 50, Warm: sweepWarm},
	Smoke:       Params{Conns: 20, Size: 200, Stay: 5, Warm: smokeWindow},
	Rounds:      1,
	Points:      []float64{0, 10, 100, 1000, 10_000},
	SmokePoints: []float64{0, 200},
	PointTitle:  "missed events",
	Vary:        func(p *Params, x float64) { p.Missed = int(x) },
	Skip: func(p peer.Peer, params Params) string {
		if why := skipUnlessResumes(p, params); why != "" {
			return why
		}
		if p.Floor && params.Missed == 0 {
			return "finds out that a client is gone when it writes to it"
		}
		if takes := float64(params.Conns*params.Missed) / p.Pace; takes > seconds(hopelessStorm) && p.Name != peer.Ours {
			return "would take minutes at the pace it had in earlier runs"
		}
		return ""
	},
	Columns: storm.Columns,
	Plots: []Plot{
		{Name: "caught-up", Title: "Time until the last client has caught up", Metric: "caught_up", Axis: plot.Axis{Log: true, Format: result.Duration}},
		{Name: "cpu", Title: "Server's processor time for it", Metric: "cpu", Axis: plot.Axis{Log: true, Format: result.Duration}},
		{Name: "memory", Title: "Server's memory after it", Metric: "memory", Axis: plot.Axis{Log: true, Format: result.Megabytes}},
	},
	measure: measureStorm,
	takes:   storming,
}

// What isn't waited for.
const (
	hopeless      = 3                // times the pace that a server had in earlier runs
	hopelessStorm = 40 * time.Second // to catch up: it would be cut off by stormTimeout, or nearly
	slow          = 50e3             // deliveries a second: who is slower has its place in the sweeps over connections and missed events only
)

// skipHopeless leaves out who is asked for far more than it can. The goroutine server stays: it drops what is too much. So does the floor.
func skipHopeless(p peer.Peer, params Params) string {
	due := params.Rate * float64(params.Conns) / float64(max(1, params.Topics))
	if due > hopeless*p.Pace && !p.Floor && p.Name != peer.Ours && p.Name != "goroutine" {
		return fmt.Sprintf("asked for more than %d × the deliveries/s it had in earlier runs", hopeless)
	}
	return skipSecondFloor(p, params)
}

// skipSlow leaves out the slowest too.
func skipSlow(p peer.Peer, params Params) string {
	if p.Pace < slow {
		return "the slowest, measured over connections and missed events only"
	}
	return skipHopeless(p, params)
}

// skipSecondFloor leaves out floor2: one floor is enough to see how cost grows.
func skipSecondFloor(p peer.Peer, _ Params) string {
	if p.Name == "floor2" {
		return "one floor is enough here"
	}
	return ""
}

package goal

import (
	"fmt"
	"slices"
	"strings"

	"github.com/buffkit/buffkit/bench/internal/peer"
	"github.com/buffkit/buffkit/bench/internal/result"
	"github.com/buffkit/buffkit/bench/internal/scenario"
)

// What is promised.
const (
	idleBytes      = 1000 // a connection
	timesGoroutine = 12
	timesBest      = 10
	timesFloor     = 1.25
	timesFresh     = 1.5
	timesStayed    = 2
	noticed        = 0.1   // seconds: what is faster feels instantaneous (Nielsen, Usability Engineering, 1993, chapter 5)
	flat           = 1.2   // the dearest over the cheapest
	noAllocs       = 0.005 // a delivery: what a benchmark's set-up leaves, shared among all of them
)

func goals() []goal {
	return []goal{
		{"1", "An idle connection, session included, takes at most 1.0 KB of the server's resident memory", judgeIdle},
		{"2", "500 events/s to 10,000: at least 12 × the deliveries/s of the goroutine-and-channel server", judgeGoroutine},
		{"", "… and at least 10 × those of the best peer", judgeBest},
		{"3", "One event to 10,000: median and p99 to the last client at most 1.25 × the floor's", judgeOne},
		{"4", "1,000 connections, 1,000 events/s: p99 latency lower than every peer's", judgeLatency},
		{"5", "10,000 reconnect, each with 100 events missed: all caught up in at most 1.5 × the time of a fresh connect", judgeStorm},
		{"", "… none lost, none doubled", judgeLost},
		{"", "… and p99 of those who stayed at most 100 ms meanwhile, or 2 × what it is while the same clients connect fresh", judgeStayed},
		{"6", "Publish cost a subscriber flat within 20 % from 10,000 to 1,000,000 subscribers, 10 a topic; bytes a subscriber stated", judgeSubscribers},
		{"7", "Cost over connections, events/s, bytes, topics and missed events is measured at every point, and plotted", judgeSweeps},
		{"8", "gzip of 1 KB HTML fragments: fewer bytes than without, less CPU a delivery and less memory than a gzip.Writer a connection; Chromium's EventSource reads it", judgeGzip},
		{"9", "No allocation a delivery", judgeAllocs},
		{"", "… and the write system call is the largest part of the CPU profile", judgeProfile},
	}
}

func judgeIdle(f *figures) (string, bool) {
	ours := f.of("idle", peer.Ours, "each_rest")
	text := []string{result.Kilobytes(ours)}
	for _, r := range f.peers("idle", "each_rest") {
		text = append(text, r.title+" "+result.Kilobytes(r.value))
	}
	return strings.Join(text, "; "), ours <= idleBytes
}

func judgeGoroutine(f *figures) (string, bool) {
	ours, theirs := f.of("fanout", peer.Ours, "deliveries"), f.of("fanout", "goroutine", "deliveries")
	return fmt.Sprintf("%s: %s/s against %s/s, which skipped %s", result.Ratio(ours/theirs), result.Thousands(ours), result.Thousands(theirs),
		result.Percent(f.of("fanout", "goroutine", "skipped"))), ours >= timesGoroutine*theirs
}

func judgeBest(f *figures) (string, bool) {
	ours, first := f.of("fanout", peer.Ours, "deliveries"), best(f.peers("fanout", "deliveries"), greater)
	return fmt.Sprintf("%s: %s has %s/s", result.Ratio(ours/first.value), first.title, result.Thousands(first.value)), ours >= timesBest*first.value
}

func judgeOne(f *figures) (string, bool) {
	times := func(floor, metric string) float64 { return f.of("one", peer.Ours, metric) / f.of("one", floor, metric) }
	p50, p99 := times("floor", "last_p50"), times("floor", "last_p99")
	return fmt.Sprintf("median %s, p99 %s; of the floor with two writers %s, %s", result.Ratio(p50), result.Ratio(p99),
		result.Ratio(times("floor2", "last_p50")), result.Ratio(times("floor2", "last_p99"))), p50 <= timesFloor && p99 <= timesFloor
}

func judgeLatency(f *figures) (string, bool) {
	ours, first := f.of("latency", peer.Ours, "p99"), best(f.peers("latency", "p99"), less)
	return fmt.Sprintf("%s; the best peer is %s with %s", result.Duration(ours), first.title, result.Duration(first.value)), ours < first.value
}

func judgeStorm(f *figures) (string, bool) {
	ratio := f.of("storm", peer.Ours, "ratio")
	return fmt.Sprintf("%s: %s against %s", result.Ratio(ratio), result.Duration(f.of("storm", peer.Ours, "caught_up")),
		result.Duration(f.of("storm", peer.Ours, "fresh"))), ratio <= timesFresh
}

func judgeLost(f *figures) (string, bool) {
	lost, doubled := f.worst("storm", peer.Ours, "lost"), f.worst("storm", peer.Ours, "doubled")
	return fmt.Sprintf("%s lost, %s doubled", result.Count(lost), result.Count(doubled)), lost == 0 && doubled == 0
}

func judgeStayed(f *figures) (string, bool) {
	p99, fresh := f.of("storm", peer.Ours, "stayed_p99"), f.of("storm", peer.Ours, "fresh_p99")
	return fmt.Sprintf("%s; %s while they connect fresh, %s when nothing happens", result.Duration(p99),
		result.Duration(fresh), result.Duration(f.of("storm", peer.Ours, "calm_p99"))), p99 <= max(noticed, timesStayed*fresh)
}

func judgeSubscribers(f *figures) (string, bool) {
	var costs []float64
	var text []string
	for _, x := range scenario.Subscribers {
		ns := result.Median(f.all("subscribers", peer.Ours, x, "each"))
		bytes := result.Median(f.all("subscribers", peer.Ours, x, "bytes"))
		anywhere := result.Median(f.all("subscribers", peer.Ours, x, "anywhere"))
		costs = append(costs, ns)
		text = append(text, fmt.Sprintf("%s: %s among others, %s anywhere, %s B", result.Count(x), result.Duration(ns), result.Duration(anywhere), result.Count(bytes)))
	}
	ratio := slices.Max(costs) / slices.Min(costs)
	return fmt.Sprintf("dearest %s cheapest; %s", result.Ratio(ratio), strings.Join(text, "; ")), ratio <= flat
}

func judgeSweeps(f *figures) (string, bool) {
	points, plots := 0, 0
	for _, s := range scenario.All() {
		if s.Vary == nil || !strings.HasPrefix(s.Name, "sweep-") {
			continue
		}
		plots += len(s.Plots)
		for _, x := range s.Points {
			f.all(s.Name, peer.Ours, x, s.Plots[0].Metric)
			points++
		}
	}
	return fmt.Sprintf("%d points, %d plots below", points, plots), true
}

func judgeGzip(f *figures) (string, bool) {
	const ours, theirs = "buffkit-gzip", "goroutine-gzip"
	of := func(server, metric string) float64 { return f.of("gzip", server, metric) }
	read := f.worst("gzip", ours, "chromium") == 1
	text := fmt.Sprintf("%s B an event against %s B and %s B without; CPU %s against %s; memory %s a connection against %s; read by Chromium: %s",
		result.Count(of(ours, "wire_each")), result.Count(of(theirs, "wire_each")), result.Count(of(peer.Ours, "wire_each")),
		result.Duration(of(ours, "cpu_each")), result.Duration(of(theirs, "cpu_each")),
		result.Kilobytes(of(ours, "memory_each")), result.Kilobytes(of(theirs, "memory_each")), result.Yes(of(ours, "chromium")))
	return text, read && of(ours, "wire_each") < of(peer.Ours, "wire_each") &&
		of(ours, "cpu_each") < of(theirs, "cpu_each") && of(ours, "memory_each") < of(theirs, "memory_each")
}

func judgeAllocs(f *figures) (string, bool) {
	allocs := f.worst("delivery", peer.Ours, "allocs")
	return fmt.Sprintf("%s allocations a delivery", result.Fixed(allocs)), allocs < noAllocs
}

func judgeProfile(f *figures) (string, bool) {
	write, next := f.of("profile", peer.Ours, "write"), f.of("profile", peer.Ours, "next")
	return fmt.Sprintf("%s of the samples, the next largest function %s", result.Percent(write), result.Percent(next)), write > next
}

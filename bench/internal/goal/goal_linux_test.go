package goal_test

import (
	"strings"
	"testing"
	"time"

	"github.com/buffkit/buffkit/bench/internal/goal"
	"github.com/buffkit/buffkit/bench/internal/result"
	"github.com/buffkit/buffkit/bench/internal/scenario"
)

var env = result.Env{Commit: "abc", Machine: "m1"}

// figures are what was measured: by scenario, then by server.
type figures map[string]map[string]result.Metrics

func (f figures) load(change func(*result.Record)) goal.Load {
	return func(name string) (result.Set, error) {
		set := result.Set{Scenario: name}
		s, err := scenario.Find(name)
		if err != nil {
			return set, err
		}
		params, err := result.Params(s.Params)
		if err != nil {
			return set, err
		}
		points := s.Points
		if s.Vary == nil {
			points = []float64{0}
		}
		for server, m := range f[name] {
			for _, x := range points {
				r := result.Record{Server: server, Point: x, Metrics: m, Params: params, Env: env, At: time.Unix(1, 0)}
				change(&r)
				set.Put(r)
			}
		}
		return set, nil
	}
}

// all that the goals need, all of it good enough.
func good() figures {
	return figures{
		"idle":    {"buffkit": {"each_rest": 620}, "nchan": {"each_rest": 16_000}, "goroutine": {"each_rest": 27_000}, "floor": {"each_rest": 100}},
		"fanout":  {"buffkit": {"deliveries": 3e6}, "nchan": {"deliveries": 1e5}, "goroutine": {"deliveries": 2e5, "skipped": 0.9}},
		"one":     {"buffkit": {"last_p50": 0.1, "last_p99": 0.12}, "floor": {"last_p50": 0.1, "last_p99": 0.1}, "floor2": {"last_p50": 0.05, "last_p99": 0.05}},
		"latency": {"buffkit": {"p99": 0.01}, "nchan": {"p99": 0.02}, "floor": {"p99": 0.001}},
		"storm": {"buffkit": {
			"ratio": 1.2, "caught_up": 1.2, "fresh": 1, "lost": 0, "doubled": 0, "stayed_p99": 0.05, "fresh_p99": 0.04, "calm_p99": 0.001,
		}},
		"subscribers":  {"buffkit": {"each": 57e-9, "anywhere": 99e-9, "bytes": 300}},
		"delivery":     {"buffkit": {"allocs": 0}},
		"sweep-conns":  {"buffkit": {"p99": 1}},
		"sweep-rate":   {"buffkit": {"deliveries": 1}},
		"sweep-size":   {"buffkit": {"p99": 1}},
		"sweep-topics": {"buffkit": {"deliveries": 1}},
		"sweep-missed": {"buffkit": {"caught_up": 1}},
		"gzip": {
			"buffkit":        {"wire_each": 1100, "cpu_each": 1e-6, "memory_each": 600},
			"buffkit-gzip":   {"wire_each": 250, "cpu_each": 1e-6, "memory_each": 600, "chromium": 1},
			"goroutine-gzip": {"wire_each": 240, "cpu_each": 60e-6, "memory_each": 800_000},
		},
		"profile": {"buffkit": {"write": 0.6, "next": 0.1}},
	}
}

// line finds the line of a goal in the table.
func line(t *testing.T, table, part string) string {
	t.Helper()
	for l := range strings.Lines(table) {
		if strings.Contains(l, part) {
			return l
		}
	}
	t.Fatalf("no line with %q in\n%s", part, table)
	return ""
}

func table(t *testing.T, load goal.Load) string {
	t.Helper()
	text, got, err := goal.Table(load)
	if err != nil {
		t.Fatal(err)
	}
	if got != env {
		t.Errorf("of %v, want %v", got, env)
	}
	return text
}

func TestAllGoalsMet(t *testing.T) {
	t.Parallel()
	text := table(t, good().load(func(*result.Record) {}))
	if strings.Contains(text, "| **no** |") || strings.Contains(text, "not measured") {
		t.Errorf("not all are met:\n%s", text)
	}
	if l := line(t, text, "An idle connection"); !strings.Contains(l, "nchan 1.3.6 in nginx 16.0 KB") || strings.Contains(l, "floor") {
		t.Errorf("the peers aren't beside it, or the floor is: %s", l)
	}
}

func TestAMissIsShown(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name             string
		scenario, server string
		metric           string
		value            float64
		line             string
	}{
		{"memory", "idle", "buffkit", "each_rest", 1001, "An idle connection"},
		{"deliveries against the goroutines", "fanout", "goroutine", "deliveries", 260e3, "at least 12 ×"},
		{"deliveries against the best", "fanout", "nchan", "deliveries", 310e3, "at least 10 ×"},
		{"the floor's median", "one", "buffkit", "last_p50", 0.126, "1.25 × the floor's"},
		{"the floor's p99", "one", "buffkit", "last_p99", 0.126, "1.25 × the floor's"},
		{"latency", "latency", "nchan", "p99", 0.009, "lower than every peer's"},
		{"catching up", "storm", "buffkit", "ratio", 1.51, "all caught up"},
		{"a lost event", "storm", "buffkit", "lost", 1, "none lost"},
		{"a doubled event", "storm", "buffkit", "doubled", 1, "none lost"},
		{"who stayed", "storm", "buffkit", "stayed_p99", 0.11, "who stayed"},
		{"gzip's processor time", "gzip", "buffkit-gzip", "cpu_each", 61e-6, "gzip of 1 KB"},
		{"gzip's bytes", "gzip", "buffkit-gzip", "wire_each", 1200, "gzip of 1 KB"},
		{"gzip in a browser", "gzip", "buffkit-gzip", "chromium", 0, "gzip of 1 KB"},
		{"allocations", "delivery", "buffkit", "allocs", 0.01, "No allocation"},
		{"the profile", "profile", "buffkit", "next", 0.61, "write system call"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := good()
			f[tt.scenario][tt.server][tt.metric] = tt.value
			if l := line(t, table(t, f.load(func(*result.Record) {})), tt.line); !strings.HasSuffix(l, "| **no** |\n") {
				t.Errorf("it isn't missed: %s", l)
			}
		})
	}
	t.Run("cost that grows", func(t *testing.T) {
		t.Parallel()
		l := line(t, table(t, good().load(func(r *result.Record) {
			if r.Point == 1_000_000 {
				r.Metrics = result.Metrics{"each": 70e-9, "anywhere": 99e-9, "bytes": 300}
			}
		})), "Publish cost")
		if !strings.HasSuffix(l, "| **no** |\n") {
			t.Errorf("it isn't missed: %s", l)
		}
	})
}

func TestWhatCantBeComparedIsNotMeasured(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		change func(*result.Record)
		says   string
	}{
		{"another commit", func(r *result.Record) { r.Env.Commit, r.At = "old", time.Unix(0, 0) }, "commit old"},
		{"other sizes", func(r *result.Record) { r.Params = []byte(`{"conns":10}`) }, "other sizes"},
		{"a failure", func(r *result.Record) { r.Metrics, r.Note = nil, "it broke" }, "it broke"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			text := table(t, good().load(func(r *result.Record) {
				if r.Metrics["each_rest"] != 0 {
					tt.change(r)
				}
			}))
			if l := line(t, text, "An idle connection"); !strings.Contains(l, "not measured") || !strings.Contains(l, tt.says) {
				t.Errorf("it doesn't say %q: %s", tt.says, l)
			}
		})
	}
	f := good()
	delete(f, "storm")
	for _, part := range []string{"all caught up", "none lost", "who stayed"} {
		if l := line(t, table(t, f.load(func(*result.Record) {})), part); !strings.Contains(l, "not measured") {
			t.Errorf("without its scenario: %s", l)
		}
	}
}

func TestARoundThatFailedIsAMiss(t *testing.T) {
	t.Parallel()
	load := good().load(func(*result.Record) {})
	l := line(t, table(t, func(name string) (result.Set, error) {
		set, err := load(name)
		if name == "storm" {
			failed := set.Records[0]
			failed.Round, failed.Metrics, failed.Note = 1, nil, "the server is gone"
			set.Put(failed)
		}
		return set, err
	}), "none lost")
	if !strings.Contains(l, "the server is gone") || !strings.HasSuffix(l, "| **no** |\n") {
		t.Errorf("a round failed, and it says: %s", l)
	}
}

package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/buffkit/buffkit/bench/internal/peer"
	"github.com/buffkit/buffkit/bench/internal/result"
	"github.com/buffkit/buffkit/bench/internal/scenario"
)

// The servers are this program again.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "serve" {
		if err := run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr); err != nil {
			os.Stderr.WriteString(err.Error())
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func bench(t *testing.T, args ...string) string {
	t.Helper()
	var out bytes.Buffer
	if err := run(t.Context(), args, strings.NewReader(""), &out, &out); err != nil {
		t.Fatalf("bench %s: %v\n%s", strings.Join(args, " "), err, &out)
	}
	return out.String()
}

func TestEveryScenarioRuns(t *testing.T) {
	t.Parallel()
	for _, s := range scenario.All() {
		t.Run(s.Name, func(t *testing.T) {
			t.Parallel()
			if s.Alone && testing.Short() {
				t.Skip("builds the tests of package push")
			}
			to := t.TempDir()
			said := bench(t, "run", "--smoke", "--out", to, "--servers", "buffkit,floor,buffkit-gzip,goroutine-gzip", s.Name)
			set, err := result.Load(to, s.Name)
			if err != nil || len(set.Records) == 0 {
				t.Fatalf("%d records, %v; it said:\n%s", len(set.Records), err, said)
			}
			for _, r := range set.Records {
				if r.Note != "" {
					t.Errorf("%s: %s", r.Server, r.Note)
				}
				for _, c := range s.Columns {
					if _, ok := r.Metrics[c.Metric]; !ok && c.Of == "" && !c.Rare {
						t.Errorf("%s: no %s for the column %q", r.Server, c.Metric, c.Title)
					}
				}
				for _, name := range []string{"lost", "doubled", "missed", "ended"} {
					if r.Metrics[name] != 0 {
						t.Errorf("%s: %s is %v", r.Server, name, r.Metrics[name])
					}
				}
				if cut, ok := r.Metrics["cut"]; ok && cut != 1 {
					t.Errorf("%s didn't cut the client that never reads", r.Server)
				}
			}
			text, err := os.ReadFile(to + "/RESULTS.md")
			if err != nil || !strings.Contains(string(text), "\n| buffkit |") {
				t.Errorf("no line of buffkit in RESULTS.md, %v:\n%s", err, text)
			}
		})
	}
}

func TestEveryServerServes(t *testing.T) {
	t.Parallel()
	for _, p := range peer.All() {
		t.Run(p.Name, func(t *testing.T) {
			t.Parallel()
			if p.Prepare != nil {
				if testing.Short() {
					t.Skip("is a program of its own")
				}
				if _, err := p.Prepare(); err != nil {
					t.Skip(err) // "bench run" says the same, and leaves it out
				}
			}
			scenarios := []string{"latency"}
			if p.Gzip {
				scenarios = []string{"gzip"}
			} else if storm, err := scenario.Find("storm"); err != nil || storm.LeftOut(p, storm.Smoke) == "" {
				scenarios = append(scenarios, "storm")
			}
			to := t.TempDir()
			said := bench(t, append([]string{"run", "--smoke", "--out", to, "--servers", p.Name}, scenarios...)...)
			for _, name := range scenarios {
				set, err := result.Load(to, name)
				if err != nil || len(set.Records) != 1 {
					t.Fatalf("%s: %d records, %v; it said:\n%s", name, len(set.Records), err, said)
				}
				r := set.Records[0]
				if r.Note != "" || r.Metrics["lost"] != 0 {
					t.Errorf("%s: lost %v; %s", name, r.Metrics["lost"], r.Note)
				}
				if twice := r.Metrics["doubled"]; twice != 0 && p.Name != "r3labs" { // it sends the last event again
					t.Errorf("%s: %v came twice", name, twice)
				}
			}
		})
	}
}

func TestWhatWasMeasuredIsKept(t *testing.T) {
	t.Parallel()
	to := t.TempDir()
	args := []string{"run", "--smoke", "--out", to, "--servers", "floor", "one"}
	bench(t, args...)
	if said := bench(t, args...); !strings.Contains(said, "one, floor, round 1: measured before") {
		t.Errorf("it measured again:\n%s", said)
	}
	if said := bench(t, append([]string{args[0], "--again"}, args[1:]...)...); strings.Contains(said, "measured before") {
		t.Errorf("it didn't measure again:\n%s", said)
	}
	if said := bench(t, append([]string{args[0], "--conns", "7"}, args[1:]...)...); !strings.Contains(said, "anew") {
		t.Errorf("it kept figures of other sizes:\n%s", said)
	}
}

func TestEverythingIsMeasuredInLessThan45Minutes(t *testing.T) {
	t.Parallel()
	o, err := parseRun(nil, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	jobs, err := o.jobs()
	if err != nil {
		t.Fatal(err)
	}
	if takes := estimate(jobs); takes > 45*time.Minute {
		t.Errorf("it takes about %v", takes)
	}
	if said := bench(t, "list"); !strings.Contains(said, "storm") || !strings.Contains(said, " min  ") {
		t.Errorf("the list says:\n%s", said)
	}
}

func TestWrongUse(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"walk"}, {"run", "walking"}, {"run", "--servers", "apache"}, {"run", "--conns"}, {"serve"},
	} {
		if err := run(t.Context(), args, nil, io.Discard, io.Discard); err == nil {
			t.Errorf("bench %s: no error", strings.Join(args, " "))
		}
	}
}

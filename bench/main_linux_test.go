package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"strings"
	"testing"

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
			to := t.TempDir()
			said := bench(t, "run", "--smoke", "--out", to, "--servers", "buffkit,floor", s.Name)
			set, err := result.Load(to, s.Name)
			if err != nil || len(set.Records) == 0 {
				t.Fatalf("%d records, %v; it said:\n%s", len(set.Records), err, said)
			}
			for _, r := range set.Records {
				if r.Note != "" {
					t.Errorf("%s: %s", r.Server, r.Note)
				}
				for _, c := range s.Columns {
					if _, ok := r.Metrics[c.Metric]; !ok && c.Of == "" {
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
	to := t.TempDir()
	said := bench(t, "run", "--smoke", "--out", to, "latency")
	set, err := result.Load(to, "latency")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range set.Records {
		if r.Metrics["deliveries"] == 0 || r.Metrics["lost"] != 0 || r.Metrics["doubled"] != 0 {
			t.Errorf("%s: %v %s", r.Server, r.Metrics, r.Note)
		}
	}
	if t.Failed() {
		t.Log(said)
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

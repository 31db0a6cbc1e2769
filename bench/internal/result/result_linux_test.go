package result_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/buffkit/buffkit/bench/internal/result"
)

func record(server string, round int, v float64) result.Record {
	return result.Record{
		Server: server, Round: round, Metrics: result.Metrics{"p99": v},
		Params: []byte(`{"conns":10}`), Env: result.Env{Commit: "abc", Machine: "m1"},
	}
}

func TestFiguresOfDifferentOriginsDontMix(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		change func(*result.Record)
	}{
		{"another commit", func(r *result.Record) { r.Env.Commit = "def" }},
		{"another machine", func(r *result.Record) { r.Env.Machine = "m2" }},
		{"another Go", func(r *result.Record) { r.Env.Go = "go1.99" }},
		{"other sizes", func(r *result.Record) { r.Params = []byte(`{"conns":11}`) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			folder := t.TempDir()
			s := result.Set{Scenario: "x"}
			s.Put(record("a", 0, 1))
			if err := s.Save(folder); err != nil {
				t.Fatal(err)
			}
			other := record("b", 0, 2)
			tt.change(&other)
			if s.Fits(other.Env, other.Params) {
				t.Error("it fits")
			}
			s.Put(other)
			if err := s.Save(folder); !errors.Is(err, result.ErrMixed) {
				t.Errorf("saved: %v", err)
			}
			if kept, err := result.Load(folder, "x"); err != nil || len(kept.Records) != 1 {
				t.Errorf("%d records are left, %v", len(kept.Records), err)
			}
		})
	}
}

func TestSaveAndLoad(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	if s, err := result.Load(folder, "x"); err != nil || len(s.Records) != 0 {
		t.Fatalf("nothing there: %v, %v", s, err)
	}
	s := result.Set{Scenario: "x"}
	s.Put(record("a", 0, 1))
	s.Put(record("a", 1, 3))
	s.Put(record("a", 1, 2)) // measured again
	if err := s.Save(folder); err != nil {
		t.Fatal(err)
	}
	got, err := result.Load(folder, "x")
	if err != nil {
		t.Fatal(err)
	}
	if !got.Fits(record("", 0, 0).Env, record("", 0, 0).Params) {
		t.Error("what comes back doesn't fit any more")
	}
	if values := got.Of("a", 0, "p99"); len(values) != 2 || result.Median(values) != 1.5 {
		t.Errorf("values %v", values)
	}
}

func TestTable(t *testing.T) {
	t.Parallel()
	s := result.Set{Scenario: "x"}
	for round, v := range []float64{0.002, 0.001, 0.003} {
		s.Put(record("a", round, v))
		s.Put(record("b", round, 2*v))
	}
	failed := record("c", 0, 0)
	failed.Metrics, failed.Note = nil, "left out: a|b"
	s.Put(failed)
	got := s.Table([]result.Column{
		{Title: "p99", Metric: "p99", Format: result.Duration, Spread: true},
		{Title: "× a", Metric: "p99", Of: "a"},
		{Title: "none", Metric: "none", Format: result.Count},
	}, []string{"b", "a", "c", "d"}, map[string]string{"a": "A", "b": "B", "c": "C"}, "")
	want := `| server | p99 | × a | none |
|---|---:|---:|---:|
| B | 4.00 ms (2.00 ms–6.00 ms) | 2.00 × | – |
| A | 2.00 ms (1.00 ms–3.00 ms) | 1.00 × | – |
| C | left out: a/b |
`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestFormats(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ got, want string }{
		{result.Count(1234567), "1,234,567"},
		{result.Count(-1234), "-1,234"},
		{result.Count(999), "999"},
		{result.Thousands(3_430_123), "3,430 k"},
		{result.Thousands(9_999), "9,999"},
		{result.Duration(0.0000123), "12.3 µs"},
		{result.Duration(0.0000000576), "57.6 ns"},
		{result.Duration(0.0123), "12.3 ms"},
		{result.Duration(12.34), "12.3 s"},
		{result.Duration(1234), "1234 s"},
		{result.Kilobytes(1024), "1.02 KB"},
		{result.Ratio(0.5), "0.500 ×"},
		{result.Percent(0.123), "12 %"},
		{result.Yes(1), "yes"},
		{result.Yes(0), "no"},
	} {
		if tt.got != tt.want {
			t.Errorf("got %q, want %q", tt.got, tt.want)
		}
	}
}

func TestWriteKeepsWhatOthersWrote(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "RESULTS.md")
	write := func(sections ...result.Section) string {
		t.Helper()
		if err := result.Write(name, "# Results\n", sections); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	write(result.Section{Name: "a", Title: "A", Text: "one\n"}, result.Section{Name: "b", Title: "B", Text: "two\n"})
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	edited := strings.Replace(string(text), "## B\n", "## B\n\nA word by hand.\n", 1)
	if err := os.WriteFile(name, []byte(edited), 0o600); err != nil {
		t.Fatal(err)
	}
	got := write(result.Section{Name: "b", Title: "B", Text: "three\n"})
	want := "# Results\n\n## A\n\n<!-- bench:a -->\none\n<!-- /bench:a -->\n\n## B\n\nA word by hand.\n\n<!-- bench:b -->\nthree\n<!-- /bench:b -->\n"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	got = write(result.Section{Name: "goals", Title: "Goals", Text: "four\n", First: true})
	if want := "# Results\n\n## Goals\n\n<!-- bench:goals -->\nfour\n<!-- /bench:goals -->\n\n## A\n"; !strings.HasPrefix(got, want) {
		t.Errorf("got\n%s\nwant it to begin with\n%s", got, want)
	}
	if err := os.WriteFile(name, []byte("<!-- bench:a -->\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := result.Write(name, "", []result.Section{{Name: "a"}}); err == nil {
		t.Error("a marker without its end was taken")
	}
}

// Package goal compares what was measured with what was promised.
package goal

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/buffkit/buffkit/bench/internal/peer"
	"github.com/buffkit/buffkit/bench/internal/result"
	"github.com/buffkit/buffkit/bench/internal/scenario"
)

// goal is a line of the table.
type goal struct {
	number string
	text   string
	judge  func(f *figures) (measured string, met bool)
}

// Load returns the records of a scenario.
type Load func(scenario string) (result.Set, error)

// Table judges every goal by the records of one Env, that of the newest record, which it returns too. A goal that lacks a figure is
// not measured, whatever the others say.
func Table(load Load) (table string, env result.Env, err error) {
	sets, env, err := newest(load)
	if err != nil {
		return "", env, err
	}
	var b strings.Builder
	b.WriteString("| | goal | measured | met |\n|---|---|---|---|\n")
	for _, g := range goals() {
		f := &figures{sets: sets, env: env}
		measured, met := g.judge(f)
		verdict := "**no**"
		switch {
		case f.missing != "":
			measured, verdict = f.missing, "not measured"
		case f.failed != "":
			measured += "; but a round failed: " + f.failed
		case met:
			verdict = "yes"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", g.number, g.text, strings.ReplaceAll(measured, "|", "/"), verdict)
	}
	return b.String(), env, nil
}

// newest loads all sets, and the Env of the newest record of all.
func newest(load Load) (sets map[string]result.Set, env result.Env, err error) {
	sets = map[string]result.Set{}
	var last result.Record
	for _, s := range scenario.All() {
		set, err := load(s.Name)
		if err != nil {
			return nil, env, err
		}
		sets[s.Name] = set
		for _, r := range set.Records {
			if r.At.After(last.At) {
				last = r
			}
		}
	}
	return sets, last.Env, nil
}

// figures finds those that a goal needs, and notes the first that is missing.
type figures struct {
	sets    map[string]result.Set
	env     result.Env
	missing string
	failed  string // why a round of ours failed, of those that were used
}

func (f *figures) miss(format string, args ...any) {
	if f.missing == "" {
		f.missing = fmt.Sprintf(format, args...)
	}
}

// set returns a scenario's records if they can be used: of this Env, and of the scenario's own sizes.
func (f *figures) set(name string) (result.Set, bool) {
	set := f.sets[name]
	if len(set.Records) == 0 {
		f.miss("`%s` is missing", name)
		return set, false
	}
	if first := set.Records[0]; first.Env != f.env {
		f.miss("`%s` is of commit %s, machine %s", name, first.Env.Commit, first.Env.Machine)
		return set, false
	}
	s, err := scenario.Find(name)
	var own json.RawMessage
	if err == nil {
		own, err = result.Params(s.Params)
	}
	if err != nil || string(own) != string(set.Records[0].Params) {
		f.miss("`%s` is of other sizes", name)
		return set, false
	}
	return set, true
}

// all returns a metric of all rounds, ascending; at least one.
func (f *figures) all(name, server string, point float64, metric string) []float64 {
	set, ok := f.set(name)
	if !ok {
		return []float64{0}
	}
	for _, r := range set.Records {
		if r.Server == server && server == peer.Ours && r.Point == point && r.Note != "" {
			f.failed = r.Note
		}
	}
	values := set.Of(server, point, metric)
	if len(values) > 0 {
		return values
	}
	if note := set.Note(server, point); note != "" {
		f.miss("`%s`, %s: %s", name, server, note)
	} else {
		f.miss("`%s` has no %s of %s", name, metric, server)
	}
	return []float64{0}
}

// of is the median of a metric.
func (f *figures) of(name, server, metric string) float64 {
	return result.Median(f.all(name, server, 0, metric))
}

// worst is the largest of a metric: for what must never happen.
func (f *figures) worst(name, server, metric string) float64 {
	values := f.all(name, server, 0, metric)
	return values[len(values)-1]
}

// rival is a peer's median.
type rival struct {
	title string
	value float64
}

// peers returns those that have a metric, in the order of the tables.
func (f *figures) peers(name, metric string) (rivals []rival) {
	set, ok := f.set(name)
	if !ok {
		return nil
	}
	for _, p := range peer.All() {
		if values := set.Of(p.Name, 0, metric); len(values) > 0 && p.Name != peer.Ours && !p.Floor {
			rivals = append(rivals, rival{p.Title, result.Median(values)})
		}
	}
	if len(rivals) == 0 {
		f.miss("`%s` has no peers", name)
	}
	return rivals
}

// best is the first of the rivals, of which better tells whether one is ahead of another.
func best(rivals []rival, better func(a, b float64) bool) (first rival) {
	for i, r := range rivals {
		if i == 0 || better(r.value, first.value) {
			first = r
		}
	}
	return first
}

func less(a, b float64) bool    { return a < b }
func greater(a, b float64) bool { return a > b }

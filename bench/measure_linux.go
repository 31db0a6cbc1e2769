package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/buffkit/buffkit/bench/internal/peer"
	"github.com/buffkit/buffkit/bench/internal/result"
	"github.com/buffkit/buffkit/bench/internal/scenario"
)

// options are the flags of "bench run".
type options struct {
	flags   *flag.FlagSet
	out     string
	servers string
	points  string
	rounds  int
	smoke   bool
	again   bool
	timeout time.Duration
	params  scenario.Params // those that are given
}

func parseRun(args []string, errOut io.Writer) (*options, error) {
	o := &options{flags: flag.NewFlagSet("bench run", flag.ContinueOnError)}
	f := o.flags
	f.SetOutput(errOut)
	f.StringVar(&o.out, "out", "", "`folder` for RESULTS.md, plots and results; default: bench in this checkout, or a new one with --smoke")
	f.StringVar(&o.servers, "servers", "", "measure only these, `a,b`; \"bench list\" shows them")
	f.StringVar(&o.points, "points", "", "the `values` that a sweep goes through, 1,10,100")
	f.IntVar(&o.rounds, "rounds", 0, "measure each server so often, in turns; the tables show medians")
	f.BoolVar(&o.smoke, "smoke", false, "tiny sizes: shows that it works, measures nothing")
	f.BoolVar(&o.again, "again", false, "measure again what was measured before")
	f.DurationVar(&o.timeout, "timeout", 5*time.Minute, "give up on one measurement after so long, note it, and go on")
	f.IntVar(&o.params.Conns, "conns", 0, "connections")
	f.IntVar(&o.params.Topics, "topics", 0, "topics")
	f.IntVar(&o.params.Size, "size", 0, "bytes of an event's data")
	f.Float64Var(&o.params.Rate, "rate", 0, "events a second")
	f.IntVar(&o.params.Events, "events", 0, "events, where they are counted")
	f.IntVar(&o.params.Missed, "missed", 0, "events while the clients are away")
	f.DurationVar(&o.params.Warm, "warm", 0, "time before the window")
	f.DurationVar(&o.params.Window, "window", 0, "time that is measured")
	f.DurationVar(&o.params.WriteTimeout, "write-timeout", 0, "after which a client that doesn't read is cut, where a server lets it be set")
	f.Usage = func() {
		fmt.Fprint(errOut, "bench run [flags] [scenario ...]\n\nSizes that aren't given are the scenario's own.\n\n")
		f.PrintDefaults()
	}
	if err := f.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil, err
		}
		return nil, fmt.Errorf("%w: %v", errUsage, err)
	}
	return o, nil
}

// sizes are the scenario's parameters with those that were given.
func (o *options) sizes(s scenario.Scenario) scenario.Params {
	p := s.Params
	if o.smoke {
		p = s.Smoke
	}
	o.flags.Visit(func(f *flag.Flag) {
		switch f.Name {
		case "conns":
			p.Conns = o.params.Conns
		case "topics":
			p.Topics = o.params.Topics
		case "size":
			p.Size = o.params.Size
		case "rate":
			p.Rate = o.params.Rate
		case "events":
			p.Events = o.params.Events
		case "missed":
			p.Missed = o.params.Missed
		case "warm":
			p.Warm = o.params.Warm
		case "window":
			p.Window = o.params.Window
		case "write-timeout":
			p.WriteTimeout = o.params.WriteTimeout
		}
	})
	return p
}

func (o *options) scenarios() (chosen []scenario.Scenario, err error) {
	if o.flags.NArg() == 0 {
		return scenario.All(), nil
	}
	for _, name := range o.flags.Args() {
		s, err := scenario.Find(name)
		if err != nil {
			return nil, fmt.Errorf("%w: %v", errUsage, err)
		}
		chosen = append(chosen, s)
	}
	return chosen, nil
}

func (o *options) peers() (chosen []peer.Peer, err error) {
	if o.servers == "" {
		return peer.All(), nil
	}
	for _, name := range words(o.servers) {
		p, err := peer.Find(name)
		if err != nil {
			return nil, fmt.Errorf("%w: %v", errUsage, err)
		}
		chosen = append(chosen, p)
	}
	return chosen, nil
}

func (o *options) pointsOf(s scenario.Scenario) (points []float64, err error) {
	switch {
	case s.Vary == nil:
		return []float64{0}, nil
	case o.points != "":
		for _, word := range words(o.points) {
			v, err := strconv.ParseFloat(word, 64)
			if err != nil {
				return nil, fmt.Errorf("%w: --points: %v", errUsage, err)
			}
			points = append(points, v)
		}
		return points, nil
	case o.smoke:
		return s.SmokePoints, nil
	}
	return s.Points, nil
}

func (o *options) roundsOf(s scenario.Scenario) int {
	switch {
	case o.rounds > 0:
		return o.rounds
	case o.smoke:
		return 1
	}
	return s.Rounds
}

// job is one measurement to make.
type job struct {
	scenario scenario.Scenario
	peer     peer.Peer
	round    int
	point    float64
	params   scenario.Params // of the scenario, before Vary
}

// varied are the sizes at the job's point.
func (j job) varied() scenario.Params {
	p := j.params
	if j.scenario.Vary != nil {
		j.scenario.Vary(&p, j.point)
	}
	return p
}

func (j job) String() string {
	text := fmt.Sprintf("%s, %s", j.scenario.Name, j.peer.Name)
	if j.scenario.Vary != nil {
		text += fmt.Sprintf(", %s %s", result.Count(j.point), j.scenario.PointTitle)
	}
	return text
}

// jobs lists what is to be measured: all servers of a round before the next round, so that what changes on the machine meets all.
func (o *options) jobs() (jobs []job, err error) {
	scenarios, err := o.scenarios()
	if err != nil {
		return nil, err
	}
	peers, err := o.peers()
	if err != nil {
		return nil, err
	}
	for _, s := range scenarios {
		points, err := o.pointsOf(s)
		if err != nil {
			return nil, err
		}
		for round := range o.roundsOf(s) {
			for _, point := range points {
				for _, p := range peers {
					j := job{scenario: s, peer: p, round: round, point: point, params: o.sizes(s)}
					if s.Skip == nil || s.Skip(p, j.varied()) == "" {
						jobs = append(jobs, j)
					}
				}
			}
		}
	}
	return jobs, nil
}

// measure is "bench run".
func measure(ctx context.Context, args []string, out, errOut io.Writer) error {
	o, err := parseRun(args, errOut)
	if err != nil {
		return err
	}
	jobs, err := o.jobs()
	if err != nil {
		return err
	}
	if o.out, err = folder(o.out, o.smoke); err != nil {
		return err
	}
	env := result.Env{Commit: "smoke: these are no figures"}
	if !o.smoke {
		if env, err = result.Here(); err != nil {
			return err
		}
	}
	if err := raiseFiles(); err != nil {
		return err
	}
	fmt.Fprintf(out, "%v\n", env)
	if !env.Reusable() {
		fmt.Fprintln(out, "there are changes that aren't committed: nothing that was measured before is kept")
	}
	m := &measuring{o: o, env: env, progress: newProgress(out, len(jobs)), sets: map[string]*result.Set{}}
	for _, j := range jobs {
		if err := m.one(ctx, j); err != nil {
			return err
		}
	}
	m.progress.end()
	return writeReport(o.out, out, o.smoke)
}

// measuring is a run of jobs.
type measuring struct {
	o        *options
	env      result.Env
	progress *progress
	sets     map[string]*result.Set
}

func (m *measuring) one(ctx context.Context, j job) error {
	params, err := result.Params(j.params)
	if err != nil {
		return err
	}
	set, err := m.set(j, params)
	if err != nil {
		return err
	}
	if old, found := set.Find(j.peer.Name, j.round, j.point); found && old.Note == "" {
		m.progress.kept(j)
		return nil
	}
	record := result.Record{
		Server: j.peer.Name, Round: j.round, Point: j.point, At: time.Now().UTC().Truncate(time.Second),
		Command: command(m.o, j), Params: params, Env: m.env,
	}
	m.progress.begin(j)
	if j.peer.Prepare != nil {
		m.progress.say("preparing")
		if _, err := j.peer.Prepare(); err != nil {
			record.Note = "left out: " + firstLine(err.Error())
			m.progress.skipped(j, err)
			set.Put(record)
			return set.Save(m.o.out)
		}
	}
	limited, cancel := context.WithTimeoutCause(ctx, m.o.timeout, fmt.Errorf("not done after %v", m.o.timeout))
	record.Metrics, err = j.scenario.Measure(limited, j.peer, j.varied(), m.progress.say)
	cancel()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		record.Note = firstLine(err.Error())
	}
	m.progress.done(j, record.Metrics, err)
	set.Put(record)
	return set.Save(m.o.out)
}

// set returns the records that belong to a job's. Those of another commit, machine or size are replaced.
func (m *measuring) set(j job, params json.RawMessage) (*result.Set, error) {
	name := j.scenario.Name
	if set := m.sets[name]; set != nil {
		return set, nil
	}
	set, err := result.Load(m.o.out, name)
	if err != nil && !errors.Is(err, result.ErrMixed) {
		return nil, err
	}
	switch {
	case err != nil, !set.Fits(m.env, params):
		m.progress.note("%s: the figures there are of another commit, machine or size: all of it is measured anew", name)
		set = result.Set{Scenario: name}
	case m.o.again, !m.env.Reusable():
		set.Records = slices.DeleteFunc(set.Records, func(r result.Record) bool {
			return m.o.servers == "" || slices.Contains(words(m.o.servers), r.Server)
		})
	}
	m.sets[name] = &set
	return &set, nil
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}

// command is what measures a job's scenario again, as one would type it.
func command(o *options, j job) string {
	words := []string{"go run ./bench run"}
	o.flags.Visit(func(f *flag.Flag) {
		switch f.Name {
		case "out", "again", "timeout", "servers":
		case "smoke":
			words = append(words, "--smoke")
		default:
			words = append(words, "--"+f.Name, f.Value.String())
		}
	})
	return strings.Join(append(words, j.scenario.Name), " ")
}

// folder finds where the results go.
func folder(given string, smoke bool) (string, error) {
	switch {
	case given != "":
		return given, os.MkdirAll(given, 0o755)
	case smoke:
		return os.MkdirTemp("", "bench-smoke-*")
	}
	for _, name := range []string{"bench", "."} {
		text, err := os.ReadFile(filepath.Join(name, "go.mod"))
		if err == nil && strings.Contains(string(text), "module github.com/buffkit/buffkit/bench\n") {
			return name, nil
		}
	}
	return "", fmt.Errorf("%w: this isn't the root of the checkout: go there, or say --out FOLDER", errUsage)
}

// raiseFiles raises the soft limit of open files to the hard one; the servers inherit it.
func raiseFiles() error {
	var l unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &l); err != nil {
		return err
	}
	l.Cur = l.Max
	return unix.Setrlimit(unix.RLIMIT_NOFILE, &l)
}

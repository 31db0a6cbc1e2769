package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

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
	profile string
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
	f.IntVar(&o.rounds, "rounds", 0, "measure each server so often, in turns; the tables show medians. Default: the scenario's own, fewer for some peers")
	f.BoolVar(&o.smoke, "smoke", false, "tiny sizes: shows that it works, measures nothing")
	f.BoolVar(&o.again, "again", false, "measure again what was measured before")
	f.StringVar(&o.profile, "profile", "", "write a CPU profile of the server to this `file`, in scenarios with a window; nothing is kept then")
	f.DurationVar(&o.timeout, "timeout", 2*time.Minute, "give up on one measurement after so long, note it, and go on")
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

func (o *options) roundsOf(s scenario.Scenario, p peer.Peer) int {
	switch {
	case o.rounds > 0:
		return o.rounds
	case o.smoke:
		return 1
	}
	return s.RoundsOf(p)
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
func (j job) varied() scenario.Params { return j.scenario.At(j.params, j.point) }

func (j job) estimate() time.Duration { return j.scenario.Estimate(j.peer, j.varied()) }

func estimate(jobs []job) (sum time.Duration) {
	for _, j := range jobs {
		sum += j.estimate()
	}
	return sum
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
		most := 0
		for _, p := range peers {
			most = max(most, o.roundsOf(s, p))
		}
		for round := range most {
			for _, point := range points {
				for _, p := range peers {
					j := job{scenario: s, peer: p, round: round, point: point, params: o.sizes(s)}
					if round < o.roundsOf(s, p) && s.LeftOut(p, j.varied()) == "" {
						jobs = append(jobs, j)
					}
				}
			}
		}
	}
	return jobs, nil
}

// command is what measures a job's scenario again, as one would type it.
func command(o *options, j job) string {
	words := []string{"go run ./bench run"}
	o.flags.Visit(func(f *flag.Flag) {
		switch f.Name {
		case "out", "again", "timeout", "servers", "profile":
		case "smoke":
			words = append(words, "--smoke")
		default:
			words = append(words, "--"+f.Name, f.Value.String())
		}
	})
	return strings.Join(append(words, j.scenario.Name), " ")
}

// folder finds where the results go. Those that aren't to be kept go to a temporary one.
func folder(given string, passing bool) (string, error) {
	switch {
	case given != "":
		return given, os.MkdirAll(given, 0o755)
	case passing:
		return os.MkdirTemp("", "bench-*")
	}
	for _, name := range []string{"bench", "."} {
		text, err := os.ReadFile(filepath.Join(name, "go.mod"))
		if err == nil && strings.Contains(string(text), "module github.com/buffkit/buffkit/bench\n") {
			return name, nil
		}
	}
	return "", fmt.Errorf("%w: this isn't the root of the checkout: go there, or say --out FOLDER", errUsage)
}

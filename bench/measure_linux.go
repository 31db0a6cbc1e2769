package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/buffkit/buffkit/bench/internal/child"
	"github.com/buffkit/buffkit/bench/internal/result"
)

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
	if o.profile != "" {
		if o.profile, err = filepath.Abs(o.profile); err != nil {
			return err
		}
	}
	if o.out, err = folder(o.out, o.smoke || o.profile != ""); err != nil {
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
	fmt.Fprintf(out, "%v\n%d measurements, about %v\n", env, len(jobs), estimate(jobs).Round(time.Minute))
	if !env.Reusable() {
		fmt.Fprintln(out, "there are changes that aren't committed: nothing that was measured before is kept")
	}
	m := &measuring{o: o, env: env, progress: newProgress(out, jobs), sets: map[string]*result.Set{}}
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
	others := watchOthers()
	limited, cancel := context.WithTimeoutCause(ctx, m.o.timeout, fmt.Errorf("not done after %v", m.o.timeout))
	record.Metrics, record.Text, err = j.scenario.Measure(limited, j.peer, j.varied(), m.o.profile, m.progress.say)
	cancel()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		record.Note = firstLine(err.Error())
	}
	if !m.o.smoke {
		record.Others = others()
	}
	m.progress.done(j, record, err)
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

// watchOthers returns a function that returns the part of all processors that other programs took since. A machine that isn't
// quiet makes figures that can't be trusted.
func watchOthers() func() float64 {
	read := func() (others time.Duration, at time.Time) {
		all, err1 := child.Machine()
		ours, err2 := child.Ours()
		if err1 != nil || err2 != nil {
			return 0, time.Now() // it is a hint, and nothing fails for it
		}
		return all - ours, time.Now()
	}
	before, begin := read()
	return func() float64 {
		after, end := read()
		part := float64(after-before) / float64(end.Sub(begin)) / float64(runtime.NumCPU())
		return math.Round(1000*max(0, part)) / 1000
	}
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
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

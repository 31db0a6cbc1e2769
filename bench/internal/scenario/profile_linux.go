package scenario

import (
	"context"
	"os"
	"path/filepath"
	"time"

	"github.com/buffkit/buffkit/bench/internal/plot"
	"github.com/buffkit/buffkit/bench/internal/profile"
	"github.com/buffkit/buffkit/bench/internal/result"
)

var profiled = Scenario{
	Name:  "profile",
	Title: "Where the processor's time goes",
	Text: `The server's CPU profile under the load of "Deliveries a second that are sustained". The time in the kernel counts as that of the function
that makes system calls; "write" is the part of it below a function whose name contains "write" and none that contains "epoll". "Next" is the
largest part of any other function.`,
	Params: fanout.Params,
	Smoke:  Params{Conns: 200, Rate: 1000, Size: 200, Warm: 50 * time.Millisecond, Window: 700 * time.Millisecond},
	Rounds: 1,
	Alone:  true,
	Columns: []result.Column{
		{Title: "system calls", Metric: "syscalls", Format: result.Percent},
		{Title: "write", Metric: "write", Format: result.Percent},
		{Title: "next", Metric: "next", Format: result.Percent},
		{Title: "deliveries/s", Metric: "deliveries", Format: result.Thousands},
		{Title: "CPU of the server", Metric: "load", Format: result.Percent},
	},
	Draw:    drawProfile,
	measure: measureProfile,
	takes:   sustaining,
}

func measureProfile(ctx context.Context, r *run) (result.Metrics, error) {
	dir, err := os.MkdirTemp("", "bench-profile-*")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	r.profile = filepath.Join(dir, "cpu.prof")
	m, err := measureSustained(ctx, r)
	if err != nil {
		return nil, err
	}
	r.say("reading the profile")
	if r.text, err = profile.Top(ctx, r.profile); err != nil {
		return nil, err
	}
	writing, err := profile.Top(ctx, r.profile, "-focus=(?i)write", "-ignore=(?i)epoll")
	if err != nil {
		return nil, err
	}
	m["syscalls"], m["next"] = shares(profile.Parse(r.text))
	m["write"], _ = shares(profile.Parse(writing))
	return m, nil
}

// shares are the parts of the system calls and of the largest other function.
func shares(functions []profile.Function) (syscalls, next float64) {
	for _, f := range functions {
		if f.Syscall() {
			syscalls += f.Flat
		} else {
			next = max(next, f.Flat)
		}
	}
	return syscalls, next
}

const drawnFunctions = 12

func drawProfile(text string) []byte {
	c := plot.Bars{Title: "Time of the processors, by function", Format: result.Percent}
	for _, f := range profile.Parse(text) {
		if len(c.Bars) < drawnFunctions && f.Flat > 0 {
			c.Bars = append(c.Bars, plot.Bar{Name: f.Name, Value: f.Flat})
		}
	}
	return c.SVG()
}

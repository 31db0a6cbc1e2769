package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/buffkit/buffkit/bench/internal/result"
)

// progress says what is going on: on a terminal one line that is written over, elsewhere a line for each measurement.
type progress struct {
	out      io.Writer
	terminal bool
	all      int

	mu       sync.Mutex    // guards what follows
	at       int           // jobs that are done or kept
	rest     time.Duration // about how long those take that aren't
	foretold time.Duration // and how long those that were measured should have taken
	took     time.Duration // and did
	status   string        // on the terminal's line
	job      string
	jobBegun time.Time
	stop     chan struct{}
	stopped  sync.WaitGroup
}

func newProgress(out io.Writer, jobs []job) *progress {
	p := &progress{out: out, all: len(jobs), rest: estimate(jobs), stop: make(chan struct{})}
	if f, ok := out.(*os.File); ok {
		_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
		p.terminal = err == nil
	}
	if p.terminal {
		p.stopped.Go(p.tick)
	}
	return p
}

// tick draws the line anew every second, so that the time runs.
func (p *progress) tick() {
	t := time.NewTicker(time.Second)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			p.mu.Lock()
			p.draw()
			p.mu.Unlock()
		case <-p.stop:
			return
		}
	}
}

func (p *progress) draw() {
	if !p.terminal || p.job == "" {
		return
	}
	fmt.Fprintf(p.out, "\r\x1b[K[%d/%d] %s: %s, %v%s", p.at+1, p.all, p.job, p.status,
		time.Since(p.jobBegun).Round(time.Second), p.left())
}

// left is how long the rest will take, if the estimates are as wrong as they were so far.
func (p *progress) left() string {
	if p.foretold == 0 {
		return ""
	}
	left := time.Duration(float64(p.rest) * float64(p.took) / float64(p.foretold))
	return fmt.Sprintf(" (about %v left)", left.Round(time.Minute))
}

func (p *progress) begin(j job) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.job, p.jobBegun, p.status = j.String(), time.Now(), "starting"
	p.draw()
}

// say tells what is being done.
func (p *progress) say(status string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.status = status
	p.draw()
}

// busy is how much of the processors others may take before it is said.
const busy = 0.05

func (p *progress) done(j job, r result.Record, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.at++
	p.rest -= j.estimate()
	p.foretold += j.estimate()
	p.took += time.Since(p.jobBegun)
	p.line("[%d/%d] %v, round %d: %s (%v)", p.at, p.all, j, j.round+1, told(j, r.Metrics, err), time.Since(p.jobBegun).Round(100*time.Millisecond))
	if r.Others > busy {
		p.line("    other programs took %s of the processors meanwhile: don't trust these figures", result.Percent(r.Others))
	}
	p.job = ""
}

// told is a measurement in a line: the first columns of its table.
func told(j job, m result.Metrics, err error) string {
	if err != nil {
		return "FAILED: " + err.Error()
	}
	var parts []string
	for _, c := range j.scenario.Columns {
		if v, ok := m[c.Metric]; ok && c.Of == "" && len(parts) < 5 {
			parts = append(parts, c.Title+" "+c.Format(v))
		}
	}
	return strings.Join(parts, ", ")
}

func (p *progress) kept(j job) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.at++
	p.rest -= j.estimate()
	p.line("[%d/%d] %v, round %d: measured before", p.at, p.all, j, j.round+1)
}

// skipped counts a measurement that can't be made.
func (p *progress) skipped(j job, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.at++
	p.rest -= j.estimate()
	p.line("[%d/%d] %v, round %d: LEFT OUT: %v", p.at, p.all, j, j.round+1, err)
	p.job = ""
}

func (p *progress) note(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.line(format, args...)
}

func (p *progress) line(format string, args ...any) {
	if p.terminal {
		fmt.Fprint(p.out, "\r\x1b[K")
	}
	fmt.Fprintf(p.out, format+"\n", args...)
}

// end stops drawing.
func (p *progress) end() {
	close(p.stop)
	p.stopped.Wait()
}

package cli

import (
	"fmt"
	"time"

	"github.com/schollz/progressbar/v3"
)

// progress shows on a terminal how far publish is. The zero progress shows nothing.
type progress struct {
	bar    *progressbar.ProgressBar
	stored int
}

// progress is for people who wait: on a terminal, and not between the ids that go to the same one.
func (a *app) progress(f publishFlags, size int64) *progress {
	if !isTerminal(a.stderr) || isTerminal(a.stdout) && !f.quiet || isTerminal(a.stdin) {
		return &progress{}
	}
	if size == 0 {
		size = -1 // not known: it only moves
	}
	return &progress{bar: progressbar.NewOptions64(size,
		progressbar.OptionSetWriter(a.stderr),
		progressbar.OptionThrottle(100*time.Millisecond), // often enough to look alive
		progressbar.OptionShowBytes(true),
		progressbar.OptionClearOnFinish(),
	)}
}

func (p *progress) add(c *chunk, stored int) {
	if p.bar == nil {
		return
	}
	p.stored += stored
	p.bar.Describe(fmt.Sprintf("%d events", p.stored))
	_ = p.bar.Add(c.bytes + len(c.data)) // the ends of the lines; a progress that can't be shown harms nobody
}

func (p *progress) end() {
	if p.bar != nil {
		_ = p.bar.Finish()
	}
}

package migrate

import (
	"time"
)

// Hooks observe a run; every field may be nil. They are called on the goroutine that runs, one at a time: what they take is added to the
// migration.
type Hooks struct {
	// Waiting is called when another runner holds the lock, and again every few seconds.
	Waiting func(Holder)
	// Planned is called with what will be run, under the lock. Without it the plan's warnings are logged.
	Planned func(*Plan)
	// Began is called before a step.
	Began func(*Step)
	// Statement is called before each statement and behind it.
	Statement func(Progress)
	// Watching is called about once a second while a statement runs, on another goroutine, and never beside another hook. It isn't called on SQLite and with
	// LeaseLock, where no second connection can look.
	Watching func(Watch)
	// Retrying is called when a step, or a statement of one that can't be rolled back, is tried again after a pause.
	Retrying func(Retry)
	// Ended is called behind a step. The error is a *StepError.
	Ended func(*Step, StepResult, error)
}

// Progress is a statement of a step.
type Progress struct {
	Step *Step
	N    int    // from 1
	SQL  string // without its terminator; empty for code
	Done bool   // false: it is about to be sent
	Took time.Duration
	Rows int64 // affected, as the server counts; -1 if it doesn't tell
	Err  error
}

// Retry is why something is tried again.
type Retry struct {
	Step     *Step
	Attempt  int // the one that failed, from 1
	Of       int
	After    time.Duration // the pause
	Blockers []string      // who held the locks, where the server tells; a line each
	Err      error
}

func (h *Hooks) waiting(holder Holder) {
	if h.Waiting != nil {
		h.Waiting(holder)
	}
}

func (h *Hooks) planned(p *Plan) {
	if h.Planned != nil {
		h.Planned(p)
	}
}

func (h *Hooks) began(s *Step) {
	if h.Began != nil {
		h.Began(s)
	}
}

func (h *Hooks) statement(p Progress) {
	if h.Statement != nil {
		h.Statement(p)
	}
}

func (h *Hooks) retrying(r Retry) {
	if h.Retrying != nil {
		h.Retrying(r)
	}
}

func (h *Hooks) ended(s *Step, r StepResult, err error) {
	if h.Ended != nil {
		h.Ended(s, r, err)
	}
}

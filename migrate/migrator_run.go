package migrate

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/buffkit/buffkit/migrate/dialect"
	"github.com/buffkit/buffkit/migrate/lexer"
)

// Result is what a run has done.
type Result struct {
	Steps    []StepResult  `json:"steps"`
	Skipped  []Skip        `json:"skipped,omitempty"`
	Warnings []string      `json:"warnings,omitempty"`
	Waited   time.Duration `json:"waited_ns"` // for the lock
	Took     time.Duration `json:"took_ns"`   // in all
}

// StepResult is a step that was run.
type StepResult struct {
	Ref        Ref             `json:"ref"`
	Name       string          `json:"name"`
	Direction  Direction       `json:"direction"`
	Took       time.Duration   `json:"took_ns"`
	Rows       int64           `json:"rows"`
	Statements []StatementTime `json:"statements,omitempty"` // those that were executed now; of very many the slowest
	Attempts   int             `json:"attempts"`
	Measured
}

// Run plans, and does what the plan says, step by step. It stops at the first step that fails, with a *StepError; the steps before it
// stay. When the context ends, the server is told to stop, and the error says what is left.
//
// The Result holds the complete steps even if there is an error; it is nil if nothing was begun.
func (m *Migrator) Run(ctx context.Context, goal Goal) (*Result, error) {
	begun := time.Now()
	files := m.load() // once: a file that changes from here on is found when it runs
	plan, err := m.planOf(ctx, goal, files)
	var wrong *PlanError
	switch {
	case errors.As(err, &wrong) && !wrong.unfinished: // else what looks wrong without the lock may be right under it
		return nil, err
	case err != nil && wrong == nil:
		return nil, err
	case err == nil && plan.Empty():
		return &Result{Skipped: plan.Skipped, Warnings: plan.Warnings, Took: time.Since(begun)}, nil
	}
	var res *Result
	err = m.locked(ctx, func(r *run) error {
		plan, err := m.plan(ctx, goal, files, r.l, r.conn) // as it is now, that nobody else can change it
		if err != nil {
			return err
		}
		res = &Result{Skipped: plan.Skipped, Warnings: plan.Warnings, Waited: time.Since(r.lock.begun)}
		return r.execute(ctx, plan, res)
	})
	if res != nil {
		res.Took = time.Since(begun)
	}
	return res, err
}

func (r *run) execute(ctx context.Context, plan *Plan, res *Result) error {
	if plan.Empty() {
		return nil
	}
	if r.m.opts.Hooks.Planned == nil { // it gets them
		for _, w := range plan.Warnings {
			r.m.log.WarnContext(ctx, "migrate: "+w)
		}
	}
	r.m.opts.Hooks.planned(plan)
	if plan.first || !r.l.journalExists || !r.l.appExists {
		if err := r.create(ctx); err != nil {
			return err
		}
	}
	r.seq = plan.prior.nextSeq()
	defer r.keepJournal(ctx, len(plan.Steps))()
	for i, step := range plan.Steps {
		if err := ctx.Err(); err != nil {
			return r.stopped(ctx, step, i)
		}
		r.m.opts.Hooks.began(step)
		r.m.log.DebugContext(ctx, "migrate: "+string(step.Direction), "migration", step.Ref.String(), "statements", step.Statements)
		result, err := r.step(ctx, step)
		var failed *StepError
		if errors.As(err, &failed) {
			failed.Applied = i
		}
		r.m.opts.Hooks.ended(step, result, err)
		if err != nil {
			return err
		}
		r.m.log.InfoContext(ctx, "migrate: "+string(step.Direction)+" done", "migration", step.Ref.String(), "name", step.Name, "took", result.Took)
		res.Steps = append(res.Steps, result)
	}
	return nil
}

// create makes the ledger. In PostgreSQL and SQLite it is there as a whole or not at all.
func (r *run) create(ctx context.Context) error {
	return r.write(ctx, func(ctx context.Context) error { return r.l.create(ctx, r.conn) })
}

func (r *run) stopped(ctx context.Context, step *Step, before int) error {
	return &StepError{Ref: step.Ref, Direction: step.Direction, Of: step.Statements, Left: LeftNothing, Applied: before,
		Err: fmt.Errorf("stopped before it: %w", ended(ctx))}
}

// attempt is one try at a step.
type attempt struct {
	*run
	step    *Step
	begun   time.Time
	times   []StatementTime
	took    time.Duration   // of statements that an interrupted run has done
	earlier []StatementTime // and each of them
	rows    int64
	done    int // statements whose effect stands
	at      int // the statement that is on its way, 0 if none is

	measured Measured

	committedByItself bool // code sent a statement that does
}

func (r *run) step(ctx context.Context, step *Step) (StepResult, error) {
	result := StepResult{Ref: step.Ref, Name: step.Name, Direction: step.Direction}
	p := newPause(firstRetry, lastRetry)
	r.waited = 0
	for n := 1; ; n++ {
		r.blockers = nil
		a := &attempt{run: r, step: step, begun: time.Now(), done: step.Done}
		err := a.try(ctx)
		result.Took, result.Rows, result.Statements, result.Attempts = a.took+time.Since(a.begun), a.rows, slowest(a.times), n
		a.measured.LockWait = r.waited
		result.Measured = a.measured
		if err == nil {
			return result, nil
		}
		var failed *StepError
		errors.As(err, &failed)
		if failed == nil || failed.Left != LeftNothing && failed.Left != LeftPart || !r.m.server.judge(err).busy || n > r.m.opts.Retries || ctx.Err() != nil {
			return result, r.blame(err)
		}
		if err := r.again(ctx, step, n, p, err); err != nil {
			failed.Err = errors.Join(err, failed.Err)
			return result, r.blame(failed)
		}
		if failed.Left == LeftPart {
			if err := r.refresh(ctx, step); err != nil {
				return result, failed
			}
		}
	}
}

// The pauses between attempts: the app's requests that queued behind ours must get through.
const (
	firstRetry = 200 * time.Millisecond
	lastRetry  = 10 * time.Second
)

func (r *run) again(ctx context.Context, step *Step, n int, p *pause, err error) error {
	retry := Retry{Step: step, Attempt: n, Of: r.m.opts.Retries, After: p.next, Blockers: r.blockers, Err: err}
	r.m.log.WarnContext(ctx, "migrate: a lock wasn't to be had in time, trying again", "migration", step.Ref.String(), "attempt", n,
		"of", r.m.opts.Retries, "blockers", strings.Join(r.blockers, "; "))
	r.m.opts.Hooks.retrying(retry)
	return p.wait(ctx)
}

// refresh makes a step go on behind what an attempt in this run has done.
func (r *run) refresh(ctx context.Context, step *Step) error {
	bounded, cancel := own(ctx)
	defer cancel()
	b, err := r.m.read(bounded, r.l, r.conn)
	if err != nil {
		return err
	}
	found := b.get(step.Ref)
	if found == nil || found.state == Applied {
		return fmt.Errorf("%w: %s isn't unfinished any more", ErrLockLost, step.Ref)
	}
	step.row, step.Done = found, found.done()
	return nil
}

// blame adds who was in the way.
func (r *run) blame(err error) error {
	var failed *StepError
	if errors.As(err, &failed) && len(r.blockers) > 0 && r.m.server.judge(err).busy {
		failed.Note = "It waited for locks that these had:\n    " + strings.Join(r.blockers, "\n    ")
	}
	return err
}

func (a *attempt) try(ctx context.Context) error {
	if fresh := time.Since(a.proved) < proofLasts; fresh && a.conn != nil {
		return a.tried(ctx)
	}
	if a.conn == nil || !a.alive(ctx) {
		if !a.m.server.cancels() {
			return a.fail(LeftNothing, errors.New("migrate: the connection is gone"))
		}
		if err := a.connect(ctx); err != nil {
			return a.fail(a.untouched(), err)
		}
	}
	if err := a.lock.check(ctx); err != nil {
		return a.fail(a.untouched(), err)
	}
	a.proved = time.Now()
	return a.tried(ctx)
}

// proofLasts is how long the lock, once seen to be held, isn't asked for again. Even without it two runners can't both
// commit the same migration: its row in the ledger has a key.
const proofLasts = time.Second

func (a *attempt) tried(ctx context.Context) error {
	a.dirty = a.dirty || a.step.shape.resets
	var err error
	if a.step.shape.atomic {
		err = a.atomic(ctx)
	} else {
		err = a.stepwise(ctx)
	}
	if a.step.shape.resets && a.m.server.cancels() && err == nil {
		a.drop() // the next one gets a connection that is as new
	}
	return err
}

// untouched is what is left of a step that didn't begin now.
func (a *attempt) untouched() Left {
	if a.done > 0 {
		return LeftPart
	}
	return LeftNothing
}

func (a *attempt) fail(left Left, err error) error {
	var already *StepError
	if errors.As(err, &already) {
		return err
	}
	return &StepError{Ref: a.step.Ref, Direction: a.step.Direction, Statement: a.at, Of: a.step.Statements, Left: left, Done: a.done, Err: err}
}

// send sends a statement, with the hooks around it.
func (a *attempt) send(ctx context.Context, n int, st lexer.Statement) error {
	a.at = n
	hooks := &a.m.opts.Hooks
	hooks.statement(Progress{Step: a.step, N: n, SQL: st.SQL})
	begun := time.Now()
	a.current = current{a.step, n, begun}
	rows, err := a.exec(ctx, st.SQL)
	took := time.Since(begun)
	if rows > 0 && a.m.dialect == dialect.SQLite && !changesRows(st) {
		rows = 0 // SQLite tells those of the statement before
	}
	hooks.statement(Progress{Step: a.step, N: n, SQL: st.SQL, Done: true, Took: took, Rows: rows, Err: err})
	if err != nil {
		return a.fault(st, err)
	}
	a.timed(n, took, rows)
	a.at = 0
	return nil
}

// changesRows tells whether a statement of SQLite is one that does.
func changesRows(st lexer.Statement) bool {
	return phrase{tokens: firstTokens(st, 1), dialect: dialect.SQLite}.hasOne("insert", "update", "delete", "replace", "with")
}

func (a *attempt) timed(n int, took time.Duration, rows int64) {
	a.times = append(a.times, StatementTime{N: n, Took: took, Rows: max(rows, 0)})
	a.rows += max(rows, 0)
}

// call runs code.
func (a *attempt) call(ctx context.Context) (err error) {
	a.at = 1
	hooks := &a.m.opts.Hooks
	hooks.statement(Progress{Step: a.step, N: 1})
	begun := time.Now()
	a.current = current{a.step, 1, begun}
	db := &codeDB{run: a.run, data: a.step.script.data}
	func() {
		defer db.end()
		err = a.step.script.code(ctx, db)
	}()
	took := time.Since(begun)
	a.committedByItself = db.alone.Load()
	hooks.statement(Progress{Step: a.step, N: 1, Done: true, Took: took, Rows: db.rows, Err: err})
	if err != nil {
		return fmt.Errorf("the code of %s: %w", a.step.Ref, err)
	}
	a.timed(1, took, db.rows)
	a.at = 0
	return nil
}

// row is what the ledger gets for this step.
func (a *attempt) row() (r *row, down string, err error) {
	mig := a.step.mig
	r = &row{ref: a.step.Ref, name: a.step.Name, seq: a.seq, state: Applied, checksum: mig.checksum, statements: a.step.Statements,
		at: now(), took: a.took + time.Since(a.begun), rows: a.rows, origin: originUp, runner: limit(a.m.runner, 255), app: mig.app}
	if a.step.row != nil {
		r.ref, r.seq = a.step.row.ref, a.step.row.seq
	}
	r.measured, r.squashes = a.measured, mig.standsFor()
	r.measured.LockWait = a.waited
	down, r.hasDown, err = mig.down.text(a.m.dialect)
	return r, down, err
}

func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }

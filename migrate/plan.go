package migrate

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"

	"github.com/buffkit/buffkit/migrate/dialect"
	"github.com/buffkit/buffkit/migrate/lexer"
)

// Do is what a run is for.
type Do string

// What a run can do.
const (
	DoUp    Do = "up"
	DoDown  Do = "down"
	DoRedo  Do = "redo"
	DoReset Do = "reset"
)

// Goal is what a run is to reach.
type Goal struct {
	Do    Do
	Steps int  // down, redo: how many, at least 1, if there is no To
	To    *Ref // up: the last one to apply, with what it depends on; down: the last one of its source to keep, 0 for none
	// Only is for up: these alone, with what they depend on by their headers. Pending ones before them stay so.
	Only []Ref
	// Again is for up: those in Only, or all without any, run even if they are applied, and as their files are now. For migrations
	// that may run twice, as seeds when their tables were made anew.
	Again bool
}

// Direction is which script of a migration runs.
type Direction string

// The directions.
const (
	Up   Direction = "up"
	Down Direction = "down"
)

// Plan is what a run will do, in its order.
type Plan struct {
	Dialect  dialect.Dialect `json:"dialect"`
	Steps    []*Step         `json:"steps"`
	Skipped  []Skip          `json:"skipped,omitempty"`
	Warnings []string        `json:"warnings,omitempty"`

	table string
	begin string
	first bool // the ledger is to be made
	prior *book
}

// Skip is a migration that isn't for this environment.
type Skip struct {
	Ref Ref      `json:"ref"`
	Env []string `json:"env"`
}

// Step is one script of a plan.
type Step struct {
	Ref        Ref       `json:"ref"`
	Name       string    `json:"name"`
	Direction  Direction `json:"direction"`
	Path       string    `json:"path"`
	Statements int       `json:"statements"`
	// Atomic tells that it is one transaction together with its row in the ledger.
	Atomic bool `json:"atomic"`
	// Done is how many statements an interrupted run has executed: this one goes on behind them.
	Done int `json:"done,omitempty"`
	// Doubt tells that the server may have executed the next statement already. The run looks first.
	Doubt bool     `json:"doubt,omitempty"`
	Notes []string `json:"notes,omitempty"`

	script *script
	shape  *shape
	mig    *migration  // nil if there is no file
	row    *row        // nil if the ledger doesn't know it
	conn   *connection // on which it was begun in this run
	again  bool        // it was applied before, and has changed or is asked for
}

// SQL returns the statements that will be sent, in their order, those that an interrupted run has executed left out. The error is
// that of source.Script.Statements.
func (s *Step) SQL() iter.Seq2[lexer.Statement, error] {
	return func(yield func(lexer.Statement, error) bool) {
		n := 0
		for st, err := range s.script.statements() {
			if err != nil {
				yield(st, err)
				return
			}
			if n < s.shape.n() && n >= s.Done && s.shape.sent(n) && !yield(st, nil) {
				return
			}
			n++
		}
	}
}

// Empty tells that there is nothing to do.
func (p *Plan) Empty() bool { return len(p.Steps) == 0 }

// Plan says what Run would do with the database as it is now, and changes nothing. The error is a *PlanError if the migrations, or the ledger, are
// at fault.
func (m *Migrator) Plan(ctx context.Context, goal Goal) (*Plan, error) {
	return m.planOf(ctx, goal, m.load())
}

func (m *Migrator) planOf(ctx context.Context, goal Goal, files *set) (*Plan, error) {
	conn, err := m.connect(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	l, err := m.openLedger(ctx, conn)
	if err != nil {
		return nil, err
	}
	return m.plan(ctx, goal, files, l, conn)
}

// plan reads the ledger and makes a plan.
func (m *Migrator) plan(ctx context.Context, goal Goal, files *set, l *ledger, q querier) (*Plan, error) {
	if err := goal.check(); err != nil {
		return nil, err
	}
	problems := slices.Clone(files.problems)
	b, err := m.read(ctx, l, q)
	if err != nil {
		if errors.Is(err, ErrLedger) {
			return nil, &PlanError{Problems: append(problems, Problem{Msg: err.Error(), Err: err})}
		}
		return nil, err
	}
	p := &planner{m: m, goal: goal, files: files, book: b, ledger: l, q: q, ctx: ctx, problems: problems,
		plan: &Plan{Dialect: m.dialect, table: l.table, begin: m.server.begin(), first: !b.exists, prior: b}}
	if len(problems) == 0 { // of half a set everything else would look wrong
		if err := p.make(); err != nil {
			return nil, err
		}
		if err := p.check(); err != nil {
			return nil, err
		}
	}
	if len(p.problems) > 0 {
		return nil, &PlanError{Problems: p.problems, unfinished: len(b.unfinished()) > 0}
	}
	return p.plan, nil
}

func (g Goal) check() error {
	switch g.Do {
	case DoUp, DoReset:
		return nil
	case DoDown, DoRedo:
		if g.To == nil && g.Steps < 1 || g.To != nil && g.Do == DoRedo {
			return fmt.Errorf("migrate: %s: say how many steps, at least 1", g.Do)
		}
		return nil
	}
	return fmt.Errorf("migrate: unknown goal %q", g.Do)
}

// planner is one making of a plan.
type planner struct {
	m        *Migrator
	ctx      context.Context
	goal     Goal
	files    *set
	book     *book
	ledger   *ledger
	q        querier
	plan     *Plan
	loose    []string     // tables whose rows no transaction rolls back
	order    []*migration // all files, each behind what it depends on
	problems []Problem
}

func (p *planner) fail(err error, ref Ref, path, msg, hint string) {
	p.problems = append(p.problems, Problem{Ref: ref, Path: path, Msg: msg, Hint: hint, Err: err})
}

func (p *planner) make() (err error) {
	if p.loose, err = p.m.server.loose(p.ctx, p.q, p.ledger.schema); err != nil {
		return fmt.Errorf("migrate: ask for the engines of tables: %w", err)
	}
	if err := p.readSquashed(); err != nil {
		return err
	}
	p.sort()
	switch p.goal.Do {
	case DoUp:
		return p.up()
	case DoDown, DoReset:
		_, err := p.down()
		return err
	}
	undone, err := p.down()
	if err != nil {
		return err
	}
	slices.Reverse(undone) // redo: in the order in which they were applied
	for _, r := range undone {
		mig := p.files.of(r)
		if mig == nil {
			p.fail(ErrMissing, r.ref, "", "it can't be applied again, since its file is gone", "undo it with down alone")
			continue
		}
		if step := p.step(mig, mig.up, Up, nil); step != nil {
			p.plan.Steps = append(p.plan.Steps, step)
		}
	}
	return nil
}

// readSquashed asks the ledger what squashes stand for, if a dependency is nowhere else to be found.
func (p *planner) readSquashed() error {
	for _, mig := range p.files.all {
		for _, ref := range mig.depends {
			if p.files.get(ref) == nil && !p.book.has(ref) {
				return p.ledger.readSquashed(p.ctx, p.q, p.book)
			}
		}
	}
	return nil
}

// step surveys a script and makes a step of it; nil if something is wrong with it.
func (p *planner) step(mig *migration, s *script, d Direction, r *row) *Step {
	step := &Step{Direction: d, script: s, mig: mig, row: r, Path: s.path}
	if mig != nil {
		step.Ref, step.Name = mig.ref, mig.name
	} else {
		step.Ref, step.Name = r.ref, r.name
	}
	sh, err := p.m.survey(s)
	if err != nil {
		p.problems = append(p.problems, flatten(err)...)
		return nil
	}
	if sh.loose && len(p.loose) == 0 {
		p.loose = []string{"the one that " + step.Ref.String() + " makes"}
	}
	if len(p.loose) > 0 {
		sh = sh.apart("no transaction rolls back the rows of some tables: " + some(p.loose) + "; so each statement is one by itself")
	}
	step.shape, step.Statements, step.Atomic, step.Notes = sh, sh.n(), sh.atomic, sh.notes
	if r != nil && r.state != Applied {
		p.resume(step, r)
	}
	if !step.Atomic && step.Statements > 0 && s.code == nil {
		step.Notes = append(step.Notes, "not one transaction: what took effect stays if a later statement fails")
	}
	return step
}

// resume compares what an interrupted run has executed with the script as it is now.
func (p *planner) resume(step *Step, r *row) {
	if fault := r.checkJournal(); fault != "" {
		p.fail(ErrLedger, r.ref, step.Path, "it is unfinished, and "+fault, fmt.Sprintf("see what it has done, and finish it by hand or undo it, then: "+
			"buffkit migrate repair %s --applied, or --forget", r.ref))
		return
	}
	sh := step.shape
	step.Done = r.done()
	step.Doubt = r.open() != nil
	if sh.atomic && (step.Done > 0 || step.Doubt) {
		sh.atomic, step.Atomic = false, false // it had statements of another kind when it was begun
	}
	for _, e := range r.journal {
		if e.state != done {
			continue
		}
		if e.last > sh.n() || markOfAll(sh.marks[e.first-1:e.last]) != e.marks {
			p.fail(ErrDrift, r.ref, step.Path, fmt.Sprintf("it was interrupted behind statement %d, and what it had executed as statement %s isn't in the file any more",
				step.Done, span(e.first, e.last)), "put the statements back that were executed; change only what comes behind them")
			return
		}
	}
	if sh.temp > 0 && sh.temp <= step.Done {
		p.fail(ErrUnfinished, r.ref, step.Path, fmt.Sprintf("it was interrupted behind statement %d, and the temporary table of statement %d ended with that connection",
			step.Done, sh.temp), fmt.Sprintf("do the rest by hand, then: buffkit migrate repair %s --applied", r.ref))
	}
}

func span(first, last int) string {
	if first == last {
		return fmt.Sprint(first)
	}
	return fmt.Sprintf("%d to %d", first, last)
}

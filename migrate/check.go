package migrate

import (
	"context"
	"strings"

	"github.com/buffkit/buffkit/migrate/dialect"
	"github.com/buffkit/buffkit/migrate/source"
)

// Check looks at what is about to run. The warnings become a part of the plan, the problems stop it; the error is that of the check
// itself, and stops it too.
//
// It is called before the run takes the lock, and again under it if the plan isn't the same any more. It must change nothing.
type Check func(ctx context.Context, c *Checking) (warnings []string, problems []Problem, err error)

// Checking is what a Check looks at.
type Checking struct {
	Plan       *Plan
	Dialect    dialect.Dialect
	Migrations []Checked // all that are SQL, in the order in which they run
	DB         DB        // to ask the database
}

// Checked is a migration of a plan, or one that was applied before.
type Checked struct {
	Ref       Ref
	Migration source.Migration
	Options   *source.Options
	// Pending is false for what was applied, or begun: a check would come too late for it.
	Pending bool
}

// verdict is what Options.Check has said of a plan.
type verdict struct {
	plan     string
	warnings []string
	problems []Problem
}

// check asks Options.Check.
func (p *planner) check() error {
	if p.m.opts.Check == nil || p.goal.Do != DoUp || p.plan.Empty() || len(p.problems) > 0 {
		return nil
	}
	c := &Checking{Plan: p.plan, Dialect: p.m.dialect, DB: p.q}
	pending := map[Ref]bool{}
	var names []string
	for _, s := range p.plan.Steps {
		pending[key(s.Ref)] = s.Direction == Up && (s.row == nil || s.row.state == Applied)
		names = append(names, s.Ref.String()+string(s.Direction))
	}
	plan := strings.Join(names, " ")
	if v := p.files.verdict; v == nil || v.plan != plan {
		for _, mig := range p.order {
			if r := p.book.get(mig.ref); mig.up.sql != nil && (r != nil || pending[key(mig.ref)]) {
				c.Migrations = append(c.Migrations, Checked{mig.ref, mig.loaded(), mig.up.opts, pending[key(mig.ref)]})
			}
		}
		warnings, problems, err := p.m.opts.Check(p.ctx, c)
		if err != nil {
			return err
		}
		p.files.verdict = &verdict{plan, warnings, problems}
	}
	p.plan.Warnings = append(p.plan.Warnings, p.files.verdict.warnings...)
	p.problems = append(p.problems, p.files.verdict.problems...)
	return nil
}

// loaded is a migration as source.Load returns it.
func (mig *migration) loaded() source.Migration {
	m := source.Migration{Version: mig.ref.Version, Name: mig.name, Up: mig.up.sql}
	if mig.down != nil {
		m.Down = mig.down.sql
	}
	return m
}

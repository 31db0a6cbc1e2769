package migrate

import (
	"fmt"
	"slices"
	"strings"
)

// down plans to undo, the last applied first, and returns what is undone in that order.
func (p *planner) down() ([]*row, error) {
	for _, r := range p.book.rows {
		if r.state == Applying && p.concerns(r) {
			p.fail(ErrUnfinished, r.ref, "", fmt.Sprintf("it was begun, %s, so there is nothing whole to undo", ofWhich(r)),
				"finish it with up first; or undo by hand what it did, then: buffkit migrate repair "+r.ref.String()+" --forget")
		}
	}
	rows := p.toUndo()
	undone := map[Ref]bool{}
	for _, r := range rows {
		undone[key(r.ref)] = true
	}
	p.checkDependents(undone)
	for _, r := range rows {
		if _, err := p.undo(r); err != nil {
			return nil, err
		}
	}
	if len(rows) > 0 {
		p.warnOfSeeds()
	}
	return rows, nil
}

// seedSource is the name that package seed gives its source.
const seedSource = "seed"

// warnOfSeeds tells that the ledger goes on to know seeds whose rows may go with their tables.
func (p *planner) warnOfSeeds() {
	n := 0
	for _, r := range p.book.rows {
		if r.ref.Source == seedSource && r.state == Applied {
			n++
		}
	}
	if n > 0 {
		p.plan.Warnings = append(p.plan.Warnings, fmt.Sprintf("the ledger still has %s as applied, whose rows may go with what is undone: "+
			"when the tables are there again, run buffkit seed --again", count(n, "seed")))
	}
}

// toUndo chooses; what was begun is always among them.
func (p *planner) toUndo() (rows []*row) {
	var to Ref
	if p.goal.To != nil {
		to = p.withSource(*p.goal.To)
		if v := key(to).Version; v != "0" && p.book.get(to) == nil {
			p.fail(ErrUnknown, to, "", "it isn't applied, so there is no way down to it", "see status for those that are")
			return nil
		}
	}
	for _, r := range slices.Backward(p.book.rows) {
		switch {
		case !p.concerns(r):
		case r.state == Undoing,
			p.goal.Do == DoReset,
			p.goal.To != nil && r.ref.Source == to.Source && r.ref.Version.Compare(to.Version) > 0,
			p.goal.To == nil && len(rows) < p.goal.Steps:
			rows = append(rows, r)
		}
	}
	return rows
}

// concerns tells whether a migration may be undone by this runner: of its own sources all, of another program's those of the source that is
// named. So can a library's tables be removed when the library is gone.
func (p *planner) concerns(r *row) bool {
	return p.ours(r.ref) || p.goal.To != nil && p.goal.To.Source == r.ref.Source
}

// checkDependents finds what stays and needs what goes.
func (p *planner) checkDependents(undone map[Ref]bool) {
	for _, mig := range p.files.all {
		r := p.book.get(mig.ref)
		if r == nil || undone[key(mig.ref)] {
			continue
		}
		for _, ref := range mig.depends {
			dep := p.files.get(ref)
			if undone[key(ref)] || dep != nil && undone[key(dep.ref)] && p.book.get(ref) == nil {
				p.fail(ErrDepends, ref, "", fmt.Sprintf("%s depends on it and is still applied", mig.ref), "undo that one too")
			}
		}
	}
}

// undo adds the step down of a migration: of its file, or of what the ledger kept.
func (p *planner) undo(r *row) (*Step, error) {
	mig := p.files.of(r)
	if mig != nil && mig.down != nil {
		return p.addDown(mig, mig.down, r), nil
	}
	if r.hasDown {
		text, ok, err := p.ledger.down(p.ctx, p.q, r.ref)
		if err != nil {
			return nil, err
		}
		if ok {
			s, err := p.m.fromText(r.ref, text)
			if err != nil {
				p.problems = append(p.problems, flatten(err)...)
				return nil, nil
			}
			return p.addDown(mig, s, r), nil
		}
	}
	path, hint := "", "bring its file back, or undo it by hand, then: buffkit migrate repair "+r.ref.String()+" --forget"
	if mig != nil {
		path, hint = mig.path, "add one"
		if stem, ok := strings.CutSuffix(path, ".up.sql"); ok {
			hint = "write " + stem + ".down.sql, empty if there is nothing to undo"
		}
	}
	p.fail(ErrNoDown, r.ref, path, "there is no down script, neither in a file nor in the ledger", hint)
	return nil, nil
}

func (p *planner) addDown(mig *migration, s *script, r *row) *Step {
	step := p.step(mig, s, Down, r)
	if step == nil {
		return nil
	}
	step.Ref = r.ref
	if s.stored {
		step.Notes = append(step.Notes, "the script is the one that was kept in the ledger when it was applied")
	}
	p.plan.Steps = append(p.plan.Steps, step)
	return step
}

package migrate

import (
	"fmt"
	"slices"
	"strings"
)

// up plans what is pending. What was begun goes first: a down is finished, and its migration is pending then.
func (p *planner) up() error {
	if err := p.checkUnadopted(); err != nil {
		return err
	}
	for _, r := range slices.Backward(p.book.rows) {
		if r.state == Undoing && p.ours(r.ref) {
			if _, err := p.undo(r); err != nil {
				return err
			}
		}
	}
	p.checkApplied()
	wanted := p.wanted()
	p.checkApp(wanted)
	highest := p.highest()
	applied := map[Ref]bool{}
	for _, r := range p.book.rows {
		applied[key(r.ref)] = r.state == Applied
	}
	for _, mig := range p.order {
		r := p.book.get(mig.ref)
		begun := r != nil && r.state == Applying
		switch {
		case r != nil && r.state == Applied && !(mig.repeatable && differs(r, mig)) && !p.asked(mig):
			if !differs(r, mig) { // which has been said
				p.checkSquash(mig)
			}
			continue
		case !begun && wanted != nil && !wanted[mig]:
			continue
		case !begun && !p.here(mig):
			p.plan.Skipped = append(p.plan.Skipped, Skip{mig.ref, mig.env})
			continue
		}
		if !p.checkSquash(mig) {
			continue
		}
		if r == nil || r.state == Undoing {
			r = nil
			p.checkOrder(mig, highest)
		}
		for _, ref := range mig.depends {
			if dep := p.files.get(ref); dep != nil && !applied[key(dep.ref)] {
				p.fail(ErrDepends, mig.ref, mig.path, fmt.Sprintf("it depends on %s, which isn't for the environment %q (env: %s)", ref,
					p.m.opts.Environment, strings.Join(dep.env, ", ")), "give it the same header env:, or run in another environment")
			}
		}
		applied[key(mig.ref)] = true
		if step := p.step(mig, mig.up, Up, r); step != nil {
			if step.again = r != nil && r.state == Applied; step.again {
				step.Notes = append(step.Notes, whyAgain(r, mig))
			}
			p.plan.Steps = append(p.plan.Steps, step)
		}
		p.checkDown(mig)
	}
	return nil
}

// asked tells whether the goal wants a migration again that is applied.
func (p *planner) asked(mig *migration) bool {
	return p.goal.Again && (len(p.goal.Only) == 0 ||
		slices.ContainsFunc(p.goal.Only, func(r Ref) bool { return key(p.withSource(r)) == key(mig.ref) }))
}

func whyAgain(r *row, mig *migration) string {
	if differs(r, mig) {
		return "again: it changed after it was applied, on " + day(r.at)
	}
	return "again, as asked for: it was applied on " + day(r.at)
}

// checkDown looks through the script that the ledger will keep: nobody wants to find out when it is needed.
func (p *planner) checkDown(mig *migration) {
	if mig.down == nil {
		return
	}
	if _, err := p.m.survey(mig.down); err != nil && (mig.down.path != mig.up.path || len(p.problems) == 0) {
		p.problems = append(p.problems, flatten(err)...)
	}
}

// here tells whether a migration is for this environment.
func (p *planner) here(mig *migration) bool {
	return len(mig.env) == 0 || slices.Contains(mig.env, p.m.opts.Environment)
}

// wanted is what To asks for; nil is all.
func (p *planner) wanted() map[*migration]bool {
	if len(p.goal.Only) > 0 {
		return p.only()
	}
	if p.goal.To == nil {
		return nil
	}
	target := p.target(*p.goal.To)
	if target == nil {
		return map[*migration]bool{}
	}
	wanted := map[*migration]bool{}
	var want func(mig *migration)
	want = func(mig *migration) {
		if wanted[mig] {
			return
		}
		for _, other := range p.files.all { // with it come those before it
			if other.ref.Source == mig.ref.Source && other.ref.Version.Compare(mig.ref.Version) <= 0 && !wanted[other] {
				wanted[other] = true
				for _, ref := range other.depends {
					if dep := p.files.get(ref); dep != nil {
						want(dep)
					}
				}
			}
		}
	}
	want(target)
	return wanted
}

// only is what Only asks for.
func (p *planner) only() map[*migration]bool {
	wanted := map[*migration]bool{}
	var want func(ref Ref)
	want = func(ref Ref) {
		mig := p.files.get(ref)
		if mig == nil || wanted[mig] {
			return
		}
		wanted[mig] = true
		for _, dep := range mig.depends {
			want(dep)
		}
	}
	for _, ref := range p.goal.Only {
		if mig := p.target(ref); mig != nil {
			want(mig.ref)
		}
	}
	return wanted
}

// target finds a migration that the goal names.
func (p *planner) target(ref Ref) *migration {
	ref = p.withSource(ref)
	mig := p.files.get(ref)
	if mig == nil {
		p.fail(ErrUnknown, ref, "", "no source has it", "see status for those that there are")
	}
	return mig
}

// withSource fills in the only source, or the default one.
func (p *planner) withSource(r Ref) Ref {
	if r.Source == "" {
		r.Source = p.m.opts.Sources[0].Name
	}
	return r
}

// ours tells whether a migration is of a source that this runner has. Others are of another program, which shares the ledger.
func (p *planner) ours(r Ref) bool {
	return slices.ContainsFunc(p.m.opts.Sources, func(s Source) bool { return s.Name == r.Source })
}

// highest is the highest version of each source that was applied or begun.
func (p *planner) highest() map[string]Version {
	highest := map[string]Version{}
	for _, r := range p.book.rows {
		if v, ok := highest[r.ref.Source]; r.state != Undoing && (!ok || r.ref.Version.Compare(v) > 0) {
			highest[r.ref.Source] = r.ref.Version
		}
	}
	return highest
}

func (p *planner) checkOrder(mig *migration, highest map[string]Version) {
	top, ok := highest[mig.ref.Source]
	if !ok || mig.ref.Version.Compare(top) > 0 {
		return
	}
	if p.m.opts.AllowOutOfOrder {
		p.plan.Warnings = append(p.plan.Warnings, fmt.Sprintf("%s runs out of order: %s was applied before it", mig.ref, Ref{Source: mig.ref.Source, Version: top}))
		return
	}
	p.fail(ErrOutOfOrder, mig.ref, mig.path, fmt.Sprintf("it is pending, but the higher version %s was applied", top),
		"give it a version above that, or allow it: Options.AllowOutOfOrder (--allow-out-of-order)")
}

// checkApplied compares the ledger with the files.
func (p *planner) checkApplied() {
	var missing []string
	for _, r := range p.book.rows {
		mig := p.files.get(r.ref)
		switch {
		case !p.ours(r.ref):
		case mig == nil && r.state == Applying:
			p.fail(ErrUnfinished, r.ref, "", fmt.Sprintf("it was begun, %s, and its file is gone", ofWhich(r)),
				fmt.Sprintf("bring the file back, or finish it by hand, then: buffkit migrate repair %s --applied", r.ref))
		case mig == nil && r.state == Applied && p.declared(r):
		case mig == nil && r.state == Applied:
			missing = append(missing, r.ref.String())
		case mig != nil && differs(r, mig) && !mig.repeatable && !p.asked(mig):
			p.fail(ErrDrift, mig.ref, mig.path, "the file changed after it was applied, on "+day(r.at),
				fmt.Sprintf("undo the change and write a new migration; if it changes nothing that matters: buffkit migrate repair %s --checksum", r.ref))
		}
	}
	if len(missing) == 0 || p.m.opts.AppPolicy == AppRefuse && p.m.newer(p.book) != nil {
		return // checkApp says why
	}
	text := fmt.Sprintf("the ledger has %s that no source has: %s", count(len(missing), "migration"), some(missing))
	if p.m.opts.AllowMissing {
		p.plan.Warnings = append(p.plan.Warnings, text)
		return
	}
	p.fail(ErrMissing, Ref{}, "", text, "either this program is older than the database, or files are gone: bring them, or allow it: Options.AllowMissing (--allow-missing)")
}

// differs tells whether a file isn't any more what was applied.
func differs(r *row, mig *migration) bool {
	return r.state == Applied && !mig.same(r)
}

func ofWhich(r *row) string { return fmt.Sprintf("%d statements are done", r.done()) }

func day(at string) string {
	if len(at) >= len("2006-01-02") {
		return at[:len("2006-01-02")]
	}
	return at
}

// some shows the first of a list.
func some(all []string) string {
	const most = 5
	if len(all) <= most {
		return strings.Join(all, ", ")
	}
	return strings.Join(all[:most], ", ") + fmt.Sprintf(" and %d more", len(all)-most)
}

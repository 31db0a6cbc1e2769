package migrate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Adoption is what another tool has applied of a source; package adopt reads it from that tool's ledger.
type Adoption struct {
	Source  string // default: the first one
	Origin  string // the tool, kept in the ledger
	Applied []Adopted
	// Again reads Applied once more. Adopt calls it under the lock, in the transaction that writes the rows, and refuses if there are other versions by
	// then: the tool doesn't know our lock. Nil: nobody looks again.
	Again func(ctx context.Context, db DB) ([]Adopted, error)
	// Tables are the tool's own, NAME or SCHEMA.NAME, which VerifyAdopt leaves out.
	Tables []string
}

// Adopted is a migration that another tool has applied.
type Adopted struct {
	Version Version
	At      time.Time // zero: the tool didn't keep it
}

// Foreign is what the FS of a Source may be besides: the folder of another tool, as an *adopt.Dir is.
type Foreign interface {
	// Unadopted returns what is wrong if the tool itself has applied migrations to the database that the source has, nil if it hasn't. It is called when
	// an up is planned and the ledger knows nothing of the source, and again under the lock. It must change nothing. The error is that of looking, and
	// stops the plan too.
	Unadopted(ctx context.Context, db DB, has func(Version) bool) (*Problem, error)
}

// checkUnadopted refuses to run what another tool has applied.
func (p *planner) checkUnadopted() error {
	for _, s := range p.m.opts.Sources {
		folder, ok := s.FS.(Foreign)
		if !ok || slices.ContainsFunc(p.book.rows, func(r *row) bool { return r.ref.Source == s.Name }) {
			continue
		}
		has := func(v Version) bool { return p.files.get(Ref{Source: s.Name, Version: v}) != nil }
		problem, err := folder.Unadopted(p.ctx, p.q, has)
		if err != nil {
			return fmt.Errorf("migrate: look whether another tool has applied migrations of %s: %w", s.Name, err)
		}
		if problem != nil {
			problem.Msg = s.Name + ": " + problem.Msg
			p.problems = append(p.problems, *problem)
		}
	}
	return nil
}

// AdoptResult is what Adopt has written, or would.
type AdoptResult struct {
	Rows     []Info   `json:"rows"`    // in the order of the ledger
	Pending  []Ref    `json:"pending"` // what up will run
	Warnings []string `json:"warnings,omitempty"`
}

// Adopt writes rows to the ledger for what another tool has applied, and runs nothing. All or none are written. It refuses a source of which
// the ledger knows anything, a version that has no file unless Options.AllowMissing is set, and whatever Up would refuse of the migrations
// that are pending then: the error is a *PlanError. So after it Up goes on, and Down goes back through the files of the other tool.
//
// Stop the other tool first: it doesn't know our lock. ErrUnclear means that the connection was lost at COMMIT, and it couldn't be found out
// whether the rows were written.
func (m *Migrator) Adopt(ctx context.Context, what Adoption) (*AdoptResult, error) {
	files := m.load()
	if _, err := m.checkAdoption(ctx, what, files); err != nil { // before a ledger is made
		return nil, err
	}
	var res *AdoptResult
	err := m.locked(ctx, func(r *run) error {
		a, err := m.adoption(ctx, what, files, r.l, r.conn)
		if err != nil {
			return err
		}
		res = a.result
		return r.adopt(ctx, a)
	})
	if err != nil {
		return nil, err
	}
	return res, nil
}

// CheckAdopt says what Adopt would write, and changes nothing. The error is that of Adopt.
func (m *Migrator) CheckAdopt(ctx context.Context, what Adoption) (*AdoptResult, error) {
	return m.checkAdoption(ctx, what, m.load())
}

func (m *Migrator) checkAdoption(ctx context.Context, what Adoption, files *set) (*AdoptResult, error) {
	conn, err := m.connect(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	l, err := m.openLedger(ctx, conn)
	if err != nil {
		return nil, err
	}
	a, err := m.adoption(ctx, what, files, l, conn)
	if err != nil {
		return nil, err
	}
	return a.result, nil
}

// adoption is one that was checked.
type adoption struct {
	what   Adoption
	rows   []*row
	downs  []*script // beside the rows
	result *AdoptResult
}

// adoption checks everything against the ledger as it will be.
func (m *Migrator) adoption(ctx context.Context, what Adoption, files *set, l *ledger, q querier) (*adoption, error) {
	if len(files.problems) > 0 {
		return nil, &PlanError{Problems: files.problems}
	}
	if what.Source == "" {
		what.Source = m.opts.Sources[0].Name
	}
	b, err := m.read(ctx, l, q)
	if err != nil {
		return nil, err
	}
	p := &planner{m: m, goal: Goal{Do: DoUp}, files: files, book: b, ledger: l, q: q, ctx: ctx,
		plan: &Plan{Dialect: m.dialect, table: l.table, begin: m.server.begin(), first: !b.exists, prior: b}}
	if !p.ours(Ref{Source: what.Source}) {
		return nil, fmt.Errorf("migrate: adopt: there is no source %q", what.Source)
	}
	for _, r := range b.rows {
		if r.ref.Source == what.Source {
			return nil, fmt.Errorf("migrate: adopt: the ledger has %s already: adopting is for a source that it doesn't know", r.ref)
		}
	}
	a := &adoption{what: what, result: &AdoptResult{Rows: []Info{}, Pending: []Ref{}}}
	if err := p.adopt(what, a); err != nil {
		return nil, err
	}
	if err := p.make(); err != nil {
		return nil, err
	}
	if len(p.problems) > 0 {
		return nil, &PlanError{Problems: p.problems}
	}
	for _, step := range p.plan.Steps {
		a.result.Pending = append(a.result.Pending, step.Ref)
	}
	a.result.Warnings = append(a.result.Warnings, p.plan.Warnings...)
	return a, nil
}

// adopt puts the rows into the planner's book.
func (p *planner) adopt(what Adoption, a *adoption) error {
	seq := p.book.nextSeq()
	for _, applied := range what.Applied {
		ref := Ref{Source: what.Source, Version: applied.Version}
		mig := p.files.own(ref)
		if other := p.book.get(ref); other != nil {
			return fmt.Errorf("migrate: adopt: %s has applied the version %s twice, as %s too: correct its ledger, where one number must be one migration",
				what.Origin, applied.Version, other.ref.Version)
		}
		r := &row{ref: ref, seq: seq, state: Applied, at: now(), origin: limit(what.Origin, 64), runner: limit(p.m.runner, 255)}
		if !applied.At.IsZero() {
			r.at = applied.At.UTC().Format(timeLayout)
		}
		var down *script
		if mig != nil {
			r.ref, r.name, down = mig.ref, mig.name, mig.down
			if len(mig.squashes) == 0 { // a squash's would say that all it stands for is applied
				r.checksum = mig.checksum
			}
		}
		if err := p.book.add(r); err != nil {
			return fmt.Errorf("migrate: adopt: %w", err)
		}
		a.rows, a.downs, seq = append(a.rows, r), append(a.downs, down), seq+1
		a.result.Rows = append(a.result.Rows, info(r, p.files.get(ref)))
		p.warnOfDown(a, mig)
	}
	return nil
}

// warnOfDown looks through a script that was made for another tool.
func (p *planner) warnOfDown(a *adoption, mig *migration) {
	if mig == nil || mig.down == nil {
		return
	}
	if _, err := p.m.survey(mig.down); err != nil {
		a.result.Warnings = append(a.result.Warnings, fmt.Sprintf("%s couldn't be undone: %v", mig.ref, err))
	}
}

// adopt writes the rows in one transaction. It may take longer than one of the runner's own statements, since there can be thousands.
func (r *run) adopt(ctx context.Context, a *adoption) error {
	if err := r.create(ctx); err != nil {
		return err
	}
	if err := r.begin(ctx); err != nil {
		return err
	}
	err := r.sameStill(ctx, a.what)
	if err == nil {
		err = r.insertMany(ctx, a.rows, a.downs)
	}
	if err != nil {
		r.rollback(ctx)
		return fmt.Errorf("migrate: adopt: %w", err)
	}
	if err := r.commit(ctx); err != nil {
		return r.adopted(ctx, a, err)
	}
	return nil
}

// sameStill looks whether the other tool has gone on meanwhile.
func (r *run) sameStill(ctx context.Context, what Adoption) error {
	if what.Again == nil {
		return nil
	}
	bounded, cancel := own(ctx)
	defer cancel()
	now, err := what.Again(bounded, r.conn)
	if err != nil {
		return fmt.Errorf("read again what %s has applied: %w", what.Origin, err)
	}
	if !slices.EqualFunc(what.Applied, now, func(a, b Adopted) bool { return a.Version.Compare(b.Version) == 0 }) {
		return fmt.Errorf("%s went on meanwhile: it had applied %s, and now it is %d. Stop whatever runs it, and adopt again", what.Origin,
			count(len(what.Applied), "migration"), len(now))
	}
	return nil
}

// adopted finds out what became of a COMMIT that returned an error.
func (r *run) adopted(ctx context.Context, a *adoption, cause error) error {
	var c *commitError
	if !errors.As(cause, &c) { // it wasn't sent, or SQLite says that it is still open
		r.rollback(ctx)
		return fmt.Errorf("migrate: adopt: %w", cause)
	}
	b, err := r.settle(ctx)
	switch {
	case err != nil:
		return fmt.Errorf("migrate: adopt: %w: COMMIT, since the connection was lost. Look at status, and adopt again if it says pending: %w", ErrUnclear, errors.Join(cause, err))
	case len(a.rows) > 0 && b.get(a.rows[0].ref) == nil:
		return fmt.Errorf("migrate: adopt: nothing was written: %w", cause)
	}
	r.m.log.WarnContext(ctx, "migrate: the connection was lost at COMMIT, which took effect", "adopted", len(a.rows), "err", cause)
	return nil
}

package migrate

import (
	"context"
	"fmt"

	"github.com/buffkit/buffkit/migrate/source"
)

// AppPolicy is what happens to a program that is older than the database's schema allows.
type AppPolicy uint8

// The policies.
const (
	// AppRefuse makes a plan, and CheckApp, fail with an *AppError.
	AppRefuse AppPolicy = iota
	// AppWarn adds a warning to the plan, and logs it.
	AppWarn
)

// AppError is a program that is too old for the schema.
type AppError struct {
	Ref      Ref    // the migration that needs the newest version
	Name     string // its name
	Requires string // that version
	Have     string // Options.AppVersion
	Applied  bool   // it is in the database; else it is pending
}

// Error says which version is needed, and what to do.
func (e *AppError) Error() string {
	if !e.Applied {
		return fmt.Sprintf("%s %s needs the app from version %s on, and this one is %s: it would be locked out.\n"+
			"Deploy the app %s first, or apply up to the migration before it (--to)", e.Ref, e.Name, e.Requires, e.Have, e.Requires)
	}
	return fmt.Sprintf("the database is newer than this program: %s %s was applied, and needs the app from version %s on; this one is %s.\n"+
		"Deploy the app %s or a newer one; or undo that migration with a program that has it: buffkit migrate down", e.Ref, e.Name, e.Requires, e.Have, e.Requires)
}

// Is tells that it is ErrApp.
func (e *AppError) Is(target error) bool { return target == ErrApp }

// needs tells whether a version is above Options.AppVersion.
func (m *Migrator) needs(app string) bool {
	if app == "" || m.opts.AppVersion == "" {
		return false
	}
	have, err := source.ParseAppVersion(m.opts.AppVersion)
	if err != nil {
		return false // New has seen it
	}
	needed, err := source.ParseAppVersion(app)
	return err == nil && needed.Compare(have) > 0
}

// newer returns the migration in the ledger that needs the newest app, if this one is too old for it.
func (m *Migrator) newer(b *book) *AppError {
	var worst *AppError
	for _, r := range b.rows {
		if m.needs(r.app) && (worst == nil || above(r.app, worst.Requires)) {
			worst = &AppError{Ref: r.ref, Name: r.name, Requires: r.app, Have: m.opts.AppVersion, Applied: true}
		}
	}
	return worst
}

func above(a, b string) bool {
	va, errA := source.ParseAppVersion(a)
	vb, errB := source.ParseAppVersion(b)
	return errA == nil && errB == nil && va.Compare(vb) > 0
}

// checkApp compares Options.AppVersion with what the ledger, and what is pending, needs.
func (p *planner) checkApp(wanted map[*migration]bool) {
	if e := p.m.newer(p.book); e != nil {
		p.tooOld(e, "")
		return
	}
	for _, mig := range p.order {
		if p.book.get(mig.ref) == nil && p.here(mig) && (wanted == nil || wanted[mig]) && p.m.needs(mig.app) {
			p.tooOld(&AppError{Ref: mig.ref, Name: mig.name, Requires: mig.app, Have: p.m.opts.AppVersion}, mig.path)
			return
		}
	}
}

func (p *planner) tooOld(e *AppError, path string) {
	if p.m.opts.AppPolicy == AppWarn {
		p.plan.Warnings = append(p.plan.Warnings, e.Error())
		return
	}
	p.problems = append(p.problems, Problem{Ref: e.Ref, Path: path, Err: e})
}

// declared tells whether a migration without a file has said that this app works with its schema.
func (p *planner) declared(r *row) bool {
	return r.app != "" && p.m.opts.AppVersion != ""
}

// CheckApp compares Options.AppVersion with the schema, for a program that doesn't run migrations itself: call it when it starts. A schema that
// is too new is an *AppError, or with AppWarn a line in the log. It changes nothing, and needs no lock and no files.
func (m *Migrator) CheckApp(ctx context.Context) error {
	b, err := m.book(ctx)
	if err != nil {
		return err
	}
	e := m.newer(b)
	if e == nil {
		return nil
	}
	if m.opts.AppPolicy == AppWarn {
		m.log.WarnContext(ctx, "migrate: "+e.Error())
		return nil
	}
	return e
}

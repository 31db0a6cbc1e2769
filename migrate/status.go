package migrate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/buffkit/buffkit/migrate/source"
)

// Info is a migration as status shows it.
type Info struct {
	Ref   Ref    `json:"ref"`
	Name  string `json:"name"`
	Path  string `json:"path,omitempty"` // "" if its file is missing
	State State  `json:"state"`
	// Drifted: the file isn't any more what was applied.
	Drifted bool `json:"drifted,omitempty"`
	// Missing: the ledger has it and its source doesn't. A source that this runner doesn't have is another program's, and nothing of it is missing.
	Missing bool `json:"missing,omitempty"`
	// Lacks are the versions that it stands for, as a squash, and the database doesn't have.
	Lacks []Version `json:"lacks,omitempty"`
	// Done is how many statements of an unfinished one are done.
	Done       int           `json:"done,omitempty"`
	Statements int           `json:"statements,omitempty"` // as the ledger has it
	At         string        `json:"at,omitempty"`         // when it was applied, RFC 3339 in UTC
	Took       time.Duration `json:"took_ns,omitempty"`
	Rows       int64         `json:"rows,omitempty"`
	Origin     string        `json:"origin,omitempty"` // up, baseline, repair, or the tool it was adopted from
	Runner     string        `json:"runner,omitempty"` // host:pid
	// RequiresApp is the oldest version of the app that works with it.
	RequiresApp string `json:"requires_app,omitempty"`
}

// Status lists the migrations: the applied ones in the order in which they were, then the others in theirs. It changes nothing, and needs no lock.
// The error joins what is wrong with the sources and what the database said.
func (m *Migrator) Status(ctx context.Context) ([]Info, error) {
	files := m.load()
	if len(files.problems) > 0 {
		return nil, &PlanError{Problems: files.problems}
	}
	b, err := m.book(ctx)
	if err != nil {
		return nil, err
	}
	var all []Info
	p := &planner{m: m, files: files, book: b, plan: &Plan{}}
	p.sort()
	for _, r := range b.rows {
		i := info(r, files.get(r.ref))
		i.Missing = i.Missing && p.ours(r.ref)
		if mig := files.own(r.ref); mig != nil && r.state == Applied && !i.Drifted {
			_, lacking := b.lacking(mig)
			for _, ref := range lacking {
				i.Lacks = append(i.Lacks, ref.Version)
			}
		}
		all = append(all, i)
	}
	for _, mig := range p.order {
		if b.get(mig.ref) != nil {
			continue
		}
		state := Pending
		if !p.here(mig) {
			state = Skipped
		}
		all = append(all, Info{Ref: mig.ref, Name: mig.name, Path: mig.path, State: state, RequiresApp: mig.app})
	}
	return all, nil
}

// book reads the ledger without a lock.
func (m *Migrator) book(ctx context.Context) (*book, error) {
	conn, err := m.connect(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	l, err := m.openLedger(ctx, conn)
	if err != nil {
		return nil, err
	}
	return m.read(ctx, l, conn)
}

func info(r *row, mig *migration) Info {
	i := Info{Ref: r.ref, Name: r.name, State: r.state, Statements: r.statements, At: r.at, Took: r.took, Rows: r.rows, Origin: r.origin, Runner: r.runner,
		Done: r.done(), Missing: mig == nil, RequiresApp: r.app}
	if mig != nil {
		i.Path = mig.path
		i.Drifted = differs(r, mig) && !mig.repeatable
		if differs(r, mig) && mig.repeatable {
			i.State = Changed
		}
	}
	return i
}

// Version returns the highest version of each source that is applied, in the order of their names; none if nothing is.
func (m *Migrator) Version(ctx context.Context) ([]Ref, error) {
	b, err := m.book(ctx)
	if err != nil {
		return nil, err
	}
	highest := map[string]Ref{}
	for _, r := range b.rows {
		if h, ok := highest[r.ref.Source]; r.state == Applied && (!ok || r.ref.Version.Compare(h.Version) > 0) {
			highest[r.ref.Source] = r.ref
		}
	}
	var all []Ref
	for _, r := range highest {
		all = append(all, r)
	}
	slices.SortFunc(all, func(a, b Ref) int {
		if a.Source < b.Source {
			return -1
		}
		return 1
	})
	return all, nil
}

// Baseline writes to the ledger that the migrations of a source up to a version are applied, and runs none of them: the database has
// them from before this runner came. It refuses a source of which the ledger knows anything.
func (m *Migrator) Baseline(ctx context.Context, to Ref) error {
	if to.Source == "" {
		to.Source = m.opts.Sources[0].Name
	}
	files := m.load()
	if len(files.problems) > 0 {
		return &PlanError{Problems: files.problems}
	}
	if files.own(to) == nil {
		return fmt.Errorf("migrate: baseline at %s: %w: see status for those that there are", to, ErrUnknown)
	}
	return m.locked(ctx, func(r *run) error {
		b, err := m.read(ctx, r.l, r.conn)
		if err != nil {
			return err
		}
		for _, row := range b.rows {
			if row.ref.Source == to.Source {
				return fmt.Errorf("migrate: baseline at %s: the ledger has %s already: a baseline is for a source that it doesn't know", to, row.ref)
			}
		}
		if err := r.create(ctx); err != nil {
			return err
		}
		return r.write(ctx, func(context.Context) error { return r.claimUpTo(ctx, files, to, b.nextSeq()) })
	})
}

// claimUpTo claims every migration of a source up to a version.
func (r *run) claimUpTo(ctx context.Context, files *set, to Ref, seq int64) error {
	var rows []*row
	var downs []*script
	for _, mig := range files.all {
		if mig.ref.Source == to.Source && mig.ref.Version.Compare(to.Version) <= 0 {
			rows, downs = append(rows, r.claimed(mig, seq, originBaseline)), append(downs, mig.down)
			seq++
		}
	}
	return r.insertMany(ctx, rows, downs)
}

// claim writes a row for a migration that wasn't run.
func (r *run) claim(ctx context.Context, mig *migration, seq int64, origin string) error {
	return r.insertMany(ctx, []*row{r.claimed(mig, seq, origin)}, []*script{mig.down})
}

// claimed is the row of a migration that wasn't run.
func (r *run) claimed(mig *migration, seq int64, origin string) *row {
	return &row{ref: mig.ref, name: mig.name, seq: seq, state: Applied, checksum: mig.checksum, at: now(), origin: origin,
		runner: limit(r.m.runner, 255), app: mig.app, squashes: mig.standsFor()}
}

// Action is what Repair does.
type Action string

// What Repair can do.
const (
	// RepairDone says that a statement took effect, which the runner couldn't find out.
	RepairDone Action = "done"
	// RepairNotDone says that a statement didn't take effect: the next run sends it.
	RepairNotDone Action = "not-done"
	// RepairApplied says that a migration is applied as a whole, by hand for what was missing.
	RepairApplied Action = "applied"
	// RepairForget takes a migration out of the ledger: what it did was undone by hand, or never was.
	RepairForget Action = "forget"
	// RepairChecksum says that a file which changed is the same migration.
	RepairChecksum Action = "checksum"
)

// Repair is an answer to what the runner can't know.
type Repair struct {
	Ref       Ref
	Action    Action
	Statement int // of RepairDone and RepairNotDone
}

// Repair changes the ledger and nothing else.
func (m *Migrator) Repair(ctx context.Context, what Repair) error {
	if what.Ref.Source == "" {
		what.Ref.Source = m.opts.Sources[0].Name
	}
	if _, err := source.ParseVersion(string(what.Ref.Version)); err != nil {
		return fmt.Errorf("migrate: repair: %w", err)
	}
	files := m.load()
	if len(files.problems) > 0 {
		return &PlanError{Problems: files.problems}
	}
	err := m.locked(ctx, func(r *run) error {
		b, err := m.read(ctx, r.l, r.conn)
		if err != nil {
			return err
		}
		return r.repair(ctx, what, b, files.own(what.Ref))
	})
	if err != nil {
		return fmt.Errorf("migrate: repair %s --%s: %w", what.Ref, what.Action, err)
	}
	return nil
}

func (r *run) repair(ctx context.Context, what Repair, b *book, mig *migration) error {
	row := b.get(what.Ref)
	switch {
	case row == nil && (what.Action != RepairApplied || mig == nil):
		return fmt.Errorf("%w in the ledger", ErrUnknown)
	case what.Action == RepairDone, what.Action == RepairNotDone:
		return r.repairStatement(ctx, what, row)
	case what.Action == RepairForget:
		return r.write(ctx, func(ctx context.Context) error { return r.l.remove(ctx, r.conn, row.ref, row.state) })
	case what.Action == RepairChecksum:
		return r.repairChecksum(ctx, row, mig)
	case what.Action == RepairApplied:
		return r.repairApplied(ctx, b, row, mig)
	}
	return errors.New("no such repair: done, not-done, applied, forget or checksum")
}

func (r *run) repairStatement(ctx context.Context, what Repair, row *row) error {
	e := row.open()
	if e == nil || e.first != what.Statement {
		return fmt.Errorf("statement %d isn't in doubt: status shows what is", what.Statement)
	}
	return r.write(ctx, func(ctx context.Context) error {
		if err := r.l.withdraw(ctx, r.conn, row.ref, e.first); err != nil || what.Action == RepairNotDone {
			return err
		}
		struck := *e
		struck.state, struck.err = done, ""
		return r.l.announce(ctx, r.conn, row.ref, struck)
	})
}

func (r *run) repairChecksum(ctx context.Context, row *row, mig *migration) error {
	if mig == nil {
		return fmt.Errorf("%w in the sources: there is no file whose checksum to take", ErrUnknown)
	}
	return r.write(ctx, func(ctx context.Context) error {
		_, err := r.l.exec(ctx, r.conn, "UPDATE "+r.l.table+" SET checksum = ? WHERE source = ? AND version = ?", mig.checksum, row.ref.Source, string(row.ref.Version))
		if err != nil {
			return err
		}
		return r.l.standsFor(ctx, r.conn, row.ref, mig)
	})
}

func (r *run) repairApplied(ctx context.Context, b *book, row *row, mig *migration) error {
	if err := r.create(ctx); err != nil {
		return err
	}
	return r.write(ctx, func(ctx context.Context) error {
		switch {
		case row == nil:
			return r.claim(ctx, mig, b.nextSeq(), originRepair)
		case row.state == Applied:
			return errors.New("it is applied already")
		}
		if err := r.l.setState(ctx, r.conn, row.ref, row.state, Applied); err != nil {
			return err
		}
		if mig != nil {
			if _, err := r.l.exec(ctx, r.conn, "UPDATE "+r.l.table+" SET checksum = ?, origin = ? WHERE source = ? AND version = ?", mig.checksum, originRepair,
				row.ref.Source, string(row.ref.Version)); err != nil {
				return err
			}
			if err := r.l.standsFor(ctx, r.conn, row.ref, mig); err != nil {
				return err
			}
		}
		return r.l.forget(ctx, r.conn, row.ref)
	})
}

package migratetest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"github.com/buffkit/buffkit/migrate"
	"github.com/buffkit/buffkit/migrate/dialect"
	"github.com/buffkit/buffkit/migrate/schema"
)

// Options are what all functions take besides a database. Only Migrate.Sources is needed.
type Options struct {
	// Migrate are the options that the app itself runs its migrations with.
	Migrate migrate.Options
	// Populate is called before each migration goes up, to put rows into the tables that there are by then: on an empty table everything
	// succeeds. Nil: tables are as the migrations leave them. It isn't used by Parity.
	Populate func(ctx context.Context, db *sql.DB, next migrate.Ref) error
	// Irreversible are the migrations that may have no way down.
	Irreversible []migrate.Ref
}

// RoundTrip applies the migrations one by one to an empty database. Each goes up, down and up again, and each time the schema is compared with
// what it was. It goes on behind a migration whose way down is wrong, and stops at one that doesn't go up.
//
// SQLite keeps the text of CREATE TABLE: a table that a down script makes again must be written as it was.
func RoundTrip(ctx context.Context, db *sql.DB, d dialect.Dialect, o Options) error {
	m, err := migrate.New(db, d, &o.Migrate)
	if err != nil {
		return err
	}
	plan, err := m.Plan(ctx, migrate.Goal{Do: migrate.DoUp})
	if err != nil {
		return err
	}
	r := roundTrip{m: m, db: db, Options: o}
	if r.now, err = r.empty(ctx); err != nil {
		return err
	}
	var faults []error
	for _, step := range plan.Steps {
		fatal, err := r.step(ctx, step.Ref)
		faults = append(faults, err)
		if fatal {
			break
		}
	}
	return errors.Join(faults...)
}

type roundTrip struct {
	Options
	m   *migrate.Migrator
	db  *sql.DB
	now *schema.Schema
}

var errNotEmpty = errors.New("migratetest: the database isn't empty: give each test a new one")

func (r *roundTrip) empty(ctx context.Context) (*schema.Schema, error) {
	s, err := r.m.Schema(ctx)
	if err != nil {
		return nil, err
	}
	if infos, err := r.m.Status(ctx); err != nil || slices.ContainsFunc(infos, func(i migrate.Info) bool { return i.State == migrate.Applied }) {
		return nil, errors.Join(err, errNotEmpty)
	}
	return s, nil
}

// step returns the fault of one migration, and whether it was the end.
func (r *roundTrip) step(ctx context.Context, ref migrate.Ref) (fatal bool, err error) {
	if r.Populate != nil {
		if err := r.Populate(ctx, r.db, ref); err != nil {
			return true, fmt.Errorf("migratetest: populate before %s: %w", ref, err)
		}
	}
	before := r.now
	if r.now, err = r.up(ctx, ref); err != nil {
		return true, err
	}
	_, err = r.m.Down(ctx, 1)
	switch {
	case errors.Is(err, migrate.ErrNoDown):
		if slices.Contains(r.Irreversible, ref) {
			return false, nil
		}
		return false, fmt.Errorf("migratetest: %s has no way down: write one, or name it in Options.Irreversible", ref)
	case err != nil:
		return true, fmt.Errorf("migratetest: down: %w", err)
	}
	undone, err := r.m.Schema(ctx)
	if err != nil {
		return true, err
	}
	var faults []error
	if diff := schema.Diff(before, undone); diff != "" {
		faults = append(faults, fmt.Errorf("migratetest: down of %s leaves another schema than there was before it (- before, + after up and down):\n%s", ref, diff))
	}
	again, err := r.up(ctx, ref)
	if err != nil {
		return true, errors.Join(append(faults, fmt.Errorf("migratetest: again, behind its down: %w", err))...)
	}
	if diff := schema.Diff(r.now, again); diff != "" && len(faults) == 0 {
		faults = append(faults, fmt.Errorf("migratetest: %s makes another schema the second time (- first, + second):\n%s", ref, diff))
	}
	r.now = again
	return false, errors.Join(faults...)
}

func (r *roundTrip) up(ctx context.Context, ref migrate.Ref) (*schema.Schema, error) {
	res, err := r.m.UpTo(ctx, ref)
	if err != nil {
		return nil, fmt.Errorf("migratetest: up: %w", err)
	}
	if len(res.Steps) != 1 {
		return nil, fmt.Errorf("migratetest: up to %s ran %d migrations instead of one", ref, len(res.Steps))
	}
	return r.m.Schema(ctx)
}

package migrate

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/buffkit/buffkit/migrate/schema"
)

var errScratch = errors.New("the scratch database isn't empty: give a new one")

// replay runs migrations on an empty database, none without a goal, and returns its schema.
func (m *Migrator) replay(ctx context.Context, scratch *sql.DB, sources []Source, goal *Goal) (*schema.Schema, error) {
	opts := m.opts
	opts.Sources, opts.Hooks, opts.Check, opts.AppVersion, opts.Monitor = sources, Hooks{}, nil, "", false
	other, err := New(scratch, m.dialect, &opts)
	if err != nil {
		return nil, err
	}
	empty, err := other.Schema(ctx)
	if err != nil {
		return nil, fmt.Errorf("the scratch database: %w", err)
	}
	if b, err := other.book(ctx); err != nil || b.exists || len(empty.Objects) > 0 {
		return nil, errors.Join(err, errScratch)
	}
	if goal == nil {
		return empty, nil
	}
	if err := other.staysInside(ctx); err != nil {
		return nil, err
	}
	if _, err := other.Run(ctx, *goal); err != nil {
		return nil, fmt.Errorf("run the migrations on the scratch database: %w", err)
	}
	return other.Schema(ctx)
}

// Verification is what a replay of migrations has shown.
type Verification struct {
	Replayed int `json:"replayed"` // migrations
	// Differences are what the database doesn't have as the migrations make it: in their lines "-" is as they make it, and "+" as it is.
	Differences []schema.Difference `json:"differences"`
}

// VerifyAdopt runs what Adopt would write to the ledger, and what the ledger has already, on an empty scratch database of the same kind, and compares
// the schema that this makes with that of this database. Rows of tables aren't compared, nor is what a dump leaves out; the ledgers aren't part of it.
//
// It changes nothing here, and leaves in the scratch database what it ran. The error is that of CheckAdopt, or says why the replay couldn't be done; differences
// are none.
func (m *Migrator) VerifyAdopt(ctx context.Context, what Adoption, scratch *sql.DB) (*Verification, error) {
	files := m.load()
	res, err := m.checkAdoption(ctx, what, files)
	if err != nil {
		return nil, err
	}
	b, err := m.book(ctx)
	if err != nil {
		return nil, err
	}
	var goal *Goal
	v := &Verification{Differences: []schema.Difference{}}
	if refs := replayed(files, b, res.Rows); len(refs) > 0 { // an empty Only would be all
		goal, v.Replayed = &Goal{Do: DoUp, Only: refs}, len(refs)
	}
	made, err := m.replay(ctx, scratch, m.opts.Sources, goal)
	if err != nil {
		return nil, fmt.Errorf("migrate: verify what is adopted: %w", err)
	}
	conn, err := m.connect(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	here, err := m.schemaOf(ctx, conn, what.Tables...)
	if err != nil {
		return nil, err
	}
	v.Differences = append(v.Differences, schema.Compare(made, here)...)
	return v, nil
}

// replayed are the migrations that have a file and are applied, or are to count as applied, each once.
func replayed(files *set, b *book, adopted []Info) (all []Ref) {
	seen := map[*migration]bool{}
	add := func(ref Ref) {
		if mig := files.get(ref); mig != nil && !seen[mig] {
			seen[mig] = true
			all = append(all, mig.ref)
		}
	}
	for _, r := range b.rows {
		if r.state == Applied {
			add(r.ref)
		}
	}
	for _, i := range adopted {
		add(i.Ref)
	}
	return all
}

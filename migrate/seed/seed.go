package seed

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/buffkit/buffkit/migrate"
	"github.com/buffkit/buffkit/migrate/dialect"
)

// Source is the name under which the ledger knows seeds.
const Source = "seed"

// Options of New.
type Options struct {
	// FS holds the files; its folders are environments. Required.
	FS fs.FS
	// Environment is where this is. Required, since seeds of a demo in production are a mistake that can't be undone.
	Environment string
	// Only are the seeds to run, by their versions, with what they depend on. Default: all that are pending or have changed.
	Only []migrate.Version
	// Again runs those in Only, or all without any, even if they have run before: their tables were made anew, and the ledger doesn't know.
	Again bool
	// Production are the environments in which a seed must say that it is for them, or be in Only; in capitals too. Default: production, prod, live.
	Production []string
	// BatchRows is how many rows of a data file go into one statement, fewer if they are large. Default DefaultBatchRows.
	BatchRows int
	// Migrate are the options of the runner. Sources and Environment are set by New.
	Migrate migrate.Options
}

// How many rows, and bytes of values, one statement has at most: MySQL and MariaDB take 16 MiB by default, and statements
// that are larger than these aren't quicker.
const (
	DefaultBatchRows = 500
	maxBatchBytes    = 1 << 20
)

// ErrProduction: a seed doesn't say that it is for production, and isn't named. Nothing was run.
var ErrProduction = errors.New("seed: not for production")

// Seeder runs the seeds of a folder on a database.
type Seeder struct {
	migrator *migrate.Migrator
	opts     Options
	files    []*file
}

// New reads the seeds. It doesn't talk to the database yet.
//
// The error joins all that is wrong with the files.
func New(db *sql.DB, d dialect.Dialect, opts *Options) (*Seeder, error) {
	s := &Seeder{}
	if opts != nil {
		s.opts = *opts
	}
	o := &s.opts
	switch {
	case o.FS == nil:
		return nil, errors.New("seed: Options.FS is nil: give the folder with the seeds, as in os.DirFS(\"seeds\")")
	case o.Environment == "":
		return nil, errors.New("seed: say which environment this is: Options.Environment (--env development)")
	}
	if o.BatchRows <= 0 {
		o.BatchRows = DefaultBatchRows
	}
	if o.Production == nil {
		o.Production = []string{"production", "prod", "live"}
	}
	var err error
	if s.files, err = load(o.FS, d, o); err != nil {
		return nil, err
	}
	if err := s.named(); err != nil {
		return nil, err
	}
	run := o.Migrate
	run.Environment, run.Sources = o.Environment, []migrate.Source{s.source(d)}
	run.AllowOutOfOrder, run.AllowMissing = true, true // they are of several folders, some are left out, and old ones are deleted
	s.migrator, err = migrate.New(db, d, &run)
	return s, err
}

// named lets those in Only run wherever this is.
func (s *Seeder) named() error {
	for _, v := range s.opts.Only {
		f := s.file(v)
		if f == nil {
			return fmt.Errorf("seed: there is no seed %s: name one by its version, the digits at the beginning of its file", v)
		}
		f.setEnv(nil)
	}
	return nil
}

func (s *Seeder) isNamed(f *file) bool {
	return slices.ContainsFunc(s.opts.Only, func(v migrate.Version) bool { return f.version().Compare(v) == 0 })
}

// source makes a source of migrations of the files.
func (s *Seeder) source(d dialect.Dialect) migrate.Source {
	src := migrate.Source{Name: Source, Go: []migrate.GoMigration{}}
	for _, f := range s.files {
		if f.data == nil {
			src.Loaded = append(src.Loaded, f.script)
			continue
		}
		src.Go = append(src.Go, f.data.migration(d, s.opts.BatchRows))
	}
	return src
}

func (s *Seeder) goal() migrate.Goal {
	goal := migrate.Goal{Do: migrate.DoUp, Again: s.opts.Again}
	for _, v := range s.opts.Only {
		goal.Only = append(goal.Only, migrate.Ref{Source: Source, Version: v})
	}
	return goal
}

// Run runs the seeds that are pending, and the repeatable ones that have changed; with Options.Again others too. It returns what
// migrate.Migrator.Run does, or ErrProduction.
func (s *Seeder) Run(ctx context.Context) (*migrate.Result, error) {
	if err := s.allowed(ctx); err != nil {
		return nil, err
	}
	return s.migrator.Run(ctx, s.goal())
}

// Plan says what Run would do, and changes nothing.
func (s *Seeder) Plan(ctx context.Context) (*migrate.Plan, error) {
	if err := s.allowed(ctx); err != nil {
		return nil, err
	}
	return s.migrator.Plan(ctx, s.goal())
}

// Status lists the seeds and what became of them.
func (s *Seeder) Status(ctx context.Context) ([]migrate.Info, error) {
	all, err := s.migrator.Status(ctx)
	return slices.DeleteFunc(all, func(i migrate.Info) bool { return i.Ref.Source != Source }), err
}

// allowed refuses what doesn't say that it is for production.
func (s *Seeder) allowed(ctx context.Context) error {
	if !s.inProduction() {
		return nil
	}
	status, err := s.migrator.Status(ctx)
	if err != nil {
		return err
	}
	var vague []string
	for _, f := range s.chosen() {
		done := slices.ContainsFunc(status, func(i migrate.Info) bool {
			return i.Ref.Source == Source && i.Ref.Version.Compare(f.version()) == 0 && i.State == migrate.Applied
		})
		again := s.opts.Again && len(s.opts.Only) == 0
		if len(f.env()) == 0 && !s.isNamed(f) && (!done || again) {
			vague = append(vague, f.path)
		}
	}
	if len(vague) == 0 {
		return nil
	}
	what := "these"
	if len(s.opts.Only) > 0 {
		what = "these, on which the named ones depend,"
	}
	return fmt.Errorf("%w: nothing was run, since %s don't say where they are for: %s\nSay it at their top, as in -- env: %s (# env: in a data file), put them"+
		" into the folder %[4]s, or name them: Options.Only (buffkit seed VERSION … --env %[4]s)", ErrProduction, what, strings.Join(vague, ", "), s.opts.Environment)
}

func (s *Seeder) inProduction() bool {
	return slices.ContainsFunc(s.opts.Production, func(name string) bool { return strings.EqualFold(name, strings.TrimSpace(s.opts.Environment)) })
}

// chosen are the seeds in Only with those that they depend on, or all.
func (s *Seeder) chosen() (all []*file) {
	if len(s.opts.Only) == 0 {
		return s.files
	}
	var add func(v migrate.Version)
	add = func(v migrate.Version) {
		f := s.file(v)
		if f == nil || slices.Contains(all, f) {
			return
		}
		all = append(all, f)
		for _, ref := range f.depends() {
			if ref.Source == "" || ref.Source == Source {
				add(ref.Version)
			}
		}
	}
	for _, v := range s.opts.Only {
		add(v)
	}
	return all
}

// file returns the seed of a version, or nil.
func (s *Seeder) file(v migrate.Version) *file {
	i := slices.IndexFunc(s.files, func(f *file) bool { return f.version().Compare(v) == 0 })
	if i < 0 {
		return nil
	}
	return s.files[i]
}

package cli

import (
	"database/sql"
	"errors"
	"log/slog"
	"os"

	"github.com/buffkit/buffkit/migrate"
	"github.com/buffkit/buffkit/migrate/dialect"
	"github.com/buffkit/buffkit/migrate/seed"
	"github.com/buffkit/buffkit/migrate/source"
	"github.com/spf13/cobra"
)

func (a *app) seed() *cobra.Command {
	var f migrateFlags
	var dir string
	var status, again bool
	cmd := &cobra.Command{
		Use:   "seed [VERSION …] --env ENVIRONMENT [flags]",
		Short: "Fill a database with the rows it needs",
		Long: `Run the seeds that haven't run yet, and those with the header repeatable that have changed: SQL files, and CSV, JSON and JSON lines. Those in
the folder are for every environment, those in a folder of the environment's name for it alone.

In production (production, prod, live) a seed runs only if it says that it is for it, or is named by its version.

The ledger doesn't see that tables were emptied, or undone and made anew by buffkit migrate: with --again the seeds run once more.`,
		Example: `  buffkit seed --env development --database sqlite:app.db
  buffkit seed --env development --database sqlite:app.db --dry-run
  buffkit seed --env development --database sqlite:app.db --again
  buffkit seed 20260102 --env production --database "$DATABASE_URL"`,
		PreRunE: notEmpty,
		RunE: a.run(func(cmd *cobra.Command, args []string) error {
			opts, err := a.seedOptions(&f, dir, args)
			if err != nil {
				return err
			}
			opts.Again, f.looks = again, status
			return f.open(func(db *sql.DB, d dialect.Dialect) error {
				a.tellAbsent(&f)
				opts.Migrate.Lexer = lexing(db, d)
				s, err := seed.New(db, d, opts)
				if err != nil {
					return err
				}
				if status {
					infos, err := s.Status(cmd.Context())
					return errors.Join(err, a.printStatus(&f, infos))
				}
				return a.runSeeds(cmd, &f, s)
			})
		}),
	}
	f.add(cmd.Flags())
	cmd.Flags().StringVar(&dir, "dir", "seeds", "folder with the seeds")
	cmd.Flags().BoolVar(&status, "status", false, "list the seeds and what became of them")
	cmd.Flags().BoolVar(&again, "again", false, "run the named seeds, or all, even if they have run")
	cmd.Flags().StringVar(&f.app, "app-version", "", "the version of the app that works with the database, for seeds with requires-app:")
	dryRun(cmd, &f)
	return cmd
}

func (a *app) seedOptions(f *migrateFlags, dir string, versions []string) (*seed.Options, error) {
	if f.env == "" {
		return nil, usagef("say which environment this is: --env development, or whatever it is called")
	}
	shared, err := f.shared()
	if err != nil {
		return nil, err
	}
	if _, err := source.ParseAppVersion(f.app); err != nil && f.app != "" {
		return nil, usagef("--app-version: %w", err)
	}
	shared.AppVersion, shared.Hooks = f.app, a.migrateHooks()
	shared.Logger = slog.New(slog.NewTextHandler(a.stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return nil, usagef("there is no folder %s with seeds: make it, or give --dir", dir)
	}
	opts := &seed.Options{FS: os.DirFS(dir), Environment: f.env, Migrate: *shared}
	for _, v := range versions {
		r, err := ref(v)
		if err != nil {
			return nil, err
		}
		if r.Source != "" && r.Source != seed.Source {
			return nil, usagef("%s is no seed, but a migration of the source %s: name a seed by its version, the digits at the beginning of its file", r, r.Source)
		}
		opts.Only = append(opts.Only, r.Version)
	}
	return opts, nil
}

func (a *app) runSeeds(cmd *cobra.Command, f *migrateFlags, s *seed.Seeder) error {
	if f.dryRun {
		plan, err := s.Plan(cmd.Context())
		return a.printPlan(f, plan, err)
	}
	res, err := s.Run(cmd.Context())
	return a.printRun(f, res, err)
}

// printPlan prints a plan if there is one.
func (a *app) printPlan(f *migrateFlags, plan *migrate.Plan, err error) error {
	if err != nil {
		return err
	}
	if f.json {
		return printJSON(a.stdout, plan)
	}
	return plan.Print(a.stdout)
}

// printRun prints what was run, even if it ended in an error.
func (a *app) printRun(f *migrateFlags, res *migrate.Result, err error) error {
	if res == nil || err != nil && len(res.Steps) == 0 {
		return err
	}
	return errors.Join(err, a.printResult(f, res))
}

package cli

import (
	"strconv"

	"github.com/buffkit/buffkit/migrate"
	"github.com/spf13/cobra"
)

func (a *app) migrateUp(f *migrateFlags) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "up [flags]",
		Short: "Apply what is pending",
		Long: `Apply the migrations that are pending, in the order of their versions and of what they depend on.

The linter looks at them first, with the server's version and the sizes of its tables; what it finds is a warning in the plan, or with
--lint error refuses it. buffkit migrate lint shows the safe way of each.

A migration that fails is told with its file, line and statement, and with what it left in the database. Run it again when
the file is corrected: what took effect isn't done twice.`,
		Example: `  buffkit migrate up --database sqlite:app.db
  buffkit migrate up --database sqlite:app.db --dry-run    # the very SQL
  buffkit migrate up --database sqlite:app.db --to 20260102`,
		Args: noArgs,
		RunE: a.run(func(cmd *cobra.Command, _ []string) error {
			return a.runGoal(cmd.Context(), f, migrate.Goal{Do: migrate.DoUp})
		}),
	}
	upFlags(cmd, f)
	cmd.Flags().BoolVar(&f.monitor, "monitor", false, "note table sizes and locks for stats, at two small queries for each table that a migration names")
	dryRun(cmd, f)
	return cmd
}

// upFlags say how far up goes, and past whom.
func upFlags(cmd *cobra.Command, f *migrateFlags) {
	cmd.Flags().StringVar(&f.to, "to", "", "the last one to apply, VERSION or SOURCE:VERSION, with what it depends on")
	cmd.Flags().StringVar(&f.lint, "lint", "warn", "what the linter may do: off, warn, or error to refuse what it calls an error")
}

func (a *app) migratePlan(f *migrateFlags) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "plan [flags]",
		Short: "Print the SQL that up would run, and change nothing",
		Long:  "Print the SQL that up would run, and change nothing. It is up --dry-run; with --json it prints the plan.",
		Example: `  buffkit migrate plan --database sqlite:app.db
  buffkit migrate plan --database sqlite:app.db --to 20260102 --json`,
		Args: noArgs,
		RunE: a.run(func(cmd *cobra.Command, _ []string) error {
			f.dryRun = true
			return a.runGoal(cmd.Context(), f, migrate.Goal{Do: migrate.DoUp})
		}),
	}
	upFlags(cmd, f)
	return cmd
}

func dryRun(cmd *cobra.Command, f *migrateFlags) {
	cmd.Flags().BoolVar(&f.dryRun, "dry-run", false, "print the SQL that would run, and change nothing")
}

// steps reads how many, 1 if it isn't said.
func steps(args []string) (int, error) {
	if len(args) == 0 {
		return 1, nil
	}
	n, err := strconv.Atoi(args[0])
	if err != nil || n < 1 {
		return 0, usagef("%.32q isn't how many: give a number from 1", args[0])
	}
	return n, nil
}

func (a *app) migrateDown(f *migrateFlags) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "down [N] [flags]",
		Short: "Undo the last migration, or the last N",
		Long: `Undo the migrations that were applied last, the last one first. Without its file a migration is undone by the script that
the ledger kept when it was applied.`,
		Example: `  buffkit migrate down --database sqlite:app.db
  buffkit migrate down 3 --database sqlite:app.db
  buffkit migrate down --database sqlite:app.db --to 20260102    # keeps that one`,
		Args: cobra.MaximumNArgs(1),
		RunE: a.run(func(cmd *cobra.Command, args []string) error {
			if f.to != "" && len(args) > 0 {
				return usagef("N and --to exclude each other")
			}
			n, err := steps(args)
			if err != nil {
				return err
			}
			return a.runGoal(cmd.Context(), f, migrate.Goal{Do: migrate.DoDown, Steps: n})
		}),
	}
	cmd.Flags().StringVar(&f.to, "to", "", "the last one of its source to keep, VERSION or SOURCE:VERSION; 0 for none")
	dryRun(cmd, f)
	return cmd
}

func (a *app) migrateRedo(f *migrateFlags) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "redo [N] [flags]",
		Short:   "Undo the last migration, or the last N, and apply them again",
		Example: `  buffkit migrate redo --database sqlite:app.db`,
		Args:    cobra.MaximumNArgs(1),
		RunE: a.run(func(cmd *cobra.Command, args []string) error {
			n, err := steps(args)
			if err != nil {
				return err
			}
			return a.runGoal(cmd.Context(), f, migrate.Goal{Do: migrate.DoRedo, Steps: n})
		}),
	}
	dryRun(cmd, f)
	return cmd
}

func (a *app) migrateReset(f *migrateFlags) *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:     "reset --yes [flags]",
		Short:   "Undo all migrations",
		Long:    "Undo all migrations, the last one first. The data in their tables is gone then, so it wants --yes.",
		Example: `  buffkit migrate reset --yes --database sqlite:app.db`,
		Args:    noArgs,
		RunE: a.run(func(cmd *cobra.Command, _ []string) error {
			if !yes && !f.dryRun {
				return usagef("reset undoes every migration, and the data in their tables is lost: say --yes, or look with --dry-run")
			}
			return a.runGoal(cmd.Context(), f, migrate.Goal{Do: migrate.DoReset})
		}),
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "yes, undo everything")
	dryRun(cmd, f)
	return cmd
}

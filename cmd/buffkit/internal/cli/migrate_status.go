package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/buffkit/buffkit/migrate"
	"github.com/spf13/cobra"
)

func (a *app) migrateStatus(f *migrateFlags) *cobra.Command {
	var check bool
	cmd := &cobra.Command{
		Use:   "status [flags]",
		Short: "List the migrations and what became of them",
		Example: `  buffkit migrate status --database sqlite:app.db
  buffkit migrate status --database sqlite:app.db --check    # fails unless all are applied`,
		Args: noArgs,
		RunE: a.run(func(cmd *cobra.Command, _ []string) error {
			f.looks = true
			return a.migrator(f, func(m *migrate.Migrator, _ *migrate.Options) error {
				infos, err := m.Status(cmd.Context())
				if err != nil {
					return err
				}
				a.tellAbsent(f)
				if err := a.printStatus(f, infos); err != nil || !check {
					return err
				}
				n := 0
				for _, i := range infos {
					if i.State != migrate.Applied && i.State != migrate.Skipped || i.Drifted || i.Missing || len(i.Lacks) > 0 {
						n++
					}
				}
				if n > 0 {
					return fmt.Errorf("%d of %d migrations aren't applied as they stand", n, len(infos))
				}
				return nil
			})
		}),
	}
	cmd.Flags().BoolVar(&check, "check", false, "fail unless every migration is applied and unchanged")
	return cmd
}

func (a *app) printStatus(f *migrateFlags, infos []migrate.Info) error {
	if f.json {
		if infos == nil {
			infos = []migrate.Info{}
		}
		return printJSON(a.stdout, infos)
	}
	w := tabwriter.NewWriter(a.stdout, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "MIGRATION\tNAME\tSTATE\tAT\tTOOK")
	for _, i := range infos {
		state, took := string(i.State), ""
		switch {
		case i.State == migrate.Applying || i.State == migrate.Undoing:
			state += fmt.Sprintf(", %d statements done", i.Done)
		case i.Missing:
			state += ", its file is missing"
		case i.Drifted:
			state += ", its file changed"
		case len(i.Lacks) > 0:
			state += fmt.Sprintf(", but not all that its file stands for: %d lacking", len(i.Lacks))
		case i.Origin != "" && i.Origin != "up":
			state += ", by " + i.Origin
		}
		if i.Took > 0 {
			took = i.Took.Round(time.Millisecond / 10).String()
		}
		at := i.At
		if t, err := time.Parse(time.RFC3339, at); err == nil {
			at = t.Format("2006-01-02 15:04:05")
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", i.Ref, i.Name, state, at, took)
	}
	return w.Flush()
}

func (a *app) migrateVersion(f *migrateFlags) *cobra.Command {
	return &cobra.Command{
		Use:     "version [flags]",
		Short:   "Print the highest version that is applied, of each source",
		Example: `  buffkit migrate version --database sqlite:app.db`,
		Args:    noArgs,
		RunE: a.run(func(cmd *cobra.Command, _ []string) error {
			return a.withoutFiles(f, func(m *migrate.Migrator) error {
				refs, err := m.Version(cmd.Context())
				if err != nil {
					return err
				}
				if f.json {
					return printJSON(a.stdout, append([]migrate.Ref{}, refs...))
				}
				if len(refs) == 0 {
					_, err := fmt.Fprintln(a.stderr, "nothing is applied")
					return err
				}
				for _, r := range refs {
					if _, err := fmt.Fprintln(a.stdout, r); err != nil {
						return err
					}
				}
				return nil
			})
		}),
	}
}

func (a *app) migrateValidate(f *migrateFlags) *cobra.Command {
	return &cobra.Command{
		Use:     "validate [flags]",
		Short:   "Say all that is wrong with the files, and with them against the database",
		Example: `  buffkit migrate validate --database sqlite:app.db`,
		Args:    noArgs,
		RunE: a.run(func(cmd *cobra.Command, _ []string) error {
			f.looks = true
			return a.migrator(f, func(m *migrate.Migrator, _ *migrate.Options) error {
				err := m.Validate(cmd.Context())
				a.tellAbsent(f)
				if f.json {
					return a.printValid(err)
				}
				if err != nil {
					return err
				}
				_, err = fmt.Fprintln(a.stderr, "all is well")
				return err
			})
		}),
	}
}

// printValid prints the problems of a plan, and returns them. Of other errors, as of a database that doesn't answer, nothing is printed.
func (a *app) printValid(err error) error {
	type problem struct {
		Ref     *migrate.Ref `json:"ref,omitempty"`
		Path    string       `json:"path,omitempty"`
		Message string       `json:"message"`
		Hint    string       `json:"hint,omitempty"`
	}
	problems := []problem{}
	var plan *migrate.PlanError
	if err != nil && !errors.As(err, &plan) {
		return err
	}
	if plan != nil {
		for _, p := range plan.Problems {
			found := problem{Path: p.Path, Message: p.Msg, Hint: p.Hint}
			if p.Ref.Version != "" {
				found.Ref = &p.Ref
			}
			if found.Message == "" { // it says it all
				found.Message = p.String()
			}
			problems = append(problems, found)
		}
	}
	return errors.Join(err, printJSON(a.stdout, struct {
		Valid    bool      `json:"valid"`
		Problems []problem `json:"problems"`
	}{err == nil, problems}))
}

func (a *app) migrateBaseline(f *migrateFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "baseline VERSION [flags]",
		Short: "Take what a database has for applied",
		Long: `Write to the ledger that the migrations up to a version are applied, and run none of them: for a database that has
them from before. The ledger must not know anything of that source yet.`,
		Example: `  buffkit migrate baseline 20260102 --database sqlite:app.db`,
		Args:    cobra.ExactArgs(1),
		RunE: a.run(func(cmd *cobra.Command, args []string) error {
			r, err := ref(args[0])
			if err != nil {
				return err
			}
			f.looks = true
			return a.migrator(f, func(m *migrate.Migrator, opts *migrate.Options) error {
				if f.absent != "" {
					return fmt.Errorf("%s isn't there, and a baseline is for a database that has what the migrations make: give the right name, or run up", f.absent)
				}
				if err := m.Baseline(cmd.Context(), r); err != nil {
					return err
				}
				return a.done(f, struct {
					Baseline migrate.Ref `json:"baseline"`
				}{withSource(r, opts)})
			})
		}),
	}
}

func (a *app) migrateRepair(f *migrateFlags) *cobra.Command {
	var statement int
	actions := map[migrate.Action]*bool{}
	cmd := &cobra.Command{
		Use:   "repair VERSION [flags]",
		Short: "Tell the ledger what only you can know",
		Long: `Change what the ledger says of a migration. Nothing else is changed, and nothing is run. When it is needed, the message of
another command says so, and how.`,
		Example: `  buffkit migrate repair 20260102 --statement 3 --done
  buffkit migrate repair 20260102 --statement 3 --not-done
  buffkit migrate repair 20260102 --checksum`,
		Args: cobra.ExactArgs(1),
		RunE: a.run(func(cmd *cobra.Command, args []string) error {
			r, err := ref(args[0])
			if err != nil {
				return err
			}
			var action migrate.Action
			for name, given := range actions {
				if *given {
					action = name
				}
			}
			if needs := action == migrate.RepairDone || action == migrate.RepairNotDone; needs != (statement > 0) {
				return usagef("--statement goes with --done and --not-done, and they with it")
			}
			f.looks = true
			return a.migrator(f, func(m *migrate.Migrator, opts *migrate.Options) error {
				if f.absent != "" {
					return fmt.Errorf("%s isn't there, and a repair changes what the ledger of a database says: give the right name", f.absent)
				}
				if err := m.Repair(cmd.Context(), migrate.Repair{Ref: r, Action: action, Statement: statement}); err != nil {
					return err
				}
				return a.done(f, struct {
					Ref       migrate.Ref    `json:"ref"`
					Action    migrate.Action `json:"action"`
					Statement int            `json:"statement,omitempty"`
				}{withSource(r, opts), action, statement})
			})
		}),
	}
	flags := cmd.Flags()
	flags.IntVar(&statement, "statement", 0, "which statement, from 1")
	var names []string
	for _, known := range []struct {
		action migrate.Action
		usage  string
	}{
		{migrate.RepairDone, "the statement took effect"},
		{migrate.RepairNotDone, "the statement didn't take effect: the next run sends it"},
		{migrate.RepairApplied, "the migration is applied as a whole, what was missing by hand"},
		{migrate.RepairForget, "take the migration out of the ledger: what it did was undone by hand"},
		{migrate.RepairChecksum, "the file that changed is the same migration"},
	} {
		actions[known.action] = flags.Bool(string(known.action), false, known.usage)
		names = append(names, string(known.action))
	}
	cmd.MarkFlagsMutuallyExclusive(names...)
	cmd.MarkFlagsOneRequired(names...)
	return cmd
}

// withSource fills in the first source, as the runner does.
func withSource(r migrate.Ref, opts *migrate.Options) migrate.Ref {
	r.Source = cmp.Or(r.Source, opts.Sources[0].Name, migrate.DefaultSource)
	return r
}

func (a *app) migrateWait(f *migrateFlags) *cobra.Command {
	var patience time.Duration
	cmd := &cobra.Command{
		Use:     "wait [flags]",
		Short:   "Wait until the database answers",
		Long:    "Wait until the database answers. It fails at once where waiting doesn't help: a wrong password, a database that isn't there.",
		Example: `  buffkit migrate wait --database "$DATABASE_URL" --for 1m && buffkit migrate up`,
		Args:    noArgs,
		RunE: a.run(func(cmd *cobra.Command, _ []string) error {
			return a.withoutFiles(f, func(m *migrate.Migrator) error {
				ctx, cancel := context.WithTimeout(cmd.Context(), patience)
				defer cancel()
				begun := time.Now()
				if err := m.Wait(ctx); err != nil {
					return err
				}
				return a.done(f, struct {
					Waited time.Duration `json:"waited_ns"`
				}{time.Since(begun)})
			})
		}),
	}
	cmd.Flags().DurationVar(&patience, "for", time.Minute, "how long")
	return cmd
}

// unfit are the characters that a file's name shouldn't have.
var unfit = regexp.MustCompile(`[^\pL\pN]+`)

func (a *app) migrateCreate(f *migrateFlags) *cobra.Command {
	return &cobra.Command{
		Use:     "create NAME [flags]",
		Short:   "Make the two files of a new migration",
		Long:    "Make the two files of a new migration. Its version is the time, in UTC.",
		Example: `  buffkit migrate create add_users`,
		Args:    cobra.ExactArgs(1),
		RunE: a.run(func(_ *cobra.Command, args []string) error {
			name := unfit.ReplaceAllString(args[0], "_")
			if name == "" || name == "_" {
				return usagef("%.32q is no name: use letters, digits and _", args[0])
			}
			if len(f.dirs) != 1 {
				return usagef("say which folder: one --dir")
			}
			_, folder := named(f.dirs[0])
			return a.createFiles(f, folder, time.Now().UTC().Format("20060102150405")+"_"+name)
		}),
	}
}

func (a *app) createFiles(f *migrateFlags, folder, stem string) error {
	var paths []string
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return fmt.Errorf("make the folder: %w", err)
	}
	for _, direction := range []string{"up", "down"} {
		path := filepath.Join(folder, stem+"."+direction+".sql")
		file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
		if errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("%s exists: try again in a second", path)
		}
		if err == nil {
			err = file.Close()
		}
		if err != nil {
			return fmt.Errorf("make the file: %w", err)
		}
		paths = append(paths, path)
	}
	if f.json {
		return printJSON(a.stdout, struct {
			Files []string `json:"files"`
		}{paths})
	}
	_, err := fmt.Fprintln(a.stdout, strings.Join(paths, "\n"))
	return err
}

package cli

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/buffkit/buffkit/migrate"
	"github.com/buffkit/buffkit/migrate/adopt"
	"github.com/buffkit/buffkit/migrate/dialect"
	"github.com/buffkit/buffkit/migrate/source"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

const (
	databaseVar = "DATABASE_URL"
	defaultDir  = "migrations"
)

// migrateFlags are those of all migrate commands.
type migrateFlags struct {
	database   string
	dirs       []string
	formats    []string
	table, env string
	outOfOrder bool
	missing    bool
	lock       string
	lockWait   time.Duration
	timeout    time.Duration
	retries    int
	json       bool
	dryRun     bool
	to         string
	lint       string
	app        string
	appPolicy  string
	monitor    bool
	noFiles    bool   // the command needs no migrations
	looks      bool   // the command makes no database, as with dryRun
	absent     string // the file of SQLite that isn't there, after open
}

func (a *app) migrate() *cobra.Command {
	var f migrateFlags
	cmd := &cobra.Command{
		Use:   "migrate COMMAND [flags]",
		Short: "Bring a database's schema up to date, or back",
		Long: `Bring the schema of a PostgreSQL, MySQL, MariaDB or SQLite database from one version to the next, and back.

Everything is read and checked before anything runs: files that can't be taken apart, dependencies, files that changed
after they were applied. Only one runner works at a time; others wait and say for whom. When a run is stopped by Ctrl-C,
kill -9 or a crash of the server, the next one finds out how far it came and goes on there.

Files are VERSION_name.up.sql and VERSION_name.down.sql, or VERSION_name.sql with the lines -- migrate:up and
-- migrate:down. VERSION_name.postgres.up.sql is for that database alone.

Databases:
  sqlite:FILE
  postgres://user:password@host:5432/name?sslmode=…
  mysql://user:password@host:3306/name, mariadb://…`,
		Example: `  buffkit migrate create users                       # two files in ./migrations, to be filled
  buffkit migrate up --database sqlite:app.db
  buffkit migrate up --database sqlite:app.db --dry-run
  buffkit migrate status --database sqlite:app.db`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return fmt.Errorf("unknown command %.32q", args[0])
			}
			return nil
		},
		PersistentPreRunE: notEmpty,
		RunE:              func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	flags := cmd.PersistentFlags()
	f.add(flags)
	flags.StringArrayVar(&f.dirs, "dir", []string{defaultDir}, "folder with migrations; repeat it as NAME=FOLDER for several sources")
	flags.StringArrayVar(&f.formats, "format", nil, "the tool whose files these are, after adopt; repeat it as NAME=TOOL for several sources")
	flags.BoolVar(&f.outOfOrder, "allow-out-of-order", false, "run migrations whose version is lower than one that was applied")
	flags.BoolVar(&f.missing, "allow-missing", false, "run although the ledger has migrations without a file")
	flags.StringVar(&f.app, "app-version", "", "the version of the app that works with the database, for migrations with -- requires-app:")
	flags.StringVar(&f.appPolicy, "app-policy", "refuse", "what happens to an app that is too old: refuse or warn")
	cmd.AddCommand(a.migrateUp(&f), a.migratePlan(&f), a.migrateDown(&f), a.migrateRedo(&f), a.migrateReset(&f), a.migrateStatus(&f), a.migrateVersion(&f),
		a.migrateValidate(&f), a.migrateLint(&f), a.migrateBaseline(&f), a.migrateAdopt(&f), a.migrateRepair(&f), a.migrateWait(&f),
		a.migrateCreate(&f), a.migrateDump(&f), a.migrateSquash(&f), a.migrateStats(&f))
	return cmd
}

// notEmpty refuses what a variable that isn't set makes of a flag: without --to everything would run, and without --database it might be on another one.
func notEmpty(cmd *cobra.Command, _ []string) error {
	for _, name := range []string{"to", "database"} {
		if flag := cmd.Flags().Lookup(name); flag != nil && flag.Changed && flag.Value.String() == "" {
			return usagef("--%s is empty: say which, or leave the flag out", name)
		}
	}
	return nil
}

// add adds the flags that seeds have too.
func (f *migrateFlags) add(flags *pflag.FlagSet) {
	flags.StringVar(&f.database, "database", "", "the database's URL (default $"+databaseVar+")")
	flags.StringVar(&f.table, "table", migrate.DefaultTable, "the ledger's table")
	flags.StringVar(&f.env, "env", "", "which environment this is; what has -- env: runs where it names it")
	flags.StringVar(&f.lock, "lock", "auto", "auto, session or lease; lease behind a pooler in transaction mode")
	flags.DurationVar(&f.lockWait, "lock-wait", migrate.DefaultLockWait, "how long to wait for another runner; 0s not at all")
	flags.DurationVar(&f.timeout, "lock-timeout", migrate.DefaultLockTimeout, "how long a statement may wait for locks before it's tried again")
	flags.IntVar(&f.retries, "retries", migrate.DefaultRetries, "how often it's tried again")
	flags.BoolVar(&f.json, "json", false, "print JSON")
}

var lockModes = map[string]migrate.LockMode{"auto": migrate.AutoLock, "session": migrate.SessionLock, "lease": migrate.LeaseLock}

// migrator opens the database and calls do with its runner.
func (a *app) migrator(f *migrateFlags, do func(m *migrate.Migrator, opts *migrate.Options) error, more ...func(*migrate.Options)) error {
	return f.open(func(db *sql.DB, d dialect.Dialect) error {
		opts, err := f.options(d)
		if err != nil {
			return err
		}
		if !f.noFiles {
			opts.Lexer = lexing(db, d)
		}
		for _, change := range more {
			change(opts)
		}
		m, err := a.newMigrator(db, d, opts)
		if err != nil {
			return err
		}
		return do(m, opts)
	})
}

// withoutFiles is migrator for a command that needs no migrations, so their folder needn't be there.
func (a *app) withoutFiles(f *migrateFlags, do func(m *migrate.Migrator) error) error {
	f.noFiles, f.looks = true, true
	return a.migrator(f, func(m *migrate.Migrator, _ *migrate.Options) error {
		a.tellAbsent(f)
		return do(m)
	})
}

func (a *app) newMigrator(db *sql.DB, d dialect.Dialect, opts *migrate.Options) (*migrate.Migrator, error) {
	opts.Hooks = a.migrateHooks()
	opts.Logger = slog.New(slog.NewTextHandler(a.stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	m, err := migrate.New(db, d, opts)
	if err != nil {
		return nil, usageError{err}
	}
	return m, nil
}

// url is what --database or the environment names, or "".
func (f *migrateFlags) url() string { return cmp.Or(f.database, os.Getenv(databaseVar)) }

// open opens the database and calls do with it.
func (f *migrateFlags) open(do func(db *sql.DB, d dialect.Dialect) error) (err error) {
	if f.url() == "" {
		return usagef("no database: give --database or $%s, as in --database sqlite:app.db", databaseVar)
	}
	target, err := parseDatabase(f.url())
	if err != nil {
		return usageError{err}
	}
	if f.looks || f.dryRun {
		if f.absent = target.absent(); f.absent != "" {
			target.dsn = "file::memory:" // as empty as what up would make, and whoever looks makes no file
		}
	}
	db, d, err := target.open()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	return do(db, d)
}

// tellAbsent says that the database isn't there: its name may be mistaken.
func (a *app) tellAbsent(f *migrateFlags) {
	if f.absent != "" {
		fmt.Fprintf(a.stderr, "%s isn't there yet: the next up makes it\n", f.absent)
	}
}

func openDatabase(url string) (*sql.DB, dialect.Dialect, error) {
	target, err := parseDatabase(url)
	if err != nil {
		return nil, 0, usageError{err}
	}
	return target.open()
}

func (t databaseTarget) open() (*sql.DB, dialect.Dialect, error) {
	db, err := sql.Open(t.driver, t.dsn)
	if err != nil {
		return nil, 0, fmt.Errorf("open the database: %w", err)
	}
	return db, t.dialect, nil
}

var appPolicies = map[string]migrate.AppPolicy{"refuse": migrate.AppRefuse, "warn": migrate.AppWarn}

// options are those of the flags, with the sources as they are for a dialect.
func (f *migrateFlags) options(d dialect.Dialect) (*migrate.Options, error) {
	opts, err := f.shared()
	if err != nil {
		return nil, err
	}
	policy, ok := appPolicies[f.appPolicy]
	if !ok {
		return nil, usagef("--app-policy %.32q: use refuse or warn", f.appPolicy)
	}
	opts.AllowOutOfOrder, opts.AllowMissing, opts.AppVersion, opts.AppPolicy = f.outOfOrder, f.missing, f.app, policy
	opts.Sources, err = f.sources(d)
	return opts, err
}

// sources opens the folders, in the formats that they are in.
func (f *migrateFlags) sources(d dialect.Dialect) (all []migrate.Source, err error) {
	if f.noFiles {
		return []migrate.Source{{FS: noFiles{}}}, nil
	}
	formats, err := f.tools()
	if err != nil {
		return nil, err
	}
	for _, dir := range f.dirs {
		name, fsys, err := openFolder(dir)
		if err != nil {
			return nil, err
		}
		if tool := toolOf(formats, name); tool != "" {
			if fsys, err = adopt.Open(fsys, tool, d); err != nil {
				return nil, err
			}
		}
		all = append(all, migrate.Source{Name: name, FS: fsys})
	}
	return all, nil
}

// shared are the options that seeds have too.
func (f *migrateFlags) shared() (*migrate.Options, error) {
	mode, ok := lockModes[f.lock]
	if !ok {
		return nil, usagef("--lock %.32q: use auto, session or lease", f.lock)
	}
	opts := &migrate.Options{Table: f.table, Environment: f.env, Lock: mode,
		LockWait: f.lockWait, LockTimeout: f.timeout, Retries: f.retries, Monitor: f.monitor}
	if f.lockWait < 0 || f.timeout < 0 || f.retries < 0 {
		return nil, usagef("--lock-wait, --lock-timeout and --retries can't be negative")
	}
	if f.lockWait == 0 {
		opts.LockWait = -1
	}
	if f.timeout == 0 {
		opts.LockTimeout = -1
	}
	if f.retries == 0 {
		opts.Retries = -1
	}
	return opts, nil
}

// tools reads --format: whose files those of a source are; "" is for those that aren't named.
func (f *migrateFlags) tools() (map[string]adopt.Tool, error) {
	all := map[string]adopt.Tool{}
	for _, format := range f.formats {
		name, tool, named := strings.Cut(format, "=")
		if !named {
			name, tool = "", format
		}
		if tool == "buffkit" {
			all[name] = ""
			continue
		}
		t, err := adopt.ParseTool(tool)
		if err != nil {
			return nil, usagef("--format: %w", err)
		}
		all[name] = t
	}
	return all, nil
}

// toolOf returns whose files those of a source are; "" if they are ours.
func toolOf(formats map[string]adopt.Tool, source string) adopt.Tool {
	if tool, ok := formats[source]; ok {
		return tool
	}
	return formats[""]
}

// named reads FOLDER or NAME=FOLDER.
func named(dir string) (name, folder string) {
	name, folder, ok := strings.Cut(dir, "=")
	if !ok {
		return "", dir
	}
	return name, folder
}

// openFolder opens FOLDER or NAME=FOLDER.
func openFolder(dir string) (name string, fsys fs.FS, err error) {
	name, folder := named(dir)
	info, err := os.Stat(folder)
	switch {
	case err != nil:
		return "", nil, fmt.Errorf("the migrations: %w: give --dir, or make one with: buffkit migrate create NAME", err)
	case !info.IsDir():
		return "", nil, usagef("--dir %s is no folder", folder)
	}
	if err := readable(folder); err != nil {
		return "", nil, fmt.Errorf("the migrations: %w", err)
	}
	return name, os.DirFS(folder), nil
}

// readable says, with the folder's name, why it can't be read.
func readable(folder string) error {
	dir, err := os.Open(folder)
	if err != nil {
		return err
	}
	_, err = dir.Readdirnames(1)
	if errors.Is(err, io.EOF) {
		err = nil // it is empty
	}
	return errors.Join(err, dir.Close())
}

// manyStatements are too many to print each; then one a second is.
const manyStatements = 100

// migrateHooks print what happens for people.
func (a *app) migrateHooks() migrate.Hooks {
	var told time.Time
	return migrate.Hooks{
		Waiting: func(h migrate.Holder) { fmt.Fprintf(a.stderr, "waiting for another runner: %s\n", h) },
		Planned: func(p *migrate.Plan) {
			for _, w := range p.Warnings {
				fmt.Fprintf(a.stderr, "warning: %s\n", w)
			}
		},
		Began: func(s *migrate.Step) {
			fmt.Fprintf(a.stderr, "%s %s %s\n", s.Direction, s.Ref, s.Name)
			if s.Done > 0 {
				fmt.Fprintf(a.stderr, "  going on behind statement %d of %d, where an earlier run was interrupted\n", s.Done, s.Statements)
			}
		},
		Statement: func(p migrate.Progress) {
			if few := p.Step.Statements <= manyStatements; p.Done && p.Err == nil && (few || time.Since(told) >= time.Second || p.N == p.Step.Statements) {
				told = time.Now()
				fmt.Fprintf(a.stderr, "  %d of %d  %8s  %s\n", p.N, p.Step.Statements, p.Took.Round(time.Microsecond*100), oneLine(p.SQL, 80))
			}
		},
		Watching: a.printWatch,
		Retrying: func(r migrate.Retry) {
			fmt.Fprintf(a.stderr, "  a lock wasn't to be had in time: trying again (%d of %d)\n", r.Attempt, r.Of)
			for _, b := range r.Blockers {
				fmt.Fprintf(a.stderr, "    blocked by %s\n", b)
			}
		},
	}
}

// printWatch tells how a statement that takes long is getting on.
func (a *app) printWatch(w migrate.Watch) {
	text := fmt.Sprintf("  %d of %d  running for %s", w.N, w.Step.Statements, w.Took.Round(time.Second))
	if w.Phase != "" {
		text += ", " + w.Phase
	}
	if w.Percent >= 0 {
		text += fmt.Sprintf(" %.0f %%", w.Percent)
	}
	if len(w.Blockers) > 0 {
		text += ", waiting for " + strings.Join(w.Blockers, "; ")
	}
	fmt.Fprintln(a.stderr, text)
}

// done is for commands that have nothing to say but that they are: for programs, with --json, an object.
func (a *app) done(f *migrateFlags, v any) error {
	if f.json {
		return printJSON(a.stdout, v)
	}
	return nil
}

func oneLine(text string, most int) string {
	line := []rune(strings.Join(strings.Fields(text), " "))
	if len(line) > most {
		return string(line[:most]) + " …"
	}
	return string(line)
}

// ref reads SOURCE:VERSION or VERSION.
func ref(text string) (migrate.Ref, error) {
	r, err := source.ParseRef(text)
	if err != nil {
		return r, usageError{err}
	}
	return r, nil
}

// runGoal runs, or prints what it would.
func (a *app) runGoal(ctx context.Context, f *migrateFlags, goal migrate.Goal) error {
	if f.to != "" {
		r, err := ref(f.to)
		if err != nil {
			return err
		}
		goal.To = &r
	}
	check, err := f.check()
	if err != nil {
		return err
	}
	f.looks = goal.Do != migrate.DoUp
	return a.migrator(f, func(m *migrate.Migrator, _ *migrate.Options) error {
		a.tellAbsent(f)
		if f.dryRun {
			plan, err := m.Plan(ctx, goal)
			return a.printPlan(f, plan, err)
		}
		res, err := m.Run(ctx, goal)
		return a.printRun(f, res, err)
	}, func(o *migrate.Options) { o.Check = check })
}

func (a *app) printResult(f *migrateFlags, res *migrate.Result) error {
	if f.json {
		return printJSON(a.stdout, res)
	}
	for _, s := range res.Skipped {
		fmt.Fprintf(a.stderr, "left out: %s, which is for env: %s\n", s.Ref, strings.Join(s.Env, ", "))
	}
	if len(res.Steps) == 0 {
		_, err := fmt.Fprintln(a.stderr, "nothing to do")
		return err
	}
	for _, s := range res.Steps {
		if _, err := fmt.Fprintf(a.stdout, "%s\t%s\t%s\t%s\n", s.Direction, s.Ref, s.Name, s.Took.Round(time.Millisecond/10)); err != nil {
			return err
		}
	}
	return nil
}

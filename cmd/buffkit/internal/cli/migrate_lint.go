package cli

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"github.com/buffkit/buffkit/migrate"
	"github.com/buffkit/buffkit/migrate/dialect"
	"github.com/buffkit/buffkit/migrate/lint"
	"github.com/buffkit/buffkit/migrate/lint/live"
	"github.com/buffkit/buffkit/migrate/source"
	"github.com/spf13/cobra"
)

// check is what --lint asks for; only up has the flag.
func (f *migrateFlags) check() (migrate.Check, error) {
	switch f.lint {
	case "", "off":
		return nil, nil
	case "warn":
		return live.Check(lint.Off, nil), nil
	case "error":
		return live.Check(lint.Error, nil), nil
	}
	return nil, usagef("--lint %.32q: use off, warn or error", f.lint)
}

// lintFlags are those of migrate lint.
type lintFlags struct {
	dialect, failOn, since string
	all                    bool
	formats, rules         []string
}

var lintFormats = map[string]func(io.Writer, []lint.Finding) error{"text": lint.WriteText, "json": lint.WriteJSON, "sarif": lint.WriteSARIF}

func (a *app) migrateLint(f *migrateFlags) *cobra.Command {
	var l lintFlags
	cmd := &cobra.Command{
		Use:   "lint [flags]",
		Short: "Say what in the migrations will hurt, and the safe way to do it",
		Long: `Look for what loses data, blocks tables, breaks the release that still runs, can't be undone, or fails half-way. docs/lint.md lists the rules.

With a database it looks at what is pending, and weighs by the server's version and the sizes of its tables. Nothing is changed, and no table
is locked. With --dialect it needs none, and looks at everything.

It ends with 1 if it finds anything as severe as --fail-on, or can't do its work, else with 0.`,
		Example: `  buffkit migrate lint --database "$DATABASE_URL"
  buffkit migrate lint --dialect postgres --since 20260101
  buffkit migrate lint --dialect mysql --format sarif > lint.sarif
  buffkit migrate lint --dialect postgres --format goose --format json`,
		Args: noArgs,
		RunE: a.run(func(cmd *cobra.Command, _ []string) error {
			write, err := l.writer(f)
			if err != nil {
				return err
			}
			least, err := l.least()
			if err != nil {
				return err
			}
			findings, err := a.lintAll(cmd.Context(), f, &l)
			if err != nil {
				return err
			}
			if err := write(a.stdout, findings); err != nil {
				return err
			}
			if lint.Failed(findings, least) {
				return fmt.Errorf("%s", lint.Count(findings))
			}
			_, err = fmt.Fprintln(a.stderr, lint.Count(findings))
			return err
		}),
	}
	flags := cmd.Flags()
	flags.StringVar(&l.dialect, "dialect", "", "postgres, mysql, mariadb or sqlite, to look without a database")
	flags.StringArrayVar(&l.formats, "format", nil, "text, json or sarif (default text); repeat it for the tool whose files these are, after adopt")
	flags.StringVar(&l.failOn, "fail-on", "warning", "error, warning, info or never")
	flags.StringVar(&l.since, "since", "", "look at migrations above this version only, VERSION or, of one source, SOURCE:VERSION")
	flags.BoolVar(&l.all, "all", false, "look at those that are applied too")
	flags.StringArrayVar(&l.rules, "rule", nil, "another severity for a rule, as drop-column=error or serial=off; repeat it for several")
	cmd.MarkFlagsMutuallyExclusive("all", "since")
	return cmd
}

// writer returns what --format and --json say of the findings. What else --format says is of the files, as for the other commands.
func (l *lintFlags) writer(f *migrateFlags) (write func(io.Writer, []lint.Finding) error, err error) {
	format := "text"
	for _, name := range l.formats {
		if _, ok := lintFormats[name]; ok {
			format = name
			continue
		}
		f.formats = append(f.formats, name)
	}
	if _, err := f.tools(); err != nil {
		return nil, usageError{fmt.Errorf("%w; or, for what is printed, text, json or sarif", err)}
	}
	if f.json {
		format = "json"
	}
	return lintFormats[format], nil
}

func (l *lintFlags) least() (lint.Severity, error) {
	if l.failOn == "never" {
		return lint.Off, nil
	}
	least, err := lint.ParseSeverity(l.failOn)
	if err != nil || least == lint.Off {
		return lint.Off, usagef("--fail-on %.32q: use error, warning, info or never", l.failOn)
	}
	return least, nil
}

// severities reads --rule.
func (l *lintFlags) severities() (map[string]lint.Severity, error) {
	all := map[string]lint.Severity{}
	for _, text := range l.rules {
		id, name, _ := strings.Cut(text, "=")
		severity, err := lint.ParseSeverity(name)
		if err != nil {
			return nil, usagef("--rule %.64q: write RULE=off, info, warning or error", text)
		}
		all[id] = severity
	}
	return all, nil
}

// lintAll looks at the migrations of all sources.
func (a *app) lintAll(ctx context.Context, f *migrateFlags, l *lintFlags) (findings []lint.Finding, err error) {
	severities, err := l.severities()
	if err != nil {
		return nil, err
	}
	opts := &lint.Options{Severities: severities, Runner: lint.Runner{LockTimeout: true, ForeignKeysOff: true}}
	if l.dialect != "" && f.database == "" {
		d, err := dialect.Parse(l.dialect)
		if err != nil {
			return nil, usageError{err}
		}
		return l.check(f, d, opts, nil)
	}
	if f.url() == "" {
		return nil, usagef("no database: give --database or $%s, or look without one: --dialect postgres, mysql, mariadb or sqlite", databaseVar)
	}
	f.looks = true
	var applied map[migrate.Ref]bool
	err = a.migrator(f, func(m *migrate.Migrator, _ *migrate.Options) error {
		infos, err := m.Status(ctx)
		if err != nil {
			return err
		}
		a.tellAbsent(f)
		applied = map[migrate.Ref]bool{}
		for _, i := range infos {
			applied[i.Ref] = i.State != migrate.Pending && i.State != migrate.Skipped && i.State != migrate.Changed && !l.all
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	err = f.open(func(db *sql.DB, d dialect.Dialect) error {
		conn, err := db.Conn(ctx)
		if err != nil {
			return fmt.Errorf("connect to %s: %w", d.Title(), err)
		}
		o, err := live.Options(ctx, conn, d, opts)
		if err == nil {
			findings, err = l.check(f, d, o, applied)
		}
		return errors.Join(err, conn.Close())
	})
	return findings, err
}

// after reads --since.
func (l *lintFlags) after(sources []migrate.Source) (migrate.Ref, error) {
	if l.since == "" {
		return migrate.Ref{}, nil
	}
	r, err := ref(l.since)
	if err != nil {
		return r, err
	}
	named := func(s migrate.Source) bool { return cmp.Or(s.Name, migrate.DefaultSource) == r.Source }
	if r.Source != "" && !slices.ContainsFunc(sources, named) {
		return r, usagef("--since %s: no --dir is that of %s", r, r.Source)
	}
	return r, nil
}

// check reads the files and lints those that aren't applied.
func (l *lintFlags) check(f *migrateFlags, d dialect.Dialect, opts *lint.Options, applied map[migrate.Ref]bool) ([]lint.Finding, error) {
	sources, err := f.sources(d)
	if err != nil {
		return nil, err
	}
	since, err := l.after(sources)
	if err != nil {
		return nil, err
	}
	var all []lint.Migration
	for i, s := range sources {
		name := cmp.Or(s.Name, migrate.DefaultSource)
		folder := f.dirs[i][strings.Index(f.dirs[i], "=")+1:]
		found, err := source.Load(s.FS, d, nil)
		if err != nil {
			return nil, err
		}
		for _, m := range found {
			linted := lint.Of(m, nil)
			linted.Applied = applied[migrate.Ref{Source: name, Version: m.Version}]
			if l.since != "" && (since.Source == "" || since.Source == name) {
				linted.Applied = m.Version.Compare(since.Version) <= 0
			}
			linted.Up.Path = filepath.Join(folder, linted.Up.Path) // so that terminals and editors find it
			if linted.Down != nil {
				linted.Down.Path = filepath.Join(folder, linted.Down.Path)
			}
			all = append(all, linted)
		}
	}
	findings, err := lint.Check(all, d, opts)
	if err != nil && strings.Contains(err.Error(), "Severities names no rule") {
		return nil, usageError{fmt.Errorf("--rule: %w", err)}
	}
	return findings, err
}

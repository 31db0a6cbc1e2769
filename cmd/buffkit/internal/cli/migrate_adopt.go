package cli

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/buffkit/buffkit/migrate"
	"github.com/buffkit/buffkit/migrate/adopt"
	"github.com/buffkit/buffkit/migrate/dialect"
	"github.com/spf13/cobra"
)

// adoptFlags are those of adopt alone.
type adoptFlags struct {
	from, ledger, write string
	verify              bool
	scratch             string
	accept              bool
}

func (a *app) migrateAdopt(f *migrateFlags) *cobra.Command {
	var own adoptFlags
	cmd := &cobra.Command{
		Use:   "adopt [flags]",
		Short: "Take over from goose, golang-migrate, dbmate, sql-migrate, pop, tern or bun",
		Long: `Take over what another tool has applied: its ledger is read, and ours gets a row for each migration. Nothing is run, and the
other ledger stays as it is. Stop the other tool first, wherever it runs: it doesn't know our lock. All is checked before anything is written; --dry-run shows what would be.

Which tool it is shows in the shape of its ledger and of its files; --from says it.

With --verify what is applied is run on an empty scratch database first, and its schema is compared with this one's: nothing is adopted if they aren't the
same, unless --accept-differences. For SQLite that is a temporary file; for others give --scratch, a database made for it (CREATE DATABASE, with the
same collation), which you drop afterwards. Rows, owners and privileges aren't compared.

The files can stay what they are: give --format TOOL to every migrate command from then on. New ones may be in the tool's
format or in ours, beside them. Or --write NEWFOLDER writes them in our format, and the old folder isn't needed any more; later
too, with --format TOOL instead of --from, which writes the files alone.`,
		Example: `  buffkit migrate adopt --dir migrations --database "$DATABASE_URL" --dry-run
  buffkit migrate adopt --dir migrations --database "$DATABASE_URL" --write db/migrations
  buffkit migrate adopt --dir migrations --database postgres://localhost/app --verify --scratch postgres://localhost/empty --dry-run
  buffkit migrate adopt --from goose --ledger admin.goose_db_version --dir migrations --database "$DATABASE_URL"`,
		Args: noArgs,
		RunE: a.run(func(cmd *cobra.Command, _ []string) error { return a.adopt(cmd.Context(), f, &own) }),
	}
	flags := cmd.Flags()
	flags.StringVar(&own.from, "from", "", "the tool: goose, golang-migrate, dbmate, sql-migrate, pop, tern or bun")
	flags.StringVar(&own.ledger, "ledger", "", "the tool's table, NAME or SCHEMA.NAME, if it isn't the tool's default")
	flags.StringVar(&own.write, "write", "", "a new folder for the files in our format")
	flags.BoolVar(&own.verify, "verify", false, "run what is applied on an empty scratch database, and compare the schema")
	flags.StringVar(&own.scratch, "scratch", "", "an empty database of the same kind, for --verify (SQLite: a temporary one)")
	flags.BoolVar(&own.accept, "accept-differences", false, "adopt although --verify finds differences")
	dryRun(cmd, f)
	return cmd
}

func (a *app) adopt(ctx context.Context, f *migrateFlags, own *adoptFlags) error {
	own.verify = own.verify || own.scratch != ""
	switch {
	case own.verify && len(f.formats) > 0:
		return usagef("--verify is for adopting, and --format with --write writes the files alone")
	case own.accept && !own.verify:
		return usagef("--accept-differences needs --verify, which finds them")
	case len(f.dirs) != 1 || len(f.formats) > 0 && (own.write == "" || f.dryRun):
		return usagef("adopt takes one --dir, FOLDER or NAME=FOLDER, and --from instead of --format, which goes with --write alone")
	case len(f.formats) > 0:
		return a.convert(f, own)
	}
	f.looks = true
	return f.open(func(db *sql.DB, d dialect.Dialect) error {
		a.tellAbsent(f)
		dir, history, err := f.other(ctx, own, db, d)
		if err != nil {
			return err
		}
		f.formats = []string{string(dir.Tool())}
		opts, err := f.options(d)
		if err != nil {
			return err
		}
		opts.Lexer = lexing(db, d)
		m, err := a.newMigrator(db, d, opts)
		if err != nil {
			return err
		}
		res, err := m.CheckAdopt(ctx, history.Adoption(""))
		if err != nil {
			return err
		}
		verified, err := own.verified(ctx, m, history.Adoption(""))
		if err != nil {
			return err
		}
		err = errors.Join(a.printAdoption(f, dir, history, res, verified), own.refuse(f, verified))
		if err != nil || f.dryRun {
			return err
		}
		return a.adoptNow(ctx, f, own, dir, func() error {
			_, err := m.Adopt(ctx, history.Adoption(""))
			return err
		})
	})
}

// verified is what a replay shows; nil if none is wanted.
func (own *adoptFlags) verified(ctx context.Context, m *migrate.Migrator, what migrate.Adoption) (v *migrate.Verification, err error) {
	if !own.verify {
		return nil, nil
	}
	scratch, remove, err := openScratch(own.scratch, m.Dialect())
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, remove()) }()
	if scratch == nil {
		return nil, usagef("--verify needs --scratch, an empty %s database that the migrations may be run on: CREATE DATABASE one, and drop it afterwards", m.Dialect().Title())
	}
	return m.VerifyAdopt(ctx, what, scratch)
}

// refuse is the error of differences that aren't accepted. With --json they have been printed.
func (own *adoptFlags) refuse(f *migrateFlags, v *migrate.Verification) error {
	if v == nil || len(v.Differences) == 0 || own.accept {
		return nil
	}
	var list strings.Builder
	if !f.json {
		list.WriteString(" (- as they make it, + as it is):\n\n")
		for _, d := range v.Differences {
			list.WriteString(d.String())
		}
	}
	return fmt.Errorf("nothing was adopted: the database isn't what the adopted migrations make%s\nBring them together, by hand or by a migration, "+
		"or say --accept-differences", list.String())
}

// other reads the other tool's folder and ledger.
func (f *migrateFlags) other(ctx context.Context, own *adoptFlags, db *sql.DB, d dialect.Dialect) (*adopt.Dir, *adopt.History, error) {
	_, fsys, err := openFolder(f.dirs[0])
	if err != nil {
		return nil, nil, err
	}
	opts := &adopt.Options{Table: own.ledger}
	var tool adopt.Tool
	if own.from != "" {
		if tool, err = adopt.ParseTool(own.from); err != nil {
			return nil, nil, usagef("--from: %w", err)
		}
	} else if tool, err = adopt.Find(ctx, fsys, db, d, opts); err != nil {
		return nil, nil, err
	}
	dir, err := adopt.Open(fsys, tool, d)
	if err != nil {
		return nil, nil, err
	}
	history, err := dir.History(ctx, db, opts)
	return dir, history, err
}

// convert writes the files of a tool that was adopted before and whose files stayed. The ledger isn't touched: it has the checksums of what is written.
func (a *app) convert(f *migrateFlags, own *adoptFlags) error {
	return f.open(func(_ *sql.DB, d dialect.Dialect) error {
		sources, err := f.sources(d)
		if err != nil {
			return err
		}
		dir, ok := sources[0].FS.(*adopt.Dir)
		if !ok {
			return usagef("--format: the files of --dir %s are ours already", f.dirs[0])
		}
		if err := own.copyFiles(dir); err != nil {
			return err
		}
		_, err = fmt.Fprintf(a.stderr, "done; from now on, without --format: buffkit migrate status --dir %s\n", own.write)
		return err
	})
}

// copyFiles writes the files in our format. After an error the folder isn't there, as before.
func (own *adoptFlags) copyFiles(dir *adopt.Dir) error {
	if _, err := os.Stat(own.write); !errors.Is(err, fs.ErrNotExist) {
		return usagef("--write %s: there is something of that name; give the name of a new folder", own.write)
	}
	if err := os.CopyFS(own.write, dir); err != nil {
		return errors.Join(err, os.RemoveAll(own.write))
	}
	return nil
}

// adoptNow writes the files, if that is wanted, and then the ledger.
func (a *app) adoptNow(ctx context.Context, f *migrateFlags, own *adoptFlags, dir *adopt.Dir, write func() error) error {
	if own.write == "" {
		if err := write(); err != nil {
			return err
		}
		_, err := fmt.Fprintf(a.stderr, "done; from now on: buffkit migrate status --dir %s --format %s\n", f.dirs[0], dir.Tool())
		return err
	}
	if err := own.copyFiles(dir); err != nil {
		return err
	}
	if err := writeLedger(own.write, write); err != nil {
		return err
	}
	_, err := fmt.Fprintf(a.stderr, "done; from now on: buffkit migrate status --dir %s\n", own.write)
	return err
}

// writeLedger writes the ledger behind a folder. If that is refused the folder is removed, which wasn't there before; but not if the ledger may
// have the rows.
func writeLedger(folder string, write func() error) error {
	err := write()
	switch {
	case errors.Is(err, migrate.ErrUnclear):
		return fmt.Errorf("%w\nThe files are in %s, and stay there. Remove the folder before you adopt again", err, folder)
	case err != nil:
		return errors.Join(err, os.RemoveAll(folder))
	}
	return nil
}

func (a *app) printAdoption(f *migrateFlags, dir *adopt.Dir, history *adopt.History, res *migrate.AdoptResult, v *migrate.Verification) error {
	if f.json {
		return printJSON(a.stdout, struct {
			Tool   adopt.Tool `json:"tool"`
			Ledger string     `json:"ledger"`
			Notes  []string   `json:"notes,omitempty"`
			Left   []string   `json:"left_out,omitempty"`
			*migrate.AdoptResult
			Verified *migrate.Verification `json:"verified,omitempty"`
		}{dir.Tool(), history.Table, history.Notes, dir.Left(), res, v})
	}
	fmt.Fprintf(a.stderr, "%s, by its ledger %s: %d applied, %d pending\n", dir.Tool(), history.Table, len(res.Rows), len(res.Pending))
	for _, text := range history.Notes {
		fmt.Fprintln(a.stderr, "mind:", text)
	}
	for _, text := range res.Warnings {
		fmt.Fprintln(a.stderr, "warning:", text)
	}
	for _, text := range dir.Left() {
		fmt.Fprintln(a.stderr, "left out:", text)
	}
	if v != nil {
		fmt.Fprintf(a.stderr, "verified by replay on the scratch database: %d applied, differences: %d\n", v.Replayed, len(v.Differences))
	}
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	for _, i := range res.Rows {
		fmt.Fprintf(w, "%s\t%s\tapplied, by %s\t%s\n", i.Ref, i.Name, i.Origin, i.At)
	}
	for _, r := range res.Pending {
		fmt.Fprintf(w, "%s\t\tpending\n", r)
	}
	return w.Flush()
}

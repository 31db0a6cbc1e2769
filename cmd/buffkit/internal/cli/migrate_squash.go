package cli

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/buffkit/buffkit/migrate"
	"github.com/buffkit/buffkit/migrate/dialect"
	"github.com/spf13/cobra"
)

// squashFlags are those of squash alone.
type squashFlags struct {
	scratch     string
	withoutData bool
}

func (a *app) migrateSquash(f *migrateFlags) *cobra.Command {
	var s squashFlags
	cmd := &cobra.Command{
		Use:   "squash --to VERSION [flags]",
		Short: "Put one file in the place of many that are applied",
		Long: `Write one migration in the place of all those of a source up to a version, and remove their files. It is the schema that
they make, as SQL. Databases that have applied them all count it as applied, and their ledgers stay as they are; new databases run it
instead. A database that has a part of them refuses it: bring each one up to the version before it gets the new files.

The migrations are run on an empty scratch database, and its schema is taken; where --database is at that version it must have the
same. For SQLite that is a temporary file; for others give --scratch, or have --database at exactly that version.

What isn't a schema would be lost: statements that change rows, privileges, or the server. They are listed, and nothing is done,
unless --without-data.`,
		Example: `  buffkit migrate squash --to 20260102 --database sqlite:app.db --dry-run
  buffkit migrate squash --to 20260102 --database postgres://localhost/app --scratch postgres://localhost/empty`,
		Args: noArgs,
		RunE: a.run(func(cmd *cobra.Command, _ []string) error {
			if f.to == "" {
				return usagef("say up to where: --to VERSION, or SOURCE:VERSION")
			}
			to, err := ref(f.to)
			if err != nil {
				return err
			}
			return a.squash(cmd.Context(), f, s, to)
		}),
	}
	flags := cmd.Flags()
	flags.StringVar(&f.to, "to", "", "the last one that it stands for, VERSION or SOURCE:VERSION")
	flags.StringVar(&s.scratch, "scratch", "", "an empty database of the same kind, which the migrations are run on (SQLite: a temporary one)")
	flags.BoolVar(&s.withoutData, "without-data", false, "go on although statements change rows or privileges, which new databases won't have then")
	flags.BoolVar(&f.dryRun, "dry-run", false, "print the new file, and change nothing")
	return cmd
}

func (a *app) squash(ctx context.Context, f *migrateFlags, s squashFlags, to migrate.Ref) error {
	return a.migrator(f, func(m *migrate.Migrator, opts *migrate.Options) (err error) {
		scratch, remove, err := s.open(m.Dialect())
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, remove()) }()
		q, err := m.Squash(ctx, to, &migrate.SquashOptions{Scratch: scratch, WithoutData: s.withoutData})
		switch {
		case err != nil:
			return err
		case f.dryRun && f.json:
			return printJSON(a.stdout, q)
		case f.dryRun:
			_, err := fmt.Fprint(a.stdout, q.SQL)
			return err
		}
		return a.replaceFiles(f, q)
	})
}

// open opens the scratch database; nil if there is none.
func (s squashFlags) open(d dialect.Dialect) (db *sql.DB, remove func() error, err error) {
	url, folder := s.scratch, ""
	switch {
	case url == "" && d != dialect.SQLite:
		return nil, func() error { return nil }, nil
	case url == "":
		if folder, err = os.MkdirTemp("", "buffkit-squash"); err != nil {
			return nil, nil, err
		}
		url = "sqlite:" + filepath.Join(folder, "scratch.db")
	}
	db, other, err := openDatabase(url)
	if err == nil && other != d {
		err = errors.Join(usagef("--scratch is %s, and the database is %s", other.Title(), d.Title()), db.Close())
	}
	if err != nil {
		return nil, nil, err
	}
	return db, func() error {
		err := db.Close()
		if folder != "" {
			err = errors.Join(err, os.RemoveAll(folder))
		}
		return err
	}, nil
}

// replaceFiles writes the new file before it removes the old ones.
func (a *app) replaceFiles(f *migrateFlags, q *migrate.Squash) error {
	folder := f.folderOf(q.Ref.Source)
	path := filepath.Join(folder, q.Path)
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return fmt.Errorf("make the file: %w", err)
	}
	_, err = file.WriteString(q.SQL)
	if err := errors.Join(err, file.Close()); err != nil {
		return errors.Join(fmt.Errorf("write the file: %w", err), os.Remove(path))
	}
	for _, old := range q.Replaces {
		if err := os.Remove(filepath.Join(folder, old)); err != nil {
			return fmt.Errorf("remove what the new file replaces: %w", err)
		}
	}
	fmt.Fprintf(a.stderr, "removed the %d files that it replaces\n", len(q.Replaces))
	_, err = fmt.Fprintln(a.stdout, path)
	return err
}

// folderOf is the folder of a source.
func (f *migrateFlags) folderOf(source string) string {
	for _, dir := range f.dirs {
		if name, path, named := strings.Cut(dir, "="); named && name == source {
			return path
		} else if !named && source == migrate.DefaultSource {
			return dir
		}
	}
	return ""
}

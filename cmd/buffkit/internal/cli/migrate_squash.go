package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/buffkit/buffkit/migrate"
	"github.com/buffkit/buffkit/migrate/dialect"
	"github.com/buffkit/buffkit/migrate/source"
	"github.com/spf13/cobra"
)

// squashFlags are those of squash alone.
type squashFlags struct {
	scratch     string
	withoutData bool
	onlyThis    bool
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
unless --without-data.

The new file is for one kind of database. If the folder has files that others may need, those without a database in their names
above all, none is removed, and the new one gets the ending .new, which nothing reads; unless --only-this-database.`,
		Example: `  buffkit migrate squash --to 20260102 --database sqlite:app.db --dry-run
  buffkit migrate squash --to 20260102 --database sqlite:app.db --only-this-database
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
	flags.BoolVar(&s.onlyThis, "only-this-database", false, "no other kind of database uses the folder: remove the files that are replaced")
	flags.BoolVar(&f.dryRun, "dry-run", false, "print the new file, and change nothing")
	return cmd
}

func (a *app) squash(ctx context.Context, f *migrateFlags, s squashFlags, to migrate.Ref) error {
	if err := f.refuseTool(to.Source); err != nil {
		return err
	}
	return a.migrator(f, func(m *migrate.Migrator, _ *migrate.Options) (err error) {
		scratch, remove, err := openScratch(s.scratch, m.Dialect())
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
		return a.replaceFiles(f, s, m.Dialect(), q)
	})
}

// refuseTool refuses files of another tool: they have other names than they seem to have, and that tool's reader wouldn't know a squash.
func (f *migrateFlags) refuseTool(wanted string) error {
	formats, err := f.tools()
	if err != nil {
		return err
	}
	for i, dir := range f.dirs {
		name, _ := named(dir)
		tool := toolOf(formats, name)
		if of := cmp.Or(name, migrate.DefaultSource); tool != "" && (of == wanted || wanted == "" && i == 0) {
			return usagef("the files of %s are those of %s, and a squash is one of ours: write them as our own files first: buffkit migrate adopt --format %s --write NEWFOLDER",
				of, tool, tool)
		}
	}
	return nil
}

// replaceFiles writes the new file before it removes the old ones. Where another kind of database may need those it removes nothing, and the new
// one has a name that isn't read: beside the old ones it would be an error for all.
func (a *app) replaceFiles(f *migrateFlags, s squashFlags, d dialect.Dialect, q *migrate.Squash) error {
	folder := f.folderOf(q.Ref.Source)
	path := filepath.Join(folder, q.Path)
	if !s.onlyThis {
		shared, err := sharedFiles(folder, d, q)
		if err != nil {
			return err
		}
		if len(shared) > 0 {
			return a.leaveFiles(f, path+".new", shared, d, q)
		}
	}
	if err := writeLasting(path, q.SQL); err != nil {
		return err
	}
	for _, old := range q.Replaces {
		if err := os.Remove(filepath.Join(folder, old)); err != nil {
			return fmt.Errorf("remove what the new file replaces: %w", err)
		}
	}
	fmt.Fprintf(a.stderr, "removed the %d files that it replaces\n", len(q.Replaces))
	return a.printSquash(f, path, q.Replaces, q.Lost)
}

func (a *app) printSquash(f *migrateFlags, path string, removed, lost []string) error {
	if f.json {
		return printJSON(a.stdout, struct {
			File    string   `json:"file"`
			Removed []string `json:"removed"`
			Lost    []string `json:"lost,omitempty"`
		}{path, removed, lost})
	}
	_, err := fmt.Fprintln(a.stdout, path)
	return err
}

// leaveFiles writes the new file and tells what is to be done by hand.
func (a *app) leaveFiles(f *migrateFlags, path string, shared []string, d dialect.Dialect, q *migrate.Squash) error {
	if err := writeLasting(path, q.SQL); err != nil {
		return err
	}
	fmt.Fprintf(a.stderr, `nothing was removed: another kind of database may need %s
  if only %s uses this folder: remove %s, and run this again with --only-this-database
  else: run this for each kind of database; then remove the old files up to %s, and .new from the names of the new ones, all at once
`, strings.Join(shared, ", "), d.Title(), filepath.Base(path), q.Ref.Version)
	return a.printSquash(f, path, []string{}, q.Lost)
}

// sharedFiles are those of a folder up to the squash's version that another kind of database may need: the ones that aren't for this kind alone.
func sharedFiles(folder string, d dialect.Dialect, q *migrate.Squash) (names []string, err error) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, fmt.Errorf("look for files of other databases: %w", err)
	}
	for _, entry := range entries {
		name := entry.Name()
		version, err := source.ParseVersion(name[:len(name)-len(strings.TrimLeft(name, "0123456789"))])
		if err != nil || entry.IsDir() || !strings.HasSuffix(name, ".sql") || version.Compare(q.Ref.Version) > 0 {
			continue
		}
		if !slices.Contains(q.Replaces, name) || !isFor(name, d) {
			names = append(names, name)
		}
	}
	return names, nil
}

// isFor tells whether a file's name has this database in it.
func isFor(name string, d dialect.Dialect) bool {
	stem := strings.TrimSuffix(name, ".sql")
	stem = strings.TrimSuffix(strings.TrimSuffix(stem, ".up"), ".down")
	named, err := dialect.Parse(strings.TrimPrefix(filepath.Ext(stem), "."))
	return err == nil && named == d
}

// writeLasting makes a file that is still there after a power cut.
func writeLasting(path, text string) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return fmt.Errorf("make the file: %w", err)
	}
	_, err = file.WriteString(text)
	if err == nil {
		err = file.Sync()
	}
	if err := errors.Join(err, file.Close()); err != nil {
		return errors.Join(fmt.Errorf("write the file: %w", err), os.Remove(path))
	}
	if folder, err := os.Open(filepath.Dir(path)); err == nil { // its name lasts too, on systems that sync folders
		_ = folder.Sync()
		_ = folder.Close()
	}
	return nil
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

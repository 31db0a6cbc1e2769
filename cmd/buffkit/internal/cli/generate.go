package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/buffkit/buffkit/migrate/dialect"
	"github.com/buffkit/buffkit/migrate/pattern"
	"github.com/spf13/cobra"
)

func (a *app) generate() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "generate COMMAND [flags]",
		Short: "Write files to begin with",
		Example: `  buffkit generate migration --list
  buffkit generate migration --pattern index --dialect postgres --table orders --column customer_id`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return fmt.Errorf("unknown command %.32q: there is migration", args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.generateMigration())
	return cmd
}

// generateFlags are those of generate migration.
type generateFlags struct {
	pattern, dialect, database, dir string
	list, print                     bool
	step                            int
	columns, was                    []string
	params                          pattern.Params
}

func (a *app) generateMigration() *cobra.Command {
	var g generateFlags
	cmd := &cobra.Command{
		Use:   "migration --pattern NAME --table TABLE [flags]",
		Short: "Write a migration that is done the safe way",
		Long: `Write a migration by a pattern, with its way back, for one database: each does it in the way that it can do it without blocking others. What comes
out belongs to you; read it, and change it. --list shows the patterns and what each needs.

What may only be applied later, when a release is out, isn't written yet: an up applies all that is in the folder. The command says so,
and when to run it again with --step.`,
		Example: `  buffkit generate migration --list
  buffkit generate migration --pattern index --dialect postgres --table orders --column customer_id
  buffkit generate migration --pattern add-column --dialect mysql --table orders --column "locale:varchar(10)" --default "'en'"
  buffkit generate migration --pattern rename-column --dialect sqlite --table users --column name:text --to full_name
  buffkit generate migration --pattern rename-column --dialect sqlite --table users --column name:text --to full_name --step 3    # later`,
		Args: noArgs,
		RunE: a.run(func(*cobra.Command, []string) error {
			if g.list {
				return a.listPatterns(&g)
			}
			return a.writePattern(&g)
		}),
	}
	flags, p := cmd.Flags(), &g.params
	flags.StringVar(&g.pattern, "pattern", "", "which one")
	flags.BoolVar(&g.list, "list", false, "list the patterns and what each needs")
	flags.IntVar(&g.step, "step", 0, "write this step of the pattern alone, from 1 (default all that may be applied at once)")
	flags.BoolVar(&g.print, "print", false, "print the migration instead of writing files")
	flags.StringVar(&g.dialect, "dialect", "", "postgres, mysql, mariadb or sqlite (default that of --database or $"+databaseVar+")")
	flags.StringVar(&g.database, "database", "", "the database's URL, for its kind alone: it isn't connected to")
	flags.StringVar(&g.dir, "dir", defaultDir, "the folder to write to")
	flags.StringVar(&p.Table, "table", "", "the table")
	flags.StringArrayVar(&g.columns, "column", nil, "a column, NAME or NAME:TYPE; repeat it for several")
	flags.StringVar(&p.To, "to", "", "rename-column: the new name")
	flags.StringVar(&p.Default, "default", "", "add-column: a constant, as SQL")
	flags.StringVar(&p.Set, "set", "", "backfill: the value, as SQL")
	flags.StringVar(&p.Key, "key", "", "the table's key (default id)")
	flags.IntVar(&p.Batch, "batch", pattern.DefaultBatch, "backfill, rename-column: rows a transaction")
	flags.BoolVar(&p.Unique, "unique", false, "index: a unique one")
	flags.StringVar(&p.Enum, "enum", "", "enum-value: the type, in PostgreSQL")
	flags.StringVar(&p.Value, "value", "", "enum-value: the new value")
	flags.StringSliceVar(&p.Values, "values", nil, "enum-value: those that there are, in their order, with commas between")
	flags.StringVar(&p.References, "references", "", "foreign-key: the other table")
	flags.StringVar(&p.From, "from", "", "partition: the first month, as 2026-01")
	flags.IntVar(&p.Months, "months", 3, "partition: how many")
	flags.StringVar(&p.Language, "language", "", "fulltext in PostgreSQL: how words are cut (default simple)")
	flags.StringArrayVar(&g.was, "was", nil, "rebuild: a column as it is now, NAME:TYPE; repeat it for all")
	return cmd
}

// kind is the dialect that was asked for; 0 if none was.
func (g *generateFlags) kind() (dialect.Dialect, error) {
	if g.dialect != "" {
		d, err := dialect.Parse(g.dialect)
		if err != nil {
			return 0, usageError{err}
		}
		return d, nil
	}
	f := migrateFlags{database: g.database}
	if f.url() == "" {
		return 0, nil
	}
	target, err := parseDatabase(f.url())
	if err != nil {
		return 0, usageError{err}
	}
	return target.dialect, nil
}

func (a *app) listPatterns(g *generateFlags) error {
	d, err := g.kind()
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(a.stdout, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "PATTERN\tWHAT\tNEEDS\tTAKES\tNOT FOR")
	for _, p := range pattern.All() {
		if p.Lacks[d] != "" {
			continue
		}
		var lacks []string
		for _, other := range dialect.All() {
			if p.Lacks[other] != "" {
				lacks = append(lacks, other.String())
			}
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", p.Name, p.Title, needs(slices.Concat([]pattern.Need{"table"}, p.Needs)), needs(p.Takes), strings.Join(lacks, ", "))
	}
	return w.Flush()
}

func needs(all []pattern.Need) string {
	words := make([]string, len(all))
	for i, n := range all {
		words[i] = "--" + string(n)
	}
	return strings.Join(words, " ")
}

func (a *app) writePattern(g *generateFlags) error {
	if g.pattern == "" {
		return usagef("say which pattern: --pattern NAME; --list shows them")
	}
	d, err := g.kind()
	if err != nil {
		return err
	}
	if d == 0 {
		return usagef("say for which database: --dialect postgres, mysql, mariadb or sqlite")
	}
	for _, list := range []struct {
		texts []string
		to    *[]pattern.Column
	}{{g.columns, &g.params.Columns}, {g.was, &g.params.Was}} {
		for _, text := range list.texts {
			c, err := pattern.ParseColumn(text)
			if err != nil {
				return usageError{err}
			}
			*list.to = append(*list.to, c)
		}
	}
	files, err := pattern.Write(g.pattern, d, g.params)
	if err != nil {
		return usageError{err}
	}
	if g.step < 0 || g.step > len(files) {
		return usagef("--step %d: the pattern %s has %d", g.step, g.pattern, len(files))
	}
	if err := a.writeMigrations(g, files); err != nil {
		return err
	}
	for i, file := range files {
		if !g.wants(i, file) && file.When != "" {
			fmt.Fprintf(a.stderr, "step %d of %d isn't written yet, since the next up would apply it too: when %s, run this again with --step %[1]d\n", i+1, len(files), file.When)
		}
	}
	return nil
}

// wants tells whether a file is to be written now.
func (g *generateFlags) wants(i int, file pattern.File) bool {
	return g.step == i+1 || g.step == 0 && file.When == ""
}

// writeMigrations writes one file a second of version, so that they run in their order.
func (a *app) writeMigrations(g *generateFlags, files []pattern.File) error {
	at := time.Now().UTC()
	if !g.print {
		if err := os.MkdirAll(g.dir, 0o755); err != nil {
			return fmt.Errorf("make the folder: %w", err)
		}
	}
	for i, file := range files {
		if !g.wants(i, file) {
			continue
		}
		path := filepath.Join(g.dir, at.Add(time.Duration(i)*time.Second).Format("20060102150405")+"_"+file.Name+".sql")
		if g.print {
			if _, err := fmt.Fprintf(a.stdout, "-- %s\n%s\n", path, file.Text); err != nil {
				return err
			}
			continue
		}
		if err := createNew(path, file.Text); err != nil {
			return err
		}
		if _, err := fmt.Fprintln(a.stdout, path); err != nil {
			return err
		}
	}
	return nil
}

// createNew writes a file that isn't there yet.
func createNew(path, text string) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s exists: try again in a second", path)
	}
	if err == nil {
		_, err = file.WriteString(text)
		err = errors.Join(err, file.Close())
	}
	if err != nil {
		return fmt.Errorf("write the file: %w", err)
	}
	return nil
}

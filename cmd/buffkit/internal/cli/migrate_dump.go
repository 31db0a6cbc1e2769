package cli

import (
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/buffkit/buffkit/migrate"
	"github.com/spf13/cobra"
)

// noFiles is the source of commands that need none.
type noFiles struct{}

func (noFiles) Open(name string) (fs.File, error) {
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}

func (a *app) migrateDump(f *migrateFlags) *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "dump [flags]",
		Short: "Write the schema as SQL that makes an empty database the same",
		Long: `Write the schema of a database as SQL that makes an empty database the same: no data, no ledger, no owners and privileges. Two databases
with the same schema give the same bytes, so the file can be kept beside the migrations and compared.

It needs neither the migrations nor pg_dump or mysqldump. What can't be written is named at the top of the file, and here.`,
		Example: `  buffkit migrate dump --database sqlite:app.db --output schema.sql
  buffkit migrate dump --database sqlite:app.db | diff schema.sql -`,
		Args: noArgs,
		RunE: a.run(func(cmd *cobra.Command, _ []string) error {
			return a.withoutFiles(f, func(m *migrate.Migrator) error {
				if f.absent != "" && output != "" {
					return fmt.Errorf("nothing is written to %s, since the database has nothing", output)
				}
				var text strings.Builder // whole before the file is touched
				omitted, err := m.Dump(cmd.Context(), &text)
				if err != nil {
					return err
				}
				for _, o := range omitted {
					fmt.Fprintf(a.stderr, "not in the dump: %s\n", o)
				}
				return a.writeDump(f, output, text.String(), omitted)
			})
		}),
	}
	cmd.Flags().StringVarP(&output, "output", "o", "", "the file to write (default: the standard output)")
	return cmd
}

// writeDump writes the schema to the file, or prints it if there is none.
func (a *app) writeDump(f *migrateFlags, file, text string, omitted []string) error {
	if file != "" {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			return fmt.Errorf("write the schema: %w", err)
		}
		text = ""
	}
	if !f.json {
		_, err := fmt.Fprint(a.stdout, text)
		return err
	}
	return printJSON(a.stdout, struct {
		SQL     string   `json:"sql,omitempty"`
		File    string   `json:"file,omitempty"`
		Omitted []string `json:"omitted"`
	}{text, file, append([]string{}, omitted...)})
}

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
			f.noFiles = true
			return a.migrator(f, func(m *migrate.Migrator, _ *migrate.Options) error {
				var text strings.Builder // whole before the file is touched
				omitted, err := m.Dump(cmd.Context(), &text)
				if err != nil {
					return err
				}
				for _, o := range omitted {
					fmt.Fprintf(a.stderr, "not in the dump: %s\n", o)
				}
				if output == "" {
					_, err := fmt.Fprint(a.stdout, text.String())
					return err
				}
				if err := os.WriteFile(output, []byte(text.String()), 0o644); err != nil {
					return fmt.Errorf("write the schema: %w", err)
				}
				return nil
			})
		}),
	}
	cmd.Flags().StringVarP(&output, "output", "o", "", "the file to write (default: the standard output)")
	return cmd
}

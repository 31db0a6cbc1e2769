package cli

import (
	"fmt"
	"io"
	"time"

	"github.com/buffkit/buffkit/migrate"
	"github.com/spf13/cobra"
)

func (a *app) migrateStats(f *migrateFlags) *cobra.Command {
	var n int
	cmd := &cobra.Command{
		Use:   "stats [flags]",
		Short: "List the migrations that took longest, and where the time went",
		Long: `List the migrations that took longest when they were applied, as the ledger has it: the time of each and of its slowest statements, rows,
waits for locks. With up --monitor also the sizes of their tables before and behind them, and on PostgreSQL the locks that they held.`,
		Example: `  buffkit migrate stats --slowest 5 --database sqlite:app.db`,
		Args:    noArgs,
		RunE: a.run(func(cmd *cobra.Command, _ []string) error {
			if n < 1 {
				return usagef("--slowest %d: give a number from 1", n)
			}
			return a.withoutFiles(f, func(m *migrate.Migrator) error {
				stats, err := m.Slowest(cmd.Context(), n)
				if err != nil {
					return err
				}
				if f.json {
					return printJSON(a.stdout, append([]migrate.Stat{}, stats...))
				}
				for _, s := range stats {
					printStat(a.stdout, s)
				}
				return nil
			})
		}),
	}
	cmd.Flags().IntVar(&n, "slowest", 10, "how many")
	return cmd
}

func printStat(w io.Writer, s migrate.Stat) {
	fmt.Fprintf(w, "%s %s: %s, %d rows, applied %s\n", s.Ref, s.Name, s.Took.Round(time.Millisecond/10), s.Rows, s.At)
	if s.LockWait > 0 {
		fmt.Fprintf(w, "  waited %s for locks\n", s.LockWait.Round(time.Millisecond))
	}
	for _, st := range s.Statements {
		fmt.Fprintf(w, "  statement %d: %s, %d rows\n", st.N, st.Took.Round(time.Microsecond), st.Rows)
	}
	for _, t := range s.Tables {
		fmt.Fprintf(w, "  %s: %s before, %s behind it\n", t.Table, bytesText(t.Before), bytesText(t.After))
	}
	for _, l := range s.Locks {
		fmt.Fprintf(w, "  held %s\n", l)
	}
}

func bytesText(n int64) string {
	if n < 0 {
		return "not there"
	}
	return fmt.Sprintf("%.1f KiB", float64(n)/1024)
}

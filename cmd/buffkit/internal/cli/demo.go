package cli

import (
	"log/slog"

	"github.com/buffkit/buffkit/cmd/buffkit/internal/demo"
	"github.com/spf13/cobra"
)

func (a *app) demo() *cobra.Command {
	var addr string
	cmd := &cobra.Command{
		Use:   "demo [flags]",
		Short: "Open a page that shows it all on this machine's own data",
		Long: `Serve a page that shows this machine live: its load as fragments of htmx, a list that all tabs edit, a switch that cuts
the network and a counter that proves no event lost or doubled.

If the port is taken it opens on a free one. Ctrl-C ends it.`,
		Example: "  buffkit demo\n  buffkit demo --addr localhost:0",
		Args:    noArgs,
		RunE: a.run(func(cmd *cobra.Command, _ []string) error {
			logger := slog.New(slog.NewTextHandler(a.stderr, nil))
			return demo.Run(cmd.Context(), demo.Options{Addr: addr, Out: a.stdout, Logger: logger})
		}),
	}
	cmd.Flags().StringVar(&addr, "addr", demo.DefaultAddr, "HOST:PORT to listen on")
	return cmd
}

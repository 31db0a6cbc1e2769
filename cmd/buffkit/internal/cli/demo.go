package cli

import (
	"context"
	"log/slog"

	"github.com/buffkit/buffkit/cmd/buffkit/internal/demo"
	"github.com/spf13/cobra"
)

const defaultDemoLog = defaultLog + "/demo" // apart from serve's, whose topics are others

func (a *app) demo() *cobra.Command {
	var addr, log string
	cmd := &cobra.Command{
		Use:   "demo [flags]",
		Short: "Open a page that shows it all on this machine's own data",
		Long: `Serve a page that shows this machine live: its load as fragments of htmx, a list that all tabs edit, a switch that cuts
the network and a counter that proves no event lost or doubled.

Its events are kept in a folder: kill the demo and start it again while the page is open, and nothing is lost.

If the port is taken it opens on a free one, and if another demo has the folder it keeps its events in memory. Ctrl-C ends it.`,
		Example: "  buffkit demo\n  buffkit demo --addr localhost:0 --log memory",
		Args:    noArgs,
		RunE:    a.run(func(cmd *cobra.Command, _ []string) error { return a.runDemo(cmd.Context(), addr, log) }),
	}
	cmd.Flags().StringVar(&addr, "addr", demo.DefaultAddr, "HOST:PORT to listen on")
	cmd.Flags().StringVar(&log, "log", defaultDemoLog, "where its events are kept: sqlite:DIR or memory")
	return cmd
}

func (a *app) runDemo(ctx context.Context, addr, log string) error {
	opts := demo.Options{Addr: addr, Out: a.stdout, Logger: slog.New(slog.NewTextHandler(a.stderr, nil))}
	if _, _, err := (&serveFlags{addr: addr}).hostPort(); err != nil {
		return err
	}
	at, err := parseLog(log)
	if err != nil {
		return err
	}
	switch at := at.(type) {
	case memoryPlace:
	case sqlitePlace:
		if err := at.prepare(); err != nil {
			return err
		}
		opts.Folder = at.folder()
	default:
		return usagef("--log: the demo is of this machine alone: use --log sqlite:DIR or --log memory")
	}
	return demo.Run(ctx, opts)
}

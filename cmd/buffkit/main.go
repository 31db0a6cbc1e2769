// Command buffkit serves a hub of resumable live streams to any language, publishes to it and follows it.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/buffkit/buffkit/cmd/buffkit/internal/cli"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	os.Exit(cli.Run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

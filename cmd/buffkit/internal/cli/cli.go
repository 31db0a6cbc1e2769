// Package cli is the command line of buffkit: one file a command.
package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
)

// Exit codes of Run.
const (
	ExitOK     = 0
	ExitFailed = 1 // it was asked rightly and didn't work out
	ExitUsage  = 2 // it was asked wrongly; nothing was done
)

// usageError is an error in how the command was called.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// app is what the commands share.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	started        bool // the flags and arguments were right in number and form
}

// Run runs the command that the arguments name and returns its exit code. When the context ends the command ends in order.
func Run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	a := &app{stdin: stdin, stdout: stdout, stderr: stderr}
	root := a.root()
	root.SetArgs(append([]string{}, args...)) // never nil, which would mean os.Args
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	command, err := root.ExecuteContextC(ctx)
	if err == nil {
		return ExitOK
	}
	fmt.Fprintf(stderr, "%s: %v\n", command.CommandPath(), err)
	var usage usageError
	if a.started && !errors.As(err, &usage) {
		return ExitFailed
	}
	fmt.Fprintf(stderr, "Run '%s --help' for how to use it.\n", command.CommandPath())
	return ExitUsage
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "buffkit",
		Short: "Live push that survives the network, and schemas that survive deploys",
		Long: `buffkit serves live streams (Server-Sent Events) that resume after a cut with nothing
lost silently, publishes to them and follows them. It also migrates databases.

Environment:
  BUFFKIT_URL     the hub that publish and subscribe talk to, instead of --url
  BUFFKIT_TOKEN   their access token, instead of --token
  BUFFKIT_SECRET  the secret of serve and token, instead of --secret-file
  BUFFKIT_LOG     the log of serve and doctor, instead of --log
  DATABASE_URL    the database of migrate, seed, generate and doctor, instead of --database

Exit codes:
  0  done; a stream or a server that was stopped by Ctrl-C or SIGTERM is done
  1  failed
  2  wrong usage; nothing was done`,
		Example: `  buffkit serve --insecure                       # a hub on localhost:8080
  buffkit subscribe --topic news                 # in a second terminal
  buffkit publish --topic news "hello"           # in a third`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			suggestion := ""
			if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
				suggestion = ": did you mean " + strings.Join(near, " or ") + "?"
			}
			return fmt.Errorf("unknown command %.32q%s", args[0], suggestion)
		},
		RunE:                       func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		SuggestionsMinimumDistance: 2, // as cobra
		Version:                    build().String(),
	}
	root.SetVersionTemplate("buffkit {{.Version}}\n")
	root.AddCommand(a.serve(), a.publish(), a.subscribe(), a.token(), a.doctor(), a.migrate(), a.seed(), a.generate(), a.demo(), a.version())
	return root
}

// run wraps what a command does, so that errors before it count as wrong usage.
func (a *app) run(do func(cmd *cobra.Command, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		a.started = true
		return do(cmd, args)
	}
}

func noArgs(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("it takes no arguments, only flags: what is %.64q?", args[0])
	}
	return nil
}

// printJSON writes one line.
func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// Command bench measures buffkit against its peers and against the floor, on this machine. README.md says what is measured and
// how to read it.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/buffkit/buffkit/bench/internal/peer"
	"github.com/buffkit/buffkit/bench/internal/scenario"
)

const usage = `bench measures buffkit against its peers and against a raw write(2) loop, on this machine.

	bench run [flags] [scenario ...]   measure, and write RESULTS.md, plots and results/*.json
	bench report [flags]               write RESULTS.md and the plots again from results/*.json
	bench list                         the scenarios, and the servers

From the root of a checkout:

	go run ./bench run                     everything; takes about 40 minutes
	go run ./bench run stuck               one scenario
	go run ./bench run --smoke             everything, tiny: shows that it works, in minutes
	go run ./bench run --servers buffkit,goroutine fanout

What was measured before at the same commit on the same machine with the same sizes is kept, so a run that was interrupted
goes on where it was. --again measures anew.

"bench run --help" lists the flags.
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	switch {
	case err == nil || errors.Is(err, flag.ErrHelp):
	case errors.Is(err, errUsage):
		fmt.Fprintf(os.Stderr, "bench: %v\n\n%s", err, usage)
		os.Exit(2)
	case errors.Is(err, context.Canceled):
		fmt.Fprintln(os.Stderr, "bench: interrupted; the same command goes on from here")
		os.Exit(130)
	default:
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

var errUsage = errors.New("wrong use")

func run(ctx context.Context, args []string, in io.Reader, out, errOut io.Writer) error {
	if len(args) == 0 {
		args = []string{"--help"}
	}
	command, args := args[0], args[1:]
	switch command {
	case "run":
		return measure(ctx, args, out, errOut)
	case "report":
		return report(args, out)
	case "list":
		return list(out)
	case "serve": // what measure starts as a process of its own; not for people
		return serve(args, in, out)
	case "help", "-h", "-help", "--help":
		_, err := fmt.Fprint(out, usage)
		return err
	}
	return fmt.Errorf("%w: there is no command %q", errUsage, command)
}

func list(out io.Writer) error {
	fmt.Fprintln(out, "scenarios, and about how long they take with all servers on two cores:")
	var sum time.Duration
	for _, s := range scenario.All() {
		o, err := parseRun([]string{s.Name}, io.Discard)
		if err != nil {
			return err
		}
		jobs, err := o.jobs()
		if err != nil {
			return err
		}
		takes := estimate(jobs)
		sum += takes
		fmt.Fprintf(out, "  %-13s %5.1f min  %s\n", s.Name, takes.Minutes(), s.Title)
	}
	fmt.Fprintf(out, "  %-13s %5.1f min\n", "all", sum.Minutes())
	fmt.Fprintln(out, "servers:")
	for _, p := range peer.All() {
		fmt.Fprintf(out, "  %-13s %s\n", p.Name, p.Title)
	}
	return nil
}

func serve(args []string, in io.Reader, out io.Writer) error {
	if len(args) != 2 {
		return fmt.Errorf("%w: serve takes a server and its options", errUsage)
	}
	p, err := peer.Find(args[0])
	if err != nil {
		return err
	}
	var opts peer.Options
	if err := json.Unmarshal([]byte(args[1]), &opts); err != nil {
		return fmt.Errorf("options %s: %w", args[1], err)
	}
	return peer.Serve(p, opts, in, out)
}

// words splits "a,b".
func words(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' })
}

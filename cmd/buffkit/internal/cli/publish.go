package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

const defaultRetryFor = 30 * time.Second // a restart of the hub; well within the 5 minutes that it remembers idempotency keys

type publishFlags struct {
	remote
	topic, event, key string
	retryFor          time.Duration
	json, quiet       bool
}

func (a *app) publish() *cobra.Command {
	var f publishFlags
	cmd := &cobra.Command{
		Use:   "publish --topic TOPIC [flags] [DATA...]",
		Short: "Publish events",
		Long: `Publish events to a topic of a hub: each argument is one, or else each line of the standard input. Prints the id of each.

Lines are sent on as they come, in their order, many with one request when they come fast. A request that may have got
lost is repeated for --retry-for, with idempotency keys, so that no event is stored twice.

If it stops midway it says how many events were stored: always the first so many.`,
		Example: `  buffkit publish --topic news "hello"
  buffkit publish --topic orders/7 --event changed --key 7 '{"state":"paid"}'
  tail -f app.log | buffkit publish --topic log --quiet
  buffkit publish --url https://push.example.com --topic import < lines.txt > ids.txt`,
		RunE: a.run(func(cmd *cobra.Command, args []string) error { return a.runPublish(cmd.Context(), f, args) }),
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&f.topic, "topic", "", "where to (required)")
	flags.StringVar(&f.event, "event", "", "name of the events (default none: a browser's onmessage gets them)")
	flags.StringVar(&f.key, "key", "", "what the events tell the state of: a reader that conflates needs the newest only")
	f.remote.define(cmd)
	flags.DurationVar(&f.retryFor, "retry-for", defaultRetryFor, "how long to go on trying to reach the hub; 0: try once")
	flags.BoolVarP(&f.quiet, "quiet", "q", false, "don't print the ids")
	flags.BoolVar(&f.json, "json", false, `print a line {"id":"…"} for each event`)
	cmd.MarkFlagsMutuallyExclusive("quiet", "json")
	_ = cmd.MarkFlagRequired("topic") // there is such a flag
	return cmd
}

func (a *app) runPublish(ctx context.Context, f publishFlags, args []string) error {
	p, err := a.publisher(f)
	if err != nil {
		return err
	}
	defer p.http.CloseIdleConnections()
	next, size := arguments(args), int64(0)
	if len(args) == 0 {
		next, size = lines(a.stdin), sizeOf(a.stdin)
		if isTerminal(a.stdin) {
			fmt.Fprintln(a.stderr, "Each line you type is an event; Ctrl-D ends.")
		}
	}
	show := a.progress(f, size)
	defer show.end()

	// On the way out the source is told to stop, not waited for: nothing can interrupt a read from a terminal.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	queue := newChunks()
	go queue.fill(ctx, next)

	out := bufio.NewWriter(a.stdout)
	stored := 0
	for c := range queue.each(ctx) {
		ids, err := p.post(ctx, c)
		stored += len(ids)
		show.add(c, len(ids))
		if err := errors.Join(f.print(out, ids), out.Flush()); err != nil {
			return fmt.Errorf("%s; %w", wereStored(stored), err)
		}
		if err != nil {
			return fmt.Errorf("%s; %w", wereStored(stored), err)
		}
	}
	if ctx.Err() != nil {
		return fmt.Errorf("%s; stopped", wereStored(stored))
	}
	if queue.err != nil {
		return fmt.Errorf("%s; %w", wereStored(stored), queue.err)
	}
	return nil
}

func wereStored(n int) string {
	switch n {
	case 0:
		return "nothing was stored"
	case 1:
		return "the first event was stored"
	}
	return fmt.Sprintf("the first %d events were stored", n)
}

func (f *publishFlags) print(out io.Writer, ids []string) error {
	for _, id := range ids {
		var err error
		switch {
		case f.quiet:
		case f.json:
			err = printJSON(out, map[string]string{"id": id})
		default:
			_, err = fmt.Fprintln(out, id)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (a *app) publisher(f publishFlags) (*publisher, error) {
	switch {
	case f.topic == "":
		return nil, usagef("--topic is empty: name the topic, as in --topic news")
	case f.retryFor < 0:
		return nil, usagef("--retry-for %v: give 0 or more", f.retryFor)
	}
	query := url.Values{"topic": {f.topic}}
	if f.event != "" {
		query.Set("event", f.event)
	}
	if f.key != "" {
		query.Set("key", f.key)
	}
	target, err := f.events(query)
	if err != nil {
		return nil, err
	}
	header, err := f.header()
	if err != nil {
		return nil, err
	}
	return newPublisher(target, header, f.retryFor, func(err error) {
		fmt.Fprintf(a.stderr, "buffkit publish: %v; trying for %v\n", err, f.retryFor)
	}), nil
}

func isTerminal(stream any) bool {
	file, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}

// sizeOf is the size of a regular file, 0 for anything else.
func sizeOf(r io.Reader) int64 {
	if file, ok := r.(*os.File); ok {
		if info, err := file.Stat(); err == nil && info.Mode().IsRegular() {
			return info.Size()
		}
	}
	return 0
}

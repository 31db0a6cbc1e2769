package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode"

	"github.com/buffkit/buffkit/client"
	"github.com/buffkit/buffkit/eventlog"
	"github.com/spf13/cobra"
)

type subscribeFlags struct {
	remote
	topics        []string
	cursor, state string
	count         int
	json          bool
}

func (a *app) subscribe() *cobra.Command {
	var f subscribeFlags
	cmd := &cobra.Command{
		Use:   "subscribe --topic TOPIC [flags] [URL]",
		Short: "Print events as they come, and resume for ever",
		Long: `Print the events of topics as they come, each once. When the network or the hub fails, it goes on trying and resumes
where it was; what became of that is told on the standard error: missed events follow, or there is a gap.

A line is the data of an event; with --json an object {"id","event","data"}, which tells events of several lines apart.

It ends with 0 when it is stopped (Ctrl-C, SIGTERM), after -n events, or when the hub says that the stream is over;
with 1 when the hub refuses it.

With --state the place is kept in a file, so that the next run goes on there. After a crash (kill -9) between printing and
noting an event that event is printed again; none is left out.`,
		Example: `  buffkit subscribe --topic news --topic orders/7
  buffkit subscribe --topic orders/7 --json --state orders.cursor | while read -r event; do …; done
  buffkit subscribe --topic news -n 1
  buffkit subscribe https://push.example.com --topic news --cursor 1x5t0z2p.h5v8m3k1q2`,
		Args: cobra.MaximumNArgs(1),
		RunE: a.run(func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				if f.url != "" {
					return usagef("the hub is given twice: %.64q and --url", args[0])
				}
				f.url = args[0]
			}
			return a.runSubscribe(cmd.Context(), f)
		}),
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringArrayVar(&f.topics, "topic", nil, "what to follow; repeat (required)")
	f.remote.define(cmd)
	flags.StringVar(&f.cursor, "cursor", "", "where to start: the id of the last event that was handled (default now)")
	flags.StringVar(&f.state, "state", "", "file that keeps the place over restarts")
	flags.IntVarP(&f.count, "count", "n", 0, "end after so many events (default never)")
	flags.BoolVar(&f.json, "json", false, `print a line {"id","event","data"} for each event`)
	cmd.MarkFlagsMutuallyExclusive("cursor", "state")
	_ = cmd.MarkFlagRequired("topic") // there is such a flag
	return cmd
}

func (a *app) runSubscribe(ctx context.Context, f subscribeFlags) error {
	target, header, err := f.check()
	if err != nil {
		return err
	}
	place, err := openPlace(f.state, f.cursor)
	if err != nil {
		return err
	}
	defer place.close()
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	opts := a.tell(header, place)
	opts.OnCursor = func(cursor string) {
		if err := place.keep(cursor); err != nil {
			stop(err)
		}
	}
	left := f.count
	for event, err := range client.Events(ctx, target, opts) {
		if err != nil {
			return refusedStream(err)
		}
		if err := a.printEvent(event, f.json); err != nil {
			return err
		}
		if err := place.keep(event.ID); err != nil {
			return err
		}
		if left--; left == 0 {
			break
		}
	}
	if err := context.Cause(ctx); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

func (f *subscribeFlags) check() (string, http.Header, error) {
	if f.count < 0 {
		return "", nil, usagef("-n %d: give 1 or more", f.count)
	}
	for _, topic := range f.topics {
		if err := eventlog.CheckTopic(topic); err != nil {
			return "", nil, usagef("--topic: %w", err)
		}
	}
	if _, err := eventlog.ParseCursor(f.cursor); err != nil {
		return "", nil, usagef("--cursor %.64q: %w: give the id of an event", f.cursor, err)
	}
	target, err := f.events(url.Values{"topic": f.topics})
	if err != nil {
		return "", nil, err
	}
	header, err := f.header()
	return target, header, err
}

// tell returns the options of a client that says on the standard error what becomes of the stream.
func (a *app) tell(header http.Header, place *place) *client.Options {
	say := func(format string, args ...any) { fmt.Fprintf(a.stderr, "buffkit subscribe: "+format+"\n", args...) }
	sayGaps := func(gaps []client.Gap) {
		for _, gap := range gaps {
			if strings.HasPrefix(gap.Topic, "~") { // the broker's own, which the hub doesn't publish to
				continue
			}
			say("gap: events of %q are lost (%s)", gap.Topic, gap.Reason)
		}
	}
	return &client.Options{
		Header: header,
		Cursor: place.cursor,
		OnOpen: func(o client.Open) {
			switch o.State {
			case client.Fresh:
				say("open: the stream starts now")
			case client.Resumed:
				say("open: resumed, %d stored events follow", o.Replay)
			default:
				say("open: after a gap, %d stored events follow", o.Replay)
			}
			sayGaps(o.Gaps)
		},
		OnGap: sayGaps,
		OnDisconnect: func(err error, retryIn time.Duration) {
			say("cut: %s; trying again in %v", withoutPackage(reason(err)), retryIn.Round(100*time.Millisecond))
		},
	}
}

func (a *app) printEvent(event client.Event, asJSON bool) error {
	if asJSON {
		return printJSON(a.stdout, struct {
			ID    string `json:"id"`
			Event string `json:"event,omitempty"`
			Data  string `json:"data"`
		}{event.ID, event.Name, string(event.Data)})
	}
	text := string(event.Data)
	if isTerminal(a.stdout) {
		text = harmless(text)
	}
	_, err := a.stdout.Write([]byte(text + "\n")) // in one piece, so that it is printed or not
	return err
}

// harmless keeps what others publish from giving orders to the terminal.
func harmless(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' && r != '\t' {
			return unicode.ReplacementChar
		}
		return r
	}, text)
}

// refusedStream says what to do about a final error.
func refusedStream(err error) error {
	text := withoutPackage(err)
	var refused *client.StatusError
	if errors.As(err, &refused) {
		switch refused.Status {
		case http.StatusUnauthorized:
			text += "; give a token with --token or $BUFFKIT_TOKEN (buffkit token makes one)"
		case http.StatusForbidden:
			text += "; the token must name every topic (buffkit token --subscribe)"
		}
	}
	return errors.New(text)
}

func withoutPackage(err error) string { return strings.TrimPrefix(err.Error(), "client: ") }

package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/buffkit/buffkit/eventlog"
	"github.com/spf13/cobra"
)

const (
	doctorTopic   = "~doctor"        // as the broker's own: no token names it, and no client reads it
	doctorTimeout = 30 * time.Second // a file of some gigabytes is read in it
	canarySlow    = time.Second      // a disk that syncs, and a network, take milliseconds
)

type doctorFlags struct {
	log, database, format string
	logNamed              bool // by a flag or the environment
	readOnly, strict      bool
	timeout               time.Duration
}

func (a *app) doctor() *cobra.Command {
	var f doctorFlags
	cmd := &cobra.Command{
		Use:   "doctor [flags]",
		Short: "Say what loses events or stops a log, and what to change",
		Long: `Look at where events are kept, and at a database, for what loses data, stops the work or makes it slow: the connection,
versions, rights, the server's settings, disks, clocks. Each finding says what to change; no setting is touched.

Then one event is stored on the topic ` + doctorTopic + `, which no client can read, and read back: nothing else proves that the rights
suffice and the whole way works. It is left out with --read-only, where there is no log yet, and where something is wrong already.

It looks at the log of --log, or $BUFFKIT_LOG, or else that of serve without --log; with --database alone, at that alone.

It ends with 1 if there is an error, or it can't look; with --strict also if there is a warning; else with 0.`,
		Example: `  buffkit doctor --log sqlite:buffkit-data
  buffkit doctor --log 'redis://user:password@localhost:6379' --strict
  buffkit doctor --log postgres://localhost/app --database postgres://localhost/app --format json`,
		Args:    noArgs,
		PreRunE: notEmpty,
		RunE: a.run(func(cmd *cobra.Command, _ []string) error {
			f.logNamed = cmd.Flags().Changed("log") || os.Getenv(logVar) != ""
			return a.runDoctor(cmd.Context(), &f)
		}),
	}
	flags := cmd.Flags()
	addLog(flags, &f.log, "the log, as serve takes it")
	flags.StringVar(&f.database, "database", "", "a database, as migrate takes it (default $"+databaseVar+")")
	flags.StringVar(&f.format, "format", "text", "text or json")
	flags.BoolVar(&f.readOnly, "read-only", false, "store nothing, not even the event that is read back")
	flags.BoolVar(&f.strict, "strict", false, "end with 1 if there is a warning too")
	flags.DurationVar(&f.timeout, "timeout", doctorTimeout, "how long looking at each may take")
	return cmd
}

// diagnosis is what was found of one thing.
type diagnosis struct {
	About    string             `json:"about"` // log or database
	Place    string             `json:"place"`
	Findings []eventlog.Finding `json:"findings"`
}

// subject is what doctor looks at.
type subject struct {
	about, place string
	look         func(ctx context.Context) ([]eventlog.Finding, error)
}

func (a *app) runDoctor(ctx context.Context, f *doctorFlags) error {
	write, ok := map[string]func(io.Writer, []diagnosis) error{"text": writeDiagnoses, "json": writeDiagnosesJSON}[f.format]
	switch {
	case !ok:
		return usagef("--format %.32q: use text or json", f.format)
	case f.timeout < time.Millisecond:
		return usagef("--timeout %v: give at least 1ms", f.timeout)
	}
	subjects, err := a.subjects(f)
	if err != nil {
		return err
	}
	var all []diagnosis
	for _, s := range subjects {
		found := s.findings(ctx, f.timeout)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		all = append(all, diagnosis{s.about, s.place, found})
	}
	if err := write(a.stdout, all); err != nil {
		return err
	}
	errs, warnings := countFindings(all)
	summary := fmt.Sprintf("%s, %s", plural(errs, "error"), plural(warnings, "warning"))
	if errs > 0 || f.strict && warnings > 0 {
		return errors.New(summary)
	}
	_, err = fmt.Fprintln(a.stderr, summary)
	return err
}

// subjects are those that the flags name; what is wrong with them is wrong usage.
func (a *app) subjects(f *doctorFlags) (all []subject, err error) {
	if f.logNamed || f.database == "" {
		at, err := parseLog(f.log)
		if err != nil {
			return nil, err
		}
		logger := slog.New(slog.NewTextHandler(a.stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
		all = append(all, subject{"log", at.String(), func(ctx context.Context) ([]eventlog.Finding, error) { return lookAtLog(ctx, at, f.readOnly, logger) }})
	}
	if url := cmp.Or(f.database, os.Getenv(databaseVar)); url != "" {
		target, err := parseDatabase(url)
		if err != nil {
			return nil, usageError{err}
		}
		all = append(all, subject{"database", target.place(), target.look})
	}
	return all, nil
}

// findings looks for so long at most. That it can't is a finding too.
func (s subject) findings(ctx context.Context, timeout time.Duration) []eventlog.Finding {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	found, err := s.look(ctx)
	if err != nil {
		do := "make it reachable for this user and machine, as the error says; then look again"
		if errors.Is(err, context.DeadlineExceeded) {
			do = fmt.Sprintf("find out why it doesn't answer, or give it longer than %v with --timeout", timeout)
		}
		found = append(found, eventlog.FoundError("can't look: "+err.Error(), do))
	}
	return found
}

func lookAtLog(ctx context.Context, at logPlace, readOnly bool, logger *slog.Logger) ([]eventlog.Finding, error) {
	found, err := at.check(ctx)
	if err != nil || readOnly || countLevel(found, eventlog.LevelError) > 0 {
		return found, err
	}
	log, err := at.visit(ctx, logger)
	if errors.Is(err, errNoLog) {
		return found, nil
	}
	if err == nil {
		defer log.Close()
	}
	return append(found, canary(ctx, log, err)), nil
}

// canary stores an event and reads it back. The error is that of opening the log.
func canary(ctx context.Context, log eventlog.Log, err error) eventlog.Finding {
	began := time.Now()
	if err == nil {
		err = storeAndRead(ctx, log)
	}
	took := time.Since(began).Round(100 * time.Microsecond)
	what := fmt.Sprintf("an event was stored on the topic %s and read back, in %v", doctorTopic, took)
	switch {
	case err != nil:
		return eventlog.FoundError("an event can't be stored and read back: "+err.Error(), "what the error says; a hub that opens this log fails likewise")
	case took > canarySlow:
		return eventlog.FoundWarning(what, "look at the load and the disk of the server, and the way to it")
	}
	return eventlog.FoundOK(what)
}

func storeAndRead(ctx context.Context, log eventlog.Log) error {
	before, err := log.Head(ctx)
	if err != nil {
		return err
	}
	at, err := log.Append(ctx, eventlog.Event{Topic: doctorTopic, Data: []byte("buffkit doctor")})
	if err != nil {
		return err
	}
	batch, err := log.Read(ctx, []string{doctorTopic}, before, 1000)
	if err != nil {
		return err
	}
	for _, e := range batch.Entries {
		if e.Offset == at[0].At(0) {
			return nil
		}
	}
	return fmt.Errorf("it was stored at %v, and isn't there when it is read", at[0])
}

func countLevel(found []eventlog.Finding, level eventlog.Level) (n int) {
	for _, f := range found {
		if f.Level == level {
			n++
		}
	}
	return n
}

func countFindings(all []diagnosis) (errs, warnings int) {
	for _, d := range all {
		errs += countLevel(d.Findings, eventlog.LevelError)
		warnings += countLevel(d.Findings, eventlog.LevelWarning)
	}
	return errs, warnings
}

func plural(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return fmt.Sprintf("%d %ss", n, word)
}

func writeDiagnoses(w io.Writer, all []diagnosis) error {
	for _, d := range all {
		if _, err := fmt.Fprintf(w, "%s: %s\n", d.About, d.Place); err != nil {
			return err
		}
		for _, f := range d.Findings {
			line := fmt.Sprintf("  %-7s  %s\n", f.Level, f.What)
			if f.Do != "" {
				line += fmt.Sprintf("  %-7s  %s\n", "", "-> "+f.Do)
			}
			if _, err := io.WriteString(w, line); err != nil {
				return err
			}
		}
	}
	return nil
}

func writeDiagnosesJSON(w io.Writer, all []diagnosis) error {
	errs, warnings := countFindings(all)
	return printJSON(w, struct {
		Checks   []diagnosis `json:"checks"`
		Errors   int         `json:"errors"`
		Warnings int         `json:"warnings"`
	}{all, errs, warnings})
}

package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/buffkit/buffkit/cmd/buffkit/internal/access"
	"github.com/buffkit/buffkit/cmd/buffkit/internal/hub"
	"github.com/buffkit/buffkit/eventlog"
	"github.com/buffkit/buffkit/eventlog/sqlarchive"
	"github.com/buffkit/buffkit/push"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

const (
	defaultAddr = "localhost:8080"

	defaultHeaderTimeout = 5 * time.Second // a request's header is a packet or two
	idleTimeout          = 2 * time.Minute // of a connection between requests; over the 60 s that proxies keep theirs
	maxHeaderBytes       = 64 << 10        // 64 topics of the longest names, a token and a cursor
	closeTimeout         = 3 * time.Second // for what is under way after the drain window; together under Docker's 10 s
)

type serveFlags struct {
	addr, log  string
	sessions   string
	archive    string
	archiveAge time.Duration
	secretFile string
	insecure   bool
	json       bool
	verbose    bool

	retainEvents int
	retainBytes  byteSize
	retainAge    time.Duration
	budget       byteSize
	eventBytes   byteSize

	hub           hub.Options
	batchBytes    byteSize
	headerTimeout time.Duration
}

func (a *app) serve() *cobra.Command {
	var f serveFlags
	cmd := &cobra.Command{
		Use:   "serve [flags]",
		Short: "Serve a hub over HTTP",
		Long: `Serve a hub that any language can publish to and follow, over HTTP:

  GET  /events?topic=a&topic=b   the stream
  POST /events?topic=a           publish: the body is the data
  GET  /history?topic=a          what is kept, by the page
  GET  /livez, /readyz           health
  GET  /metrics                  counts, for Prometheus

Who may read and publish what stands in access tokens (buffkit token). Without a secret, --insecure lets anybody who
reaches the hub do everything; it is refused on any address but loopback.

Ctrl-C or SIGTERM drains: every stream is told when to come back, spread over --drain-window. A second one ends at once.`,
		Example: `  buffkit serve --insecure
  buffkit serve --addr :8080 --secret-file buffkit.secret --allow-origin https://app.example.com
  curl -N 'http://localhost:8080/events?topic=news'
  curl -d hello 'http://localhost:8080/events?topic=news'`,
		Args: noArgs,
		RunE: a.run(func(cmd *cobra.Command, _ []string) error {
			if err := checkGiven(cmd.Flags()); err != nil {
				return err
			}
			return a.runServe(cmd.Context(), &f)
		}),
	}
	f.define(cmd)
	return cmd
}

// checkGiven refuses what was given and would mean nothing: a script's variable that is empty would leave the archive out without a word.
func checkGiven(flags *pflag.FlagSet) error {
	for _, name := range []string{"archive", "sessions", "secret-file"} {
		if flag := flags.Lookup(name); flag.Changed && flag.Value.String() == "" {
			return usagef("--%s is empty: give it a value, or leave it out", name)
		}
	}
	if flags.Changed("archive-age") && !flags.Changed("archive") {
		return usagef("--archive-age is about --archive: name one, or leave it out; how long the log itself keeps an event is --retain-age")
	}
	return nil
}

func (f *serveFlags) define(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.SortFlags = false // in the order that a reader needs them
	flags.StringVar(&f.addr, "addr", defaultAddr, "HOST:PORT to listen on; port 0 picks a free one")
	flags.StringVar(&f.secretFile, "secret-file", "", "file with the secret of access tokens, one a line (default $"+secretVar+")")
	flags.BoolVar(&f.insecure, "insecure", false, "no access control; loopback addresses only")
	addLog(flags, &f.log, "where the events are kept: memory, sqlite:DIR for a file in a folder, redis://… or postgres://… for several nodes")
	flags.StringVar(&f.sessions, "sessions", "", "what several nodes agree on about sessions: memory for this node alone, redis://…, postgres://…, mysql://…, "+
		"mariadb://… or sqlite:FILE (default that of --log, if it is redis or postgres)")
	flags.StringVar(&f.archive, "archive", "", "where events go on to be kept that --log redis://… drops: postgres://…, mysql://…, mariadb://… or sqlite:FILE")
	flags.DurationVar(&f.archiveAge, "archive-age", sqlarchive.DefaultAge, "how long an event is kept in the archive; 0: no limit")
	flags.StringArrayVar(&f.hub.AllowOrigins, "allow-origin", nil, "browser origin whose pages may call, as in https://app.example.com; repeat")
	flags.BoolVar(&f.json, "json", false, "print the address and the log as JSON lines")
	flags.BoolVar(&f.verbose, "verbose", false, "log every stream that begins, ends, or is refused")

	f.retainBytes, f.budget, f.eventBytes = eventlog.DefaultRetentionBytes, eventlog.DefaultMaxBytes, eventlog.DefaultMaxEventBytes
	f.batchBytes = hub.DefaultMaxBatchBytes
	flags.IntVar(&f.retainEvents, "retain-events", eventlog.DefaultRetentionCount, "events kept of a topic; 0: no limit")
	flags.Var(&f.retainBytes, "retain-bytes", "bytes kept of a topic; 0: no limit")
	flags.DurationVar(&f.retainAge, "retain-age", eventlog.DefaultRetentionAge, "how long an event is kept; 0: no limit")
	flags.Var(&f.budget, "budget", "bytes of all that is kept; over it the largest topics lose their oldest events; 0: no limit")
	flags.Var(&f.eventBytes, "max-event-bytes", "largest event")
	flags.Var(&f.batchBytes, "max-batch-bytes", "largest body of a batch")

	p := &f.hub.Push
	flags.IntVar(&p.Limits.MaxTopics, "max-topics", push.DefaultMaxTopics, "topics of one stream; 0: no limit")
	flags.IntVar(&p.Limits.MaxConnections, "max-connections", push.DefaultMaxConnections, "open streams; 0: no limit")
	flags.IntVar(&p.Limits.MaxConnectionsPerUser, "max-connections-per-user", 0, "open streams of one user; 0: no limit")
	flags.DurationVar(&p.Heartbeat, "heartbeat", push.DefaultHeartbeat, "longest silence on a stream")
	flags.DurationVar(&p.Retry, "retry", push.DefaultRetry, "how long a client waits before it reconnects, about")
	flags.DurationVar(&p.WriteTimeout, "write-timeout", push.DefaultWriteTimeout, "how long one write may wait for a client before it is cut")
	flags.DurationVar(&p.DrainWindow, "drain-window", push.DefaultDrainWindow, "time over which a shutdown spreads the goodbyes")
	flags.DurationVar(&p.SessionTTL, "session-ttl", push.DefaultSessionTTL, "how long a session is kept after its last stream ended")
	flags.StringVar(&p.SessionCookie, "session-cookie", "", "name of a cookie that keeps a browser's session over a reload (default none)")
	flags.BoolVar(&p.SessionCookieSecure, "session-cookie-secure", false, "mark the cookie Secure, where TLS ends before the hub")
	flags.DurationVar(&f.headerTimeout, "header-timeout", defaultHeaderTimeout, "how long a request's header may take to come in")
	flags.DurationVar(&f.hub.BodyTimeout, "body-timeout", hub.DefaultBodyTimeout, "how long a request's body may take to come in")
}

// options checks the flags and turns them into the options of the log and the hub.
func (f *serveFlags) options() (*eventlog.MemoryOptions, *hub.Options, error) {
	p := &f.hub.Push
	for name, d := range map[string]time.Duration{
		"heartbeat": p.Heartbeat, "retry": p.Retry, "write-timeout": p.WriteTimeout, "drain-window": p.DrainWindow,
		"session-ttl": p.SessionTTL, "header-timeout": f.headerTimeout, "body-timeout": f.hub.BodyTimeout,
	} {
		if d < time.Millisecond {
			return nil, nil, usagef("--%s %v: give at least 1ms", name, d)
		}
	}
	for name, n := range map[string]int64{
		"retain-events": int64(f.retainEvents), "retain-age": int64(f.retainAge), "max-topics": int64(p.Limits.MaxTopics),
		"max-connections": int64(p.Limits.MaxConnections), "max-connections-per-user": int64(p.Limits.MaxConnectionsPerUser),
	} {
		if n < 0 {
			return nil, nil, usagef("--%s is negative: give 0 for no limit", name)
		}
	}
	if f.eventBytes == 0 || f.batchBytes == 0 {
		return nil, nil, usagef("--max-event-bytes and --max-batch-bytes bound the memory of a request: give more than 0")
	}
	for _, limit := range []*int{&p.Limits.MaxTopics, &p.Limits.MaxConnections, &p.Limits.MaxConnectionsPerUser} {
		*limit = int(orNoLimit(int64(*limit)))
	}
	f.hub.MaxEventBytes, f.hub.MaxBatchBytes = int(f.eventBytes), int(f.batchBytes)
	return &eventlog.MemoryOptions{
		Retention: eventlog.Retention{
			Count: int(orNoLimit(int64(f.retainEvents))),
			Bytes: orNoLimit(int64(f.retainBytes)),
			Age:   time.Duration(orNoLimit(int64(f.retainAge))),
		},
		MaxBytes:      orNoLimit(int64(f.budget)),
		MaxEventBytes: int(f.eventBytes),
	}, &f.hub, nil
}

// orNoLimit turns the command line's 0 into the packages' "no limit".
func orNoLimit(n int64) int64 {
	if n == 0 {
		return -1
	}
	return n
}

func (a *app) runServe(ctx context.Context, f *serveFlags) error {
	logger := a.logger(f)
	at, bounds, newHub, err := f.read(ctx, logger)
	if err != nil {
		return err
	}
	openSessions, err := f.parseSessions()
	if err != nil {
		return err
	}
	log, err := at.open(ctx, *bounds, logger)
	if err != nil {
		return fmt.Errorf("open the log %v: %w (buffkit doctor with the same --log says more)", at, err)
	}
	defer log.Close()
	if openSessions != nil {
		sessions, err := openSessions(ctx, logger)
		if err != nil {
			return fmt.Errorf("open --sessions: %w", err)
		}
		defer sessions.Close()
		f.hub.Push.Sessions = sessions
	}
	h, err := newHub(log)
	if err != nil {
		return err
	}
	defer h.Close()
	listener, err := f.listen(ctx) // the last thing that can be wrong, so that nobody connects in vain
	if err != nil {
		return err
	}
	defer listener.Close()
	if err := a.announce(f, listener); err != nil {
		return err
	}
	logger.Info("events are kept", "log", at.String())
	if f.insecure {
		logger.Warn("insecure: anybody who reaches this address may read and publish everything")
	}
	return serve(ctx, listener, h, f, logger)
}

// hubMaker makes a hub on a log, with the options of the command line.
type hubMaker func(eventlog.Log) (*hub.Hub, error)

// read checks all flags before anything is made: where the log is, with which bounds, and how to make a hub of it.
func (f *serveFlags) read(ctx context.Context, logger *slog.Logger) (at logPlace, bounds *eventlog.MemoryOptions, newHub hubMaker, err error) {
	bounds, opts, err := f.options()
	if err != nil {
		return nil, nil, nil, err
	}
	if at, err = parseLog(f.log); err != nil {
		return nil, nil, nil, err
	}
	if at, err = f.withArchive(at); err != nil {
		return nil, nil, nil, err
	}
	keys, err := f.access()
	if err != nil {
		return nil, nil, nil, err
	}
	if err := f.checkAddr(ctx); err != nil {
		return nil, nil, nil, err
	}
	opts.Logger = logger
	opts.Push.Hooks = logHooks(logger)
	newHub = func(log eventlog.Log) (*hub.Hub, error) { return hub.New(log, keys, opts) }
	if keys == nil {
		newHub = func(log eventlog.Log) (*hub.Hub, error) { return hub.NewInsecure(log, opts) }
	}
	return at, bounds, newHub, tryOut(newHub)
}

// tryOut makes a hub of an empty log, so that what is wrong with its options is told before there is a folder, or a table, of the real one.
func tryOut(newHub hubMaker) error {
	log := eventlog.NewMemory(nil)
	defer log.Close()
	h, err := newHub(log)
	if err != nil {
		return usageError{err}
	}
	return h.Close()
}

// access returns the keys of access tokens, nil with --insecure.
func (f *serveFlags) access() (*access.Keys, error) {
	if f.insecure {
		if f.secretFile != "" {
			return nil, usagef("--insecure and --secret-file exclude each other: with a secret, access is by token")
		}
		return nil, nil
	}
	keys, err := loadKeys(f.secretFile)
	if err == nil && keys == nil {
		return nil, usagef("no secret: make one with\n  buffkit token --new-secret --secret-file buffkit.secret\n" +
			"and serve with --secret-file buffkit.secret; or, to try it out on this machine, with --insecure")
	}
	return keys, err
}

// serve serves until the context ends, and then drains.
func serve(ctx context.Context, listener net.Listener, h *hub.Hub, f *serveFlags, logger *slog.Logger) error {
	server := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: f.headerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(logger.Handler(), slog.LevelWarn),
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	select {
	case err := <-ended:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}

	window := f.hub.Push.DrainWindow
	logger.Info("draining", "window", window.String())
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), window+closeTimeout)
	defer cancel()
	if err := errors.Join(h.Drain(drain), server.Shutdown(drain)); err != nil {
		logger.Warn("cut what didn't end in time", "error", err) // a client's fault, and it knows: that is no failure of ours
		server.Close()
	}
	<-ended
	logger.Info("drained")
	return nil
}

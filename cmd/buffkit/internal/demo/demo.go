package demo

//go:generate sh vendor.sh

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/buffkit/buffkit/cmd/buffkit/internal/loopback"
	"github.com/buffkit/buffkit/eventlog"
	"github.com/buffkit/buffkit/push"
)

// DefaultAddr is where the demo listens, if nobody else does.
const DefaultAddr = "localhost:8080"

const (
	pulseInterval  = 250 * time.Millisecond // quick enough to see a cut at once, slow enough to read
	sampleInterval = time.Second

	// pulsesKept is the history of the pulses: two and a half minutes. A longer absence is told as a gap, and so is what
	// "Overflow the history" does. Nobody wants to see more charts drawn on the way back.
	pulsesKept = 600

	reconnect      = time.Second     // until a tab tries again; visitors look at the page while they wait
	drainWindow    = time.Second     // and at the terminal after Ctrl-C
	shutdownTime   = 5 * time.Second // for requests under way
	headerTimeout  = 5 * time.Second // for a client to send its request
	bodyTimeout    = 5 * time.Second // and its body
	maxRequestBody = 4 << 10         // a line of the list, with room
)

// Options of Run and New. The zero value means the defaults.
type Options struct {
	// Addr is where to listen, HOST:PORT. If the port is taken, the demo opens on a free one. Default DefaultAddr.
	Addr string
	// Folder is where the events are kept, so that a demo that is started again goes on where this one was. It must be there. A second demo
	// in it keeps its events in memory. Default "": memory, for this one too.
	Folder string
	// Out is told the address, in a line "buffkit demo: http://HOST:PORT". Default: nobody.
	Out io.Writer
	// Logger gets what goes wrong. Default slog.Default().
	Logger *slog.Logger
}

func (o Options) withDefaults() Options {
	if o.Addr == "" {
		o.Addr = DefaultAddr
	}
	if o.Out == nil {
		o.Out = io.Discard
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return o
}

// Run serves the demo until ctx ends; then every tab is told goodbye. It returns nil for that end.
func Run(ctx context.Context, opts Options) error {
	opts = opts.withDefaults()
	ln, err := listen(ctx, opts.Addr)
	if err != nil {
		return err
	}
	d, err := New(opts)
	if err != nil {
		_ = ln.Close()
		return err
	}
	if _, err := fmt.Fprintf(opts.Out, "buffkit demo: http://%s\n", address(opts.Addr, ln)); err != nil {
		opts.Logger.Warn("demo: print the address", "err", err)
	}
	opts.Logger.Info("events are kept", "log", d.place(opts))
	return errors.Join(d.Serve(ctx, ln), d.Close())
}

// windowsAddrInUse is what Windows says instead of EADDRINUSE.
const windowsAddrInUse = syscall.Errno(10048) // WSAEADDRINUSE

func listen(ctx context.Context, addr string) (net.Listener, error) {
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", addr)
	if errors.Is(err, syscall.EADDRINUSE) || errors.Is(err, windowsAddrInUse) {
		host, _, splitErr := net.SplitHostPort(addr)
		if splitErr == nil {
			ln, err = lc.Listen(ctx, "tcp", net.JoinHostPort(host, "0"))
		}
	}
	if err != nil {
		return nil, fmt.Errorf("demo: %w", err)
	}
	return ln, nil
}

// address returns the host that was asked for, which people know, with the port it became. Where Serve answers to loopback names
// only, another name of this machine becomes its address.
func address(asked string, ln net.Listener) string {
	host, _, err := net.SplitHostPort(asked)
	_, port, err2 := net.SplitHostPort(ln.Addr().String())
	if err != nil || err2 != nil {
		return ln.Addr().String()
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	if loopback.Listens(ln) && !loopback.IsName(host) {
		return ln.Addr().String()
	}
	return net.JoinHostPort(host, port)
}

// Demo is the page, and everything behind it, as an http.Handler. It runs from New to Close.
type Demo struct {
	publisher *publisher
	broker    *push.Broker
	log       eventlog.Log
	network   *network
	handler   http.Handler
	logger    *slog.Logger
	run       string // the log's identity: the numbers of another log begin anew
	retention int
	interval  time.Duration

	bodyTimeout time.Duration

	stop context.CancelFunc
	done sync.WaitGroup
}

// rhythm is how fast the demo goes; tests are in a hurry.
type rhythm struct {
	pulse, sample time.Duration
	drain         time.Duration // the goodbyes
	retention     int           // pulses
}

// New returns a running demo. Of the options it uses the Logger. The switch that cuts the network works under Serve; another
// server of the handler lets every stream through.
func New(opts Options) (*Demo, error) {
	return start(opts.withDefaults(), rhythm{pulseInterval, sampleInterval, drainWindow, pulsesKept})
}

func start(opts Options, r rhythm) (*Demo, error) {
	ctx, stop := context.WithCancel(context.Background())
	log, err := openLog(ctx, opts, r)
	if err != nil {
		stop()
		return nil, err
	}
	d := &Demo{
		log:       log,
		network:   newNetwork(),
		logger:    opts.Logger,
		retention: r.retention,
		interval:  r.pulse,

		bodyTimeout: bodyTimeout,

		stop: stop,
	}
	if err := d.begin(ctx, r); err != nil {
		stop()
		return nil, errors.Join(err, log.Close())
	}

	samples := make(chan sample)
	d.done.Go(func() { watchMachine(ctx, opts.Logger, r.sample, samples) })
	d.done.Go(func() {
		ticker := time.NewTicker(r.pulse)
		defer ticker.Stop()
		d.publisher.run(ctx, ticker.C, samples)
	})
	return d, nil
}

// begin makes what needs the log: the publisher, which goes on where the log is, and the broker.
func (d *Demo) begin(ctx context.Context, r rhythm) error {
	head, err := d.log.Head(ctx)
	if err != nil {
		return err
	}
	d.run = strconv.FormatUint(head.Epoch(), 36)
	before, err := goOn(ctx, d.log)
	if err != nil {
		return err
	}
	d.publisher = &publisher{
		logger: d.logger,
		host:   readHost(ctx, d.logger),
		edits:  make(chan request[edit]),
		bursts: make(chan request[int]),
	}
	d.publisher.state.Store(before)
	d.broker, err = push.New(push.Public(topics...), &push.Options{
		Log:         d.log,
		Snapshot:    d.publisher.snapshot,
		Logger:      d.logger,
		Retry:       reconnect,
		DrainWindow: r.drain,
	})
	if err != nil {
		return err
	}
	d.publisher.broker = d.broker
	d.handler = d.routes()
	return nil
}

// place is where the events are kept.
func (d *Demo) place(opts Options) string {
	if _, ok := d.log.(*locked); ok {
		return "sqlite:" + opts.Folder
	}
	return "memory"
}

// watchMachine sends samples until ctx ends. It has a goroutine of its own: a file system that hangs stops only the charts.
func watchMachine(ctx context.Context, logger *slog.Logger, every time.Duration, samples chan<- sample) {
	sampler := newSampler(ctx, logger)
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		select {
		case <-ctx.Done():
			return
		case samples <- sampler.sample(ctx):
		}
	}
}

// ServeHTTP serves the page, its stream and its switches.
func (d *Demo) ServeHTTP(w http.ResponseWriter, r *http.Request) { d.inTime(d.handler).ServeHTTP(w, r) }

// inTime bounds how long the body of a request may take to come in, also of one that is refused: net/http reads what is left of
// it before it sends the answer. Nothing here works longer than that on a request with a body.
func (d *Demo) inTime(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength != 0 {
			_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(d.bodyTimeout)) // a writer may hide it, in a test say
		}
		next.ServeHTTP(w, r)
	})
}

// Serve serves the listener, with the switch, until ctx ends. Then it says goodbye to the tabs, which reconnect and find out that
// nobody is there, and waits for requests under way. It closes the listener. On a loopback address it answers to loopback names
// only, so that no web page can read or edit through a name of its own that leads here.
func (d *Demo) Serve(ctx context.Context, ln net.Listener) error {
	handler := d.handler
	if loopback.Listens(ln) {
		handler = loopback.Only(handler, http.HandlerFunc(misdirected))
	}
	server := &http.Server{
		Handler:           d.inTime(handler),
		ConnContext:       withLine,
		ReadHeaderTimeout: headerTimeout,
		ErrorLog:          slog.NewLogLogger(d.logger.Handler(), slog.LevelDebug),
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(lines{ln, d.network}) }()
	select {
	case err := <-served:
		return fmt.Errorf("demo: %w", err)
	case <-ctx.Done():
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainWindow+shutdownTime)
	defer cancel()
	err := d.broker.Drain(ctx)
	err = errors.Join(err, server.Shutdown(ctx))
	<-served
	if err != nil {
		return fmt.Errorf("demo: shut down: %w", err)
	}
	return nil
}

func misdirected(w http.ResponseWriter, r *http.Request) {
	http.Error(w, fmt.Sprintf("the demo answers to localhost and loopback addresses only, not to %.128q", r.Host),
		http.StatusMisdirectedRequest)
}

// Close stops what New started and waits for it.
func (d *Demo) Close() error {
	d.stop()
	d.done.Wait()
	err := d.broker.Close()
	if errors.Is(err, push.ErrClosed) { // Drain has closed it
		err = nil
	}
	return errors.Join(err, d.log.Close())
}

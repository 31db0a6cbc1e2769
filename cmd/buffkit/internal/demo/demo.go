package demo

//go:generate sh vendor.sh

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"syscall"
	"time"

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
	maxRequestBody = 4 << 10         // a line of the list, with room
)

// Options of Run and New. The zero value means the defaults.
type Options struct {
	// Addr is where to listen, HOST:PORT. If the port is taken, the demo opens on a free one. Default DefaultAddr.
	Addr string
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

// address returns the host that was asked for, which people know, with the port it became.
func address(asked string, ln net.Listener) string {
	host, _, err := net.SplitHostPort(asked)
	_, port, err2 := net.SplitHostPort(ln.Addr().String())
	if err != nil || err2 != nil {
		return ln.Addr().String()
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	return net.JoinHostPort(host, port)
}

// Demo is the page, and everything behind it, as an http.Handler. It runs from New to Close.
type Demo struct {
	publisher *publisher
	broker    *push.Broker
	log       *eventlog.Memory
	network   *network
	handler   http.Handler
	logger    *slog.Logger
	run       string
	retention int
	interval  time.Duration

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
	d := &Demo{
		log: eventlog.NewMemory(&eventlog.MemoryOptions{RetentionOf: func(topic string) eventlog.Retention {
			switch topic {
			case topicPulse:
				return eventlog.Retention{Count: r.retention}
			case topicMachine:
				return eventlog.Retention{Count: max(1, r.retention*int(r.pulse)/int(r.sample))} // as long as the pulses
			}
			return eventlog.Retention{}
		}}),
		network:   newNetwork(),
		logger:    opts.Logger,
		run:       rand.Text(),
		retention: r.retention,
		interval:  r.pulse,
	}
	ctx, stop := context.WithCancel(context.Background())
	d.stop = stop
	d.publisher = &publisher{
		logger: opts.Logger,
		host:   readHost(ctx, opts.Logger),
		edits:  make(chan request[edit]),
		bursts: make(chan request[int]),
	}
	d.publisher.state.Store(&state{items: firstItems()})
	broker, err := push.New(push.Public(topics...), &push.Options{
		Log:         d.log,
		Snapshot:    d.publisher.snapshot,
		Logger:      opts.Logger,
		Retry:       reconnect,
		DrainWindow: r.drain,
	})
	if err != nil {
		stop()
		return nil, errors.Join(err, d.log.Close())
	}
	d.broker, d.publisher.broker = broker, broker
	d.handler = d.routes()

	samples := make(chan sample)
	d.done.Go(func() { watchMachine(ctx, opts.Logger, r.sample, samples) })
	d.done.Go(func() {
		ticker := time.NewTicker(r.pulse)
		defer ticker.Stop()
		d.publisher.run(ctx, ticker.C, samples)
	})
	return d, nil
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
func (d *Demo) ServeHTTP(w http.ResponseWriter, r *http.Request) { d.handler.ServeHTTP(w, r) }

// Serve serves the listener, with the switch, until ctx ends. Then it says goodbye to the tabs, which reconnect and find out that
// nobody is there, and waits for requests under way. It closes the listener.
func (d *Demo) Serve(ctx context.Context, ln net.Listener) error {
	server := &http.Server{
		Handler:           d,
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

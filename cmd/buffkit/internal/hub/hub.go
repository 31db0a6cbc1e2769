package hub

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/buffkit/buffkit/cmd/buffkit/internal/access"
	"github.com/buffkit/buffkit/eventlog"
	"github.com/buffkit/buffkit/push"
)

// Defaults of Options.
const (
	DefaultMaxBatchBytes = 8 << 20          // eight events of the default largest size
	DefaultBodyTimeout   = 30 * time.Second // the default batch at 2 Mbit/s
	DefaultCheckTimeout  = 2 * time.Second  // under the 3 s that probes commonly wait
	DefaultCheckInterval = time.Second      // probes commonly ask every 10 s, so each still gets a canary of its own
)

// Options of New. Zero fields mean the defaults.
type Options struct {
	// Push configures the broker. Its Log and Keys are set by New; its Limits, Hooks and times are the caller's.
	Push push.Options
	// AllowOrigins are the browser origins, besides the hub's own, whose pages may read and publish: "https://app.example.com".
	AllowOrigins []string
	// MaxEventBytes bounds the body of one event. It should be the log's own limit. Default eventlog.DefaultMaxEventBytes.
	MaxEventBytes int
	// MaxBatchBytes bounds the body of a batch. Default DefaultMaxBatchBytes.
	MaxBatchBytes int
	// BodyTimeout is how long the body of a request may take to come in. Default DefaultBodyTimeout.
	BodyTimeout time.Duration
	// CheckTimeout is how long the canary of /readyz may take. Default DefaultCheckTimeout.
	CheckTimeout time.Duration
	// CheckInterval is how long what a canary proved is good for: anybody may ask /readyz, and a canary is a write. Default
	// DefaultCheckInterval.
	CheckInterval time.Duration
	// Logger gets what nobody else is told. Default: slog.Default().
	Logger *slog.Logger
}

// Hub is the http.Handler. Its methods may be called at the same time.
type Hub struct {
	log    eventlog.Log
	keys   *access.Keys // nil: anybody may do anything
	broker *push.Broker
	opts   Options
	root   http.Handler

	draining atomic.Bool // /readyz says no
	health   health
}

// sessionPurpose derives the keys of session tokens from the secrets, so that no token of one kind verifies as the other.
const sessionPurpose = "buffkit session token"

// New returns a hub on a log, which stays the caller's to close. Access is by tokens that the keys have signed.
func New(log eventlog.Log, keys *access.Keys, opts *Options) (*Hub, error) {
	return newHub(log, keys, opts)
}

// NewInsecure returns a hub at which anybody who reaches it may read and publish everything. It answers only requests whose
// Host is a loopback name, so that no web page can reach it through a name of its own that leads here.
func NewInsecure(log eventlog.Log, opts *Options) (*Hub, error) {
	return newHub(log, nil, opts)
}

func newHub(log eventlog.Log, keys *access.Keys, opts *Options) (*Hub, error) {
	h := &Hub{log: log, keys: keys, opts: opts.withDefaults()}
	pushOpts := h.opts.Push
	pushOpts.Log = log
	if keys != nil {
		session, err := keys.Derive(sessionPurpose)
		if err != nil {
			return nil, err
		}
		for _, key := range session {
			pushOpts.Keys = append(pushOpts.Keys, push.Key{ID: key.ID, Secret: key.Secret})
		}
	}
	var err error
	if h.broker, err = push.New(h.authorizeStream, &pushOpts); err != nil {
		return nil, err
	}
	if h.root, err = h.routes(); err != nil {
		return nil, errors.Join(err, h.broker.Close())
	}
	return h, nil
}

func (o *Options) withDefaults() Options {
	var c Options
	if o != nil {
		c = *o
	}
	c.MaxEventBytes = or(c.MaxEventBytes, eventlog.DefaultMaxEventBytes)
	c.MaxBatchBytes = or(c.MaxBatchBytes, DefaultMaxBatchBytes)
	c.BodyTimeout = or(c.BodyTimeout, DefaultBodyTimeout)
	c.CheckTimeout = or(c.CheckTimeout, DefaultCheckTimeout)
	c.CheckInterval = or(c.CheckInterval, DefaultCheckInterval)
	c.Logger = or(c.Logger, slog.Default())
	c.Push.Logger = or(c.Push.Logger, c.Logger)
	return c
}

func or[T comparable](v, def T) T {
	var zero T
	if v == zero {
		return def
	}
	return v
}

// ServeHTTP implements http.Handler.
func (h *Hub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.ContentLength != 0 {
		// Also for a request that is refused: net/http reads what is left of its body before it sends the answer. Where the
		// writer hides the deadline (in a test, say) the body may take as long as it likes.
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(h.opts.BodyTimeout))
	}
	h.root.ServeHTTP(w, r)
}

// Drain says goodbye to all streams, in waves, and refuses new ones: see push.Broker.Drain. From its start /readyz says no.
// Publishing goes on until Close.
func (h *Hub) Drain(ctx context.Context) error {
	h.draining.Store(true)
	return h.broker.Drain(ctx)
}

// Close ends what is left of the streams at once.
func (h *Hub) Close() error { return h.broker.Close() }

// routes is the table of the HTTP surface.
func (h *Hub) routes() (http.Handler, error) {
	mux := http.NewServeMux()
	mux.Handle("GET /events", h.answer(h.stream))
	mux.Handle("POST /events", h.answer(h.publish))
	mux.Handle("/events", h.answer(allow("GET, POST")))
	mux.Handle("GET /history", h.answer(h.history))
	mux.Handle("/history", h.answer(allow("GET")))
	mux.Handle("GET /livez", h.answer(h.live))
	mux.Handle("/livez", h.answer(allow("GET")))
	mux.Handle("GET /readyz", h.answer(h.ready))
	mux.Handle("/readyz", h.answer(allow("GET")))
	mux.Handle("GET /metrics", h.answer(h.metrics))
	mux.Handle("/metrics", h.answer(allow("GET")))
	mux.Handle("/", h.answer(func(_ http.ResponseWriter, r *http.Request) error {
		return newProblem(http.StatusNotFound, "not_found",
			"there is no %.64q: the paths are /events, /history, /livez, /readyz and /metrics", r.URL.Path)
	}))
	return h.guard(mux)
}

// stream answers GET /events.
func (h *Hub) stream(w http.ResponseWriter, r *http.Request) error {
	if r.ContentLength != 0 { // as the broker, which doesn't say it in JSON
		return badRequest("a request for a stream has no body")
	}
	h.broker.ServeHTTP(w, r)
	return nil
}

func allow(methods string) handlerFunc {
	return func(w http.ResponseWriter, r *http.Request) error {
		w.Header().Set("Allow", methods)
		return newProblem(http.StatusMethodNotAllowed, "method_not_allowed",
			"%s takes %s, not %.16q", r.URL.Path, methods, r.Method)
	}
}

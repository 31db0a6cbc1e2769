package client

import (
	"context"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"time"
)

// Defaults of Options.
const (
	DefaultMinRetry    = 500 * time.Millisecond // a handover between cells takes about as long; it only counts until the server has said retry
	DefaultMaxRetry    = 30 * time.Second       // a server that is back after an hour is found within half a minute
	DefaultOpenTimeout = 30 * time.Second       // what net/http gives a dial alone
)

const clientName = "go/0.1" // NAME/VERSION of the header Buffkit-Client

// Event is one event of the application. Control events (docs/wire.md section 4) aren't yielded.
type Event struct {
	// ID is the cursor as of this event. Whoever stores it can go on from here with Options.Cursor. It is "" until the server
	// sends ids; an event without an id of its own has that of the one before.
	ID string
	// Name is the event's type, "" for an unnamed event ("message").
	Name string
	// Data is the payload. It belongs to the caller.
	Data []byte
}

// Options of Events. The zero value, and nil, mean the defaults. The functions are called by the goroutine that ranges, one at
// a time; nothing is read while one runs.
type Options struct {
	// HTTP makes the requests. Its Timeout must be 0, or it cuts the stream each time. Default: a client on http.DefaultTransport.
	HTTP *http.Client
	// Header is added to every request: Authorization, say. Events doesn't change it.
	Header http.Header
	// Cursor is where to start: the ID of the last event that was handled. Default: where the server starts new clients.
	Cursor string
	// MaxEventBytes bounds one event; a larger one is a final error that wraps sse.ErrTooLarge. Default sse.DefaultMaxEventBytes.
	MaxEventBytes int

	// MinRetry is the base of the backoff until the server has sent a longer retry. The wait before the n-th attempt without success
	// is chosen evenly from 0 to base * 2^(n-1). Default DefaultMinRetry.
	MinRetry time.Duration
	// MaxRetry bounds that wait, but not what the server asks for, which counts up to a day. Default DefaultMaxRetry.
	MaxRetry time.Duration
	// OpenTimeout is how long a server may take to answer the request. Default DefaultOpenTimeout; negative: for ever. Some
	// servers answer only with their first event.
	OpenTimeout time.Duration
	// Watchdog is the silence, without even a comment, after which the connection counts as dead. Default: twice the
	// heartbeat that buffkit.open tells, OpenTimeout until it has for the first time, and none for other servers. Negative: never.
	Watchdog time.Duration

	// OnOpen is told what became of the cursor, on each connect. Servers other than buffkit don't tell.
	OnOpen func(Open)
	// OnGap is told that events are lost on an open stream. When they were lost before it opened, OnOpen is told.
	OnGap func([]Gap)
	// OnCursor is told the cursor when it has moved without an event: when a stream starts fresh, and by pings. Who stores the place
	// stores this one like an Event.ID; otherwise what is published before the first event would be lost to a restart,
	// and the place on a quiet stream would fall behind the retention.
	OnCursor func(cursor string)
	// OnDisconnect is told why a connection failed or ended, and the wait before the next attempt: ErrEnded, ErrSilent, *ByeError,
	// *StatusError or a network error. It isn't told of the end of the iteration.
	OnDisconnect func(err error, retryIn time.Duration)
}

// State says what became of the cursor.
type State string

// The states of a stream.
const (
	Fresh   State = "fresh"   // no cursor was sent; the stream starts now
	Resumed State = "resumed" // every event after the cursor follows
	Gapped  State = "gap"     // events after the cursor are gone, see Open.Gaps
)

// Open is how a stream begins.
type Open struct {
	State     State
	Replay    int           // stored events that stood after the cursor: they come first
	Gaps      []Gap         // with Gapped: the topics that lost events
	Session   string        // the session's id; it is not the token
	Heartbeat time.Duration // the longest silence to expect
}

// Gap is a topic that lost events.
type Gap struct {
	Topic  string `json:"topic"`
	Reason string `json:"reason"` // trimmed, other_log, rolled_back, unreadable or slow: docs/wire.md section 4
}

// Events connects to the URL and yields the application's events, in the server's order. When the connection fails or ends it waits and
// connects again where it was, until
//
//   - the context ends: the iteration just ends, and ctx.Err tells;
//   - the caller breaks;
//   - the server answers 204, which means stop for ever: the iteration just ends;
//   - there is a final error: it is yielded once, with a zero Event. *StatusError (the server refuses), ErrNotStream,
//     sse.ErrTooLarge, or ErrBadRequest.
//
// However it ends, the connection is closed. An event is yielded at least once; with a buffkit server, once: what was
// yielded before is dropped. Store Event.ID after handling the event if the place must survive the process.
//
// Each range over the iterator starts from Options.Cursor, and several may run at the same time.
func Events(ctx context.Context, url string, opts *Options) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		f, err := newFollower(url, opts)
		if err == nil {
			err = f.run(ctx, yield)
		}
		if err != nil {
			yield(Event{}, err)
		}
	}
}

func newFollower(target string, opts *Options) (*follower, error) {
	if opts == nil {
		opts = &Options{}
	}
	f := &follower{opts: *opts, url: target}
	parsed, err := url.Parse(target)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBadRequest, err)
	}
	if parsed.Scheme != "http" && parsed.Scheme != "https" || parsed.Host == "" {
		return nil, fmt.Errorf("%w: %q is not a URL like https://host/path", ErrBadRequest, target)
	}
	if f.opts.MinRetry <= 0 {
		f.opts.MinRetry = DefaultMinRetry
	}
	if f.opts.MaxRetry <= 0 {
		f.opts.MaxRetry = DefaultMaxRetry
	}
	if f.opts.OpenTimeout == 0 {
		f.opts.OpenTimeout = DefaultOpenTimeout
	}
	f.opts.Header = f.opts.Header.Clone()
	if f.opts.Header == nil {
		f.opts.Header = http.Header{}
	}
	f.token = f.opts.Header.Get(sessionHeader)
	f.opts.Header.Del(sessionHeader)
	f.http = httpClient(opts.HTTP)
	f.backoff = backoff{base: f.opts.MinRetry, max: f.opts.MaxRetry}
	f.place.start(f.opts.Cursor)
	return f, nil
}

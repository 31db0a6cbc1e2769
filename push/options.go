package push

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/buffkit/buffkit/eventlog"
)

// Defaults of Options and Limits.
const (
	DefaultHeartbeat    = 15 * time.Second // under the idle limits of nginx (60 s) and Cloudflare (100 s), and of most mobile NATs (30 s)
	DefaultRetry        = 2 * time.Second  // the middle of what browsers choose by themselves (Chromium 3 s, Firefox 5 s), and people don't notice
	DefaultWriteTimeout = 10 * time.Second // a phone in a tunnel may take this long; its kernel buffers more than it would be sent meanwhile
	DefaultDrainWindow  = 5 * time.Second  // half of the 10 s that container platforms commonly leave between SIGTERM and SIGKILL
	DefaultSessionTTL   = 5 * time.Minute  // a lift, a tunnel, a coffee; a detached session costs under 400 bytes
	DefaultTokenGrace   = 1 * time.Minute  // the answer with a new token may be lost, and the client needs time to find that out
	DefaultTokenTTL     = 24 * time.Hour

	DefaultMaxTopics      = 64        // what one stream may follow
	DefaultMaxBehind      = 1024      // events; only for SkipToLatest
	DefaultMaxBatchBytes  = 64 << 10  // joined into one write; more brings no throughput (bench/)
	DefaultMaxConnections = 1_000_000 // a backstop: file descriptors end first
)

// AuthorizeFunc decides what a request may read, and as whom. Its calls overlap. An error refuses the stream:
// ErrUnauthorized, ErrForbidden, ErrStop and *Refusal are told to the client, of any other it learns only that
// the server had a fault, and the error goes to the log.
type AuthorizeFunc func(r *http.Request) (Grant, error)

// SnapshotFunc renders the current state of the topics after their history was lost, as events for that one client.
// They leave without ids, and the stream goes on from a place before the call, so that nothing falls between the state and the
// changes to it; a change made during the call may come twice. Its calls overlap. The context ends with the client. After an
// error the client is cut, and asks again.
type SnapshotFunc func(ctx context.Context, lost Lost) ([]Event, error)

// Options of New. The zero value, and nil, mean the defaults.
type Options struct {
	// Log keeps the events. Default: an eventlog.Memory that the broker closes. A given log isn't closed by the broker.
	Log eventlog.Log
	// Snapshot heals a gap. Without it the client is only told.
	Snapshot SnapshotFunc
	// Limits bound what clients can take.
	Limits Limits
	// Hooks observe. They run on the path they observe: keep them short. A panic in one is recovered and logged.
	Hooks Hooks
	// Logger gets what nobody else is told. Default: slog.Default().
	Logger *slog.Logger

	// Heartbeat is the longest silence on a stream. Default DefaultHeartbeat. At least 1 ms.
	Heartbeat time.Duration
	// Retry is how long a client waits before it reconnects; each is told between half and one and a half of it. Default DefaultRetry.
	Retry time.Duration
	// WriteTimeout is how long one write may wait for a client before it is cut. It can resume. Default DefaultWriteTimeout.
	WriteTimeout time.Duration
	// DrainWindow is the time over which Drain spreads the goodbyes and the reconnects. Default DefaultDrainWindow.
	DrainWindow time.Duration

	// SessionTTL is how long a session is kept after its last connection. Default DefaultSessionTTL.
	SessionTTL time.Duration
	// SessionCookie names the cookie that carries the session token, so that a browser keeps its session, and its cursor, over a
	// reload. Default: no cookie. It is HttpOnly, SameSite=Lax, and Secure if the request came by TLS or SessionCookieSecure is set.
	SessionCookie string
	// SessionCookieSecure marks the cookie Secure although TLS ends before this process.
	SessionCookieSecure bool
	// Keys sign session tokens: the first signs, all verify, so that a secret can be rotated. Default: a random key of this
	// process, whose tokens end with it. A secret has at least 32 bytes.
	Keys []Key
	// TokenTTL is how long a token is accepted. Default DefaultTokenTTL.
	TokenTTL time.Duration
	// TokenGrace is how long the token before the newest is still accepted. Default DefaultTokenGrace.
	TokenGrace time.Duration
}

// Limits bound what clients can take. Zero fields mean the defaults; a negative one means no limit.
type Limits struct {
	MaxConnections           int // open streams in all. Default DefaultMaxConnections
	MaxConnectionsPerUser    int // open streams of one Grant.User. Default: no limit
	MaxConnectionsPerSession int // open streams of one session. Default: no limit
	MaxTopics                int // topics of one stream. Default DefaultMaxTopics
	MaxBehind                int // events a SkipToLatest stream may lie behind. Default DefaultMaxBehind
	MaxBatchBytes            int // bytes joined into one write; one event may be larger. Default DefaultMaxBatchBytes
}

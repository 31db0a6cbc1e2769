package push

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/buffkit/buffkit/eventlog"
	"github.com/buffkit/buffkit/sessionstore"
)

// Defaults of Options and Limits.
const (
	DefaultHeartbeat    = 15 * time.Second // under the idle limits of nginx (60 s), Cloudflare (100 s) and most mobile NATs (30 s)
	DefaultRetry        = 2 * time.Second  // about what browsers choose by themselves (Chromium 3 s, Firefox 5 s), and people don't notice
	DefaultWriteTimeout = 10 * time.Second // a phone in a tunnel is back by then, or resumes
	DefaultDrainWindow  = 5 * time.Second  // half of the 10 s that Docker leaves between SIGTERM and SIGKILL
	DefaultSessionTTL   = 5 * time.Minute  // a lift, a tunnel, a coffee
	DefaultTokenTTL     = 24 * time.Hour   // a working day and a night: a laptop that was shut in the evening resumes in the morning
	DefaultTokenGrace   = time.Minute      // the answer with the new token may be lost, and the client needs time to find that out

	DefaultSessionsTimeout = time.Second // a thousand round trips in a network: a store that takes so long is ill

	DefaultMaxTopics      = 64        // more is a sign of a topic that should be one, and every read looks at each
	DefaultMaxBehind      = 1024      // events
	DefaultMaxBatchBytes  = 64 << 10  // past this size a write costs by the byte, and joining saves nothing
	DefaultMaxConnections = 1_000_000 // a backstop: descriptors end first
	DefaultMaxSessions    = 1_000_000 // 300 MB
)

// MaxLinger bounds Options.Linger: people notice more.
const MaxLinger = time.Second

const maxDuration = 10 * 365 * 24 * time.Hour // "never"; far enough from the end of time.Duration to calculate with

// SnapshotFunc renders the current state of topics whose history was lost, as events for that one client; their Topic
// is ignored. They leave without ids, and the stream goes on from a place before the call, so nothing falls between the
// state and the changes to it; a change made during the call may come twice. Calls overlap. The context ends with the
// client. After an error or a panic the client is cut; it asks again from where it was.
type SnapshotFunc func(ctx context.Context, lost Lost) ([]Event, error)

// Options of New. The zero value, and nil, mean the defaults.
type Options struct {
	// Log keeps the events. Default: an eventlog.Memory, which the broker closes. A given log isn't closed by the broker.
	Log eventlog.Log
	// Snapshot heals gaps. Without it the client is only told.
	Snapshot SnapshotFunc
	// Limits bound what clients can take.
	Limits Limits
	// Hooks observe.
	Hooks Hooks
	// Logger gets what nobody else is told. Default: slog.Default().
	Logger *slog.Logger

	// Heartbeat is the longest silence on a stream. Default DefaultHeartbeat.
	Heartbeat time.Duration
	// Retry is how long a client waits before it reconnects; each is told between half and one and a half of it.
	// Default DefaultRetry.
	Retry time.Duration
	// WriteTimeout is how long one write may wait for a client before the client is cut. It can resume.
	// Default DefaultWriteTimeout.
	WriteTimeout time.Duration
	// DrainWindow is the time over which Drain spreads the goodbyes, and the clients' return. Default DefaultDrainWindow.
	DrainWindow time.Duration

	// Compress sends gzip to clients that accept it, in blocks that are made once for all who follow the same topics. It takes four fifths off HTML
	// fragments. Leave it off where an event may contain both a secret and text that somebody else chose, and an attacker can see how
	// many bytes it takes: their number tells how much of the secret he has guessed (CRIME, BREACH). Default off.
	Compress bool
	// Linger is how long news may wait so that more events leave in one write: throughput at the price of latency. Without it they leave at once,
	// and in one write with whatever came while the writer was busy. Default 0, at most MaxLinger.
	Linger time.Duration

	// Parking says whether streams may go on without a goroutine. Default ParkAuto.
	Parking Parking

	// Sessions is what several nodes agree on about sessions, so that a client may come to any of them: token generations, connections, limits, and
	// what is revoked. It needs Keys, the same on all nodes. It isn't closed by the broker. Default: none; each process knows its own sessions alone.
	//
	// While the store doesn't answer, a node goes on by what it knows: a token that is signed resumes, Limits count this node's connections, and
	// a session is refused that the node knows to be revoked. It tells the store what it has when that is back.
	Sessions sessionstore.Store
	// SessionsTimeout is how long one call to the store may take, and how long a stream that begins waits for it. Default DefaultSessionsTimeout.
	SessionsTimeout time.Duration
	// SessionsStrict refuses streams while the store doesn't answer, with ErrSessionsDown. Those that are open go on.
	SessionsStrict bool
	// SessionTTL is how long a session is kept after its last connection ended. Default DefaultSessionTTL.
	SessionTTL time.Duration
	// SessionCookie names the cookie that carries the session token, so that a browser keeps its session, and the place it
	// last proved to have reached, over a reload. That place is the browser's, not the tab's: pages that are rendered from data
	// should print a cursor, see WithCursor. Default "": no cookie. It is HttpOnly and SameSite=Lax, and Secure if the
	// request came by TLS.
	SessionCookie string
	// SessionCookieSecure makes the cookie Secure where TLS ends before this process.
	SessionCookieSecure bool
	// Keys sign session tokens: the first signs, all verify, so that a secret can be rotated. Default: a random key, so
	// that tokens end with the process.
	Keys []Key
	// TokenTTL is how long a token is accepted after it was signed. The nodes of a fleet may have different ones while they are restarted; a token is good for the lower of that
	// of the node that signed it and that of the one that reads it. Default DefaultTokenTTL.
	TokenTTL time.Duration
	// TokenGrace is how long the token before the newest is still accepted after the newest was first used, and the least time between
	// two changes of the token. Default DefaultTokenGrace.
	TokenGrace time.Duration
}

// Limits bound what clients can take. A zero field means its default, a negative one no limit. With Options.Sessions those of a user, of
// a session, and of sessions are for all nodes together.
type Limits struct {
	MaxConnections           int // open streams in all. Default DefaultMaxConnections
	MaxConnectionsPerUser    int // open streams of one Grant.User. Default: no limit
	MaxConnectionsPerSession int // open streams of one session. Default: no limit
	MaxSessions              int // connected or not: above it those that are away for longest end before their SessionTTL. Default DefaultMaxSessions
	MaxTopics                int // topics of one stream. Default DefaultMaxTopics
	MaxBehind                int // events that a SkipToLatest stream may lie behind. Default DefaultMaxBehind
	MaxBatchBytes            int // bytes joined into one write; a single event may be larger. Default DefaultMaxBatchBytes
}

// withDefaults returns a copy with the defaults filled in, or says which option is wrong.
func (o *Options) withDefaults() (Options, error) {
	var c Options
	if o != nil {
		c = *o
	}
	durations := []struct {
		name string
		d    *time.Duration
		def  time.Duration
	}{
		{"Heartbeat", &c.Heartbeat, DefaultHeartbeat},
		{"Retry", &c.Retry, DefaultRetry},
		{"WriteTimeout", &c.WriteTimeout, DefaultWriteTimeout},
		{"DrainWindow", &c.DrainWindow, DefaultDrainWindow},
		{"SessionTTL", &c.SessionTTL, DefaultSessionTTL},
		{"TokenTTL", &c.TokenTTL, DefaultTokenTTL},
		{"TokenGrace", &c.TokenGrace, DefaultTokenGrace},
		{"SessionsTimeout", &c.SessionsTimeout, DefaultSessionsTimeout},
	}
	for _, f := range durations {
		switch {
		case *f.d == 0:
			*f.d = f.def
		case *f.d < time.Millisecond || *f.d > maxDuration:
			return c, fmt.Errorf("push: Options.%s is %v: give 1ms to %v, or 0 for %v", f.name, *f.d, maxDuration, f.def)
		}
	}
	if c.Linger < 0 || c.Linger > MaxLinger {
		return c, fmt.Errorf("push: Options.Linger is %v: give 0 to %v", c.Linger, MaxLinger)
	}
	if c.Parking < ParkAuto || c.Parking > ParkAlways {
		return c, fmt.Errorf("push: Options.Parking is %d: give ParkAuto, ParkNever or ParkAlways", c.Parking)
	}
	if err := checkKeys(c.Keys); err != nil {
		return c, err
	}
	if c.Sessions != nil && len(c.Keys) == 0 {
		return c, errors.New("push: Options.Sessions needs Options.Keys, the same on all nodes: else each refuses the tokens of the others")
	}
	if name := c.SessionCookie; name != "" && (&http.Cookie{Name: name}).Valid() != nil {
		return c, fmt.Errorf("push: Options.SessionCookie is %q: give the name of a cookie", name)
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	c.Limits = c.Limits.withDefaults()
	return c, nil
}

func (l Limits) withDefaults() Limits {
	l.MaxConnections = limit(l.MaxConnections, DefaultMaxConnections)
	l.MaxConnectionsPerUser = limit(l.MaxConnectionsPerUser, noLimit)
	l.MaxConnectionsPerSession = limit(l.MaxConnectionsPerSession, noLimit)
	l.MaxSessions = limit(l.MaxSessions, DefaultMaxSessions)
	l.MaxTopics = limit(l.MaxTopics, DefaultMaxTopics)
	l.MaxBehind = limit(l.MaxBehind, DefaultMaxBehind)
	l.MaxBatchBytes = limit(l.MaxBatchBytes, DefaultMaxBatchBytes)
	return l
}

const noLimit = int(^uint(0) >> 1)

func limit(n, def int) int {
	switch {
	case n == 0:
		return def
	case n < 0:
		return noLimit
	}
	return n
}

package push

import (
	"errors"
	"net/http"
	"time"

	"github.com/buffkit/buffkit/eventlog"
)

// Errors that an AuthorizeFunc returns to refuse a request, and that the broker refuses with.
var (
	// ErrUnauthorized refuses a request that doesn't say who it is.
	ErrUnauthorized = errors.New("push: not signed in")
	// ErrForbidden refuses a topic that the request may not read.
	ErrForbidden = errors.New("push: not allowed to read this")
	// ErrStop answers 204: an EventSource then stops for ever.
	ErrStop = errors.New("push: stream is over")
	// ErrBadTopic refuses a topic name that isn't one, at Publish too.
	ErrBadTopic = errors.New("push: bad topic name")
	// ErrBadName refuses, at Publish and in a Snapshot, the name of a control event.
	ErrBadName = errors.New("push: reserved event name")
	// ErrTooManyTopics refuses a request for more than Limits.MaxTopics.
	ErrTooManyTopics = errors.New("push: too many topics")
	// ErrTooManyConnections refuses a stream over one of the limits on connections.
	ErrTooManyConnections = errors.New("push: too many connections")
	// ErrDraining refuses streams after Drain was called.
	ErrDraining = errors.New("push: server is draining")

	// ErrTokenInvalid refuses a session token that no key of ours has signed, or that isn't one.
	ErrTokenInvalid = errors.New("push: invalid session token")
	// ErrTokenExpired refuses a session token that is too old.
	ErrTokenExpired = errors.New("push: session token expired")
	// ErrTokenForeign refuses a session token of another user.
	ErrTokenForeign = errors.New("push: session token of another user")
	// ErrTokenReplayed refuses a session token that was replaced by a newer one, and revokes its session: two parties hold it.
	ErrTokenReplayed = errors.New("push: session token was used before")
	// ErrRevoked refuses, and ends, a session after Revoke.
	ErrRevoked = errors.New("push: session was revoked")

	// ErrSessionsDown refuses streams with Options.SessionsStrict, and is returned by what else needs the store of Options.Sessions, when that doesn't answer.
	ErrSessionsDown = errors.New("push: the session store doesn't answer")

	// ErrSlow ends a stream whose client didn't take a write in time.
	ErrSlow = errors.New("push: client too slow")
	// ErrExpired ends a stream at Grant.Expires.
	ErrExpired = errors.New("push: grant expired")
	// ErrClosed is returned by every call after Close, and ends all streams.
	ErrClosed = errors.New("push: broker is closed")
	// ErrNoSession is returned for a session that the broker doesn't have.
	ErrNoSession = errors.New("push: no such session")
)

// Refusal is an error of an AuthorizeFunc with an answer of the app's own.
type Refusal struct {
	Code    string        // told to the client; not one of docs/wire.md, section 6
	Message string        // told to the client, for people
	Status  int           // for clients that can read it, 400 to 599. Default 403
	Retry   time.Duration // when the client may ask again. Default: Options.Retry with jitter
}

func (r *Refusal) Error() string { return "push: refused: " + r.Code + ": " + r.Message }

// refusals gives the errors above their code and status on the wire (docs/wire.md, section 6).
var refusals = []struct {
	err     error
	code    string
	status  int
	message string // for people; ours, since the error may carry what is nobody's business
}{
	{ErrUnauthorized, "unauthorized", http.StatusUnauthorized, "sign in to read this"},
	{ErrForbidden, "forbidden", http.StatusForbidden, "a topic that you may not read"},
	{ErrBadTopic, "bad_request", http.StatusBadRequest, "a topic name that is not one"},
	{ErrTooManyTopics, "too_many_topics", http.StatusBadRequest, "too many topics for one stream"},
	{ErrTooManyConnections, "limit", http.StatusTooManyRequests, "too many open streams"},
	{ErrDraining, "draining", http.StatusServiceUnavailable, "the server is restarting"},
	{ErrTokenInvalid, "token_invalid", http.StatusUnauthorized, "the session token is not one of ours"},
	{ErrTokenExpired, "token_expired", http.StatusUnauthorized, "the session token is too old"},
	{ErrTokenForeign, "token_foreign", http.StatusUnauthorized, "the session token is of another user"},
	{ErrTokenReplayed, "token_replayed", http.StatusUnauthorized, "the session token was used before"},
	{ErrRevoked, "revoked", http.StatusUnauthorized, "the session was revoked"},
	{ErrSessionsDown, "error", http.StatusServiceUnavailable, "the server can't look sessions up at the moment"},
	{ErrSlow, "slow", http.StatusServiceUnavailable, "the client did not read"},
	{ErrExpired, "expired", http.StatusUnauthorized, "the grant has ended; ask again"},
	{ErrClosed, "closed", http.StatusServiceUnavailable, "the server has stopped"},
	{eventlog.ErrClosed, "closed", http.StatusServiceUnavailable, "the server has stopped"}, // logged once, by watch
}

// Package sessionstore keeps what the nodes of a fleet have to agree on about sessions: which of a session's tokens is the newest, how many
// connections a session and a user have on all nodes together, and which sessions are revoked. What a session missed is not here: that is in the log.
//
// A broker without a store knows all this of its own connections alone. See push.Options.Sessions.
package sessionstore

import (
	"context"
	"errors"
	"time"
)

// Errors of a Store, as an Outcome or of a call.
var (
	ErrRevoked   = errors.New("sessionstore: the session was revoked")
	ErrReplayed  = errors.New("sessionstore: a token older than the newest was used again")
	ErrTooMany   = errors.New("sessionstore: too many connections")
	ErrNoSession = errors.New("sessionstore: no such session")
	ErrNodeLost  = errors.New("sessionstore: the node was taken for dead, and its connections aren't counted")
	ErrClosed    = errors.New("sessionstore: closed")
)

// ID is a session's: 16 random bytes.
type ID [16]byte

// Store is shared by all nodes. Its calls may overlap, and those that change something are durable when they return, as the store promises.
// Times are the store's, one clock for all nodes. An error of a call itself means that the store couldn't be asked or that the outcome is unknown: asking again does no
// harm, but that a connection may be counted twice until its node tells with Restore what it has of the session. What a store that was restarted counts for a node may be
// of before: after an error, and after ErrNodeLost, a node goes on by another name, that it never had, tells all that it has, and lets the name before be forgotten.
type Store interface {
	// Connect counts a connection for each claim, in their order, each on its own: an Outcome for each. It makes the sessions that it doesn't know. For a
	// node that is lost it counts until the next Sweep.
	Connect(ctx context.Context, node string, claims []Claim) ([]Outcome, error)
	// Leave takes back a connection for each of the leaves, and notes the places that their clients have proved. Sessions it doesn't know are passed over.
	Leave(ctx context.Context, node string, leaves []Leave) error
	// Get returns a session. Error: ErrNoSession, also for one that was revoked.
	Get(ctx context.Context, session ID) (Info, error)
	// List calls each for every session that isn't revoked, until it returns false. One that begins or ends meanwhile may or may not come.
	List(ctx context.Context, each func(Info) bool) error

	// Revoke makes a session's tokens worthless; also of a session it doesn't know, since its tokens resume without the store. It returns whether the session
	// wasn't revoked before.
	Revoke(ctx context.Context, session ID, cause error) (bool, error) // cause: ErrRevoked or ErrReplayed
	// Revoked returns what was revoked after a mark, oldest first, and the next mark. "" is the beginning. None is left out that becomes visible later: a
	// call may return some a second time, and returns some ten thousand at most: the next mark leads on. It is asked several times a second by every node, and cheap
	// if there are none.
	Revoked(ctx context.Context, after string) (revoked []Revocation, mark string, err error)

	// Beat says that a node is alive for as long as ttl. Error: ErrNodeLost if the node's time was over before, so that its connections have been, or may have been, given
	// up.
	Beat(ctx context.Context, node string, ttl time.Duration) error
	// Restore sets what is counted for a node of the sessions that it gives: of one that it has no connection to, none. What is counted of others stays. It checks no limits,
	// and raises the generations of sessions to those given if they are lower. It makes the node known for as long as ttl: at its start, with nothing; with a
	// ttl of 0 the node's time stays as it is. A node that has much tells it in several calls, and has no other call but Beat under way meanwhile.
	Restore(ctx context.Context, node string, ttl time.Duration, held []Held) error
	// Forget ends a node: its connections count no more, and the sessions that have no others are abandoned from now on. What still arrives by the name of the node counts
	// until the next Sweep.
	Forget(ctx context.Context, node string) error
	// Sweep takes the counts of dead nodes away, and removes the sessions that have been without a connection for longer than abandoned, or for longest if there are more
	// than most (0: no limit), and the revoked after revoked, those with connections perhaps later. Where nodes ask for different times, what was revoked is kept for the longest of them
	// until nobody has asked for that for as long, see Longest. It returns at most some thousand of those it removed that
	// weren't revoked: each to one caller alone. more says that there is more to do at once.
	Sweep(ctx context.Context, abandoned, revoked time.Duration, most int) (ended []Info, more bool, err error)

	// Check tells whether the store answers.
	Check(ctx context.Context) error
	// Close ends the store for this process; what it keeps stays. Calls return ErrClosed then, a second Close too.
	Close() error
}

// Claim asks for a connection to a session.
type Claim struct {
	Session    ID
	User       string // "" for none
	Fresh      bool   // the session begins with it
	Generation uint32 // of the token that it came with
	Cursor     string // where the token says that the client was; kept if the session isn't known
	// Grace is how long the token before the newest is accepted after the newest was first used, and the least time between two changes.
	Grace                     time.Duration
	MaxPerSession, MaxPerUser int // connections on all nodes; 0 for no limit
}

// Outcome of a Claim. With Err, which is ErrRevoked, ErrReplayed or ErrTooMany, nothing was counted; ErrReplayed has also revoked the session.
type Outcome struct {
	Generation uint32 // for the client's next token
	Cursor     string // the session's place: the oldest that is proved, as in Leave
	Created    time.Time
	// Connections are those of the session on all nodes, with this one. If there are others, its client alone doesn't prove the session's place.
	Connections int
	Err         error
}

// Revocation is the end of a session before its time.
type Revocation struct {
	Session ID
	Cause   error // ErrRevoked or ErrReplayed
}

// Leave takes a connection back.
type Leave struct {
	Session ID
	User    string
	Cursor  string // the place that the session has proved on this node, "" for none
}

// Held is what a node has of a session.
type Held struct {
	Session     ID
	User        string
	Generation  uint32
	Connections int // 0 if it has none any more: then the rest doesn't matter
	Cursor      string
	Created     time.Time
}

// Info is what a store knows of a session.
type Info struct {
	Session     ID
	User        string
	Connections int // on all nodes
	Created     time.Time
	LastSeen    time.Time // when it last had a connection; now, if it has one
	Cursor      string
}

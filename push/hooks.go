package push

import (
	"strings"
	"time"

	"github.com/buffkit/buffkit/eventlog"
)

// Hooks observe a broker; every field may be nil. They run on the path they observe and their calls overlap: keep
// them short. A panic in one is recovered, logged, and harms nobody.
type Hooks struct {
	// Connected is called when a stream has been told what became of its cursor.
	Connected func(Connection, Opened)
	// Disconnected is called when such a stream has ended, once for each Connected. The cause is ErrSlow, ErrDraining,
	// ErrRevoked, ErrTokenReplayed, ErrExpired, ErrClosed, an error of the network, the log or the Snapshot, or nil when the client left.
	Disconnected func(c Connection, cause error)
	// Refused is called when a request was refused, with what was wrong.
	Refused func(remote string, err error)
	// Published is called after an event was stored, with the size of its data; also if the log knew its idempotency key, and for
	// what is sent to all, a user or a session, whose topics start with "~".
	Published func(topic string, bytes int)
	// Delivered is called after a write: how many events, of how many bytes, left with it.
	Delivered func(c Connection, events, bytes int)
	// Gap is called when a client is told a gap, at its start or on an open stream.
	Gap func(Connection, Lost)
	// SessionEnded is called when a session was revoked (ErrRevoked, ErrTokenReplayed) or abandoned (nil). With Options.Sessions it is called on one
	// node: that where it was revoked, any for one that was abandoned.
	SessionEnded func(s SessionInfo, cause error)
	// SessionsDown is called when the store of Options.Sessions doesn't answer any more, with what went wrong, and with nil when it does again.
	SessionsDown func(err error)
}

// Opened is what a client was told first.
type Opened struct {
	State  State
	Replay int // stored events after its cursor
}

// State is what became of a client's cursor.
type State string

// The states of docs/wire.md, section 4.
const (
	Fresh   State = "fresh"
	Resumed State = "resumed"
	Gapped  State = "gap"
)

// Connection is one open stream.
type Connection struct {
	ID      uint64 // unique in the process; in every log line about the stream
	Session string // the session's id
	User    string
	Remote  string // the address of the peer, as net/http gives it
	Since   time.Time
}

// Lost is a gap: what a client will not get.
type Lost struct {
	Session string
	User    string
	Gaps    []Gap
}

// Gap names a topic whose events after a client's cursor are gone. The topic starts with "~" if that is what was sent with
// SendAll, SendUser or SendSession.
type Gap struct {
	Topic  string `json:"topic"`
	Reason Reason `json:"reason"`
}

// Topics returns the app's topics among the gaps. Gaps also names what was sent to all, to the user or to the session, as topics
// that start with "~".
func (l Lost) Topics() []string {
	topics := make([]string, 0, len(l.Gaps))
	for _, gap := range l.Gaps {
		if !strings.HasPrefix(gap.Topic, reservedPrefix) {
			topics = append(topics, gap.Topic)
		}
	}
	return topics
}

// Reason says why events are gone.
type Reason string

// The reasons of docs/wire.md, section 4.
const (
	ReasonTrimmed    Reason = "trimmed"
	ReasonOtherLog   Reason = "other_log"
	ReasonRolledBack Reason = "rolled_back"
	ReasonUnreadable Reason = "unreadable"
	ReasonSlow       Reason = "slow"
)

// SessionInfo is what the broker knows of a session.
type SessionInfo struct {
	ID          string
	User        string
	Connections int
	Created     time.Time
	LastSeen    time.Time       // when it last had a connection; now, if it has one
	Cursor      eventlog.Cursor // where its oldest open connection began, or its last: what the client has proved to have
}

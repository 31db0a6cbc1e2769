package sessionstore

import (
	"time"

	"github.com/buffkit/buffkit/eventlog"
)

// Record is a session as a store keeps it, with the contract's rules about one. Memory and sqlstore work with it; a store whose rules run at its server has
// to do the same in the server's language. Times are microseconds of the store's clock since 1970, 0 for never. It isn't safe for use by several goroutines.
type Record struct {
	User        string
	Generation  uint32 // of its newest tokens
	Rotated     int64  // when the generation last rose
	Used        int64  // when somebody first came with a token of the newest generation
	Created     int64
	Seen        int64 // when its last connection left, or when it was revoked
	Cursor      string
	Connections int // on all nodes
	// Revoked is nil, ErrRevoked or ErrReplayed.
	Revoked error
}

// NewRecord returns the record of a session that the store doesn't know, for a claim.
func NewRecord(c Claim, now int64) Record {
	return Record{User: c.User, Generation: c.Generation, Cursor: c.Cursor, Created: now, Seen: now}
}

// Connect decides on a claim, and counts its connection if the outcome has no error. With ErrReplayed the session is revoked; with another error nothing has
// changed. ofUser is how many connections the session's user has.
func (r *Record) Connect(c Claim, now int64, ofUser int) Outcome {
	switch {
	case r.Revoked != nil:
		return Outcome{Err: ErrRevoked}
	case !c.Fresh && !r.accepts(c.Generation, now, c.Grace):
		r.Revoke(ErrReplayed, now)
		return Outcome{Err: ErrReplayed}
	case c.MaxPerSession > 0 && r.Connections >= c.MaxPerSession, c.MaxPerUser > 0 && r.User != "" && ofUser >= c.MaxPerUser:
		return Outcome{Err: ErrTooMany} // its token stays good
	}
	if !c.Fresh {
		r.rotate(c.Generation, now, c.Grace)
	}
	r.Connections++
	return Outcome{Generation: r.Generation, Cursor: r.Cursor, Created: time.UnixMicro(r.Created), Connections: r.Connections}
}

// accepts tells whether a token of the generation may be used now. That before the newest may, until the newest has been in use for the grace:
// an answer that carries a token may be lost, for however long, and a request that carries one may be late.
func (r *Record) accepts(generation uint32, now int64, grace time.Duration) bool {
	return generation >= r.Generation ||
		generation+1 == r.Generation && (r.Used == 0 || now-r.Used <= grace.Microseconds())
}

// rotate lets the generation rise, for a token of the newest, and once in a grace at most: several tabs share a token, and
// may come one after the other.
func (r *Record) rotate(used uint32, now int64, grace time.Duration) {
	switch {
	case used < r.Generation:
	case used > r.Generation || now-r.Rotated > grace.Microseconds():
		r.Generation, r.Rotated, r.Used = used+1, now, 0
	case r.Used == 0:
		r.Used = now
	}
}

// Prove notes the place that the client of a connection that leaves has proved, before it is taken back. With other connections the oldest place counts:
// a page that resumes by the session's place must not skip what another page has had.
func (r *Record) Prove(cursor string) {
	if cursor != "" && (r.Connections <= 1 || older(cursor, r.Cursor)) {
		r.Cursor = cursor
	}
}

// older tells whether a place is before another one. One that can't be compared, being of another log, replaces what was there.
func older(cursor, than string) bool {
	a, err := eventlog.ParseCursor(cursor)
	if err != nil {
		return false
	}
	b, err := eventlog.ParseCursor(than)
	return err != nil || b.Beyond(a)
}

// Leave takes some connections back.
func (r *Record) Leave(connections int, now int64) {
	if r.Connections -= connections; r.Connections <= 0 && r.Revoked == nil {
		r.Seen = now
	}
}

// Revoke makes the session's tokens worthless.
func (r *Record) Revoke(cause error, now int64) { r.Revoked, r.Seen = cause, now }

// Hold counts what a node says that it has, as Restore does.
func (r *Record) Hold(h Held) {
	r.Connections += h.Connections
	if h.Generation > r.Generation {
		r.Generation, r.Rotated, r.Used = h.Generation, 0, 0
	}
}

// NewHeldRecord returns the record of a session that the store doesn't know and a node has, before its connections are counted.
func NewHeldRecord(h Held, now int64) Record {
	r := Record{User: h.User, Generation: h.Generation, Cursor: h.Cursor, Created: now, Seen: now}
	if !h.Created.IsZero() {
		r.Created = h.Created.UnixMicro()
	}
	return r
}

// Info returns what is told of the session.
func (r *Record) Info(session ID, now int64) Info {
	seen := r.Seen
	if r.Connections > 0 {
		seen = now
	}
	return Info{Session: session, User: r.User, Connections: r.Connections, Created: time.UnixMicro(r.Created), LastSeen: time.UnixMicro(seen), Cursor: r.Cursor}
}

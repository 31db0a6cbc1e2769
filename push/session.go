package push

import (
	"errors"
	"iter"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/buffkit/buffkit/eventlog"
)

// sessions holds all sessions, connected or not. The lists of those that nobody is connected to are in the order in which they
// will be forgotten.
type sessions struct {
	opts  *Options
	began time.Time // what instants count from
	fleet *fleet    // nil without Options.Sessions

	byID    sessionTable
	count   atomic.Int64 // of byID without the revoked
	replays atomic.Int64 // in replayed

	mu        sync.Mutex // guards the lists. Taken after a session's mu
	abandoned sessionList
	revoked   sessionList // kept as long as their tokens would be accepted; by Revoke, on whatever node
	replayed  sessionList // the same, by a token that was used again: that anybody can do to a session of his own, so they are bounded
}

// never is before every instant.
const never = instant(math.MinInt64 / 2)

// instant is a time since sessions.began: a third of a time.Time, and like it not moved by a clock that is set.
type instant time.Duration

func (m *sessions) now() instant              { return instant(time.Since(m.began)) }
func (m *sessions) time(at instant) time.Time { return m.began.Add(time.Duration(at)) }

// session is who may resume what. A detached one costs nothing but this record.
type session struct {
	id      sessionID
	user    string
	created instant

	mu          sync.Mutex // guards what follows
	cursor      eventlog.Cursor
	seen        instant // when its last connection left
	rotated     instant // when the generation last rose
	used        instant // when somebody first came with a token of the newest generation, never if nobody has
	generation  uint32  // of its newest tokens
	connections int32
	state       sessionState
	leaving     bool  // in fleet.left
	shared      bool  // other nodes had connections to it when one last began here
	told        int32 // connections that the store counts for this node, as far as we know
	streams     []stream

	listed     *sessionList // written with both mu and sessions.mu
	prev, next *session     // guarded by sessions.mu
}

type sessionState uint8

const (
	sessionLive sessionState = iota
	sessionRevoked
	sessionForgotten
)

func newSessions(opts *Options) *sessions { return &sessions{opts: opts, began: time.Now()} }

// start makes a session and connects to it.
func (m *sessions) start(user string) *session {
	user = strings.Clone(user) // it may be a part of a header
	s := &session{id: newSessionID(), user: user, created: m.now(), rotated: never, used: never, connections: 1}
	m.byID.add(s)
	m.count.Add(1)
	return s
}

// resume connects to the session of a ticket, which may be one that this process doesn't know (any more). The new generation goes into
// the token that the client gets now. Errors: ErrRevoked, ErrTokenReplayed, ErrTooManyConnections.
func (m *sessions) resume(t ticket) (s *session, generation uint32, err error) {
	for {
		s := m.find(t, m.now())
		generation, ok, err := m.connect(s, t)
		if err != nil {
			return s, 0, err
		}
		if ok {
			return s, generation, nil
		}
	}
}

// find returns the session of a ticket, or makes a record of it.
func (m *sessions) find(t ticket, created instant) *session {
	if found, ok := m.byID.get(t.session); ok {
		return found
	}
	found, added := m.byID.add(&session{
		id: t.session, user: strings.Clone(t.user), // it is a part of the token
		created: created, rotated: never, used: never, cursor: t.cursor, generation: t.generation,
	})
	if added {
		m.count.Add(1)
	}
	return found
}

// connect is false if the session was forgotten meanwhile.
func (m *sessions) connect(s *session, t ticket) (generation uint32, ok bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := m.now()
	switch {
	case s.state == sessionForgotten:
		return 0, false, nil
	case s.state == sessionRevoked:
		return 0, false, ErrRevoked
	case !s.accepts(t.generation, now, m.opts.TokenGrace):
		m.revokeLocked(s, now, ErrTokenReplayed)
		return 0, false, ErrTokenReplayed
	case int(s.connections) >= m.opts.Limits.MaxConnectionsPerSession:
		return 0, false, ErrTooManyConnections // its token stays good
	}
	s.rotate(t.generation, now, m.opts.TokenGrace)
	s.connections++
	m.list(s, nil)
	return s.generation, true, nil
}

// accepts tells whether a token of the generation may be used now. That before the newest may, until the newest has been in use for the grace:
// an answer that carries a token may be lost, for however long, and a request that carries one may be late.
func (s *session) accepts(generation uint32, now instant, grace time.Duration) bool {
	return generation >= s.generation ||
		generation+1 == s.generation && (s.used == never || time.Duration(now-s.used) <= grace)
}

// rotate lets the generation rise, for a token of the newest, and once in a grace at most: several tabs share a token, and
// may come one after the other.
func (s *session) rotate(used uint32, now instant, grace time.Duration) {
	switch {
	case used < s.generation:
	case used > s.generation || time.Duration(now-s.rotated) > grace:
		s.generation, s.rotated, s.used = used+1, now, never
	case s.used == never:
		s.used = now
	}
}

// proved notes the place that the client of a new connection has shown to have reached. With other connections, the
// oldest place counts: a page that resumes by the session's cursor must not skip what another page has had.
func (s *session) proved(at eventlog.Cursor) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.connections <= 1 && !s.shared || s.cursor.Beyond(at) {
		s.cursor = at
	}
}

func (s *session) add(st stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.streams = append(s.streams, st)
}

// replace puts a stream in another's place; nil for none.
func (s *session) replace(old, by stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.streams = replace(s.streams, old, by); len(s.streams) == 0 {
		s.streams = nil // a detached session holds nothing
	}
}

// wake tells the session's streams that something was sent to it.
func (s *session) wake() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, st := range s.streams {
		st.wakeOwn()
	}
}

// end ends the session's streams.
func (s *session) end(cause error) {
	s.mu.Lock()
	streams := slices.Clone(s.streams)
	s.mu.Unlock()
	for _, st := range streams {
		st.end(cause)
	}
}

func (s *session) place() eventlog.Cursor {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cursor
}

// detach ends what start or resume began.
func (m *sessions) detach(s *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.connections--
	s.seen = m.now()
	if s.connections == 0 && s.state == sessionLive {
		m.list(s, &m.abandoned)
	}
	if m.fleet != nil {
		m.fleet.owes(s)
	}
}

// revoke makes a session's tokens worthless. It returns false if there is no such session.
func (m *sessions) revoke(s *session) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state != sessionLive {
		return false
	}
	m.revokeLocked(s, m.now(), ErrRevoked)
	return true
}

func (m *sessions) revokeLocked(s *session, now instant, cause error) {
	s.state, s.seen = sessionRevoked, now
	m.count.Add(-1)
	if errors.Is(cause, ErrTokenReplayed) {
		m.replays.Add(1)
		m.list(s, &m.replayed)
		return
	}
	m.list(s, &m.revoked)
}

// list moves a session to the end of a list, nil for none.
func (m *sessions) list(s *session, to *sessionList) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s.listed != nil {
		s.listed.remove(s)
	}
	if s.listed = to; to != nil {
		to.push(s)
	}
}

func (m *sessions) get(id string) (*session, bool) {
	key, ok := parseSessionID(id)
	if !ok {
		return nil, false
	}
	return m.byID.get(key)
}

func (m *sessions) has(id string) bool {
	s, ok := m.get(id)
	return ok && s.live()
}

func (s *session) live() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state == sessionLive
}

func (m *sessions) all() iter.Seq[SessionInfo] {
	return func(yield func(SessionInfo) bool) {
		for s := range m.byID.all() {
			if info, live := m.info(s); live && !yield(info) {
				return
			}
		}
	}
}

func (m *sessions) info(s *session) (info SessionInfo, live bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return m.infoLocked(s), s.state == sessionLive
}

func (m *sessions) infoLocked(s *session) SessionInfo {
	info := SessionInfo{
		ID: s.id.String(), User: s.user, Connections: int(s.connections),
		Created: m.time(s.created), LastSeen: m.time(s.seen), Cursor: s.cursor,
	}
	if s.connections > 0 {
		info.LastSeen = time.Now()
	}
	return info
}

// sweep forgets the sessions that were abandoned for too long, or for longest if there are too many, and calls ended for each; and the
// revoked whose tokens have expired.
func (m *sessions) sweep(ended func(SessionInfo)) {
	for s := m.oldest(&m.abandoned); s != nil; s = m.oldest(&m.abandoned) {
		keep := m.opts.SessionTTL
		if m.count.Load() > int64(m.opts.Limits.MaxSessions) {
			keep = 0
		}
		info, forgotten, due := m.forget(s, &m.abandoned, keep)
		if !due {
			break
		}
		if forgotten {
			m.count.Add(-1)
			ended(info)
		}
	}
	good := m.opts.TokenTTL
	if m.fleet != nil {
		good += revokedSlack
	}
	for s := m.oldest(&m.revoked); s != nil; s = m.oldest(&m.revoked) {
		if _, _, due := m.forget(s, &m.revoked, good); !due {
			break
		}
	}
	for s := m.oldest(&m.replayed); s != nil; s = m.oldest(&m.replayed) {
		keep := good
		if m.replays.Load() > maxReplays {
			keep = 0
		}
		_, forgotten, due := m.forget(s, &m.replayed, keep)
		if !due {
			break
		}
		if forgotten {
			m.replays.Add(-1)
		}
	}
}

// maxReplays bounds the sessions that are remembered because a token of theirs was used again: 20 MB.
const maxReplays = 1 << 16

func (m *sessions) oldest(l *sessionList) *session {
	m.mu.Lock()
	defer m.mu.Unlock()
	return l.first
}

// forget drops a session that is still in the list and was left long enough ago. It isn't due if that is to come.
func (m *sessions) forget(s *session, from *sessionList, after time.Duration) (info SessionInfo, forgotten, due bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listed != from {
		return info, false, true // it has just left the list
	}
	if time.Duration(m.now()-s.seen) < after {
		return info, false, false
	}
	s.state = sessionForgotten
	m.list(s, nil)
	m.byID.remove(s.id)
	return m.infoLocked(s), true, true
}

// sessionList is a list whose links are in the sessions, so that leaving it needs no search and no memory.
type sessionList struct{ first, last *session }

func (l *sessionList) push(s *session) {
	s.prev, s.next = l.last, nil
	if l.last == nil {
		l.first = s
	} else {
		l.last.next = s
	}
	l.last = s
}

func (l *sessionList) remove(s *session) {
	if s.prev == nil {
		l.first = s.next
	} else {
		s.prev.next = s.next
	}
	if s.next == nil {
		l.last = s.prev
	} else {
		s.next.prev = s.prev
	}
	s.prev, s.next = nil, nil
}

// Sessions enumerates all sessions, connected or not, without a lock on any but the one at hand. A session that begins or ends meanwhile may
// or may not come; no other comes twice or is left out. With Options.Sessions these are the sessions that have a connection to this node, or had
// one within Options.SessionTTL; FleetSessions has all.
func (b *Broker) Sessions() iter.Seq[SessionInfo] { return b.sessions.all() }

// Revoke ends a session: its streams get a goodbye, and its tokens are refused. Without Options.Sessions that lasts while the
// process does. With them it ends the streams of all nodes, within a second, and also a session that nobody knows, since its tokens might resume
// it. It returns ErrNoSession if there is no such session or it was revoked before, ErrClosed if Close came first or meanwhile, and ErrSessionsDown if the store couldn't be told: the session is then revoked on
// this node, and on the others as soon as the store is back. If this node is closed before, Close tries once more; what the store can't be told then is lost, and logged as an
// error with the number of sessions: call Revoke again at another node. The streams of this node are told at once, whatever the store does; the call itself takes twice
// Options.SessionsTimeout at most.
func (b *Broker) Revoke(session string) error {
	if b.fleet != nil {
		return b.fleet.revoke(session)
	}
	s, ok := b.sessions.get(session)
	if !ok || !b.sessions.revoke(s) {
		return ErrNoSession
	}
	b.revoked(s, ErrRevoked)
	return nil
}

// revoked ends the streams of a session that was revoked.
func (b *Broker) revoked(s *session, cause error) {
	s.end(cause)
	info, _ := b.sessions.info(s)
	b.sessionEnded(info, cause)
}

const sessionSweepInterval = time.Second

func (b *Broker) sweepSessions() {
	tick := time.NewTicker(sessionSweepInterval)
	defer tick.Stop()
	for {
		select {
		case <-b.ctx.Done():
			return
		case <-tick.C:
			b.sessions.sweep(b.abandoned)
		}
	}
}

// abandoned tells the hook of a session that this process has forgotten. With a store it is the store that says which sessions end.
func (b *Broker) abandoned(info SessionInfo) {
	if b.fleet == nil {
		b.sessionEnded(info, nil)
	}
}

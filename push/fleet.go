package push

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/buffkit/buffkit/eventlog"
	"github.com/buffkit/buffkit/sessionstore"
)

// fleet is a broker's part in a store that it shares with other nodes. The record of a session remembers what the store said of it, for when the store can't be asked.
//
// One goroutine tells the store who comes and who goes, see fleet_tell.go, so that a Restore, which replaces what was told of a session, stands at a known
// place among the rest. Of those who go it keeps no queue: it tells by how much a session has fewer connections than the store was told.
type fleet struct {
	broker   *Broker
	store    sessionstore.Store
	sessions *sessions
	node     string                 // what the store knows this node by; "" if it doesn't yet. Its alone who tells
	work     chan struct{}          // one, if somebody has come or gone
	more     chan struct{}          // one, if there is more to restore
	untold   map[sessionID]struct{} // which the store is to be told of, under this name. Its alone who tells

	mu        sync.Mutex // guards what follows. Taken after a session's mu
	down      bool       // the store doesn't answer, and isn't asked
	failed    bool       // since it was last told all that this node has
	claims    []*claim
	left      []*session                // that have fewer connections than the store was told
	uncounted bool                      // a stream was let in that the store wasn't told of
	unsaid    []sessionstore.Revocation // of this node, which the store wasn't told
	reread    bool                      // what was revoked is to be read from its beginning
	forgets   int                       // names of this node that the store is asked to forget now
}

func newFleet(b *Broker) *fleet {
	return &fleet{
		broker: b, store: b.opts.Sessions, sessions: b.sessions,
		work: make(chan struct{}, 1), more: make(chan struct{}, 1), untold: map[sessionID]struct{}{},
	}
}

func (f *fleet) begin() {
	f.broker.running.Go(f.tell)
	f.broker.running.Go(f.heed)
	f.broker.running.Go(f.sweep)
}

// claim is one who comes, and waits for what the store says.
type claim struct {
	ticket   ticket
	fresh    bool
	answered bool // or about to be; guarded by fleet.mu
	gone     bool // nobody waits for the answer; guarded by fleet.mu

	done       chan struct{} // closed when the outcome stands here
	session    *session
	generation uint32
	err        error
}

// start makes a session and connects to it. Errors: those of resume.
func (f *fleet) start(ctx context.Context, user string) (*session, uint32, error) {
	return f.connect(ctx, &claim{ticket: ticket{session: newSessionID(), user: user}, fresh: true})
}

// resume connects to the session of a ticket. Errors: ErrRevoked, ErrTokenReplayed, ErrTooManyConnections, the context's; ErrSessionsDown with Options.SessionsStrict.
func (f *fleet) resume(ctx context.Context, t ticket) (*session, uint32, error) {
	if s, ok := f.sessions.byID.get(t.session); ok && s.isRevoked() {
		return nil, 0, ErrRevoked
	}
	return f.connect(ctx, &claim{ticket: t})
}

func (f *fleet) connect(ctx context.Context, c *claim) (*session, uint32, error) {
	c.ticket.user = strings.Clone(c.ticket.user) // it is a part of a header, and others keep it
	err := f.await(ctx, c)
	switch {
	case err == nil:
		return c.session, c.generation, nil
	case !errors.Is(err, ErrSessionsDown) || f.broker.opts.SessionsStrict:
		return nil, 0, err
	}
	return f.connectAlone(c.ticket)
}

// await returns when the store has answered, or takes too long.
func (f *fleet) await(ctx context.Context, c *claim) error {
	c.done = make(chan struct{})
	f.mu.Lock()
	if f.down {
		f.mu.Unlock()
		return ErrSessionsDown
	}
	f.claims = append(f.claims, c)
	f.mu.Unlock()
	signal(f.work)
	timeout := time.NewTimer(f.broker.opts.SessionsTimeout)
	defer timeout.Stop()
	select {
	case <-c.done:
		return c.err
	case <-timeout.C:
		return f.giveUp(c, ErrSessionsDown)
	case <-ctx.Done():
		return f.giveUp(c, ctx.Err())
	}
}

// giveUp waits no longer for an answer, unless it is there.
func (f *fleet) giveUp(c *claim, err error) error {
	f.mu.Lock()
	answered := c.answered
	c.gone = true
	f.mu.Unlock()
	if !answered {
		return err
	}
	<-c.done
	return c.err
}

// connectAlone connects by what this node knows. The store is told later.
func (f *fleet) connectAlone(t ticket) (*session, uint32, error) {
	s, generation, err := f.broker.resumeAlone(t)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.uncounted = true
	if errors.Is(err, ErrTokenReplayed) && len(f.unsaid) < maxReplays {
		f.unsaid = append(f.unsaid, sessionstore.Revocation{Session: sessionstore.ID(t.session), Cause: sessionstore.ErrReplayed})
	}
	return s, generation, err
}

// answer gives a claim its outcome. What the store has counted is noted, even if nobody waits for it any more.
func (f *fleet) answer(c *claim, o sessionstore.Outcome) {
	f.mu.Lock()
	c.answered = true
	gone := c.gone
	f.mu.Unlock()
	c.session, c.generation, c.err = f.learn(c.ticket, o, gone)
	close(c.done)
}

// learn turns the outcome of a claim into a session.
func (f *fleet) learn(t ticket, o sessionstore.Outcome, gone bool) (*session, uint32, error) {
	switch {
	case errors.Is(o.Err, sessionstore.ErrTooMany):
		return nil, 0, ErrTooManyConnections
	case errors.Is(o.Err, sessionstore.ErrRevoked):
		f.learnRevoked(t)
		return nil, 0, ErrRevoked
	case errors.Is(o.Err, sessionstore.ErrReplayed):
		s, _ := f.sessions.markRevoked(t, ErrTokenReplayed)
		f.broker.running.Go(func() { f.broker.revoked(s, ErrTokenReplayed) }) // a hook may take its time
		return nil, 0, ErrTokenReplayed
	case o.Err != nil:
		return nil, 0, o.Err
	}
	for {
		s := f.sessions.find(t, instant(o.Created.Sub(f.sessions.began)))
		if generation, ok, err := f.sessions.attach(s, t, o, gone); ok {
			return s, generation, err
		}
	}
}

// learnRevoked notes that a session is revoked before the feed says so: the store may be down by then. Perhaps it was a replay, so what is noted is bounded until the feed
// says that it was not.
func (f *fleet) learnRevoked(t ticket) {
	if s, news := f.sessions.markRevoked(t, ErrTokenReplayed); news {
		s.end(ErrRevoked)
	}
}

// attach notes a connection that the store has counted. If nobody waits for it, or the session was revoked meanwhile, it is given back. It is false
// if the record was forgotten meanwhile.
func (m *sessions) attach(s *session, t ticket, o sessionstore.Outcome, gone bool) (generation uint32, ok bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := m.now()
	if s.state == sessionForgotten {
		return 0, false, nil
	}
	s.told++
	s.learn(t, o, now)
	switch {
	case s.state == sessionRevoked:
		err = ErrRevoked
	case !gone:
		m.list(s, nil)
		s.connections++
		s.shared = o.Connections > int(s.told)
		return s.generation, true, nil
	case s.connections == 0:
		s.seen = now
		m.list(s, &m.abandoned)
	}
	m.fleet.owes(s)
	return 0, true, err
}

// learn takes over what the store knows better: the newest generation, and, if nobody is connected here, the session's place. The token may be of
// a node that didn't come to tell the place: then its own counts.
func (s *session) learn(t ticket, o sessionstore.Outcome, now instant) {
	switch {
	case o.Generation > s.generation:
		s.generation, s.rotated, s.used = o.Generation, now, never
	case t.generation == s.generation && s.used == never:
		s.used = now
	}
	if s.connections > 0 {
		return
	}
	at, _ := eventlog.ParseCursor(o.Cursor) // one that no node could have written is none
	s.cursor = olderPlace(at, t.cursor)
}

// olderPlace returns the place that is before the other, if both are places.
func olderPlace(a, b eventlog.Cursor) eventlog.Cursor {
	if b.IsZero() || !a.IsZero() && !a.Beyond(b) {
		return a
	}
	return b
}

// owes notes that the store counts connections of a session that has ended them. The session's mu is held.
func (f *fleet) owes(s *session) {
	if s.leaving || s.told <= s.connections {
		return
	}
	s.leaving = true
	f.mu.Lock()
	f.left = append(f.left, s)
	f.mu.Unlock()
	signal(f.work)
}

func (f *fleet) isDown() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.down
}

func (s *session) isRevoked() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state == sessionRevoked
}

package push

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"time"

	"github.com/buffkit/buffkit/eventlog"
	"github.com/buffkit/buffkit/sessionstore"
)

const (
	revokedPoll  = 200 * time.Millisecond // streams of a session that was revoked elsewhere end within a second, a slow call included
	fleetSweep   = 5 * time.Second        // between two sweeps of a node, on average: nobody feels a session that ends later
	revokedSlack = time.Hour              // how much longer than its tokens a revocation is kept: a node that hasn't heard of it may give one more, by a clock of its own
	sweepTimeout = 30 * time.Second       // a sweep of a database that has much to remove
)

// heed ends the streams of sessions that were revoked elsewhere, until the broker ends.
func (f *fleet) heed() {
	tick := time.NewTicker(revokedPoll)
	defer tick.Stop()
	for mark := ""; ; {
		select {
		case <-tick.C:
			for next := f.heedNews(mark); next != mark; next = f.heedNews(mark) { // they come in parts
				mark = next
			}
		case <-f.broker.ctx.Done():
			return
		}
	}
}

// heedNews ends what was revoked after a mark, and returns the next.
func (f *fleet) heedNews(mark string) string {
	f.mu.Lock()
	down := f.down
	if f.reread {
		mark, f.reread = "", false
	}
	f.mu.Unlock()
	if down {
		return mark
	}
	var revoked []sessionstore.Revocation
	next := mark
	err := f.call(f.broker.ctx, f.timeout(), func(ctx context.Context) (err error) {
		revoked, next, err = f.store.Revoked(ctx, mark)
		return err
	})
	if err != nil {
		f.fail(fmt.Errorf("ask what was revoked: %w", err))
		return mark
	}
	for _, r := range revoked {
		f.endRevoked(r)
	}
	return next
}

// endRevoked ends the streams of a session that the store says is revoked. Who has revoked it has told the hook.
func (f *fleet) endRevoked(r sessionstore.Revocation) {
	cause := ErrRevoked
	if errors.Is(r.Cause, sessionstore.ErrReplayed) {
		cause = ErrTokenReplayed
	}
	if s, news := f.sessions.markRevoked(ticket{session: sessionID(r.Session)}, cause); news {
		s.end(cause)
	}
}

// markRevoked notes that a session is revoked, also one that this node doesn't have: it is to be refused too while the store is down. It
// is false if that is known.
func (m *sessions) markRevoked(t ticket, cause error) (s *session, news bool) {
	for {
		s := m.find(t, m.now())
		if news, ok := m.markRecord(s, cause); ok {
			return s, news
		}
	}
}

// markRecord is not ok if the record was forgotten meanwhile. One that a replay has revoked isn't pushed out by others any more if the app revokes it too.
func (m *sessions) markRecord(s *session, cause error) (news, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch s.state {
	case sessionForgotten:
		return false, false
	case sessionRevoked:
		if errors.Is(cause, ErrRevoked) && s.listed == &m.replayed {
			m.replays.Add(-1)
			s.seen = m.now()
			m.list(s, &m.revoked)
		}
		return false, true
	}
	m.revokeLocked(s, m.now(), cause)
	return true, true
}

// revoke is Broker.Revoke.
func (f *fleet) revoke(text string) error {
	id, ok := parseSessionID(text)
	switch {
	case f.broker.ctx.Err() != nil:
		return ErrClosed
	case !ok:
		return ErrNoSession
	}
	info := f.info(id)
	s, news := f.sessions.markRevoked(ticket{session: id, user: info.User}, ErrRevoked)
	s.end(ErrRevoked) // whatever the store takes to answer
	first, err := f.revokeStored(id)
	if err != nil && news {
		f.mu.Lock()
		f.unsaid = append(f.unsaid, sessionstore.Revocation{Session: sessionstore.ID(id), Cause: sessionstore.ErrRevoked})
		f.mu.Unlock()
	}
	switch {
	case first, err != nil && news:
		f.broker.sessionEnded(info, ErrRevoked)
	case err == nil:
		return ErrNoSession
	}
	if err != nil && f.broker.ctx.Err() != nil { // perhaps too late for end
		return fmt.Errorf("revoke %s at another node: the store may not know it: %w: %w", text, ErrClosed, err)
	}
	if err != nil {
		return fmt.Errorf("revoke %s: this node refuses it; the others will once the store is back: %w: %w", text, ErrSessionsDown, err)
	}
	return nil
}

func (f *fleet) revokeStored(id sessionID) (first bool, err error) {
	if f.isDown() {
		return false, errNotAsked
	}
	err = f.call(f.broker.ctx, f.timeout(), func(ctx context.Context) (err error) {
		first, err = f.store.Revoke(ctx, sessionstore.ID(id), sessionstore.ErrRevoked)
		return err
	})
	if err != nil {
		f.fail(fmt.Errorf("revoke: %w", err))
	}
	return first, err
}

var errNotAsked = errors.New("it was found to be down before")

// sayUnsaid tells the store one of those that were revoked while it was down. There is no more if there was none.
func (f *fleet) sayUnsaid(ctx context.Context) (more bool, err error) {
	f.mu.Lock()
	if len(f.unsaid) == 0 {
		f.mu.Unlock()
		return false, nil
	}
	next := f.unsaid[0]
	f.mu.Unlock()
	err = f.call(ctx, f.timeout(), func(ctx context.Context) error {
		_, err := f.store.Revoke(ctx, next.Session, next.Cause)
		return err
	})
	if err != nil {
		return false, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.unsaid = f.unsaid[1:]; len(f.unsaid) == 0 {
		f.unsaid = nil
	}
	return true, nil
}

// info is what is known of a session. It asks the store only if somebody is to be told.
func (f *fleet) info(id sessionID) SessionInfo {
	if s, ok := f.sessions.byID.get(id); ok {
		info, _ := f.sessions.info(s)
		return info
	}
	if f.broker.opts.Hooks.SessionEnded != nil {
		if info, err := f.get(f.broker.ctx, id); err == nil {
			return info
		}
	}
	return SessionInfo{ID: id.String()}
}

// has tells whether there is a session. One that the store can't be asked for may be there: what is sent to it costs a place in the log at most.
func (f *fleet) has(ctx context.Context, text string) bool {
	id, ok := parseSessionID(text)
	if !ok {
		return false
	}
	if s, ok := f.sessions.byID.get(id); ok && s.isRevoked() {
		return false
	}
	_, err := f.get(ctx, id)
	return !errors.Is(err, sessionstore.ErrNoSession)
}

func (f *fleet) get(ctx context.Context, id sessionID) (SessionInfo, error) {
	if f.isDown() {
		return SessionInfo{}, errNotAsked
	}
	var info sessionstore.Info
	err := f.call(ctx, f.timeout(), func(ctx context.Context) (err error) {
		info, err = f.store.Get(ctx, sessionstore.ID(id))
		return err
	})
	return infoOf(info), err
}

// infoOf translates what a store knows of a session.
func infoOf(info sessionstore.Info) SessionInfo {
	at, _ := eventlog.ParseCursor(info.Cursor) // one that no node could have written is none
	return SessionInfo{
		ID: sessionID(info.Session).String(), User: info.User, Connections: info.Connections,
		Created: info.Created, LastSeen: info.LastSeen, Cursor: at,
	}
}

// FleetSessions enumerates the sessions of all nodes, as Options.Sessions has them; without, those of this process. One that begins or
// ends meanwhile may or may not come. An error of the store comes last: then some are left out.
func (b *Broker) FleetSessions(ctx context.Context) iter.Seq2[SessionInfo, error] {
	return func(yield func(SessionInfo, error) bool) {
		if b.fleet == nil {
			for info := range b.Sessions() {
				if !yield(info, nil) {
					return
				}
			}
			return
		}
		more := true
		err := b.fleet.store.List(ctx, func(info sessionstore.Info) bool {
			more = yield(infoOf(info), nil)
			return more
		})
		if err != nil && more {
			yield(SessionInfo{}, fmt.Errorf("list sessions: %w", err))
		}
	}
}

// sweep lets the store end abandoned sessions, until the broker ends. Every node does so: each session is told to one.
func (f *fleet) sweep() {
	for {
		select {
		case <-time.After(fleetSweep/2 + rand.N(fleetSweep)):
		case <-f.broker.ctx.Done():
			return
		}
		for more := true; more && !f.isDown(); {
			more = f.sweepSome()
		}
	}
}

// sweepSome tells whether there is more to do.
func (f *fleet) sweepSome() (more bool) {
	o := &f.broker.opts
	var ended []sessionstore.Info
	err := f.call(f.broker.ctx, sweepTimeout, func(ctx context.Context) (err error) {
		ended, more, err = f.store.Sweep(ctx, o.SessionTTL, o.TokenTTL+revokedSlack, zeroForNone(o.Limits.MaxSessions))
		return err
	})
	for _, info := range ended {
		f.broker.sessionEnded(infoOf(info), nil)
	}
	if err != nil && f.broker.ctx.Err() == nil { // a sweep may take too long for a store that does all else
		f.broker.logger().Warn("push: abandoned sessions can't be removed from the session store; trying again", "error", err, "in", fleetSweep)
	}
	return more && err == nil
}

package push

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/buffkit/buffkit/sessionstore"
)

const (
	nodeBeat = 2 * time.Second  // between two signs of life; also between two attempts to reach a store that is down
	nodeTTL  = 10 * time.Second // a node that was silent for so long is dead to the store: five beats

	maxTogether = 1024 // claims, or sessions that are left, in one call: more saves nothing
	maxRestored = 256  // sessions in one call: who comes waits for one, which takes a slow database some tens of milliseconds
)

// tell tells the store who comes and goes, and that this node is alive, until the broker ends.
func (f *fleet) tell() {
	f.beginAnew()
	beat := time.NewTicker(nodeBeat)
	defer beat.Stop()
	for f.broker.ctx.Err() == nil {
		f.beatIfDue(beat.C)
		select {
		case <-f.work:
			f.settle(beat.C)
		case <-f.more:
			f.restore()
		case <-beat.C:
			f.beat()
		case <-f.broker.ctx.Done():
		}
	}
	f.end()
}

// beatIfDue goes before every other call: a select picks at random, and a node that a slow store keeps busy would be taken for dead.
func (f *fleet) beatIfDue(due <-chan time.Time) {
	select {
	case <-due:
		f.beat()
	default:
	}
}

// settle tells who has gone, and then asks for those who come: they may need the room.
func (f *fleet) settle(due <-chan time.Time) {
	left, ok := f.settleLeft(context.Background())
	if !ok {
		return
	}
	f.beatIfDue(due)
	claims := f.takeClaims()
	f.ask(claims)
	if left+len(claims) > 0 {
		signal(f.work) // there may be more
	}
}

// settleLeft takes back connections that have ended. It is false if the store is down.
func (f *fleet) settleLeft(ctx context.Context) (sessions int, ok bool) {
	left, ok := f.takeLeft()
	var leaves []sessionstore.Leave
	for _, s := range left {
		leaves = s.appendLeaves(leaves)
	}
	if !ok || len(leaves) == 0 {
		return len(left), ok
	}
	err := f.call(ctx, f.timeout(), func(ctx context.Context) error { return f.store.Leave(ctx, f.node, leaves) })
	if err != nil {
		f.fail(fmt.Errorf("leave: %w", err))
	}
	return len(left), err == nil
}

func (f *fleet) takeLeft() (left []*session, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.down {
		return nil, false
	}
	n := min(len(f.left), maxTogether)
	left = f.left[:n:n]
	if f.left = f.left[n:]; len(f.left) == 0 {
		f.left = nil
	}
	return left, true
}

// appendLeaves appends a Leave for each connection that the store was told of and that has ended.
func (s *session) appendLeaves(leaves []sessionstore.Leave) []sessionstore.Leave {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.leaving = false
	leave := sessionstore.Leave{Session: sessionstore.ID(s.id), User: s.user, Cursor: s.cursor.String()}
	for ; s.told > s.connections; s.told-- {
		leaves = append(leaves, leave)
	}
	return leaves
}

// takeClaims takes those who come and still wait.
func (f *fleet) takeClaims() (claims []*claim) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for ; n < len(f.claims) && len(claims) < maxTogether; n++ {
		if c := f.claims[n]; !c.gone {
			claims = append(claims, c)
		}
	}
	if f.claims = f.claims[n:]; len(f.claims) == 0 {
		f.claims = nil
	}
	return claims
}

// ask gives claims their outcomes.
func (f *fleet) ask(claims []*claim) {
	if len(claims) == 0 {
		return
	}
	asked := make([]sessionstore.Claim, len(claims))
	for i, c := range claims {
		asked[i] = f.claimOf(c)
	}
	var outcomes []sessionstore.Outcome
	err := f.call(context.Background(), f.timeout(), func(ctx context.Context) (err error) {
		outcomes, err = f.store.Connect(ctx, f.node, asked)
		return err
	})
	if err == nil && len(outcomes) != len(claims) {
		err = fmt.Errorf("%d outcomes for %d claims", len(outcomes), len(claims))
	}
	if err != nil {
		f.fail(fmt.Errorf("connect: %w", err))
		outcomes = make([]sessionstore.Outcome, len(claims))
		for i := range outcomes {
			outcomes[i].Err = ErrSessionsDown
		}
	}
	for i, c := range claims {
		f.answer(c, outcomes[i])
	}
}

func (f *fleet) claimOf(c *claim) sessionstore.Claim {
	o := &f.broker.opts
	return sessionstore.Claim{
		Session: sessionstore.ID(c.ticket.session), User: c.ticket.user, Fresh: c.fresh,
		Generation: c.ticket.generation, Cursor: c.ticket.cursor.String(), Grace: o.TokenGrace,
		MaxPerSession: zeroForNone(o.Limits.MaxConnectionsPerSession), MaxPerUser: zeroForNone(o.Limits.MaxConnectionsPerUser),
	}
}

// zeroForNone writes a limit as a store has it.
func zeroForNone(limit int) int {
	if limit == noLimit {
		return 0
	}
	return limit
}

// beat says that this node is alive, and lets the store be told what it may not know.
func (f *fleet) beat() {
	f.mu.Lock()
	failed, more := f.failed, f.uncounted || len(f.unsaid) > 0
	f.mu.Unlock()
	if failed {
		f.beginAnew()
		return
	}
	err := f.call(context.Background(), f.timeout(), func(ctx context.Context) error { return f.store.Beat(ctx, f.node, nodeTTL) })
	switch {
	case errors.Is(err, sessionstore.ErrNodeLost):
		f.broker.logger().Warn("push: the session store took this node for dead; it is told again what the node has")
		f.fromBeginning()
		f.beginAnew()
	case err != nil:
		f.fail(fmt.Errorf("beat: %w", err))
	case more:
		f.gather()
	}
}

// beginAnew makes the node known to the store by a name that it never had, and lets it be told all that the node has. What the store counts for the name before isn't
// known after a failure: it may have lost a Leave that it has acknowledged, and what was given up may still arrive. So the store is to forget that name.
func (f *fleet) beginAnew() {
	f.mu.Lock()
	f.failed = false
	f.mu.Unlock()
	name := rand.Text()
	err := f.call(f.broker.ctx, f.timeout(), func(ctx context.Context) error { return f.store.Restore(ctx, name, nodeTTL, nil) })
	if err != nil {
		f.fail(fmt.Errorf("restore: %w", err))
		return
	}
	f.forgetBefore(f.node)
	f.node = name
	f.untell()
	f.gather()
}

// forgetBefore ends a name of this node, which may have had much. Who comes doesn't wait for that, but what the node has does: else it would count twice.
func (f *fleet) forgetBefore(name string) {
	f.mu.Lock()
	f.forgets++
	f.mu.Unlock()
	f.broker.running.Go(func() {
		f.forget(f.broker.ctx, name, nodeTTL)
		f.mu.Lock()
		f.forgets--
		f.mu.Unlock()
		signal(f.more)
	})
}

// forget ends a name of this node. If that fails, the name is dead to the store when its time is over.
func (f *fleet) forget(ctx context.Context, name string, most time.Duration) {
	if name == "" {
		return
	}
	err := f.call(ctx, most, func(ctx context.Context) error { return f.store.Forget(ctx, name) })
	if err != nil {
		f.warnCounted(err)
	}
}

func (f *fleet) warnCounted(err error) {
	f.broker.logger().Warn("push: the session store counts what this node had for a while longer", "for", nodeTTL, "error", err)
}

// untell notes that the store was told of nothing.
func (f *fleet) untell() {
	f.untold = map[sessionID]struct{}{}
	f.mu.Lock()
	left := f.left
	f.left = nil
	f.mu.Unlock()
	for _, s := range left { // of which the table may have forgotten some
		s.mu.Lock()
		s.told, s.leaving = 0, false
		s.mu.Unlock()
	}
	for s := range f.sessions.byID.all() {
		s.mu.Lock()
		s.told = 0
		s.mu.Unlock()
	}
}

// gather notes the sessions to restore: those that the store wasn't told of.
func (f *fleet) gather() {
	f.mu.Lock()
	f.uncounted = false
	f.mu.Unlock()
	for s := range f.sessions.byID.all() {
		if s.isUntold() {
			f.untold[s.id] = struct{}{}
		}
	}
	signal(f.more)
}

// isUntold tells whether the store wasn't told of a connection.
func (s *session) isUntold() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state == sessionLive && s.told < s.connections
}

// restore tells the store some of what it may not know. The store is up if there is no more.
func (f *fleet) restore() {
	f.mu.Lock()
	failed, forgets := f.failed, f.forgets > 0
	f.mu.Unlock()
	if failed {
		return // the next beat begins anew
	}
	more, err := f.sayUnsaid(f.broker.ctx)
	if err == nil && !more && !forgets {
		more, err = f.restoreSome()
	}
	switch {
	case err != nil:
		f.fail(fmt.Errorf("restore: %w", err))
	case more:
		signal(f.more)
	case !forgets:
		f.works()
	}
}

// restoreSome tells what this node has of some sessions.
func (f *fleet) restoreSome() (more bool, err error) {
	held := make([]sessionstore.Held, 0, min(len(f.untold), maxRestored))
	for id := range f.untold {
		if held = append(held, f.held(id)); len(held) == maxRestored {
			break
		}
	}
	if len(held) == 0 {
		f.untold = map[sessionID]struct{}{} // a map keeps the memory of all it ever had
		return false, nil
	}
	tell := func(ctx context.Context) error { return f.store.Restore(ctx, f.node, 0, held) }
	err = f.call(f.broker.ctx, f.timeout(), tell)
	if err != nil { // once more, or all would begin anew for this part; if both arrive it is as if one had
		err = f.call(f.broker.ctx, f.timeout(), tell)
	}
	if err != nil {
		return false, err
	}
	for _, h := range held {
		delete(f.untold, sessionID(h.Session))
	}
	return true, nil
}

// held is what this node has of a session. It notes that as told.
func (f *fleet) held(id sessionID) sessionstore.Held {
	h := sessionstore.Held{Session: sessionstore.ID(id)}
	s, known := f.sessions.byID.get(id)
	if !known {
		return h
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.told = 0; s.state != sessionLive || s.connections == 0 {
		return h
	}
	s.told = s.connections
	h.User, h.Generation, h.Connections = s.user, s.generation, int(s.connections)
	h.Cursor, h.Created = s.cursor.String(), f.sessions.time(s.created)
	return h
}

// works notes that the store does what it should, and knows all.
func (f *fleet) works() {
	f.mu.Lock()
	if f.failed {
		f.mu.Unlock()
		return
	}
	wasDown := f.down
	f.down = false
	f.mu.Unlock()
	signal(f.work) // for who has come or gone meanwhile
	if wasDown {
		f.fromBeginning()
		f.broker.logger().Info("push: the session store answers again")
		f.broker.sessionsDown(nil)
	}
}

// fromBeginning lets heed read again all that was revoked: a store that has begun anew may have other marks.
func (f *fleet) fromBeginning() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.reread = true
}

// fail notes that a call of the store didn't work, and lets in those who wait for it.
func (f *fleet) fail(err error) {
	if f.broker.ctx.Err() != nil {
		return // perhaps because of that, and all streams have ended
	}
	f.mu.Lock()
	news := !f.down
	f.down, f.failed = true, true
	waiting := f.claims
	f.claims = nil
	for _, c := range waiting {
		c.answered = true
	}
	f.mu.Unlock()
	for _, c := range waiting {
		c.err = ErrSessionsDown
		close(c.done)
	}
	if news {
		f.broker.logger().Error("push: the session store doesn't answer; this node goes on by what it knows", "error", err)
		f.broker.sessionsDown(err)
	}
}

// end tells who has gone at last, and that the node is no more. The first takes no longer than a call may: of those that it doesn't get to, the store doesn't learn the
// places, which are in their tokens.
func (f *fleet) end() {
	f.sayLast()
	if f.isDown() {
		f.warnCounted(errNotAsked)
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), f.timeout())
	defer cancel()
	for left, ok := f.settleLeft(ctx); ok && left > 0; {
		left, ok = f.settleLeft(ctx)
	}
	f.forget(context.Background(), f.node, f.timeout())
}

// sayLast tells what was revoked while the store was down, in case it is back: when this node has ended nobody knows. It takes no longer than a call may.
func (f *fleet) sayLast() {
	ctx, cancel := context.WithTimeout(context.Background(), f.timeout())
	defer cancel()
	more, err := f.sayUnsaid(ctx)
	for more && err == nil {
		more, err = f.sayUnsaid(ctx)
	}
	if err == nil {
		return
	}
	f.mu.Lock()
	lost := len(f.unsaid)
	f.mu.Unlock()
	f.broker.logger().Error("push: the session store wasn't told of sessions that were revoked while it was down: other nodes accept their tokens; revoke them again there",
		"sessions", lost, "error", err)
}

// call asks the store something that may take so long.
func (f *fleet) call(ctx context.Context, most time.Duration, ask func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	return ask(ctx)
}

func (f *fleet) timeout() time.Duration { return f.broker.opts.SessionsTimeout }

package push_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/buffkit/buffkit/push"
	"github.com/buffkit/buffkit/sessionstore"
)

// newFleet returns nodes that share a log and, unless the options have one, a store in memory.
func newFleet(t testing.TB, nodes int, opts push.Options) []*push.Broker {
	t.Helper()
	if opts.Sessions == nil {
		opts.Sessions = newStore(t)
	}
	opts.Log, opts.Keys = newLog(t, none), []push.Key{key1}
	fleet := make([]*push.Broker, nodes)
	for i := range fleet {
		fleet[i] = newBroker(t, asUser, opts)
	}
	return fleet
}

func newStore(t testing.TB) *sessionstore.Memory {
	m := sessionstore.NewMemory()
	t.Cleanup(func() { m.Close() })
	return m
}

// moody is a store that fails or hangs on command, and counts its calls. Without a command it is the store inside.
type moody struct {
	sessionstore.Store

	mu    sync.Mutex // guards what follows
	fail  error
	hang  bool
	dumb  bool          // says that all is well, and does nothing
	brief bool          // leaves out the last outcome of a Connect
	takes time.Duration // each call
	each  time.Duration // and each session of a Restore
	calls map[string]int
	held  int // sessions of all Restores
}

func newMoody(s sessionstore.Store) *moody { return &moody{Store: s, calls: map[string]int{}} }

func (m *moody) set(change func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	change()
}

func (m *moody) count(call string) (n int) {
	m.set(func() { n = m.calls[call] })
	return n
}

// mood does what is commanded, and else the call.
func (m *moody) mood(ctx context.Context, call string, do func() error) error {
	m.mu.Lock()
	m.calls[call]++
	fail, hang, dumb, takes := m.fail, m.hang, m.dumb, m.takes
	m.mu.Unlock()
	if err := waitFor(ctx, takes); err != nil {
		return err
	}
	switch {
	case hang:
		<-ctx.Done()
		return ctx.Err()
	case dumb:
		return nil
	case fail != nil:
		return fail
	}
	return do()
}

func waitFor(ctx context.Context, d time.Duration) error {
	if d == 0 {
		return nil
	}
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (m *moody) Connect(ctx context.Context, node string, claims []sessionstore.Claim) (o []sessionstore.Outcome, err error) {
	err = m.mood(ctx, "Connect", func() (err error) { o, err = m.Store.Connect(ctx, node, claims); return err })
	m.set(func() {
		if m.brief && len(o) > 0 {
			o = o[:len(o)-1]
		}
	})
	return o, err
}

func (m *moody) Leave(ctx context.Context, node string, leaves []sessionstore.Leave) error {
	return m.mood(ctx, "Leave", func() error { return m.Store.Leave(ctx, node, leaves) })
}

func (m *moody) Get(ctx context.Context, id sessionstore.ID) (info sessionstore.Info, err error) {
	err = m.mood(ctx, "Get", func() (err error) { info, err = m.Store.Get(ctx, id); return err })
	return info, err
}

func (m *moody) List(ctx context.Context, each func(sessionstore.Info) bool) error {
	return m.mood(ctx, "List", func() error { return m.Store.List(ctx, each) })
}

func (m *moody) Revoke(ctx context.Context, id sessionstore.ID, cause error) (first bool, err error) {
	err = m.mood(ctx, "Revoke", func() (err error) { first, err = m.Store.Revoke(ctx, id, cause); return err })
	return first, err
}

func (m *moody) Revoked(ctx context.Context, after string) (revoked []sessionstore.Revocation, mark string, err error) {
	err = m.mood(ctx, "Revoked", func() (err error) { revoked, mark, err = m.Store.Revoked(ctx, after); return err })
	return revoked, mark, err
}

func (m *moody) Beat(ctx context.Context, node string, ttl time.Duration) error {
	return m.mood(ctx, "Beat", func() error { return m.Store.Beat(ctx, node, ttl) })
}

func (m *moody) Restore(ctx context.Context, node string, ttl time.Duration, held []sessionstore.Held) error {
	m.mu.Lock()
	m.held += len(held)
	takes := m.each * time.Duration(len(held))
	m.mu.Unlock()
	if err := waitFor(ctx, takes); err != nil {
		return err
	}
	return m.mood(ctx, "Restore", func() error { return m.Store.Restore(ctx, node, ttl, held) })
}

func (m *moody) Forget(ctx context.Context, node string) error {
	return m.mood(ctx, "Forget", func() error { return m.Store.Forget(ctx, node) })
}

func (m *moody) Sweep(ctx context.Context, abandoned, revoked time.Duration, most int) (ended []sessionstore.Info, more bool, err error) {
	err = m.mood(ctx, "Sweep", func() (err error) { ended, more, err = m.Store.Sweep(ctx, abandoned, revoked, most); return err })
	return ended, more, err
}

// countedBy is how many connections a store counts of all sessions together.
func countedBy(t testing.TB, store sessionstore.Store) (connections int) {
	t.Helper()
	synctest.Wait()
	err := store.List(t.Context(), func(info sessionstore.Info) bool { connections += info.Connections; return true })
	if err != nil {
		t.Fatal(err)
	}
	return connections
}

// endings notes which node's hook was told of which session's end.
type endings struct {
	mu   sync.Mutex // guards told
	told []string
}

func (e *endings) hooks(node string) push.Hooks {
	return push.Hooks{SessionEnded: func(s push.SessionInfo, cause error) {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.told = append(e.told, fmt.Sprint(node, " ", s.ID, " ", s.User, " ", cause))
	}}
}

func (e *endings) want(t testing.TB, told ...string) {
	t.Helper()
	synctest.Wait()
	e.mu.Lock()
	defer e.mu.Unlock()
	if !slices.Equal(e.told, told) {
		t.Errorf("the hooks were told %q, want %q", e.told, told)
	}
}

const (
	// heard is the time in which all nodes hear of a revocation.
	heard = time.Second
	// buried is the time after which a dead node's connections don't count: its time to live, and the longest time to the next sweep.
	buried = 10*time.Second + 7500*time.Millisecond + 1
)

func TestSessionMovesBetweenNodes(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		fleet := newFleet(t, 3, push.Options{})
		began := time.Now()
		s := resume(t, fleet[0], "ada", "")
		s.want("open:fresh")
		id := s.session()
		publish(t, fleet[1], "a:1")
		s.want("1")
		s.close()
		s = resume(t, fleet[1], "ada", s.token()) // without a cursor: the session's counts
		s.want("open:resumed:1", "1")
		at := s.lastID()
		publish(t, fleet[2], "a:2")
		s.want("2")
		s.close()
		<-time.After(2 * push.DefaultTokenGrace)
		s = resume(t, fleet[2], "ada", s.token(), "Last-Event-ID", at)
		s.want("open:resumed:1", "2")
		if token := s.token(); token == "" || s.session() != id {
			t.Errorf("session %s became %s", id, s.session())
		}
		s.close()
		s = resume(t, fleet[0], "ada", s.token()) // the place is now what it proved at another node
		s.want("open:resumed:1", "2")
		for info, err := range fleet[1].FleetSessions(t.Context()) {
			if err != nil || info.ID != id || info.User != "ada" || info.Connections != 1 || !info.Created.Equal(began) {
				t.Errorf("%+v, %v", info, err)
			}
		}
	})
}

// Tabs share a session by its cookie, and need not be at the same node.
func TestSessionKeepsTheOldestPlaceOfItsConnectionsOnAllNodes(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		fleet := newFleet(t, 2, push.Options{})
		first := resume(t, fleet[0], "ada", "")
		publish(t, fleet[0], "a:1")
		second := resume(t, fleet[1], "ada", first.token(), "Last-Event-ID", first.lastID())
		second.want("open:resumed:0")
		publish(t, fleet[0], "a:2")
		first.close()
		second.close() // the last one
		third := resume(t, fleet[1], "ada", second.token())
		third.want("open:resumed:2", "1", "2")
		third.close()
		// Alone, a connection moves the place on to what it proves to have.
		fourth := resume(t, fleet[0], "ada", third.token(), "Last-Event-ID", third.lastID())
		fourth.want("open:resumed:0")
		fourth.close()
		fifth := resume(t, fleet[1], "ada", fourth.token())
		fifth.want("open:resumed:0")
	})
}

// A node that is killed tells nothing. What its clients got from it, the token, is enough.
func TestSessionOfADeadNodeResumesWhereItBegan(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		store := newMoody(newStore(t))
		fleet := newFleet(t, 2, push.Options{Sessions: store})
		s := resume(t, fleet[0], "ada", "")
		publish(t, fleet[1], "a:1")
		store.set(func() { store.dumb = true }) // nobody tells it anything
		s.close()
		store.set(func() { store.dumb = false })
		s = resume(t, fleet[1], "ada", s.token())
		s.want("open:resumed:1", "1")
	})
}

func TestRevokeEndsTheStreamsOfAllNodesWithinASecond(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		store, log := newStore(t), newLog(t, none)
		var told endings
		var fleet []*push.Broker
		for _, name := range []string{"A", "B", "C"} {
			opts := push.Options{Sessions: store, Log: log, Keys: []push.Key{key1}, Hooks: told.hooks(name)}
			fleet = append(fleet, newBroker(t, asUser, opts))
		}
		onA := resume(t, fleet[0], "ada", "")
		onB, other := resume(t, fleet[1], "ada", onA.token()), resume(t, fleet[1], "ada", "")
		onA.next()
		onB.next()
		other.next()
		id := onA.session()
		if err := fleet[2].Revoke(id); err != nil { // which never had it
			t.Fatal(err)
		}
		for i, b := range fleet {
			if got := resume(t, b, "ada", onB.token()).refusal(); got != "401 revoked" {
				t.Errorf("node %d, at once: %s", i, got)
			}
		}
		pass(heard)
		onA.want("bye:revoked")
		onB.want("bye:revoked")
		other.want()
		if !onA.ended() || !onB.ended() || other.ended() {
			t.Errorf("ended: %v, %v, %v", onA.ended(), onB.ended(), other.ended())
		}
		told.want(t, fmt.Sprint("C ", id, " ada ", push.ErrRevoked))
		for i, b := range fleet {
			if _, err := b.SendSession(t.Context(), id, push.Event{}); !errors.Is(err, push.ErrNoSession) {
				t.Errorf("SendSession at node %d: %v", i, err)
			}
			if err := b.Revoke(id); !errors.Is(err, push.ErrNoSession) {
				t.Errorf("a second Revoke at node %d: %v", i, err)
			}
			if err := b.Revoke("x"); !errors.Is(err, push.ErrNoSession) {
				t.Errorf("Revoke of what isn't a session: %v", err)
			}
		}
		if n := countedBy(t, store); n != 1 {
			t.Errorf("%d connections are counted, there is one", n)
		}

		// One that nobody is connected to is revoked too.
		other.close()
		if err := fleet[0].Revoke(other.session()); err != nil {
			t.Error(err)
		}
		if got := resume(t, fleet[2], "ada", other.token()).refusal(); got != "401 revoked" {
			t.Errorf("away while it was revoked: %s", got)
		}
		told.want(t, fmt.Sprint("C ", id, " ada ", push.ErrRevoked), fmt.Sprint("A ", other.session(), " ada ", push.ErrRevoked))
	})
}

func TestReplayedTokenEndsTheStreamsOfAllNodes(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		store, log := newStore(t), newLog(t, none)
		var told endings
		var fleet []*push.Broker
		for _, name := range []string{"A", "B"} {
			opts := push.Options{Sessions: store, Log: log, Keys: []push.Key{key1}, Hooks: told.hooks(name)}
			fleet = append(fleet, newBroker(t, asUser, opts))
		}
		owner := resume(t, fleet[0], "ada", "")
		id, stolen := owner.session(), owner.token()
		owner.close()
		owner = resume(t, fleet[1], "ada", stolen)
		owner.close()
		<-time.After(push.DefaultTokenGrace + time.Millisecond) // a store counts in microseconds
		owner = resume(t, fleet[1], "ada", owner.token())
		owner.next()
		if got := resume(t, fleet[0], "ada", stolen).refusal(); got != "401 token_replayed" {
			t.Errorf("the thief gets %s", got)
		}
		pass(heard)
		owner.want("bye:token_replayed")
		if !owner.ended() {
			t.Error("the owner's stream goes on")
		}
		told.want(t, fmt.Sprint("A ", id, " ada ", push.ErrTokenReplayed))
	})
}

func TestLimitsCountTheConnectionsOfAllNodes(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		fleet := newFleet(t, 3, push.Options{Limits: push.Limits{MaxConnectionsPerSession: 2, MaxConnectionsPerUser: 3}})
		first := resume(t, fleet[0], "ada", "")
		second := resume(t, fleet[1], "ada", first.token())
		if got := resume(t, fleet[2], "ada", first.token()).refusal(); got != "429 limit" {
			t.Errorf("a third of the session: %s", got)
		}
		third := resume(t, fleet[2], "ada", "")
		third.want("open:fresh")
		if got := resume(t, fleet[0], "ada", "").refusal(); got != "429 limit" {
			t.Errorf("a fourth of the user: %s", got)
		}
		if got := resume(t, fleet[0], "bea", ""); got.ended() {
			t.Errorf("another user: %s", got.refusal())
		}
		second.close()
		again := resume(t, fleet[2], "ada", first.token())
		again.want("open:resumed:0")
	})
}

func TestCountsHealAfterANodeDies(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		store, log := newStore(t), newLog(t, none)
		line := newMoody(store) // of the first node
		opts := push.Options{Sessions: line, Log: log, Keys: []push.Key{key1}, Logger: quiet(), Limits: push.Limits{MaxConnectionsPerSession: 1}}
		one := newBroker(t, asUser, opts)
		opts.Sessions = store
		other := newBroker(t, asUser, opts)
		stays := resume(t, one, "ada", "")
		stays.next()
		line.set(func() { line.fail = errors.New("cut") })
		pass(9 * time.Second)
		if got := resume(t, other, "ada", stays.token()).refusal(); got != "429 limit" {
			t.Errorf("while it may live: %s", got)
		}
		pass(buried)
		moved := resume(t, other, "ada", stays.token())
		moved.want("open:resumed:0")
		moved.close()
		if n := countedBy(t, store); n != 0 {
			t.Errorf("%d connections are counted", n)
		}
		// It wasn't dead, but away. What it has counts again.
		line.set(func() { line.fail = nil })
		pass(3 * time.Second)
		if n := countedBy(t, store); n != 1 || stays.ended() {
			t.Errorf("%d connections are counted; its stream ended: %v", n, stays.ended())
		}
		if got := resume(t, other, "ada", moved.token()).refusal(); got != "429 limit" {
			t.Errorf("when it is back: %s", got)
		}
		stays.close()
		if n := countedBy(t, store); n != 0 {
			t.Errorf("%d connections are counted in the end", n)
		}
	})
}

// A node that was held up, by its machine or by its collector, isn't told that anything failed.
func TestANodeThatWasTakenForDeadTellsWhatItHas(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		store, log := newStore(t), newLog(t, none)
		line := newMoody(store)
		opts := push.Options{Sessions: line, Log: log, Keys: []push.Key{key1}}
		one := newBroker(t, asUser, opts)
		opts.Sessions = store
		newBroker(t, asUser, opts)
		stays, leaves := resume(t, one, "ada", ""), resume(t, one, "ada", "")
		line.set(func() { line.dumb = true })
		pass(buried)
		if n := countedBy(t, store); n != 0 {
			t.Fatalf("%d connections are counted", n)
		}
		line.set(func() { line.dumb = false })
		leaves.close()
		pass(3 * time.Second)
		if n := countedBy(t, store); n != 1 {
			t.Errorf("%d connections are counted", n)
		}
		stays.close()
		if n := countedBy(t, store); n != 0 {
			t.Errorf("%d connections are counted in the end", n)
		}
	})
}

// A node may have so much that it can't be told within the time of a call, and others come meanwhile.
func TestANodeThatHasMuchIsToldOfInParts(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		store := newMoody(newStore(t))
		fleet := newFleet(t, 1, push.Options{Sessions: store, Logger: quiet()})
		const streams, late = 3000, 40
		ctx, leave := context.WithCancel(t.Context())
		var all sync.WaitGroup
		for range streams {
			all.Go(func() { stay(ctx, fleet[0]) })
		}
		pass(time.Second)
		store.set(func() { store.fail, store.each = errors.New("cut"), 3*time.Millisecond })
		pass(3 * time.Second)
		store.set(func() { store.fail, store.held = nil, 0 })
		for i := range late { // through the 9 s that it takes, and later
			s := resume(t, fleet[0], fmt.Sprint(i), "")
			pass(time.Second / 2)
			if len(s.next()) == 0 {
				t.Fatalf("stream %d waits", i)
			}
		}
		if n := countedBy(t, store); n != streams+late || fleet[0].Stats().SessionsDown {
			t.Errorf("%d connections are counted, there are %d; down: %v", n, streams+late, fleet[0].Stats().SessionsDown)
		}
		if store.held > streams+late {
			t.Errorf("it was told of %d sessions, there are %d", store.held, streams+late)
		}
		leave()
		all.Wait()
		pass(10 * time.Second)
		if n := countedBy(t, store); n != late {
			t.Errorf("%d connections are counted when they have left", n)
		}
	})
}

func TestASessionThatIsAwayGetsWhatAnotherNodeSentIt(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		fleet := newFleet(t, 3, push.Options{})
		s := resume(t, fleet[0], "ada", "")
		s.next()
		send := func(b *push.Broker, text string) {
			t.Helper()
			if _, err := b.SendSession(t.Context(), s.session(), push.Event{Data: []byte(text)}); err != nil {
				t.Error(err)
			}
		}
		send(fleet[1], "live, from another node")
		s.want("live, from another node")
		at := s.lastID()
		s.close()
		send(fleet[1], "while it was away")
		if _, err := fleet[1].SendUser(t.Context(), "ada", push.Event{Data: []byte("to the user")}); err != nil {
			t.Error(err)
		}
		pass(time.Minute)
		send(fleet[0], "from where it was before")
		s = resume(t, fleet[2], "ada", s.token(), "Last-Event-ID", at)
		s.want("open:resumed:3", "while it was away", "to the user", "from where it was before")
		for i, b := range fleet {
			for _, id := range []string{"", "x", strings.Repeat("A", 22)} {
				if _, err := b.SendSession(t.Context(), id, push.Event{}); !errors.Is(err, push.ErrNoSession) {
					t.Errorf("node %d, session %q: %v", i, id, err)
				}
			}
		}
	})
}

func TestAnAbandonedSessionEndsOnceInAFleet(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		store, log := newStore(t), newLog(t, none)
		var told endings
		var fleet []*push.Broker
		for range 3 {
			opts := push.Options{Sessions: store, Log: log, Keys: []push.Key{key1}, Hooks: told.hooks("any"), SessionTTL: time.Minute}
			fleet = append(fleet, newBroker(t, asUser, opts))
		}
		goes, moves := resume(t, fleet[0], "goes", ""), resume(t, fleet[0], "moves", "")
		id := goes.session()
		goes.close()
		moves.close()
		pass(time.Minute - 1)
		told.want(t)
		moves = resume(t, fleet[1], "moves", moves.token()) // the first node has only its memory of it
		pass(10 * time.Minute)
		told.want(t, fmt.Sprint("any ", id, " goes <nil>"))
		if _, err := fleet[0].SendSession(t.Context(), id, push.Event{}); !errors.Is(err, push.ErrNoSession) {
			t.Errorf("SendSession: %v", err)
		}
		if n := fleet[0].SessionRecords(); n != 0 {
			t.Errorf("the first node still has %d records", n)
		}
		if moves.ended() {
			t.Error("the other's stream ended")
		}
	})
}

func TestTooManySessionsOfAFleetEndThoseAwayForLongest(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		store, log := newStore(t), newLog(t, none)
		var told endings
		var fleet []*push.Broker
		for range 2 {
			opts := push.Options{Sessions: store, Log: log, Keys: []push.Key{key1}, Hooks: told.hooks("any"), Limits: push.Limits{MaxSessions: 2}}
			fleet = append(fleet, newBroker(t, asUser, opts))
		}
		var ids []string
		for i := range 4 {
			s := resume(t, fleet[i%2], fmt.Sprint(i), "")
			ids = append(ids, s.session())
			s.close()
			<-time.After(time.Millisecond)
		}
		pass(time.Minute)
		told.want(t, fmt.Sprint("any ", ids[0], " 0 <nil>"), fmt.Sprint("any ", ids[1], " 1 <nil>"))
	})
}

func TestStreamsThatBeginTogetherShareACall(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		store := newMoody(newStore(t))
		fleet := newFleet(t, 1, push.Options{Sessions: store, SessionsTimeout: time.Minute})
		synctest.Wait() // it has told that it is there
		store.set(func() { store.takes = time.Second })
		const streams = 100
		began := time.Now()
		var all sync.WaitGroup
		for range streams {
			all.Go(func() { comeAndGo(fleet[0]) })
		}
		all.Wait()
		if took := time.Since(began); took > 4*time.Second { // that of the first, of those who left meanwhile, a sign of life, and that of all others
			t.Errorf("they waited for %v", took)
		}
		if n := store.count("Connect"); n > 2 {
			t.Errorf("%d calls", n)
		}
		pass(10 * time.Second)
		if n := store.count("Leave"); n > 3 {
			t.Errorf("%d calls to tell that they left", n)
		}
		store.set(func() { store.takes = 0 })
		pass(2 * time.Second)
		if n := countedBy(t, store); n != 0 {
			t.Errorf("%d connections are counted", n)
		}
	})
}

func TestAClientThatDoesNotWaitForTheStoreIsNotCounted(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		store := newMoody(newStore(t))
		fleet := newFleet(t, 1, push.Options{Sessions: store, SessionsTimeout: time.Minute})
		synctest.Wait() // it has told that it is there
		store.set(func() { store.takes = time.Second })
		s := resume(t, fleet[0], "ada", "")
		pass(time.Millisecond)
		s.leave()
		<-s.done
		pass(10 * time.Second)
		if n := countedBy(t, store); n != 0 || fleet[0].Stats().Connections != 0 {
			t.Errorf("%d connections are counted, %+v", n, fleet[0].Stats())
		}
	})
}

// Calls that each come back in time may together take too long for one who comes.
func TestWhoIsLetInBeforeASlowStoreWasAskedIsCountedLater(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		store := newMoody(newStore(t))
		fleet := newFleet(t, 1, push.Options{Sessions: store})
		leaves := resume(t, fleet[0], "ada", "")
		store.set(func() { store.takes = 900 * time.Millisecond })
		resume(t, fleet[0], "bea", "") // the first call
		pass(100 * time.Millisecond)
		leaves.close() // the second
		pass(100 * time.Millisecond)
		late := resume(t, fleet[0], "cyd", "")
		pass(push.DefaultSessionsTimeout)
		late.want("open:fresh")
		store.set(func() { store.takes = 0 })
		pass(3 * time.Second)
		if n := countedBy(t, store); n != 2 {
			t.Errorf("%d connections are counted", n)
		}
	})
}

func TestWhoComesBackAfterALongOutageIsCounted(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		store := newMoody(newStore(t))
		fleet := newFleet(t, 1, push.Options{Sessions: store, Logger: quiet(), SessionTTL: time.Minute})
		s := resume(t, fleet[0], "ada", "")
		store.set(func() { store.fail = errors.New("cut") })
		pass(time.Second)
		s.close()
		pass(2 * time.Minute)
		if n := fleet[0].SessionRecords(); n != 0 {
			t.Fatalf("%d records of sessions that are over", n)
		}
		resume(t, fleet[0], "ada", s.token())
		store.set(func() { store.fail = nil })
		pass(3 * time.Second)
		if n := countedBy(t, store); n != 1 {
			t.Errorf("%d connections are counted", n)
		}
	})
}

// A store that is slow holds up who comes, for a while, and nobody else.
func TestAStoreThatHangsHoldsNoOpenStreamUp(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		store := newMoody(newStore(t))
		var log record
		fleet := newFleet(t, 1, push.Options{Sessions: store, Logger: log.logger(), SessionsTimeout: 3 * time.Second, Heartbeat: time.Second})
		s := resume(t, fleet[0], "ada", "")
		s.next()
		store.set(func() { store.hang = true })
		late := resume(t, fleet[0], "ada", s.token())
		publish(t, fleet[0], "a:1")
		s.want("1")
		pass(2 * time.Second)
		if got := s.next(); len(got) == 0 || got[0] != "ping" {
			t.Errorf("no heartbeat, but %q", got)
		}
		if fleet[0].Stats().SessionsDown {
			t.Error("taken for down too early")
		}
		publish(t, fleet[0], "a:2")
		s.want("2")
		late.want() // it isn't let in yet
		pass(time.Second)
		late.want("open:resumed:2", "1", "2")
		if late.session() != s.session() {
			t.Error("another session")
		}
		// From here on nobody waits.
		if soon := resume(t, fleet[0], "bea", ""); len(soon.next()) == 0 {
			t.Error("it waits for a store that is down")
		}
		pass(time.Minute)
		if n := strings.Count(log.String(), "doesn't answer"); n != 1 {
			t.Errorf("logged %d times: %s", n, log.String())
		}
	})
}

func TestAStoreThatAnswersInPartIsTakenForDown(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		store := newMoody(newStore(t))
		fleet := newFleet(t, 1, push.Options{Sessions: store, Logger: quiet()})
		s := resume(t, fleet[0], "ada", "")
		store.set(func() { store.brief = true })
		again := resume(t, fleet[0], "ada", s.token())
		again.want("open:resumed:0")
		if !fleet[0].Stats().SessionsDown {
			t.Error("the store isn't taken for down")
		}
		store.set(func() { store.brief = false })
		pass(3 * time.Second)
		if n := countedBy(t, store); n != 2 || fleet[0].Stats().SessionsDown {
			t.Errorf("%d connections are counted, there are 2; down: %v", n, fleet[0].Stats().SessionsDown)
		}
		again.close()
		s.close()
		if n := countedBy(t, store); n != 0 {
			t.Errorf("%d connections are counted in the end", n)
		}
	})
}

func TestWithoutItsStoreANodeGoesOnByWhatItKnows(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		store := newMoody(newStore(t))
		var log record
		var mu sync.Mutex
		var told []error
		fleet := newFleet(t, 2, push.Options{
			Sessions: store, Logger: log.logger(), Limits: push.Limits{MaxConnectionsPerSession: 2},
			Hooks: push.Hooks{SessionsDown: func(err error) {
				mu.Lock()
				defer mu.Unlock()
				told = append(told, err)
			}},
		})
		s, revoked := resume(t, fleet[0], "ada", ""), resume(t, fleet[0], "ada", "")
		if err := fleet[0].Revoke(revoked.session()); err != nil {
			t.Fatal(err)
		}
		pass(heard) // the other node has heard of it
		cut := errors.New("connection refused")
		store.set(func() { store.fail = cut })
		second := resume(t, fleet[1], "ada", s.token())
		if second.session() != s.session() || second.token() == "" {
			t.Error("its token doesn't resume it")
		}
		third := resume(t, fleet[1], "ada", s.token()) // the limit is counted here
		third.next()
		if got := resume(t, fleet[1], "ada", s.token()).refusal(); got != "429 limit" {
			t.Errorf("a third at this node: %s", got)
		}
		if got := resume(t, fleet[1], "ada", revoked.token()).refusal(); got != "401 revoked" {
			t.Errorf("one that was revoked: %s", got)
		}
		fresh := resume(t, fleet[1], "bea", "")
		if _, err := fleet[0].SendSession(t.Context(), fresh.session(), push.Event{Data: []byte("x")}); err != nil {
			t.Errorf("SendSession: %v", err) // nobody says that there is no such session
		}
		fresh.want("open:fresh", "x")
		pass(30 * time.Second)
		if !fleet[1].Stats().SessionsDown || len(told) != 2 || !errors.Is(told[0], cut) || !errors.Is(told[1], cut) {
			t.Errorf("the hooks were told %v", told)
		}
		third.close()

		store.set(func() { store.fail = nil })
		pass(2 * time.Second)
		if len(told) != 4 || told[2] != nil || told[3] != nil || fleet[1].Stats().SessionsDown {
			t.Errorf("the hooks were told %v", told)
		}
		if n := countedBy(t, store); n != 3 {
			t.Errorf("%d connections are counted", n)
		}
		if got := resume(t, fleet[0], "ada", s.token()).refusal(); got != "429 limit" {
			t.Errorf("the limit counts the other node's again: %s", got)
		}
		if n := strings.Count(log.String(), "doesn't answer"); n != 2 {
			t.Errorf("logged %d times by two nodes: %s", n, log.String())
		}
	})
}

// What others can cause is bounded, and mustn't push out what the app has said.
func TestReplaysDoNotLetANodeForgetWhatWasRevoked(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		inside := newStore(t)
		store := newMoody(inside)
		fleet := newFleet(t, 2, push.Options{Sessions: store, Logger: quiet()})
		s := resume(t, fleet[0], "ada", "")
		if err := fleet[0].Revoke(s.session()); err != nil {
			t.Fatal(err)
		}
		if got := resume(t, fleet[1], "ada", s.token()).refusal(); got != "401 revoked" { // before it has heard why
			t.Errorf("at once: %s", got)
		}
		pass(heard)
		stolen := replayed(t, fleet[1], inside)
		pass(heard)
		if err := fleet[1].Revoke(stolen.session()); !errors.Is(err, push.ErrNoSession) {
			t.Errorf("Revoke of what a replay has revoked: %v", err)
		}
		var claims []sessionstore.Claim
		for i := range push.MaxReplays + 10 {
			id := sessionstore.ID{1, byte(i >> 16), byte(i >> 8), byte(i)}
			claims = append(claims, sessionstore.Claim{Session: id, Generation: 2}, sessionstore.Claim{Session: id, Generation: 1, Grace: -1})
		}
		if _, err := inside.Connect(t.Context(), "a third", claims); err != nil {
			t.Fatal(err)
		}
		pass(5 * time.Second)
		store.set(func() { store.fail = errors.New("connection refused") })
		pass(time.Second)
		for i, b := range fleet {
			if n := b.SessionRecords(); n < push.MaxReplays {
				t.Fatalf("node %d knows %d sessions", i, n)
			}
			if got := resume(t, b, "ada", s.token()).refusal(); got != "401 revoked" {
				t.Errorf("node %d: %s", i, got)
			}
		}
		if got := resume(t, fleet[1], "cyd", stolen.token()).refusal(); got != "401 revoked" {
			t.Errorf("one that the app has revoked after a replay: %s", got)
		}
	})
}

// replayed returns a stream of a session that the store has revoked for a replay.
func replayed(t *testing.T, b *push.Broker, store sessionstore.Store) *stream {
	t.Helper()
	s := resume(t, b, "cyd", "")
	s.next()
	var id sessionstore.ID
	err := store.List(t.Context(), func(info sessionstore.Info) bool {
		if info.User == "cyd" {
			id = info.Session
		}
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.Revoke(t.Context(), id, sessionstore.ErrReplayed); err != nil {
		t.Fatal(err)
	}
	return s
}

// The feed of what is revoked comes a little later.
func TestANodeThatWasToldOfARevocationRefusesWithoutTheStore(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		store := newMoody(newStore(t))
		fleet := newFleet(t, 2, push.Options{Sessions: store, Logger: quiet()})
		s := resume(t, fleet[0], "ada", "")
		onB := resume(t, fleet[1], "ada", s.token())
		onB.next()
		if err := fleet[0].Revoke(s.session()); err != nil {
			t.Fatal(err)
		}
		if got := resume(t, fleet[1], "ada", s.token()).refusal(); got != "401 revoked" {
			t.Errorf("the store says it: %s", got)
		}
		onB.want("bye:revoked")
		store.set(func() { store.fail = errors.New("cut") })
		if got := resume(t, fleet[1], "ada", s.token()).refusal(); got != "401 revoked" {
			t.Errorf("without the store: %s", got)
		}
	})
}

func TestWhatIsRevokedWithoutTheStoreIsToldLater(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		store := newMoody(newStore(t))
		fleet := newFleet(t, 2, push.Options{Sessions: store, Logger: quiet()})
		onA := resume(t, fleet[0], "ada", "")
		onB := resume(t, fleet[1], "ada", onA.token())
		onA.next()
		onB.next()
		store.set(func() { store.fail = errors.New("connection refused") })
		if err := fleet[0].Revoke(onA.session()); !errors.Is(err, push.ErrSessionsDown) {
			t.Errorf("Revoke: %v", err)
		}
		onA.want("bye:revoked")
		pass(time.Minute)
		if onB.ended() {
			t.Error("who has told it?")
		}
		store.set(func() { store.fail = nil })
		pass(2*time.Second + heard)
		if got := onB.next(); !onB.ended() || !slices.Contains(got, "bye:revoked") {
			t.Errorf("it got %q", got)
		}
	})
}

func TestAStrictNodeRefusesWithoutItsStore(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		store := newMoody(newStore(t))
		fleet := newFleet(t, 1, push.Options{Sessions: store, Logger: quiet(), SessionsStrict: true})
		s := resume(t, fleet[0], "ada", "")
		s.next()
		store.set(func() { store.fail = errors.New("connection refused") })
		for _, token := range []string{"", s.token()} {
			if got := resume(t, fleet[0], "ada", token).refusal(); got != "503 error" {
				t.Errorf("got %s", got)
			}
		}
		publish(t, fleet[0], "a:1")
		s.want("1")
		store.set(func() { store.fail = nil })
		pass(2 * time.Second)
		if again := resume(t, fleet[0], "ada", s.token()); again.session() != s.session() {
			t.Error("it isn't let in again")
		}
	})
}

func TestAFleetNeedsKeys(t *testing.T) {
	t.Parallel()
	_, err := push.New(asUser, &push.Options{Sessions: newStore(t)})
	if err == nil || !strings.Contains(err.Error(), "Options.Keys") {
		t.Errorf("got %v", err)
	}
}

func TestCloseLeavesNothingCounted(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		store := newStore(t)
		fleet := newFleet(t, 2, push.Options{Sessions: store})
		s := resume(t, fleet[0], "ada", "")
		publish(t, fleet[0], "a:1")
		s = resume(t, fleet[0], "ada", s.token(), "Last-Event-ID", s.lastID())
		resume(t, fleet[0], "bea", "")
		if err := fleet[0].Close(); err != nil {
			t.Fatal(err)
		}
		if n := countedBy(t, store); n != 0 {
			t.Errorf("%d connections are counted", n)
		}
		if err := fleet[0].Revoke(s.session()); !errors.Is(err, push.ErrClosed) {
			t.Errorf("Revoke: %v", err)
		}
		if err := store.Check(t.Context()); err != nil {
			t.Errorf("the broker has closed a store that was given to it: %v", err)
		}
		if again := resume(t, fleet[1], "ada", s.token()); again.session() != s.session() {
			t.Error("another session")
		}
	})
}

// Who ends a process doesn't wait long, and what it had doesn't count when it is gone.
func TestCloseTellsASlowStoreInTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := newMoody(newStore(t))
		fleet := newFleet(t, 1, push.Options{Sessions: store})
		const streams = 8000
		var all sync.WaitGroup
		for range streams {
			all.Go(func() { stay(t.Context(), fleet[0]) })
		}
		pass(time.Second)
		if n := countedBy(t, store); n != streams {
			t.Fatalf("%d connections are counted", n)
		}
		store.set(func() { store.takes = 400 * time.Millisecond })
		began := time.Now()
		if err := fleet[0].Close(); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took > 3*push.DefaultSessionsTimeout { // a call that was under way, those who leave, and the node
			t.Errorf("Close took %v", took)
		}
		all.Wait()
		if n := countedBy(t, store.Store); n != 0 {
			t.Errorf("%d connections are counted", n)
		}
	})
}

func TestFleetSessionsAreThoseOfAllNodes(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		store := newMoody(newStore(t))
		fleet := newFleet(t, 3, push.Options{Sessions: store, Logger: quiet()})
		want := map[string]int{}
		for i, b := range fleet {
			s := resume(t, b, fmt.Sprint(i), "")
			want[s.session()] = 1
			if i == 2 {
				s.close()
				want[s.session()] = 0
			}
		}
		for i, b := range fleet {
			got := map[string]int{}
			for s, err := range b.FleetSessions(t.Context()) {
				if err != nil {
					t.Fatal(err)
				}
				got[s.ID] = s.Connections
			}
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("node %d has %v, want %v", i, got, want)
			}
			if here := sessionsOf(b); len(here) != 1 {
				t.Errorf("node %d itself has %q", i, here)
			}
		}
		for range fleet[0].FleetSessions(t.Context()) {
			break
		}
		store.set(func() { store.fail = errors.New("cut") })
		var last error
		for _, err := range fleet[0].FleetSessions(t.Context()) {
			last = err
		}
		if last == nil {
			t.Error("no error of a store that fails")
		}
		alone := newBroker(t, asUser, push.Options{})
		s := resume(t, alone, "ada", "")
		for info, err := range alone.FleetSessions(t.Context()) {
			if err != nil || info.ID != s.session() {
				t.Errorf("without a store: %+v, %v", info, err)
			}
		}
	})
}

// The counts are right whatever happens between the nodes and the store, and whoever comes and goes meanwhile.
func TestCountsComeRightThroughFaults(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store, log := newStore(t), newLog(t, none)
		var lines []*moody
		var fleet []*push.Broker
		for range 3 {
			line := newMoody(store)
			opts := push.Options{
				Sessions: line, Log: log, Keys: []push.Key{key1}, Logger: quiet(),
				Limits: push.Limits{MaxConnectionsPerSession: 8},
			}
			lines, fleet = append(lines, line), append(fleet, newBroker(t, asUser, opts))
		}
		ring := push.NewKeyring([]push.Key{key1}, time.Hour)
		at, err := fleet[0].Cursor(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var all sync.WaitGroup
		for n := range 40 {
			all.Go(func() {
				rng := rand.New(rand.NewPCG(7, uint64(n)))
				token, _ := ring.Mint("ada", 0, at)
				for range 50 {
					visitFor(t.Context(), fleet[rng.IntN(3)], time.Duration(rng.IntN(3000))*time.Millisecond, token)
				}
			})
		}
		faults, stop := context.WithCancel(t.Context())
		all.Go(func() {
			rng := rand.New(rand.NewPCG(8, 8))
			for faults.Err() == nil {
				line := lines[rng.IntN(3)]
				fault := rng.IntN(4)
				line.set(func() {
					line.fail, line.hang, line.dumb, line.takes = nil, fault == 0, false, time.Duration(rng.IntN(300))*time.Millisecond
					if fault == 1 {
						line.fail = errors.New("cut")
					}
				})
				<-time.After(time.Duration(rng.IntN(4000)) * time.Millisecond)
			}
		})
		<-time.After(40 * time.Second)
		stop()
		pass(5 * time.Second) // the last fault
		for _, line := range lines {
			line.set(func() { line.fail, line.hang, line.takes = nil, false, 0 })
		}
		all.Wait()
		pass(2 * buried)
		if n := countedBy(t, store); n != 0 {
			t.Errorf("%d connections are counted, and nobody is there", n)
		}
		ctx, leave := context.WithCancel(t.Context())
		const streams = 30
		for i := range streams {
			all.Go(func() { stay(ctx, fleet[i%3]) })
		}
		pass(10 * time.Second)
		if n := countedBy(t, store); n != streams {
			t.Errorf("%d connections are counted, there are %d", n, streams)
		}
		leave()
		all.Wait()
		pass(time.Second)
		if n := countedBy(t, store); n != 0 {
			t.Errorf("%d connections are counted in the end", n)
		}
	})
}

// visitFor follows for a while.
func visitFor(ctx context.Context, b *push.Broker, d time.Duration, token string) {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	stay(ctx, b, "User", "ada", "Buffkit-Client", "test/1", "Buffkit-Session", token)
}

// stay follows until the context ends.
func stay(ctx context.Context, b *push.Broker, headers ...string) {
	b.ServeHTTP(nowhere{header: http.Header{}}, newRequest(ctx, "/", headers...))
}

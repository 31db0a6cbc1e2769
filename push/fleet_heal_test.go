package push_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/buffkit/buffkit/push"
	"github.com/buffkit/buffkit/sessionstore"
)

// A store that is restarted, or fails over, may come back without the last that it has acknowledged.
func TestCountsHealWhenTheStoreHasLostThatSomebodyLeft(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		store := newMoody(newStore(t))
		fleet := newFleet(t, 1, push.Options{Sessions: store, Logger: quiet()})
		resume(t, fleet[0], "ada", "").next()
		loseLeave(t, fleet[0], store)
		store.set(func() { store.fail = errors.New("cut") })
		pass(3 * time.Second)
		store.set(func() { store.fail = nil })
		pass(3 * time.Second)
		if n := countedBy(t, store); n != 1 {
			t.Errorf("%d connections are counted, there is one", n)
		}
	})
}

// loseLeave lets somebody come and go, and the store forget the latter.
func loseLeave(t *testing.T, b *push.Broker, store *moody) {
	t.Helper()
	before := countedBy(t, store)
	goes := resume(t, b, "bea", "")
	goes.next()
	store.set(func() { store.dumb = true })
	goes.close()
	pass(time.Millisecond)
	store.set(func() { store.dumb = false })
	if n := countedBy(t, store); n != before+1 {
		t.Fatalf("%d connections are counted, it should have lost that one of %d has left", n, before+1)
	}
}

// unswept is a store whose dead nodes nobody takes away.
type unswept struct{ *moody }

func (unswept) Sweep(context.Context, time.Duration, time.Duration, int) ([]sessionstore.Info, bool, error) {
	return nil, false, nil
}

// The store may still count what a node had before it was taken for dead, as in a backup of Redis.
func TestCountsHealWhenANodeComesBackBeforeItIsSwept(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		store := unswept{newMoody(newStore(t))}
		fleet := newFleet(t, 1, push.Options{Sessions: store, Logger: quiet()})
		resume(t, fleet[0], "ada", "").next()
		loseLeave(t, fleet[0], store.moody)
		store.set(func() { store.dumb = true })
		pass(11 * time.Second)
		store.set(func() { store.dumb = false })
		pass(3 * time.Second)
		if n := countedBy(t, store); n != 1 {
			t.Errorf("%d connections are counted, there is one", n)
		}
	})
}

// late is a store that a Connect reaches after its caller has given it up.
type late struct {
	*moody
	cut    atomic.Bool
	arrive func() error
}

func (l *late) Connect(ctx context.Context, node string, claims []sessionstore.Claim) ([]sessionstore.Outcome, error) {
	if !l.cut.Load() {
		return l.moody.Connect(ctx, node, claims)
	}
	l.arrive = func() error {
		_, err := l.Store.Connect(context.Background(), node, claims)
		return err
	}
	return nil, errors.New("cut")
}

func TestACallThatArrivesLateIsNotCountedForLong(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		store := &late{moody: newMoody(newStore(t))}
		fleet := newFleet(t, 1, push.Options{Sessions: store, Logger: quiet()})
		pass(time.Millisecond)
		store.cut.Store(true)
		s := resume(t, fleet[0], "ada", "")
		s.want("open:fresh")
		store.cut.Store(false)
		pass(3 * time.Second)
		if n := countedBy(t, store); n != 1 || fleet[0].Stats().SessionsDown {
			t.Fatalf("%d connections are counted; down: %v", n, fleet[0].Stats().SessionsDown)
		}
		s.close()
		if err := store.arrive(); err != nil {
			t.Fatal(err)
		}
		if n := countedBy(t, store); n != 1 {
			t.Fatalf("%d connections are counted: the call hasn't arrived", n)
		}
		pass(buried)
		if n := countedBy(t, store); n != 0 {
			t.Errorf("%d connections are counted, and nobody is there", n)
		}
	})
}

// retentive is a store that forgets no node before its time is over.
type retentive struct{ *moody }

func (retentive) Forget(context.Context, string) error { return errors.New("it takes too long") }

func TestCountsHealWithoutForget(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		store := retentive{newMoody(newStore(t))}
		fleet := newFleet(t, 1, push.Options{Sessions: store, Logger: quiet()})
		s := resume(t, fleet[0], "ada", "")
		store.set(func() { store.fail = errors.New("cut") })
		pass(3 * time.Second)
		store.set(func() { store.fail = nil })
		pass(3 * time.Second)
		if n := countedBy(t, store); n != 2 {
			t.Errorf("%d connections are counted, want one for the name that is over too", n)
		}
		pass(buried)
		if n := countedBy(t, store); n != 1 || s.ended() {
			t.Errorf("%d connections are counted; its stream ended: %v", n, s.ended())
		}
	})
}

// The store may be back before the node has found that out.
func TestCloseTellsWhatWasRevokedWithoutTheStore(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		store := newMoody(newStore(t))
		fleet := newFleet(t, 2, push.Options{Sessions: store, Logger: quiet()})
		var onB []*stream
		var ids []string
		for range 3 {
			onA := resume(t, fleet[0], "ada", "")
			ids, onB = append(ids, onA.session()), append(onB, resume(t, fleet[1], "ada", onA.token()))
		}
		store.set(func() { store.fail = errors.New("cut") })
		for _, id := range ids {
			if err := fleet[0].Revoke(id); !errors.Is(err, push.ErrSessionsDown) {
				t.Errorf("Revoke: %v", err)
			}
		}
		store.set(func() { store.fail = nil })
		if err := fleet[0].Close(); err != nil {
			t.Fatal(err)
		}
		pass(2*time.Second + heard)
		for i, s := range onB {
			if got := s.next(); !s.ended() || !slices.Contains(got, "bye:revoked") {
				t.Errorf("stream %d at the other node got %q", i, got)
			}
		}
	})
}

func TestCloseTellsHowManyRevocationsAreLost(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		for _, hang := range []bool{false, true} {
			store := newMoody(newStore(t))
			var log record
			fleet := newFleet(t, 1, push.Options{Sessions: store, Logger: log.logger()})
			one, two := resume(t, fleet[0], "ada", ""), resume(t, fleet[0], "bea", "")
			ids := []string{one.session(), two.session()}
			store.set(func() { store.fail = errors.New("cut") })
			for _, id := range ids {
				if err := fleet[0].Revoke(id); !errors.Is(err, push.ErrSessionsDown) {
					t.Errorf("Revoke: %v", err)
				}
			}
			store.set(func() { store.hang = hang })
			began := time.Now()
			if err := fleet[0].Close(); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(began); took > 2*push.DefaultSessionsTimeout {
				t.Errorf("hangs: %v: Close took %v", hang, took)
			}
			if got := log.String(); !strings.Contains(got, "level=ERROR") || !strings.Contains(got, "sessions=2") {
				t.Errorf("hangs: %v: logged: %s", hang, got)
			}
		}
	})
}

func TestARevokeThatCloseOvertakesSaysSo(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		store := newMoody(newStore(t))
		fleet := newFleet(t, 1, push.Options{Sessions: store, Logger: quiet()})
		s := resume(t, fleet[0], "ada", "")
		id := s.session()
		store.set(func() { store.hang = true })
		revoked := make(chan error, 1)
		go func() { revoked <- fleet[0].Revoke(id) }()
		pass(time.Millisecond)
		if err := fleet[0].Close(); err != nil {
			t.Fatal(err)
		}
		if err := <-revoked; !errors.Is(err, push.ErrClosed) {
			t.Errorf("Revoke: %v", err)
		}
	})
}

// slowForget is a store that takes its time to take back what a node had.
type slowForget struct{ *moody }

func (s slowForget) Forget(ctx context.Context, node string) error {
	if err := waitFor(ctx, 3*time.Second); err != nil {
		return err
	}
	return s.moody.Forget(ctx, node)
}

func TestNothingCountsTwiceWhileAStoreForgetsWhatANodeHad(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		store := slowForget{newMoody(newStore(t))}
		fleet := newFleet(t, 1, push.Options{Sessions: store, Logger: quiet(), Limits: push.Limits{MaxConnectionsPerUser: 2}})
		resume(t, fleet[0], "ada", "").next()
		store.set(func() { store.fail = errors.New("cut") })
		pass(3 * time.Second)
		store.set(func() { store.fail = nil })
		for range 60 {
			pass(100 * time.Millisecond)
			if n := countedBy(t, store); n > 1 {
				t.Fatalf("%d connections are counted, there is one", n)
			}
		}
		if n := countedBy(t, store); n != 1 || fleet[0].Stats().SessionsDown {
			t.Errorf("%d connections are counted in the end; down: %v", n, fleet[0].Stats().SessionsDown)
		}
		second := resume(t, fleet[0], "ada", "")
		second.want("open:fresh")
	})
}

// watched is a store that notes the longest time between two signs of life.
type watched struct {
	*moody
	last    time.Time
	longest time.Duration
}

func (w *watched) Beat(ctx context.Context, node string, ttl time.Duration) error {
	w.set(func() {
		if !w.last.IsZero() {
			w.longest = max(w.longest, time.Since(w.last))
		}
		w.last = time.Now()
	})
	return w.moody.Beat(ctx, node, ttl)
}

func TestANodeThatASlowStoreKeepsBusySaysThatItLives(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &watched{moody: newMoody(newStore(t))}
		fleet := newFleet(t, 1, push.Options{Sessions: store, Logger: quiet()})
		pass(time.Millisecond)
		store.set(func() { store.takes = 900 * time.Millisecond })
		var all sync.WaitGroup
		for range 10 {
			all.Go(func() {
				for range 100 {
					ctx, cancel := context.WithTimeout(t.Context(), 1300*time.Millisecond)
					stay(ctx, fleet[0])
					cancel()
				}
			})
		}
		all.Wait()
		store.set(func() {
			if store.longest == 0 || store.longest > 3*time.Second { // a beat, and a call that is under way
				t.Errorf("it was silent for %v", store.longest)
			}
		})
	})
}

// oneFails is a store that fails one Restore of sessions, and counts the sessions of all.
type oneFails struct {
	*moody
	failed bool
}

func (o *oneFails) Restore(ctx context.Context, node string, ttl time.Duration, held []sessionstore.Held) error {
	fails := false
	o.set(func() { fails = !o.failed && o.moody.held >= 1000 })
	if fails {
		o.failed = true
		return errors.New("a deadlock")
	}
	return o.moody.Restore(ctx, node, ttl, held)
}

func TestAPartThatCanNotBeToldAtOnceIsToldAgainAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &oneFails{moody: newMoody(newStore(t))}
		fleet := newFleet(t, 1, push.Options{Sessions: store, Logger: quiet()})
		const streams = 3000
		ctx, leave := context.WithCancel(t.Context())
		var all sync.WaitGroup
		for range streams {
			all.Go(func() { stay(ctx, fleet[0]) })
		}
		pass(time.Second)
		store.set(func() { store.fail = errors.New("cut") })
		pass(3 * time.Second)
		store.set(func() { store.fail, store.moody.held = nil, 0 })
		pass(3 * time.Second)
		if n := countedBy(t, store); n != streams || fleet[0].Stats().SessionsDown {
			t.Errorf("%d connections are counted, there are %d; down: %v", n, streams, fleet[0].Stats().SessionsDown)
		}
		if !store.failed || store.moody.held > streams {
			t.Errorf("it has failed: %v; it was told of %d sessions, there are %d", store.failed, store.moody.held, streams)
		}
		leave()
		all.Wait()
	})
}

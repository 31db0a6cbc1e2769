// Package storetest is the contract of sessionstore.Store as tests. A store's own test is a few lines:
//
//	func TestStore(t *testing.T) {
//		storetest.Run(t, func(t *testing.T) storetest.Store {
//			path := filepath.Join(t.TempDir(), "sessions.db")
//			again := func(t *testing.T) sessionstore.Store { return open(t, path) }
//			return storetest.Store{Store: again(t), Again: again}
//		})
//	}
package storetest

import (
	"context"
	"crypto/rand"
	"errors"
	"testing"
	"time"

	"github.com/buffkit/buffkit/eventlog"
	"github.com/buffkit/buffkit/sessionstore"
)

// Store is what a test works with.
type Store struct {
	sessionstore.Store
	// Again opens the same store once more, as another node does. Nil for a store that can't be shared: then its nodes are names alone.
	Again func(t *testing.T) sessionstore.Store
}

// Factory returns an empty store, which the suite closes, as it does what Again returns. Calls overlap.
type Factory func(t *testing.T) Store

// patience is how long something that must happen may take, on the slowest machine and store.
const patience = 30 * time.Second

// Graces that need no waiting: one that lasts for the whole test, and one that is over whenever it is asked about.
const (
	lasting = time.Hour
	over    = -time.Second
)

const alive = time.Hour // the ttl of a node that doesn't die

// Run runs the suite.
func Run(t *testing.T, newStore Factory) {
	tests := []struct {
		name string
		test func(t *testing.T, s *setup)
	}{
		{"a session begins, and goes on with the next generation", testBegins},
		{"the token before the newest is accepted until the newest was in use for the grace", testGrace},
		{"the generation rises once in a grace", testRise},
		{"the grace is measured by the store's clock", testRealGrace},
		{"a token older than that revokes the session", testReplay},
		{"a token that is replayed at several nodes at once revokes once", testReplayUnderConcurrency},
		{"a claim makes a session known that the store has lost", testUnknown},
		{"a claim for a session that begins may be asked again", testFreshAgain},
		{"connections of a session are counted over nodes", testSessionLimit},
		{"connections of a user are counted over nodes and sessions", testUserLimit},
		{"claims of a batch are decided in their order, each on its own", testBatch},
		{"a limit holds against concurrent claims", testLimitsUnderConcurrency},
		{"several nodes may make the same session known at once", testSameNewSessions},
		{"overlapping batches count right and all come through", testOverlappingBatches},
		{"leave takes back only what its node has", testLeave},
		{"the oldest proved place is the session's", testPlace},
		{"which place is the older is a matter of numbers", testPlaceIsANumber},
		{"any user and any place come back as they were", testTexts},
		{"get and list tell of every session that isn't revoked", testList},
		{"a revoked session stays so", testRevoke},
		{"the feed of revocations tells each", testFeed},
		{"the feed of revocations misses none that are concurrent", testFeedUnderConcurrency},
		{"revoked sessions are forgotten after their time", testRevokedAreForgotten},
		{"revoked sessions are kept for the longest that a node asks for", testRevokedAreKept},
		{"an abandoned session is removed once", testAbandoned},
		{"of too many sessions the longest abandoned are removed", testMost},
		{"several nodes at once remove no more than are too many", testMostUnderConcurrency},
		{"connections of a dead node are taken away", testDeadNode},
		{"a node that was silent for too long is told so", testSilentNode},
		{"restore brings back what a node has", testRestore},
		{"restore replaces what was counted", testRestoreReplaces},
		{"restore in parts brings no dead node back", testRestoreInParts},
		{"restore doesn't bring back what was revoked", testRestoreRevoked},
		{"forget ends a node at once", testForget},
		{"a cancelled context stops every call", testCancelled},
		{"a closed store says so", testClosed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.test(t, open(t, newStore))
		})
	}
}

// setup is a store with two nodes, each with a handle of its own if there can be several.
type setup struct {
	a, b   sessionstore.Store // of the nodes "a" and "b"
	handle func(t *testing.T) sessionstore.Store
}

func open(t *testing.T, newStore Factory) *setup {
	t.Helper()
	store := newStore(t)
	closeAtEnd(t, store.Store)
	s := &setup{a: store.Store, handle: func(*testing.T) sessionstore.Store { return store.Store }}
	if store.Again != nil {
		s.handle = func(t *testing.T) sessionstore.Store {
			t.Helper()
			another := store.Again(t)
			closeAtEnd(t, another)
			return another
		}
	}
	s.b = s.handle(t)
	restore(t, s.a, "a", alive)
	restore(t, s.b, "b", alive)
	return s
}

func closeAtEnd(t *testing.T, store sessionstore.Store) {
	t.Cleanup(func() {
		if err := store.Close(); err != nil && !errors.Is(err, sessionstore.ErrClosed) {
			t.Errorf("Close: %v", err)
		}
	})
}

func newID() (id sessionstore.ID) {
	_, _ = rand.Read(id[:]) // it never fails
	return id
}

func newIDs(n int) []sessionstore.ID {
	ids := make([]sessionstore.ID, n)
	for i := range ids {
		ids[i] = newID()
	}
	return ids
}

// place is the text of a cursor.
func place(offset uint64) string { return eventlog.NewCursor(1, eventlog.Offset(offset)).String() }

func connect(t *testing.T, store sessionstore.Store, node string, claims ...sessionstore.Claim) []sessionstore.Outcome {
	t.Helper()
	outcomes, err := store.Connect(t.Context(), node, claims)
	if err != nil {
		t.Fatalf("Connect: %v", err)
	}
	if len(outcomes) != len(claims) {
		t.Fatalf("Connect returned %d outcomes of %d claims", len(outcomes), len(claims))
	}
	return outcomes
}

// start begins a session at node a.
func (s *setup) start(t *testing.T, user string) sessionstore.ID {
	t.Helper()
	id := newID()
	accepted(t, connect(t, s.a, "a", sessionstore.Claim{Session: id, User: user, Fresh: true, Grace: lasting})[0], 0)
	return id
}

// resume claims with a token of a generation, at node b.
func (s *setup) resume(t *testing.T, id sessionstore.ID, generation uint32, grace time.Duration) sessionstore.Outcome {
	t.Helper()
	return connect(t, s.b, "b", sessionstore.Claim{Session: id, Generation: generation, Grace: grace})[0]
}

func accepted(t *testing.T, o sessionstore.Outcome, generation uint32) {
	t.Helper()
	if o.Err != nil || o.Generation != generation {
		t.Fatalf("the outcome is generation %d, error %v; want generation %d", o.Generation, o.Err, generation)
	}
}

func refused(t *testing.T, o sessionstore.Outcome, want error) {
	t.Helper()
	if !errors.Is(o.Err, want) {
		t.Fatalf("the outcome is generation %d, error %v; want %v", o.Generation, o.Err, want)
	}
}

func leave(t *testing.T, store sessionstore.Store, node string, leaves ...sessionstore.Leave) {
	t.Helper()
	if err := store.Leave(t.Context(), node, leaves); err != nil {
		t.Fatalf("Leave: %v", err)
	}
}

func restore(t *testing.T, store sessionstore.Store, node string, ttl time.Duration, held ...sessionstore.Held) {
	t.Helper()
	if err := store.Restore(t.Context(), node, ttl, held); err != nil {
		t.Fatalf("Restore: %v", err)
	}
}

func get(t *testing.T, store sessionstore.Store, id sessionstore.ID) sessionstore.Info {
	t.Helper()
	info, err := store.Get(t.Context(), id)
	if err != nil {
		t.Fatalf("Get: %v", err)
	}
	if info.Session != id {
		t.Fatalf("Get returned the session %x, not %x", info.Session, id)
	}
	return info
}

func counts(t *testing.T, store sessionstore.Store, id sessionstore.ID, want int) {
	t.Helper()
	if info := get(t, store, id); info.Connections != want {
		t.Fatalf("the session has %d connections, want %d", info.Connections, want)
	}
}

func gone(t *testing.T, store sessionstore.Store, id sessionstore.ID) {
	t.Helper()
	if info, err := store.Get(t.Context(), id); !errors.Is(err, sessionstore.ErrNoSession) {
		t.Fatalf("Get returned %+v, %v; want ErrNoSession", info, err)
	}
}

func revoke(t *testing.T, store sessionstore.Store, id sessionstore.ID, want bool) {
	t.Helper()
	first, err := store.Revoke(t.Context(), id, sessionstore.ErrRevoked)
	if err != nil || first != want {
		t.Fatalf("Revoke returned %v, %v; want %v", first, err, want)
	}
}

// sweep removes what is due, until there is no more.
func sweep(t *testing.T, store sessionstore.Store, abandoned, revoked time.Duration, most int) (ended []sessionstore.Info) {
	t.Helper()
	for more := true; more; {
		var some []sessionstore.Info
		var err error
		if some, more, err = store.Sweep(t.Context(), abandoned, revoked, most); err != nil {
			t.Fatalf("Sweep: %v", err)
		}
		ended = append(ended, some...)
	}
	return ended
}

// eventually asks until it is so.
func eventually(t *testing.T, what string, so func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); !so(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("after %v: %s", patience, what)
		}
	}
}

func testCancelled(t *testing.T, s *setup) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	id := newID()
	for name, err := range calls(ctx, s.a, id) {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s returned %v, want context.Canceled", name, err)
		}
	}
	gone(t, s.a, id)
}

func testClosed(t *testing.T, s *setup) {
	if err := s.a.Close(); err != nil {
		t.Fatal(err)
	}
	for name, err := range calls(t.Context(), s.a, newID()) {
		if !errors.Is(err, sessionstore.ErrClosed) {
			t.Errorf("%s returned %v, want ErrClosed", name, err)
		}
	}
	if err := s.a.Close(); !errors.Is(err, sessionstore.ErrClosed) {
		t.Errorf("the second Close returned %v, want ErrClosed", err)
	}
}

// calls makes each call once and returns the errors.
func calls(ctx context.Context, store sessionstore.Store, id sessionstore.ID) map[string]error {
	errs := map[string]error{}
	_, errs["Connect"] = store.Connect(ctx, "a", []sessionstore.Claim{{Session: id, Fresh: true}})
	errs["Leave"] = store.Leave(ctx, "a", []sessionstore.Leave{{Session: id}})
	_, errs["Get"] = store.Get(ctx, id)
	errs["List"] = store.List(ctx, func(sessionstore.Info) bool { return true })
	_, errs["Revoke"] = store.Revoke(ctx, id, sessionstore.ErrRevoked)
	_, _, errs["Revoked"] = store.Revoked(ctx, "")
	errs["Beat"] = store.Beat(ctx, "a", alive)
	errs["Restore"] = store.Restore(ctx, "a", alive, nil)
	errs["Forget"] = store.Forget(ctx, "a")
	_, _, errs["Sweep"] = store.Sweep(ctx, alive, alive, 0)
	errs["Check"] = store.Check(ctx)
	return errs
}

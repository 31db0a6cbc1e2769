package storetest

import (
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/buffkit/buffkit/sessionstore"
)

func testBegins(t *testing.T, s *setup) {
	id := s.start(t, "ada")
	begun := get(t, s.b, id)
	if begun.User != "ada" || begun.Connections != 1 || begun.Created.IsZero() || begun.LastSeen.Before(begun.Created) {
		t.Fatalf("a session that has begun is %+v", begun)
	}
	leave(t, s.a, "a", sessionstore.Leave{Session: id, User: "ada", Cursor: place(7)})
	resumed := s.resume(t, id, 0, lasting)
	accepted(t, resumed, 1)
	if !resumed.Created.Equal(begun.Created) || resumed.Cursor != place(7) {
		t.Fatalf("it resumed as one of %v at %q, want %v at %q", resumed.Created, resumed.Cursor, begun.Created, place(7))
	}
	accepted(t, s.resume(t, id, 1, over), 2)
	counts(t, s.a, id, 2)
}

func testGrace(t *testing.T, s *setup) {
	id := s.start(t, "")
	accepted(t, s.resume(t, id, 0, lasting), 1)
	accepted(t, s.resume(t, id, 0, over), 1)    // nobody has come with the newest: its answer may be lost
	accepted(t, s.resume(t, id, 1, lasting), 1) // it is in use
	accepted(t, s.resume(t, id, 0, lasting), 1) // a request that was late
	counts(t, s.a, id, 5)
	refused(t, s.resume(t, id, 0, over), sessionstore.ErrReplayed)
	refused(t, s.resume(t, id, 1, lasting), sessionstore.ErrRevoked)
	gone(t, s.a, id)
}

func testRise(t *testing.T, s *setup) {
	id := s.start(t, "")
	accepted(t, s.resume(t, id, 0, lasting), 1)
	accepted(t, s.resume(t, id, 1, lasting), 1)
	accepted(t, s.resume(t, id, 1, lasting), 1)
	accepted(t, s.resume(t, id, 1, over), 2)
	accepted(t, s.resume(t, id, 2, over), 3)
	accepted(t, s.resume(t, id, 9, lasting), 10) // newer than the store's: it has lost something
}

func testRealGrace(t *testing.T, s *setup) {
	const grace = 300 * time.Millisecond
	id := s.start(t, "")
	accepted(t, s.resume(t, id, 0, grace), 1)
	began := time.Now() // after it rose
	eventually(t, "the generation doesn't rise", func() bool {
		o := s.resume(t, id, 1, grace)
		if o.Err != nil {
			t.Fatal(o.Err)
		}
		return o.Generation == 2
	})
	// The call that let it rise first may have lasted for longer than the grace, so this is a bound for the unit alone.
	if took := time.Since(began); took > patience/2 {
		t.Errorf("the generation rose after %v, not %v", took, grace)
	}
	accepted(t, s.resume(t, id, 1, grace), 2)
	accepted(t, s.resume(t, id, 2, lasting), 2)
	began = time.Now()
	eventually(t, "the token before the newest is still accepted", func() bool {
		o := s.resume(t, id, 1, grace)
		if o.Err == nil && time.Since(began) < grace {
			return false
		}
		return o.Err != nil
	})
}

func testReplay(t *testing.T, s *setup) {
	id := s.start(t, "")
	accepted(t, s.resume(t, id, 0, over), 1)
	accepted(t, s.resume(t, id, 1, over), 2)
	counts(t, s.a, id, 3)
	refused(t, s.resume(t, id, 0, lasting), sessionstore.ErrReplayed) // two before the newest: no grace helps
	refused(t, s.resume(t, id, 0, lasting), sessionstore.ErrRevoked)
	refused(t, s.resume(t, id, 2, lasting), sessionstore.ErrRevoked)
	gone(t, s.a, id)
	revoke(t, s.a, newID(), true)
	feed := causes(t, s.b, "")
	if len(feed) != 2 || feed[0] != (sessionstore.Revocation{Session: id, Cause: sessionstore.ErrReplayed}) || feed[1].Cause != sessionstore.ErrRevoked {
		t.Errorf("the feed of revocations is %v, want first that of %x, by a replay", feed, id)
	}
}

// Whoever is told ErrReplayed tells the app.
func testReplayUnderConcurrency(t *testing.T, s *setup) {
	const writers, rounds = 4, 6
	ids := newIDs(rounds)
	for _, id := range ids {
		accepted(t, connect(t, s.a, "a", sessionstore.Claim{Session: id, Generation: 5, Grace: over})[0], 6)
	}
	var replayed atomic.Int64
	s.together(t, writers, func(store sessionstore.Store, node string) {
		for _, id := range ids {
			outcomes, err := store.Connect(t.Context(), node, []sessionstore.Claim{{Session: id, Generation: 1, Grace: lasting}, {Session: newID(), Fresh: true}})
			switch {
			case err != nil:
				t.Errorf("Connect: %v", err)
			case errors.Is(outcomes[0].Err, sessionstore.ErrReplayed):
				replayed.Add(1)
			case !errors.Is(outcomes[0].Err, sessionstore.ErrRevoked):
				t.Errorf("a token that is replayed: %v", outcomes[0].Err)
			}
		}
	})
	if n := replayed.Load(); n != rounds {
		t.Errorf("%d replays of %d sessions were told", n, rounds)
	}
	if feed := follow(t, s.b, ""); len(firsts(feed)) != rounds || len(feed) != rounds {
		t.Errorf("the feed of revocations is %x, want %d", feed, rounds)
	}
}

func testUnknown(t *testing.T, s *setup) {
	id := newID()
	claim := sessionstore.Claim{Session: id, User: "ada", Generation: 7, Cursor: place(5), Grace: lasting}
	first := connect(t, s.a, "a", claim)[0]
	accepted(t, first, 8)
	if first.Cursor != place(5) || first.Created.IsZero() {
		t.Errorf("the outcome is %+v, want the cursor of the claim", first)
	}
	info := get(t, s.b, id)
	if info.User != "ada" || info.Connections != 1 || info.Cursor != place(5) || !info.Created.Equal(first.Created) {
		t.Errorf("the session is %+v", info)
	}
	claim.Cursor = place(9)
	again := connect(t, s.b, "b", claim)[0]
	accepted(t, again, 8)
	if again.Cursor != place(5) {
		t.Errorf("the cursor is %q: that of a claim counts only for a session that isn't known", again.Cursor)
	}
}

// The answer of a Connect may be lost. A second one mustn't take the first for a token that was used before.
func testFreshAgain(t *testing.T, s *setup) {
	id := s.start(t, "")
	again := connect(t, s.a, "a", sessionstore.Claim{Session: id, Fresh: true, Grace: over})[0]
	accepted(t, again, 0)
	counts(t, s.a, id, 2)
	accepted(t, s.resume(t, id, 0, lasting), 1)
	accepted(t, connect(t, s.a, "a", sessionstore.Claim{Session: id, Fresh: true, Grace: over})[0], 1)
}

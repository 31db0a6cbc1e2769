package storetest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/buffkit/buffkit/eventlog"
	"github.com/buffkit/buffkit/sessionstore"
)

func testSessionLimit(t *testing.T, s *setup) {
	id := s.start(t, "")
	claim := sessionstore.Claim{Session: id, Grace: lasting, MaxPerSession: 2}
	accepted(t, connect(t, s.b, "b", claim)[0], 1)
	refused(t, connect(t, s.a, "a", claim)[0], sessionstore.ErrTooMany)
	refused(t, connect(t, s.b, "b", claim)[0], sessionstore.ErrTooMany)
	counts(t, s.a, id, 2)
	leave(t, s.a, "a", sessionstore.Leave{Session: id})
	counts(t, s.b, id, 1)
	accepted(t, connect(t, s.a, "a", claim)[0], 1) // the token that was refused is still good
}

func testUserLimit(t *testing.T, s *setup) {
	claim := func(user string) sessionstore.Claim {
		return sessionstore.Claim{Session: newID(), User: user, Fresh: true, MaxPerUser: 2}
	}
	first, second, third := claim("ada"), claim("ada"), claim("ada")
	accepted(t, connect(t, s.a, "a", first)[0], 0)
	accepted(t, connect(t, s.b, "b", second)[0], 0)
	refused(t, connect(t, s.a, "a", third)[0], sessionstore.ErrTooMany)
	gone(t, s.a, third.Session)
	accepted(t, connect(t, s.a, "a", claim("Ada"))[0], 0) // another one
	accepted(t, connect(t, s.a, "a", claim("ada "))[0], 0)
	for range 3 { // nobody is no user
		accepted(t, connect(t, s.a, "a", claim(""))[0], 0)
	}
	leave(t, s.b, "b", sessionstore.Leave{Session: second.Session, User: "ada"})
	accepted(t, connect(t, s.b, "b", third)[0], 0)
	refused(t, connect(t, s.a, "a", claim("ada"))[0], sessionstore.ErrTooMany)
}

func testBatch(t *testing.T, s *setup) {
	known, revoked, other := s.start(t, "ada"), s.start(t, ""), newID()
	revoke(t, s.a, revoked, true)
	outcomes := connect(t, s.b, "b",
		sessionstore.Claim{Session: known, Grace: lasting, MaxPerSession: 2},
		sessionstore.Claim{Session: revoked, Grace: lasting},
		sessionstore.Claim{Session: known, Grace: lasting, MaxPerSession: 2},
		sessionstore.Claim{Session: other, User: "ada", Fresh: true, MaxPerUser: 3},
		sessionstore.Claim{Session: other, User: "ada", Generation: 0, Grace: over, MaxPerUser: 3},
		sessionstore.Claim{Session: other, User: "ada", Generation: 0, Grace: over},
		sessionstore.Claim{Session: other, User: "ada", Generation: 1, Grace: over},
		sessionstore.Claim{Session: other, User: "ada", Generation: 0, Grace: over},
		sessionstore.Claim{Session: other, User: "ada", Generation: 2, Grace: over},
	)
	accepted(t, outcomes[0], 1)
	refused(t, outcomes[1], sessionstore.ErrRevoked)
	refused(t, outcomes[2], sessionstore.ErrTooMany)
	accepted(t, outcomes[3], 0)
	refused(t, outcomes[4], sessionstore.ErrTooMany) // two of known, one of other
	accepted(t, outcomes[5], 1)
	accepted(t, outcomes[6], 2)
	refused(t, outcomes[7], sessionstore.ErrReplayed)
	refused(t, outcomes[8], sessionstore.ErrRevoked)
	counts(t, s.a, known, 2)
	gone(t, s.a, other)
	if outcomes := connect(t, s.a, "a"); len(outcomes) != 0 {
		t.Errorf("a batch of nothing has outcomes: %v", outcomes)
	}
}

func testLimitsUnderConcurrency(t *testing.T, s *setup) {
	const limit, writers, each = 5, 8, 4
	id := s.start(t, "") // has one
	var ofSession, ofUser atomic.Int64
	count := func(counter *atomic.Int64, o sessionstore.Outcome) {
		switch {
		case o.Err == nil:
			counter.Add(1)
		case !errors.Is(o.Err, sessionstore.ErrTooMany):
			t.Error(o.Err)
		}
	}
	s.together(t, writers, func(store sessionstore.Store, node string) {
		for range each { // in calls of their own: what one waits for must not protect the other
			for counter, claim := range map[*atomic.Int64]sessionstore.Claim{
				&ofSession: {Session: id, Grace: lasting, MaxPerSession: limit},
				&ofUser:    {Session: newID(), User: "ada", Fresh: true, MaxPerUser: limit},
			} {
				outcomes, err := store.Connect(t.Context(), node, []sessionstore.Claim{claim})
				if err != nil {
					t.Error(err)
					return
				}
				count(counter, outcomes[0])
			}
		}
	})
	if n := ofSession.Load() + 1; n != limit {
		t.Errorf("%d connections of a session were let in, the limit is %d", n, limit)
	}
	if n := ofUser.Load(); n != limit {
		t.Errorf("%d connections of a user were let in, the limit is %d", n, limit)
	}
	if !t.Failed() {
		counts(t, s.a, id, limit)
	}
}

// together runs writers at once, each with a node and a handle of its own.
func (s *setup) together(t *testing.T, writers int, write func(store sessionstore.Store, node string)) {
	t.Helper()
	var running sync.WaitGroup
	start := make(chan struct{})
	for i := range writers {
		store, node := s.handle(t), fmt.Sprintf("node %d", i)
		restore(t, store, node, alive)
		running.Go(func() {
			<-start
			write(store, node)
		})
	}
	close(start)
	running.Wait()
}

// Two nodes may make the same session known at once, and the same user.
func testSameNewSessions(t *testing.T, s *setup) {
	const writers, rounds, sessions = 4, 10, 10
	ids := newIDs(rounds * sessions)
	s.together(t, writers, func(store sessionstore.Store, node string) {
		for some := range slices.Chunk(ids, sessions) {
			var claims []sessionstore.Claim
			for _, i := range rand.Perm(sessions) {
				claims = append(claims, sessionstore.Claim{Session: some[i], User: string(some[i][:]), Generation: 3, Grace: lasting})
			}
			outcomes, err := store.Connect(t.Context(), node, claims)
			if err != nil {
				t.Errorf("Connect: %v", err)
				return
			}
			for _, o := range outcomes {
				if o.Err != nil || o.Generation != 4 {
					t.Errorf("the outcome is generation %d, error %v", o.Generation, o.Err)
				}
			}
		}
	})
	if t.Failed() {
		return
	}
	for _, id := range ids {
		counts(t, s.a, id, writers)
	}
}

func testOverlappingBatches(t *testing.T, s *setup) {
	const writers, rounds, sessions = 4, 6, 40
	ids := newIDs(sessions)
	s.together(t, writers, func(store sessionstore.Store, node string) {
		for range rounds {
			var claims []sessionstore.Claim
			var leaves []sessionstore.Leave
			for _, i := range rand.Perm(sessions) {
				user := fmt.Sprint("user ", i%7)
				claims = append(claims, sessionstore.Claim{Session: ids[i], User: user, Fresh: true}, sessionstore.Claim{Session: ids[i], User: user, Fresh: true})
			}
			for _, i := range rand.Perm(sessions) {
				leaves = append(leaves, sessionstore.Leave{Session: ids[i], User: fmt.Sprint("user ", i%7)})
			}
			if _, err := store.Connect(t.Context(), node, claims); err != nil {
				t.Errorf("Connect: %v", err)
			}
			if err := store.Leave(t.Context(), node, leaves); err != nil {
				t.Errorf("Leave: %v", err)
			}
		}
	})
	if t.Failed() {
		return
	}
	for _, id := range ids {
		counts(t, s.a, id, writers*rounds)
	}
	for user := range 7 { // and so for each user
		has := 0
		for i := range sessions {
			if i%7 == user {
				has += writers * rounds
			}
		}
		claim := sessionstore.Claim{Session: newID(), User: fmt.Sprint("user ", user), Fresh: true, MaxPerUser: has}
		refused(t, connect(t, s.a, "a", claim)[0], sessionstore.ErrTooMany)
		claim.MaxPerUser = has + 1
		accepted(t, connect(t, s.a, "a", claim)[0], 0)
	}
}

func testLeave(t *testing.T, s *setup) {
	id := s.start(t, "ada")
	leave(t, s.b, "b", sessionstore.Leave{Session: id, User: "ada"}, sessionstore.Leave{Session: newID(), User: "ada"})
	counts(t, s.a, id, 1) // b has none to take back
	leave(t, s.a, "a", sessionstore.Leave{Session: id, User: "ada"}, sessionstore.Leave{Session: id, User: "ada"})
	counts(t, s.a, id, 0)
	leave(t, s.a, "a")
	accepted(t, s.resume(t, id, 0, lasting), 1)
	counts(t, s.a, id, 1)
	claim := sessionstore.Claim{Session: newID(), User: "ada", Fresh: true, MaxPerUser: 1}
	refused(t, connect(t, s.a, "a", claim)[0], sessionstore.ErrTooMany)
}

func testPlace(t *testing.T, s *setup) {
	id := s.start(t, "")
	at := func(want string) {
		t.Helper()
		if info := get(t, s.a, id); info.Cursor != want {
			t.Fatalf("the session is at %q, want %q", info.Cursor, want)
		}
	}
	accepted(t, s.resume(t, id, 0, lasting), 1)
	accepted(t, s.resume(t, id, 0, lasting), 1)
	leave(t, s.b, "b", sessionstore.Leave{Session: id, Cursor: place(35)}) // "z", as a cursor writes it
	at(place(35))                                                          // nothing was known
	accepted(t, s.resume(t, id, 0, lasting), 1)
	leave(t, s.b, "b", sessionstore.Leave{Session: id, Cursor: place(36)}) // "10"
	at(place(35))                                                          // a page has seen less
	accepted(t, s.resume(t, id, 0, lasting), 1)
	leave(t, s.b, "b", sessionstore.Leave{Session: id, Cursor: place(30)})
	at(place(30))
	leave(t, s.b, "b", sessionstore.Leave{Session: id})
	at(place(30))
	leave(t, s.a, "a", sessionstore.Leave{Session: id, Cursor: place(90)}) // the only one
	at(place(90))

	partitions := eventlog.NewCursor(1, 50).With(1, 9).With(3, 40)
	accepted(t, s.resume(t, id, 0, lasting), 1)
	accepted(t, s.resume(t, id, 0, lasting), 1)
	accepted(t, s.resume(t, id, 0, lasting), 1)
	leave(t, s.b, "b", sessionstore.Leave{Session: id, Cursor: partitions.String()}) // behind in one partition
	at(partitions.String())
	leave(t, s.b, "b", sessionstore.Leave{Session: id, Cursor: partitions.With(3, 41).String()})
	at(partitions.String())
	leave(t, s.b, "b", sessionstore.Leave{Session: id, Cursor: partitions.With(3, 41).String()})
	at(partitions.With(3, 41).String())
}

// The text of a place sorts neither as text nor, in decimal digits, as such.
func testPlaceIsANumber(t *testing.T, s *setup) {
	for _, pair := range [][2]uint64{{9, 10}, {35, 36}, {99, 100}, {1295, 1296}, {1<<50 - 1, 1 << 50}} {
		for _, first := range []int{0, 1} {
			id := s.start(t, "")
			accepted(t, s.resume(t, id, 0, lasting), 1)
			accepted(t, s.resume(t, id, 0, lasting), 1)
			leave(t, s.b, "b", sessionstore.Leave{Session: id, Cursor: place(pair[first])}, sessionstore.Leave{Session: id, Cursor: place(pair[1-first])})
			if info := get(t, s.a, id); info.Cursor != place(pair[0]) {
				t.Errorf("of the places %q and %q, %q is kept", place(pair[first]), place(pair[1-first]), info.Cursor)
			}
		}
	}
}

func testTexts(t *testing.T, s *setup) {
	longest := eventlog.NewCursor(1<<40-1, 1<<53-1)
	for p := uint32(1); len(longest.With(p, 1<<53-1).String()) <= eventlog.MaxCursorBytes; p++ {
		longest = longest.With(p, 1<<53-1)
	}
	for _, user := range []string{"", "ädä", "a'b\"c\\d", "nul\x00here", "\xff\xfe", " ", "{}:*", strings.Repeat("long ", 800)} {
		claim := sessionstore.Claim{Session: newID(), User: user, Generation: 1<<32 - 2, Cursor: longest.String(), Grace: lasting}
		o := connect(t, s.a, "a", claim)[0]
		accepted(t, o, 1<<32-1)
		if info := get(t, s.b, claim.Session); info.User != user || info.Cursor != claim.Cursor || o.Cursor != claim.Cursor {
			t.Errorf("%q at %q came back as %q at %q, %q", user, claim.Cursor, info.User, info.Cursor, o.Cursor)
		}
	}
}

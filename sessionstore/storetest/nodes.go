package storetest

import (
	"errors"
	"testing"
	"time"

	"github.com/buffkit/buffkit/sessionstore"
)

const short = 300 * time.Millisecond // the ttl of a node that dies

func beat(t *testing.T, store sessionstore.Store, node string, ttl time.Duration, want error) {
	t.Helper()
	if err := store.Beat(t.Context(), node, ttl); !errors.Is(err, want) {
		t.Fatalf("Beat returned %v, want %v", err, want)
	}
}

// dies waits until a session has no more than some connections, since a node has died.
func (s *setup) dies(t *testing.T, id sessionstore.ID, left int) {
	t.Helper()
	eventually(t, "the connections of a dead node still count", func() bool {
		sweep(t, s.b, alive, alive, 0)
		return get(t, s.b, id).Connections == left
	})
}

func testDeadNode(t *testing.T, s *setup) {
	beat(t, s.a, "nobody", alive, sessionstore.ErrNodeLost)
	id := s.start(t, "ada")
	accepted(t, s.resume(t, id, 0, lasting), 1)
	restore(t, s.a, "c", alive)
	accepted(t, connect(t, s.a, "c", sessionstore.Claim{Session: id, User: "ada", Grace: lasting})[0], 1)
	beat(t, s.a, "a", alive, nil)
	beat(t, s.a, "c", short, nil)
	counts(t, s.b, id, 3)
	s.dies(t, id, 2)
	beat(t, s.a, "c", alive, sessionstore.ErrNodeLost)
	beat(t, s.a, "c", alive, sessionstore.ErrNodeLost) // to say that it is alive isn't enough
	claim := sessionstore.Claim{Session: newID(), User: "ada", Fresh: true, MaxPerUser: 3}
	accepted(t, connect(t, s.b, "b", claim)[0], 0)
	refused(t, connect(t, s.b, "b", claim)[0], sessionstore.ErrTooMany)
	leave(t, s.a, "c", sessionstore.Leave{Session: id, User: "ada"}) // nobody counts it
	counts(t, s.b, id, 2)

	// What a node asks for after it was given up is counted until the next sweep, or its Restore.
	accepted(t, connect(t, s.a, "c", sessionstore.Claim{Session: id, User: "ada", Grace: lasting})[0], 1)
	s.dies(t, id, 2)

	// A session that had its connections there alone is abandoned from then on.
	lonely := newID()
	restore(t, s.a, "d", short)
	accepted(t, connect(t, s.a, "d", sessionstore.Claim{Session: lonely, Fresh: true})[0], 0)
	s.dies(t, lonely, 0)
	eventually(t, "a session of a dead node is never abandoned", func() bool {
		ended := sweep(t, s.b, time.Millisecond, alive, 0)
		return len(ended) == 1 && ended[0].Session == lonely
	})
}

// Its connections may have been given up, even if nobody has swept yet.
func testSilentNode(t *testing.T, s *setup) {
	id := s.start(t, "")
	began := get(t, s.b, id).LastSeen // the store's clock, since it is connected
	restore(t, s.a, "c", short)
	beat(t, s.a, "c", short, nil)
	eventually(t, "the store's clock stands", func() bool { return get(t, s.b, id).LastSeen.Sub(began) > 3*short })
	beat(t, s.a, "c", alive, sessionstore.ErrNodeLost)
	restore(t, s.a, "c", alive)
	beat(t, s.a, "c", alive, nil)
}

func testRestore(t *testing.T, s *setup) {
	id, unknown := s.start(t, "ada"), newID()
	created := time.Now().Add(-time.Hour).Truncate(time.Second)
	held := []sessionstore.Held{
		{Session: id, User: "ada", Generation: 4, Connections: 2, Cursor: place(8)},
		{Session: unknown, User: "bob", Generation: 6, Connections: 3, Cursor: place(9), Created: created},
	}
	restore(t, s.b, "b", alive, held...)
	beat(t, s.b, "b", alive, nil)
	counts(t, s.a, id, 3)
	info := get(t, s.a, unknown)
	if info.User != "bob" || info.Connections != 3 || info.Cursor != place(9) || !info.Created.Equal(created) {
		t.Errorf("a session that a node has brought back is %+v", info)
	}
	accepted(t, s.resume(t, unknown, 6, lasting), 7)
	accepted(t, s.resume(t, id, 4, lasting), 5)
	refused(t, s.resume(t, id, 3, over), sessionstore.ErrReplayed)
	claim := sessionstore.Claim{Session: newID(), User: "bob", Fresh: true, MaxPerUser: 4}
	refused(t, connect(t, s.a, "a", claim)[0], sessionstore.ErrTooMany)

	// One that has risen meanwhile doesn't sink.
	restore(t, s.b, "b", alive, sessionstore.Held{Session: unknown, User: "bob", Generation: 2, Connections: 1})
	accepted(t, s.resume(t, unknown, 7, over), 8)
}

func testRestoreReplaces(t *testing.T, s *setup) {
	id, other, third := s.start(t, "ada"), s.start(t, "ada"), s.start(t, "ada")
	for range 2 {
		restore(t, s.a, "a", alive, sessionstore.Held{Session: id, User: "ada", Connections: 3}, sessionstore.Held{Session: other}, sessionstore.Held{Session: newID()})
		counts(t, s.b, id, 3)
		counts(t, s.b, other, 0)
		counts(t, s.b, third, 1) // nothing was said of it
	}
	claim := sessionstore.Claim{Session: newID(), User: "ada", Fresh: true, MaxPerUser: 4}
	refused(t, connect(t, s.b, "b", claim)[0], sessionstore.ErrTooMany)
	claim.MaxPerUser = 5
	accepted(t, connect(t, s.b, "b", claim)[0], 0)
	restore(t, s.a, "a", 0, sessionstore.Held{Session: id}, sessionstore.Held{Session: third})
	counts(t, s.b, id, 0)
	if ended := sweep(t, s.b, over, alive, 0); len(ended) != 3 {
		t.Errorf("%d sessions were abandoned by a node that has none, want 3", len(ended))
	}
}

// What a node tells in several calls is wrong if it was given up in between, so only the first may say that it lives.
func testRestoreInParts(t *testing.T, s *setup) {
	ids := newIDs(1200)
	var held []sessionstore.Held
	for _, id := range ids {
		held = append(held, sessionstore.Held{Session: id, User: "ada", Connections: 1})
	}
	restore(t, s.a, "c", alive)
	restore(t, s.a, "c", 0, held[:1100]...)
	restore(t, s.a, "c", 0, held[1100:]...)
	beat(t, s.a, "c", short, nil)
	s.dies(t, ids[0], 0)
	restore(t, s.a, "c", 0, held[1])
	beat(t, s.a, "c", alive, sessionstore.ErrNodeLost)
	restore(t, s.a, "nobody", 0, held[2])
	s.dies(t, ids[1], 0)
	s.dies(t, ids[2], 0)
}

func testRestoreRevoked(t *testing.T, s *setup) {
	id := s.start(t, "ada")
	revoke(t, s.b, id, true)
	restore(t, s.a, "a", alive, sessionstore.Held{Session: id, User: "ada", Connections: 1})
	gone(t, s.a, id)
	refused(t, s.resume(t, id, 5, lasting), sessionstore.ErrRevoked)
	claim := sessionstore.Claim{Session: newID(), User: "ada", Fresh: true, MaxPerUser: 1}
	accepted(t, connect(t, s.b, "b", claim)[0], 0)
}

func testForget(t *testing.T, s *setup) {
	ids := newIDs(1200)
	fresh(t, s.a, "a", ids)
	accepted(t, connect(t, s.b, "b", sessionstore.Claim{Session: ids[0], User: "ada", Grace: lasting})[0], 1)
	if err := s.a.Forget(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	counts(t, s.b, ids[0], 1)
	counts(t, s.b, ids[1], 0)
	beat(t, s.a, "a", alive, sessionstore.ErrNodeLost)
	claim := sessionstore.Claim{Session: newID(), User: "ada", Fresh: true, MaxPerUser: 2}
	accepted(t, connect(t, s.b, "b", claim)[0], 0)
	refused(t, connect(t, s.b, "b", claim)[0], sessionstore.ErrTooMany)
	if ended := sweep(t, s.b, over, alive, 0); len(ended) != len(ids)-1 {
		t.Errorf("%d sessions were abandoned, want %d", len(ended), len(ids)-1)
	}
	if err := s.a.Forget(t.Context(), "a"); err != nil {
		t.Errorf("a node that isn't known: %v", err)
	}
}

package storetest

import (
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/buffkit/buffkit/sessionstore"
)

// fresh begins sessions in one batch.
func fresh(t *testing.T, store sessionstore.Store, node string, ids []sessionstore.ID) {
	t.Helper()
	claims := make([]sessionstore.Claim, len(ids))
	for i, id := range ids {
		claims[i] = sessionstore.Claim{Session: id, User: "ada", Fresh: true}
	}
	for _, o := range connect(t, store, node, claims...) {
		accepted(t, o, 0)
	}
}

func abandon(t *testing.T, store sessionstore.Store, node string, ids []sessionstore.ID) {
	t.Helper()
	leaves := make([]sessionstore.Leave, len(ids))
	for i, id := range ids {
		leaves[i] = sessionstore.Leave{Session: id, User: "ada"}
	}
	leave(t, store, node, leaves...)
}

func testList(t *testing.T, s *setup) {
	const sessions = 2500 // more than a page, whatever a page is
	ids := newIDs(sessions)
	for some := range slices.Chunk(ids, 500) {
		fresh(t, s.a, "a", some)
	}
	revoke(t, s.a, ids[0], true)
	leave(t, s.a, "a", sessionstore.Leave{Session: ids[1], User: "ada", Cursor: place(3)})
	seen := map[sessionstore.ID]int{}
	err := s.b.List(t.Context(), func(info sessionstore.Info) bool {
		seen[info.Session]++
		want := 1
		if info.Session == ids[1] {
			want = 0
		}
		if info.User != "ada" || info.Connections != want || info.Created.IsZero() || info.LastSeen.Before(info.Created) {
			t.Errorf("a session is listed as %+v", info)
		}
		return !t.Failed()
	})
	if err != nil {
		t.Fatal(err)
	}
	for i, id := range ids {
		if want := min(i, 1); seen[id] != want {
			t.Fatalf("session %d is listed %d times, want %d", i, seen[id], want)
		}
	}
	n := 0
	if err := s.b.List(t.Context(), func(sessionstore.Info) bool { n++; return n < 3 }); err != nil || n != 3 {
		t.Errorf("List went on to %d after it was told to stop at 3, error %v", n, err)
	}
	gone(t, s.b, newID())
}

func testRevoke(t *testing.T, s *setup) {
	known, unknown := s.start(t, "ada"), newID()
	for _, id := range []sessionstore.ID{known, unknown} {
		revoke(t, s.b, id, true)
		revoke(t, s.a, id, false)
		gone(t, s.a, id)
		refused(t, s.resume(t, id, 9, lasting), sessionstore.ErrRevoked)
		refused(t, connect(t, s.a, "a", sessionstore.Claim{Session: id, Fresh: true})[0], sessionstore.ErrRevoked)
	}
	if ended := sweep(t, s.a, over, lasting, 1); len(ended) > 0 {
		t.Errorf("%+v were removed: revoked sessions aren't abandoned", ended)
	}
	refused(t, s.resume(t, known, 9, lasting), sessionstore.ErrRevoked)
	// Its connection counts for the user until it has left.
	claim := sessionstore.Claim{Session: newID(), User: "ada", Fresh: true, MaxPerUser: 1}
	refused(t, connect(t, s.b, "b", claim)[0], sessionstore.ErrTooMany)
	leave(t, s.a, "a", sessionstore.Leave{Session: known, User: "ada"})
	accepted(t, connect(t, s.b, "b", claim)[0], 0)
}

// follow reads the feed of revocations from a mark to its end.
func follow(t *testing.T, store sessionstore.Store, mark string) (ids []sessionstore.ID) {
	t.Helper()
	for _, r := range causes(t, store, mark) {
		ids = append(ids, r.Session)
	}
	return ids
}

func causes(t *testing.T, store sessionstore.Store, mark string) (all []sessionstore.Revocation) {
	t.Helper()
	for {
		some, next, err := store.Revoked(t.Context(), mark)
		if err != nil {
			t.Fatalf("Revoked: %v", err)
		}
		all = append(all, some...)
		if len(some) == 0 || next == mark {
			return all
		}
		mark = next
	}
}

func testFeed(t *testing.T, s *setup) {
	if feed := follow(t, s.a, ""); len(feed) != 0 {
		t.Fatalf("the feed of an empty store is %x", feed)
	}
	_, beginning, err := s.a.Revoked(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	ids := newIDs(5)
	var marks []string
	for _, id := range ids {
		revoke(t, s.a, id, true)
		_, mark, err := s.b.Revoked(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		marks = append(marks, mark)
	}
	for _, mark := range []string{"", beginning} {
		if feed := follow(t, s.b, mark); !slices.Equal(firsts(feed), ids) {
			t.Errorf("the feed after %q is %x, want %x", mark, feed, ids)
		}
	}
	// Some may come a second time; what comes after the mark must be there, and last.
	feed := firsts(follow(t, s.b, marks[2]))
	if len(feed) < 2 || !slices.Equal(feed[len(feed)-2:], ids[3:]) {
		t.Errorf("the feed after three of five is %x, want %x at its end", feed, ids[3:])
	}
}

// firsts leaves out what came before.
func firsts(ids []sessionstore.ID) (once []sessionstore.ID) {
	for _, id := range ids {
		if !slices.Contains(once, id) {
			once = append(once, id)
		}
	}
	return once
}

// A number that is drawn early may become visible late, as it does with the sequences of SQL databases. Who follows the feed mustn't pass it.
func testFeedUnderConcurrency(t *testing.T, s *setup) {
	const writers, each = 6, 25
	var mu sync.Mutex
	revoked := map[sessionstore.ID]bool{}
	done := make(chan struct{})
	seen := make(chan map[sessionstore.ID]bool)
	go func() { seen <- s.watch(t, done) }()
	s.together(t, writers, func(store sessionstore.Store, node string) {
		for i := range each {
			id := newID()
			var err error
			if i%2 == 0 {
				_, err = store.Revoke(t.Context(), id, sessionstore.ErrRevoked)
			} else { // by a replay, in a transaction that does other things too
				_, err = store.Connect(t.Context(), node, []sessionstore.Claim{
					{Session: id, Generation: 5}, {Session: newID(), Fresh: true}, {Session: id, Generation: 1}, {Session: newID(), Fresh: true},
				})
			}
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			revoked[id] = true
			mu.Unlock()
		}
	})
	close(done)
	got := <-seen
	for id := range revoked {
		if !got[id] {
			t.Errorf("the revocation of %x was never told", id)
		}
	}
}

// watch follows the feed as a node does, and once more after done.
func (s *setup) watch(t *testing.T, done <-chan struct{}) map[sessionstore.ID]bool {
	seen := map[sessionstore.ID]bool{}
	for mark, last := "", false; ; {
		select {
		case <-done:
			last = true
		default:
		}
		revoked, next, err := s.b.Revoked(t.Context(), mark)
		if err != nil {
			t.Error(err)
			return seen
		}
		for _, r := range revoked {
			seen[r.Session] = true
		}
		if last && (len(revoked) == 0 || next == mark) {
			return seen
		}
		mark = next
	}
}

func testRevokedAreForgotten(t *testing.T, s *setup) {
	ids := newIDs(3)
	fresh(t, s.a, "a", ids[:2])
	for _, id := range ids {
		revoke(t, s.a, id, true)
	}
	abandon(t, s.a, "a", ids[:2]) // as its node does when it is told; while it counts them, they may stay
	eventually(t, "a session that was revoked long ago is still known", func() bool {
		if ended := sweep(t, s.b, alive, time.Microsecond, 0); len(ended) > 0 {
			t.Fatalf("%+v are told as ended: they were revoked", ended)
		}
		return len(follow(t, s.b, "")) == 0
	})
	accepted(t, s.resume(t, ids[2], 9, lasting), 10)
	claim := sessionstore.Claim{Session: newID(), User: "ada", Fresh: true, MaxPerUser: 1}
	accepted(t, connect(t, s.b, "b", claim)[0], 0)
}

// Nodes with tokens of different times share a store while they are restarted one after the other.
func testRevokedAreKept(t *testing.T, s *setup) {
	clock, id := s.start(t, ""), newID()
	now := func() time.Time { return get(t, s.a, clock).LastSeen } // the store's, since it is connected
	began := now()
	sweep(t, s.a, alive, short, 0)
	revoke(t, s.a, id, true)
	eventually(t, "a session that was revoked long ago is still known", func() bool {
		sweep(t, s.b, alive, time.Microsecond, 0)
		return len(follow(t, s.b, "")) == 0
	})
	if after := now().Sub(began); after < short {
		t.Errorf("what was revoked is forgotten after %v, a node needs it for %v", after, short)
	}
}

func testAbandoned(t *testing.T, s *setup) {
	const sessions, sweepers = 1500, 4
	ids, connected := newIDs(sessions), newID()
	for some := range slices.Chunk(ids, 500) {
		fresh(t, s.a, "a", some)
	}
	fresh(t, s.b, "b", []sessionstore.ID{connected})
	leave(t, s.a, "a", sessionstore.Leave{Session: ids[0], User: "ada", Cursor: place(4)})
	for some := range slices.Chunk(ids[1:], 500) {
		abandon(t, s.a, "a", some)
	}
	if ended := sweep(t, s.b, alive, alive, 0); len(ended) > 0 {
		t.Fatalf("%d sessions were removed before their time", len(ended))
	}
	var mu sync.Mutex
	removed := map[sessionstore.ID]int{}
	eventually(t, "abandoned sessions are still there", func() bool {
		s.together(t, sweepers, func(store sessionstore.Store, _ string) {
			for more := true; more; {
				ended, again, err := store.Sweep(t.Context(), time.Millisecond, alive, 0)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				for _, info := range ended {
					removed[info.Session]++
					abandonedWell(t, info, ids[0])
				}
				mu.Unlock()
				more = again
			}
		})
		return t.Failed() || len(removed) >= sessions
	})
	for _, id := range ids {
		if removed[id] != 1 {
			t.Fatalf("a session was told as ended %d times", removed[id])
		}
	}
	gone(t, s.a, ids[0])
	counts(t, s.a, connected, 1)
	if len(removed) != sessions {
		t.Errorf("%d sessions were removed, want %d", len(removed), sessions)
	}
}

func abandonedWell(t *testing.T, info sessionstore.Info, withPlace sessionstore.ID) {
	want := ""
	if info.Session == withPlace {
		want = place(4)
	}
	if info.User != "ada" || info.Connections != 0 || info.Cursor != want || info.LastSeen.Before(info.Created) {
		t.Errorf("a session ended as %+v", info)
	}
}

func testMostUnderConcurrency(t *testing.T, s *setup) {
	const sessions, most, sweepers = 60, 40, 4
	ids := newIDs(sessions)
	fresh(t, s.a, "a", ids)
	abandon(t, s.a, "a", ids)
	var removed atomic.Int64
	eventually(t, "there are too many sessions", func() bool {
		s.together(t, sweepers, func(store sessionstore.Store, _ string) {
			for more := true; more; {
				ended, again, err := store.Sweep(t.Context(), alive, alive, most)
				if err != nil {
					t.Errorf("Sweep: %v", err)
					return
				}
				removed.Add(int64(len(ended)))
				more = again
			}
		})
		return t.Failed() || removed.Load() >= sessions-most
	})
	if n := removed.Load(); n != sessions-most {
		t.Errorf("%d sessions were removed, %d were too many", n, sessions-most)
	}
}

func testMost(t *testing.T, s *setup) {
	ids := newIDs(8)
	fresh(t, s.a, "a", ids)
	for _, id := range ids[:6] { // one after the other, each at a time of its own
		was := get(t, s.a, id).LastSeen
		eventually(t, "the store's clock stands", func() bool { return get(t, s.a, id).LastSeen.After(was) })
		leave(t, s.a, "a", sessionstore.Leave{Session: id, User: "ada"})
	}
	if ended := sweep(t, s.b, alive, alive, 8); len(ended) > 0 {
		t.Fatalf("%d sessions were removed: there aren't more than that many", len(ended))
	}
	var removed []sessionstore.ID
	eventually(t, "there are too many sessions", func() bool {
		for _, info := range sweep(t, s.b, alive, alive, 5) {
			removed = append(removed, info.Session)
		}
		return len(removed) >= 3
	})
	if !slices.Equal(removed, ids[:3]) {
		t.Errorf("%x were removed, want those abandoned first, %x", removed, ids[:3])
	}
	eventually(t, "there are too many sessions", func() bool { return len(sweep(t, s.b, alive, alive, 1)) == 3 })
	counts(t, s.a, ids[6], 1)
	counts(t, s.a, ids[7], 1)
}

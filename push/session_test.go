package push_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/buffkit/buffkit/eventlog"
	"github.com/buffkit/buffkit/push"
)

// asUser grants topic a to who the header User names.
func asUser(r *http.Request) (push.Grant, error) {
	return push.Grant{User: r.Header.Get("User"), Topics: []string{"a"}}, nil
}

// resume connects as a client that named itself, with a token unless it is "".
func resume(t testing.TB, b *push.Broker, user, token string, headers ...string) *stream {
	t.Helper()
	headers = append(headers, "Buffkit-Client", "test/1", "User", user)
	if token != "" {
		headers = append(headers, "Buffkit-Session", token)
	}
	return connect(t, b, "/", headers...)
}

// token is the one that the answer carried.
func (s *stream) token() string {
	s.t.Helper()
	synctest.Wait()
	token := s.w.sent.Get("Buffkit-Session")
	if token == "" {
		s.t.Fatalf("no token in an answer %d: %q", s.w.status, s.w.buf)
	}
	return token
}

func (s *stream) close() {
	s.leave()
	<-s.done
	synctest.Wait()
}

func sessionsOf(b *push.Broker) (ids []string) {
	for s := range b.Sessions() {
		ids = append(ids, s.ID)
	}
	slices.Sort(ids)
	return ids
}

func TestSessionOutlivesItsConnections(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := newBroker(t, asUser, push.Options{})
		began := time.Now()
		first := resume(t, b, "ada", "")
		id, token := first.session(), first.token()
		<-time.After(time.Minute)
		second := resume(t, b, "ada", token)
		if second.session() != id {
			t.Errorf("session %s, then %s", id, second.session())
		}
		if second.token() == token {
			t.Error("the token wasn't changed")
		}
		check := func(want push.SessionInfo) {
			t.Helper()
			want.ID, want.User, want.Created = id, "ada", began
			for got := range b.Sessions() {
				if !got.Created.Equal(want.Created) || !got.LastSeen.Equal(want.LastSeen) || got.Cursor.IsZero() ||
					got.ID != want.ID || got.User != want.User || got.Connections != want.Connections {
					t.Errorf("got %+v, want %+v", got, want)
				}
			}
			if n := b.Stats(); n.Sessions != 1 || n.Connections != want.Connections {
				t.Errorf("stats %+v", n)
			}
		}
		check(push.SessionInfo{Connections: 2, LastSeen: time.Now()})
		first.close()
		check(push.SessionInfo{Connections: 1, LastSeen: time.Now()})
		left := time.Now()
		second.close()
		pass(time.Minute)
		check(push.SessionInfo{Connections: 0, LastSeen: left})
	})
}

// A token is used once. The one before the newest is taken for a while, since the answer that carried the newest may be lost.
func TestTokenRotates(t *testing.T) {
	type use struct {
		after time.Duration
		token int // 0 is the first one, n the one of the n-th answer
		want  string
	}
	grace := push.DefaultTokenGrace
	tests := []struct {
		name string
		uses []use
	}{
		{"each the newest", []use{{0, 0, ""}, {time.Hour, 1, ""}, {time.Hour, 2, ""}}},
		{"the one before, within the grace", []use{{0, 0, ""}, {grace, 0, ""}, {time.Hour, 2, ""}}},
		{"answers that are lost for longer than the grace", []use{{0, 0, ""}, {grace, 0, ""}, {grace, 0, ""}, {grace, 0, ""}, {0, 4, ""}}},
		{"answers that come in the wrong order", []use{{0, 0, ""}, {0, 0, ""}, {0, 1, ""}, {0, 2, ""}}},
		{"the one before, after the grace", []use{{0, 0, ""}, {grace + 1, 0, "401 token_replayed"}, {0, 1, "401 revoked"}, {0, 0, "401 revoked"}}},
		{"two before, at once", []use{{0, 0, ""}, {0, 1, ""}, {0, 0, "401 token_replayed"}, {0, 2, "401 revoked"}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				b := newBroker(t, asUser, push.Options{})
				stay := resume(t, b, "ada", "")
				tokens := []string{stay.token()}
				for i, use := range test.uses {
					<-time.After(use.after)
					s := resume(t, b, "ada", tokens[use.token])
					if use.want != "" {
						if got := s.refusal(); got != use.want {
							t.Errorf("use %d: %s, want %s", i, got, use.want)
						}
						if !stay.ended() {
							t.Errorf("use %d: the other stream of the session goes on", i)
						}
						tokens = append(tokens, "")
						continue
					}
					if stay.session() != s.session() {
						t.Errorf("use %d: another session", i)
					}
					tokens = append(tokens, s.token())
					s.close()
				}
			})
		})
	}
}

func TestReplayedTokenRevokesTheSession(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		var ended []string
		b := newBroker(t, asUser, push.Options{Hooks: push.Hooks{
			SessionEnded: func(s push.SessionInfo, cause error) {
				ended = append(ended, fmt.Sprint(s.ID, s.User, s.Connections, cause))
			},
		}})
		owner := resume(t, b, "ada", "")
		owner.next()
		id, stolen := owner.session(), owner.token()
		owner.close()
		owner = resume(t, b, "ada", stolen)
		owner.close()
		owner = resume(t, b, "ada", owner.token())
		owner.next()
		other := resume(t, b, "bea", "")
		if got := resume(t, b, "ada", stolen).refusal(); got != "401 token_replayed" {
			t.Errorf("the thief gets %s", got)
		}
		owner.want("bye:token_replayed")
		if !owner.ended() || other.ended() {
			t.Errorf("the owner's stream ended: %v; the other's: %v", owner.ended(), other.ended())
		}
		if want := []string{fmt.Sprint(id, "ada", 1, push.ErrTokenReplayed)}; !slices.Equal(ended, want) {
			t.Errorf("ended %q, want %q", ended, want)
		}
		if got := sessionsOf(b); !slices.Equal(got, []string{other.session()}) {
			t.Errorf("sessions %q", got)
		}
	})
}

func TestTokenOfAnotherUserIsRefused(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := newBroker(t, asUser, push.Options{})
		ada := resume(t, b, "ada", "")
		for _, user := range []string{"bea", "", "ad", "ada "} {
			if got := resume(t, b, user, ada.token()).refusal(); got != "401 token_foreign" {
				t.Errorf("%q gets %s", user, got)
			}
		}
		anybody := resume(t, b, "", "")
		if got := resume(t, b, "ada", anybody.token()).refusal(); got != "401 token_foreign" {
			t.Errorf("a session of nobody in particular: %s", got)
		}
		if again := resume(t, b, "ada", ada.token()); again.session() != ada.session() {
			t.Error("the attempts harmed the session")
		}
	})
}

func TestAbandonedSessionsEnd(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		var ended []string
		b := newBroker(t, asUser, push.Options{SessionTTL: time.Minute, Hooks: push.Hooks{
			SessionEnded: func(s push.SessionInfo, cause error) { ended = append(ended, fmt.Sprint(s.User, " ", cause)) },
		}})
		ada, bea, cyd := resume(t, b, "ada", ""), resume(t, b, "bea", ""), resume(t, b, "cyd", "")
		bea.close()
		<-time.After(30 * time.Second)
		ada.close()
		<-time.After(29 * time.Second)
		bea = resume(t, b, "bea", bea.token())
		pass(29 * time.Second)
		if len(ended) > 0 {
			t.Errorf("too early: %q", ended)
		}
		bea.close()
		pass(time.Hour)
		if want := []string{"ada <nil>", "bea <nil>"}; !slices.Equal(ended, want) {
			t.Errorf("ended %q, want %q", ended, want)
		}
		if n := b.Stats().Sessions; n != 1 || b.SessionRecords() != 1 {
			t.Errorf("%d sessions, %d records", n, b.SessionRecords())
		}
		// Its token outlives it: whoever was away for longer has its identity still.
		again := resume(t, b, "ada", ada.token())
		if again.session() != ada.session() {
			t.Error("a forgotten session didn't resume")
		}
		if n := b.Stats().Sessions; n != 2 {
			t.Errorf("%d sessions after one came back", n)
		}
		_ = cyd
	})
}

// The token is enough: another process, or the same one after a restart, needs only the key.
func TestSessionResumesInAnotherProcess(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		log := newLog(t, none)
		opts := push.Options{Log: log, Keys: []push.Key{key1}}
		before := newBroker(t, asUser, opts)
		s := resume(t, before, "ada", "")
		publish(t, before, "a:1")
		before.Close()
		after := newBroker(t, asUser, opts)
		publish(t, after, "a:2")
		again := resume(t, after, "ada", s.token()) // no cursor: that of the session is in the token
		again.want("open:resumed:2", "1", "2")
		if again.session() != s.session() {
			t.Error("another session")
		}
		if got := resume(t, after, "ada", s.token()); got.session() != s.session() {
			t.Error("rotation didn't go on")
		}
	})
}

func TestRevokeEndsASession(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		var ended []error
		const ttl = 20 * time.Minute
		b := newBroker(t, asUser, push.Options{TokenTTL: ttl, Hooks: push.Hooks{
			SessionEnded: func(_ push.SessionInfo, cause error) { ended = append(ended, cause) },
		}})
		one, other := resume(t, b, "ada", ""), resume(t, b, "ada", "")
		tab := resume(t, b, "ada", one.token())
		one.next()
		other.next()
		tab.next()
		if err := b.Revoke(one.session()); err != nil {
			t.Fatal(err)
		}
		one.want("bye:revoked")
		tab.want("bye:revoked")
		other.want()
		if !one.ended() || !tab.ended() || other.ended() {
			t.Errorf("ended: %v, %v, %v", one.ended(), tab.ended(), other.ended())
		}
		for _, token := range []string{one.token(), tab.token()} {
			if got := resume(t, b, "ada", token).refusal(); got != "401 revoked" {
				t.Errorf("its token: %s", got)
			}
		}
		if _, err := b.SendSession(t.Context(), one.session(), push.Event{}); !errors.Is(err, push.ErrNoSession) {
			t.Errorf("SendSession: %v", err)
		}
		for _, id := range []string{one.session(), "", "x", strings.Repeat("A", 22), one.session() + "="} {
			if err := b.Revoke(id); !errors.Is(err, push.ErrNoSession) {
				t.Errorf("Revoke(%q): %v", id, err)
			}
		}
		if got := sessionsOf(b); !slices.Equal(got, []string{other.session()}) {
			t.Errorf("sessions %q", got)
		}
		if len(ended) != 1 || ended[0] != push.ErrRevoked {
			t.Errorf("the hook was told %v", ended)
		}
		// It is remembered as long as its tokens would be taken, and no longer.
		<-time.After(ttl - time.Minute)
		if got := resume(t, b, "ada", tab.token()).refusal(); got != "401 revoked" {
			t.Errorf("its token, later: %s", got)
		}
		pass(2 * time.Minute)
		if got := resume(t, b, "ada", tab.token()).refusal(); got != "401 token_expired" {
			t.Errorf("its token, when it has expired: %s", got)
		}
		if n := b.SessionRecords(); n != 1 {
			t.Errorf("%d records", n)
		}
	})
}

// meddling is a log that lets a test in between the session and the stream of a request.
type meddling struct {
	eventlog.Log
	meddle func()
}

func (m *meddling) Head(ctx context.Context) (eventlog.Cursor, error) {
	m.meddle()
	return m.Log.Head(ctx)
}

func TestRevokeEndsAStreamThatIsJustBeginning(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		log := &meddling{Log: newLog(t, none)}
		b := newBroker(t, asUser, push.Options{Log: log})
		log.meddle = func() {
			for s := range b.Sessions() {
				b.Revoke(s.ID)
			}
		}
		if got := resume(t, b, "ada", "").refusal(); got != "401 revoked" {
			t.Errorf("got %s", got)
		}
	})
}

func TestTooManySessionsEndThoseAwayForLongest(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		var ended []string
		b := newBroker(t, asUser, push.Options{
			Limits: push.Limits{MaxSessions: 3},
			Hooks:  push.Hooks{SessionEnded: func(s push.SessionInfo, cause error) { ended = append(ended, s.User) }},
		})
		connected := resume(t, b, "connected", "")
		for _, user := range []string{"ada", "bea", "cyd", "dot"} {
			resume(t, b, user, "").close()
			<-time.After(time.Millisecond)
		}
		pass(2 * time.Second)
		if want := []string{"ada", "bea"}; !slices.Equal(ended, want) {
			t.Errorf("ended %q, want %q", ended, want)
		}
		if connected.ended() || b.Stats().Sessions != 3 {
			t.Errorf("%d sessions, the connected one ended: %v", b.Stats().Sessions, connected.ended())
		}
	})
}

func TestSessionsAreSeenOnceWhileTheyChange(t *testing.T) {
	t.Parallel()
	const stable = 10_000
	b := newBroker(t, asUser, push.Options{})
	for range stable {
		b.AbandonSession("stable")
	}
	want := map[string]bool{}
	for s := range b.Sessions() {
		want[s.ID] = true
	}
	if len(want) != stable {
		t.Fatalf("%d sessions", len(want))
	}
	ctx, stop := context.WithCancel(t.Context())
	var churn sync.WaitGroup
	defer churn.Wait()
	defer stop()
	for range 2 {
		churn.Go(func() {
			for ctx.Err() == nil {
				comeAndGo(b, "User", "passing")
				for s := range b.Sessions() {
					if s.User == "passing" {
						b.Revoke(s.ID) // while it is enumerated
						break
					}
				}
			}
		})
	}
	for range 10 {
		seen := make(map[string]bool, stable)
		for s := range b.Sessions() {
			if seen[s.ID] {
				t.Fatalf("session %s came twice", s.ID)
			}
			seen[s.ID] = true
		}
		for id := range want {
			if !seen[id] {
				t.Fatalf("session %s was left out", id)
			}
		}
	}
}

// The enumeration holds no lock: whoever looks at the sessions for long holds up nobody.
func TestEnumerationHoldsNothingUp(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := newBroker(t, asUser, push.Options{SessionTTL: time.Second})
		for range 10 {
			resume(t, b, "ada", "").close()
		}
		for s := range b.Sessions() {
			stay := resume(t, b, "bea", "") // begins a session, and the sweep ends some
			pass(2 * time.Second)
			if err := b.Revoke(stay.session()); err != nil {
				t.Errorf("during the enumeration, at %s: %v", s.ID, err)
			}
			break
		}
	})
}

// Tabs share a session by its cookie. One that comes back by the session's cursor must not skip what another tab has had.
func TestSessionKeepsTheOldestPlaceOfItsConnections(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := newBroker(t, asUser, push.Options{})
		first := resume(t, b, "ada", "")
		publish(t, b, "a:1")
		second := resume(t, b, "ada", first.token(), "Last-Event-ID", first.lastID())
		second.want("open:resumed:0")
		publish(t, b, "a:2")
		third := resume(t, b, "ada", second.token())
		third.want("open:resumed:2", "1", "2")
		first.close()
		second.close()
		third.close()
		// Alone, a connection moves the place on to what it proves to have.
		fourth := resume(t, b, "ada", third.token(), "Last-Event-ID", third.lastID())
		fourth.want("open:resumed:0")
		fourth.close()
		fifth := resume(t, b, "ada", fourth.token())
		fifth.want("open:resumed:0")
	})
}

func TestSessionsComeAndGoAtOnce(t *testing.T) {
	t.Parallel()
	b := newBroker(t, asUser, push.Options{Keys: []push.Key{key1}, SessionTTL: time.Millisecond})
	ring := push.NewKeyring([]push.Key{key1}, time.Hour)
	at, err := b.Cursor(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	tokens := make([]string, 4)
	for i := range tokens {
		tokens[i], _ = ring.Mint("ada", 0, at)
	}
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for n := range 200 {
				comeAndGo(b, "User", "ada", "Buffkit-Client", "test/1", "Buffkit-Session", tokens[(i+n)%len(tokens)])
			}
		})
	}
	for range 100 {
		b.Sweep()
	}
	all.Wait()
	if n := b.Stats(); n.Connections != 0 || n.Sessions > len(tokens) || n.Sessions < 0 {
		t.Errorf("%+v", n)
	}
	for s := range b.Sessions() {
		if s.Connections != 0 {
			t.Errorf("%+v", s)
		}
	}
}

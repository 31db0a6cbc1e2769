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

func TestPublishReachesWhoFollowsTheTopic(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := newBroker(t, push.Public("a", "b", "c"), push.Options{})
		onlyA, both, all := connect(t, b, "/?topic=a"), connect(t, b, "/?topic=b&topic=a&topic=b"), connect(t, b, "/")
		cursor, err := b.Publish(t.Context(), push.Event{Topic: "a", Name: "n", Data: []byte("1\r\n2\r3\n4")})
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		for _, s := range []*stream{onlyA, both, all} {
			if s.lastID() != cursor.String() {
				t.Errorf("id %q, Publish returned %q", s.lastID(), cursor)
			}
		}
		publish(t, b, "b:x", "c:y", "a:z")
		onlyA.want("open:fresh", "n=1\n2\n3\n4", "z")
		both.want("open:fresh", "n=1\n2\n3\n4", "x", "z")
		all.want("open:fresh", "n=1\n2\n3\n4", "x", "y", "z")
	})
}

func TestPublishAllStoresAllOrNone(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		var published []string
		b := newBroker(t, push.Public("a", "b"), push.Options{Hooks: push.Hooks{
			Published: func(topic string, bytes int) { published = append(published, fmt.Sprint(topic, bytes)) },
		}})
		s := connect(t, b, "/")
		cursors, err := b.PublishAll(t.Context(), push.Event{Topic: "a", Data: []byte("1")}, push.Event{Topic: "b", Data: []byte("22")},
			push.Event{Topic: "a", Data: []byte("3")})
		if err != nil || len(cursors) != 3 {
			t.Fatalf("%v, %v", cursors, err)
		}
		var ids []string
		for _, f := range s.frames()[1:] {
			ids = append(ids, f.id)
		}
		if want := []string{cursors[0].String(), cursors[1].String(), cursors[2].String()}; !slices.Equal(ids, want) {
			t.Errorf("ids %q, want %q", ids, want)
		}
		if want := []string{"a1", "b2", "a1"}; !slices.Equal(published, want) {
			t.Errorf("the hook saw %q, want %q", published, want)
		}
		if cursors, err := b.PublishAll(t.Context()); err != nil || len(cursors) != 0 {
			t.Errorf("nothing: %v, %v", cursors, err)
		}
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		good := push.Event{Topic: "a", Data: []byte("good")}
		tests := []struct {
			name string
			ctx  context.Context
			bad  push.Event
			want error
		}{
			{"no topic", t.Context(), push.Event{}, push.ErrBadTopic},
			{"a long topic", t.Context(), push.Event{Topic: strings.Repeat("x", 256)}, push.ErrBadTopic},
			{"a topic with a line end", t.Context(), push.Event{Topic: "a\nb"}, push.ErrBadTopic},
			{"a topic that isn't UTF-8", t.Context(), push.Event{Topic: "\xff"}, push.ErrBadTopic},
			{"the topic of all", t.Context(), push.Event{Topic: "~all"}, push.ErrBadTopic},
			{"the topic of a user", t.Context(), push.Event{Topic: "~user/ada"}, push.ErrBadTopic},
			{"any reserved topic", t.Context(), push.Event{Topic: "~"}, push.ErrBadTopic},
			{"a name with a line end", t.Context(), push.Event{Topic: "a", Name: "x\nid: 1"}, eventlog.ErrInvalid},
			{"data that isn't UTF-8", t.Context(), push.Event{Topic: "a", Data: []byte{0xff}}, eventlog.ErrInvalid},
			{"a large event", t.Context(), push.Event{Topic: "a", Data: make([]byte, eventlog.DefaultMaxEventBytes)}, eventlog.ErrTooLarge},
			{"a context that has ended", ended, good, context.Canceled},
		}
		for _, test := range tests {
			cursors, err := b.PublishAll(test.ctx, good, test.bad, good)
			if !errors.Is(err, test.want) || cursors != nil {
				t.Errorf("%s: %v, %v, want %v", test.name, cursors, err, test.want)
			}
			var which *eventlog.EventError
			if errors.As(err, &which) && which.Index != 1 || errors.Is(err, push.ErrBadTopic) && !strings.Contains(err.Error(), "event 1") {
				t.Errorf("%s: the error names another event: %v", test.name, err)
			}
			if _, err := b.Publish(test.ctx, test.bad); !errors.Is(err, test.want) {
				t.Errorf("%s alone: %v", test.name, err)
			}
		}
		s.want()
		if len(published) != 3 {
			t.Errorf("the hook saw %q", published[3:])
		}
	})
}

func TestSendReachesAllOfAUserOrASession(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := newBroker(t, asUser, push.Options{})
		ada, adaToo, bea, anybody := resume(t, b, "ada", ""), resume(t, b, "ada", ""), resume(t, b, "bea", ""), resume(t, b, "", "")
		send := func(cursor eventlog.Cursor, err error) {
			t.Helper()
			if err != nil || cursor.IsZero() {
				t.Fatal(cursor, err)
			}
		}
		send(b.SendAll(t.Context(), push.Event{Data: []byte("to all")}))
		send(b.SendUser(t.Context(), "ada", push.Event{Name: "hi", Data: []byte("to ada")}))
		send(b.SendUser(t.Context(), "cyd", push.Event{Data: []byte("to somebody else")}))
		send(b.SendSession(t.Context(), ada.session(), push.Event{Data: []byte("to this session")}))
		ada.want("open:fresh", "to all", "hi=to ada", "to this session")
		adaToo.want("open:fresh", "to all", "hi=to ada")
		bea.want("open:fresh", "to all")
		anybody.want("open:fresh", "to all")

		// Who is away gets it on resuming.
		ada.close()
		adaToo.close()
		send(b.SendSession(t.Context(), ada.session(), push.Event{Data: []byte("session, later")}))
		send(b.SendUser(t.Context(), "ada", push.Event{Data: []byte("ada, later")}))
		send(b.SendAll(t.Context(), push.Event{Data: []byte("all, later")}))
		again := resume(t, b, "ada", ada.token(), "Last-Event-ID", ada.lastID())
		again.want("open:resumed:3", "session, later", "ada, later", "all, later")
		elsewhere := resume(t, b, "ada", "", "Last-Event-ID", adaToo.lastID()) // another session of hers
		elsewhere.want("open:resumed:2", "ada, later", "all, later")
		bea.want("all, later")
	})
}

func TestSendIsRefused(t *testing.T) {
	t.Parallel()
	b := newBroker(t, asUser, push.Options{})
	send := map[string]func(push.Event) (eventlog.Cursor, error){
		"to all":        func(e push.Event) (eventlog.Cursor, error) { return b.SendAll(t.Context(), e) },
		"to a user":     func(e push.Event) (eventlog.Cursor, error) { return b.SendUser(t.Context(), "ada", e) },
		"to nobody":     func(e push.Event) (eventlog.Cursor, error) { return b.SendUser(t.Context(), "", e) },
		"to no session": func(e push.Event) (eventlog.Cursor, error) { return b.SendSession(t.Context(), "", e) },
		"to a session never seen": func(e push.Event) (eventlog.Cursor, error) {
			return b.SendSession(t.Context(), strings.Repeat("A", 22), e)
		},
		"to a user of a long name": func(e push.Event) (eventlog.Cursor, error) {
			return b.SendUser(t.Context(), strings.Repeat("x", 250), e)
		},
	}
	tests := []struct {
		to    string
		event push.Event
		want  error
	}{
		{"to all", push.Event{}, nil},
		{"to a user", push.Event{}, nil},
		{"to all", push.Event{Topic: "a"}, push.ErrBadTopic},
		{"to a user", push.Event{Topic: "~user/ada"}, push.ErrBadTopic},
		{"to nobody", push.Event{}, push.ErrBadTopic},
		{"to a user of a long name", push.Event{}, eventlog.ErrInvalid},
		{"to no session", push.Event{}, push.ErrNoSession},
		{"to a session never seen", push.Event{}, push.ErrNoSession},
		{"to all", push.Event{Name: "\n"}, eventlog.ErrInvalid},
	}
	for _, test := range tests {
		if _, err := send[test.to](test.event); !errors.Is(err, test.want) {
			t.Errorf("%s, %+v: %v, want %v", test.to, test.event, err, test.want)
		}
	}
}

func TestEveryHookIsCalled(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		var mu sync.Mutex
		var got []string
		note := func(format string, args ...any) {
			mu.Lock()
			defer mu.Unlock()
			got = append(got, fmt.Sprintf(format, args...))
		}
		want := func(texts ...string) {
			t.Helper()
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			if !slices.Equal(got, texts) {
				t.Errorf("hooks %q, want %q", got, texts)
			}
			got = nil
		}
		who := func(c push.Connection) string {
			if c.Session == "" || c.Since.IsZero() {
				t.Errorf("%+v", c)
			}
			return fmt.Sprint(c.ID, " ", c.User, " ", c.Remote)
		}
		onlyPlain(t)
		log := newLog(t, eventlog.Retention{Count: 1})
		b := newBroker(t, func(r *http.Request) (push.Grant, error) {
			if r.Header.Get("User") == "" {
				return push.Grant{}, fmt.Errorf("no user: %w", push.ErrUnauthorized)
			}
			return asUser(r)
		}, push.Options{Log: log, SessionTTL: time.Minute, Hooks: push.Hooks{
			Connected:    func(c push.Connection, o push.Opened) { note("connected %s %s %d", who(c), o.State, o.Replay) },
			Disconnected: func(c push.Connection, cause error) { note("disconnected %s %v", who(c), cause) },
			Refused:      func(remote string, err error) { note("refused %s %v", remote, err) },
			Published:    func(topic string, bytes int) { note("published %s %d", topic, bytes) },
			Delivered:    func(c push.Connection, events, bytes int) { note("delivered %s %d %d", who(c), events, bytes) },
			Gap:          func(c push.Connection, l push.Lost) { note("gap %s %s %v", who(c), l.User, l.Gaps) },
			SessionEnded: func(s push.SessionInfo, cause error) { note("session ended %s %v", s.User, cause) },
		}})
		const remote = "192.0.2.1:1234" // httptest's
		connect(t, b, "/")
		want("refused " + remote + " no user: push: not signed in")
		s := resume(t, b, "ada", "")
		want("connected 1 ada " + remote + " fresh 0")
		publish(t, b, "a:1")
		frames := s.frames()
		size := len("id: "+frames[1].id+"\ndata: 1\n\n") - 0
		want("published a 1", fmt.Sprint("delivered 1 ada ", remote, " 1 ", size))
		at := s.lastID()
		s.close()
		want("disconnected 1 ada " + remote + " <nil>")
		publish(t, b, "a:2")
		want("published a 1")
		again := resume(t, b, "ada", s.token(), "Last-Event-ID", at)
		want("connected 2 ada "+remote+" resumed 1", fmt.Sprint("delivered 2 ada ", remote, " 1 ", size))
		again.close()
		want("disconnected 2 ada " + remote + " <nil>")
		publish(t, b, "a:3")
		want("published a 1")
		third := resume(t, b, "ada", again.token(), "Last-Event-ID", at)
		want("connected 3 ada "+remote+" gap 0", "gap 3 ada "+remote+" ada [{a trimmed}]")
		if err := b.Revoke(third.session()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		want("session ended ada push: session was revoked", "disconnected 3 ada "+remote+" push: session was revoked")
		resume(t, b, "bea", "").close()
		want("connected 4 bea "+remote+" fresh 0", "disconnected 4 bea "+remote+" <nil>")
		pass(2 * time.Minute)
		want("session ended bea <nil>")
		if err := b.Check(t.Context()); err != nil {
			t.Fatal(err)
		}
		want()
	})
}

func TestPanickingHookHarmsNobody(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		var logged record
		b := newBroker(t, asUser, push.Options{Log: newLog(t, eventlog.Retention{Count: 1}), Logger: logged.logger(), SessionTTL: time.Second,
			Hooks: push.Hooks{
				Connected:    func(push.Connection, push.Opened) { panic("in Connected") },
				Disconnected: func(push.Connection, error) { panic(http.ErrAbortHandler) },
				Refused:      func(string, error) { panic("in Refused") },
				Published:    func(string, int) { panic("in Published") },
				Delivered:    func(push.Connection, int, int) { panic(errors.New("in Delivered")) },
				Gap:          func(push.Connection, push.Lost) { panic("in Gap") },
				SessionEnded: func(s push.SessionInfo, _ error) { _ = []byte(s.ID)[len(s.ID)] },
			}})
		s := resume(t, b, "ada", "")
		at := s.lastID()
		publish(t, b, "a:1")
		s.want("open:fresh", "1")
		publish(t, b, "a:2")
		s.close()
		gapped := resume(t, b, "ada", s.token(), "Last-Event-ID", at)
		gapped.want("open:gap:0:a=trimmed", "place")
		gapped.close()
		if got := resume(t, b, "ada", "x").refusal(); got != "401 token_invalid" {
			t.Errorf("refused with %s", got)
		}
		pass(3 * time.Second)
		if n := b.Stats(); n.Connections != 0 || n.Sessions != 0 {
			t.Errorf("%+v", n)
		}
		for _, hook := range []string{"Connected", "Disconnected", "Refused", "Published", "Delivered", "Gap", "SessionEnded"} {
			if !strings.Contains(logged.String(), "hook="+hook+" ") {
				t.Errorf("the log doesn't name %s", hook)
			}
		}
	})
}

func TestEverythingAfterCloseReturnsErrClosed(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := newBroker(t, asUser, push.Options{})
		s := resume(t, b, "ada", "")
		s.next()
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		s.want("bye:closed")
		if !s.ended() {
			t.Error("the stream goes on")
		}
		calls := map[string]func() error{
			"Close":       b.Close,
			"Drain":       func() error { return b.Drain(t.Context()) },
			"Check":       func() error { return b.Check(t.Context()) },
			"Cursor":      func() error { _, err := b.Cursor(t.Context()); return err },
			"Publish":     func() error { _, err := b.Publish(t.Context(), push.Event{Topic: "a"}); return err },
			"SendAll":     func() error { _, err := b.SendAll(t.Context(), push.Event{}); return err },
			"SendUser":    func() error { _, err := b.SendUser(t.Context(), "ada", push.Event{}); return err },
			"SendSession": func() error { _, err := b.SendSession(t.Context(), s.session(), push.Event{}); return err },
		}
		for name, call := range calls {
			if err := call(); !errors.Is(err, push.ErrClosed) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if got := connect(t, b, "/").refusal(); got != "200 closed" {
			t.Errorf("a new stream: %s", got)
		}
	})
}

func TestCloseLeavesAGivenLogOpen(t *testing.T) {
	t.Parallel()
	log := newLog(t, none)
	b := newBroker(t, asUser, push.Options{Log: log})
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := log.Head(t.Context()); err != nil {
		t.Error(err)
	}
}

// Publishers race with Close: each call either stores the event or says that the broker is closed.
func TestPublishWhileClosing(t *testing.T) {
	t.Parallel()
	for range 20 {
		b := newBroker(t, asUser, push.Options{})
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				for {
					if _, err := b.Publish(context.Background(), push.Event{Topic: "a"}); err != nil {
						if !errors.Is(err, push.ErrClosed) {
							t.Errorf("%v", err)
						}
						return
					}
				}
			})
		}
		b.Close()
		all.Wait()
	}
}

// A log that was closed first is a mistake of the app's, which all should learn of at once.
func TestLogClosedUnderTheBroker(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		var logged record
		log := newLog(t, none)
		b := newBroker(t, asUser, push.Options{Log: log, Logger: logged.logger()})
		streams := []*stream{connect(t, b, "/"), connect(t, b, "/"), connect(t, b, "/")}
		log.Close()
		for _, s := range streams {
			s.want("open:fresh", "bye:closed")
		}
		if got := connect(t, b, "/").refusal(); got != "200 closed" {
			t.Errorf("a new stream: %s", got)
		}
		if _, err := b.Publish(t.Context(), push.Event{Topic: "a"}); !errors.Is(err, eventlog.ErrClosed) {
			t.Errorf("Publish: %v", err)
		}
		if err := b.Check(t.Context()); !errors.Is(err, eventlog.ErrClosed) {
			t.Errorf("Check: %v", err)
		}
		if n := strings.Count(logged.String(), "level=ERROR"); n != 1 {
			t.Errorf("%d errors logged:\n%s", n, logged.String())
		}
	})
}

// deaf is a log that takes events and tells nobody, as one whose connection to the others has broken.
type deaf struct{ eventlog.Log }

func (deaf) Watch(ctx context.Context, wake func(string)) error {
	wake("")
	<-ctx.Done()
	return ctx.Err()
}

func TestCheckFindsADeafLog(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		good := newBroker(t, asUser, push.Options{})
		if err := good.Check(t.Context()); err != nil {
			t.Errorf("a good log: %v", err)
		}
		b := newBroker(t, asUser, push.Options{Log: deaf{newLog(t, none)}})
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := b.Check(ctx); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "didn't wake") {
			t.Errorf("a deaf log: %v", err)
		}
	})
}

// faulty is a log whose Watch fails a few times, and which misses what is appended meanwhile.
type faulty struct {
	eventlog.Log
	mu       sync.Mutex // guards failures
	failures int
}

func (f *faulty) Watch(ctx context.Context, wake func(string)) error {
	f.mu.Lock()
	fail := f.failures > 0
	f.failures--
	f.mu.Unlock()
	if fail {
		return errors.New("connection refused")
	}
	return f.Log.Watch(ctx, wake)
}

func TestBrokerGoesOnAfterTheLogFailed(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		var logged record
		b := newBroker(t, asUser, push.Options{Log: &faulty{Log: newLog(t, none), failures: 3}, Logger: logged.logger()})
		s := connect(t, b, "/")
		publish(t, b, "a:1")
		s.want("open:fresh")
		pass(5 * time.Second) // under the heartbeat
		s.want("1")
		publish(t, b, "a:2")
		s.want("2")
		if n := strings.Count(logged.String(), "connection refused"); n != 3 {
			t.Errorf("logged %d times:\n%s", n, logged.String())
		}
	})
}

func TestOptionsAreChecked(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		opts push.Options
		say  string // "" if they are good
	}{
		{"none", push.Options{}, ""},
		{"a duration below zero", push.Options{Heartbeat: -time.Second}, "Options.Heartbeat is -1s"},
		{"microseconds", push.Options{Retry: time.Microsecond}, "Options.Retry is 1µs"},
		{"never", push.Options{TokenTTL: 1<<63 - 1}, "Options.TokenTTL is"},
		{"the most", push.Options{Heartbeat: maxDuration, Retry: maxDuration, WriteTimeout: maxDuration, DrainWindow: maxDuration,
			SessionTTL: maxDuration, TokenTTL: maxDuration, TokenGrace: maxDuration}, ""},
		{"a cookie's name", push.Options{SessionCookie: "__Host-session"}, ""},
		{"not a cookie's name", push.Options{SessionCookie: "my session"}, `Options.SessionCookie is "my session"`},
		{"no limits", push.Options{Limits: push.Limits{MaxConnections: -1, MaxTopics: -1, MaxBatchBytes: -1, MaxSessions: -1}}, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				b, err := push.New(asUser, &test.opts)
				if (err == nil) != (test.say == "") || err != nil && !strings.Contains(err.Error(), test.say) {
					t.Errorf("got %v, want %q", err, test.say)
				}
				if err != nil {
					return
				}
				defer b.Close()
				s := resume(t, b, "", "")
				publish(t, b, "a:1", "a:2")
				s.want("open:fresh", "1", "2")
				if got := resume(t, b, "ada", "x").refusal(); got != "401 token_invalid" {
					t.Errorf("refused with %s", got)
				}
				if again := resume(t, b, "", s.token()); again.session() != s.session() {
					t.Error("another session")
				}
			})
		})
	}
	if _, err := push.New(nil, nil); err == nil || !strings.Contains(err.Error(), "AuthorizeFunc") {
		t.Errorf("no AuthorizeFunc: %v", err)
	}
}

const maxDuration = 10 * 365 * 24 * time.Hour

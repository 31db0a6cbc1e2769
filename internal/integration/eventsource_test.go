package integration

import (
	"context"
	"fmt"
	"html/template"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/buffkit/buffkit/eventlog"
	"github.com/buffkit/buffkit/push"
)

// readyState of an EventSource.
const (
	connecting = 0
	open       = 1
	closed     = 2
)

// followedBy loads the test page through a cutter and waits until its EventSource is open.
func followedBy(t *testing.T, s *site) (*page, *cutter) {
	t.Helper()
	c := cutterTo(t, s.addr)
	p := openPage(t, following(s, c.addr, "/events"))
	p.awaitNth(t, "buffkit.open", 1)
	return p, c
}

func TestEventSourceGetsEventsAsTheyHappen(t *testing.T) {
	t.Parallel()
	s := startSite(t)
	p, _ := followedBy(t, s)
	for i, data := range []string{"plain", "", "two\nlines", "\n", " a space", "data: looks like a field", "ünïcödé ☃ 𝄞", "cr\rlf\r\n", strings.Repeat("long ", 50_000)} {
		id := s.send(push.Event{Data: []byte(data)})
		got := p.awaitNth(t, "message", i+1)
		want := strings.ReplaceAll(strings.ReplaceAll(data, "\r\n", "\n"), "\r", "\n")
		if got.Data != want || got.ID != id || got.State != open {
			t.Errorf("event %d: got %.40q with id %q, want %.40q with %q", i, got.Data, got.ID, want, id)
		}
	}
}

func TestEventSourceResumesAfterCuts(t *testing.T) {
	t.Parallel()
	s := startSite(t)
	p, c := followedBy(t, s)
	s.publish(3)
	p.awaitLast(t, 1, 3)

	c.cut()
	s.publish(3)
	p.awaitLast(t, 1, 6)

	c.stall() // a tunnel: the connection is dead and nobody knows
	s.publish(3)
	c.cut()
	s.publish(1)
	c.resume()
	p.awaitLast(t, 1, 10)

	c.tearAfter(20) // within an event
	s.publish(2)
	p.awaitLast(t, 1, 12)

	s.publish(1)
	p.awaitLast(t, 1, 13)
	opens := opens(t, p.all())
	if len(opens) != 4 || opens[0] != "fresh" || slices.ContainsFunc(opens[1:], func(o string) bool { return !strings.HasPrefix(o, "resumed") }) {
		t.Errorf("told %q", opens)
	}
}

func TestEventSourceLosesNothingUnderLoad(t *testing.T) {
	t.Parallel()
	const last = 600
	s := startSite(t)
	p, c := followedBy(t, s)
	for n := 1; n <= last; n++ {
		s.publish(1)
		if n%50 == 0 {
			p.awaitNth(t, "buffkit.open", n/50)
			c.cut()
		}
	}
	p.awaitLast(t, 1, last)
	s.publish(1)
	p.awaitLast(t, 1, last+1)
}

func TestEventSourceResumesAfterTheServerRestarts(t *testing.T) {
	t.Parallel()
	s := startSite(t)
	p := openPage(t, following(s, s.addr, "/events"))
	p.awaitNth(t, "buffkit.open", 1)
	s.publish(2)
	p.awaitLast(t, 1, 2)

	s.crash()
	s.publish(2)
	p.awaitNth(t, "error", 2) // it knocks at a closed port, too
	s.start(nil)
	s.publish(2)
	p.awaitLast(t, 1, 6)

	s.stop()
	if bye := parse[goodbye](t, p.awaitNth(t, "buffkit.bye", 1).Data); bye.Code != "draining" {
		t.Errorf("told %+v", bye)
	}
	s.publish(2)
	s.start(nil)
	s.publish(1)
	p.awaitLast(t, 1, 9)
}

func TestEventSourceIsToldAGapAndGetsASnapshot(t *testing.T) {
	t.Parallel()
	newLog := func(t *testing.T, count int) eventlog.Log {
		log := eventlog.NewMemory(&eventlog.MemoryOptions{Retention: eventlog.Retention{Count: count}})
		t.Cleanup(func() { log.Close() })
		return log
	}
	tests := []struct {
		name  string
		first func(t *testing.T, s *site) // brings up what the page meets first
		then  func(t *testing.T, s *site) // what happens while it is away
		want  string
	}{
		{
			"a new log",
			func(t *testing.T, s *site) { s.start(nil) },
			func(t *testing.T, s *site) { s.start(newLog(t, 0)) },
			"gap other_log",
		},
		{
			"a history that was too short",
			func(t *testing.T, s *site) { s.start(newLog(t, 3)) },
			func(t *testing.T, s *site) { s.publish(9); s.start(s.log) },
			"gap trimmed",
		},
		{
			"ids of another kind of server",
			func(t *testing.T, s *site) {
				s.Wrap = foreign("42", "message", "buffkit.open")
				s.start(nil)
			},
			func(t *testing.T, s *site) { s.Wrap = nil; s.start(nil) },
			"gap unreadable",
		},
		{
			"ids that aren't ASCII",
			func(t *testing.T, s *site) {
				s.Wrap = foreign("ünïcödé ☃", "message", "buffkit.open")
				s.start(nil)
			},
			func(t *testing.T, s *site) { s.Wrap = nil; s.start(nil) },
			"gap unreadable",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			s.Options.Snapshot = func(ctx context.Context, lost push.Lost) ([]push.Event, error) {
				state, err := s.snapshot(ctx, lost)
				s.count.Store(0)
				s.publish(1) // the state is rendered and not yet sent: this must not fall between
				return state, err
			}
			tt.first(t, s)
			p, c := followedBy(t, s)
			s.send(push.Event{Data: []byte("before")})
			p.awaitNth(t, "message", 1)
			before := len(p.all())

			s.crash()
			tt.then(t, s)
			last := p.awaitNth(t, "snapshot", 1)
			if last.Data != topic {
				t.Errorf("a snapshot of %q", last.Data)
			}
			s.publish(1)
			p.await(t, "what comes after the gap", func(notes []note) bool {
				return slices.Equal(of("message", notes[before:]), numbers(1, 2))
			})
			c.cut()
			s.publish(1)
			p.await(t, "what comes after the cut", func(notes []note) bool {
				return slices.Equal(of("message", notes[before:]), numbers(1, 3))
			})
			opens := opens(t, p.all()[before:])
			if want := []string{tt.want, "resumed 1"}; !slices.Equal(opens, want) {
				t.Errorf("told %q, want %q", opens, want)
			}
			if snapshots := of("snapshot", p.all()); len(snapshots) != 1 {
				t.Errorf("%d snapshots, want 1", len(snapshots))
			}
		})
	}
}

// foreign is the test page with somebody else's SSE server behind it, whose events have an id that means nothing to us.
func foreign(id string, types ...string) func(*push.Broker) http.Handler {
	return func(*push.Broker) http.Handler {
		mux := http.NewServeMux()
		mux.Handle("/", http.FileServer(http.Dir("testdata")))
		mux.HandleFunc("/events", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			for _, t := range types {
				fmt.Fprintf(w, "retry: 20\nid: %s\nevent: %s\ndata: {}\n\n", id, t)
			}
			http.NewResponseController(w).Flush()
			<-r.Context().Done()
		})
		return mux
	}
}

func TestHeartbeatsMoveAQuietEventSourceOn(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.Options.Heartbeat = 2 * retry
	s.start(nil)
	p, c := followedBy(t, s)
	began := p.awaitNth(t, "buffkit.open", 1).ID

	elsewhere := s.send(push.Event{Topic: "elsewhere", Data: []byte("not for this page")})
	ping := p.await(t, "a ping with the id of an event on another topic", func(notes []note) bool {
		last := notes[len(notes)-1]
		return last.Type == "buffkit.ping" && last.ID == elsewhere
	})
	if began == elsewhere || len(of("message", ping)) != 0 {
		t.Fatalf("the page began at %q and got %v", began, ping)
	}
	c.cut()
	p.awaitNth(t, "buffkit.open", 2)
	if ids := s.lastEventIDs(); ids[1] != elsewhere {
		t.Errorf("asked after %q, want that of the ping, %q", ids[1], elsewhere)
	}
	if opens := opens(t, p.all()); opens[1] != "resumed 0" {
		t.Errorf("told %q", opens)
	}
	s.publish(1)
	p.awaitLast(t, 1, 1)
}

func TestARefusedEventSourceStaysAliveAndGetsIn(t *testing.T) {
	t.Parallel()
	var signedIn atomic.Bool
	allow := push.Public(topic)
	s := newSite(t)
	s.Grant = func(r *http.Request) (push.Grant, error) {
		if !signedIn.Load() {
			return push.Grant{}, push.ErrUnauthorized
		}
		return allow(r)
	}
	s.start(nil)
	p := openPage(t, following(s, s.addr, "/events"))
	for n := 1; n <= 3; n++ {
		if bye := parse[goodbye](t, p.awaitNth(t, "buffkit.bye", n).Data); bye.Code != "unauthorized" {
			t.Fatalf("told %+v", bye)
		}
		if e := p.awaitNth(t, "error", n); e.State != connecting {
			t.Fatalf("readyState %d after refusal %d, want %d: it will never come back", e.State, n, connecting)
		}
	}
	signedIn.Store(true)
	p.awaitNth(t, "buffkit.open", 1)
	s.publish(2)
	p.awaitLast(t, 1, 2)
}

func TestAnEventSourceIsStoppedForEverWith204(t *testing.T) {
	t.Parallel()
	allow := push.Public(topic)
	s := newSite(t)
	s.Grant = func(r *http.Request) (push.Grant, error) {
		if r.URL.Query().Has("over") {
			return push.Grant{}, push.ErrStop
		}
		return allow(r)
	}
	s.start(nil)
	p := openPage(t, following(s, s.addr, "/events?over"))
	if e := p.awaitNth(t, "error", 1); e.State != closed {
		t.Fatalf("readyState %d, want %d", e.State, closed)
	}
	// Meanwhile another one, of the same page, comes back twice: time enough for this one to, if it did.
	p.run(t, `follow("/events")`)
	for n := 1; n <= 2; n++ {
		p.awaitNth(t, "buffkit.open", n)
		s.crash()
		s.start(nil)
	}
	p.awaitNth(t, "buffkit.open", 3)
	over := 0
	for _, r := range s.requests.all() {
		if r.URL.Query().Has("over") {
			over++
		}
	}
	if over != 1 {
		t.Errorf("it asked %d times", over)
	}
}

func TestACookieKeepsTheSessionOverAReload(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.Options.SessionCookie = "live"
	s.start(nil)
	c := cutterTo(t, s.addr)
	blank := openPage(t, "about:blank") // the person
	first := blank.another(t, following(s, c.addr, "/events"))
	session := parse[opened](t, first.awaitNth(t, "buffkit.open", 1).Data).Session
	s.publish(3)
	first.awaitLast(t, 1, 3)
	c.cut() // by coming back with the id of 3 the page proves that it has it
	first.awaitNth(t, "buffkit.open", 2)
	first.close()
	s.awaitStreams(0)

	s.publish(3)
	p := blank.another(t, following(s, c.addr, "/events"))
	s.publish(2)
	p.awaitLast(t, 4, 8)
	before := len(p.all())
	p.reload(t)
	again := p.await(t, "the same once more", func(notes []note) bool {
		return slices.Contains(of("message", notes[before:]), "8")
	})[before:]
	if got := of("message", again); !slices.Equal(got, numbers(4, 8)) {
		t.Errorf("after the reload: %q", got)
	}
	for _, data := range of("buffkit.open", p.all()) {
		if o := parse[opened](t, data); o.State != "resumed" || o.Session != session {
			t.Errorf("told %+v, want session %s resumed", o, session)
		}
	}

	if _, err := s.broker.SendSession(t.Context(), session, push.Event{Data: []byte("9")}); err != nil {
		t.Fatal(err)
	}
	p.await(t, "what was sent to the session", func(notes []note) bool { return slices.Contains(of("message", notes[before:]), "9") })
}

func TestAReplayedCookieIsRefusedAndClearedAndThePageLives(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.Options.SessionCookie = "live"
	s.start(nil)
	p := openPage(t, s.url("/"))
	p.run(t, `document.cookie = "live=forged; path=/"`)
	p.run(t, `follow("/events")`)
	if bye := parse[goodbye](t, p.awaitNth(t, "buffkit.bye", 1).Data); bye.Code != "token_invalid" {
		t.Errorf("told %+v", bye)
	}
	p.awaitNth(t, "buffkit.open", 1)
	s.publish(2)
	p.awaitLast(t, 1, 2)
}

// A page that prints its cursor gets what was published while it was rendered, and while it was on its way.
func TestNoHoleBetweenRenderAndSubscribe(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	view := template.Must(template.New("page").Parse(
		`<!doctype html><script src="/follow.js"></script><p>{{.Shown}}</p><script>follow("/events?cursor={{.Cursor}}")</script>`))
	s.Wrap = func(b *push.Broker) http.Handler {
		mux := http.NewServeMux()
		mux.Handle("/events", b)
		mux.Handle("/follow.js", http.FileServer(http.Dir("testdata")))
		mux.Handle("/page", b.WithCursor(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			shown := s.count.Load() // the page's "database"
			s.publish(2)            // while it is rendered
			view.Execute(w, struct {
				Shown  int64
				Cursor string
			}{shown, push.CursorFrom(r.Context()).String()})
			s.publish(2) // while it is on its way
		})))
		return mux
	}
	s.start(nil)
	s.publish(5)
	c := cutterTo(t, s.addr)
	p := openPage(t, s.urlAt(c.addr, "/page"))
	p.until(t, `document.querySelector("p").textContent === "5"`)
	s.publish(1)
	p.awaitLast(t, 6, 10)

	// When it reconnects, the id of the last event counts, not the cursor that still stands in its URL.
	c.cut()
	s.publish(2)
	p.awaitLast(t, 6, 12)
	s.publish(1)
	p.awaitLast(t, 6, 13)
	if opens := opens(t, p.all()); len(opens) != 2 || !strings.HasPrefix(opens[0], "resumed") {
		t.Errorf("told %q", opens)
	}
}

// The browser keeps the page of another address for the back button, its EventSource included.
func TestAPageOfTheBackButtonHasLostNothing(t *testing.T) {
	t.Parallel()
	s := startSite(t)
	p, c := followedBy(t, s)
	s.publish(2)
	p.awaitLast(t, 1, 2)
	p.load(t, s.url("/"))
	s.publish(2)
	c.cut()
	s.publish(2)
	p.run(t, "history.back()")
	p.awaitLast(t, 1, 6)
	s.publish(1)
	p.awaitLast(t, 1, 7)
}

// Over HTTP/1.1 a browser opens six connections to a host; the seventh EventSource would wait for ever.
func TestManyEventSourcesShareAnHTTP2Connection(t *testing.T) {
	t.Parallel()
	const streams = 12
	s := newSite(t)
	s.TLS = true
	s.start(nil)
	c := cutterTo(t, s.addr)
	var paths []string
	for n := range streams {
		paths = append(paths, "/events?n="+strconv.Itoa(n))
	}
	p := openPage(t, following(s, c.addr, paths...))
	p.awaitNth(t, "buffkit.open", streams)
	everyone := func(n int) {
		t.Helper()
		s.publish(1)
		notes := p.await(t, fmt.Sprintf("event %d for all", n), func(notes []note) bool { return len(of("message", notes)) >= n*streams })
		want := slices.Repeat([]string{strconv.Itoa(n)}, streams)
		if got := of("message", notes)[(n-1)*streams:]; !slices.Equal(got, want) {
			t.Fatalf("got %q, want %q", got, want)
		}
	}
	everyone(1)
	c.cut()
	everyone(2)
	p.awaitNth(t, "buffkit.open", 2*streams)
	everyone(3)
	for _, r := range s.requests.all() {
		if r.ProtoMajor != 2 {
			t.Errorf("by %s", r.Proto)
		}
	}
}

// An EventSource keeps to a server whose timeouts are shorter than its stream.
func TestEventSourceOutlivesTheServersTimeouts(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.Timeout = time.Second
	s.Options.WriteTimeout = s.Timeout
	s.Options.Heartbeat = 2 * s.Timeout
	s.start(nil)
	p, _ := followedBy(t, s)
	p.awaitNth(t, "buffkit.ping", 2)
	s.publish(1)
	p.awaitLast(t, 1, 1)
	if opens := opens(t, p.all()); len(opens) != 1 {
		t.Errorf("it reconnected: %q", opens)
	}
}

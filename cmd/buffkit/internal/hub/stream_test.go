package hub_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/buffkit/buffkit/cmd/buffkit/internal/access"
	"github.com/buffkit/buffkit/cmd/buffkit/internal/hub"
	"github.com/buffkit/buffkit/eventlog"
	"github.com/buffkit/buffkit/push"
)

func TestAStreamResumesWithWhatItMissed(t *testing.T) {
	t.Parallel()
	b := start(t, false, nil, nil)
	s := b.stream("topic=news")
	s.open("fresh")
	b.publish("news", "seen")
	seen := s.event()
	s.close()
	b.publish("news", "missed")
	b.publish("other", "not followed")

	for name, again := range map[string]*stream{
		"Last-Event-ID": b.stream("topic=news", "Last-Event-ID", seen.ID),
		"?cursor=":      b.stream("topic=news&cursor=" + seen.ID),
	} {
		again.open(`"state":"resumed","replay":1`)
		if e := again.event(); string(e.Data) != "missed" {
			t.Errorf("%s: got %q", name, e.Data)
		}
	}
}

func TestACursorThatCannotBeHonouredIsAToldGap(t *testing.T) {
	t.Parallel()
	b := start(t, false, nil, &eventlog.MemoryOptions{Retention: eventlog.Retention{Count: 1}})
	first := b.publish("news", "1")
	b.publish("news", "2")
	b.publish("news", "3")
	epoch, _, _ := strings.Cut(first, ".")
	for cursor, reason := range map[string]string{
		"garbage":                  "unreadable",
		"1.2.3.4 <script>":         "unreadable",
		strings.Repeat("1", 2_000): "unreadable",
		first:                      "trimmed",
		"zzzz.1":                   "other_log",
		epoch + ".zzzzzzzzzzz":     "rolled_back",
	} {
		s := b.stream("topic=news", "Last-Event-ID", cursor)
		s.open(`"state":"gap"`)
		s.close()
		s = b.stream("topic=news&cursor=" + url.QueryEscape(cursor))
		s.open(`"gaps":[{"topic":"news","reason":"` + reason + `"}`)
		s.close()
	}
}

// what a stream is refused, by a client that sees the status and by EventSource, which must not see any but 200.
func TestARefusedStream(t *testing.T) {
	t.Parallel()
	opts := func() *hub.Options { return &hub.Options{Push: push.Options{Limits: push.Limits{MaxTopics: 2}}} }
	open, closed := start(t, false, opts(), nil), start(t, true, opts(), nil)
	news := "&access_token=" + closed.token("news", "*")
	tests := []struct {
		name   string
		b      *bundle
		query  string
		status int
		code   string
		says   string
	}{
		{"no topic", open, "", 400, "no_topic", ""},
		{"reserved topic", open, "topic=~all", 400, "bad_request", "reserved"},
		{"endless topic", open, "topic=" + strings.Repeat("a", 300), 400, "bad_request", "255"},
		{"topic that isn't UTF-8", open, "topic=%ff", 400, "bad_request", "UTF-8"},
		{"a place as history takes it", open, "topic=news&after=1.0", 400, "bad_request", "?cursor="},
		{"a time as history takes it", open, "topic=news&since=2026-11-21T22:52:50Z", 400, "bad_request", "?cursor="},
		{"too many topics", open, "topic=a&topic=b&topic=c", 400, "too_many_topics", ""},
		{"no token", closed, "topic=news", 401, "unauthorized", ""},
		{"garbage for a token", closed, "topic=news&access_token=garbage", 401, "access_invalid", ""},
		{"topic that isn't granted", closed, "topic=news&topic=orders" + news, 403, "forbidden", ""},
		{"reserved topic with a token", closed, "topic=~user/ann" + news, 400, "bad_request", "reserved"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.b.do("GET", "/events?"+tt.query, "").want(t, tt.status, tt.code, tt.says)
			tt.b.do("GET", "/events?"+tt.query, "", "Accept", "text/event-stream", "Buffkit-Client", "x/1").want(t, tt.status, tt.code, tt.says)
			s := tt.b.stream(tt.query)
			if s.status != http.StatusOK {
				t.Errorf("an EventSource sees %d", s.status)
			}
			s.bye(tt.code)
		})
	}
}

func TestAStreamEndsWithItsAccessToken(t *testing.T) {
	t.Parallel()
	b := start(t, true, nil, nil)
	all, err := access.ParsePattern("*")
	if err != nil {
		t.Fatal(err)
	}
	token, err := b.keys.Sign(access.Grant{Subscribe: []access.Pattern{all}, Expires: time.Now().Add(2 * time.Second)})
	if err != nil {
		t.Fatal(err)
	}
	s := b.stream("topic=news", "Authorization", "Bearer "+token)
	s.open("fresh")
	s.bye("expired")
	b.do("GET", "/events?topic=news", "", "Authorization", "Bearer "+token).want(t, 401, "access_expired", "expired")
}

func TestASessionResumesForItsUserOnly(t *testing.T) {
	t.Parallel()
	b := start(t, true, nil, nil)
	ann := "Bearer " + b.token("news", "")
	s := b.stream("topic=news", "Authorization", ann, "Buffkit-Client", "x/1")
	s.open("fresh")
	session := s.header.Get("Buffkit-Session")
	s.close()
	if session == "" {
		t.Fatal("no session token")
	}
	bob := signFor(t, b, "bob")
	b.do("GET", "/events?topic=news", "", "Authorization", "Bearer "+bob, "Buffkit-Client", "x/1", "Buffkit-Session", session).
		want(t, 401, "token_foreign", "")
	// It is no access token either.
	b.do("GET", "/events?topic=news", "", "Authorization", "Bearer "+session).want(t, 401, "access_invalid", "")
	s = b.stream("topic=news", "Authorization", ann, "Buffkit-Client", "x/1", "Buffkit-Session", session)
	s.open("resumed")
}

func signFor(t *testing.T, b *bundle, user string) string {
	t.Helper()
	all, err := access.ParsePattern("*")
	if err != nil {
		t.Fatal(err)
	}
	token, err := b.keys.Sign(access.Grant{User: user, Subscribe: []access.Pattern{all}, Expires: time.Now().Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func TestAClientThatNeverReadsHarmsNobody(t *testing.T) {
	t.Parallel()
	const events, size = 48, 128 << 10 // 6 MiB: more than the 4 that the system swallows for one client
	cut := make(chan error, 2)
	b := start(t, false, &hub.Options{Push: push.Options{
		WriteTimeout: time.Second,
		Hooks:        push.Hooks{Disconnected: func(_ push.Connection, cause error) { cut <- cause }},
	}}, &eventlog.MemoryOptions{Retention: eventlog.Retention{Bytes: -1}})

	stuck := dial(t, b)
	if err := stuck.(*net.TCPConn).SetReadBuffer(4 << 10); err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(stuck, "GET /events?topic=news HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n")
	if _, err := stuck.Read(make([]byte, 16)); err != nil { // its stream has begun
		t.Fatal(err)
	}
	healthy := b.stream("topic=news")
	healthy.open("fresh")
	data := strings.Repeat("x", size)
	var publisher sync.WaitGroup
	defer publisher.Wait()
	publisher.Go(func() {
		for i := range events {
			if a := b.do("POST", "/events?topic=news", fmt.Sprint(i, data)); a.status != http.StatusOK {
				t.Errorf("publish: %d %s", a.status, a.body)
			}
		}
	})
	for i := range events {
		if e := healthy.event(); !strings.HasPrefix(string(e.Data), fmt.Sprint(i, "x")) {
			t.Fatalf("event %d is %.20q", i, e.Data)
		}
	}
	select { // the other one is still there
	case cause := <-cut:
		if !errors.Is(cause, push.ErrSlow) {
			t.Errorf("it was cut by %v, want ErrSlow", cause)
		}
	case <-time.After(patience):
		t.Fatal("the stuck client was never cut")
	}
}

// dial opens a connection to the hub, for what net/http's client wouldn't send.
func dial(t *testing.T, b *bundle) net.Conn {
	t.Helper()
	u, err := url.Parse(b.url)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", u.Host)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return conn
}

func TestDrainSaysGoodbye(t *testing.T) {
	t.Parallel()
	b := start(t, false, &hub.Options{Push: push.Options{DrainWindow: 20 * time.Millisecond}}, nil)
	s := b.stream("topic=news")
	s.open("fresh")
	if err := b.hub.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.bye("draining")
	b.do("GET", "/readyz", "").want(t, 503, "draining", "")
	b.do("GET", "/events?topic=news", "").want(t, 503, "draining", "")
	b.publish("news", "for those who come back to the next server")

	if err := b.hub.Close(); err != nil {
		t.Fatal(err)
	}
	b.do("POST", "/events?topic=news", "late").want(t, 503, "closed", "")
	b.do("POST", "/events?topic=news", `{"data":"late"}`, "Content-Type", ndjson).want(t, 503, "closed", "")
	b.do("GET", "/events?topic=news", "").want(t, 503, "closed", "")
	if a := b.do("GET", "/livez", ""); a.status != 200 {
		t.Errorf("livez: %d", a.status)
	}
	if err := b.log.Close(); err != nil {
		t.Fatal(err)
	}
	b.do("GET", "/history?topic=news", "").want(t, 503, "closed", "")
}

func TestHealth(t *testing.T) {
	t.Parallel()
	b := start(t, false, &hub.Options{CheckInterval: time.Nanosecond}, nil)
	for _, path := range []string{"/livez", "/readyz"} {
		if a := b.do("GET", path, ""); a.status != 200 || a.body != "{\"status\":\"ok\"}\n" {
			t.Errorf("%s: %d %q", path, a.status, a.body)
		}
	}
	if err := b.log.Close(); err != nil {
		t.Fatal(err)
	}
	b.do("GET", "/readyz", "").want(t, 503, "closed", "")
}

// deaf is a log that takes events and wakes nobody.
type deaf struct{ eventlog.Log }

func (deaf) Watch(ctx context.Context, _ func(string)) error {
	<-ctx.Done()
	return ctx.Err()
}

func TestALogThatHasGoneDeafIsNotReady(t *testing.T) {
	t.Parallel()
	b := startOn(t, deaf{eventlog.NewMemory(nil)}, &hub.Options{CheckTimeout: 50 * time.Millisecond})
	b.do("GET", "/readyz", "").want(t, 503, "not_ready", "log")
}

// slow is a log that counts what is appended, and can be made to wait with it.
type slow struct {
	eventlog.Log
	appended atomic.Int64
	goOn     chan struct{}
}

func (l *slow) Append(ctx context.Context, events ...eventlog.Event) ([]eventlog.Cursor, error) {
	l.appended.Add(1)
	select {
	case <-l.goOn:
		return l.Log.Append(ctx, events...)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func TestWhoAsksForHealthSharesACanary(t *testing.T) {
	t.Parallel()
	log := &slow{Log: eventlog.NewMemory(nil), goOn: make(chan struct{})}
	b := startOn(t, log, &hub.Options{CheckTimeout: patience, CheckInterval: patience})

	// The first who asks goes before there is an answer; the others get it all the same.
	ctx, leave := context.WithCancel(t.Context())
	left := make(chan struct{})
	req := httptest.NewRequestWithContext(ctx, "GET", "http://localhost/readyz", nil)
	go func() { defer close(left); b.hub.ServeHTTP(httptest.NewRecorder(), req) }()
	for log.appended.Load() == 0 {
		runtime.Gosched()
	}
	leave()
	var asking sync.WaitGroup
	for range 20 {
		asking.Go(func() {
			if a := b.do("GET", "/readyz", ""); a.status != 200 {
				t.Errorf("%d %s", a.status, a.body)
			}
		})
	}
	close(log.goOn)
	asking.Wait()
	<-left
	if n := log.appended.Load(); n != 1 {
		t.Errorf("%d canaries, want one for all", n)
	}
}

func TestAnAnswerOfHealthGrowsOld(t *testing.T) {
	t.Parallel()
	log := &slow{Log: eventlog.NewMemory(nil), goOn: make(chan struct{})}
	close(log.goOn)
	b := startOn(t, log, &hub.Options{CheckInterval: time.Nanosecond})
	for range 3 {
		b.do("GET", "/readyz", "")
	}
	if n := log.appended.Load(); n != 3 {
		t.Errorf("%d canaries, want 3", n)
	}
}

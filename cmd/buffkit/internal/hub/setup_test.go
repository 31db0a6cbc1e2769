package hub_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"iter"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/buffkit/buffkit/cmd/buffkit/internal/access"
	"github.com/buffkit/buffkit/cmd/buffkit/internal/hub"
	"github.com/buffkit/buffkit/eventlog"
	"github.com/buffkit/buffkit/sse"
)

// patience is how long a test waits for what must come. Nothing is judged by how quickly it does.
const patience = time.Minute

// bundle is a hub behind a real HTTP server on a loopback port.
type bundle struct {
	t    *testing.T
	hub  *hub.Hub
	log  eventlog.Log
	keys *access.Keys
	url  string
	http *http.Client
	stop func() // ends all of it, which the end of the test does too
}

// start starts a hub that is insecure, unless secure.
func start(t *testing.T, secure bool, opts *hub.Options, logOpts *eventlog.MemoryOptions) *bundle {
	t.Helper()
	if opts == nil {
		opts = &hub.Options{}
	}
	opts.Logger = slog.New(slog.DiscardHandler)
	b := &bundle{t: t, log: eventlog.NewMemory(logOpts)}
	var err error
	if secure {
		b.keys, err = access.ParseKeys(access.NewSecret())
		if err != nil {
			t.Fatal(err)
		}
		b.hub, err = hub.New(b.log, b.keys, opts)
	} else {
		b.hub, err = hub.NewInsecure(b.log, opts)
	}
	if err != nil {
		t.Fatal(err)
	}
	b.serve()
	return b
}

// startOn starts an insecure hub on a log of the test's own.
func startOn(t *testing.T, log eventlog.Log, opts *hub.Options) *bundle {
	t.Helper()
	opts.Logger = slog.New(slog.DiscardHandler)
	h, err := hub.NewInsecure(log, opts)
	if err != nil {
		t.Fatal(err)
	}
	b := &bundle{t: t, hub: h, log: log}
	b.serve()
	return b
}

func (b *bundle) serve() {
	server := httptest.NewServer(b.hub)
	b.url = server.URL
	b.http = &http.Client{Transport: &http.Transport{}}
	b.stop = func() {
		b.http.CloseIdleConnections()
		_ = b.hub.Close()
		server.Close()
		_ = b.log.Close()
	}
	b.t.Cleanup(b.stop)
}

// token signs an access token. Patterns are separated by commas.
func (b *bundle) token(subscribe, publish string) string {
	b.t.Helper()
	g := access.Grant{User: "ann", Expires: time.Now().Add(time.Hour)}
	for list, patterns := range map[string]*[]access.Pattern{subscribe: &g.Subscribe, publish: &g.Publish} {
		for text := range strings.SplitSeq(list, ",") {
			if text == "" {
				continue
			}
			p, err := access.ParsePattern(text)
			if err != nil {
				b.t.Fatal(err)
			}
			*patterns = append(*patterns, p)
		}
	}
	token, err := b.keys.Sign(g)
	if err != nil {
		b.t.Fatal(err)
	}
	return token
}

// answer is what a request gets.
type answer struct {
	status int
	header http.Header
	body   string
}

// problem returns the code and message of an error, which must be JSON.
func (a answer) problem(t *testing.T) (code, message string) {
	t.Helper()
	var p struct{ Code, Message string }
	if err := json.Unmarshal([]byte(a.body), &p); err != nil || p.Code == "" || p.Message == "" {
		t.Fatalf("%d with the body %q: want JSON with code and message", a.status, a.body)
	}
	if got := a.header.Get("Content-Type"); got != "application/json" {
		t.Errorf("Content-Type %q", got)
	}
	return p.Code, p.Message
}

// want fails unless the answer is an error with this status and code, whose message has the text.
func (a answer) want(t *testing.T, status int, code, text string) {
	t.Helper()
	gotCode, message := a.problem(t)
	if a.status != status || gotCode != code || !strings.Contains(message, text) {
		t.Errorf("got %d %s %q, want %d %s with %q", a.status, gotCode, message, status, code, text)
	}
}

// do makes a request. Headers come in pairs.
func (b *bundle) do(method, path, body string, headers ...string) answer {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, b.url+path, strings.NewReader(body))
	if err != nil {
		b.t.Error(err)
		return answer{}
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Add(headers[i], headers[i+1])
		if headers[i] == "Host" {
			req.Host = headers[i+1]
		}
	}
	resp, err := b.http.Do(req)
	if err != nil {
		b.t.Error(err) // not Fatal: a goroutine of the test may ask
		return answer{}
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Error(err)
	}
	return answer{resp.StatusCode, resp.Header, string(text)}
}

// publish publishes and returns the id.
func (b *bundle) publish(topic, data string, headers ...string) string {
	b.t.Helper()
	a := b.do("POST", "/events?topic="+url.QueryEscape(topic), data, headers...)
	var said struct{ ID string }
	if err := json.Unmarshal([]byte(a.body), &said); a.status != http.StatusOK || err != nil || said.ID == "" {
		b.t.Fatalf("publish: %d %s", a.status, a.body)
	}
	return said.ID
}

type page struct {
	Events []struct {
		ID, Topic, Event, Data, Key string
		Time                        time.Time
	}
	Next string
	Gaps []struct{ Topic, Reason string }
}

// history asks for a page.
func (b *bundle) history(query string, headers ...string) page {
	b.t.Helper()
	a := b.do("GET", "/history?"+query, "", headers...)
	var p page
	if err := json.Unmarshal([]byte(a.body), &p); a.status != http.StatusOK || err != nil {
		b.t.Fatalf("history: %d %s %v", a.status, a.body, err)
	}
	return p
}

func (p page) data() (data []string) {
	for _, event := range p.Events {
		data = append(data, event.Data)
	}
	return data
}

// stream is an open stream, as EventSource reads it.
type stream struct {
	t      *testing.T
	status int
	header http.Header
	next   func() (sse.Event, error, bool)
	close  func()
}

func (b *bundle) stream(query string, headers ...string) *stream {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), patience)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, b.url+"/events?"+query, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	req.Header.Set("Accept", "text/event-stream")
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := b.http.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	next, stop := iter.Pull2(sse.Scan(resp.Body, nil))
	s := &stream{t: b.t, status: resp.StatusCode, header: resp.Header, next: next}
	s.close = func() { stop(); resp.Body.Close(); cancel() }
	b.t.Cleanup(s.close)
	return s
}

// event returns the next event.
func (s *stream) event() sse.Event {
	s.t.Helper()
	e, err, ok := s.next()
	if err != nil || !ok {
		s.t.Fatalf("the stream ended: %v", err)
	}
	return e
}

// open reads the first event and fails unless its data has the text.
func (s *stream) open(text string) sse.Event {
	s.t.Helper()
	e := s.event()
	if e.Name != "buffkit.open" || !bytes.Contains(e.Data, []byte(text)) {
		s.t.Fatalf("the stream begins with %q %s, want buffkit.open with %q", e.Name, e.Data, text)
	}
	return e
}

// bye fails unless the next event is the last one and says the code.
func (s *stream) bye(code string) {
	s.t.Helper()
	e := s.event()
	if e.Name != "buffkit.bye" || !bytes.Contains(e.Data, []byte(`"code":"`+code+`"`)) {
		s.t.Fatalf("got %q %s, want buffkit.bye with the code %s", e.Name, e.Data, code)
	}
	if e, err, ok := s.next(); ok {
		s.t.Errorf("after the goodbye came %+v, %v", e, err)
	}
}

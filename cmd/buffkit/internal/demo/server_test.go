package demo_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/buffkit/buffkit/cmd/buffkit/internal/demo"
	"github.com/buffkit/buffkit/sse"
)

// The tests' demo publishes a pulse every few milliseconds and keeps so many of them that a test outruns it only on purpose.
const (
	testPulse     = 10 * time.Millisecond
	testSample    = 100 * time.Millisecond
	testDrain     = 10 * time.Millisecond
	testRetention = 2_000 // twenty seconds
)

func start() (*demo.Demo, error) {
	return demo.StartFast(demo.Options{Logger: quiet}, testPulse, testSample, testDrain, testRetention)
}

var quiet = slog.New(slog.DiscardHandler)

// server is a demo on a real port.
type server struct {
	t    *testing.T
	addr string
	stop context.CancelFunc // ends Serve
	done <-chan error       // what Serve returned
}

func serve(t *testing.T) *server {
	t.Helper()
	d, err := start()
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- d.Serve(ctx, ln)
		close(done)
	}()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
		if err := d.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return &server{t, ln.Addr().String(), stop, done}
}

// post sends a form as the page does.
func (s *server) post(path string, form url.Values, headers ...string) *http.Response {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), "POST", "http://"+s.addr+path, strings.NewReader(form.Encode()))
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("HX-Request", "true")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	for i := 0; i < len(headers); i += 2 {
		if headers[i+1] == "" {
			r.Header.Del(headers[i])
			continue
		}
		r.Header.Set(headers[i], headers[i+1])
	}
	answer, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { answer.Body.Close() })
	return answer
}

func (s *server) network(tab, state string) {
	s.t.Helper()
	if answer := s.post("/network", url.Values{"tab": {tab}, "state": {state}}); answer.StatusCode != http.StatusNoContent {
		s.t.Fatalf("network %s: %s", state, answer.Status)
	}
}

func (s *server) get(path string) (status int, header http.Header, body string) {
	s.t.Helper()
	answer, err := http.Get("http://" + s.addr + path)
	if err != nil {
		s.t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return answer.StatusCode, answer.Header, string(text)
}

type head struct {
	Run                  string
	Pulse, Machine, List uint64
	Cut                  bool
	Refused              int
}

func (s *server) head(tab string) (h head) {
	s.t.Helper()
	_, _, body := s.get("/head?tab=" + tab)
	if err := json.Unmarshal([]byte(body), &h); err != nil {
		s.t.Fatal(err)
	}
	return h
}

// waitForPulse waits until the server has published that pulse.
func (s *server) waitForPulse(n uint64) {
	s.t.Helper()
	if s.head("").Pulse >= n {
		return
	}
	st := s.mustOpen("", "")
	defer st.conn.Close()
	for e := st.mustRead(); e.topic != "pulse" || e.n < n; {
		e = st.mustRead()
	}
}

// stream is a tab's stream over a TCP connection of its own, read as it comes.
type stream struct {
	t    *testing.T
	conn net.Conn
	next func() (sse.Event, error, bool)
}

// open asks for the stream of a tab. The error is that of the network.
func (s *server) open(tab, lastID string) (*stream, error) {
	s.t.Helper()
	conn, err := net.Dial("tcp", s.addr)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(30 * time.Second)) // so that a test which waits in vain says where
	lastHeader := ""
	if lastID != "" {
		lastHeader = "Last-Event-ID: " + lastID + "\r\n"
	}
	fmt.Fprintf(conn, "GET /events?tab=%s HTTP/1.1\r\nHost: %s\r\nAccept: text/html, text/event-stream\r\n%s\r\n", tab, s.addr, lastHeader)
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return nil, err
	}
	if answer.StatusCode != http.StatusOK || answer.Header.Get("Content-Type") != "text/event-stream" {
		s.t.Fatalf("stream: %s, %v", answer.Status, answer.Header)
	}
	next, stop := iter.Pull2(sse.Scan(answer.Body, nil))
	s.t.Cleanup(stop)
	return &stream{s.t, conn, next}, nil
}

func (s *server) mustOpen(tab, lastID string) *stream {
	s.t.Helper()
	st, err := s.open(tab, lastID)
	if err != nil {
		s.t.Fatalf("open a stream: %v", err)
	}
	return st
}

// event is one of the demo's.
type event struct {
	name, id, data string
	topic          string // "" for a control event
	n              uint64
	snapshot       bool
}

var numberOf = regexp.MustCompile(`data-topic="(\w+)" data-n="(\d+)"( data-snapshot)?`)

func (st *stream) read() (event, error) {
	e, err, ok := st.next()
	if !ok {
		return event{}, io.EOF
	}
	if err != nil {
		return event{}, err
	}
	got := event{name: e.Name, data: string(e.Data)}
	if !e.Inherited {
		got.id = e.ID
	}
	switch {
	case strings.HasPrefix(e.Name, "buffkit."):
	case e.Name == "pulse":
		var pulse struct {
			N        uint64
			Snapshot bool
		}
		if err := json.Unmarshal(e.Data, &pulse); err != nil {
			st.t.Fatalf("pulse %q: %v", e.Data, err)
		}
		got.topic, got.n, got.snapshot = "pulse", pulse.N, pulse.Snapshot
	default:
		match := numberOf.FindStringSubmatch(got.data)
		if match == nil || e.Name != "" {
			st.t.Fatalf("an event without a number: %q %q", e.Name, e.Data)
		}
		got.topic, got.snapshot = match[1], match[3] != ""
		got.n, _ = strconv.ParseUint(match[2], 10, 64)
	}
	return got, nil
}

func (st *stream) mustRead() event {
	st.t.Helper()
	e, err := st.read()
	if err != nil {
		st.t.Fatalf("read the stream: %v", err)
	}
	return e
}

// opened is the data of buffkit.open.
type opened struct {
	State  string
	Replay int
	Gaps   []struct{ Topic, Reason string }
}

func (st *stream) mustOpened() (o opened) {
	st.t.Helper()
	e := st.mustRead()
	if e.name != "buffkit.open" {
		st.t.Fatalf("the first event is %+v", e)
	}
	if err := json.Unmarshal([]byte(e.data), &o); err != nil {
		st.t.Fatal(err)
	}
	return o
}

// book keeps what a tab got, as the page does.
type book struct {
	t      *testing.T
	last   map[string]uint64 // by topic
	lastID string
}

func newBook(t *testing.T) *book { return &book{t: t, last: make(map[string]uint64)} }

// enter wants each event to be the next of its topic: none lost, none doubled.
func (b *book) enter(e event) {
	b.t.Helper()
	if e.topic == "" || e.snapshot {
		b.t.Fatalf("not an event of the app: %+v", e)
	}
	if last, ok := b.last[e.topic]; ok && e.n != last+1 {
		b.t.Fatalf("%s %d came after %d", e.topic, e.n, last)
	}
	if e.id == "" {
		b.t.Fatalf("%s %d has no id", e.topic, e.n)
	}
	b.last[e.topic], b.lastID = e.n, e.id
}

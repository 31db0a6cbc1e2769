package push_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/buffkit/buffkit/eventlog"
	"github.com/buffkit/buffkit/push"
)

// newBroker returns a broker that ends with the test. It fails the test when it logs an error, unless the options have a
// logger of their own.
func newBroker(t testing.TB, authorize push.AuthorizeFunc, opts push.Options) *push.Broker {
	t.Helper()
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.NewTextHandler(failer{t}, &slog.HandlerOptions{Level: slog.LevelError}))
	}
	opts.Compress = opts.Compress || compresses(t)
	b, err := push.New(authorize, &opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

type failer struct{ t testing.TB }

func (f failer) Write(p []byte) (int, error) {
	f.t.Errorf("logged: %s", p)
	return len(p), nil
}

// record is a place for what is logged.
type record struct {
	mu   sync.Mutex // guards text
	text bytes.Buffer
}

func (r *record) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.Write(p)
}

func (r *record) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.String()
}

func (r *record) logger() *slog.Logger { return slog.New(slog.NewTextHandler(r, nil)) }

// newLog returns a Memory that ends with the test.
func newLog(t testing.TB, keep eventlog.Retention) *eventlog.Memory {
	m := eventlog.NewMemory(&eventlog.MemoryOptions{Retention: keep})
	t.Cleanup(func() { m.Close() })
	return m
}

var none eventlog.Retention // of its own: the defaults

// publish stores events, "topic:data" or "topic:key=data", each in a call of its own, and returns the cursor of the last.
func publish(t testing.TB, b *push.Broker, events ...string) (last eventlog.Cursor) {
	t.Helper()
	for _, text := range events {
		topic, data, _ := strings.Cut(text, ":")
		key, _, keyed := strings.Cut(data, "=")
		if !keyed {
			key = ""
		}
		var err error
		if last, err = b.Publish(t.Context(), push.Event{Topic: topic, Key: key, Data: []byte(data)}); err != nil {
			t.Fatal(err)
		}
	}
	return last
}

// newRequest asks for a stream as an EventSource does. Headers come in pairs.
func newRequest(ctx context.Context, target string, headers ...string) *http.Request {
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	r.Header.Set("Accept", "text/event-stream")
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	return r
}

// stream is a request that the handler serves on a goroutine of its own, in a synctest bubble.
type stream struct {
	t     testing.TB
	w     *sink
	leave context.CancelFunc
	done  chan struct{} // closed when the handler has returned
	seen  int           // frames that were taken
}

// connect asks for a stream, by the path that the test is for.
func connect(t testing.TB, h http.Handler, target string, headers ...string) *stream {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	s := &stream{t: t, w: newSink(), leave: cancel, done: make(chan struct{})}
	var w http.ResponseWriter = s.w
	if parks(t) {
		ctx = context.WithValue(ctx, http.LocalAddrContextKey, &net.TCPAddr{})
		w = hijackable{s.w}
		s.leave = func() { cancel(); s.w.change(func() { s.w.left = true }) }
	}
	r := newRequest(ctx, target, headers...)
	if s.w.gzip = compresses(t); s.w.gzip {
		r.Header.Set("Accept-Encoding", "br, gzip")
	}
	go func() {
		defer close(s.done)
		h.ServeHTTP(w, r)
		s.w.awaitClose()
	}()
	t.Cleanup(func() { s.leave(); s.w.resume(); <-s.done })
	synctest.Wait()
	return s
}

// frames returns the frames that came since the last call, but for the first bytes.
func (s *stream) frames() []frame {
	s.t.Helper()
	synctest.Wait()
	all, err := parseFrames(s.w.text())
	if err != nil {
		s.t.Fatal(err)
	}
	all = slices.DeleteFunc(all, func(f frame) bool { return f.comment == "ok" })
	news := all[s.seen:]
	s.seen = len(all)
	return news
}

// next is frames, as short texts.
func (s *stream) next() (texts []string) {
	s.t.Helper()
	for _, f := range s.frames() {
		texts = append(texts, f.String())
	}
	return texts
}

// want fails the test if other frames came since the last call.
func (s *stream) want(texts ...string) {
	s.t.Helper()
	if got := s.next(); !slices.Equal(got, texts) {
		s.t.Errorf("came %q, want %q", got, texts)
	}
}

// lastID is what an EventSource would send as Last-Event-ID now.
func (s *stream) lastID() (id string) {
	s.t.Helper()
	synctest.Wait()
	all, err := parseFrames(s.w.text())
	if err != nil {
		s.t.Fatal(err)
	}
	for _, f := range all {
		if f.id != "" {
			id = f.id
		}
	}
	return id
}

// session is the session that the stream was told.
func (s *stream) session() string {
	s.t.Helper()
	synctest.Wait()
	all, _ := parseFrames(s.w.text())
	for _, f := range all {
		if f.name == "buffkit.open" {
			return f.control().Session
		}
	}
	s.t.Fatal("no buffkit.open")
	return ""
}

// refusal is the answer to a request that got no stream: its status and its code. A bye is "200 code".
func (s *stream) refusal() string {
	s.t.Helper()
	synctest.Wait()
	if !s.ended() {
		s.t.Fatal("not refused")
	}
	s.w.mu.Lock()
	status, kind, body := s.w.status, s.w.sent.Get("Content-Type"), s.w.buf
	s.w.mu.Unlock()
	switch {
	case kind == "application/json":
		return fmt.Sprint(status, " ", frame{data: string(body)}.control().Code)
	case kind == "text/event-stream" && len(body) > 0:
		all, err := parseFrames(string(body))
		if err != nil || len(all) != 1 || all[0].name != "buffkit.bye" || all[0].retry == "" {
			s.t.Fatalf("not a refusal: %q, %v", body, err)
		}
		return fmt.Sprint(status, " ", all[0].control().Code)
	}
	return fmt.Sprint(status, " ", string(body))
}

func (s *stream) ended() bool {
	synctest.Wait()
	select {
	case <-s.done:
		return true
	default:
		return false
	}
}

// inBubble runs a test on a clock of its own, for streams that keep a goroutine and for those that are parked, with compression and without.
func inBubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	t.Parallel()
	for _, path := range []string{onGoroutine, onShard, onGoroutine + "/" + compressed, onShard + "/" + compressed} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, f)
		})
	}
}

// The paths of a stream.
const (
	onGoroutine = "goroutine"
	onShard     = "parked"
	compressed  = "gzip"
)

// compresses tells whether the streams of a test are compressed.
func compresses(t testing.TB) bool { return slices.Contains(strings.Split(t.Name(), "/"), compressed) }

// parks tells whether the streams of a test are parked.
func parks(t testing.TB) bool { return slices.Contains(strings.Split(t.Name(), "/"), onShard) }

// onlyPlain says that a test is about bytes that aren't compressed.
func onlyPlain(t *testing.T) {
	t.Helper()
	if compresses(t) {
		t.Skip("it counts bytes")
	}
}

// onlyOn says that a test is about one path.
func onlyOn(t *testing.T, path, why string) {
	t.Helper()
	if parks(t) != (path == onShard) {
		t.Skip(why)
	}
}

// pass lets time go by in a bubble.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

package push_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/buffkit/buffkit/eventlog"
	"github.com/buffkit/buffkit/push"
	"github.com/buffkit/buffkit/sse"
)

// server serves a handler over real TCP, by HTTP/1.1 or HTTP/2.
func server(t *testing.T, h http.Handler, http2 bool, change func(*http.Server)) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	if change != nil {
		change(s.Config)
	}
	if http2 {
		s.EnableHTTP2 = true
		s.StartTLS()
	} else {
		s.Start()
	}
	t.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
	})
	return s
}

// get opens a stream. Its body is closed with the test.
func get(t *testing.T, client *http.Client, target string, headers ...string) *http.Response {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Accept", "text/event-stream")
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	resp, err := client.Do(r)
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	t.Cleanup(func() { cancel(); resp.Body.Close() })
	return resp
}

// protocols runs a test by HTTP/1.1 and by HTTP/2.
func protocols(t *testing.T, f func(t *testing.T, http2 bool)) {
	t.Helper()
	t.Parallel()
	for name, http2 := range map[string]bool{"HTTP1": false, "HTTP2": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f(t, http2)
		})
	}
}

// A deadline that is left armed kills an idle HTTP/2 stream, and the timeouts of an http.Server any stream.
func TestStreamOutlivesAllTimeouts(t *testing.T) {
	inMemory(t, func(t *testing.T, serve serveFunc) {
		const timeout, beat, life = 10 * time.Second, 15 * time.Second, 10 * time.Minute
		b := newBroker(t, push.Public("a"), push.Options{WriteTimeout: timeout, Heartbeat: beat})
		client, _ := serve(b, func(s *http.Server) { s.ReadTimeout, s.WriteTimeout, s.IdleTimeout = timeout, timeout, timeout })
		resp := get(t, client, inMemoryURL)
		began := time.Now()
		pings := 0
		for e, err := range sse.Scan(resp.Body, nil) {
			switch {
			case err != nil:
				t.Fatalf("after %v: %v", time.Since(began), err)
			case e.Name == "buffkit.ping":
				if pings++; time.Since(began) > life {
					publish(t, b, "a:1")
				}
			case string(e.Data) == "1":
				return
			}
		}
		t.Errorf("the stream ended after %v", time.Since(began))
	})
}

func TestClientThatLeavesIsNoticed(t *testing.T) {
	protocols(t, func(t *testing.T, http2 bool) {
		causes := make(chan error, 1)
		b := newBroker(t, push.Public("a"), push.Options{Hooks: push.Hooks{
			Disconnected: func(_ push.Connection, cause error) { causes <- cause },
		}})
		s := server(t, b, http2, nil)
		resp := get(t, s.Client(), s.URL)
		io.ReadFull(resp.Body, make([]byte, 100))
		resp.Body.Close()
		if cause := <-causes; cause != nil {
			t.Errorf("cause %v", cause)
		}
	})
}

// inMemory runs a test by HTTP/1.1 and by HTTP/2 over pipes, on a clock of its own.
func inMemory(t *testing.T, f func(t *testing.T, serve serveFunc)) {
	t.Helper()
	t.Parallel()
	for name, http2 := range map[string]bool{"HTTP1": false, "HTTP2": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f(t, func(h http.Handler, change func(*http.Server)) (*http.Client, dialFunc) {
					return serve(t, h, http2, change)
				})
			})
		})
	}
}

type (
	serveFunc func(h http.Handler, change func(*http.Server)) (*http.Client, dialFunc)
	dialFunc  func(ctx context.Context, network, address string) (net.Conn, error)
)

const inMemoryURL = "http://server.test/"

// readOpen reads a stream up to its buffkit.open, and not a byte more.
func readOpen(t *testing.T, body io.Reader) frame {
	t.Helper()
	var text []byte
	for bytes.Count(text, []byte("\n\n")) < 2 {
		var one [1]byte
		if _, err := io.ReadFull(body, one[:]); err != nil {
			t.Fatalf("after %q: %v", text, err)
		}
		text = append(text, one[0])
	}
	frames, err := parseFrames(string(text))
	if err != nil || len(frames) != 2 || frames[1].name != "buffkit.open" {
		t.Fatalf("%q, %v", text, err)
	}
	return frames[1]
}

// serve returns a client of the handler, whose connections hold little that isn't read.
func serve(t *testing.T, h http.Handler, http2 bool, change func(*http.Server)) (*http.Client, dialFunc) {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(!http2)
	protocols.SetUnencryptedHTTP2(http2)
	pipes := &listener{conns: make(chan net.Conn), closed: make(chan struct{})}
	s := &http.Server{Handler: h, Protocols: protocols, ErrorLog: log.New(io.Discard, "", 0)}
	if change != nil {
		change(s)
	}
	transport := &http.Transport{DialContext: pipes.dial, Protocols: protocols, HTTP2: &http.HTTP2Config{MaxReceiveBufferPerStream: 64 << 10}}
	done := make(chan error)
	go func() { done <- s.Serve(pipes) }()
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		s.Close()
		<-done
	})
	return &http.Client{Transport: transport}, pipes.dial
}

// listener hands out pipes.
type listener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (l *listener) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	near, far := net.Pipe()
	select {
	case l.conns <- far:
		return near, nil
	case <-l.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.conns:
		return conn, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *listener) Close() error   { l.once.Do(func() { close(l.closed) }); return nil }
func (l *listener) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }

// One client never reads, one reads a byte a second, one sends its request a byte a second: each harms itself at most.
func TestBadClientsHarmNobody(t *testing.T) {
	inMemory(t, func(t *testing.T, serve serveFunc) {
		const events, size = 200, 8 << 10 // 1.6 MB: more than all buffers between
		causes := make(chan error, 10)
		b := newBroker(t, push.Public("a"), push.Options{Log: newLog(t, eventlog.Retention{Count: -1, Bytes: -1}), Hooks: push.Hooks{
			Disconnected: func(_ push.Connection, cause error) { causes <- cause },
		}})
		client, dial := serve(b, nil)
		stuck, sipping := get(t, client, inMemoryURL), get(t, client, inMemoryURL)
		at := readOpen(t, stuck.Body).id
		readOpen(t, sipping.Body)
		ctx, stop := context.WithCancel(t.Context())
		var all sync.WaitGroup
		defer all.Wait()
		defer stop()
		eachSecond := func(f func()) {
			all.Go(func() {
				tick := time.NewTicker(time.Second)
				defer tick.Stop()
				for {
					select {
					case <-tick.C:
						f()
					case <-ctx.Done():
						return
					}
				}
			})
		}
		eachSecond(func() { sipping.Body.Read(make([]byte, 1)) })
		dribbling, err := dial(t.Context(), "", "")
		if err != nil {
			t.Fatal(err)
		}
		defer dribbling.Close()
		request := "GET / HTTP/1.1\r\nHost: a.example\r\n" + strings.Repeat("X: y\r\n", 1000)
		eachSecond(func() {
			io.WriteString(dribbling, request[:1])
			request = request[1:]
		})
		defer stop() // before the pipe is closed under it

		healthy := get(t, client, inMemoryURL)
		received := make(chan string)
		defer healthy.Body.Close()
		all.Go(func() {
			defer close(received)
			for e, err := range sse.Scan(healthy.Body, nil) {
				if err != nil {
					return
				}
				if e.Name == "" {
					received <- string(e.Data)
				}
			}
		})
		padding := strings.Repeat("x", size)
		for i := range events {
			data := fmt.Sprint(i, " ", padding)
			began := time.Now()
			publish(t, b, "a:"+data)
			if got := <-received; got != data || time.Since(began) > 0 {
				t.Fatalf("event %d is %.10q after %v", i, got, time.Since(began))
			}
			<-time.After(100 * time.Millisecond)
		}
		for range 2 {
			if cause := <-causes; !errors.Is(cause, push.ErrSlow) {
				t.Errorf("a bad client was cut for %v", cause)
			}
		}

		// The one that was stuck comes back with what it has, and misses nothing.
		next := 0
		collect := func(body io.Reader) {
			for e, err := range sse.Scan(body, nil) {
				if err != nil {
					return
				}
				if e.Name == "" {
					if !bytes.HasPrefix(e.Data, fmt.Append(nil, next, " ")) {
						t.Fatalf("event %d is %.10q", next, e.Data)
					}
					next++
				}
				if at = e.ID; next == events {
					return
				}
			}
		}
		collect(stuck.Body)
		if next == events {
			t.Fatal("nothing was held back: the test doesn't test")
		}
		collect(get(t, client, inMemoryURL, "Last-Event-ID", at).Body)
		if next != events {
			t.Errorf("%d events after it came back, want %d", next, events)
		}
	})
}

// Over HTTP/2 a stream that has ended has no writer any more, and another stream of the same connection may be stuck.
func TestCloseWithAStuckClient(t *testing.T) {
	inMemory(t, func(t *testing.T, serve serveFunc) {
		b := newBroker(t, push.Public("a"), push.Options{WriteTimeout: time.Minute})
		client, _ := serve(b, nil)
		get(t, client, inMemoryURL)
		healthy := get(t, client, inMemoryURL)
		readOpen(t, healthy.Body)
		const events = 20
		for range events {
			publish(t, b, "a:"+strings.Repeat("x", 10<<10))
		}
		told, got := make(chan string, 2*events), 0
		go func() {
			defer close(told)
			for e := range sse.Scan(healthy.Body, nil) {
				told <- e.Name
			}
		}()
		for ; got < events; got++ {
			<-told
		}
		synctest.Wait() // the other one is stuck by now
		began := time.Now()
		if err := b.Close(); err != nil || time.Since(began) < time.Second {
			t.Errorf("%v after %v: nobody was stuck", err, time.Since(began))
		}
		if name := <-told; name != "buffkit.bye" {
			t.Errorf("the last word is %q", name)
		}
		for range told {
		}
	})
}

// net/http reads a request's body before it answers. Whoever sends one slowly holds the answer, not the broker.
func TestRequestWithABodyIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	b := newBroker(t, push.Public("a"), push.Options{})
	served := make(chan struct{})
	s := server(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b.ServeHTTP(w, r)
		close(served)
	}), false, nil)
	conn, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nslow")
	<-served
}

// The wrappers below are middleware as it is found in the wild.
type (
	opaque    struct{ http.ResponseWriter } // hides everything
	flushOnly struct{ http.ResponseWriter }
	polite    struct{ http.ResponseWriter }
)

func (w flushOnly) Flush()                   { http.NewResponseController(w.ResponseWriter).Flush() }
func (w polite) Unwrap() http.ResponseWriter { return w.ResponseWriter }
func wrapped(b http.Handler, wrap func(http.ResponseWriter) http.ResponseWriter) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { b.ServeHTTP(wrap(w), r) })
}

func TestWrapperThatHidesFlushIsNamed(t *testing.T) {
	t.Parallel()
	wraps := map[string]func(http.ResponseWriter) http.ResponseWriter{
		"push_test.opaque": func(w http.ResponseWriter) http.ResponseWriter { return opaque{w} },
		"push_test.polite": func(w http.ResponseWriter) http.ResponseWriter { return polite{opaque{w}} },
	}
	for name, wrap := range wraps {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				var logged record
				b := newBroker(t, push.Public("a"), push.Options{Logger: logged.logger()})
				s := connect(t, wrapped(b, wrap), "/")
				if got := s.refusal(); got != "200 error" && s.w.status != 200 {
					t.Errorf("got %s", got)
				}
				for _, say := range []string{name + " can't flush", "Unwrap", "TimeoutHandler"} {
					if !strings.Contains(logged.String(), say) {
						t.Errorf("the log doesn't say %q: %s", say, logged.String())
					}
				}
				if b.Stats() != (push.Stats{}) {
					t.Errorf("%+v", b.Stats())
				}
			})
		})
	}
}

func TestTimeoutHandlerIsNamed(t *testing.T) {
	t.Parallel()
	var logged record
	b := newBroker(t, push.Public("a"), push.Options{Logger: logged.logger()})
	w := httptest.NewRecorder()
	http.TimeoutHandler(b, time.Minute, "").ServeHTTP(w, newRequest(t.Context(), "/"))
	if !strings.Contains(logged.String(), "timeoutWriter can't flush") {
		t.Errorf("logged %q", logged.String())
	}
}

func TestWrapperThatHidesDeadlinesIsWarnedOfOnce(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		var logged record
		b := newBroker(t, push.Public("a"), push.Options{Logger: logged.logger()})
		h := wrapped(b, func(w http.ResponseWriter) http.ResponseWriter { return flushOnly{w} })
		for range 3 {
			s := connect(t, h, "/")
			publish(t, b, "a:1")
			s.want("open:fresh", "1")
			s.close()
		}
		if n := strings.Count(logged.String(), "no write deadlines"); n != 1 || !strings.Contains(logged.String(), "push_test.flushOnly") {
			t.Errorf("warned %d times: %s", n, logged.String())
		}
		connect(t, wrapped(b, func(w http.ResponseWriter) http.ResponseWriter { return polite{w} }), "/").want("open:fresh")
		if n := strings.Count(logged.String(), "level=WARN"); n != 1 {
			t.Errorf("warned of a good wrapper: %s", logged.String())
		}
	})
}

// gzipped compresses what is compressible, as middleware does: it decides when the header is written.
type gzipped struct {
	http.ResponseWriter
	zip    *gzip.Writer
	events *[]string
}

func (w *gzipped) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *gzipped) WriteHeader(status int) {
	*w.events = append(*w.events, "header")
	if strings.HasPrefix(w.Header().Get("Content-Type"), "text/") {
		w.Header().Set("Content-Encoding", "gzip")
		w.zip = gzip.NewWriter(w.ResponseWriter)
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *gzipped) Write(p []byte) (int, error) {
	*w.events = append(*w.events, "write")
	if w.zip != nil {
		return w.zip.Write(p)
	}
	return w.ResponseWriter.Write(p)
}

func (w *gzipped) FlushError() error {
	*w.events = append(*w.events, "flush")
	if w.zip != nil {
		w.zip.Flush()
	}
	return http.NewResponseController(w.ResponseWriter).Flush()
}

func TestStreamBehindCompression(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		onlyOn(t, onGoroutine, "whose connection is taken over goes around what compresses")
		var events []string
		b := newBroker(t, push.Public("a"), push.Options{})
		s := connect(t, wrapped(b, func(w http.ResponseWriter) http.ResponseWriter { return &gzipped{w, nil, &events} }), "/")
		publish(t, b, "a:1")
		synctest.Wait()
		if got := fmt.Sprint(events[:3]); got != "[header write flush]" {
			t.Errorf("first came %s", got)
		}
		if s.w.sent.Get("Content-Encoding") != "gzip" {
			t.Error("compressed without saying so")
		}
		plain, err := gzip.NewReader(strings.NewReader(s.w.text()))
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(plain) // it ends in the middle
		frames, err := parseFrames(string(text))
		if err != nil || len(frames) != 3 || frames[2].String() != "1" {
			t.Errorf("%v, %v", frames, err)
		}
	})
}

// What net/http tells only when it flushes, a client's end above all, ends the stream.
func TestFailedFlushEndsTheStream(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		onlyOn(t, onGoroutine, "nothing is flushed on a connection that was taken over")
		causes := make(chan error, 1)
		b := newBroker(t, push.Public("a"), push.Options{Hooks: push.Hooks{
			Disconnected: func(_ push.Connection, cause error) { causes <- cause },
		}})
		broken := &cutter{err: errors.New("connection reset by peer")}
		s := connect(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			broken.sink = w.(*sink)
			b.ServeHTTP(broken, r)
		}), "/")
		s.want("open:fresh")
		broken.cut()
		publish(t, b, "a:1")
		if !s.ended() {
			t.Fatal("goes on")
		}
		if cause := <-causes; !errors.Is(cause, broken.err) || errors.Is(cause, push.ErrSlow) {
			t.Errorf("cause %v", cause)
		}
		// A stream that breaks before it has told anything was never connected.
		again := connect(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { b.ServeHTTP(broken, r) }), "/")
		if !again.ended() || len(causes) > 0 {
			t.Errorf("ended %v, Disconnected without Connected: %d", again.ended(), len(causes))
		}
	})
}

type cutter struct {
	*sink
	err error

	mu   sync.Mutex // guards dead
	dead bool
}

func (w *cutter) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.dead = true
}

func (w *cutter) FlushError() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.dead {
		return w.err
	}
	return w.sink.FlushError()
}

package push_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"io"
	"iter"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/buffkit/buffkit/push"
	"github.com/buffkit/buffkit/sse"
)

// Streams over real sockets: what a bubble can't hold.

// patience is what a test gives a real network before it calls something lost.
const patience = 30 * time.Second

// await fails the test unless something becomes true.
func await(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); !ok(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("waited %v for: %s", patience, what)
		}
	}
}

// wires runs a test over TCP, and over TLS on top of it.
func wires(t *testing.T, f func(t *testing.T, secure bool)) {
	t.Helper()
	t.Parallel()
	for name, secure := range map[string]bool{"TCP": false, "TLS": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f(t, secure)
		})
	}
}

// site is a server on the loopback for HTTP/1.x.
type site struct {
	t      testing.TB
	addr   string
	config *tls.Config // of its clients; nil without TLS
}

// newSite serves a handler. wrap may put something around each connection, beneath TLS.
func newSite(t testing.TB, h http.Handler, secure bool, wrap func(net.Conn) net.Conn) *site {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("no stream is parked there")
	}
	s := httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	if wrap != nil {
		s.Listener = wrappingListener{s.Listener, wrap}
	}
	it := &site{t: t, addr: s.Listener.Addr().String()}
	if secure {
		s.StartTLS()
		it.config = s.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
		it.config.ServerName = "example.com"
		it.config.NextProtos = []string{"http/1.1"}
		it.config.ClientSessionCache = tls.NewLRUClientSessionCache(1) // a fourth of the time, with the race detector
		it.config.CurvePreferences = []tls.CurveID{tls.X25519}
	} else {
		s.Start()
	}
	t.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
	})
	return it
}

type wrappingListener struct {
	net.Listener
	wrap func(net.Conn) net.Conn
}

func (l wrappingListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return l.wrap(c), nil
}

// reader is the client of a stream. It reads when it is asked to, and not before.
type reader struct {
	t      testing.TB
	conn   net.Conn // with TLS, if there is TLS
	socket *net.TCPConn
	answer *http.Response
	next   func() (sse.Event, error, bool)
}

// open asks for a stream with a request line and headers, each without its line end.
func (s *site) open(lines ...string) *reader {
	s.t.Helper()
	return s.openFrom(func(socket *net.TCPConn) {}, lines...)
}

// openFrom lets the socket be changed before anything is said.
func (s *site) openFrom(change func(*net.TCPConn), lines ...string) *reader {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", s.addr)
	if err != nil {
		s.t.Fatal(err)
	}
	r := &reader{t: s.t, conn: conn, socket: conn.(*net.TCPConn)}
	s.t.Cleanup(func() { r.conn.Close() })
	change(r.socket)
	if s.config != nil {
		r.conn = tls.Client(conn, s.config)
	}
	if len(lines) == 0 {
		lines = []string{"GET / HTTP/1.1"}
	}
	r.patient()
	if _, err := io.WriteString(r.conn, strings.Join(append(lines, "Host: example.com", "", ""), "\r\n")); err != nil {
		s.t.Fatal(err)
	}
	if r.answer, err = http.ReadResponse(bufio.NewReaderSize(r.conn, 256), nil); err != nil {
		s.t.Fatal(err)
	}
	next, stop := iter.Pull2(sse.Scan(r.answer.Body, nil))
	r.next = next
	s.t.Cleanup(stop)
	return r
}

// opened is open, up to the buffkit.open and not beyond.
func (s *site) opened(lines ...string) *reader {
	s.t.Helper()
	r := s.open(lines...)
	r.want("buffkit.open")
	return r
}

// patient bounds the time of what follows.
func (r *reader) patient() { r.conn.SetDeadline(time.Now().Add(patience)) }

// event returns the next event, heartbeats aside: a slow machine has time for some.
func (r *reader) event() sse.Event {
	r.t.Helper()
	r.patient()
	for {
		e, err, ok := r.next()
		if err != nil || !ok {
			r.t.Fatalf("the stream has ended: %v", err)
		}
		if e.Name != "buffkit.ping" {
			return e
		}
	}
}

// want fails the test unless the next events have these names, or, without one, data.
func (r *reader) want(texts ...string) {
	r.t.Helper()
	for _, want := range texts {
		e := r.event()
		got := e.Name
		if got == "" {
			got = string(e.Data)
		}
		if got != want {
			r.t.Fatalf("came %.100q, want %.100q", got, want)
		}
	}
}

// wantEnd fails the test unless the stream has ended as it should.
func (r *reader) wantEnd() {
	r.t.Helper()
	r.patient()
	if e, err, ok := r.next(); ok {
		r.t.Fatalf("came %+v, %v, want the end", e, err)
	}
}

// awaitParked waits until so many streams hold no goroutine.
func awaitParked(t testing.TB, b *push.Broker, n int) {
	t.Helper()
	await(t, "streams to be parked", func() bool { return b.Stats().Parked == n })
}

package push_test

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"

	"github.com/buffkit/buffkit/eventlog"
	"github.com/buffkit/buffkit/push"
)

// idle opens a stream, reads its buffkit.open, and keeps nothing of the client but the socket.
func (s *site) idle() net.Conn {
	s.t.Helper()
	socket, err := net.Dial("tcp", s.addr)
	if err != nil {
		s.t.Fatal(err)
	}
	conn := socket
	if s.config != nil {
		conn = tls.Client(socket, s.config)
	}
	if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: example.com\r\n\r\n"); err != nil {
		s.t.Fatal(err)
	}
	var text []byte
	for part := make([]byte, 1024); !strings.Contains(string(text), "event: buffkit.open"); {
		n, err := conn.Read(part)
		if err != nil {
			s.t.Fatalf("after %q: %v", text, err)
		}
		text = append(text, part[:n]...)
	}
	return socket
}

// What a stream costs that has nothing to do: its session, its place in the index, the client's socket in the same process, and, over TLS,
// what package tls keeps. Not parallel: it reads the heap and the goroutines of the process.
func TestMemoryOfParkedStreams(t *testing.T) {
	if testing.Short() {
		t.Skip("opens 2,000 sockets")
	}
	for _, tt := range []struct {
		name   string
		secure bool
		most   float64 // bytes
	}{
		{"TCP", false, 4 << 10},
		{"TLS", true, 16 << 10},
	} {
		t.Run(tt.name, func(t *testing.T) {
			const streams = 1000
			b := newBroker(t, push.Public("a"), push.Options{})
			s := newSite(t, b, tt.secure, nil)
			sockets := make([]net.Conn, 0, streams)
			defer func() {
				for _, c := range sockets {
					c.Close()
				}
			}()
			sockets = append(sockets, s.idle()) // with what belongs to all
			awaitParked(t, b, 1)
			before, goroutines := heap(), runtime.NumGoroutine()
			for len(sockets) < streams {
				sockets = append(sockets, s.idle())
			}
			awaitParked(t, b, streams)
			few := goroutines + 2*runtime.GOMAXPROCS(0) // two a shard
			await(t, "their goroutines to end", func() bool { return runtime.NumGoroutine() <= few })
			each := float64(heap()-before) / (streams - 1)
			t.Logf("%.0f bytes each", each)
			if each > tt.most {
				t.Errorf("%.0f bytes for a parked stream, at most %.0f", each, tt.most)
			}
			publish(t, b, "a:1")
			await(t, "those that write to end", func() bool { return runtime.NumGoroutine() <= few })
		})
	}
}

// What a stream was given may still wait for a worker when it gets a goroutine again, which must not overtake it.
func TestGapComesAfterWhatWasGivenBefore(t *testing.T) {
	t.Parallel()
	const reading = "reading"
	delivered := make(chan struct{}, 100)
	b := newBroker(t, func(r *http.Request) (push.Grant, error) {
		return push.Grant{User: r.Header.Get("User"), Topics: push.RequestedTopics(r)}, nil
	}, push.Options{
		Log: newLog(t, eventlog.Retention{Count: 2}), WriteTimeout: patience,
		Hooks: push.Hooks{Delivered: func(c push.Connection, _, _ int) {
			if c.User == reading {
				delivered <- struct{}{}
			}
		}},
	})
	s := newSite(t, b, true, nil)
	workers := 2 * runtime.GOMAXPROCS(0)
	for range workers {
		s.openFrom(func(c *net.TCPConn) { c.SetReadBuffer(4 << 10) }, "GET /?topic=large HTTP/1.1")
	}
	r := s.opened("GET /?topic=a HTTP/1.1", "User: "+reading)
	awaitParked(t, b, workers+1)
	publish(t, b, "large:"+strings.Repeat("x", 1000<<10)) // keeps them all busy
	publish(t, b, "a:0")
	<-delivered
	if _, err := b.PublishAll(t.Context(), event("1"), event("2"), event("3"), event("4")); err != nil {
		t.Fatal(err)
	}
	r.want("0", "buffkit.gap")
}

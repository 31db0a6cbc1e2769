package pushtest_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/buffkit/buffkit/push/pushtest"
)

// ticker streams a number a second, and says when and how it ended.
type ticker struct {
	size  int           // of each number, with spaces
	limit time.Duration // of each write
	ended chan error
	after time.Duration
}

func newTicker() *ticker { return &ticker{ended: make(chan error, 10)} }

// ServeHTTP implements http.Handler.
func (h *ticker) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	err := h.tick(w, r)
	h.after = time.Since(began)
	h.ended <- err
}

func (h *ticker) tick(w http.ResponseWriter, r *http.Request) error {
	rc := http.NewResponseController(w)
	w.Header().Set("Content-Type", "text/event-stream")
	for n := 0; ; n++ {
		if h.limit > 0 {
			rc.SetWriteDeadline(time.Now().Add(h.limit))
		}
		if _, err := fmt.Fprintf(w, "data: %*d\n\n", h.size, n); err != nil {
			return err
		}
		if err := rc.Flush(); err != nil {
			return err
		}
		select {
		case <-time.After(time.Second):
		case <-r.Context().Done():
			return r.Context().Err()
		}
	}
}

// inBubble runs a test with a ticker and a stream of it, once for each protocol.
func inBubble(t *testing.T, h *ticker, test func(t *testing.T, s *pushtest.Server, stream *pushtest.Stream)) {
	for name, clientOf := range map[string]func(*pushtest.Server) *http.Client{
		"HTTP/1.1": (*pushtest.Server).Client,
		"HTTP/2":   (*pushtest.Server).ClientHTTP2,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				own := *h
				own.ended = make(chan error, 10)
				s := pushtest.NewServer(t, &own)
				stream, err := s.Open(t.Context(), "/", &pushtest.StreamOptions{HTTP: clientOf(s)})
				if err != nil {
					t.Fatal(err)
				}
				if got := stream.Response.Proto; !strings.HasPrefix(got, name) {
					t.Fatalf("the stream came by %s", got)
				}
				test(t, s, stream)
			})
		})
	}
}

// next wants a number at a time, counted from the beginning of the bubble.
func next(t *testing.T, stream *pushtest.Stream, want string) {
	t.Helper()
	e, err := stream.Next(t.Context())
	if err != nil || strings.TrimSpace(string(e.Data)) != want {
		t.Fatalf("got %q, %v, want %q", e.Data, err, want)
	}
}

// quiet wants nothing to come for so long.
func quiet(t *testing.T, stream *pushtest.Stream, d time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	if e, err := stream.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("got %q, %v, want silence", e.Data, err)
	}
}

func TestServerStreamsInTheBubblesTime(t *testing.T) {
	t.Parallel()
	inBubble(t, newTicker(), func(t *testing.T, _ *pushtest.Server, stream *pushtest.Stream) {
		began := time.Now()
		for n := range 3601 {
			next(t, stream, fmt.Sprint(n))
		}
		if took := time.Since(began); took != time.Hour {
			t.Errorf("an hour took %v", took)
		}
		quiet(t, stream, 999*time.Millisecond)
		next(t, stream, "3601")
	})
}

func TestServerCut(t *testing.T) {
	t.Parallel()
	inBubble(t, newTicker(), func(t *testing.T, s *pushtest.Server, stream *pushtest.Stream) {
		next(t, stream, "0")
		if n := s.Cut(); n != 1 {
			t.Errorf("cut %d connections, want 1", n)
		}
		if _, err := stream.Next(t.Context()); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("the client got %v, want a reset", err)
		}
		synctest.Wait()
		if n := len(s.Conns()); n != 0 {
			t.Errorf("%d connections are left", n)
		}
		again, err := s.Open(t.Context(), "/", nil)
		if err != nil {
			t.Fatal(err)
		}
		next(t, again, "0")
	})
}

func TestServerStall(t *testing.T) {
	t.Parallel()
	inBubble(t, newTicker(), func(t *testing.T, s *pushtest.Server, stream *pushtest.Stream) {
		next(t, stream, "0")
		s.Stall()
		quiet(t, stream, 99*time.Second+time.Second/2)
		s.Restore()
		began := time.Now()
		for n := range 99 {
			next(t, stream, fmt.Sprint(n+1))
		}
		if late := time.Since(began); late != 0 {
			t.Errorf("what was on its way arrived %v after the network was restored", late)
		}
	})
}

// A client that doesn't read, and a network that takes nothing, look the same to a server: its write fails at the deadline.
func TestServerWriteFailsAtItsDeadline(t *testing.T) {
	t.Parallel()
	const limit = 7 * time.Second
	tests := []struct {
		name string
		stop func(s *pushtest.Server)
	}{
		{"a stalled network", func(s *pushtest.Server) { s.Stall() }},
		{"a client that doesn't read", func(*pushtest.Server) {}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				h := newTicker()
				h.size, h.limit = 1_000_000, limit // more than all buffers take
				s := pushtest.NewServer(t, h)
				if _, err := s.Open(t.Context(), "/", nil); err != nil {
					t.Fatal(err)
				}
				synctest.Wait() // the stream has read its first event
				tt.stop(s)
				if err := <-h.ended; !errors.Is(err, os.ErrDeadlineExceeded) || h.after != time.Second+limit {
					t.Errorf("the second write ended after %v with %v, want %v and a deadline", h.after-time.Second, err, limit)
				}
			})
		})
	}
}

func TestServerThrottles(t *testing.T) {
	t.Parallel()
	h := newTicker()
	h.size = 9_992 // 10,000 bytes with what is around it
	inBubble(t, h, func(t *testing.T, s *pushtest.Server, stream *pushtest.Stream) {
		next(t, stream, "0")
		s.Throttle(5_000)
		began := time.Now()
		next(t, stream, "1")
		if took := time.Since(began); took < 3*time.Second || took > 4*time.Second {
			t.Errorf("10,000 bytes at 5,000 a second, after a second, took %v", took)
		}
	})
}

func TestServerHalfClose(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newTicker()
		s := pushtest.NewServer(t, h)
		open := func() *pushtest.Stream {
			stream, err := s.Open(t.Context(), "/", nil)
			if err != nil {
				t.Fatal(err)
			}
			next(t, stream, "0")
			return stream
		}
		stream := open()
		s.Conns()[0].HalfClose(pushtest.ToServer)
		if err := <-h.ended; !errors.Is(err, context.Canceled) {
			t.Errorf("the handler ended with %v, want its context's end", err)
		}
		stream.Close()

		stream = open()
		s.Conns()[0].HalfClose(pushtest.ToClient)
		if _, err := stream.Next(t.Context()); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("the client got %v, want an unexpected end", err)
		}
	})
}

func TestServerRefuses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := pushtest.NewServer(t, newTicker())
		s.Refuse()
		if _, err := s.Open(t.Context(), "/", nil); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("got %v, want a refused connection", err)
		}
		s.Restore()
		stream, err := s.Open(t.Context(), "/", nil)
		if err != nil {
			t.Fatal(err)
		}
		next(t, stream, "0")
	})
}

func TestServerRestart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newTicker()
		s := pushtest.NewServer(t, h)
		stream, err := s.Open(t.Context(), "/", nil)
		if err != nil {
			t.Fatal(err)
		}
		next(t, stream, "0")
		s.Restart(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusTeapot) }))
		if len(h.ended) != 1 {
			t.Error("Restart didn't wait for the handler")
		}
		if _, err := stream.Next(t.Context()); err == nil {
			t.Error("the stream outlived its server")
		}
		var refused *pushtest.RefusedError
		if _, err := s.Open(t.Context(), "/", nil); !errors.As(err, &refused) || refused.Status != http.StatusTeapot {
			t.Errorf("the new handler answers %v, want a teapot", err)
		}
	})
}

// Code that limits by address reads RemoteAddr.
func TestServerSeesAddressesOfClients(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		seen := make(chan string, 2)
		s := pushtest.NewServer(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen <- r.RemoteAddr }))
		for range 2 {
			resp, err := s.Client().Get(s.URL)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			s.Client().CloseIdleConnections()
		}
		one, two := <-seen, <-seen
		host, _, err := net.SplitHostPort(one)
		if err != nil || host != "192.0.2.1" || one == two {
			t.Errorf("the server saw %q and %q", one, two)
		}
	})
}

package client_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/buffkit/buffkit/client"
)

const url = "http://server.test/events"

// server is an HTTP server behind in-memory pipes, inside a synctest bubble. The n-th request is answered by the n-th script; after
// the last one the answer is 204, which ends the client.
type server struct {
	http *http.Client

	mu       sync.Mutex // protects requests
	requests []*http.Request
}

type script func(w *stream, r *http.Request)

func serve(t *testing.T, scripts ...script) *server {
	t.Helper()
	s := &server{}
	pipes := &listener{conns: make(chan net.Conn), closed: make(chan struct{})}
	transport := &http.Transport{DialContext: pipes.dial}
	s.http = &http.Client{Transport: transport}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		n := len(s.requests)
		s.requests = append(s.requests, r)
		s.mu.Unlock()
		if n >= len(scripts) {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		scripts[n](&stream{ResponseWriter: w}, r)
	})}
	done := make(chan error)
	go func() { done <- srv.Serve(pipes) }()
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		srv.Close()
		<-done
	})
	return s
}

// headers returns a header of each request so far, "-" where there was none.
func (s *server) headers(name string) (values []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.requests {
		if r.Header[name] == nil {
			values = append(values, "-")
			continue
		}
		values = append(values, r.Header.Get(name))
	}
	return values
}

// stream is a response that begins with the first text sent.
type stream struct{ http.ResponseWriter }

// send writes and flushes.
func (s *stream) send(texts ...string) {
	if s.Header().Get("Content-Type") == "" {
		s.Header().Set("Content-Type", "text/event-stream")
	}
	for _, text := range texts {
		io.WriteString(s, text)
	}
	http.NewResponseController(s.ResponseWriter).Flush()
}

// sends is a script that sends some text and ends the stream.
func sends(texts ...string) script {
	return func(w *stream, _ *http.Request) { w.send(texts...) }
}

// refuses is a script that answers with a status, a JSON body and headers.
func refuses(status int, body string, headers ...string) script {
	return func(w *stream, _ *http.Request) {
		for i := 0; i < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		io.WriteString(w, body)
	}
}

// lasts holds the stream open.
func lasts(d time.Duration, r *http.Request) {
	select {
	case <-time.After(d):
	case <-r.Context().Done():
	}
}

// event is a frame.
func event(id, data string) string { return fmt.Sprintf("id: %s\ndata: %s\n\n", id, data) }

const opened = "event: buffkit.open\ndata: {\"state\":\"resumed\"}\n\n"

// follow ranges until the iteration ends, and returns the data of the events.
func follow(ctx context.Context, s *server, opts client.Options) (data []string, final error) {
	opts.HTTP = s.http
	for e, err := range client.Events(ctx, url, &opts) {
		if err != nil {
			return data, err
		}
		data = append(data, string(e.Data))
	}
	return data, nil
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

package pushtest

import (
	"context"
	"net"
	"net/http"
	"sync"
	"syscall"
	"testing"
)

// Server is an HTTP server in memory, with a network before it that fails on command. It opens no sockets, so it works inside of
// a testing/synctest bubble, write deadlines and timeouts included.
type Server struct {
	*Network
	// URL is the server's, without a slash at its end. Only its own clients can reach it.
	URL string

	http1, http2 *http.Client

	mu      sync.Mutex // guards what follows
	process *process
	clients int
}

// NewServer starts a server, which ends with the test.
func NewServer(t testing.TB, handler http.Handler) *Server {
	t.Helper()
	s := &Server{URL: "http://pushtest.test"}
	s.Network = &Network{dial: func(ctx context.Context, client net.Addr) (net.Conn, error) {
		return s.running().pipes.dial(ctx, client)
	}}
	s.http1 = &http.Client{Transport: &http.Transport{DialContext: s.dialServer}}
	s.http2 = &http.Client{Transport: &http.Transport{DialContext: s.dialServer, Protocols: protocols(false, true)}}
	s.start(handler)
	t.Cleanup(func() {
		s.close()
		s.running().end()
		s.http1.CloseIdleConnections()
		s.http2.CloseIdleConnections()
	})
	return s
}

// Client returns a client that reaches this server, and no other, by HTTP/1.1. All calls return the same one.
func (s *Server) Client() *http.Client { return s.http1 }

// ClientHTTP2 returns one that uses HTTP/2, in clear text: all its streams share a connection.
func (s *Server) ClientHTTP2() *http.Client { return s.http2 }

// Open opens a stream with Client: Open with the server's URL before the path.
func (s *Server) Open(ctx context.Context, path string, opts *StreamOptions) (*Stream, error) {
	var own StreamOptions
	if opts != nil {
		own = *opts
	}
	if own.HTTP == nil {
		own.HTTP = s.Client()
	}
	return Open(ctx, s.URL+path, &own)
}

// Restart ends the server as a crash would, with all its connections, waits for its handlers, and starts it again with a handler:
// one process after another at the same address.
func (s *Server) Restart(handler http.Handler) {
	s.running().end()
	s.start(handler)
}

func (s *Server) start(handler http.Handler) {
	p := &process{pipes: &pipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}}
	p.server = &http.Server{Handler: p.counted(handler), Protocols: protocols(true, true)}
	p.handlers.Go(func() { p.server.Serve(p.pipes) })
	s.mu.Lock()
	defer s.mu.Unlock()
	s.process = p
}

func (s *Server) running() *process {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.process
}

// process is one run of a server.
type process struct {
	server *http.Server
	pipes  *pipeListener

	mu       sync.Mutex // guards what follows
	ended    bool
	handlers sync.WaitGroup // added to under mu and only while not ended
}

// counted lets end wait for the handlers: http.Server.Close doesn't.
func (p *process) counted(handler http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !p.enter() {
			panic(http.ErrAbortHandler)
		}
		defer p.handlers.Done()
		handler.ServeHTTP(w, r)
	})
}

func (p *process) enter() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.ended {
		p.handlers.Add(1)
	}
	return !p.ended
}

func (p *process) end() {
	p.mu.Lock()
	p.ended = true
	p.mu.Unlock()
	p.server.Close()
	p.pipes.cut()
	p.handlers.Wait()
}

func protocols(http1, http2 bool) *http.Protocols {
	p := new(http.Protocols)
	p.SetHTTP1(http1)
	p.SetUnencryptedHTTP2(http2)
	return p
}

// dialServer is how clients reach the network before the server.
func (s *Server) dialServer(ctx context.Context, _, _ string) (net.Conn, error) {
	if s.refusing() {
		return nil, &net.OpError{Op: "dial", Net: "pipe", Err: syscall.ECONNREFUSED}
	}
	near, far := pipe(s.nextClient(), serverAddr)
	s.connect(far)
	return near, nil
}

// The addresses are of the networks that RFC 5737 sets aside for documentation, so that code which reads them finds what it expects.
var serverAddr = &net.TCPAddr{IP: net.IPv4(198, 51, 100, 1), Port: 80}

func (s *Server) nextClient() net.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clients++
	return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 1024 + s.clients%(1<<16-1024)}
}

// pipeListener hands the server's ends of pipes to an http.Server.
type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once

	mu       sync.Mutex // guards accepted
	accepted []net.Conn
}

// cut closes the connections that were accepted, of which the server doesn't know those that its handlers have taken over.
func (l *pipeListener) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, conn := range l.accepted {
		conn.Close()
	}
}

func (l *pipeListener) dial(ctx context.Context, client net.Addr) (net.Conn, error) {
	near, far := pipe(client, serverAddr)
	select {
	case l.conns <- far:
		return near, nil
	case <-l.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Accept implements net.Listener.
func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.conns:
		l.mu.Lock()
		defer l.mu.Unlock()
		l.accepted = append(l.accepted, conn)
		return conn, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (l *pipeListener) Close() error { l.once.Do(func() { close(l.closed) }); return nil }

// Addr implements net.Listener.
func (l *pipeListener) Addr() net.Addr { return serverAddr }

package pushtest

import (
	"context"
	"net"
	"sync/atomic"
	"testing"
)

// Proxy stands before a server, over real TCP on the loopback interface, and fails on command. It passes bytes on and knows nothing
// of HTTP. It isn't for a testing/synctest bubble: use a Server there.
type Proxy struct {
	*Network
	// Addr is where the proxy listens, host:port.
	Addr string
	// URL is "http://" and Addr.
	URL string

	target atomic.Pointer[string]
}

// NewProxy starts a proxy before the server at target, host:port. It ends with the test. While no server is there, connections
// are reset.
func NewProxy(t testing.TB, target string) *Proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("pushtest: proxy: %v", err)
	}
	p := &Proxy{Addr: listener.Addr().String()}
	p.URL = "http://" + p.Addr
	p.SetTarget(target)
	p.Network = &Network{dial: func(ctx context.Context, _ net.Addr) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "tcp", *p.target.Load())
	}}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			p.connect(conn)
		}
	}()
	t.Cleanup(func() {
		listener.Close()
		<-done
		p.close()
	})
	return p
}

// SetTarget leads new connections to another server: one that was restarted on another port. Open ones stay where they are.
func (p *Proxy) SetTarget(target string) { p.target.Store(&target) }

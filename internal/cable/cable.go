// Package cable is the network between a program and its server, for tests that break it.
package cable

import (
	"io"
	"math"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
)

// Cable is a TCP proxy. Its switches may be turned at any time.
type Cable struct {
	Refuse atomic.Bool // new connections end at once
	Dead   atomic.Bool // what is sent arrives nowhere, and nobody is told; the connection stays so
	Deaf   atomic.Bool // answers arrive nowhere as long as this is set

	listener net.Listener
	left     atomic.Int64 // answers that are delivered before it is cut
	bytes    atomic.Int64 // of answers

	mu    sync.Mutex // guards what follows
	to    string
	conns []net.Conn
	all   sync.WaitGroup
}

// New lays a cable to an address. It goes with the test.
func New(t testing.TB, to string) *Cable {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &Cable{listener: l, to: to}
	c.Heal()
	c.all.Go(c.accept)
	t.Cleanup(func() {
		_ = l.Close()
		c.Refuse.Store(true) // who is being joined is neither left behind
		c.Cut()
		c.all.Wait()
	})
	return c
}

// OfURL lays a cable to the host of a URL, and returns the URL that leads through it.
func OfURL(t testing.TB, text string) (c *Cable, through string) {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	c = New(t, u.Host)
	u.Host = c.Addr()
	return c, u.String()
}

// Addr is this end's host:port.
func (c *Cable) Addr() string { return c.listener.Addr().String() }

// Redirect leads new connections to another server.
func (c *Cable) Redirect(to string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.to = to
}

// Cut ends all connections, which both ends notice.
func (c *Cable) Cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range c.conns {
		_ = conn.Close()
	}
	c.conns = nil
}

// CutAfter lets some answers through, and then cuts all connections instead of delivering one. An answer is what one read returns.
func (c *Cable) CutAfter(answers int64) { c.left.Store(answers) }

// Answers is how many have come through since it was healed.
func (c *Cable) Answers() int64 { return math.MaxInt64 - c.left.Load() }

// Bytes is how many the server has answered.
func (c *Cable) Bytes() int64 { return c.bytes.Load() }

// Heal takes CutAfter back.
func (c *Cable) Heal() { c.left.Store(math.MaxInt64) }

func (c *Cable) accept() {
	for {
		in, err := c.listener.Accept()
		if err != nil {
			return
		}
		if !c.join(in) {
			_ = in.Close()
		}
	}
}

// join carries bytes both ways, unless the server can't be reached.
func (c *Cable) join(in net.Conn) bool {
	if c.Refuse.Load() {
		return false
	}
	c.mu.Lock()
	to := c.to
	c.mu.Unlock()
	out, err := net.Dial("tcp", to)
	if err != nil {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.Refuse.Load() { // since then, and Cut may have been called in between
		_ = out.Close()
		return false
	}
	c.conns = append(c.conns, in, out)
	c.all.Go(func() { c.copy(out, in, false) })
	c.all.Go(func() { c.copy(in, out, true) })
	return true
}

func (c *Cable) copy(to, from net.Conn, answers bool) {
	defer to.Close()
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if answers {
			c.bytes.Add(int64(n))
		}
		switch {
		case err != nil:
			return
		case c.Dead.Load():
			_, _ = io.Copy(io.Discard, from)
			return
		case answers && c.left.Add(-1) == -1:
			c.Cut()
			return
		case answers && c.Deaf.Load():
			continue
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}

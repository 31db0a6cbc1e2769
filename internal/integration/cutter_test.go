package integration

import (
	"net"
	"sync"
	"testing"
)

// cutter is a TCP proxy with a hand on the cable.
type cutter struct {
	addr     string
	to       string
	listener net.Listener
	running  sync.WaitGroup

	mu     sync.Mutex // guards what follows
	cables map[*cable]struct{}
	gate   chan struct{} // closed while bytes may pass
	left   int           // bytes that may still pass to the client before its connection ends; negative: no limit
	cuts   int
	closed bool
}

// cable is one connection through the cutter.
type cable struct {
	client, server *net.TCPConn
	gone           chan struct{} // closed when it was cut
	once           sync.Once
}

// cutterTo starts a cutter in front of an address.
func cutterTo(t *testing.T, addr string) *cutter {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cutter{
		addr: listener.Addr().String(), to: addr, listener: listener,
		cables: make(map[*cable]struct{}), gate: make(chan struct{}), left: -1,
	}
	close(c.gate)
	c.running.Go(c.accept)
	t.Cleanup(c.close)
	return c
}

func (c *cutter) accept() {
	for {
		client, err := c.listener.Accept()
		if err != nil {
			return
		}
		c.running.Go(func() { c.join(client.(*net.TCPConn)) })
	}
}

// join carries bytes both ways until either end is closed or the cable is cut.
func (c *cutter) join(client *net.TCPConn) {
	server, err := net.Dial("tcp", c.to)
	if err != nil {
		reset(client) // the server is down: as if nobody listened
		return
	}
	b := &cable{client: client, server: server.(*net.TCPConn), gone: make(chan struct{})}
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		b.cut()
		return
	}
	c.cables[b] = struct{}{}
	c.mu.Unlock()
	c.running.Go(func() { c.carry(b, b.server, b.client, false) })
	c.carry(b, b.client, b.server, true)
}

func (c *cutter) carry(b *cable, to, from *net.TCPConn, toClient bool) {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		pass, last := c.allow(b, n, toClient)
		if pass > 0 {
			to.Write(buf[:pass])
		}
		if last {
			c.tear(b)
			return
		}
		if err != nil {
			c.unplug(b)
			return
		}
	}
}

// allow waits at the gate, and says how many of n bytes may pass and whether they are the last.
func (c *cutter) allow(b *cable, n int, toClient bool) (pass int, last bool) {
	c.mu.Lock()
	gate := c.gate
	c.mu.Unlock()
	select {
	case <-gate:
	case <-b.gone:
		return 0, false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !toClient || c.left < 0 || n == 0 {
		return n, false
	}
	pass = min(n, c.left)
	c.left -= pass
	if last = c.left == 0; last {
		c.left = -1
	}
	return pass, last
}

// cut resets all connections at both ends, as a phone that changes its network does. Waiting bytes are lost.
func (c *cutter) cut() {
	c.mu.Lock()
	cables := c.cables
	c.cables = make(map[*cable]struct{})
	c.cuts++
	c.mu.Unlock()
	for b := range cables {
		b.cut()
	}
}

// stall lets no byte pass any more, of old connections and of new ones, and tells nobody: a tunnel.
func (c *cutter) stall() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.gate = make(chan struct{})
}

// resume ends stall.
func (c *cutter) resume() {
	c.mu.Lock()
	defer c.mu.Unlock()
	close(c.gate)
}

// tearAfter ends a connection after n more bytes to clients, in the midst of whatever they are.
func (c *cutter) tearAfter(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.left = n
}

// tear ends a connection so that what has passed arrives for sure.
func (c *cutter) tear(b *cable) {
	c.mu.Lock()
	c.cuts++
	c.mu.Unlock()
	c.unplug(b)
}

// awaitCuts waits until connections were cut or torn n times.
func (c *cutter) awaitCuts(t *testing.T, n int) {
	t.Helper()
	poll(t, "the connection being torn", func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.cuts >= n
	})
}

func (c *cutter) unplug(b *cable) {
	c.mu.Lock()
	delete(c.cables, b)
	c.mu.Unlock()
	b.once.Do(func() {
		close(b.gone)
		b.client.Close()
		b.server.Close()
	})
}

func (b *cable) cut() {
	b.once.Do(func() {
		close(b.gone)
		reset(b.client)
		reset(b.server)
	})
}

// reset closes a connection with RST.
func reset(conn *net.TCPConn) {
	conn.SetLinger(0)
	conn.Close()
}

func (c *cutter) close() {
	c.listener.Close()
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.cut()
	c.running.Wait()
}

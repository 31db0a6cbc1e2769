package pushtest

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"sync"
	"time"
)

// Network lies between clients and a server, and fails on command. Its methods may be called at the same time. Server and Proxy
// have one.
type Network struct {
	dial func(ctx context.Context, client net.Addr) (net.Conn, error) // to the server

	mu      sync.Mutex // guards what follows
	conns   []*Conn
	opened  int
	fault   fault // of connections to come
	refuse  bool
	closed  bool
	running sync.WaitGroup // a goroutine for each connection; added to under mu and only while not closed
}

// fault is what is wrong with a connection that is still there.
type fault struct {
	stalled bool
	rate    int // bytes a second, 0 without a limit
}

// Direction says which way bytes go.
type Direction int

// The directions of a connection.
const (
	ToClient Direction = iota
	ToServer
)

// Conns returns the open connections, oldest first.
func (n *Network) Conns() []*Conn {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.conns)
}

// Opened counts the connections since the beginning, those that were refused left out.
func (n *Network) Opened() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.opened
}

// Cut cuts every connection, as Conn.Cut, and returns how many. New ones may come at once.
func (n *Network) Cut() int {
	conns := n.Conns()
	for _, c := range conns {
		c.Cut()
	}
	return len(conns)
}

// Stall stalls every connection, as Conn.Stall, and those to come, until Restore.
func (n *Network) Stall() { n.change(func(f *fault) { f.stalled = true }) }

// Throttle slows down every connection, as Conn.Throttle, and those to come, until Restore.
func (n *Network) Throttle(bytesPerSecond int) { n.change(func(f *fault) { f.rate = bytesPerSecond }) }

// Refuse refuses new connections until Restore. In memory a client's dial fails; over TCP its connection is reset before
// anything was read.
func (n *Network) Refuse() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.refuse = true
}

// Restore ends Stall, Throttle and Refuse, for the network and for each connection.
func (n *Network) Restore() {
	n.mu.Lock()
	n.refuse = false
	n.mu.Unlock()
	n.change(func(f *fault) { *f = fault{} })
}

func (n *Network) change(set func(*fault)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	set(&n.fault)
	for _, c := range n.conns {
		c.change(set)
	}
}

func (n *Network) refusing() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.refuse || n.closed
}

// connect carries a client's connection to the server. It doesn't wait.
func (n *Network) connect(client net.Conn) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.refuse || n.closed {
		reset(client)
		return
	}
	n.opened++
	c := &Conn{network: n, number: n.opened, client: client, fault: n.fault, changed: make(chan struct{})}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	n.conns = append(n.conns, c)
	n.running.Go(c.run)
}

func (n *Network) forget(c *Conn) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.conns = slices.DeleteFunc(n.conns, func(other *Conn) bool { return other == c })
}

// close cuts everything and waits until it is gone.
func (n *Network) close() {
	n.mu.Lock()
	n.closed = true
	n.mu.Unlock()
	n.Cut()
	n.running.Wait()
}

// Conn is one connection of a Network. Its methods may be called at the same time, and when it is gone.
type Conn struct {
	network *Network
	number  int
	ctx     context.Context // ends when it is cut or has ended
	cancel  context.CancelFunc

	mu      sync.Mutex // guards what follows
	client  net.Conn
	server  net.Conn // nil until it was dialed
	fault   fault
	ended   [2]bool       // directions that were half closed
	changed chan struct{} // closed, and replaced, when fault has changed
}

// Number counts the connections of the network, from 1.
func (c *Conn) Number() int { return c.number }

// Cut ends the connection abruptly: both ends see a reset, and what is on its way is lost.
func (c *Conn) Cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cancel()
	for _, conn := range []net.Conn{c.client, c.server} { // run closes them: to wait for that here would slow down who cuts many
		if conn != nil {
			conn.SetDeadline(time.Unix(1, 0))
		}
	}
}

// Stall turns the network into a black hole: nothing arrives any more, not even a goodbye, and nobody is told. What is on its way arrives
// after Restore. The ends still take bytes until their buffers are full.
func (c *Conn) Stall() { c.change(func(f *fault) { f.stalled = true }) }

// Throttle lets so many bytes a second through, in each direction. Less than 1 is no limit.
func (c *Conn) Throttle(bytesPerSecond int) { c.change(func(f *fault) { f.rate = bytesPerSecond }) }

// Restore ends Stall and Throttle. What was cut or half closed stays so.
func (c *Conn) Restore() { c.change(func(f *fault) { *f = fault{} }) }

// HalfClose ends one direction: who reads there sees an ordinary end, and who writes notices nothing. The other direction goes on.
func (c *Conn) HalfClose(d Direction) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended[d] = true
	if to := c.end(d); to != nil {
		closeWrite(to)
	}
}

// end is where a direction leads. The caller holds mu.
func (c *Conn) end(d Direction) net.Conn {
	if d == ToClient {
		return c.client
	}
	return c.server
}

func (c *Conn) change(set func(*fault)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	set(&c.fault)
	close(c.changed)
	c.changed = make(chan struct{})
}

func (c *Conn) state() (fault, <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.fault, c.changed
}

// run lives as long as the connection.
func (c *Conn) run() {
	defer c.network.forget(c)
	defer c.close()
	if !c.pass(0) || !c.reach() {
		c.cancel()
		return
	}
	var both sync.WaitGroup
	both.Go(func() { c.carry(ToServer) })
	both.Go(func() { c.carry(ToClient) })
	both.Wait()
}

// close ends both halves: hard, if the connection was cut.
func (c *Conn) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	end := func(conn net.Conn) { conn.Close() }
	if c.ctx.Err() != nil {
		end = reset
	}
	c.cancel()
	end(c.client)
	if c.server != nil {
		end(c.server)
	}
}

// reach dials the server.
func (c *Conn) reach() bool {
	// A cut doesn't cancel the dial: a connection that the server has already accepted would end in order, not with a reset.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.ctx), dialTimeout)
	defer cancel()
	server, err := c.network.dial(ctx, c.client.RemoteAddr())
	if err != nil {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.server = server
	if c.ended[ToServer] {
		closeWrite(server)
	}
	return c.ctx.Err() == nil
}

const (
	dialTimeout   = 10 * time.Second // a server on this machine answers at once or never
	carryBytes    = 16 << 10
	throttleSlice = 50 * time.Millisecond // a throttled connection gets its bytes in parts of so long
)

// carry copies one direction until it ends.
func (c *Conn) carry(d Direction) {
	from, to := c.client, c.server
	if d == ToClient {
		from, to = to, from
	}
	buf := make([]byte, carryBytes)
	for {
		n, err := from.Read(buf[:c.most()])
		if !c.pass(n) {
			return
		}
		if n > 0 && !c.hasEnded(d) {
			if _, err := to.Write(buf[:n]); err != nil && !c.hasEnded(d) {
				c.Cut()
				return
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			closeWrite(to)
			return
		case err != nil:
			c.Cut()
			return
		}
	}
}

func (c *Conn) hasEnded(d Direction) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ended[d]
}

// most is how much may be read at a time.
func (c *Conn) most() int {
	if f, _ := c.state(); f.rate > 0 {
		return min(max(int(int64(f.rate)*int64(throttleSlice)/int64(time.Second)), 1), carryBytes)
	}
	return carryBytes
}

// pass waits until n bytes may go on. It returns false if the connection was cut.
func (c *Conn) pass(n int) bool {
	began := time.Now()
	for {
		f, changed := c.state()
		if c.ctx.Err() != nil {
			return false
		}
		var due <-chan time.Time
		if !f.stalled {
			if f.rate < 1 {
				return true
			}
			wait := time.Duration(n)*time.Second/time.Duration(f.rate) - time.Since(began)
			if wait <= 0 {
				return true
			}
			timer := time.NewTimer(wait)
			defer timer.Stop()
			due = timer.C
		}
		select {
		case <-due:
			return true
		case <-changed:
		case <-c.ctx.Done():
		}
	}
}

// closeWrite tells the other end of a connection that nothing more will come.
func closeWrite(conn net.Conn) {
	if c, ok := conn.(interface{ CloseWrite() error }); ok {
		c.CloseWrite()
	}
}

// reset closes a connection so that the other end sees a reset.
func reset(conn net.Conn) {
	if c, ok := conn.(interface{ SetLinger(int) error }); ok {
		c.SetLinger(0)
	}
	conn.Close()
}

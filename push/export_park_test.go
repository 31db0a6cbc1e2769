package push

import (
	"net"
	"net/http/httptest"
	"sync/atomic"
)

// Void is a medium whose writes all succeed and go nowhere: what remains is the cost of getting so far. Its streams need no sockets, so there
// can be a million.
type Void struct {
	handles atomic.Int32
	writes  atomic.Int64
	target  atomic.Int64
	reached chan struct{}
	stopped chan struct{}
}

// NewVoid makes a broker's streams in memory go nowhere. Call it before the first.
func NewVoid(b *Broker) *Void {
	v := &Void{reached: make(chan struct{}, 1), stopped: make(chan struct{})}
	b.shards.pipes.open = func() (medium, error) { return v, nil }
	return v
}

// Park adds a stream of the topics, as ServeHTTP does once it has nothing more to do.
func (v *Void) Park(b *Broker, topics ...string) {
	if err := b.enter(); err != nil {
		panic(err)
	}
	s := b.sessions.start("")
	c := b.newConnection(httptest.NewRequest("GET", "/", nil), Grant{Topics: topics}, s, b.opts.Compress)
	if err := b.follow(c); err != nil {
		panic(err)
	}
	c.at, _ = b.log.Head(c.ctx)
	s.proved(c.at)
	c.setTransport(newRaw(voidConn{}, b.opts.WriteTimeout))
	if !b.park(c) {
		panic("not parked")
	}
}

// Expect makes Wait wait for so many writes from here on.
func (v *Void) Expect(writes int) { v.target.Store(v.writes.Load() + int64(writes)) }

// Wait waits for the writes that Expect was told.
func (v *Void) Wait() { <-v.reached }

func (v *Void) detach(net.Conn) (int32, error)             { return v.handles.Add(1), nil }
func (v *Void) add(int32, int32) error                     { return nil }
func (v *Void) wantWrite(int32, int32, bool) error         { return nil }
func (v *Void) take(int32) (net.Conn, error)               { return voidConn{}, nil }
func (v *Void) close(int32)                                {}
func (v *Void) stop() error                                { close(v.stopped); return nil }
func (v *Void) wait(seen []readiness) ([]readiness, error) { <-v.stopped; return seen, net.ErrClosed }
func (v *Void) write(_ int32, p []byte) (int, error) {
	if v.writes.Add(1) == v.target.Load() {
		v.reached <- struct{}{}
	}
	return len(p), nil
}

type voidConn struct{ nonblocking }

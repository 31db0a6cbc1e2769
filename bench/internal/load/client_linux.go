package load

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/buffkit/buffkit/bench/internal/event"
)

// Ask is what a client knows when it asks for a stream.
type Ask struct {
	Client int    // its number; it follows the topics n with n modulo the number of clients being this
	LastID []byte // the id of the last event it has, empty at first
	Token  []byte // what the server gave it in Options.TokenHeader
	Next   uint32 // which event of its topic it waits for, counting from 0
}

// Options of a Client. Zero fields mean their defaults, but Addr, Conns and Request must be given.
type Options struct {
	Addr    netip.AddrPort
	Conns   int
	Topics  int                  // of the server. Default 1
	Request func(ask Ask) []byte // the bytes of a request. Called by one goroutine a loop
	// TokenHeader names a header of the answer whose value is kept for the next request.
	TokenHeader string
	Many        bool // several events may stand in one data line
	// Sample is how many of the clients are looked at, the first ones. Of the others only the bytes are counted, and a Goal
	// doesn't wait for them. Default: all.
	Sample int

	Loops         int // goroutines. Default: one for each 5,000 connections
	Sources       int // addresses that connections come from. Default 8
	InFlight      int // connections that may wait for an answer at once. Default 1,000
	ReceiveBuffer int // SO_RCVBUF, which the kernel doubles. Default 64 KiB, so that what a slow generator leaves behind stays bounded
}

const (
	connsPerLoop         = 5000
	defaultSources       = 8
	defaultInFlight      = 1000 // a quarter of the listen backlog that Linux gives: no SYN is lost, and its retry a second later isn't measured
	defaultReceiveBuffer = 64 << 10
)

func (o Options) withDefaults() Options {
	o.Topics = max(o.Topics, 1)
	if o.Sample == 0 {
		o.Sample = o.Conns
	}
	if o.Loops == 0 {
		o.Loops = (o.Conns + connsPerLoop - 1) / connsPerLoop
	}
	if o.Sources == 0 {
		o.Sources = defaultSources
	}
	if o.InFlight == 0 {
		o.InFlight = defaultInFlight
	}
	if o.ReceiveBuffer == 0 {
		o.ReceiveBuffer = defaultReceiveBuffer
	}
	return o
}

// Client is many clients of one server. Its methods must not overlap.
type Client struct {
	loops []*loop
}

// New makes the clients; none is connected yet. Close ends them.
func New(opts Options) (*Client, error) {
	opts = opts.withDefaults()
	c := &Client{}
	for i := range opts.Loops {
		first, next := i*opts.Conns/opts.Loops, (i+1)*opts.Conns/opts.Loops
		l, err := newLoop(&opts, first, next-first)
		if err != nil {
			c.Close()
			return nil, err
		}
		c.loops = append(c.loops, l)
	}
	return c, nil
}

// Close cuts all connections.
func (c *Client) Close() {
	for _, l := range c.loops {
		l.end()
	}
}

// all runs a function in every loop at once, and waits.
func (c *Client) all(f func(l *loop)) {
	var wg sync.WaitGroup
	for _, l := range c.loops {
		wg.Go(func() { l.do(func() { f(l) }) })
	}
	wg.Wait()
}

// Connect connects every client that isn't, and returns how long it took until the last one had its headers. The first
// error of any of them is returned at the end of the wave.
func (c *Client) Connect(ctx context.Context) (time.Duration, error) {
	begin := event.Now()
	waves := make([]<-chan struct{}, len(c.loops))
	for i, l := range c.loops {
		l.do(func() { waves[i] = l.connectAll() })
	}
	for _, wave := range waves {
		select {
		case <-wave:
		case <-ctx.Done():
			return 0, fmt.Errorf("connect: %w, %d are connected", ctx.Err(), c.open())
		}
	}
	return time.Duration(event.Now() - begin), c.Err()
}

func (c *Client) open() (n int) {
	for _, l := range c.loops {
		l.do(func() { n += l.open })
	}
	return n
}

// Cut breaks all connections, as a network would. What the clients know stays.
func (c *Client) Cut() {
	c.all(func(l *loop) {
		for i := range l.conns {
			l.drop(&l.conns[i])
		}
	})
}

// Goal is something that all clients wait for.
type Goal struct{ loops []*loop }

// Expect sets the goal: that each client gets n events in sequence from now on, or from the last call with fresh on.
func (c *Client) Expect(n int, fresh bool) Goal {
	c.all(func(l *loop) {
		l.goal, l.caught, l.lastAt, l.done = uint64(n), 0, 0, make(chan struct{})
		if l.looked() == 0 {
			close(l.done)
		}
		for i := range l.looked() {
			if fresh {
				l.conns[i].count = 0
			}
			l.conns[i].caught = false
			if l.conns[i].count >= l.goal {
				l.reached(&l.conns[i])
			}
		}
	})
	return Goal{c.loops}
}

// ErrNotAll is returned by Await when time was up.
var ErrNotAll = errors.New("not all clients got what they should")

// Await waits until all clients have reached the goal, and returns the time, by event.Now, when the last one had. It
// returns ErrNotAll with the number of those that have when the context ends.
func (g Goal) Await(ctx context.Context) (at int64, err error) {
	for _, l := range g.loops {
		select {
		case <-l.done:
		case <-l.gone:
			return 0, l.fault
		case <-ctx.Done():
			return 0, fmt.Errorf("%w: %d of %d", ErrNotAll, g.caught(), g.conns())
		}
	}
	for _, l := range g.loops {
		l.do(func() { at = max(at, l.lastAt) })
	}
	return at, nil
}

func (g Goal) caught() (n int) {
	for _, l := range g.loops {
		l.do(func() { n += l.caught })
	}
	return n
}

func (g Goal) conns() (n int) {
	for _, l := range g.loops {
		n += l.looked()
	}
	return n
}

// Take returns what was seen since the last Take.
func (c *Client) Take() Stats {
	var sum Stats
	sum.reset()
	var mu sync.Mutex
	c.all(func(l *loop) {
		s := l.stats
		now := event.Now()
		s.Open = l.open
		s.Rate = float64(s.Deliveries) / time.Duration(now-l.since).Seconds()
		l.since = now
		l.stats.reset()
		mu.Lock()
		defer mu.Unlock()
		sum.Add(s)
	})
	return sum
}

// Err returns the first thing that went wrong for good: an answer that isn't 200, a connection that wasn't answered.
func (c *Client) Err() (err error) {
	for _, l := range c.loops {
		l.do(func() {
			if err == nil {
				err = l.fault
			}
		})
	}
	return err
}

// Forget makes the clients new ones: without an id, a token or a place in their topics.
func (c *Client) Forget() {
	c.all(func(l *loop) {
		for i := range l.conns {
			k := &l.conns[i]
			k.id, k.nextID, k.token = k.id[:0], k.nextID[:0], k.token[:0]
			for j := range k.seqs {
				k.seqs[j] = noSeq
			}
		}
	})
}

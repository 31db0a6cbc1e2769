package load

import (
	"errors"
	"fmt"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/buffkit/buffkit/bench/internal/event"
)

// loop is one goroutine with some of the connections. Everything but the queue is its own.
type loop struct {
	opts  *Options
	first int // number of its first connection among all of the client's
	conns []conn
	epoll int
	bell  int // an eventfd: there is something in the queue, or the loop must end

	buf     []byte
	scratch []byte
	current *conn // being fed
	now     int64 // when what is fed was read

	waiting []int // connections that must connect, and may not yet
	flying  int   // connections between connect and the headers
	open    int
	goal    uint64
	caught  int           // open or not, those that have reached the goal
	done    chan struct{} // closed when all have
	lastAt  int64         // when the last one that reached the goal did
	opening *opening
	stats   Stats
	since   int64 // when the stats began
	fault   error // the first thing that went wrong for good

	mu    sync.Mutex // guards what follows
	queue []func()
	ended bool
	gone  chan struct{}
}

// opening is a wave of connects.
type opening struct {
	left int
	done chan struct{}
}

const (
	readBuffer = 256 << 10 // a read returns all that a socket holds
	batch      = 1024      // connections with news, looked at together
)

func newLoop(opts *Options, first, n int) (*loop, error) {
	l := &loop{
		opts: opts, first: first, conns: make([]conn, n), buf: make([]byte, readBuffer),
		since: event.Now(), gone: make(chan struct{}), done: make(chan struct{}),
	}
	l.stats.reset()
	perConn := max(1, (opts.Topics+opts.Conns-1)/opts.Conns)
	seqs := make([]uint32, n*perConn)
	for i := range seqs {
		seqs[i] = noSeq
	}
	for i := range l.conns {
		l.conns[i].fd = -1
		l.conns[i].many, l.conns[i].scratch = opts.Many, &l.scratch
		l.conns[i].raw = i >= l.looked()
		l.conns[i].seqs = seqs[i*perConn : (i+1)*perConn : (i+1)*perConn]
	}
	var err error
	if l.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, fmt.Errorf("epoll: %w", err)
	}
	if l.bell, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		unix.Close(l.epoll)
		return nil, fmt.Errorf("eventfd: %w", err)
	}
	unix.EpollCtl(l.epoll, unix.EPOLL_CTL_ADD, l.bell, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: bellIndex})
	go l.run()
	return l, nil
}

const bellIndex = -1

// do runs a function in the loop and waits for it.
func (l *loop) do(f func()) {
	ran := make(chan struct{})
	l.mu.Lock()
	l.queue = append(l.queue, func() { f(); close(ran) })
	l.mu.Unlock()
	l.ring()
	select {
	case <-ran:
	case <-l.gone:
	}
}

func (l *loop) ring() { unix.Write(l.bell, []byte{1, 0, 0, 0, 0, 0, 0, 0}) }

// end stops the loop and waits for it.
func (l *loop) end() {
	l.mu.Lock()
	l.ended = true
	l.mu.Unlock()
	l.ring()
	<-l.gone
}

func (l *loop) run() {
	defer close(l.gone)
	defer func() {
		for i := range l.conns {
			l.drop(&l.conns[i])
		}
		unix.Close(l.bell)
		unix.Close(l.epoll)
	}()
	events := make([]unix.EpollEvent, batch)
	for {
		n, err := unix.EpollWait(l.epoll, events, -1)
		if err != nil && !errors.Is(err, unix.EINTR) {
			l.fail(fmt.Errorf("epoll: %w", err))
			return
		}
		for _, e := range events[:max(n, 0)] {
			if e.Fd == bellIndex {
				if !l.orders() {
					return
				}
				continue
			}
			if c := &l.conns[e.Fd]; c.life == uint32(e.Pad) {
				l.serve(int(e.Fd), c, e.Events)
			}
		}
		l.connectSome()
	}
}

// orders runs what is in the queue; false means the end.
func (l *loop) orders() bool {
	var count [8]byte
	unix.Read(l.bell, count[:])
	l.mu.Lock()
	queue, ended := l.queue, l.ended
	l.queue = nil
	l.mu.Unlock()
	for _, f := range queue {
		f()
	}
	return !ended
}

func (l *loop) serve(i int, c *conn, events uint32) {
	if c.stage == connecting {
		l.request(i, c)
		return
	}
	n, err := unix.Read(int(c.fd), l.buf)
	switch {
	case err == unix.EAGAIN || err == unix.EINTR:
		return
	case n <= 0:
		l.lost(c, err)
		return
	}
	l.now, l.current = event.Now(), c
	l.stats.Reads++
	l.stats.Bytes += uint64(n)
	c.feed(l.buf[:n], l)
	if c.broken != nil {
		l.fail(fmt.Errorf("client %d: %w", l.first+i, c.broken))
	}
	if c.state == ended {
		l.lost(c, nil)
	}
}

// opened implements sink.
func (l *loop) opened(head []byte) {
	c := l.current
	c.stage = open
	l.open++
	l.flying--
	l.landed()
	l.stats.Connect.record(l.now - c.began)
	if c.status != 200 {
		l.fail(fmt.Errorf("the server answered: %.300q", head))
	}
	if l.opts.TokenHeader != "" {
		if token := header(head, l.opts.TokenHeader); token != nil {
			c.token = append(c.token[:0], token...)
		}
	}
}

// got implements sink.
func (l *loop) got(at int64, number uint32) {
	c := l.current
	l.stats.Deliveries++
	l.stats.Latency.record(l.now - at)
	topics := uint32(l.opts.Topics)
	seq := number / topics
	next := &c.seqs[number%topics/uint32(l.opts.Conns)]
	switch {
	case *next == noSeq || seq == *next:
	case seq > *next:
		l.stats.Lost += uint64(seq - *next)
	default:
		l.stats.Doubled++
		return
	}
	*next = seq + 1
	if c.count++; c.count == l.goal {
		l.reached(c)
	}
}

func (l *loop) reached(c *conn) {
	if c.caught {
		return
	}
	c.caught = true
	l.lastAt = max(l.lastAt, l.now)
	if l.caught++; l.caught == l.looked() {
		close(l.done)
	}
}

// looked is how many of its connections are looked at, the first ones.
func (l *loop) looked() int { return min(max(0, l.opts.Sample-l.first), len(l.conns)) }

// landed counts a connect that succeeded or failed.
func (l *loop) landed() {
	if l.opening == nil {
		return
	}
	if l.opening.left--; l.opening.left == 0 {
		close(l.opening.done)
		l.opening = nil
	}
}

// lost ends a connection that the server or the network ended.
func (l *loop) lost(c *conn, err error) {
	if c.stage != open {
		l.fail(fmt.Errorf("a connection ended before it was answered: %v", err))
	}
	l.stats.Ended++
	l.drop(c)
}

func (l *loop) fail(err error) {
	if l.fault == nil {
		l.fault = err
	}
}

// drop closes a connection without a word.
func (l *loop) drop(c *conn) {
	if c.fd < 0 {
		return
	}
	if c.stage == open {
		l.open--
	} else {
		l.flying--
		l.landed()
	}
	reset(int(c.fd))
	c.release()
	c.fd, c.stage = -1, closed
	c.life++
}

// connectAll begins a wave of connects of all that are closed.
func (l *loop) connectAll() <-chan struct{} {
	w := &opening{done: make(chan struct{})}
	for i := range l.conns {
		if l.conns[i].stage == closed {
			l.waiting = append(l.waiting, i)
		}
	}
	if w.left = len(l.waiting); w.left == 0 {
		close(w.done)
		return w.done
	}
	l.opening = w
	l.connectSome()
	return w.done
}

// connectSome connects as many as may be in flight.
func (l *loop) connectSome() {
	for len(l.waiting) > 0 && l.flying < l.opts.InFlight/l.opts.Loops+1 {
		i := l.waiting[0]
		l.waiting = l.waiting[1:]
		l.flying++
		if err := l.connect(i); err != nil {
			l.flying--
			l.fail(err)
			l.landed()
		}
	}
}

func (l *loop) connect(i int) error {
	c := &l.conns[i]
	c.reset()
	fd, err := socket(source(l.first+i, l.opts.Sources), l.opts.ReceiveBuffer)
	if err != nil {
		return err
	}
	c.began = event.Now()
	if err := dial(fd, l.opts.Addr); err != nil {
		unix.Close(fd)
		return err
	}
	c.fd, c.stage = int32(fd), connecting
	c.life++
	return unix.EpollCtl(l.epoll, unix.EPOLL_CTL_ADD, fd,
		&unix.EpollEvent{Events: unix.EPOLLOUT, Fd: int32(i), Pad: int32(c.life)})
}

// request asks for the stream on a connection that is there.
func (l *loop) request(i int, c *conn) {
	text := l.opts.Request(Ask{Client: l.first + i, LastID: c.id, Token: c.token, Next: l.nextOf(c)})
	n, err := unix.Write(int(c.fd), text)
	if err != nil || n < len(text) { // it is smaller than any send buffer
		l.lost(c, fmt.Errorf("%d of %d bytes sent: %w", n, len(text), err))
		return
	}
	c.stage = requested
	unix.EpollCtl(l.epoll, unix.EPOLL_CTL_MOD, int(c.fd), &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(i), Pad: int32(c.life)})
}

// nextOf is the sequence number that a connection of one topic waits for, 0 if it has had none.
func (l *loop) nextOf(c *conn) uint32 {
	if c.seqs[0] == noSeq {
		return 0
	}
	return c.seqs[0]
}

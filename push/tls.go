package push

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"sync"
	"syscall"
	"time"
)

// tlsMedium is the medium of HTTP/1.x over TLS. A *tls.Conn can't be taken apart, so it is kept, and stays in Go's poller; that costs some
// kilobytes a stream, but neither a goroutine nor net/http's buffers. The kernel watches its descriptor besides, for goodbyes alone.
//
// A record can't be written in part and gone on with later, so writing may wait, and workers do it: goroutines that exist only while there
// is work. What a stream is given is copied and queued. Until a worker has begun with it, more may join it; from then on
// the stream is full until it has left.
//
// One client that doesn't read holds one worker, until its write deadline. While there is work that waits, such a worker doesn't count any
// more after tlsPatience, and others come in its place. So there are at most as many as there are processors, twice, plus a few for
// each stream that is stuck; a stream that is known to be stuck is given nothing, so each holds up the others once at most.
//
// Nothing is read: there is nothing that a client of a stream has to say. What it sends is left in the socket, a request for new
// keys (KeyUpdate) or a close_notify included; its end is noticed when its side of the TCP connection ends, which comes with the
// close_notify of all clients we know. If it has sent something, the kernel closes with a reset, and the goodbye may be lost.
type tlsMedium struct {
	watch   *kernel
	report  func(readiness)
	timeout time.Duration // of a write
	most    int           // bytes that are joined
	usual   int           // workers, if none is stuck
	running sync.WaitGroup

	mu          sync.Mutex // guards what follows, and the fields of streams
	streams     map[int32]*tlsStream
	first, last *tlsStream // the queue
	queued      int
	workers     int
	writing     map[*tlsStream]struct{}
	stuck       int // of these, those that wait for long
	relief      *time.Timer
	relieved    bool // the timer runs
}

// tlsPatience is how long a write may take before it is the client's fault: a thousand times what it takes to encrypt a record and
// to copy it to the socket.
const tlsPatience = 10 * time.Millisecond

type tlsStream struct {
	conn        *tls.Conn
	handle, tag int32
	next        *tlsStream // in the queue
	queued      bool
	out         *buffer   // what is queued of it, nil if that is nothing
	began       time.Time // writing
	writing     bool
	stuck       bool
	want        bool // to be told when it can be written to
	closed      bool // it ends when all has left
	err         error
}

// newTLSMedium returns a medium that tells what comes of writes by report, which may be called by any goroutine, and doesn't block.
func newTLSMedium(o *Options, report func(readiness)) (*tlsMedium, error) {
	watch, err := newKernel()
	if err != nil {
		return nil, err
	}
	m := &tlsMedium{
		watch: watch, report: report, timeout: o.WriteTimeout, most: o.Limits.MaxBatchBytes, usual: 2 * runtime.GOMAXPROCS(0),
		streams: map[int32]*tlsStream{}, writing: map[*tlsStream]struct{}{},
	}
	m.relief = time.AfterFunc(maxDuration, m.relieve)
	return m, nil
}

// socketOf returns the socket beneath a connection, nil if it isn't known to be one.
func socketOf(c net.Conn) syscall.Conn {
	if c, ok := c.(*tls.Conn); ok {
		return socketOf(c.NetConn())
	}
	socket, _ := c.(syscall.Conn)
	return socket
}

func (m *tlsMedium) detach(c net.Conn) (handle int32, err error) {
	err = onDescriptor(socketOf(c), func(fd int) error { handle = int32(fd); return nil })
	if err != nil {
		return 0, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.streams[handle] = &tlsStream{conn: c.(*tls.Conn), handle: handle}
	return handle, nil
}

func (m *tlsMedium) add(handle, tag int32) error {
	m.mu.Lock()
	m.streams[handle].tag = tag
	m.mu.Unlock()
	return m.watch.add(handle, tag)
}

// write takes all or nothing.
func (m *tlsMedium) write(handle int32, p []byte) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.streams[handle]
	switch {
	case s.err != nil:
		return 0, s.err
	case s.writing || s.out != nil && (len(p) == 0 || len(s.out.bytes)+len(p) > m.most):
		return 0, errFull
	case len(p) == 0:
		return 0, nil
	}
	if s.out == nil {
		s.out = getBuffer()
	}
	s.out.bytes = append(s.out.bytes, p...)
	m.enqueue(s)
	return len(p), nil
}

func (m *tlsMedium) wantWrite(handle, _ int32, want bool) error {
	m.mu.Lock()
	s := m.streams[handle]
	s.want = want
	now, r := want && s.idle(), s.readiness()
	m.mu.Unlock()
	if now { // what was in the way has left meanwhile
		m.report(r)
	}
	return nil
}

func (s *tlsStream) idle() bool { return !s.writing && s.out == nil }

func (s *tlsStream) readiness() readiness {
	return readiness{handle: s.handle, tag: s.tag, writable: s.err == nil, gone: s.err != nil, err: s.err}
}

// take is for streams of which nothing is queued.
func (m *tlsMedium) take(handle int32) (net.Conn, error) { return m.forget(handle).conn, nil }

// forget ends the watch of a handle. Its descriptor is open still, so no other stream has its number.
func (m *tlsMedium) forget(handle int32) *tlsStream {
	m.watch.remove(handle)
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.streams[handle]
	delete(m.streams, handle)
	return s
}

// close closes a connection after all that it was given has left, a goodbye above all, or closeGrace is over.
func (m *tlsMedium) close(handle int32) {
	s := m.forget(handle)
	m.mu.Lock()
	defer m.mu.Unlock()
	s.closed = true
	if s.writing {
		s.conn.SetWriteDeadline(s.began.Add(closeGrace))
		return
	}
	m.enqueue(s)
}

func (m *tlsMedium) wait(seen []readiness) ([]readiness, error) { return m.watch.wait(seen) }

// stop returns when all that was closed is closed.
func (m *tlsMedium) stop() error {
	m.running.Wait()
	m.relief.Stop()
	return m.watch.stop()
}

// enqueue lets a worker look after a stream, soon. The lock is held, as for all that follow but work, send and hangUp.
func (m *tlsMedium) enqueue(s *tlsStream) {
	if s.queued {
		return
	}
	s.queued = true
	if m.last == nil {
		m.first = s
	} else {
		m.last.next = s
	}
	m.last = s
	m.queued++
	m.hire()
}

// dequeue begins with the stream that waits for longest: it arms its deadline. That is under the lock, lest it undo what close does, and
// doesn't wait, since the connection beneath is TCP's own.
func (m *tlsMedium) dequeue() (s *tlsStream, out *buffer) {
	s = m.first
	if m.first = s.next; m.first == nil {
		m.last = nil
	}
	m.queued--
	s.next, s.queued = nil, false
	s.writing, s.began = true, time.Now()
	m.writing[s] = struct{}{}
	out, s.out = s.out, nil
	if out != nil {
		timeout := m.timeout
		if s.closed {
			timeout = min(timeout, closeGrace)
		}
		s.conn.SetWriteDeadline(s.began.Add(timeout))
	}
	return s, out
}

// hire starts a worker, or sees to it that somebody looks whether one is needed.
func (m *tlsMedium) hire() {
	switch {
	case m.active() < m.room():
		m.workers++
		m.running.Go(m.work)
	case !m.relieved:
		m.relieved = true
		m.relief.Reset(tlsPatience)
	}
}

func (m *tlsMedium) active() int { return m.workers - m.stuck }

// room is how many workers may be active. It grows with those that are stuck, so that a thousand clients which stop at the same time
// don't take a thousand times tlsPatience.
func (m *tlsMedium) room() int { return max(m.usual, m.stuck) }

// relieve has others do the work of those that wait for a client.
func (m *tlsMedium) relieve() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.relieved = false
	if m.first == nil {
		return
	}
	for s := range m.writing {
		if !s.stuck && time.Since(s.began) >= tlsPatience {
			s.stuck = true
			m.stuck++
		}
	}
	for n := min(m.queued, m.room()-m.active()); n > 0; n-- {
		m.hire()
	}
	if !m.relieved {
		m.relieved = true
		m.relief.Reset(tlsPatience)
	}
}

// work writes until nothing is queued, or there are too many that do.
func (m *tlsMedium) work() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for m.first != nil && m.active() <= m.room() {
		s, out := m.dequeue()
		last, broken := s.closed, s.err != nil
		m.mu.Unlock()
		err := send(s.conn, out)
		if last {
			hangUp(s.conn, broken || err != nil)
		}
		m.mu.Lock()
		if m.done(s, err); s.closed {
			if !last {
				m.enqueue(s)
			}
		} else if s.want || s.err != nil {
			r := s.readiness()
			m.mu.Unlock()
			m.report(r)
			m.mu.Lock()
		}
	}
	m.workers--
}

// done notes what came of a write.
func (m *tlsMedium) done(s *tlsStream, err error) {
	s.writing, s.err = false, err
	delete(m.writing, s)
	if s.stuck {
		s.stuck = false
		m.stuck--
	}
}

func send(conn *tls.Conn, out *buffer) error {
	if out == nil {
		return nil
	}
	defer out.release()
	_, err := conn.Write(out.bytes)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = fmt.Errorf("%w: %w", ErrSlow, err)
	}
	return err
}

// hangUp closes a connection. Its last alert may have to wait for the client, for which package tls has more patience than we, and tries
// even after a write has failed.
func hangUp(conn *tls.Conn, broken bool) {
	if broken {
		conn.NetConn().Close()
	}
	cut := time.AfterFunc(closeGrace, func() { conn.NetConn().Close() })
	defer cut.Stop()
	conn.Close()
}

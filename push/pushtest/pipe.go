package pushtest

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// pipeBytes is what one direction of a pipe holds before its writer waits. net.Pipe holds nothing: a writer there waits for
// each read, which no network does.
const pipeBytes = 16 << 10 // small beside a socket's buffers, so that a test sees a slow reader after kilobytes

// pipe returns the ends of a connection in memory. Who waits on it is durably blocked in the sense of testing/synctest, and its
// deadlines run on the bubble's clock.
func pipe(client, server net.Addr) (near, far *pipeConn) {
	up, down := newHalfPipe(), newHalfPipe()
	return &pipeConn{in: down, out: up, local: client, remote: server}, &pipeConn{in: up, out: down, local: server, remote: client}
}

// pipeConn is one end. Like a TCP connection it can be half closed, and closed so hard that the other end sees a reset.
type pipeConn struct {
	in, out       *halfPipe
	local, remote net.Addr

	mu    sync.Mutex // guards abort
	abort bool
}

func (c *pipeConn) Read(p []byte) (int, error)  { return c.in.read(p) }
func (c *pipeConn) Write(p []byte) (int, error) { return c.out.write(p) }
func (c *pipeConn) LocalAddr() net.Addr         { return c.local }
func (c *pipeConn) RemoteAddr() net.Addr        { return c.remote }
func (c *pipeConn) CloseWrite() error           { c.out.end(); return nil }

// SetLinger is that of a *net.TCPConn: with 0, Close resets the connection.
func (c *pipeConn) SetLinger(seconds int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.abort = seconds == 0
	return nil
}

func (c *pipeConn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.abort {
		c.out.change(func() { c.out.broken = syscall.ECONNRESET })
	}
	c.out.change(func() { c.out.noWriter = true; c.out.writeBy.stop() })
	c.in.change(func() { c.in.noReader = true; c.in.readBy.stop() })
	return nil
}

func (c *pipeConn) SetDeadline(t time.Time) error {
	c.in.readBy.set(t)
	c.out.writeBy.set(t)
	return nil
}
func (c *pipeConn) SetReadDeadline(t time.Time) error  { c.in.readBy.set(t); return nil }
func (c *pipeConn) SetWriteDeadline(t time.Time) error { c.out.writeBy.set(t); return nil }

// TryWrite writes as much as there is room for. With Notify it lets package push park a stream, as it parks one on a TCP connection.
func (c *pipeConn) TryWrite(p []byte) (int, error) { return c.out.tryWrite(p) }

// Notify has f called when there is room again after TryWrite took less than all, and once the other end is gone.
func (c *pipeConn) Notify(f func(gone bool)) {
	c.in.change(func() { c.in.onEnd = f })
	c.out.change(func() { c.out.onRoom = f })
}

// halfPipe is one direction.
type halfPipe struct {
	mu       sync.Mutex // guards everything below
	changed  sync.Cond
	buf      []byte
	ended    bool  // by CloseWrite
	noWriter bool  // its end is closed
	noReader bool  // its end is closed
	broken   error // what the reader gets at once, whatever is in buf
	readBy   deadline
	writeBy  deadline

	refused bool            // tryWrite took less than all
	onRoom  func(gone bool) // of the writer: there is room, or nobody reads
	onEnd   func(gone bool) // of the reader: nothing comes any more
}

func newHalfPipe() *halfPipe {
	h := &halfPipe{}
	h.changed.L = &h.mu
	h.readBy.pipe, h.writeBy.pipe = h, h
	return h
}

// change changes a field and wakes who waits.
func (h *halfPipe) change(f func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f()
	h.changed.Broadcast()
	h.tell()
}

// tell calls who asked to be notified.
func (h *halfPipe) tell() {
	if h.onEnd != nil && (h.broken != nil || h.ended || h.noWriter) {
		h.onEnd(true)
	}
	switch {
	case h.onRoom == nil:
	case h.noReader:
		h.onRoom(true)
	case h.refused && len(h.buf) < pipeBytes:
		h.refused = false
		h.onRoom(false)
	}
}

func (h *halfPipe) end() { h.change(func() { h.ended = true }) }

func (h *halfPipe) read(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for {
		switch {
		case h.noReader:
			return 0, net.ErrClosed
		case h.broken != nil:
			return 0, h.broken
		case h.readBy.over():
			return 0, os.ErrDeadlineExceeded
		case len(h.buf) > 0:
			n := copy(p, h.buf)
			h.buf = append(h.buf[:0], h.buf[n:]...)
			h.changed.Broadcast()
			h.tell()
			return n, nil
		case h.ended, h.noWriter:
			return 0, io.EOF
		}
		h.changed.Wait()
	}
}

func (h *halfPipe) write(p []byte) (written int, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for {
		switch {
		case h.noWriter, h.ended:
			return written, net.ErrClosed
		case h.noReader:
			return written, syscall.EPIPE
		case h.writeBy.over():
			return written, os.ErrDeadlineExceeded
		}
		if n := min(len(p)-written, pipeBytes-len(h.buf)); n > 0 {
			h.buf = append(h.buf, p[written:written+n]...)
			written += n
			h.changed.Broadcast()
		}
		if written == len(p) {
			return written, nil
		}
		h.changed.Wait()
	}
}

func (h *halfPipe) tryWrite(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.noWriter, h.ended:
		return 0, net.ErrClosed
	case h.noReader:
		return 0, syscall.EPIPE
	}
	n := min(len(p), pipeBytes-len(h.buf))
	h.buf = append(h.buf, p[:n]...)
	h.refused = n < len(p)
	h.changed.Broadcast()
	return n, nil
}

// deadline wakes who waits on its pipe when it is over.
type deadline struct {
	pipe  *halfPipe
	at    time.Time
	timer *time.Timer
}

func (d *deadline) set(t time.Time) {
	d.pipe.change(func() {
		d.stop()
		if d.at = t; time.Now().Before(t) {
			d.timer = time.AfterFunc(time.Until(t), func() { d.pipe.change(func() {}) })
		}
	})
}

func (d *deadline) stop() {
	if d.timer != nil {
		d.timer.Stop()
	}
}

func (d *deadline) over() bool { return !d.at.IsZero() && !time.Now().Before(d.at) }

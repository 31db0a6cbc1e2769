package push_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"time"
)

// sink is a ResponseWriter with all powers that a stream wants. Its client reads everything, until it stalls.
type sink struct {
	mu       sync.Mutex // guards everything below
	header   http.Header
	status   int
	sent     http.Header // as of WriteHeader
	buf      []byte      // written
	flushed  int         // of them
	flushes  int
	writes   []int // bytes of each
	deadline time.Time
	armed    []time.Duration // what each deadline left for its write, 0 for a clear
	went     chan struct{}   // not nil while the client doesn't read; closed when it does again

	// Of a connection that was hijacked.
	hijacked bool
	gzip     bool          // may be sent
	pace     time.Duration // between two writes
	busy     bool          // with one
	left     bool          // the client
	closed   chan struct{}
	unread   chan struct{} // closed when a read's deadline is over
	notify   func(gone bool)
}

func newSink() *sink {
	return &sink{header: http.Header{}, closed: make(chan struct{}), unread: make(chan struct{})}
}

func (w *sink) Header() http.Header { return w.header }

func (w *sink) WriteHeader(status int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.status == 0 {
		w.status, w.sent = status, w.header.Clone()
	}
}

func (w *sink) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	if err := w.room(); err != nil {
		return 0, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.buf, w.writes = append(w.buf, p...), append(w.writes, len(p))
	return len(p), nil
}

func (w *sink) FlushError() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.flushed, w.flushes = len(w.buf), w.flushes+1
	return nil
}

func (w *sink) SetWriteDeadline(d time.Time) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.deadline = d
	if d.IsZero() {
		w.armed = append(w.armed, 0)
	} else {
		w.armed = append(w.armed, time.Until(d))
	}
	return nil
}

// room waits until the client reads, or for the deadline of the moment, looking anew now and then.
func (w *sink) room() error {
	for {
		w.mu.Lock()
		went, deadline, left, busy := w.went, w.deadline, w.left, w.busy
		w.mu.Unlock()
		if left {
			return net.ErrClosed
		}
		if !deadline.IsZero() && !time.Now().Before(deadline) {
			return fmt.Errorf("write: %w", os.ErrDeadlineExceeded)
		}
		if went == nil && !busy {
			return nil
		}
		select {
		case <-went:
		case <-time.After(time.Millisecond): // of the bubble
		}
	}
}

// stall makes the client stop reading.
func (w *sink) stall() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.went = make(chan struct{})
}

func (w *sink) resume() {
	w.change(func() {
		if w.went != nil {
			close(w.went)
			w.went = nil
		}
	})
}

// text is what the client has.
func (w *sink) text() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.gzip || w.sent.Get("Content-Encoding") != "gzip" {
		return string(w.buf[:w.flushed])
	}
	plain, err := gzip.NewReader(bytes.NewReader(w.buf[:w.flushed]))
	if err != nil {
		return err.Error()
	}
	text, _ := io.ReadAll(plain) // it has no end
	return string(text)
}

// change changes a field, and lets the medium of a parked stream know.
func (w *sink) change(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
	if w.notify != nil {
		w.notify(w.left)
	}
}

// awaitClose waits for the end of a connection that was hijacked.
func (w *sink) awaitClose() {
	w.mu.Lock()
	hijacked := w.hijacked
	w.mu.Unlock()
	if hijacked {
		<-w.closed
	}
}

// hijackable is a sink whose connection can be taken over.
type hijackable struct{ *sink }

func (h hijackable) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.hijacked = true
	return &sinkConn{sink: h.sink}, nil, nil
}

// sinkConn is the connection behind a sink. It takes the head of the answer apart for those who look at it.
type sinkConn struct {
	*sink
	head []byte // of the answer, until it is whole
}

func (c *sinkConn) Write(p []byte) (int, error) {
	if err := c.room(); err != nil {
		return 0, err
	}
	return c.TryWrite(p)
}

func (c *sinkConn) TryWrite(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.left:
		return 0, net.ErrClosed
	case c.went != nil || c.busy:
		return 0, nil
	}
	if c.pace > 0 {
		c.busy = true
		time.AfterFunc(c.pace, func() { c.change(func() { c.busy = false }) })
	}
	c.writes, c.flushes = append(c.writes, len(p)), c.flushes+1
	body := p
	if c.status == 0 {
		body = c.readHead(p)
	}
	c.buf = append(c.buf, body...)
	c.flushed = len(c.buf)
	return len(p), nil
}

func (c *sinkConn) readHead(p []byte) (body []byte) {
	c.head = append(c.head, p...)
	if !bytes.Contains(c.head, []byte("\r\n\r\n")) {
		return nil
	}
	answer, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(c.head)), nil)
	if err != nil {
		panic(err)
	}
	c.status, c.sent = answer.StatusCode, answer.Header
	_, body, _ = bytes.Cut(c.head, []byte("\r\n\r\n"))
	return body
}

func (c *sinkConn) Notify(f func(gone bool)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.notify = f
	if f != nil && c.left {
		f(true)
	}
}

func (c *sinkConn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case <-c.closed:
	default:
		close(c.closed)
	}
	return nil
}

func (c *sinkConn) Read([]byte) (int, error) {
	select {
	case <-c.closed:
	case <-c.unread:
	}
	return 0, net.ErrClosed
}
func (c *sinkConn) LocalAddr() net.Addr           { return &net.TCPAddr{} }
func (c *sinkConn) RemoteAddr() net.Addr          { return &net.TCPAddr{} }
func (c *sinkConn) SetDeadline(d time.Time) error { return c.SetWriteDeadline(d) }
func (c *sinkConn) SetReadDeadline(d time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if d.IsZero() {
		c.unread = make(chan struct{})
	} else {
		close(c.unread)
	}
	return nil
}

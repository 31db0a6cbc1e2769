package push

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"time"
)

// rawTransport writes text/event-stream to a connection taken from net/http. The answer has no length and isn't chunked: it ends with
// the connection, so the bytes of an event are the same for every client, and can be shared.
type rawTransport struct {
	conn    net.Conn
	unsent  []byte // what leaves with the first write
	timeout time.Duration
	aborted atomic.Bool
}

func newRaw(conn net.Conn, timeout time.Duration) *rawTransport {
	return &rawTransport{conn: conn, timeout: timeout}
}

// hijack takes the connection of a request. It writes nothing.
func hijack(w http.ResponseWriter, r *http.Request, o *Options, gzip bool) (*rawTransport, error) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return nil, err
	}
	if c := socketOf(conn); c != nil {
		tune(c, o.Limits.MaxBatchBytes, o.WriteTimeout)
	}
	t := newRaw(conn, o.WriteTimeout)
	t.unsent = streamHeader(r.ProtoMinor, w.Header(), gzip)
	return t, nil
}

// streamHeader is the head of an answer, with what outer middleware has set.
func streamHeader(minor int, h http.Header, gzip bool) []byte {
	setStreamHeaders(h, gzip)
	var b bytes.Buffer
	fmt.Fprintf(&b, "HTTP/1.%d 200 OK\r\nDate: ", min(minor, 1))
	b.WriteString(time.Now().UTC().Format(http.TimeFormat))
	b.WriteString("\r\nConnection: close\r\n")
	h.WriteSubset(&b, notOurs)
	b.WriteString("\r\n")
	return b.Bytes()
}

// notOurs are the headers that would say something wrong about an answer that ends with its connection.
var notOurs = map[string]bool{"Date": true, "Connection": true, "Content-Length": true, "Transfer-Encoding": true, "Trailer": true}

// watchGone reads what a client of a stream never sends, and calls gone when it leaves.
func (t *rawTransport) watchGone(gone context.CancelCauseFunc) {
	var b [64]byte
	for {
		if _, err := t.conn.Read(b[:]); err != nil {
			gone(nil)
			return
		}
	}
}

// watchWhile calls gone when the client leaves, until stop is called.
func (t *rawTransport) watchWhile(gone context.CancelCauseFunc) (stop func()) {
	ended := make(chan struct{})
	var stopped atomic.Bool
	go func() {
		defer close(ended)
		t.watchGone(func(error) {
			if !stopped.Load() {
				gone(nil)
			}
		})
	}()
	return func() {
		stopped.Store(true)
		t.conn.SetReadDeadline(time.Unix(1, 0))
		<-ended
		t.conn.SetReadDeadline(time.Time{})
	}
}

// open leaves the head of the answer to the first write, which follows.
func (t *rawTransport) open(first []byte) error {
	t.unsent = append(t.unsent, first...)
	return nil
}

func (t *rawTransport) write(p []byte) error {
	err := t.conn.SetWriteDeadline(time.Now().Add(t.timeout))
	if t.aborted.Load() { // before or after the deadline was set: it must not wait
		err = ErrSlow
	}
	if t.unsent != nil {
		p, t.unsent = append(t.unsent, p...), nil
	}
	if err == nil {
		_, err = t.conn.Write(p)
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = fmt.Errorf("%w: %w", ErrSlow, err)
	}
	if err != nil {
		return &brokenError{err}
	}
	return nil
}

func (t *rawTransport) abort() {
	t.aborted.Store(true)
	t.conn.SetWriteDeadline(time.Unix(1, 0))
}

func (t *rawTransport) close() { t.conn.Close() }

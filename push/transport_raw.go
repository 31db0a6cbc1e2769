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
	header  []byte
	timeout time.Duration
	aborted atomic.Bool
}

func newRaw(conn net.Conn, timeout time.Duration) *rawTransport {
	return &rawTransport{conn: conn, timeout: timeout}
}

// hijack takes the connection of a request. It writes nothing. gone is called when the client closes it, where nothing else would say so.
func hijack(w http.ResponseWriter, timeout time.Duration, gone context.CancelCauseFunc) (*rawTransport, error) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return nil, err
	}
	t := newRaw(conn, timeout)
	t.header = streamHeader(w.Header())
	if _, plain := conn.(*net.TCPConn); !plain {
		go watchGone(conn, gone)
	}
	return t, nil
}

// streamHeader is the head of an answer, with what outer middleware has set.
func streamHeader(h http.Header) []byte {
	setStreamHeaders(h)
	var b bytes.Buffer
	b.WriteString("HTTP/1.1 200 OK\r\nDate: ")
	b.WriteString(time.Now().UTC().Format(http.TimeFormat))
	b.WriteString("\r\nConnection: close\r\n")
	h.WriteSubset(&b, map[string]bool{"Date": true, "Connection": true, "Content-Length": true, "Transfer-Encoding": true, "Trailer": true})
	b.WriteString("\r\n")
	return b.Bytes()
}

// watchGone reads what a client of a stream never sends.
func watchGone(conn net.Conn, gone context.CancelCauseFunc) {
	var b [64]byte
	for {
		if _, err := conn.Read(b[:]); err != nil {
			gone(nil)
			return
		}
	}
}

func (t *rawTransport) open() error {
	err := t.write(append(t.header, firstBytes...))
	t.header = nil
	return err
}

func (t *rawTransport) write(p []byte) error {
	err := t.conn.SetWriteDeadline(time.Now().Add(t.timeout))
	if t.aborted.Load() { // before or after the deadline was set: it must not wait
		err = ErrSlow
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

// plain returns the TCP connection, nil if it is something else.
func (t *rawTransport) plain() *net.TCPConn {
	conn, _ := t.conn.(*net.TCPConn)
	return conn
}

func (t *rawTransport) close() { t.conn.Close() }

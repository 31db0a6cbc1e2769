package push

import (
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"
)

// transport is how bytes leave an open stream. Calls of write don't overlap; abort may come at any time, also after close.
type transport interface {
	// open answers the request and sends the first bytes, at the latest with those of the first write.
	open(first []byte) error
	// write sends whole frames, and returns when they have left or the write timeout is over. An error is a *brokenError: the
	// stream has ended.
	write(p []byte) error
	// abort makes a write that waits, and all later ones, fail at once.
	abort()
	// close ends the use of what the transport was made from.
	close()
}

// sseTransport writes text/event-stream to a ResponseWriter. Each write arms a deadline, flushes, and clears the
// deadline: one that is left armed kills an idle HTTP/2 stream.
type sseTransport struct {
	w       http.ResponseWriter
	rc      *http.ResponseController
	timeout time.Duration
	gzip    bool

	mu      sync.Mutex // guards what follows, and deadlines against the end of w
	aborted bool
	closed  bool
}

var firstBytes = []byte(": ok\n\n") // HTTP/2 proxies hold headers back until a DATA frame comes

func newSSE(w http.ResponseWriter, timeout time.Duration, gzip bool) *sseTransport {
	return &sseTransport{w: w, rc: http.NewResponseController(w), timeout: timeout, gzip: gzip}
}

// open keeps the headers that were set before. A server's ReadTimeout is over with the request, which has no body; its WriteTimeout
// gives way to the first deadline of our own.
func (t *sseTransport) open(first []byte) error {
	setStreamHeaders(t.w.Header(), t.gzip)
	t.w.WriteHeader(http.StatusOK) // before the first flush: compressing middleware decides here
	return t.write(first)
}

func setStreamHeaders(h http.Header, gzip bool) {
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-cache, no-transform")
	h.Set("X-Accel-Buffering", "no")
	h.Del("Content-Length")
	if gzip {
		h.Set("Content-Encoding", "gzip")
	}
}

func (t *sseTransport) write(p []byte) error {
	deadline := time.Now().Add(t.timeout)
	err := t.setDeadline(deadline)
	if err == nil {
		_, err = t.w.Write(p)
	}
	if err == nil {
		err = t.rc.Flush()
	}
	if err == nil {
		err = t.setDeadline(time.Time{})
	}
	if err == nil {
		return nil
	}
	if !time.Now().Before(deadline) { // the error doesn't tell: on HTTP/2 the stream is just closed
		err = fmt.Errorf("%w: %w", ErrSlow, err)
	}
	return &brokenError{err}
}

// brokenError is why nothing more can be written to a stream.
type brokenError struct{ err error }

func (e *brokenError) Error() string { return e.err.Error() }
func (e *brokenError) Unwrap() error { return e.err }

// setDeadline is a no-op on a writer that has no deadlines.
func (t *sseTransport) setDeadline(d time.Time) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.aborted {
		return ErrSlow
	}
	if err := t.rc.SetWriteDeadline(d); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	return nil
}

func (t *sseTransport) abort() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.aborted || t.closed {
		return
	}
	t.aborted = true
	t.rc.SetWriteDeadline(time.Unix(1, 0)) // the past: the write fails; without deadlines nothing can be done
}

func (t *sseTransport) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
}

// canStream says what a ResponseWriter, or the first one that it hides, lacks.
func canStream(w http.ResponseWriter) (flush, deadline bool) {
	for {
		switch w.(type) {
		case http.Flusher, interface{ FlushError() error }:
			flush = true
		}
		if _, ok := w.(interface{ SetWriteDeadline(time.Time) error }); ok {
			deadline = true
		}
		wrapper, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			return flush, deadline
		}
		w = wrapper.Unwrap()
	}
}

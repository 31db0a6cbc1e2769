package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// watchdog cancels a connection when the server is silent for too long. It only watches while the client waits for the server, so
// a caller that takes its time isn't mistaken for silence.
type watchdog struct {
	timer *time.Timer
	limit time.Duration
}

func newWatchdog(cancel context.CancelCauseFunc) *watchdog {
	timer := time.AfterFunc(time.Hour, func() { cancel(ErrSilent) })
	timer.Stop()
	return &watchdog{timer: timer}
}

// watch begins to wait; a limit below 1 is none.
func (w *watchdog) watch(limit time.Duration) {
	if w.limit = limit; limit > 0 {
		w.timer.Reset(limit)
	}
}

func (w *watchdog) stop() { w.timer.Stop() }

// blame replaces the error of a connection that the watchdog has cut.
func (w *watchdog) blame(ctx context.Context, end ending) ending {
	if end.err != nil && errors.Is(context.Cause(ctx), ErrSilent) {
		return ending{err: fmt.Errorf("%w for %v", ErrSilent, w.limit)}
	}
	return end
}

// patientReader watches each read.
type patientReader struct {
	body  io.Reader
	dog   *watchdog
	limit func() time.Duration
}

func (r *patientReader) Read(p []byte) (int, error) {
	r.dog.watch(r.limit())
	defer r.dog.stop()
	return r.body.Read(p)
}

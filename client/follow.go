package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/buffkit/buffkit/sse"
)

// follower is what outlives a connection.
type follower struct {
	opts Options // with its defaults
	url  string
	http *http.Client

	place     place
	token     string        // of the session
	heartbeat time.Duration // as the server told last, 0 if it didn't
	backoff   backoff
}

// ending says why a connection is over. The zero value means that the iteration is, too, without an error.
type ending struct {
	err   error
	final bool
	told  time.Duration // what the server asked us to wait, 0 if it didn't
}

// run returns the final error, nil if there is none.
func (f *follower) run(ctx context.Context, yield func(Event, error) bool) error {
	for {
		end := f.connect(ctx, yield)
		if end.err == nil || ctx.Err() != nil {
			return nil
		}
		if end.final {
			return end.err
		}
		wait := f.backoff.next(end.told)
		if f.opts.OnDisconnect != nil {
			f.opts.OnDisconnect(end.err, wait)
		}
		if !sleep(ctx, wait) {
			return nil
		}
	}
}

// connect lives through one connection. When it returns, the connection is closed.
func (f *follower) connect(ctx context.Context, yield func(Event, error) bool) ending {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	dog := newWatchdog(cancel)
	defer dog.stop()

	dog.watch(f.opts.OpenTimeout)
	resp, end := f.open(ctx)
	dog.stop()
	if resp == nil {
		return dog.blame(ctx, end)
	}
	defer resp.Body.Close()
	opened := time.Now()
	defer func() {
		if time.Since(opened) >= f.opts.MaxRetry { // a quiet server that held the connection is no failure
			f.backoff.success()
		}
	}()
	f.place.trusted = false
	return dog.blame(ctx, f.read(&patientReader{resp.Body, dog, f.patience}, yield))
}

// read yields the events of an open stream.
func (f *follower) read(body *patientReader, yield func(Event, error) bool) ending {
	events := sse.Scan(body, &sse.ScanOptions{
		MaxEventBytes: f.opts.MaxEventBytes,
		LastEventID:   f.place.cursor,
		OnID:          f.place.commit,
		OnRetry:       func(d time.Duration) { f.backoff.base = max(min(d, maxTold), f.opts.MinRetry) },
	})
	for e, err := range events {
		switch {
		case errors.Is(err, sse.ErrTooLarge): // it would come again
			return ending{err: fmt.Errorf("client: %w", err), final: true}
		case err != nil:
			return ending{err: fmt.Errorf("client: %w", err)}
		case strings.HasPrefix(e.Name, controlPrefix):
			if end := f.control(e); end != nil {
				return *end
			}
			if e.ID != "" && !e.Inherited && !f.place.repeated && f.opts.OnCursor != nil {
				f.opts.OnCursor(f.place.cursor)
			}
		case e.ID != "" && !e.Inherited && f.place.repeated:
		default:
			f.backoff.success()
			if !yield(Event{f.place.cursor, e.Name, e.Data}, nil) {
				return ending{}
			}
		}
	}
	return ending{err: ErrEnded}
}

// patience is the silence that an open stream is allowed, 0 for any.
func (f *follower) patience() time.Duration {
	switch {
	case f.opts.Watchdog != 0:
		return f.opts.Watchdog
	case f.heartbeat == 0 && f.token != "" && !f.place.trusted: // buffkit has answered, and hasn't said buffkit.open
		return f.opts.OpenTimeout
	}
	return 2 * f.heartbeat // docs/wire.md section 4
}

// sleep returns false if the context ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

package hub

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/buffkit/buffkit/push"
)

type status struct {
	Status string `json:"status"`
}

// live answers GET /livez: the process serves HTTP.
func (h *Hub) live(w http.ResponseWriter, _ *http.Request) error {
	writeJSON(w, http.StatusOK, status{"ok"})
	return nil
}

// ready answers GET /readyz: new streams are taken, and an event that is published now reaches them.
func (h *Hub) ready(w http.ResponseWriter, r *http.Request) error {
	if h.draining.Load() {
		return push.ErrDraining
	}
	if err := h.check(r.Context()); err != nil {
		if r.Context().Err() != nil {
			return err
		}
		if p := told(err); p != nil && p.cause == nil {
			return p
		}
		return newProblem(http.StatusServiceUnavailable, "not_ready", "events don't get through; the server's log says why")
	}
	writeJSON(w, http.StatusOK, status{"ok"})
	return nil
}

// health is what the last canary proved, which all who ask share.
type health struct {
	mu   sync.Mutex // guards last
	last *canary
}

type canary struct {
	began time.Time
	done  chan struct{}
	err   error // read after done is closed
}

// next returns the canary to wait for. Whoever gets a fresh one has to send it.
func (s *health) next(interval time.Duration) (c *canary, fresh bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.last; c != nil {
		select {
		case <-c.done:
			if time.Since(c.began) < interval {
				return c, false
			}
		default:
			return c, false
		}
	}
	s.last = &canary{began: time.Now(), done: make(chan struct{})}
	return s.last, true
}

var errPanicked = errors.New("the check panicked")

// check returns what the canary of this moment proves. The first who asks sends it, for the others too: it goes on when that
// one has gone.
func (h *Hub) check(ctx context.Context) error {
	c, fresh := h.health.next(h.opts.CheckInterval)
	if fresh {
		c.err = errPanicked // unless it returns
		defer close(c.done)
		send, cancel := context.WithTimeout(context.WithoutCancel(ctx), h.opts.CheckTimeout)
		defer cancel()
		if c.err = h.broker.Check(send); c.err != nil {
			h.opts.Logger.WarnContext(ctx, "not ready", "error", c.err)
		}
		return c.err
	}
	select {
	case <-c.done:
		return c.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

package hub

import (
	"context"
	"net/http"

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
	ctx, cancel := context.WithTimeout(r.Context(), h.opts.CheckTimeout)
	defer cancel()
	if err := h.broker.Check(ctx); err != nil {
		if r.Context().Err() != nil {
			return err
		}
		h.opts.Logger.WarnContext(ctx, "not ready", "error", err)
		if p := told(err); p != nil {
			return p
		}
		return newProblem(http.StatusServiceUnavailable, "not_ready", "events don't get through; the server's log says why")
	}
	writeJSON(w, http.StatusOK, status{"ok"})
	return nil
}

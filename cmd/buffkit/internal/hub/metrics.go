package hub

import (
	"fmt"
	"net/http"
)

// metrics answers GET /metrics in the text format of Prometheus. A client library of theirs would bring a tree of modules for three
// numbers that the broker counts anyway.
func (h *Hub) metrics(w http.ResponseWriter, r *http.Request) error {
	if _, err := h.grant(r); err != nil {
		return err
	}
	stats := h.broker.Stats()
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	for _, m := range []struct {
		name, help string
		value      int
	}{
		{"buffkit_connections", "Open streams.", stats.Connections},
		{"buffkit_connections_parked", "Open streams that hold no goroutine.", stats.Parked},
		{"buffkit_sessions", "Sessions, connected or not.", stats.Sessions},
	} {
		fmt.Fprintf(w, "# HELP %[1]s %[2]s\n# TYPE %[1]s gauge\n%[1]s %[3]d\n", m.name, m.help, m.value)
	}
	return nil
}

package hub

import (
	"fmt"
	"net/http"
	"strconv"

	"github.com/buffkit/buffkit/eventlog"
)

// metric is a number as Prometheus reads it.
type metric struct {
	name, kind, help string
	value            float64
}

// metrics answers GET /metrics in the text format of Prometheus. A client library of theirs would bring a tree of modules for a few
// numbers that the broker and the log count anyway.
func (h *Hub) metrics(w http.ResponseWriter, r *http.Request) error {
	if _, err := h.grant(r); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	for _, m := range append(h.streamMetrics(), h.logMetrics()...) {
		fmt.Fprintf(w, "# HELP %[1]s %[2]s\n# TYPE %[1]s %[3]s\n%[1]s %[4]s\n", m.name, m.help, m.kind, strconv.FormatFloat(m.value, 'f', -1, 64))
	}
	return nil
}

func (h *Hub) streamMetrics() []metric {
	stats := h.broker.Stats()
	return []metric{
		{"buffkit_connections", "gauge", "Open streams.", float64(stats.Connections)},
		{"buffkit_connections_parked", "gauge", "Open streams that hold no goroutine.", float64(stats.Parked)},
		{"buffkit_sessions", "gauge", "Sessions, connected or not.", float64(stats.Sessions)},
		{"buffkit_sessions_down", "gauge", "1 while the store of sessions doesn't answer.", oneIf(stats.SessionsDown)},
	}
}

// What the logs that serve opens tell of themselves: one in memory its size, the others how they follow their store, too.
type (
	sized    interface{ Stats() eventlog.MemoryStats }
	follower interface {
		Stats() eventlog.ReplicaStats
		Health() error
	}
)

func (h *Hub) logMetrics() []metric {
	switch log := h.log.(type) {
	case sized:
		return sizeMetrics(log.Stats())
	case follower:
		stats := log.Stats()
		return append(sizeMetrics(stats.MemoryStats),
			metric{"buffkit_log_down", "gauge", "1 while the store of events can't be followed.", oneIf(log.Health() != nil)},
			metric{"buffkit_log_lag_seconds", "gauge", "How long ago the store of events was heard of.", stats.Lag.Seconds()},
			metric{"buffkit_log_ranges_total", "counter", "Reads of history from the store of events.", float64(stats.Ranges)})
	}
	return nil
}

func sizeMetrics(stats eventlog.MemoryStats) []metric {
	return []metric{
		{"buffkit_log_topics", "gauge", "Topics with events in this node's memory.", float64(stats.Topics)},
		{"buffkit_log_events", "gauge", "Events in this node's memory.", float64(stats.Events)},
		{"buffkit_log_bytes", "gauge", "Bytes that they take.", float64(stats.Bytes)},
	}
}

func oneIf(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}

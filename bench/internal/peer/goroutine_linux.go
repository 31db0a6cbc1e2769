package peer

import (
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
)

// goroutinePeer is what most tutorials end with: a channel for each client, and a handler that waits for it.
var goroutinePeer = Peer{
	Name: "goroutine", Title: "goroutine and channel", Pace: 218e3,
	request: byLastEventID("/events"),
	start: func(Options) (*Started, error) {
		h := &goroutines{topics: map[string]map[chan []byte]struct{}{}}
		return Listen(h, h)
	},
}

// goroutineGzipPeer is the same with a gzip.Writer for each client, as a middleware that compresses would have it.
var goroutineGzipPeer = Peer{
	Name: "goroutine-gzip", Title: "goroutine and channel, gzip", Pace: 15e3, Gzip: true,
	request: byLastEventID("/events"),
	start: func(Options) (*Started, error) {
		h := &goroutines{topics: map[string]map[chan []byte]struct{}{}, gzip: true}
		return Listen(h, h)
	},
}

const goroutineQueue = 64 // events that a client may be behind; what comes then is dropped

type goroutines struct {
	mu     sync.RWMutex // guards topics
	topics map[string]map[chan []byte]struct{}
	sent   uint64
	gzip   bool
}

// flusher is a gzip.Writer, or what does nothing instead.
type flusher interface {
	io.Writer
	Flush() error
}

type plain struct{ io.Writer }

func (plain) Flush() error { return nil }

// writer returns where the frames of a client go.
func (h *goroutines) writer(w http.ResponseWriter, r *http.Request) flusher {
	if !h.gzip || !strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		return plain{w}
	}
	w.Header().Set("Content-Encoding", "gzip")
	return gzip.NewWriter(w)
}

func (h *goroutines) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-cache")
	topics := r.URL.Query()["topic"]
	queue := make(chan []byte, goroutineQueue)
	h.join(topics, queue)
	defer h.leave(topics, queue)
	out := h.writer(w, r)
	w.WriteHeader(http.StatusOK)
	rc := http.NewResponseController(w)
	rc.Flush()
	for {
		select {
		case frame := <-queue:
			out.Write(frame)
			if out.Flush() != nil || rc.Flush() != nil {
				return
			}
		case <-r.Context().Done():
			return
		}
	}
}

func (h *goroutines) join(topics []string, queue chan []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, topic := range topics {
		if h.topics[topic] == nil {
			h.topics[topic] = map[chan []byte]struct{}{}
		}
		h.topics[topic][queue] = struct{}{}
	}
}

func (h *goroutines) leave(topics []string, queue chan []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, topic := range topics {
		delete(h.topics[topic], queue)
	}
}

func (h *goroutines) Publish(topic int, payload []byte) error {
	h.sent++
	frame := fmt.Appendf(nil, "id: %s\ndata: %s\n\n", strconv.FormatUint(h.sent, 10), payload)
	h.mu.RLock()
	defer h.mu.RUnlock()
	for queue := range h.topics[Topic(topic)] {
		select {
		case queue <- frame:
		default:
		}
	}
	return nil
}

func (h *goroutines) Close() {}

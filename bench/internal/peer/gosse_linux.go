package peer

import (
	"context"
	"net/http"

	"github.com/tmaxmax/go-sse"
)

var gossePeer = Peer{
	Name: "go-sse", Title: "tmaxmax/go-sse 0.11", Resumes: true, Pace: 70e3,
	request: eventSource,
	start:   startGosse,
}

type gosse struct{ server *sse.Server }

// startGosse gives Joe, the provider that the library brings, a replayer for all topics together.
func startGosse(o Options) (*Started, error) {
	replayer, err := sse.NewFiniteReplayer(max(2, o.Events), true)
	if err != nil {
		return nil, err
	}
	g := &gosse{&sse.Server{
		Provider: &sse.Joe{Replayer: replayer},
		OnSession: func(w http.ResponseWriter, r *http.Request) ([]string, bool) {
			// The library sends its headers with the first event: a generator that connects ten thousand clients before it
			// publishes would wait for ever.
			w.Header().Set("Content-Type", "text/event-stream")
			http.NewResponseController(w).Flush()
			return r.URL.Query()["topic"], true
		},
	}}
	mux := http.NewServeMux()
	mux.Handle("GET /events", g.server)
	return Listen(g, mux)
}

func (g *gosse) Publish(topic int, payload []byte) error {
	m := &sse.Message{}
	m.AppendData(string(payload))
	return g.server.Publish(m, Topic(topic))
}

func (g *gosse) Close() { g.server.Shutdown(context.Background()) }

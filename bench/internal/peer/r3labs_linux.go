package peer

import (
	"net/http"

	"github.com/r3labs/sse/v2"
)

var r3labsPeer = Peer{
	Name: "r3labs", Title: "r3labs/sse 2.10", Resumes: true, OneTopic: true, Pace: 193e3,
	request: func(a Asking) string {
		r := "/events?stream=" + a.Topics[0] + "\r\n"
		if len(a.LastID) > 0 {
			r += "Last-Event-ID: " + string(a.LastID) + "\r\n"
		}
		return r
	},
	start: startR3labs,
}

type r3labs struct{ server *sse.Server }

// startR3labs leaves AutoReplay on, as it is by default: it keeps all events of a stream for ever, and sends them to a client that says no
// id too.
func startR3labs(o Options) (*Started, error) {
	r := &r3labs{sse.New()}
	for i := range o.Topics {
		r.server.CreateStream(Topic(i))
	}
	mux := http.NewServeMux()
	mux.Handle("GET /events", r.server)
	return Listen(r, mux)
}

func (r *r3labs) Publish(topic int, payload []byte) error {
	r.server.Publish(Topic(topic), &sse.Event{Data: payload})
	return nil
}

func (r *r3labs) Close() { r.server.Close() }

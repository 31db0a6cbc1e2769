package peer

import (
	"context"
	"net/http"

	"github.com/buffkit/buffkit/eventlog"
	"github.com/buffkit/buffkit/push"
)

// buffkitPeer is the broker as its users have it: a session for each client, a signed token that rotates at each connect, and a log that
// keeps what must be resumed.
var buffkitPeer = Peer{
	Name: Ours, Title: "buffkit", Resumes: true, Pace: 3e6, TokenHeader: "Buffkit-Session",
	request: func(a Asking) string {
		r := eventSource(a) + "Buffkit-Client: bench/1\r\n"
		if len(a.Token) > 0 {
			r += "Buffkit-Session: " + string(a.Token) + "\r\n"
		}
		return r
	},
	start: func(o Options) (*Started, error) { return startBuffkit(o, push.Options{}) },
}

var buffkitGzipPeer = Peer{
	Name: "buffkit-gzip", Title: "buffkit, gzip", Pace: 3e6, Gzip: true, TokenHeader: "Buffkit-Session",
	request: buffkitPeer.request,
	start:   func(o Options) (*Started, error) { return startBuffkit(o, push.Options{Compress: true}) },
}

var eventSource = byLastEventID("/events")

type buffkit struct {
	broker *push.Broker
	log    *eventlog.Memory
	names  []string // of the topics
}

const (
	frameOverhead = 64 // id: and data: lines
)

// startBuffkit starts a broker with options that are the scenario's or the peer's own.
func startBuffkit(o Options, own push.Options) (*Started, error) {
	keep := eventlog.Retention{
		Count: max(o.History, eventlog.DefaultRetentionCount),
		Bytes: max(int64(o.History)*int64(o.Size+frameOverhead), eventlog.DefaultRetentionBytes),
	}
	b := &buffkit{log: eventlog.NewMemory(&eventlog.MemoryOptions{
		Retention: keep,
		MaxBytes:  max(2*keep.Bytes*int64(o.Topics), eventlog.DefaultMaxBytes),
	})}
	own.Log, own.WriteTimeout = b.log, o.WriteTimeout
	var err error
	b.broker, err = push.New(func(r *http.Request) (push.Grant, error) {
		return push.Grant{Topics: push.RequestedTopics(r)}, nil
	}, &own)
	if err != nil {
		return nil, err
	}
	for i := range o.Topics {
		b.names = append(b.names, Topic(i))
	}
	mux := http.NewServeMux()
	mux.Handle("GET /events", b.broker)
	return Listen(b, mux)
}

func (b *buffkit) Publish(topic int, payload []byte) error {
	_, err := b.broker.Publish(context.Background(), push.Event{Topic: b.names[topic], Data: payload})
	return err
}

func (b *buffkit) Close() {
	b.broker.Close()
	b.log.Close()
}

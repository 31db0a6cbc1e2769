// Command centrifuge is the server under test of that name. The driver of bench builds and starts it.
package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/centrifugal/centrifuge"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/buffkit/buffkit/bench/internal/peer"
)

func main() {
	if err := peer.Main(start, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// server is the node.
type server struct {
	node    *centrifuge.Node
	history centrifuge.PublishOption
}

type topicsKey struct{}

func start(o peer.Options) (*peer.Started, error) {
	node, err := centrifuge.New(centrifuge.Config{
		Metrics: centrifuge.MetricsConfig{RegistererGatherer: prometheus.NewRegistry()},
	})
	if err != nil {
		return nil, err
	}
	node.OnConnecting(func(ctx context.Context, _ centrifuge.ConnectEvent) (centrifuge.ConnectReply, error) {
		reply := centrifuge.ConnectReply{
			Credentials:   &centrifuge.Credentials{},
			Subscriptions: map[string]centrifuge.SubscribeOptions{},
		}
		for _, topic := range ctx.Value(topicsKey{}).([]string) {
			reply.Subscriptions[topic] = centrifuge.SubscribeOptions{EnableRecovery: true}
		}
		return reply, nil
	})
	if err := node.Run(); err != nil {
		return nil, err
	}
	// The pong would have to be sent in a request of its own: an EventSource can't.
	handler := centrifuge.NewSSEHandler(node, centrifuge.SSEConfig{
		PingPongConfig: centrifuge.PingPongConfig{PongTimeout: -1},
	})
	mux := http.NewServeMux()
	mux.HandleFunc("GET /events", func(w http.ResponseWriter, r *http.Request) {
		handler.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), topicsKey{}, r.URL.Query()["topic"])))
	})
	s := &server{node, centrifuge.WithHistory(max(1, o.History), time.Hour)}
	return peer.Listen(s, mux)
}

// Publish implements peer.Server.
func (s *server) Publish(topic int, payload []byte) error {
	_, err := s.node.Publish(peer.Topic(topic), payload, s.history)
	return err
}

// Epoch is the same for all topics, and for as long as the process runs.
func (s *server) Epoch() string {
	h, err := s.node.History(peer.Topic(0))
	if err != nil {
		return fmt.Sprintf("no epoch: %v", err)
	}
	return h.Epoch
}

// Close implements peer.Server.
func (s *server) Close() { s.node.Shutdown(context.Background()) }

package main

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/centrifugal/centrifuge"
	"github.com/prometheus/client_golang/prometheus"
)

func topicNames(c config) []string {
	names := make([]string, c.topics)
	for i := range names {
		names[i] = "topic" + strconv.Itoa(i)
	}
	return names
}

// centrifugePair is two of centrifuge's nodes. The broker of the second is subscribed to all channels.
type centrifugePair struct {
	nodes   []*centrifuge.Node
	near    *centrifuge.RedisBroker
	history centrifuge.PublishOptions
}

func openCentrifuge(addr string, c config, r receive) (peer, error) {
	p := &centrifugePair{history: centrifuge.PublishOptions{HistorySize: c.history, HistoryTTL: time.Hour}}
	var brokers []*centrifuge.RedisBroker
	for _, handler := range []centrifuge.BrokerEventHandler{handler(nil), handler(r)} {
		node, broker, err := newNode(addr)
		if err != nil {
			return nil, err
		}
		if err := broker.RegisterBrokerEventHandler(handler); err != nil {
			return nil, err
		}
		p.nodes, brokers = append(p.nodes, node), append(brokers, broker)
	}
	p.near = brokers[0]
	for _, topic := range topicNames(c) {
		if err := brokers[1].Subscribe(topic); err != nil {
			return nil, err
		}
	}
	return p, nil
}

func newNode(addr string) (*centrifuge.Node, *centrifuge.RedisBroker, error) {
	node, err := centrifuge.New(centrifuge.Config{Metrics: centrifuge.MetricsConfig{RegistererGatherer: prometheus.NewRegistry()}})
	if err != nil {
		return nil, nil, err
	}
	shard, err := centrifuge.NewRedisShard(node, centrifuge.RedisShardConfig{Address: addr})
	if err != nil {
		return nil, nil, err
	}
	broker, err := centrifuge.NewRedisBroker(node, centrifuge.RedisBrokerConfig{Shards: []*centrifuge.RedisShard{shard}})
	return node, broker, err
}

func (p *centrifugePair) publish(_ context.Context, topic string, data []byte) error {
	_, _, err := p.near.Publish(topic, data, p.history)
	return err
}

func (p *centrifugePair) close() {
	for _, node := range p.nodes {
		_ = node.Shutdown(context.Background())
	}
}

// handler takes what a broker receives.
type handler func(data []byte)

func (h handler) HandlePublication(_ string, pub *centrifuge.Publication, _ centrifuge.StreamPosition, _ bool, _ *centrifuge.Publication) error {
	if h != nil {
		h(pub.Data)
	}
	return nil
}

func (h handler) HandleJoin(string, *centrifuge.ClientInfo) error  { return nil }
func (h handler) HandleLeave(string, *centrifuge.ClientInfo) error { return nil }

// centrifugeSite is two of centrifuge's nodes, the second with its handler of SSE.
type centrifugeSite struct {
	near, far *centrifuge.Node
	history   centrifuge.PublishOption
}

func openCentrifugeSite(addr string, c config) (site, error) {
	s := &centrifugeSite{history: centrifuge.WithHistory(c.history, time.Hour)}
	for _, node := range []**centrifuge.Node{&s.near, &s.far} {
		made, broker, err := newNode(addr)
		if err != nil {
			return nil, err
		}
		made.SetBroker(broker)
		made.OnConnecting(func(ctx context.Context, _ centrifuge.ConnectEvent) (centrifuge.ConnectReply, error) {
			topic := ctx.Value(topicKey{}).(string)
			return centrifuge.ConnectReply{
				Credentials:   &centrifuge.Credentials{},
				Subscriptions: map[string]centrifuge.SubscribeOptions{topic: {EnableRecovery: true}},
			}, nil
		})
		if err := made.Run(); err != nil {
			return nil, err
		}
		*node = made
	}
	return s, nil
}

type topicKey struct{}

func (s *centrifugeSite) publish(_ context.Context, topic string, data []byte) error {
	_, err := s.near.Publish(topic, data, s.history)
	return err
}

func (s *centrifugeSite) handler() http.Handler {
	// The pong would have to be sent in a request of its own: an EventSource can't.
	sse := centrifuge.NewSSEHandler(s.far, centrifuge.SSEConfig{PingPongConfig: centrifuge.PingPongConfig{PongTimeout: -1}})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sse.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), topicKey{}, r.URL.Query().Get("topic"))))
	})
}

func (s *centrifugeSite) query(topic string) string {
	return url.Values{"topic": {topic}, "cf_connect": {`{"id":1,"connect":{}}`}}.Encode()
}

func (s *centrifugeSite) close() {
	for _, node := range []*centrifuge.Node{s.far, s.near} {
		_ = node.Shutdown(context.Background())
	}
}

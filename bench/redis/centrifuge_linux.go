package main

import (
	"context"
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
		node, err := centrifuge.New(centrifuge.Config{Metrics: centrifuge.MetricsConfig{RegistererGatherer: prometheus.NewRegistry()}})
		if err != nil {
			return nil, err
		}
		shard, err := centrifuge.NewRedisShard(node, centrifuge.RedisShardConfig{Address: addr})
		if err != nil {
			return nil, err
		}
		broker, err := centrifuge.NewRedisBroker(node, centrifuge.RedisBrokerConfig{Shards: []*centrifuge.RedisShard{shard}})
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

// Package scenario is what is measured: each scenario drives one server at a time through the same steps and returns its figures.
package scenario

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/buffkit/buffkit/bench/internal/child"
	"github.com/buffkit/buffkit/bench/internal/load"
	"github.com/buffkit/buffkit/bench/internal/peer"
	"github.com/buffkit/buffkit/bench/internal/plot"
	"github.com/buffkit/buffkit/bench/internal/result"
)

// Params are the sizes of a scenario. Figures can be compared if they are of the same Params.
type Params struct {
	Conns        int           `json:"conns,omitempty"`
	Topics       int           `json:"topics,omitempty"`
	Size         int           `json:"size,omitempty"`   // bytes of an event's data
	Rate         float64       `json:"rate,omitempty"`   // events a second
	Events       int           `json:"events,omitempty"` // for those that count events instead of seconds
	Missed       int           `json:"missed,omitempty"` // events while the clients are away
	Stay         int           `json:"stay,omitempty"`   // clients that aren't cut
	Turns        int           `json:"turns,omitempty"`  // without and with
	Warm         time.Duration `json:"warm,omitempty"`   // not measured
	Window       time.Duration `json:"window,omitempty"` // measured
	WriteTimeout time.Duration `json:"write_timeout,omitempty"`
	HTML         bool          `json:"html,omitempty"`       // events are fragments of a page
	Sample       int           `json:"sample,omitempty"`     // clients whose events are looked at; 0 is all
	Browser      bool          `json:"browser,omitempty"`    // whether Chromium has to read them, too
	BenchTime    string        `json:"bench_time,omitempty"` // of a Go benchmark: see go help testflag
}

// Scenario is one thing to measure.
type Scenario struct {
	Name   string
	Title  string
	Text   string // what is measured, and how to read it
	Params Params
	Smoke  Params // sizes that show in a second or two that it works
	Rounds int
	// PeerRounds is how often the peers are measured, where buffkit and the floors, which the goals compare, are measured
	// Rounds times. 0 is Rounds.
	PeerRounds int
	// Gzip is whether those servers are measured that compress.
	Gzip bool
	// Alone is for what only buffkit is measured by.
	Alone bool
	// Points are the values that a sweep goes through; Vary sets one.
	Points      []float64
	SmokePoints []float64
	PointTitle  string
	Vary        func(*Params, float64)
	// Skip says why a peer is left out at these sizes, "" if it isn't.
	Skip    func(peer.Peer, Params) string
	Columns []result.Column
	Plots   []Plot
	// Draw makes a picture of the text of a measurement, for scenarios that have one.
	Draw func(text string) []byte

	measure func(ctx context.Context, r *run) (result.Metrics, error)
	// takes is about how long measure takes besides starting the server and connecting its clients once.
	takes func(peer.Peer, Params) time.Duration
}

// At returns the sizes at a point, of which p are the others.
func (s Scenario) At(p Params, point float64) Params {
	if s.Vary != nil {
		s.Vary(&p, point)
	}
	return p
}

// NotMeant is why LeftOut leaves out whom a scenario isn't about.
const NotMeant = "the scenario isn't about it"

// LeftOut says why a server isn't measured at these sizes, "" if it is.
func (s Scenario) LeftOut(p peer.Peer, params Params) string {
	switch {
	case s.Alone && p.Name != peer.Ours, p.Gzip && !s.Gzip:
		return NotMeant
	case s.Skip == nil:
		return ""
	}
	return s.Skip(p, params)
}

// RoundsOf is how often a server is measured.
func (s Scenario) RoundsOf(p peer.Peer) int {
	if s.PeerRounds == 0 || p.Floor || p.Name == peer.Ours {
		return s.Rounds
	}
	return s.PeerRounds
}

// What a measurement takes besides: rounded up from runs on two cores.
const (
	startTakes     = time.Second
	connectsSecond = 6000
)

// Estimate is about how long a measurement takes, on two cores.
func (s Scenario) Estimate(p peer.Peer, params Params) time.Duration {
	return startTakes + connecting(params.Conns) + s.takes(p, params)
}

func connecting(conns int) time.Duration { return time.Duration(conns) * time.Second / connectsSecond }

// Plot draws a metric over the points of a sweep.
type Plot struct {
	Name   string // the end of its file's
	Title  string
	Metric string
	Axis   plot.Axis
}

// All lists the scenarios in the order in which they are run.
func All() []Scenario {
	return []Scenario{
		idle, fanout, one, latency, storm, stuck, subscribers, delivery, profiled, compressed,
		sweepConns, sweepRate, sweepSize, sweepTopics, sweepMissed,
	}
}

// Find returns the scenario of a name.
func Find(name string) (Scenario, error) {
	var names []string
	for _, s := range All() {
		if s.Name == name {
			return s, nil
		}
		names = append(names, s.Name)
	}
	return Scenario{}, fmt.Errorf("no scenario is called %q: there are %s", name, strings.Join(names, ", "))
}

// Measure runs a scenario for one server, which it starts and stops. say gets what is being done. With profile, the server writes a
// profile of its processor time to that file, in the scenarios with a window; the figures are then a little worse. The text is
// for Draw.
func (s Scenario) Measure(ctx context.Context, p peer.Peer, params Params, profile string, say func(string)) (m result.Metrics, text string, err error) {
	r := &run{peer: p, params: params, profile: profile, say: say}
	defer r.end()
	m, err = s.measure(ctx, r)
	if err == nil && r.client != nil {
		err = r.client.Err()
	}
	if err != nil {
		return nil, "", fmt.Errorf("%s, %s: %w", s.Name, p.Name, err)
	}
	return m, r.text, nil
}

// run is one measurement of one server.
type run struct {
	peer    peer.Peer
	params  Params
	profile string
	say     func(string)
	server  *child.Child
	client  *load.Client
	epoch   atomic.Value // of the server's last answer, a string
	text    string       // what isn't figures
	next    uint32       // number of the next event that will be published, where there is one topic
}

func (r *run) end() {
	if r.client != nil {
		r.client.Close()
	}
	if r.server != nil {
		r.server.Stop()
	}
}

// start starts the server. history is how many events it must keep for who is behind, or, with resume, for who comes back.
func (r *run) start(history int, resume bool) (err error) {
	r.say("starting")
	topics := r.topics()
	r.server, err = child.Start(r.peer, peer.Options{
		Topics:       topics,
		Events:       history + besides*topics,
		History:      history/topics + besides,
		Resume:       resume,
		Size:         r.params.Size,
		WriteTimeout: r.params.WriteTimeout,
	})
	return err
}

const besides = 20 // events of a topic that a scenario publishes besides those it counts, until all clients follow

// clients makes n clients of the server. of gives the topics that one follows.
func (r *run) clients(n int, of func(client int) []int) (*load.Client, error) {
	return load.New(load.Options{
		Addr: r.server.Addr, Conns: n, Topics: r.params.Topics,
		TokenHeader: r.peer.TokenHeader, Many: r.peer.Many, Sample: r.params.Sample,
		Request: func(a load.Ask) []byte { return r.request(a, of(a.Client)) },
	})
}

// shared spreads the topics over n clients: each has at least one, and each topic a client.
func (r *run) shared(n int) func(client int) []int {
	return func(client int) (topics []int) {
		for topic := client % r.topics(); topic < r.topics(); topic += n {
			topics = append(topics, topic)
		}
		return topics
	}
}

func (r *run) topics() int { return max(r.params.Topics, 1) }

func (r *run) request(a load.Ask, topics []int) []byte {
	asking := peer.Asking{Ask: a}
	asking.Epoch, _ = r.epoch.Load().(string)
	for _, topic := range topics {
		asking.Topics = append(asking.Topics, peer.Topic(topic))
	}
	return r.peer.Request(r.server.Addr.String(), asking)
}

// connect makes all clients, connects them, and sees that each follows its topics.
func (r *run) connect(ctx context.Context) (err error) {
	r.say(fmt.Sprintf("connecting %d", r.params.Conns))
	if r.client, err = r.clients(r.params.Conns, r.shared(r.params.Conns)); err != nil {
		return err
	}
	if _, err := r.client.Connect(ctx); err != nil {
		return err
	}
	return r.sync(ctx, r.client, max(1, r.topics()/r.params.Conns), peer.Order{Count: r.topics()})
}

const (
	syncTries   = 6
	syncTimeout = 500 * time.Millisecond // of the first try; twice as long with each
)

// sync publishes until each client has got n events: one that has its headers needn't be subscribed yet.
func (r *run) sync(ctx context.Context, c *load.Client, n int, o peer.Order) (err error) {
	r.say("waiting until all follow")
	goal := c.Expect(n, true)
	for try := range syncTries {
		if _, err = r.publish(ctx, o); err != nil {
			return err
		}
		soon, cancel := context.WithTimeout(ctx, syncTimeout<<try)
		_, err = goal.Await(soon)
		cancel()
		if !errors.Is(err, load.ErrNotAll) {
			break
		}
	}
	c.Take()
	return err
}

// publish waits until the server has published.
func (r *run) publish(ctx context.Context, o peer.Order) (peer.Answer, error) {
	o.Do, o.Size, o.HTML = "publish", r.params.Size, r.params.HTML
	a, err := r.server.Order(ctx, o)
	r.epoch.Store(a.Epoch)
	r.next += uint32(a.Published)
	return a, err
}

// warmUp publishes for the time that isn't measured.
func (r *run) warmUp(ctx context.Context) error {
	r.say("warming up")
	_, err := r.publish(ctx, peer.Order{Count: int(r.params.Rate * seconds(r.params.Warm)), Rate: r.params.Rate})
	return err
}

// sleep waits, unless the context ends.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func seconds(d time.Duration) float64 { return d.Seconds() }

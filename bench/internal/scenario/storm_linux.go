package scenario

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/buffkit/buffkit/bench/internal/event"
	"github.com/buffkit/buffkit/bench/internal/load"
	"github.com/buffkit/buffkit/bench/internal/peer"
	"github.com/buffkit/buffkit/bench/internal/result"
)

var storm = Scenario{
	Name:  "storm",
	Title: "A storm of reconnects",
	Text: `All clients of a topic are cut at once; events are published while they are away; all come back at once, at most 1,000 requests of
them unanswered at a time, and each asks for what it has missed. "Caught up" is when the last one had all of it, "fresh" how long the
same clients take to connect to the same server when they ask for nothing. Lost and doubled are counted at every client by the sequence of its topic.
Some other clients stay and get 20 events a second of a topic of their own: "calm", "while fresh" and "while back" are their p99 when
nothing else happens, while the others connect fresh, and while they come back and catch up. Peers that have nothing to resume with
are left out. Who isn't done after 30 s has lost what is missing then.`,
	Params:     Params{Conns: 10_000, Size: 200, Missed: 100, Stay: 200, Warm: 2 * time.Second},
	Smoke:      Params{Conns: 50, Size: 200, Missed: 20, Stay: 5, Warm: 100 * time.Millisecond},
	Rounds:     3,
	PeerRounds: 1,
	Skip:       skipUnlessResumes,
	Columns: []result.Column{
		{Title: "fresh", Metric: "fresh", Format: result.Duration, Spread: true},
		{Title: "caught up", Metric: "caught_up", Format: result.Duration, Spread: true},
		{Title: "ratio", Metric: "ratio", Format: result.Ratio, Spread: true},
		{Title: "lost", Metric: "lost", Format: result.Count},
		{Title: "doubled", Metric: "doubled", Format: result.Count},
		{Title: "stayed: p99 calm", Metric: "calm_p99", Format: result.Duration},
		{Title: "while fresh", Metric: "fresh_p99", Format: result.Duration},
		{Title: "while back", Metric: "stayed_p99", Format: result.Duration, Spread: true},
		{Title: "CPU of the server", Metric: "cpu", Format: result.Duration},
		{Title: "memory after", Metric: "memory", Format: result.Megabytes},
	},
	measure: measureStorm,
	takes:   storming,
}

func storming(p peer.Peer, params Params) time.Duration {
	caughtUp := time.Duration(float64(params.Conns*params.Missed) / p.Pace * float64(time.Second))
	return 2*connecting(params.Conns) + params.Warm + 2*time.Second + min(stormTimeout, caughtUp)
}

func skipUnlessResumes(p peer.Peer, params Params) string {
	if !p.Resumes {
		return "has nothing to resume with"
	}
	return skipSecondFloor(p, params)
}

// The topics of a storm: of those who go and come, and of those who stay.
var goers, stayers = 0, 1

const (
	stormProfile = time.Second      // about what it takes to catch up
	stormTimeout = 30 * time.Second // to catch up
	stayRate     = 20               // events a second
	stayOrder    = 5                // of them in one order: the server waits for each by itself, since an order may be late where all are busy
)

// stormRun is a run with two kinds of clients; run.client are the goers.
type stormRun struct {
	*run
	sockets int // of the server when all goers are away
	stayers *load.Client
}

func measureStorm(ctx context.Context, r *run) (result.Metrics, error) {
	r.params.Topics = 2
	if err := r.start(2*r.params.Missed, true); err != nil {
		return nil, err
	}
	s := &stormRun{run: r}
	var err error
	if s.stayers, err = r.clients(r.params.Stay, func(int) []int { return []int{stayers} }); err != nil {
		return nil, err
	}
	defer s.stayers.Close()
	if r.client, err = r.clients(r.params.Conns, func(int) []int { return []int{goers} }); err != nil {
		return nil, err
	}
	if _, err := s.stayers.Connect(ctx); err != nil {
		return nil, err
	}
	if err := r.sync(ctx, s.stayers, 1, peer.Order{Count: 1, Topic: &stayers}); err != nil {
		return nil, err
	}
	before, err := r.server.Usage()
	if err != nil {
		return nil, err
	}
	s.sockets = before.Sockets
	return s.measure(ctx)
}

func (s *stormRun) measure(ctx context.Context) (result.Metrics, error) {
	// The first connect lets the server grow to the size; it isn't measured.
	s.say("connecting, for the first time")
	if _, _, err := s.connectFresh(ctx); err != nil {
		return nil, err
	}
	s.client.Cut()
	if err := s.empty(ctx, s.sockets); err != nil {
		return nil, err
	}
	s.say("connecting fresh")
	m := result.Metrics{}
	fresh, meanwhile, err := s.connectFresh(ctx)
	if err != nil {
		return nil, err
	}
	m["fresh"] = seconds(fresh)
	m["fresh_p99"] = seconds(meanwhile.Quantile(0.99))
	s.say("calm")
	calm, err := s.staying(ctx, func() error { return sleep(ctx, s.params.Warm) })
	if err != nil {
		return nil, err
	}
	m["calm_p99"] = seconds(calm.Quantile(0.99))
	goal, err := s.sendAway(ctx)
	if err != nil {
		return nil, err
	}
	if s.profile != "" {
		if _, err := s.server.Order(ctx, peer.Order{Do: "profile", File: s.profile, Seconds: seconds(stormProfile)}); err != nil {
			return nil, err
		}
	}
	stayed, err := s.staying(ctx, func() error { return s.comeBack(ctx, goal, m) })
	if err != nil {
		return nil, err
	}
	m["stayed_p99"] = seconds(stayed.Quantile(0.99))
	m["stayed_max"] = seconds(stayed.Max())
	if caughtUp, ok := m["caught_up"]; ok {
		m["ratio"] = caughtUp / m["fresh"]
	}
	return m, s.stayers.Err()
}

// connectFresh connects the goers as if they had never been there: the same request, without a place and a token to show. The
// latencies are those of the stayers meanwhile.
func (s *stormRun) connectFresh(ctx context.Context) (took time.Duration, stayed load.Histogram, err error) {
	s.client.Forget()
	stayed, err = s.staying(ctx, func() error {
		took, err = s.client.Connect(ctx)
		return err
	})
	if err != nil {
		return 0, stayed, err
	}
	return took, stayed, s.sync(ctx, s.client, 1, peer.Order{Count: 1, Topic: &goers})
}

// sendAway cuts the goers, publishes, and waits until the server has noticed.
func (s *stormRun) sendAway(ctx context.Context) (goal load.Goal, err error) {
	s.say("cutting")
	goal = s.client.Expect(s.params.Missed, true)
	s.client.Cut()
	if _, err := s.publish(ctx, peer.Order{Count: s.params.Missed, Topic: &goers}); err != nil {
		return goal, err
	}
	for range int(emptyTimeout / watchInterval) {
		now, err := s.server.Usage()
		if err != nil || now.Sockets <= s.sockets+emptySlack {
			s.client.Take()
			return goal, err
		}
		if err := sleep(ctx, watchInterval); err != nil {
			return goal, err
		}
	}
	return goal, fmt.Errorf("the server holds connections %v after they were cut", emptyTimeout)
}

// comeBack connects the goers again, and adds to m how they got what they had missed.
func (s *stormRun) comeBack(ctx context.Context, goal load.Goal, m result.Metrics) error {
	s.say("coming back")
	before, err := s.server.Usage()
	if err != nil {
		return err
	}
	limited, cancel := context.WithTimeout(ctx, stormTimeout)
	defer cancel()
	begin := event.Now()
	connected, err := s.client.Connect(limited)
	if err != nil {
		return err
	}
	at, notAll := goal.Await(limited)
	if notAll != nil && !errors.Is(notAll, load.ErrNotAll) {
		return notAll
	}
	after, err := s.server.Usage()
	if err != nil {
		return err
	}
	seen := s.client.Take()
	m["lost"], m["doubled"] = float64(seen.Lost), float64(seen.Doubled)
	m["cpu"], m["memory"] = seconds(after.CPU-before.CPU), float64(after.Memory)
	if notAll != nil {
		m["lost"] = float64(s.params.Conns*s.params.Missed) - float64(seen.Deliveries-seen.Doubled)
		return nil
	}
	m["caught_up"] = seconds(max(connected, time.Duration(at-begin)))
	return nil
}

// staying publishes to the stayers while a function runs, and returns their latencies.
func (s *stormRun) staying(ctx context.Context, while func() error) (h load.Histogram, err error) {
	s.stayers.Take()
	s.stayers.Expect(0, true)
	done := make(chan struct{})
	published := make(chan error, 1)
	events := 0
	go func() {
		due := event.Now()
		for {
			o := peer.Order{Count: stayOrder, Rate: stayRate, Topic: &stayers, Due: due}
			if _, err := s.publish(ctx, o); err != nil {
				published <- err
				return
			}
			events += stayOrder
			due += stayOrder * int64(time.Second) / stayRate
			select {
			case <-done:
				published <- nil
				return
			default:
			}
		}
	}()
	err = while()
	close(done)
	if err := errors.Join(err, <-published); err != nil {
		return h, err
	}
	goal := s.stayers.Expect(events, false)
	late, cancel := context.WithTimeout(ctx, catchUp)
	defer cancel()
	if _, err := goal.Await(late); err != nil {
		return h, fmt.Errorf("those who stayed: %w", err)
	}
	return s.stayers.Take().Latency, nil
}

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
	Text: `All clients are cut at once; events are published while they are away; all come back at once, at most 1,000 requests of them unanswered at a
time, and each asks for what it has missed. "Caught up" is when the last one had all of it, "fresh" how long the same clients
take to connect to the same server when they ask for nothing. Lost and doubled are counted at every client by the sequence of its topic. Peers
that have nothing to resume with are left out.`,
	Params: Params{Conns: 10_000, Size: 200, Missed: 100},
	Smoke:  Params{Conns: 50, Size: 200, Missed: 20},
	Rounds: 3,
	Skip:   skipUnlessResumes,
	Columns: []result.Column{
		{Title: "fresh", Metric: "fresh", Format: result.Duration, Spread: true},
		{Title: "caught up", Metric: "caught_up", Format: result.Duration, Spread: true},
		{Title: "ratio", Metric: "ratio", Format: result.Ratio, Spread: true},
		{Title: "lost", Metric: "lost", Format: result.Count},
		{Title: "doubled", Metric: "doubled", Format: result.Count},
		{Title: "CPU of the server", Metric: "cpu", Format: result.Duration},
		{Title: "memory after", Metric: "memory", Format: result.Megabytes},
	},
	measure: measureStorm,
}

func skipUnlessResumes(p peer.Peer, _ Params) string {
	if !p.Resumes {
		return "has nothing to resume with"
	}
	return ""
}

const stormTimeout = 2 * time.Minute // to catch up

func measureStorm(ctx context.Context, r *run) (result.Metrics, error) {
	if err := r.start(r.params.Missed, true); err != nil {
		return nil, err
	}
	none, err := r.server.Usage()
	if err != nil {
		return nil, err
	}
	// A first connect lets the server grow to the size; it isn't measured.
	if err := r.connect(ctx); err != nil {
		return nil, err
	}
	if err := r.cut(ctx, none.Sockets); err != nil {
		return nil, err
	}
	r.say("connecting fresh")
	r.client.Forget()
	fresh, err := r.client.Connect(ctx)
	if err != nil {
		return nil, err
	}
	if err := r.sync(ctx); err != nil {
		return nil, err
	}
	return r.comeBack(ctx, none.Sockets, fresh)
}

// comeBack cuts all, publishes, and lets them come back.
func (r *run) comeBack(ctx context.Context, sockets int, fresh time.Duration) (result.Metrics, error) {
	r.say("cutting")
	goal := r.client.Expect(r.params.Missed, true)
	r.client.Cut()
	topics := max(r.params.Topics, 1)
	if _, err := r.publish(ctx, peer.Order{Count: r.params.Missed * topics}); err != nil {
		return nil, err
	}
	if err := r.gone(ctx, sockets); err != nil {
		return nil, err
	}
	r.client.Take()
	before, err := r.server.Usage()
	if err != nil {
		return nil, err
	}
	r.say("coming back")
	limited, cancel := context.WithTimeout(ctx, stormTimeout)
	defer cancel()
	begin := event.Now()
	connected, err := r.client.Connect(limited)
	if err != nil {
		return nil, err
	}
	at, err := goal.Await(limited)
	if err != nil && !errors.Is(err, load.ErrNotAll) {
		return nil, err
	}
	notAll := err
	caughtUp := max(connected, time.Duration(at-begin))
	after, err := r.server.Usage()
	if err != nil {
		return nil, err
	}
	s := r.client.Take()
	m := result.Metrics{
		"fresh":   seconds(fresh),
		"lost":    float64(s.Lost),
		"doubled": float64(s.Doubled),
		"cpu":     seconds(after.CPU - before.CPU),
		"memory":  float64(after.Memory),
	}
	if notAll != nil {
		r.say(notAll.Error())
		m["lost"] = float64(r.params.Conns*r.params.Missed) - float64(s.Deliveries-s.Doubled)
		return m, nil
	}
	m["caught_up"] = seconds(caughtUp)
	m["ratio"] = seconds(caughtUp) / seconds(fresh)
	return m, nil
}

// cut cuts all clients and waits until the server has noticed.
func (r *run) cut(ctx context.Context, sockets int) error {
	r.say("cutting")
	r.client.Cut()
	return r.empty(ctx, sockets)
}

// gone waits until the server has closed what was cut, without publishing.
func (r *run) gone(ctx context.Context, sockets int) error {
	end := time.Now().Add(emptyTimeout)
	for time.Now().Before(end) {
		now, err := r.server.Usage()
		if err != nil || now.Sockets <= sockets+emptySlack {
			return err
		}
		if err := sleep(ctx, watchInterval); err != nil {
			return err
		}
	}
	return fmt.Errorf("the server holds connections %v after they were cut", emptyTimeout)
}

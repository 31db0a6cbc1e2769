package scenario

import (
	"context"
	"fmt"
	"time"

	"github.com/buffkit/buffkit/bench/internal/child"
	"github.com/buffkit/buffkit/bench/internal/peer"
	"github.com/buffkit/buffkit/bench/internal/result"
)

var idle = Scenario{
	Name:  "idle",
	Title: "Memory of an idle connection",
	Text: `Connections that have had one event and then wait, a session each where there are sessions. Memory is the server's resident set
over what it was before they came; that baseline is taken after a few connections have come and gone, so that code and tables
that are needed once aren't counted as theirs. "At rest" is after free memory was given back to the system (a Go process does
that by itself over minutes). "Idle load" is processor time over the window.`,
	Params: Params{Conns: 10_000, Size: 200, Warm: time.Second, Window: 10 * time.Second},
	Smoke:  Params{Conns: 100, Size: 200, Warm: 10 * time.Millisecond, Window: 50 * time.Millisecond},
	Rounds: 3,
	Columns: []result.Column{
		{Title: "before", Metric: "before", Format: result.Megabytes},
		{Title: "with all", Metric: "with", Format: result.Megabytes},
		{Title: "a connection", Metric: "each", Format: result.Kilobytes},
		{Title: "a connection, at rest", Metric: "each_rest", Format: result.Kilobytes, Spread: true},
		{Title: "× buffkit", Metric: "each_rest", Of: "buffkit"},
		{Title: "idle load", Metric: "load", Format: result.Percent},
	},
	measure: measureIdle,
}

func measureIdle(ctx context.Context, r *run) (result.Metrics, error) {
	if err := r.start(0, false); err != nil {
		return nil, err
	}
	if err := r.wearIn(ctx); err != nil {
		return nil, err
	}
	before, err := r.rest(ctx)
	if err != nil {
		return nil, err
	}
	if err := r.connect(ctx); err != nil {
		return nil, err
	}
	r.say("idle")
	begin, err := r.server.Usage()
	if err != nil {
		return nil, err
	}
	if err := sleep(ctx, r.params.Window); err != nil {
		return nil, err
	}
	with, err := r.server.Usage()
	if err != nil {
		return nil, err
	}
	rest, err := r.rest(ctx)
	if err != nil {
		return nil, err
	}
	if open := r.client.Take().Open; open < r.params.Conns {
		return nil, fmt.Errorf("the server ended %d of %d idle connections", r.params.Conns-open, r.params.Conns)
	}
	n := float64(r.params.Conns)
	return result.Metrics{
		"before":    float64(before.Memory),
		"with":      float64(with.Memory),
		"with_rest": float64(rest.Memory),
		"each":      float64(with.Memory-before.Memory) / n,
		"each_rest": float64(rest.Memory-before.Memory) / n,
		"load":      seconds(with.CPU-begin.CPU) / seconds(r.params.Window),
	}, nil
}

const wornBy = 200 // connections that come and go first

// wearIn lets connections come and go, and waits until the server has noticed.
func (r *run) wearIn(ctx context.Context) error {
	r.say("wearing in")
	few := *r
	few.params.Conns = min(wornBy, r.params.Conns)
	before, err := r.server.Usage()
	if err != nil {
		return err
	}
	if err := few.connect(ctx); err != nil {
		return err
	}
	r.next = few.next
	few.client.Close()
	return r.empty(ctx, before.Sockets)
}

const emptyTimeout = 20 * time.Second

// empty waits until the server has closed what its clients have cut.
func (r *run) empty(ctx context.Context, sockets int) error {
	end := time.Now().Add(emptyTimeout)
	for time.Now().Before(end) {
		now, err := r.server.Usage()
		if err != nil || now.Sockets <= sockets+emptySlack {
			return err
		}
		// Who doesn't look at its sockets finds out when it writes.
		if _, err := r.publish(ctx, peer.Order{Count: max(r.params.Topics, 1)}); err != nil {
			return err
		}
		if err := sleep(ctx, watchInterval); err != nil {
			return err
		}
	}
	return fmt.Errorf("the server holds connections %v after they were cut", emptyTimeout)
}

const emptySlack = 8 // descriptors that a runtime or a keep-alive connection took meanwhile

// rest has the server give back free memory, and returns what it takes then.
func (r *run) rest(ctx context.Context) (child.Usage, error) {
	r.say("giving memory back")
	for range 2 { // the second collection gets what the first one's finalizers let go
		if _, err := r.server.Order(ctx, peer.Order{Do: "rest"}); err != nil {
			return child.Usage{}, err
		}
	}
	if err := sleep(ctx, r.params.Warm); err != nil {
		return child.Usage{}, err
	}
	return r.server.Usage()
}

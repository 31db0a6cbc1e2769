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
that are needed once aren't counted as theirs. "At rest" is after the server was told to give free memory back to the system (a Go
process does that by itself over minutes), again and again for at least 3 seconds and until that changed nothing any more: "waited" is
how long that took, and the rule is the same for all servers. nginx has no such order, and only waits. "Idle load" is processor time
over the window, before that.`,
	Params:     Params{Conns: 10_000, Size: 200, Warm: 3 * time.Second, Window: 3 * time.Second},
	Smoke:      Params{Conns: 100, Size: 200, Warm: 10 * time.Millisecond, Window: 50 * time.Millisecond},
	Rounds:     2,
	PeerRounds: 1,
	Skip:       skipSecondFloor,
	Columns: []result.Column{
		{Title: "before", Metric: "before", Format: result.Megabytes},
		{Title: "with all", Metric: "with", Format: result.Megabytes},
		{Title: "a connection", Metric: "each", Format: result.Kilobytes},
		{Title: "a connection, at rest", Metric: "each_rest", Format: result.Kilobytes, Spread: true},
		{Title: "× buffkit", Metric: "each_rest", Of: peer.Ours},
		{Title: "waited", Metric: "waited", Format: result.Duration},
		{Title: "idle load", Metric: "load", Format: result.Percent},
	},
	measure: measureIdle,
	takes: func(_ peer.Peer, p Params) time.Duration {
		return 2*(p.Warm+2*restStep) + p.Window + time.Second // to wear in
	},
}

func measureIdle(ctx context.Context, r *run) (result.Metrics, error) {
	if err := r.start(0, false); err != nil {
		return nil, err
	}
	if err := r.wearIn(ctx); err != nil {
		return nil, err
	}
	before, _, err := r.rest(ctx)
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
	rest, waited, err := r.rest(ctx)
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
		"waited":    seconds(waited),
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
		if _, err := r.publish(ctx, peer.Order{Count: r.topics()}); err != nil {
			return err
		}
		if err := sleep(ctx, watchInterval); err != nil {
			return err
		}
	}
	return fmt.Errorf("the server holds connections %v after they were cut", emptyTimeout)
}

const emptySlack = 8 // descriptors that a runtime or a keep-alive connection took meanwhile

const (
	restStep    = 500 * time.Millisecond // between two looks
	restTimeout = 15 * time.Second       // for who never comes to rest
	restLooks   = 2                      // in a row, without a change
	restChange  = 256 << 10              // bytes of resident memory; a runtime's own comings and goings
)

// rest has the server give back free memory until that makes no difference, for Warm at least, and returns what it takes then and how
// long that was.
func (r *run) rest(ctx context.Context) (u child.Usage, waited time.Duration, err error) {
	r.say("giving memory back")
	begin := time.Now()
	var last int64
	for calm := 0; calm < restLooks || waited < r.params.Warm; {
		if _, err := r.server.Order(ctx, peer.Order{Do: "rest"}); err != nil {
			return u, 0, err
		}
		if err := sleep(ctx, min(restStep, r.params.Warm)); err != nil {
			return u, 0, err
		}
		if u, err = r.server.Usage(); err != nil {
			return u, 0, err
		}
		if calm++; u.Memory > last+restChange || u.Memory < last-restChange {
			calm = 0
		}
		last = u.Memory
		if waited = time.Since(begin); waited > restTimeout {
			break
		}
	}
	return u, waited, nil
}

package redislog_test

import (
	"testing"
	"time"

	"github.com/buffkit/buffkit/eventlog"
	"github.com/buffkit/buffkit/eventlog/redislog"
)

// While the servers' clocks are behind the log, it counts on from its head. So what a master loses, and what the next one takes from a node that has never
// seen that, may be at the same offsets.
func TestALostTailIsToldThoughOtherEventsAreAtItsOffsets(t *testing.T) {
	t.Parallel()
	p := startPair(t)
	opts := redislog.Options{Addrs: []string{p.proxy.Addr}}
	setAhead(t, p.master, opts, time.Minute)
	near := openLog(t, opts)
	start := publish(t, near, "a", "kept/1")
	p.inSync(t)
	p.detach(t)
	lost := publish(t, near, "a", "lost/1")
	busy, quiet := follow(t, near, start, "a"), follow(t, near, lost, "b")
	busy.wait(t, "lost/1")
	other := openLog(t, redislog.Options{Addrs: []string{p.replica.Addr}})
	if at := publish(t, other, "a", "new/1"); at.At(0) != lost.At(0) {
		t.Fatalf("the new event is at %v, the lost one was at %v: this shows nothing", at, lost)
	}
	connected := follow(t, other, start, "a")
	connected.wait(t, "new/1")
	p.failOver(t)
	for _, f := range []*follower{busy, quiet, connected} {
		f.told(t)
	}
	publish(t, near, "a", "new/2")
	busy.wait(t, "new/2")
	wantGap(t, other, lost, "a", eventlog.ErrOtherLog)
}

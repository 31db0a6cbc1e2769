package pglog_test

import (
	"errors"
	"net/url"
	"testing"

	"github.com/buffkit/buffkit/eventlog"
	"github.com/buffkit/buffkit/internal/cable"
)

// While the servers' clocks are behind the log, it counts on from its head. So what a primary loses, and what the standby takes from a node that has never
// seen that, may be at the same offsets.
func TestALostTailIsToldThoughOtherEventsAreAtItsOffsets(t *testing.T) {
	t.Parallel()
	primary := ownServer(t, "fsync=off")
	u, err := url.Parse(primary.URL(""))
	if err != nil {
		t.Fatal(err)
	}
	c := cable.New(t, u.Host)
	u.Host = c.Addr()
	near := openLog(t, u.String(), nil)
	send := func(l eventlog.Log, data string) eventlog.Cursor {
		t.Helper()
		cursors, err := l.Append(t.Context(), eventlog.Event{Topic: "all", Data: []byte(data)})
		if err != nil {
			t.Fatal(err)
		}
		return cursors[0]
	}
	exec(t, primary.URL(""), "UPDATE buffkit_log SET head = buffkit_log_clock() + 60000000")
	early := send(near, "kept")
	standby := standbyOf(t, primary)
	until(t, "the standby to have it", func() bool { return has(t, standby, "kept") })
	exec(t, standby.URL(""), "SELECT pg_promote()")
	late := send(near, "lost")
	other := openLog(t, standby.URL(""), nil)
	if at := send(other, "new"); at.At(0) != late.At(0) {
		t.Fatalf("the new event is at %v, the lost one was at %v: this shows nothing", at, late)
	}
	v, err := url.Parse(standby.URL(""))
	if err != nil {
		t.Fatal(err)
	}
	c.Redirect(v.Host)
	if err := primary.Kill(); err != nil {
		t.Fatal(err)
	}
	c.Cut()
	for name, l := range map[string]eventlog.Log{"the node that has seen it": near, "the other one": other} {
		until(t, name+" to say so", func() bool {
			head, err := l.Head(t.Context())
			return err == nil && head.Epoch() != late.Epoch()
		})
		for _, at := range []eventlog.Cursor{early, late} {
			b, err := l.Read(t.Context(), []string{"all"}, at, 10)
			if err != nil || len(b.Gaps) != 1 || !errors.Is(b.Gaps[0].Err, eventlog.ErrOtherLog) {
				t.Errorf("%s after %v: gaps %v, %v: want one", name, at, b.Gaps, err)
			}
		}
	}
}

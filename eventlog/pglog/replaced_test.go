package pglog_test

import (
	"errors"
	"net/url"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/buffkit/buffkit/eventlog"
	"github.com/buffkit/buffkit/eventlog/pglog"
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
	send := func(l eventlog.Log, topic, data string) eventlog.Cursor {
		t.Helper()
		cursors, err := l.Append(t.Context(), eventlog.Event{Topic: topic, Data: []byte(data)})
		if err != nil {
			t.Fatal(err)
		}
		return cursors[0]
	}
	exec(t, primary.URL(""), "UPDATE buffkit_log SET head = buffkit_log_clock() + 60000000")
	topics := []string{"appended", "appended in a transaction"}
	for _, topic := range topics {
		send(near, topic, "1")
	}
	early := send(near, "all", "kept")
	standby := standbyOf(t, primary)
	until(t, "the standby to have it", func() bool { return has(t, standby, "kept") })
	exec(t, standby.URL(""), "SELECT pg_promote()")
	other := openLog(t, standby.URL(""), nil)
	var late eventlog.Cursor
	for _, topic := range topics {
		late = send(near, "all", "lost")
		if at := send(other, topic, "2"); at.At(0) != late.At(0) {
			t.Fatalf("the new event is at %v, the lost one was at %v: this shows nothing", at, late)
		}
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
	pool := newPool(t, standby.URL(""))
	err = pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
		return near.AppendTx(t.Context(), tx, eventlog.Event{Topic: topics[1], Data: []byte("3")})
	})
	if err != nil {
		t.Fatal(err)
	}
	until(t, "it to append again", func() bool {
		_, err := near.Append(t.Context(), eventlog.Event{Topic: topics[0], Data: []byte("3")})
		return err == nil
	})
	all := follow(t, openStore(t, standby.URL(""), nil), eventlog.NewCursor(late.Epoch(), 1)) // it checks what each names as the one before
	for _, topic := range topics {
		var got []string
		for _, r := range all.wait(7) {
			if r.Topic == topic {
				got = append(got, string(r.Body))
			}
		}
		if want := []string{"data: 1\n\n", "data: 2\n\n", "data: 3\n\n"}; !slices.Equal(got, want) {
			t.Errorf("%s has %q", topic, got)
		}
	}
}

// A pool of several hosts may lead to a standby, which hasn't got yet what the node has seen. Nothing is lost: the node waits for the primary.
func TestWhatAStandbyHasNotGotYetIsNotTakenForLost(t *testing.T) {
	t.Parallel()
	primary := ownServer(t, "fsync=off")
	u, err := url.Parse(primary.URL(""))
	if err != nil {
		t.Fatal(err)
	}
	first := u.Host
	c := cable.New(t, u.Host)
	u.Host = c.Addr()
	l := openLog(t, u.String(), nil)
	send := func(data string) eventlog.Cursor {
		t.Helper()
		cursors, err := l.Append(t.Context(), eventlog.Event{Topic: "all", Data: []byte(data)})
		if err != nil {
			t.Fatal(err)
		}
		return cursors[0]
	}
	early := send("early")
	standby := standbyOf(t, primary)
	until(t, "the standby to have it", func() bool { return has(t, standby, "early") })
	exec(t, standby.URL(""), "SELECT pg_wal_replay_pause()")
	late := send("late")
	v, err := url.Parse(standby.URL(""))
	if err != nil {
		t.Fatal(err)
	}
	c.Redirect(v.Host)
	c.Cut()
	until(t, "it to say so", func() bool { return errors.Is(l.Health(), pglog.ErrStandby) })
	if _, err := l.Append(t.Context(), eventlog.Event{Topic: "all", Data: []byte("refused")}); err == nil || errors.Is(err, eventlog.ErrUnknownOutcome) {
		t.Errorf("an append to a standby: %v", err)
	}
	c.Redirect(first) // without a cut: connections to the standby aren't kept
	until(t, "it to find the primary", func() bool { return l.Health() == nil })
	if last := send("last"); last.Epoch() != late.Epoch() {
		t.Error("the log has another epoch: all readers were told a gap")
	}
	b, err := l.Read(t.Context(), []string{"all"}, early, 10)
	if err != nil || len(b.Gaps) > 0 || len(b.Entries) != 2 {
		t.Errorf("%d events, gaps %v, %v", len(b.Entries), b.Gaps, err)
	}
}

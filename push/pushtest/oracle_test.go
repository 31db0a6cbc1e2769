package pushtest_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/buffkit/buffkit/client"
	"github.com/buffkit/buffkit/eventlog"
	"github.com/buffkit/buffkit/push"
	"github.com/buffkit/buffkit/push/pushtest"
)

// play is one oracle, a log that keeps the newest four events of a topic, and one subscriber of the topics a and b, whose client the
// test plays.
type play struct {
	t         *testing.T
	oracle    *pushtest.Oracle
	log       *eventlog.Memory
	sub       *pushtest.Subscriber
	published []push.Event // as they were stored
	ids       []string
	during    func()            // called while an event is being published
	err       error             // what publishing then returns
	cursors   []eventlog.Cursor // what it returns instead of the log's
}

const kept = 4

func newPlay(t *testing.T) *play {
	log := eventlog.NewMemory(&eventlog.MemoryOptions{Retention: eventlog.Retention{Count: kept}})
	t.Cleanup(func() { log.Close() })
	p := &play{t: t, log: log, oracle: pushtest.NewOracle(log)}
	p.sub = p.oracle.Subscriber("s", "a", "b")
	return p
}

// PublishAll implements pushtest.Publisher.
func (p *play) PublishAll(ctx context.Context, events ...push.Event) ([]eventlog.Cursor, error) {
	if p.during != nil {
		p.during()
	}
	cursors, err := p.log.Append(ctx, events...)
	if err != nil {
		p.t.Fatal(err)
	}
	for i, c := range cursors {
		p.published = append(p.published, events[i])
		p.ids = append(p.ids, c.String())
	}
	if p.cursors != nil {
		cursors = p.cursors[:len(cursors)]
		p.cursors = p.cursors[len(cursors):]
	}
	return cursors, p.err
}

// publish publishes an event on each topic, in one batch. The first event ever is number 0.
func (p *play) publish(topics ...string) {
	events := make([]push.Event, len(topics))
	for i, topic := range topics {
		events[i] = push.Event{Topic: topic, Data: []byte("x")}
	}
	p.oracle.Publish(p.t.Context(), p, events...)
}

func (p *play) head() string {
	at, err := p.log.Head(p.t.Context())
	if err != nil {
		p.t.Fatal(err)
	}
	return at.String()
}

// fresh plays a first connect.
func (p *play) fresh() {
	p.sub.Asks("")
	p.sub.Told(p.head(), client.Open{State: client.Fresh})
}

// resume plays a reconnect after an event.
func (p *play) resume(after, replay int) {
	p.sub.Asks(p.ids[after])
	p.sub.Told("", client.Open{State: client.Resumed, Replay: replay})
}

// gap plays a reconnect after an event that is told a gap of topics.
func (p *play) gap(after, replay int, reason string, topics ...string) {
	p.sub.Asks(p.ids[after])
	p.sub.Told("", client.Open{State: client.Gapped, Replay: replay, Gaps: gaps(reason, topics...)})
}

func gaps(reason string, topics ...string) (all []client.Gap) {
	for _, topic := range topics {
		all = append(all, client.Gap{Topic: topic, Reason: reason})
	}
	return all
}

// get plays the receipt of events.
func (p *play) get(numbers ...int) {
	for _, n := range numbers {
		p.sub.Received(p.ids[n], p.published[n].Data)
	}
}

// started plays a fresh connect and then events 0, 1, … on topic a, none received.
func (p *play) started(n int) {
	p.fresh()
	for range n {
		p.publish("a")
	}
}

func TestOracleFindsWhatIsBroken(t *testing.T) {
	t.Parallel()
	type kind = pushtest.Kind
	tests := []struct {
		name string
		play func(p *play)
		want []kind
	}{
		{"nothing", func(p *play) { p.fresh() }, nil},
		{"every event once", func(p *play) { p.started(3); p.get(0, 1, 2) }, nil},
		{"topics interleaved in any way", func(p *play) { p.fresh(); p.publish("a", "b", "a", "b"); p.get(1, 0, 2, 3) }, nil},
		{"a topic not followed", func(p *play) { p.fresh(); p.publish("c", "a"); p.get(1) }, nil},
		{"what came before the beginning", func(p *play) { p.publish("a"); p.fresh(); p.publish("a"); p.get(1) }, nil},
		{"a beginning at a cursor", func(p *play) { p.publish("a", "a"); p.resume(0, 1); p.get(1) }, nil},
		{"resumed by its session", func(p *play) {
			p.publish("a")
			p.sub.Asks("") // the answer gives it a session, and is cut before it tells the place
			p.publish("a", "a")
			p.sub.Asks("")
			p.sub.Told("", client.Open{State: client.Resumed, Replay: 2})
			p.get(1, 2)
		}, nil},
		{"resumed by its session, from before it began", func(p *play) {
			p.publish("a")
			p.sub.Asks("")
			p.sub.Told("", client.Open{State: client.Resumed, Replay: 2})
			p.get(0)
		}, []kind{pushtest.Unexpected}},
		{"a snapshot", func(p *play) { p.started(1); p.get(0); p.sub.Received(p.ids[0], []byte("state")) }, nil},

		{"one lost", func(p *play) { p.started(3); p.get(0, 2) }, []kind{pushtest.Lost}},
		{"the last one lost", func(p *play) { p.started(3); p.get(0, 1) }, []kind{pushtest.Lost}},
		{"all lost", func(p *play) { p.started(3) }, []kind{pushtest.Lost, pushtest.Lost, pushtest.Lost}},
		{"the first one lost of a place that wasn't told", func(p *play) {
			p.sub.Asks("")
			p.sub.Told("", client.Open{State: client.Fresh})
			p.publish("a", "a")
			p.get(1)
		}, []kind{pushtest.Lost}},
		{"one lost behind a place that wasn't told", func(p *play) {
			p.sub.Asks("")
			p.publish("a", "a", "a") // maybe before, maybe after
			p.sub.Told("", client.Open{State: client.Fresh})
			p.get(0, 2)
		}, []kind{pushtest.Lost}},
		{"one lost over a resume", func(p *play) { p.started(3); p.get(0); p.resume(0, 2); p.get(2) }, []kind{pushtest.Lost}},
		{"one lost although another topic has a gap", func(p *play) {
			p.fresh()
			p.publish("b", "a", "b", "b", "b", "b", "b", "a")
			p.get(0)
			p.gap(0, 2, "trimmed", "b")
			p.get(7)
		}, []kind{pushtest.Lost}},
		{"one lost that was published after the gap was told", func(p *play) {
			p.started(6)
			p.get(0)
			p.gap(0, 0, "trimmed", "a")
			p.publish("a", "a")
			p.get(7)
		}, []kind{pushtest.Lost}},
		{"one lost behind the place where the stream went on", func(p *play) {
			p.started(6)
			p.get(0)
			p.sub.Asks(p.ids[0])
			place := p.head()
			p.publish("a")
			p.sub.Told("", client.Open{State: client.Gapped, Gaps: gaps("trimmed", "a")})
			p.sub.Moved(place)
			p.publish("a")
			p.get(7)
		}, []kind{pushtest.Lost}},
		{"one lost behind the place from which it resumed after a gap", func(p *play) {
			p.started(6)
			p.get(0)
			p.gap(0, 0, "trimmed", "a")
			p.resume(4, 1)
		}, []kind{pushtest.Lost}},
		{"all lost of a client that forgot its cursor", func(p *play) { p.started(2); p.get(0); p.fresh() },
			[]kind{pushtest.WrongState, pushtest.Lost}},

		{"doubled", func(p *play) { p.started(2); p.get(0, 0, 1) }, []kind{pushtest.Doubled}},
		{"doubled over a resume", func(p *play) { p.started(2); p.get(0, 1); p.resume(1, 0); p.get(1) }, []kind{pushtest.Doubled}},
		{"out of order", func(p *play) { p.started(3); p.get(0, 2, 1) }, []kind{pushtest.OutOfOrder}},
		{"out of order within a batch", func(p *play) { p.fresh(); p.publish("a", "a"); p.get(1, 0) }, []kind{pushtest.OutOfOrder}},

		{"other data", func(p *play) { p.started(1); p.sub.Received(p.ids[0], append(p.published[0].Data, 'y')) },
			[]kind{pushtest.Damaged}},
		{"the id of another event", func(p *play) { p.started(2); p.sub.Received(p.ids[1], p.published[0].Data); p.get(1) },
			[]kind{pushtest.Damaged}},
		{"an id that isn't a cursor", func(p *play) { p.started(1); p.sub.Received("7", p.published[0].Data) },
			[]kind{pushtest.Damaged, pushtest.Lost}},
		{"a place that isn't a cursor", func(p *play) { p.fresh(); p.sub.Moved("7") }, []kind{pushtest.Damaged}},
		{"never published", func(p *play) { p.started(1); p.get(0); p.sub.Received(p.ids[0], []byte("oracle#9 x")) },
			[]kind{pushtest.Unexpected}},
		{"of a topic that it doesn't follow", func(p *play) { p.fresh(); p.publish("c"); p.get(0) }, []kind{pushtest.Unexpected}},
		{"from before a fresh beginning", func(p *play) { p.publish("a"); p.fresh(); p.get(0) }, []kind{pushtest.Unexpected}},
		{"from before its cursor", func(p *play) { p.publish("a", "a"); p.resume(1, 0); p.get(0) }, []kind{pushtest.Unexpected}},

		{"resumed with the right number", func(p *play) { p.started(3); p.get(0); p.resume(0, 2); p.get(1, 2) }, nil},
		{"resumed with too few", func(p *play) { p.started(3); p.get(0); p.resume(0, 1); p.get(1, 2) }, []kind{pushtest.WrongReplay}},
		{"resumed with too many", func(p *play) { p.started(3); p.get(0); p.resume(0, 3); p.get(1, 2) }, []kind{pushtest.WrongReplay}},
		{"resumed with those of topics it doesn't follow", func(p *play) {
			p.fresh()
			p.publish("a", "c", "a")
			p.get(0)
			p.resume(0, 2)
			p.get(2)
		}, []kind{pushtest.WrongReplay}},
		{"resumed while one was being published, counted", func(p *play) { p.resumeDuring(2); p.get(0, 1) }, nil},
		{"resumed while one was being published, not counted", func(p *play) { p.resumeDuring(1); p.get(0, 1) }, nil},
		{"resumed while one was being published, too many", func(p *play) { p.resumeDuring(3); p.get(0, 1) },
			[]kind{pushtest.WrongReplay}},
		{"resumed while one was being published, too few", func(p *play) { p.resumeDuring(0); p.get(0, 1) },
			[]kind{pushtest.WrongReplay}},
		{"a gap with the number of the other topics", func(p *play) {
			p.fresh()
			p.publish("a", "a", "a", "a", "a", "a", "b", "b")
			p.get(0)
			p.gap(0, 2, "trimmed", "a")
			p.get(6, 7)
		}, nil},
		{"a gap with the number of all topics", func(p *play) {
			p.fresh()
			p.publish("a", "a", "a", "a", "a", "a", "b", "b")
			p.get(0)
			p.gap(0, 6, "trimmed", "a")
			p.get(6, 7)
		}, []kind{pushtest.WrongReplay}},
		{"fresh for a cursor", func(p *play) {
			p.publish("a")
			p.sub.Asks(p.ids[0])
			p.sub.Told(p.head(), client.Open{State: client.Fresh})
		}, []kind{pushtest.WrongState}},
		{"an unknown state", func(p *play) { p.sub.Asks(""); p.sub.Told("", client.Open{State: "well"}) }, []kind{pushtest.WrongState}},

		{"trimmed", func(p *play) { p.started(6); p.get(0); p.gap(0, 0, "trimmed", "a") }, nil},
		{"trimmed, on an open stream", func(p *play) { p.started(6); p.get(0); p.sub.ToldGap(gaps("trimmed", "a")) }, nil},
		{"trimmed to the last one", func(p *play) { p.started(5 + 1); p.get(0); p.gap(0, 0, "trimmed", "a") }, nil},
		{"trimmed, but all events beyond the cursor are kept", func(p *play) { p.started(5); p.get(0); p.gap(0, 0, "trimmed", "a") },
			[]kind{pushtest.FalseGap}},
		{"trimmed, but there were none beyond the cursor", func(p *play) { p.started(6); p.get(0, 1, 2, 3, 4, 5); p.gap(5, 0, "trimmed", "a") },
			[]kind{pushtest.FalseGap}},
		{"trimmed, of a topic without events", func(p *play) { p.started(6); p.get(0); p.gap(0, 0, "trimmed", "a", "b") },
			[]kind{pushtest.FalseGap}},
		{"trimmed, on an open stream that had all", func(p *play) {
			p.started(6)
			p.get(0, 1, 2, 3, 4, 5)
			p.sub.ToldGap(gaps("trimmed", "a"))
		}, []kind{pushtest.FalseGap}},
		{"trimmed, of a topic that it doesn't follow", func(p *play) {
			p.fresh()
			p.publish("a", "c", "c", "c", "c", "c", "c")
			p.get(0)
			p.gap(0, 0, "trimmed", "c")
		}, []kind{pushtest.FalseGap}},
		{"another log", func(p *play) {
			p.publish("a")
			p.sub.Asks("zz.1")
			p.sub.Told("", client.Open{State: client.Gapped, Gaps: gaps("other_log", "a", "b")})
		}, nil},
		{"another log, but it is this one", func(p *play) { p.started(1); p.get(0); p.gap(0, 0, "other_log", "a", "b") },
			[]kind{pushtest.FalseGap, pushtest.FalseGap}},
		{"unreadable", func(p *play) {
			p.sub.Asks("no cursor")
			p.sub.Told("", client.Open{State: client.Gapped, Gaps: gaps("unreadable", "a", "b")})
		}, nil},
		{"unreadable, but it is a cursor", func(p *play) { p.started(1); p.get(0); p.gap(0, 0, "unreadable", "a", "b") },
			[]kind{pushtest.FalseGap, pushtest.FalseGap}},
		{"rolled back", func(p *play) {
			p.started(2)
			p.get(0, 1)
			at, _ := eventlog.ParseCursor(p.ids[0])
			p.oracle.RolledBack(at)
			p.gap(1, 0, "rolled_back", "a", "b")
		}, nil},
		{"rolled back, but not so far", func(p *play) {
			p.started(2)
			p.get(0, 1)
			at, _ := eventlog.ParseCursor(p.ids[1])
			p.oracle.RolledBack(at)
			p.gap(1, 0, "rolled_back", "a", "b")
		}, []kind{pushtest.FalseGap, pushtest.FalseGap}},
		{"slow", func(p *play) { p.sub.MaxBehind = 1; p.started(3); p.get(0); p.gap(0, 0, "slow", "a", "b") }, nil},
		{"slow, but not so far behind", func(p *play) { p.sub.MaxBehind = 2; p.started(3); p.get(0); p.gap(0, 0, "slow", "a", "b") },
			[]kind{pushtest.FalseGap, pushtest.FalseGap}},
		{"slow, of a subscriber that gets everything", func(p *play) { p.started(3); p.get(0); p.gap(0, 0, "slow", "a", "b") },
			[]kind{pushtest.FalseGap, pushtest.FalseGap}},
		{"an unknown reason", func(p *play) { p.started(6); p.get(0); p.gap(0, 0, "moon", "a") }, []kind{pushtest.FalseGap}},

		{"published after another, with a cursor before it", func(p *play) {
			p.cursors = []eventlog.Cursor{eventlog.NewCursor(7, 2), eventlog.NewCursor(7, 1)}
			p.publish("c")
			p.publish("c")
		}, []kind{pushtest.PublishOrder}},
		{"two with one cursor", func(p *play) {
			p.cursors = []eventlog.Cursor{eventlog.NewCursor(7, 1), eventlog.NewCursor(7, 1)}
			p.publish("c")
			p.publish("c")
		}, []kind{pushtest.PublishOrder}},
		{"a batch with cursors the other way round", func(p *play) {
			p.cursors = []eventlog.Cursor{eventlog.NewCursor(7, 2), eventlog.NewCursor(7, 1)}
			p.publish("c", "c")
		}, []kind{pushtest.PublishOrder}},
		{"two published at the same time, either way round", func(p *play) {
			p.cursors = []eventlog.Cursor{eventlog.NewCursor(7, 2), eventlog.NewCursor(7, 1)}
			p.during = func() { p.during = nil; p.publish("c") }
			p.publish("c")
		}, nil},

		{"one that failed, not delivered", func(p *play) { p.failed(); p.get(0, 2) }, nil},
		{"one that failed, delivered", func(p *play) { p.failed(); p.get(0, 1, 2) }, nil},
		{"one that failed, doubled", func(p *play) { p.failed(); p.get(0, 1, 1, 2) }, []kind{pushtest.Doubled}},
		{"one that failed, out of order", func(p *play) { p.failed(); p.get(0, 2, 1) }, []kind{pushtest.OutOfOrder}},
		{"one that failed, counted", func(p *play) { p.failed(); p.get(0); p.resume(0, 2); p.get(1, 2) }, nil},
		{"one that failed, not counted", func(p *play) { p.failed(); p.get(0); p.resume(0, 1); p.get(2) }, nil},
		{"one that failed, trimmed", func(p *play) {
			p.failed() // 0, 1 failed, 2
			p.publish("a", "a", "a")
			p.gap(0, 0, "trimmed", "a")
		}, []kind{pushtest.Lost}}, // 0
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := newPlay(t)
			tt.play(p)
			report := p.oracle.Check()
			var got []kind
			for _, v := range report.Violations {
				got = append(got, v.Kind)
			}
			slices.Sort(got)
			slices.Sort(tt.want)
			if !slices.Equal(got, tt.want) {
				t.Errorf("found %q, want %q\n%v", got, tt.want, report.Violations)
			}
		})
	}
}

// resumeDuring plays a resume while event 1 is being published.
func (p *play) resumeDuring(replay int) {
	p.publish("a")
	from, err := p.log.Head(p.t.Context())
	if err != nil {
		p.t.Fatal(err)
	}
	p.ids[0] = from.String()
	p.sub.Asks("")
	p.sub.Told(p.ids[0], client.Open{State: client.Fresh})
	p.ids, p.published = nil, nil
	p.publish("a")
	p.during = func() {
		p.sub.Asks(from.String())
		p.sub.Told("", client.Open{State: client.Resumed, Replay: replay})
	}
	p.publish("a")
}

// failed plays a fresh connect and three events, the publishing of the second of which fails.
func (p *play) failed() {
	p.started(1)
	p.err = errors.New("timeout")
	p.publish("a")
	p.err = nil
	p.publish("a")
}

func TestOracleCounts(t *testing.T) {
	t.Parallel()
	p := newPlay(t)
	p.started(7)
	p.get(0)
	p.gap(0, 0, "trimmed", "a")
	p.publish("a")
	p.resume(6, 1)
	p.get(7, 7)
	want := "8 events, 3 deliveries, 1 resumes, 1 gaps told, lost 0, doubled 1, other violations 0"
	if got := p.oracle.Check().String(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestOracleWaitsForWhoIsBehind(t *testing.T) {
	t.Parallel()
	p := newPlay(t)
	p.started(2)
	p.get(0)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.oracle.Wait(ctx); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), p.ids[1]) {
		t.Errorf("with event %s missing, Wait returned %v", p.ids[1], err)
	}
	waited := make(chan error)
	go func() { waited <- p.oracle.Wait(t.Context()) }()
	p.get(1)
	select {
	case err := <-waited:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(30 * time.Second):
		t.Error("Wait didn't notice that the event came")
	}
}

func TestOracleWaitsForNobodyWhoWasToldAGap(t *testing.T) {
	t.Parallel()
	p := newPlay(t)
	p.started(6)
	p.get(0)
	p.gap(0, 0, "trimmed", "a")
	if err := p.oracle.Wait(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestReportFailsTheTest(t *testing.T) {
	t.Parallel()
	p := newPlay(t)
	p.started(30)
	fake := &fakeTest{TB: t}
	p.oracle.Check().Fail(fake)
	if fake.errors != 5+1 {
		t.Errorf("30 violations are told in %d errors, want 5 and how many there are", fake.errors)
	}
}

type fakeTest struct {
	testing.TB
	errors int
}

func (f *fakeTest) Helper()               {}
func (f *fakeTest) Error(...any)          { f.errors++ }
func (f *fakeTest) Errorf(string, ...any) { f.errors++ }

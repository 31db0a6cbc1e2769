package push_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/buffkit/buffkit/eventlog"
	"github.com/buffkit/buffkit/push"
)

// keepOf is a log that keeps so many events of each topic, many of those it doesn't name.
func keepOf(t *testing.T, count map[string]int) *eventlog.Memory {
	log := eventlog.NewMemory(&eventlog.MemoryOptions{RetentionOf: func(topic string) eventlog.Retention {
		return eventlog.Retention{Count: count[topic]}
	}})
	t.Cleanup(func() { log.Close() })
	return log
}

// states renders each topic as "<topic> at <state>".
func states(state *string) push.SnapshotFunc {
	return func(_ context.Context, lost push.Lost) (events []push.Event, err error) {
		for _, topic := range lost.Topics() {
			events = append(events, push.Event{Name: "state", Data: []byte(topic + " at " + *state)})
		}
		return events, nil
	}
}

// The order on the wire after a gap, docs/wire.md, section 4: told, the snapshot without ids, the whole topics with ids, the place
// from which it goes on.
func TestGapIsToldAndHealed(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		state := "e5"
		b := newBroker(t, push.Public("lossy", "whole"), push.Options{
			Log: keepOf(t, map[string]int{"lossy": 2}), Snapshot: states(&state),
		})
		at, _ := b.Cursor(t.Context())
		publish(t, b, "lossy:e1", "whole:w1", "lossy:e2", "lossy:e3", "whole:w2", "lossy:e4", "lossy:e5")
		s := connect(t, b, "/", "Last-Event-ID", at.String())
		frames := s.frames()
		var texts []string
		for _, f := range frames {
			texts = append(texts, f.String())
		}
		want := []string{"open:gap:2:lossy=trimmed", "~state=lossy at e5", "w1", "w2", "place"}
		if !slices.Equal(texts, want) {
			t.Fatalf("came %q, want %q", texts, want)
		}
		head, _ := b.Cursor(t.Context())
		if place := frames[len(frames)-1].id; place != head.String() {
			t.Errorf("goes on from %q, want %q", place, head)
		}
		// Cut within the replay, a client is told the gap again, or resumes behind it; either way it has all.
		connect(t, b, "/", "Last-Event-ID", frames[2].id).want("open:gap:1:lossy=trimmed", "~state=lossy at e5", "w2", "place")
		connect(t, b, "/", "Last-Event-ID", frames[3].id).want("open:resumed:2", "e4", "e5")

		publish(t, b, "lossy:e6", "whole:w3")
		s.want("e6", "w3")
	})
}

func TestGapWithoutASnapshotIsOnlyTold(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := newBroker(t, push.Public("lossy", "whole"), push.Options{Log: keepOf(t, map[string]int{"lossy": 1})})
		at, _ := b.Cursor(t.Context())
		publish(t, b, "lossy:e1", "whole:w1", "lossy:e2")
		connect(t, b, "/", "Last-Event-ID", at.String()).want("open:gap:1:lossy=trimmed", "w1", "place")
	})
}

// What is published while the snapshot is taken comes after it.
func TestSnapshotIsAtomicWithGoingLive(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		var b *push.Broker
		taking, goOn := make(chan struct{}), make(chan struct{})
		b = newBroker(t, push.Public("lossy", "whole"), push.Options{
			Log: keepOf(t, map[string]int{"lossy": 1}),
			Snapshot: func(ctx context.Context, lost push.Lost) ([]push.Event, error) {
				close(taking)
				<-goOn
				return []push.Event{{Data: []byte("as of e2")}}, nil
			},
		})
		at, _ := b.Cursor(t.Context())
		publish(t, b, "lossy:e1", "lossy:e2", "whole:w1")
		s := connect(t, b, "/", "Last-Event-ID", at.String())
		<-taking
		publish(t, b, "whole:w2", "lossy:e3")
		s.want("open:gap:1:lossy=trimmed")
		close(goOn)
		s.want("~as of e2", "w1", "place", "w2", "e3")
	})
}

// Topics that lose events while a gap is being healed are named in turn: none is skipped silently.
func TestGapWithinAGap(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		var b *push.Broker
		calls := 0
		b = newBroker(t, push.Public("a", "b", "c"), push.Options{
			Log: keepOf(t, map[string]int{"a": 1, "b": 1}),
			Snapshot: func(_ context.Context, lost push.Lost) ([]push.Event, error) {
				if calls++; calls == 1 {
					publish(t, b, "b:2", "b:3") // of topic b the first is gone now
				}
				return []push.Event{{Data: []byte(strings.Join(lost.Topics(), " "))}}, nil
			},
		})
		at, _ := b.Cursor(t.Context())
		publish(t, b, "b:1", "c:1", "a:1", "a:2")
		s := connect(t, b, "/", "Last-Event-ID", at.String())
		s.want("open:gap:2:a=trimmed", "~a", "gap:b=trimmed", "~b", "1", "place", "gap:b=trimmed", "~b", "place")
		publish(t, b, "a:3", "b:4", "c:2")
		s.want("3", "4", "2")
	})
}

func TestGapOnAnOpenStream(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		state := "e9"
		b := newBroker(t, push.Public("lossy", "whole"), push.Options{
			Log: keepOf(t, map[string]int{"lossy": 2}), Snapshot: states(&state),
		})
		s := slowly(t, b, "/")
		s.want("open:fresh")
		publish(t, b, "lossy:e0")
		synctest.Wait() // its write has begun, and takes a second
		publish(t, b, "whole:w1")
		for i := range 9 {
			publish(t, b, fmt.Sprintf("lossy:e%d", i+1))
		}
		publish(t, b, "whole:w2")
		pass(pushWrites)
		s.want("e0", "gap:lossy=trimmed", "~state=lossy at e9", "w1", "w2", "place")
	})
}

const pushWrites = 7e9 // a second for each of a handful, less than the heartbeat

// A failing Snapshot must not make a loss look healed: the client is cut, and asks again from where it was.
func TestFailingSnapshotCutsTheClient(t *testing.T) {
	t.Parallel()
	fails := map[string]push.SnapshotFunc{
		"an error": func(context.Context, push.Lost) ([]push.Event, error) { return nil, errors.New("password=hunter2") },
		"a panic":  func(context.Context, push.Lost) ([]push.Event, error) { panic("password=hunter2") },
		"an invalid event": func(context.Context, push.Lost) ([]push.Event, error) {
			return []push.Event{{Data: []byte("half")}, {Name: "hunter2\n"}}, nil
		},
	}
	for name, fail := range fails {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				var logged record
				broken := true
				b := newBroker(t, push.Public("lossy", "whole"), push.Options{
					Log: keepOf(t, map[string]int{"lossy": 1}), Logger: logged.logger(),
					Snapshot: func(ctx context.Context, lost push.Lost) ([]push.Event, error) {
						if broken {
							return fail(ctx, lost)
						}
						return []push.Event{{Data: []byte("state")}}, nil
					},
				})
				healthy := connect(t, b, "/")
				at := healthy.lastID()
				healthy.next()
				publish(t, b, "lossy:e1")
				healthy.next()
				publish(t, b, "whole:w1", "lossy:e2")
				s := connect(t, b, "/", "Last-Event-ID", at)
				s.want("open:gap:1:lossy=trimmed", "bye:error")
				if !s.ended() || s.lastID() != "" || strings.Contains(s.w.text(), "hunter2") {
					t.Errorf("ended %v, with id %q: %q", s.ended(), s.lastID(), s.w.text())
				}
				if !strings.Contains(logged.String(), "level=ERROR") {
					t.Errorf("logged %q", logged.String())
				}
				broken = false
				connect(t, b, "/", "Last-Event-ID", at).want("open:gap:1:lossy=trimmed", "~state", "w1", "place")
				healthy.want("w1", "e2")
			})
		})
	}
}

func TestSnapshotEndsWithTheClient(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		var err error
		var lost push.Lost
		b := newBroker(t, asUser, push.Options{
			Log: keepOf(t, map[string]int{"a": 1}),
			Snapshot: func(ctx context.Context, l push.Lost) ([]push.Event, error) {
				lost = l
				<-ctx.Done()
				err = ctx.Err()
				return nil, err
			},
		})
		at, _ := b.Cursor(t.Context())
		publish(t, b, "a:1", "a:2")
		s := connect(t, b, "/", "User", "ada", "Last-Event-ID", at.String())
		s.want("open:gap:0:a=trimmed")
		if lost.User != "ada" || lost.Session != s.session() || !slices.Equal(lost.Gaps, []push.Gap{{Topic: "a", Reason: push.ReasonTrimmed}}) {
			t.Errorf("Snapshot was given %+v", lost)
		}
		s.close()
		if !errors.Is(err, context.Canceled) {
			t.Errorf("its context: %v", err)
		}
	})
}

// What was sent to all, a user or a session can be lost as well. The client is told, but no Snapshot is asked to render topics
// that the app has never heard of.
func TestLostTopicsAreTheApps(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		var topics []string
		var gaps []push.Gap
		b := newBroker(t, asUser, push.Options{
			Log: keepOf(t, map[string]int{"~user/ada": 1}),
			Snapshot: func(_ context.Context, lost push.Lost) ([]push.Event, error) {
				topics, gaps = lost.Topics(), lost.Gaps
				return nil, nil
			},
		})
		s := resume(t, b, "ada", "")
		at := s.lastID()
		s.close()
		for range 2 {
			if _, err := b.SendUser(t.Context(), "ada", push.Event{}); err != nil {
				t.Fatal(err)
			}
		}
		publish(t, b, "a:1")
		again := resume(t, b, "ada", s.token(), "Last-Event-ID", at)
		if told := again.frames()[0].control(); told.State != "gap" || !slices.Equal(told.Gaps, []push.Gap{{Topic: "~user/ada", Reason: "trimmed"}}) {
			t.Errorf("told %+v", told)
		}
		if len(topics) != 0 || len(gaps) != 1 {
			t.Errorf("topics %q, gaps %v", topics, gaps)
		}
		resume(t, b, "ada", "", "Last-Event-ID", "garbage")
		if !slices.Equal(topics, []string{"a"}) || len(gaps) != 4 { // and of all, the session and the user
			t.Errorf("topics %q, gaps %v", topics, gaps)
		}
	})
}

// A large snapshot leaves in few writes, like everything else.
func TestLargeSnapshotLeavesInFewWrites(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := newBroker(t, push.Public("a"), push.Options{
			Log: keepOf(t, map[string]int{"a": 1}),
			Snapshot: func(context.Context, push.Lost) (rows []push.Event, err error) {
				for i := range 1000 {
					rows = append(rows, push.Event{Data: fmt.Append(nil, "row ", i)})
				}
				return rows, nil
			},
		})
		at, _ := b.Cursor(t.Context())
		publish(t, b, "a:1", "a:2")
		s := connect(t, b, "/", "Last-Event-ID", at.String())
		if got := s.next(); len(got) != 1002 || got[1000] != "~row 999" {
			t.Errorf("%d frames", len(got))
		}
		if s.w.flushes > 5 {
			t.Errorf("%d writes", s.w.flushes)
		}
	})
}

// After a restart without its log, a process tells everybody that all is lost, and heals it.
func TestOtherLogIsToldAsAGapOfAllTopics(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		before := newBroker(t, push.Public("a", "b"), push.Options{})
		s := connect(t, before, "/")
		publish(t, before, "a:1")
		before.Close()
		state := "now"
		after := newBroker(t, push.Public("a", "b"), push.Options{Snapshot: states(&state)})
		publish(t, after, "a:2")
		again := connect(t, after, "/", "Last-Event-ID", s.lastID())
		again.want("open:gap:0:a=other_log,b=other_log", "~state=a at now", "~state=b at now", "place")
		publish(t, after, "b:3")
		again.want("3")
	})
}

// Two that heal have lost topics which the other has: what each gets begins and ends alike, and is as many events.
func TestWhoHealsGetsWhatStandsInHisOwnTopics(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := newBroker(t, push.Public("a", "b", "c"), push.Options{Log: keepOf(t, map[string]int{"b": 1, "c": 1})})
		early, _ := b.Cursor(t.Context())
		late := publish(t, b, "b:b1")
		publish(t, b, "a:a1", "b:b2", "c:c1", "a:a2")
		connect(t, b, "/", "Last-Event-ID", early.String()).want("open:gap:3:b=trimmed", "a1", "c1", "a2", "place")
		publish(t, b, "c:c2")
		connect(t, b, "/", "Last-Event-ID", late.String()).want("open:gap:3:c=trimmed", "a1", "b2", "a2", "place")
	})
}

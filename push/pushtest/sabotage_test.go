package pushtest_test

import (
	"bytes"
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/buffkit/buffkit/client"
	"github.com/buffkit/buffkit/eventlog"
	"github.com/buffkit/buffkit/push"
	"github.com/buffkit/buffkit/push/pushtest"
	"github.com/buffkit/buffkit/sse"
)

// saboteur is a log that doesn't tell the truth.
type saboteur struct {
	eventlog.Log
	harm func(topics []string, b *eventlog.Batch)
}

// Read implements eventlog.Log.
func (s *saboteur) Read(ctx context.Context, topics []string, after eventlog.Cursor, most int) (eventlog.Batch, error) {
	b, err := s.Log.Read(ctx, topics, after, most)
	if err == nil {
		b.Entries = slices.Clone(b.Entries)
		s.harm(topics, &b)
	}
	return b, err
}

// isNumber tells whether an entry is the oracle's event with one of the numbers.
func isNumber(e eventlog.Entry, digits ...string) bool {
	return slices.ContainsFunc(digits, func(d string) bool { return bytes.Contains(e.Frame, []byte("oracle#"+d+" ")) })
}

// What the log does to a whole broker, both kinds of followers see, and the oracle finds.
func TestOracleFindsWhatALogDoes(t *testing.T) {
	t.Parallel()
	none := []pushtest.Kind(nil)
	tests := []struct {
		name string
		harm func(topics []string, b *eventlog.Batch)
		want []pushtest.Kind
	}{
		{"nothing", func([]string, *eventlog.Batch) {}, none},
		{"repeats an event, which clients drop", func(_ []string, b *eventlog.Batch) {
			for i, e := range b.Entries {
				if isNumber(e, "3", "12") {
					b.Entries = slices.Insert(b.Entries, i, e)
					return
				}
			}
		}, none},
		{"leaves an event out", func(_ []string, b *eventlog.Batch) {
			b.Entries = slices.DeleteFunc(b.Entries, func(e eventlog.Entry) bool { return isNumber(e, "3") })
		}, []pushtest.Kind{pushtest.Lost}},
		{"goes on too far", func(_ []string, b *eventlog.Batch) {
			if n := len(b.Entries); n > 1 {
				b.Entries = b.Entries[:n-1]
			}
		}, []pushtest.Kind{pushtest.Lost}},
		{"turns two events round", func(_ []string, b *eventlog.Batch) {
			for i := range b.Entries[:max(len(b.Entries)-1, 0)] {
				if isNumber(b.Entries[i], "12") {
					b.Entries[i], b.Entries[i+1] = b.Entries[i+1], b.Entries[i]
					return
				}
			}
		}, []pushtest.Kind{pushtest.Lost}}, // its cursor makes it a repeat
		{"sends an event again under another id", func(_ []string, b *eventlog.Batch) {
			for i := range b.Entries {
				if e := &b.Entries[i]; isNumber(*e, "12") && i > 0 {
					e.Frame, _ = sse.AppendEvent(nil, sse.Event{ID: e.At(b.Next.Epoch()).String(), Data: b.Entries[i-1].Event().Data})
				}
			}
		}, []pushtest.Kind{pushtest.Doubled, pushtest.Lost}},
		{"tells a gap that isn't one", func(topics []string, b *eventlog.Batch) {
			if len(b.Entries) > 1 {
				*b = eventlog.Batch{Next: b.Next, Gaps: []eventlog.Gap{{Topic: "a", Err: eventlog.ErrTrimmed}}}
			}
		}, []pushtest.Kind{pushtest.FalseGap}},
		{"tells another log that is this one", func(topics []string, b *eventlog.Batch) {
			if len(b.Entries) > 1 {
				*b = eventlog.Batch{Next: b.Next, Gaps: []eventlog.Gap{{Topic: "a", Err: eventlog.ErrOtherLog}}}
			}
		}, []pushtest.Kind{pushtest.FalseGap}},
		{"says nothing of a gap", func(_ []string, b *eventlog.Batch) { b.Gaps = nil }, []pushtest.Kind{pushtest.Lost, pushtest.WrongReplay}},
		{"counts wrongly", func(_ []string, b *eventlog.Batch) { b.Behind++ }, []pushtest.Kind{pushtest.WrongReplay}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				log := newLog(t, 10)
				report := sabotaged(t, log, &saboteur{log, tt.harm})
				for _, kind := range []pushtest.Kind{
					pushtest.Lost, pushtest.Doubled, pushtest.OutOfOrder, pushtest.Damaged, pushtest.Unexpected,
					pushtest.FalseGap, pushtest.WrongReplay, pushtest.WrongState, pushtest.PublishOrder,
				} {
					by := make(map[string]bool) // subscribers that suffered
					for _, v := range report.Violations {
						if v.Kind == kind {
							by[v.Subscriber] = true
						}
					}
					if want := slices.Contains(tt.want, kind); want && len(by) != 2 || !want && len(by) > 0 {
						t.Errorf("%s was found by %v, expected: %v", kind, by, want)
					}
				}
				if t.Failed() {
					t.Log(report.Violations)
				}
			})
		})
	}
}

// sabotaged plays events 0 to 9 live, 10 to 14 while the subscribers are away, and, after a second cut, more than the log keeps.
func sabotaged(t *testing.T, log, harmed eventlog.Log) pushtest.Report {
	broker := newBroker(t, harmed)
	s := pushtest.NewServer(t, broker)
	oracle := pushtest.NewOracle(log)
	streams, events := oracle.Subscriber("streams", "a"), oracle.Subscriber("client", "a")
	ctx, leave := context.WithCancel(t.Context())
	var following sync.WaitGroup
	following.Go(func() {
		streams.FollowStreams(ctx, s.URL+"/?topic=a", &pushtest.StreamOptions{HTTP: s.Client()}, time.Second)
	})
	following.Go(func() { events.Follow(ctx, s.URL+"/?topic=a", &client.Options{HTTP: s.Client()}) })
	publish := func(n int) {
		for range n {
			oracle.Publish(t.Context(), broker, push.Event{Topic: "a"})
			synctest.Wait()
		}
	}
	pause(ctx, time.Minute)
	publish(10)
	s.Refuse()
	s.Cut()
	publish(5)
	s.Restore()
	pause(ctx, time.Minute)
	s.Refuse()
	s.Cut()
	publish(20)
	s.Restore()
	pause(ctx, time.Minute)
	leave()
	following.Wait()
	return oracle.Check()
}

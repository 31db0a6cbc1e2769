package eventlog_test

import (
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/buffkit/buffkit/eventlog"
)

func newMemory(t *testing.T, opts *eventlog.MemoryOptions) *eventlog.Memory {
	t.Helper()
	log := eventlog.NewMemory(opts)
	t.Cleanup(func() { log.Close() })
	return log
}

func event(topic, data string) eventlog.Event {
	return eventlog.Event{Topic: topic, Data: []byte(data)}
}

func mustAppend(t *testing.T, log *eventlog.Memory, events ...eventlog.Event) []eventlog.Cursor {
	t.Helper()
	cursors, err := log.Append(t.Context(), events...)
	if err != nil {
		t.Fatalf("Append: %v", err)
	}
	return cursors
}

func wantEvents(t *testing.T, log *eventlog.Memory, want int, when string) {
	t.Helper()
	if got := log.Stats().Events; got != want {
		t.Fatalf("%s: %d events are kept, want %d", when, got, want)
	}
}

func TestEventsExpireWithoutTraffic(t *testing.T) {
	t.Parallel()
	for name, age := range map[string]time.Duration{
		"whole seconds": 5 * time.Second, // falls on the sweeper's tick to the microsecond
		"odd":           5*time.Second + 1234567*time.Nanosecond,
		"under a tick":  time.Millisecond,
		"nanosecond":    1,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				log := newMemory(t, &eventlog.MemoryOptions{Retention: eventlog.Retention{Age: age}})
				mustAppend(t, log, event("a", "1"), event("b", "2"))
				wantEvents(t, log, 2, "at once")
				if age > time.Second {
					time.Sleep(age - 1)
					wantEvents(t, log, 2, "before their age")
				}
				time.Sleep(min(age, 1) + time.Second)
				synctest.Wait()
				wantEvents(t, log, 0, "a second after their age")
			})
		})
	}
}

func TestEventsWithoutAgeStay(t *testing.T) {
	t.Parallel()
	for name, age := range map[string]time.Duration{"no limit": -1, "the longest": math.MaxInt64, "nearly": math.MaxInt64 - 1} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				log := newMemory(t, &eventlog.MemoryOptions{Retention: eventlog.Retention{Age: age}})
				mustAppend(t, log, event("a", "1"))
				time.Sleep(5 * time.Hour)
				wantEvents(t, log, 1, "long after the default")
			})
		})
	}
}

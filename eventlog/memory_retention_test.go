package eventlog_test

import (
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/buffkit/buffkit/eventlog"
)

func TestRetentionKeepsTheNewest(t *testing.T) {
	t.Parallel()
	const frame = int64(len("id: 12345678.1234567890\ndata: 0\n\n")) // of one digit
	for _, tt := range []struct {
		name    string
		keep    eventlog.Retention
		publish int
		want    []string
	}{
		{"by count", eventlog.Retention{Count: 3}, 9, []string{"6", "7", "8"}},
		{"one by count", eventlog.Retention{Count: 1}, 9, []string{"8"}},
		{"by bytes", eventlog.Retention{Bytes: 3*frame + frame/2}, 9, []string{"6", "7", "8"}},
		{"by bytes to the byte", eventlog.Retention{Bytes: 3 * frame}, 9, []string{"6", "7", "8"}},
		{"by what is stricter", eventlog.Retention{Count: 5, Bytes: 2 * frame}, 9, []string{"7", "8"}},
		{"the newest even if it is over the bytes", eventlog.Retention{Bytes: 1}, 9, []string{"8"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			whole := newMemory(t, &eventlog.MemoryOptions{Retention: tt.keep})
			mustAppend(t, whole, numbered("t", tt.publish)...)
			wantData(t, mustRead(t, whole, eventlog.Cursor{}, "t"), tt.want...)

			single := newMemory(t, &eventlog.MemoryOptions{Retention: tt.keep})
			for _, e := range numbered("t", tt.publish) {
				mustAppend(t, single, e)
			}
			wantData(t, mustRead(t, single, eventlog.Cursor{}, "t"), tt.want...)
		})
	}
}

func TestRetentionOfATopic(t *testing.T) {
	t.Parallel()
	const publish = eventlog.DefaultRetentionCount + 1
	of := map[string]eventlog.Retention{
		"nothing said":   {},
		"fewer":          {Count: 7},
		"more":           {Count: 2 * publish, Bytes: -1},
		"no count":       {Count: -1, Bytes: -1},
		"least negative": {Count: math.MinInt, Bytes: math.MinInt64, Age: math.MinInt64},
		"most":           {Count: math.MaxInt, Bytes: math.MaxInt64, Age: math.MaxInt64},
	}
	want := map[string]int{"nothing said": 100, "fewer": 7}
	log := newMemory(t, &eventlog.MemoryOptions{
		Retention:   eventlog.Retention{Count: 100},
		RetentionOf: func(topic string) eventlog.Retention { return of[topic] },
		MaxBytes:    -1,
		MaxTopics:   -1,
	})
	for name := range of {
		mustAppend(t, log, numbered(name, publish)...)
		n, ok := want[name]
		if !ok {
			n = publish
		}
		if b := mustRead(t, log, eventlog.Cursor{}, name); b.Behind != n {
			t.Errorf("%s: %d events are kept, want %d", name, b.Behind, n)
		}
	}
}

func TestLimitsBelowZeroAreNone(t *testing.T) {
	t.Parallel()
	log := newMemory(t, &eventlog.MemoryOptions{
		Retention:         eventlog.Retention{Count: -1, Bytes: -1, Age: -1},
		MaxBytes:          -1,
		MaxTopics:         -1,
		MaxEventBytes:     -1,
		IdempotencyWindow: -1,
	})
	big := event("t", strings.Repeat("x", eventlog.DefaultMaxEventBytes+eventlog.DefaultRetentionBytes))
	big.IdempotencyKey = "k"
	mustAppend(t, log, numbered("t", eventlog.DefaultRetentionCount+1)...)
	mustAppend(t, log, big)
	wantEvents(t, log, eventlog.DefaultRetentionCount+2, "after what is over every default")
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

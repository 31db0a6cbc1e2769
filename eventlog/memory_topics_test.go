package eventlog_test

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/buffkit/buffkit/eventlog"
)

func mustRead(t *testing.T, log *eventlog.Memory, after eventlog.Cursor, topics ...string) eventlog.Batch {
	t.Helper()
	b, err := log.Read(t.Context(), topics, after, 1<<20)
	if err != nil {
		t.Fatalf("Read: %v", err)
	}
	return b
}

func mustHead(t *testing.T, log *eventlog.Memory) eventlog.Cursor {
	t.Helper()
	head, err := log.Head(t.Context())
	if err != nil {
		t.Fatalf("Head: %v", err)
	}
	return head
}

// wantData fails unless the batch has no gap and these data.
func wantData(t *testing.T, b eventlog.Batch, want ...string) {
	t.Helper()
	got := []string{}
	for _, e := range b.Entries {
		got = append(got, string(e.Event().Data))
	}
	if len(b.Gaps) > 0 || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Fatalf("read %q and gaps %v, want %q", got, b.Gaps, want)
	}
}

// wantTrimmed fails unless the batch is nothing but a gap of one topic.
func wantTrimmed(t *testing.T, b eventlog.Batch) {
	t.Helper()
	if len(b.Entries) != 0 || len(b.Gaps) != 1 || !errors.Is(b.Gaps[0].Err, eventlog.ErrTrimmed) {
		t.Fatalf("read %d entries and gaps %v, want nothing but ErrTrimmed", len(b.Entries), b.Gaps)
	}
}

func TestForgottenTopicIsNeverTakenForWhole(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const age = time.Minute
		log := newMemory(t, &eventlog.MemoryOptions{MaxTopics: 1, Retention: eventlog.Retention{Age: age}})
		start := mustHead(t, log)
		lost := mustAppend(t, log, event("a", "lost"))[0]
		time.Sleep(2 * age)
		mustAppend(t, log, event("b", "takes the place of a"))
		wantTrimmed(t, mustRead(t, log, start, "a"))
		wantData(t, mustRead(t, log, lost, "a"))

		time.Sleep(2 * age)
		recent := mustHead(t, log)
		mustAppend(t, log, event("a", "comes back"))
		wantTrimmed(t, mustRead(t, log, start, "a"))
		wantTrimmed(t, mustRead(t, log, start, "never seen"))
		wantData(t, mustRead(t, log, recent, "a"), "comes back")
		wantData(t, mustRead(t, log, eventlog.Cursor{}, "a"), "comes back")
	})
}

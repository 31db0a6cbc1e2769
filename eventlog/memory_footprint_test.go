package eventlog_test

import (
	"bytes"
	"fmt"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/buffkit/buffkit/eventlog"
)

// TestMemoryOfEvents measures the heap, so it isn't parallel: nothing else may allocate meanwhile.
func TestMemoryOfEvents(t *testing.T) {
	if testing.Short() {
		t.Skip("needs some seconds and 400 MB")
	}
	scale := 1
	if raceDetector {
		scale = 10
	}
	for _, tt := range []struct {
		name   string
		topics int
		keep   eventlog.Retention
		most   float64 // times the events' bytes on the wire
	}{
		{"in one topic", 1, eventlog.Retention{}, 1.6},
		{"in 100 topics", 100, eventlog.Retention{}, 1.6},
		{"in 10,000 topics", 10_000, eventlog.Retention{}, 1.6},
		{"each in a topic of its own", 100_000, eventlog.Retention{Count: 1}, 2.5},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { measure(t, tt.keep, max(tt.topics/scale, 1), 1_000_000/scale, tt.most) })
		})
	}
}

func measure(t *testing.T, keep eventlog.Retention, topics, events int, most float64) {
	if keep.Count == 0 {
		keep = eventlog.Retention{Count: -1, Bytes: -1}
	}
	keep.Age = time.Hour
	names, batch := make([]string, topics), make([]eventlog.Event, 1000)
	data := bytes.Repeat([]byte("x"), 200)
	for i := range names {
		names[i] = fmt.Sprintf("user/%d", i)
	}
	empty := heap()
	log := eventlog.NewMemory(&eventlog.MemoryOptions{Retention: keep, MaxBytes: -1})
	defer log.Close()
	for i := 0; i < events; i += len(batch) {
		for j := range batch {
			batch[j] = eventlog.Event{Topic: names[(i+j)%topics], Data: data}
		}
		if _, err := log.Append(t.Context(), batch...); err != nil {
			t.Fatal(err)
		}
	}
	full, stats := heap()-empty, log.Stats()
	frame := len(mustRead(t, log, mustHead(t, log).With(0, mustHead(t, log).At(0)-1), batch[len(batch)-1].Topic).Entries[0].Frame)
	wire := int64(frame) * int64(stats.Events)
	ratio, booked := float64(full)/float64(wire), float64(stats.Bytes)/float64(full)

	time.Sleep(keep.Age + time.Minute)
	synctest.Wait()
	expired := heap() - empty
	t.Logf("%d events of %d bytes: heap %d is %.3f of the wire bytes; the books say %.3f of the heap; %d left after expiry, by the books %d",
		stats.Events, frame, full, ratio, booked, expired, log.Stats().Bytes)
	if ratio > most {
		t.Errorf("the heap grew by %.2f times the bytes on the wire, at most %.2f", ratio, most)
	}
	if booked < 0.85 || booked > 1.15 {
		t.Errorf("the books say %d bytes, the heap %d", stats.Bytes, full)
	}
	if left := int64(topics) * 500; log.Stats().Events > 0 || expired > left+1<<20 {
		t.Errorf("%d bytes are left after expiry, of %d empty topics", expired, topics)
	}
	runtime.KeepAlive(names)
}

// heap returns the bytes of all that lives.
func heap() int64 {
	runtime.GC()
	runtime.GC() // what finalizers and pools held for one round
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

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
	for _, tt := range []footprint{
		{name: "in one topic", topics: 1, events: 1_000_000, most: 1.6},
		{name: "in 100 topics", topics: 100, events: 1_000_000, most: 1.6},
		{name: "in 10,000 topics", topics: 10_000, events: 1_000_000, most: 1.6},
		{name: "each in a topic of its own", topics: 100_000, events: 100_000, most: 2.5},
		{name: "the newest of each topic", topics: 100_000, events: 1_000_000, count: 1, most: 2.5},
		{name: "with idempotency keys", topics: 100, events: 300_000, keys: true, most: 2},
	} {
		tt.topics, tt.events = max(tt.topics/scale, 1), tt.events/scale
		t.Run(tt.name, func(t *testing.T) { synctest.Test(t, tt.measure) })
	}
}

type footprint struct {
	name           string
	topics, events int
	count          int     // Retention.Count, 0 for no limit
	keys           bool    // each event has an idempotency key
	most           float64 // heap, in times the kept events' bytes on the wire
}

func (f footprint) measure(t *testing.T) {
	names, batch := make([]string, f.topics), make([]eventlog.Event, 1000)
	data := bytes.Repeat([]byte("x"), 200)
	for i := range names {
		names[i] = fmt.Sprintf("user/%d", i)
	}
	if f.count == 0 {
		f.count = -1
	}
	empty := heap()
	log := eventlog.NewMemory(&eventlog.MemoryOptions{Retention: eventlog.Retention{Count: f.count, Bytes: -1}, MaxBytes: -1})
	defer log.Close()
	for i := 0; i < f.events; i += len(batch) {
		for j := range batch {
			batch[j] = eventlog.Event{Topic: names[(i+j)%f.topics], Data: data}
			if f.keys {
				batch[j].IdempotencyKey = fmt.Sprintf("%016x", i+j)
			}
		}
		mustAppend(t, log, batch...)
	}
	clear(batch)
	full, stats := heap()-empty, log.Stats()
	frame := len(mustRead(t, log, eventlog.Cursor{}, names[0]).Entries[0].Frame)
	wire := int64(frame) * int64(stats.Events)
	ratio, booked := float64(full)/float64(wire), float64(stats.Bytes)/float64(full)

	time.Sleep(eventlog.DefaultRetentionAge + time.Minute)
	synctest.Wait()
	expired := heap() - empty
	t.Logf("%d events of %d bytes: heap %d is %.3f of the wire bytes; the books say %.3f of the heap; %d left after expiry, by the books %d",
		stats.Events, frame, full, ratio, booked, expired, log.Stats().Bytes)
	if ratio > f.most {
		t.Errorf("the heap grew by %.2f times the bytes on the wire, at most %.2f", ratio, f.most)
	}
	if booked < 0.85 || booked > 1.15 {
		t.Errorf("the books say %d bytes, the heap %d", stats.Bytes, full)
	}
	if left := int64(f.topics) * 300; log.Stats().Events > 0 || expired > left+1<<20 {
		t.Errorf("%d bytes are left after expiry, of %d empty topics", expired, f.topics)
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

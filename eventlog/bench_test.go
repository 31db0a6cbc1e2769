package eventlog_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/buffkit/buffkit/eventlog"
)

// Speed is read by people and compared within one run; no test fails on it.

const benchBytes = 200 // of data: a table row as a fragment

func benchTopics(n int) []string {
	topics := make([]string, n)
	for i := range topics {
		topics[i] = fmt.Sprintf("user/%d", i)
	}
	return topics
}

func benchEvents(topics []string) []eventlog.Event {
	data := []byte(strings.Repeat("x", benchBytes))
	events := make([]eventlog.Event, max(len(topics), 100))
	for i := range events {
		events[i] = eventlog.Event{Topic: topics[i%len(topics)], Name: "row", Data: data}
	}
	return events
}

func benchLog(b *testing.B, opts *eventlog.MemoryOptions) *eventlog.Memory {
	log := eventlog.NewMemory(opts)
	b.Cleanup(func() { log.Close() })
	return log
}

func BenchmarkAppend(b *testing.B) {
	for _, topics := range []int{1, 10_000} {
		for _, batch := range []int{1, 100} {
			b.Run(fmt.Sprintf("topics=%d/batch=%d", topics, batch), func(b *testing.B) {
				log := benchLog(b, nil)
				events := benchEvents(benchTopics(topics))
				for i := 0; i < 400*len(events) && i < 1_000_000; i += len(events) { // until they make others give way
					log.Append(b.Context(), events...)
				}
				b.ReportAllocs()
				b.SetBytes(int64(batch * benchBytes))
				at := 0
				for b.Loop() {
					if at+batch > len(events) {
						at = 0
					}
					if _, err := log.Append(b.Context(), events[at:at+batch]...); err != nil {
						b.Fatal(err)
					}
					at += batch
				}
			})
		}
	}
}

// BenchmarkAppendFull appends to a log that is at its MaxBytes.
func BenchmarkAppendFull(b *testing.B) {
	log := benchLog(b, &eventlog.MemoryOptions{MaxBytes: 8 << 20})
	events := benchEvents(benchTopics(1000))
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if _, err := log.Append(b.Context(), events[i%len(events)]); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkAppendState appends to topics that keep one event each, the newest state of a thing.
func BenchmarkAppendState(b *testing.B) {
	log := benchLog(b, &eventlog.MemoryOptions{Retention: eventlog.Retention{Count: 1}})
	events := benchEvents(benchTopics(1000))
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if _, err := log.Append(b.Context(), events[i%len(events)]); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppendIdempotent(b *testing.B) {
	log := benchLog(b, &eventlog.MemoryOptions{MaxBytes: -1})
	keys := benchTopics(100_000)
	e := eventlog.Event{Topic: "t", Data: []byte("x")}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		e.IdempotencyKey = keys[i%len(keys)]
		if _, err := log.Append(b.Context(), e); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRead(b *testing.B) {
	topics := benchTopics(1000)
	for _, bb := range []struct {
		name   string
		topics []string
		behind int
		want   int
	}{
		{"nothing new/topics=1", topics[:1], 0, 0},
		{"nothing new/topics=4", topics[:4], 0, 0},
		{"1 new/topics=1", topics[:1], 1, 1},
		{"1 new/topics=4", topics[:4], 1, 1},
		{"100 new/topics=1", topics[:1], 100, 100},
		{"100 new/topics=4", topics[:4], 100, 100},
		{"100 new/topics=100", topics[:100], 100, 100},
		{"100 new/topics=1000", topics, 100, 100},
	} {
		b.Run(bb.name, func(b *testing.B) {
			log := benchLog(b, nil)
			events := benchEvents(bb.topics)
			for range 10 {
				log.Append(b.Context(), events...)
			}
			after, _ := log.Head(b.Context())
			for i := range bb.behind {
				log.Append(b.Context(), events[i])
			}
			b.ReportAllocs()
			for b.Loop() {
				got, err := log.Read(b.Context(), bb.topics, after, 100)
				if err != nil || len(got.Entries) != bb.want {
					b.Fatal(len(got.Entries), err)
				}
			}
		})
	}
}

// BenchmarkReadBehind reads a page from the middle of a full topic.
func BenchmarkReadBehind(b *testing.B) {
	log := benchLog(b, nil)
	events := benchEvents(benchTopics(1))
	var at []eventlog.Cursor
	for range 100 {
		at, _ = log.Append(b.Context(), events...)
	}
	for range 50 {
		log.Append(b.Context(), events...)
	}
	b.ReportAllocs()
	for b.Loop() {
		if got, err := log.Read(b.Context(), []string{"user/0"}, at[0], 100); err != nil || len(got.Entries) != 100 {
			b.Fatal(len(got.Entries), err)
		}
	}
}

func BenchmarkCursor(b *testing.B) {
	one := eventlog.NewCursor(1<<39, 1_700_000_000_000_000)
	eight := one
	for p := range uint32(7) {
		eight = eight.With(p+1, 1_700_000_000_000_000)
	}
	for name, c := range map[string]eventlog.Cursor{"partitions=1": one, "partitions=8": eight} {
		text, buf := c.String(), make([]byte, 0, 256)
		b.Run("parse/"+name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := eventlog.ParseCursor(text); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("print/"+name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				c.AppendText(buf)
			}
		})
	}
}

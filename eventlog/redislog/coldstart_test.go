package redislog_test

import (
	"context"
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/buffkit/buffkit/eventlog"
	"github.com/buffkit/buffkit/eventlog/redislog"
	"github.com/buffkit/buffkit/internal/servers"
)

// fillTopics stores so many events of 200 bytes, in turn to so many topics.
func fillTopics(t testing.TB, opts redislog.Options, events, topics int) {
	t.Helper()
	store := openStore(t, opts)
	body := []byte("data: " + strings.Repeat("x", 200) + "\n\n")
	records := make([]eventlog.Record, 500)
	for n := 0; n < events; n += len(records) {
		for i := range records {
			records[i] = eventlog.Record{Topic: topicOf((n + i) % topics), Body: body}
		}
		mustAppend(t, store, records...)
	}
}

func topicOf(i int) string { return fmt.Sprint("topic/", i) }

// readTopics reads the first events of so many topics, as clients do who come back with a cursor that is older than all of them.
func readTopics(t testing.TB, log eventlog.Log, topics, want int) {
	t.Helper()
	for i := range topics {
		b, err := log.Read(context.Background(), []string{topicOf(i)}, eventlog.Cursor{}, want)
		if err != nil || len(b.Entries) != want {
			t.Fatalf("%s: %d events, %v; want %d", topicOf(i), len(b.Entries), err, want)
		}
	}
}

// sent is how many bytes a server has sent.
func sent(t testing.TB, server *servers.RedisServer) int {
	t.Helper()
	stats, err := server.Info("INFO", "stats")
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(stats["total_net_output_bytes"])
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// What a node reads when it starts doesn't depend on what the log holds, and what it keeps is what it may.
func TestAStartingNodeReadsTheTailAndKeepsItsBudget(t *testing.T) {
	t.Parallel()
	const events, topics, tail, budget = 50_000, 50, 1 << 20, 2 << 20
	server := own(t, servers.Redis)
	opts := redislog.Options{Addrs: []string{server.Addr}, TailBytes: tail,
		Replica: &eventlog.ReplicaOptions{Memory: eventlog.MemoryOptions{MaxBytes: budget}}}
	fillTopics(t, opts, events, topics)
	before := sent(t, server)
	log := openLog(t, opts)
	if n := sent(t, server) - before; n > 2*tail { // a slow machine makes a second try
		t.Errorf("Redis sent %d bytes to a node that starts, want no more than its tail of %d twice", n, tail)
	}
	if s := log.Stats(); s.Events == 0 || s.Bytes > budget || s.Ranges > 0 {
		t.Errorf("after the start: %d events, %d bytes, %d ranges read; want some events within %d bytes, and no ranges", s.Events, s.Bytes, s.Ranges, budget)
	}
	readTopics(t, log, topics, events/topics)
	if s := log.Stats(); s.Bytes > budget || s.Bytes < budget/2 {
		t.Errorf("after all topics were read: %d bytes, want %d at most, and more than half of them", s.Bytes, budget)
	}
}

// BenchmarkColdStart opens a log of 1,000,000 events, the newest of which are seconds old, and reads the first page of a topic. What the node's heap holds then,
// and when all of the log was read once, is measured beside it; its budget is 64 MiB.
func BenchmarkColdStart(b *testing.B) {
	const events, topics, budget = 1_000_000, 1000, 64 << 20
	server := own(b, servers.Redis)
	opts := redislog.Options{Addrs: []string{server.Addr}, Retention: eventlog.Retention{Count: -1, Bytes: -1},
		Replica: &eventlog.ReplicaOptions{Memory: eventlog.MemoryOptions{MaxBytes: budget}}}
	fillTopics(b, opts, events, topics)
	empty, started := heap(), 0.
	var open, slowest time.Duration
	for b.Loop() {
		begin := time.Now()
		log := openLog(b, opts)
		open += time.Since(begin)
		readTopics(b, log, 1, events/topics)
		slowest = max(slowest, time.Since(begin))
		b.StopTimer()
		started = max(started, heap()-empty)
		log.Close()
		b.StartTimer()
	}
	log := openLog(b, opts)
	readTopics(b, log, topics, events/topics)
	b.ReportMetric(open.Seconds()/float64(b.N)*1000, "ms-to-open")
	b.ReportMetric(slowest.Seconds()*1000, "ms-slowest")
	b.ReportMetric(started, "MiB-started")
	b.ReportMetric(heap()-empty, "MiB-all-read")
	log.Close()
}

// heap returns the MiB of all that lives.
func heap() float64 {
	runtime.GC()
	runtime.GC() // what finalizers and pools held for one round
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc) / (1 << 20)
}

package redislog_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/buffkit/buffkit/eventlog"
	"github.com/buffkit/buffkit/eventlog/redislog"
	"github.com/buffkit/buffkit/internal/servers"
)

func history(t testing.TB, store eventlog.Store, topic string) eventlog.History {
	t.Helper()
	h, err := store.History(context.Background(), eventlog.Range{Topic: topic, Max: 100_000})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// wantWhole fails unless the records are linked, and the first is linked to what was trimmed.
func wantWhole(t testing.TB, h eventlog.History) {
	t.Helper()
	before := h.Trimmed
	for i, r := range h.Records {
		if r.Prev != before {
			t.Fatalf("record %d of %d names %d, want %d", i, len(h.Records), r.Prev, before)
		}
		before = r.Offset
	}
}

func TestRetentionIsPerTopic(t *testing.T) {
	t.Parallel()
	body := strings.Repeat("x", 93) // 100 bytes with its field and the empty line, 101 as stored
	opts := redislog.Options{Addrs: kinds[0].addrs(t), Prefix: prefix(), RetentionOf: func(topic string) eventlog.Retention {
		switch topic {
		case "count":
			return eventlog.Retention{Count: 100}
		case "bytes":
			return eventlog.Retention{Bytes: 10_000}
		case "age":
			return eventlog.Retention{Age: 300 * time.Millisecond}
		}
		return eventlog.Retention{Count: -1, Bytes: -1, Age: -1}
	}}
	store := openStore(t, opts)
	const n = 2000
	for i := range n / 4 {
		var some []eventlog.Record
		for range 4 {
			some = append(some, record("count", body), record("bytes", body), record("all", body))
		}
		mustAppend(t, store, some...)
		mustAppend(t, store, record("age", fmt.Sprint(i)))
	}
	tests := []struct {
		topic       string
		least, most int
	}{{"count", 100, 106}, {"bytes", 90, 106}, {"all", n, n}}
	for _, tt := range tests {
		h := history(t, store, tt.topic)
		wantWhole(t, h)
		if len(h.Records) < tt.least || len(h.Records) > tt.most {
			t.Errorf("%s: %d records are kept, want %d to %d", tt.topic, len(h.Records), tt.least, tt.most)
		}
	}
	wantWhole(t, history(t, store, "age"))
	eventually(t, "what is too old is gone, though nobody appends", func() bool {
		h := history(t, store, "age")
		return len(h.Records) == 0 && h.Trimmed > 0
	})
	before := history(t, store, "age").Trimmed
	late := []eventlog.Record{record("age", "late")}
	if mustAppend(t, store, late...); late[0].Prev != before {
		t.Errorf("the record behind what has expired names %d, want %d", late[0].Prev, before)
	}
}

// Redis may throw a key away, or somebody may delete it: readers must not take what is left for the whole.
func TestATopicThatRedisHasEvictedIsTold(t *testing.T) {
	t.Parallel()
	server := own(t, servers.Redis)
	opts := redislog.Options{Addrs: []string{server.Addr}, Replica: &eventlog.ReplicaOptions{Preload: -1}} // the tail still has what the topic lacks
	log := openLog(t, opts)
	start := publish(t, log, "a", "1")
	publish(t, log, "a", "2")
	mustDo(t, server, "DEL", "{buffkit}:t:a")
	node := openLog(t, opts)
	wantGap(t, node, start, "a", eventlog.ErrTrimmed)
	at := publish(t, node, "a", "3")
	wantGap(t, openLog(t, opts), start, "a", eventlog.ErrTrimmed)
	f := follow(t, openLog(t, opts), at.With(0, at.At(0)-1), "a")
	f.wait(t, "3")
}

func TestTheLargestTopicsMakeRoom(t *testing.T) {
	t.Parallel()
	server := own(t, servers.Redis)
	store := openStore(t, redislog.Options{Addrs: []string{server.Addr}, MaxBytes: 100_000, Retention: eventlog.Retention{Count: -1, Bytes: -1}})
	body := strings.Repeat("x", 1000)
	for range 300 {
		mustAppend(t, store, record("busy", body))
	}
	mustAppend(t, store, record("quiet", "1"))
	eventually(t, "the busy topic has made room", func() bool { return len(history(t, store, "busy").Records) < 110 })
	wantWhole(t, history(t, store, "busy"))
	if h := history(t, store, "quiet"); len(h.Records) != 1 || h.Trimmed != 0 {
		t.Errorf("the quiet topic: %d records, trimmed up to %d; want it whole", len(h.Records), h.Trimmed)
	}
}

func TestAForgottenTopicIsToldToOldCursors(t *testing.T) {
	t.Parallel()
	server := own(t, servers.Redis)
	opts := redislog.Options{Addrs: []string{server.Addr}, Retention: eventlog.Retention{Age: 50 * time.Millisecond}, Forget: 100 * time.Millisecond}
	store := openStore(t, opts)
	records := []eventlog.Record{record("gone", "1")}
	mustAppend(t, store, records...)
	eventually(t, "the topic is forgotten", func() bool {
		answer, err := server.Do("HEXISTS", "{buffkit}:m", "t:gone")
		return err == nil && answer == ":0"
	})
	if h := history(t, store, "gone"); h.Trimmed < records[0].Offset {
		t.Errorf("trimmed up to %d, want at least %d", h.Trimmed, records[0].Offset)
	}
}

// A node that was away for longer than the tail keeps must see that something lies between.
func TestATrimmedTailShowsInTheChain(t *testing.T) {
	t.Parallel()
	opts := redislog.Options{Addrs: kinds[0].addrs(t), Prefix: prefix(), TailBytes: 2000}
	store := openStore(t, opts)
	first := []eventlog.Record{record("a", "0")}
	epoch := mustAppend(t, store, first...)
	for range 200 {
		mustAppend(t, store, record("a", strings.Repeat("x", 100)))
	}
	var got eventlog.Page
	stop := errors.New("enough")
	err := store.Tail(t.Context(), eventlog.NewCursor(epoch, first[0].Offset), func(p eventlog.Page) error { got = p; return stop })
	if !errors.Is(err, stop) || len(got.Records) == 0 {
		t.Fatalf("%d records, %v", len(got.Records), err)
	}
	if n := len(got.Records); n > 40 || got.Records[0].Chain <= first[0].Offset || got.Records[n-1].Offset != got.Head.At(0) {
		t.Errorf("%d records, the first behind %d, the cursor is at %d", n, got.Records[0].Chain, first[0].Offset)
	}
}

// A node that was away for less than the tail's age finds there what it missed, though the log is quiet and something older goes.
func TestTheTailDropsNothingYoungWithWhatIsTooOld(t *testing.T) {
	t.Parallel()
	server := own(t, servers.Redis)
	store := openStore(t, redislog.Options{Addrs: []string{server.Addr}})
	first, young := []eventlog.Record{record("a", "old")}, []eventlog.Record{record("a", "1")}
	epoch := mustAppend(t, store, first...)
	for range 6 {
		mustAppend(t, store, young...)
	}
	// What the log knows of its oldest entry becomes an hour older.
	oldest := first[0].Offset - eventlog.Offset(time.Hour/time.Microsecond)
	mustDo(t, server, "LSET", "{buffkit}:list", "0", string(binary.LittleEndian.AppendUint64(double(oldest), math.Float64bits(10))))
	mustDo(t, server, "HSET", "{buffkit}:m", "o", fmt.Sprint(oldest))
	mustAppend(t, store, young...)
	got := tailed(t, store, eventlog.NewCursor(epoch, 1), 7)
	if len(got) != 7 || got[0].Chain != first[0].Offset {
		t.Errorf("%d records are left, the first behind %d; want the 7 behind %d", len(got), got[0].Chain, first[0].Offset)
	}
}

func double(o eventlog.Offset) []byte {
	return binary.LittleEndian.AppendUint64(nil, math.Float64bits(float64(o)))
}

func TestALargeHistoryIsReadInSteps(t *testing.T) {
	t.Parallel()
	store := openStore(t, redislog.Options{Addrs: kinds[0].addrs(t), Prefix: prefix()})
	const n = 3000 // in one Append: several entries of the tail, and more than a script reads
	all := make([]eventlog.Record, n)
	for i := range all {
		all[i] = record("a", fmt.Sprint(i))
	}
	mustAppend(t, store, all...)
	for _, newest := range []bool{false, true} {
		h, err := store.History(t.Context(), eventlog.Range{Topic: "a", After: all[99].Offset, Until: all[n-100].Offset, Max: n, Newest: newest})
		if err != nil || len(h.Records) != n-199 || h.Records[0].Offset != all[100].Offset || h.Records[len(h.Records)-1].Offset != all[n-100].Offset {
			t.Errorf("newest %v: %d records, %v; want %d", newest, len(h.Records), err, n-199)
		}
	}
}

// The expiry that an earlier, shorter retention has set must not take what a longer one keeps.
func TestAnotherAgeSetsAnotherExpiry(t *testing.T) {
	t.Parallel()
	server := own(t, servers.Redis)
	client := admin(t, server.Addr)
	expiry := func(age time.Duration) int64 {
		store := openStore(t, redislog.Options{Addrs: []string{server.Addr}, Retention: eventlog.Retention{Age: age}})
		mustAppend(t, store, record("a", "text"))
		ms, err := do(t, client, "PTTL", "{buffkit}:t:a").AsInt64()
		if err != nil {
			t.Fatal(err)
		}
		return ms
	}
	if ms := expiry(time.Hour); ms < 3_600_000 || ms > 4_300_000 {
		t.Errorf("for an hour: %d ms", ms)
	}
	if ms := expiry(24 * time.Hour); ms < 86_400_000 {
		t.Errorf("for a day: %d ms", ms)
	}
	if ms := expiry(-1); ms != -1 {
		t.Errorf("for ever: %d ms", ms)
	}
}

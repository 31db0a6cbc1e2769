package redislog_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/buffkit/buffkit/eventlog"
	"github.com/buffkit/buffkit/eventlog/redislog"
	"github.com/buffkit/buffkit/internal/servers"
)

// offsets of records, for messages and comparisons.
func offsets(records []eventlog.Record) (all []eventlog.Offset) {
	for _, r := range records {
		all = append(all, r.Offset)
	}
	return all
}

// tailed reads what is behind a cursor, so many records.
func tailed(t testing.TB, store eventlog.Store, after eventlog.Cursor, n int) (all []eventlog.Record) {
	t.Helper()
	enough := errors.New("enough")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	err := store.Tail(ctx, after, func(p eventlog.Page) error {
		if all = append(all, p.Records...); len(all) < n {
			return nil
		}
		return enough
	})
	if !errors.Is(err, enough) {
		t.Fatalf("the tail ended after %d of %d records: %v", len(all), n, err)
	}
	return all
}

// wantSame fails unless the records are those that were appended, with their positions.
func wantSame(t testing.TB, how string, got, want []eventlog.Record) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d records, want %d", how, len(got), len(want))
	}
	for i, w := range want {
		g := got[i]
		if g.Topic != w.Topic || g.Key != w.Key || string(g.Body) != string(w.Body) || g.Offset != w.Offset || g.Prev != w.Prev {
			t.Fatalf("%s: record %d is %q %q at %d behind %d, %d bytes; want %q %q at %d behind %d, %d bytes", how, i,
				g.Topic, g.Key, g.Offset, g.Prev, len(g.Body), w.Topic, w.Key, w.Offset, w.Prev, len(w.Body))
		}
	}
}

// Records of a batch lie in one entry of their topic's stream. Any range of them is read as if each had its own.
func TestARangeWithinAnEntryIsExact(t *testing.T) {
	t.Parallel()
	store := openStore(t, redislog.Options{Addrs: kinds[0].addrs(t), Prefix: prefix()})
	var all []eventlog.Record // of topic a
	for _, n := range []int{1, 5, 2, 70, 1, 3} {
		var some []eventlog.Record
		for i := range n {
			some = append(some, record("a", fmt.Sprint(len(all), i)), record("b", "between"))
		}
		mustAppend(t, store, some...)
		for i := 0; i < len(some); i += 2 {
			all = append(all, some[i])
		}
	}
	edges := []int{0, 1, 2, 5, 6, 7, 8, 9, 40, 71, 72, 77, 78, 79, 80, 81, len(all) - 1}
	for _, from := range edges {
		for _, to := range edges {
			for _, most := range []int{1, 3, 64, 1000} {
				checkRange(t, store, all, from, to, most)
			}
		}
	}
}

// checkRange reads what is behind one record and up to another, from both ends.
func checkRange(t *testing.T, store eventlog.Store, all []eventlog.Record, from, to, most int) {
	t.Helper()
	want := all[min(from+1, to+1) : to+1]
	for _, newest := range []bool{false, true} {
		r := eventlog.Range{Topic: "a", After: all[from].Offset, Until: all[to].Offset, Max: most, Newest: newest}
		h, err := store.History(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		part := want[:min(len(want), most)]
		if newest {
			part = want[max(0, len(want)-most):]
		}
		wantSame(t, fmt.Sprintf("behind %d up to %d, %d, newest %v", from, to, most, newest), h.Records, part)
		if h.Trimmed != 0 {
			t.Fatalf("trimmed up to %d, want nothing", h.Trimmed)
		}
	}
}

// A large Append has several entries in the tail, and topics that go on from one to the next.
func TestALargeAppendIsFollowedAndReadWhole(t *testing.T) {
	t.Parallel()
	store := openStore(t, redislog.Options{Addrs: kinds[0].addrs(t), Prefix: prefix()})
	before := []eventlog.Record{record("t0", "before")}
	epoch := mustAppend(t, store, before...)
	var all []eventlog.Record
	for i := range 900 {
		r := record(fmt.Sprintf("t%d", i%(1+i/100)), strings.Repeat("x", i*3))
		if i%5 == 0 {
			r.Key = fmt.Sprint("key", i)
		}
		all = append(all, r)
	}
	mustAppend(t, store, all...)
	got := tailed(t, store, eventlog.NewCursor(epoch, before[0].Offset), len(all))
	wantSame(t, "tail", got, all)
	chain := before[0].Offset
	for i, r := range got {
		if r.Chain != chain || all[i].Chain != chain {
			t.Fatalf("record %d names %d before it, and %d to who appended it; want %d", i, r.Chain, all[i].Chain, chain)
		}
		chain = r.Offset
	}
	for i := range 9 {
		topic := fmt.Sprintf("t%d", i)
		want := slices.DeleteFunc(append(slices.Clone(before), all...), func(r eventlog.Record) bool { return r.Topic != topic })
		wantSame(t, "history of "+topic, history(t, store, topic).Records, want)
	}
}

// What lies together is dropped together: an eighth more than the limits may be left, and no less than the count.
func TestRetentionOfWhatLiesTogether(t *testing.T) {
	t.Parallel()
	body := strings.Repeat("x", 90)
	opts := redislog.Options{Addrs: kinds[0].addrs(t), Prefix: prefix(), RetentionOf: func(topic string) eventlog.Retention {
		if topic == "count" {
			return eventlog.Retention{Count: 160}
		}
		return eventlog.Retention{Bytes: 16_000}
	}}
	store := openStore(t, opts)
	total := 0
	for i := range 60 {
		var some []eventlog.Record
		for range i%50 + 1 {
			some = append(some, record("count", body), record("bytes", body))
		}
		mustAppend(t, store, some...)
		total += i%50 + 1
		for _, topic := range []string{"count", "bytes"} {
			h := history(t, store, topic)
			wantWhole(t, h)
			n := len(h.Records)
			if topic == "count" && (n < min(total, 160) || n > 180) {
				t.Fatalf("%d of %d records are kept, want 160 to 180", n, total)
			}
			if bytes := n * 100; topic == "bytes" && (bytes < min(total*100, 14_500) || bytes > 18_000) {
				t.Fatalf("about %d of %d bytes are kept, want 14,500 to 18,000", bytes, total*100)
			}
			if n < total && h.Trimmed == 0 {
				t.Fatalf("%d of %d records are kept, and nothing is said to be trimmed", n, total)
			}
		}
	}
}

func TestAKeyThatManyUseAtOnceIsStoredOnce(t *testing.T) {
	t.Parallel()
	server := own(t, servers.Redis)
	opts := redislog.Options{Addrs: []string{server.Addr}}
	nodes := []*redislog.Store{openStore(t, opts), openStore(t, opts)}
	const calls, keys = 400, 7
	results := make([][]eventlog.Record, calls)
	var all sync.WaitGroup
	for i := range calls {
		all.Go(func() {
			once := record("a", "once")
			once.IdempotencyKey = fmt.Sprint("k", i%keys)
			results[i] = []eventlog.Record{record("a", fmt.Sprint(i)), once, record("b", fmt.Sprint(i))}
			mustAppend(t, nodes[i%2], results[i]...)
		})
	}
	all.Wait()
	first, stored := map[string]eventlog.Offset{}, 0
	for _, records := range results {
		if records[0].Repeated || records[2].Repeated {
			t.Error("a record without a key is a repeat")
		}
		r := records[1]
		if known, ok := first[r.IdempotencyKey]; ok && known != r.Offset {
			t.Errorf("%s is at %d and at %d", r.IdempotencyKey, known, r.Offset)
		}
		first[r.IdempotencyKey] = r.Offset
		if !r.Repeated {
			stored++
		}
	}
	if h := history(t, nodes[0], "a"); stored != keys || len(h.Records) != calls+keys {
		t.Errorf("%d keys were stored %d times, and there are %d records; want %d", keys, stored, len(h.Records), calls+keys)
	}
	wantWhole(t, history(t, nodes[0], "a"))
	wantWhole(t, history(t, nodes[0], "b"))
}

func TestSomebodyElsesEntriesAreAnError(t *testing.T) {
	t.Parallel()
	server := own(t, servers.Redis)
	store := openStore(t, redislog.Options{Addrs: []string{server.Addr}})
	records := []eventlog.Record{record("a", "1")}
	epoch := mustAppend(t, store, records...)
	mustDo(t, server, "XADD", "{buffkit}:t:a", "*", "field", "value")
	mustDo(t, server, "XADD", "{buffkit}:tail", "*", "field", "value", "other", "value")
	if _, err := store.History(t.Context(), eventlog.Range{Topic: "a", Max: 10}); err == nil || !strings.Contains(err.Error(), "Options.Prefix") {
		t.Errorf("History: %v, want an error that says what to do", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	err := store.Tail(ctx, eventlog.NewCursor(epoch, records[0].Offset), func(eventlog.Page) error { return nil })
	if err == nil || !strings.Contains(err.Error(), "Options.Prefix") {
		t.Errorf("Tail: %v, want an error that says what to do", err)
	}
}

// What is read was written by a server: nothing of it may make the reader fail otherwise than with an error, or take memory without end.
func FuzzReadPart(f *testing.F) {
	part, befores := redislog.Part([]eventlog.Record{record("a", "1"), {Topic: "b", Key: "key", Body: []byte("\n")}, record("a", "2")})
	f.Add(uint64(1_000_000), befores, part)
	f.Add(uint64(1), "", []byte{0, 1, 1})
	f.Fuzz(func(t *testing.T, last uint64, befores string, part []byte) {
		records, ok := redislog.ReadPart(eventlog.Offset(last), befores, part)
		if !ok {
			return
		}
		if len(records) == 0 || records[len(records)-1].Offset != eventlog.Offset(last) {
			t.Fatalf("%d records, want some that end at %d", len(records), last)
		}
		for i := 1; i < len(records); i++ {
			if records[i].Offset != records[i-1].Offset+1 {
				t.Fatalf("the offsets are %v", offsets(records))
			}
		}
	})
}

func FuzzReadEntry(f *testing.F) {
	f.Add("1700000000000000-0", "123456781234567812345678", redislog.Entry([]eventlog.Record{record("a", "1"), record("a", "2")}))
	f.Add("1-0", "123456781234567812345678", "")
	f.Fuzz(func(t *testing.T, id, before, packed string) {
		records, err := redislog.ReadEntry("a", id, before, packed)
		if err == nil && len(records) > 255 {
			t.Fatalf("%d records", len(records))
		}
	})
}

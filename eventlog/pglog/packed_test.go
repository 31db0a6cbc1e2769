package pglog_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/buffkit/buffkit/eventlog"
	"github.com/buffkit/buffkit/eventlog/pglog"
)

// unindexed opens a store that brings its index up when it is told to.
func unindexed(t *testing.T, dsn string, keep eventlog.Retention) *pglog.Store {
	t.Helper()
	opts := &pglog.Options{Retention: keep}
	pglog.IndexEvery(opts, time.Hour)
	return openStore(t, dsn, opts)
}

// some returns records of a few topics, some of them with a key and some with an idempotency key.
func some(n int, once bool) (records []eventlog.Record) {
	for i := range n {
		r := record(fmt.Sprint("t", rand.N(5)), strings.Repeat("x", rand.N(300))+fmt.Sprint(i))
		if rand.N(3) == 0 {
			r.Key = strings.Repeat("k", rand.N(20))
		}
		if once {
			r.IdempotencyKey = fmt.Sprint(rand.Uint64())
		}
		records = append(records, r)
	}
	return records
}

// What is in the index, what isn't yet, and what is half in it reads the same, and as Append said, however the events came in.
func TestHistoryIsTheSameBeforeAndAfterTheIndex(t *testing.T) {
	t.Parallel()
	dsn := fresh(t)
	s := unindexed(t, dsn, forever)
	var all []eventlog.Record
	for i := range 60 {
		n := 1 + rand.N(40)
		if i%20 == 7 {
			n = 2500 // more than a row
		}
		all = append(all, mustAppend(t, s, some(n, i%3 == 0)...)...)
		if i == 30 {
			if err := s.Index(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, when := range []string{"half", "whole"} {
		for k := range 5 {
			compareHistory(t, s, when, fmt.Sprint("t", k), all)
		}
		if err := s.Index(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	tail := follow(t, s, eventlog.NewCursor(epochOf(t, s), 1)).wait(len(all))
	for i, r := range tail {
		if want := all[i]; r.Offset != want.Offset || r.Topic != want.Topic || r.Key != want.Key || string(r.Body) != string(want.Body) || r.Prev != want.Prev {
			t.Fatalf("Tail: %+v, want %+v", r, want)
		}
	}
}

func epochOf(t *testing.T, s *pglog.Store) uint64 {
	t.Helper()
	h, err := s.History(t.Context(), eventlog.Range{Topic: "t", Max: 1})
	if err != nil {
		t.Fatal(err)
	}
	return h.Epoch
}

// compareHistory reads ranges of a topic.
func compareHistory(t *testing.T, s *pglog.Store, when, topic string, all []eventlog.Record) {
	t.Helper()
	mine := slices.DeleteFunc(slices.Clone(all), func(r eventlog.Record) bool { return r.Topic != topic })
	for range 10 {
		from := rand.N(len(mine))
		to := from + rand.N(len(mine)-from)
		most := 1 + rand.N(2*(to-from)+1)
		asked := eventlog.Range{Topic: topic, Until: mine[to].Offset, Max: most, Newest: rand.N(2) == 0}
		if from > 0 {
			asked.After = mine[from-1].Offset
		}
		want := mine[from : to+1]
		if len(want) > most && asked.Newest {
			want = want[len(want)-most:]
		}
		want = want[:min(len(want), most)]
		h, err := s.History(t.Context(), asked)
		if err != nil || h.Trimmed != 0 || len(h.Records) != len(want) {
			t.Fatalf("%s %+v: %d records, want %d, trimmed %d, %v", when, asked, len(h.Records), len(want), h.Trimmed, err)
		}
		for i, r := range h.Records {
			if w := want[i]; r.Offset != w.Offset || r.Prev != w.Prev || r.Chain != w.Chain || r.Key != w.Key || string(r.Body) != string(w.Body) {
				t.Fatalf("%s %+v: %+v, want %+v", when, asked, r, w)
			}
		}
	}
}

// A quiet topic's event doesn't keep the others of its row.
func TestARowOfWhichLittleIsLeftIsWrittenAnew(t *testing.T) {
	t.Parallel()
	dsn := fresh(t)
	s := unindexed(t, dsn, eventlog.Retention{Count: 2, Bytes: -1})
	quiet := record("quiet", "whisper")
	quiet.Key = "key"
	records := []eventlog.Record{record("gone", "x"), quiet}
	for i := range 20 {
		records = append(records, record("busy", strings.Repeat("x", 1000)+fmt.Sprint(i)))
	}
	records = mustAppend(t, s, records...)
	last := mustAppend(t, s, record("busy", "later"))[0]
	exec(t, dsn, fmt.Sprintf("INSERT INTO buffkit_log_topics VALUES ('gone', %d)", records[0].Offset))
	for range 2 { // and a second time, what was written anew
		if err := s.Sweep(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
		if size := bytesStored(t, dsn); size > 1100 {
			t.Errorf("%d bytes are stored", size)
		}
		h, rows := kept(t, s, dsn, "quiet")
		if rows != 1 || len(h.Records) != 1 || h.Records[0].Key != "key" || string(h.Records[0].Body) != "whisper" || h.Trimmed != 0 {
			t.Errorf("quiet: %d rows, %+v", rows, h)
		}
		h, rows = kept(t, s, dsn, "busy")
		if rows != 2 || len(h.Records) != 2 || h.Records[0].Offset != records[21].Offset || h.Records[0].Prev != records[20].Offset || h.Trimmed != records[20].Offset {
			t.Errorf("busy: %d rows, %+v", rows, h)
		}
	}
	var got []eventlog.Record
	_ = s.Tail(t.Context(), eventlog.NewCursor(epochOf(t, s), 1), func(p eventlog.Page) error { got = p.Records; return errNo })
	want := []eventlog.Record{records[1], records[21], last}
	for i, r := range got {
		if w := want[i]; r.Offset != w.Offset || r.Prev != w.Prev || r.Chain != w.Chain || string(r.Body) != string(w.Body) {
			t.Errorf("Tail: %+v, want %+v", r, w)
		}
	}
	if len(got) != len(want) {
		t.Errorf("Tail: %d records", len(got))
	}
	for _, topic := range []string{"gone", "busy", "quiet"} {
		before := map[string]eventlog.Offset{"gone": records[0].Offset, "busy": last.Offset, "quiet": records[1].Offset}[topic]
		if r := mustAppend(t, unindexed(t, dsn, forever), record(topic, "next"))[0]; r.Prev != before {
			t.Errorf("the next of %s names %d, want %d", topic, r.Prev, before)
		}
	}
}

func bytesStored(t *testing.T, dsn string) (n int) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if err := conn.QueryRow(t.Context(), "SELECT coalesce(sum(octet_length(body)), 0) FROM buffkit_log_batches").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// A read that is to fill a memory with room for some bytes doesn't fetch ten thousand big events.
func TestHistoryReadsNoMoreBytesThanAreWanted(t *testing.T) {
	t.Parallel()
	s := unindexed(t, fresh(t), forever)
	var all []eventlog.Record
	for i := range 10 {
		if i == 5 {
			if err := s.Index(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		all = append(all, mustAppend(t, s, record("t", strings.Repeat("x", 100_000)), record("t", strings.Repeat("x", 100_000)))...)
	}
	tests := []struct {
		r    eventlog.Range
		want []eventlog.Record
	}{
		{eventlog.Range{Max: 100, Newest: true, Bytes: 250_000}, all[17:]},
		{eventlog.Range{Max: 100, Newest: true, Bytes: 1}, all[19:]},
		{eventlog.Range{Max: 2, Newest: true, Bytes: 1 << 30}, all[18:]},
		{eventlog.Range{Max: 100, Newest: true}, all},
		{eventlog.Range{Max: 100, Until: all[9].Offset, Newest: true, Bytes: 200_000}, all[8:10]},
	}
	for _, when := range []string{"before", "after"} {
		for _, tt := range tests {
			tt.r.Topic = "t"
			h, err := s.History(t.Context(), tt.r)
			if err != nil || len(h.Records) != len(tt.want) || h.Records[0].Offset != tt.want[0].Offset || h.Trimmed != 0 {
				t.Errorf("%s %+v: %d records, want %d, %v", when, tt.r, len(h.Records), len(tt.want), err)
			}
		}
		if err := s.Index(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// However many topics there are, a turn looks at some and the next one at the others.
func TestATurnOfRetentionIsBounded(t *testing.T) {
	t.Parallel()
	dsn := fresh(t)
	s := unindexed(t, dsn, eventlog.Retention{Age: time.Microsecond})
	topics := 2*pglog.SweepTopics + 10
	var records []eventlog.Record
	for i := range topics {
		records = append(records, record(fmt.Sprint("t", i), "x"))
	}
	mustAppend(t, s, records...)
	turn := s.Turns()
	for _, want := range []int{topics - pglog.SweepTopics, topics - 2*pglog.SweepTopics, 0} {
		if err := turn(t.Context()); err != nil {
			t.Fatal(err)
		}
		if left := eventsLeft(t, dsn); left != want {
			t.Errorf("%d events are left, want %d", left, want)
		}
	}
	if size := bytesStored(t, dsn); size > 0 {
		t.Errorf("%d bytes are left", size)
	}
}

func eventsLeft(t *testing.T, dsn string) (n int) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if err := conn.QueryRow(t.Context(), "SELECT count(*) FROM buffkit_log_events").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

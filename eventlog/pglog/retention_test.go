package pglog_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/buffkit/buffkit/eventlog"
	"github.com/buffkit/buffkit/eventlog/pglog"
)

// kept returns what the history of a topic is, and how many of its events stand in the table.
func kept(t *testing.T, s *pglog.Store, dsn, topic string) (h eventlog.History, rows int) {
	t.Helper()
	h, err := s.History(t.Context(), eventlog.Range{Topic: topic, Max: 10_000})
	if err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	const query = "SELECT count(*) FROM buffkit_log_batches b CROSS JOIN LATERAL unnest(b.members) AS m (member) WHERE b.topics[m.member] = $1"
	if err := conn.QueryRow(t.Context(), query, topic).Scan(&rows); err != nil {
		t.Fatal(err)
	}
	return h, rows
}

func TestRetentionIsWhatHistoryShowsBeforeAndAfterASweep(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		keep eventlog.Retention
		want []string
	}{
		{"by count", eventlog.Retention{Count: 3}, []string{"7", "8", "9"}},
		{"by bytes", eventlog.Retention{Bytes: 2}, []string{"8", "9"}},
		{"by bytes, less than the newest", eventlog.Retention{Bytes: -1, Count: 1}, []string{"9"}},
		{"by age", eventlog.Retention{Age: time.Microsecond}, nil},
		{"without limits", eventlog.Retention{Count: -1, Bytes: -1, Age: -1}, []string{"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dsn := fresh(t)
			s := openStore(t, dsn, &pglog.Options{RetentionOf: func(topic string) eventlog.Retention {
				if topic == "t" {
					return tt.keep
				}
				return eventlog.Retention{}
			}})
			mustAppend(t, s, record("quiet", "early"))
			var at []eventlog.Offset
			for i := range 10 {
				at = append(at, mustAppend(t, s, record("t", fmt.Sprint(i)))[0].Offset)
			}
			var trimmed eventlog.Offset
			if n := 10 - len(tt.want); n > 0 {
				trimmed = at[n-1]
			}
			for _, when := range []string{"before", "after", "again"} {
				h, rows := kept(t, s, dsn, "t")
				if !slices.Equal(bodies(h.Records), tt.want) || h.Trimmed != trimmed {
					t.Errorf("%s: %q, trimmed %d, want %q, %d", when, bodies(h.Records), h.Trimmed, tt.want, trimmed)
				}
				if when != "before" && rows != len(tt.want) {
					t.Errorf("%s: %d rows", when, rows)
				}
				if when == "before" { // nodes may be reading it
					if err := s.Sweep(t.Context(), time.Minute); err != nil {
						t.Fatal(err)
					}
					if _, rows := kept(t, s, dsn, "t"); rows != 10 {
						t.Errorf("of a tail that is kept %d rows are left", rows)
					}
				}
				if err := s.Sweep(t.Context(), 0); err != nil {
					t.Fatal(err)
				}
			}
			if h, _ := kept(t, s, dsn, "quiet"); len(h.Records) != 1 || h.Trimmed != 0 {
				t.Errorf("the quiet topic: %+v", h)
			}
			next := mustAppend(t, s, record("t", "next"))[0]
			if next.Prev != at[9] {
				t.Errorf("the next names %d before it, want %d", next.Prev, at[9])
			}
		})
	}
}

func TestRetentionDropsManyEventsOfManyRows(t *testing.T) {
	t.Parallel()
	dsn := fresh(t)
	s := openStore(t, dsn, &pglog.Options{Retention: eventlog.Retention{Count: 10, Bytes: -1}})
	for range 3 {
		records := make([]eventlog.Record, 5000)
		for i := range records {
			records[i] = record(fmt.Sprint("t", i%2), "x")
		}
		mustAppend(t, s, records...)
	}
	if err := s.Sweep(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	for _, topic := range []string{"t0", "t1"} {
		if h, rows := kept(t, s, dsn, topic); rows != 10 || len(h.Records) != 10 || h.Trimmed != h.Records[0].Prev {
			t.Errorf("%s: %d rows, trimmed %d", topic, rows, h.Trimmed)
		}
	}
}

func TestRetentionRunsByItself(t *testing.T) {
	t.Parallel()
	dsn := fresh(t)
	opts := &pglog.Options{Retention: eventlog.Retention{Count: 2}}
	pglog.SweepEvery(opts, 20*time.Millisecond)
	s := openStore(t, dsn, opts)
	for i := range 10 {
		mustAppend(t, s, record("t", fmt.Sprint(i)))
	}
	until(t, "the sweep", func() bool { _, rows := kept(t, s, dsn, "t"); return rows == 2 })
}

// The server's clock was a day ahead when something was stored, and was set back: offsets count on from there, event by event, for a day.
func TestRetentionGoesOnWhileTheClockIsBehindTheLog(t *testing.T) {
	t.Parallel()
	dsn := fresh(t)
	s := openStore(t, dsn, &pglog.Options{Retention: eventlog.Retention{Count: 1}})
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if _, err := conn.Exec(t.Context(), "UPDATE buffkit_log SET head = buffkit_log_clock() + 86400000000"); err != nil {
		t.Fatal(err)
	}
	many := make([]eventlog.Record, 1000)
	for i := range many {
		many[i] = record("beside", "x")
	}
	now, turn := time.Now(), s.TurnsAt(10*time.Second)
	for _, step := range []struct {
		after         time.Duration
		appends, left int
	}{
		{0, 3, 3},
		{5 * time.Second, 0, 3},  // nodes may be late
		{10 * time.Second, 2, 2}, // those of before, and not what has just come
		{20 * time.Second, 0, 1},
	} {
		for range step.appends {
			mustAppend(t, s, record("t", "x"))
		}
		if step.appends > 0 {
			mustAppend(t, s, many...)
		}
		if err := turn(t.Context(), now.Add(step.after)); err != nil {
			t.Fatal(err)
		}
		if _, rows := kept(t, s, dsn, "t"); rows != step.left {
			t.Errorf("after %v: %d events, want %d", step.after, rows, step.left)
		}
	}
}

// An empty topic is remembered, and forgotten after long; then all topics that nobody knows are as trimmed as it was, no less.
func TestATopicThatIsForgottenIsNeverWhole(t *testing.T) {
	t.Parallel()
	dsn := fresh(t)
	s := openStore(t, dsn, nil)
	at := mustAppend(t, s, record("gone", "x"))[0].Offset
	exec(t, dsn, `DELETE FROM buffkit_log_batches; DELETE FROM buffkit_log_index; INSERT INTO buffkit_log_topics SELECT 'gone', head FROM buffkit_log`)
	if h, _ := kept(t, s, dsn, "gone"); h.Trimmed != at {
		t.Errorf("trimmed %d, want %d", h.Trimmed, at)
	}
	if h, _ := kept(t, s, dsn, "other"); h.Trimmed != 0 {
		t.Errorf("another topic is trimmed %d", h.Trimmed)
	}
	long := fmt.Sprint(int64(at) - (15 * 24 * time.Hour).Microseconds())
	exec(t, dsn, `UPDATE buffkit_log_topics SET trimmed = `+long)
	if err := s.Sweep(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	for _, topic := range []string{"gone", "other"} {
		if h, _ := kept(t, s, dsn, topic); fmt.Sprint(h.Trimmed) != long {
			t.Errorf("%s is trimmed %d, want %s", topic, h.Trimmed, long)
		}
	}
	if r := mustAppend(t, s, record("other", "x"))[0]; fmt.Sprint(r.Prev) != long {
		t.Errorf("the first of a topic names %d before it", r.Prev)
	}
}

func TestExpiredIdempotencyKeysAreDropped(t *testing.T) {
	t.Parallel()
	dsn := fresh(t)
	s := openStore(t, dsn, &pglog.Options{IdempotencyWindow: time.Microsecond})
	r := record("t", strings.Repeat("x", 10))
	r.IdempotencyKey = "k"
	mustAppend(t, s, r)
	if err := s.Sweep(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	exec(t, dsn, `DO $$ BEGIN IF EXISTS (SELECT FROM buffkit_log_keys) THEN RAISE 'a key is left'; END IF; END $$`)
}

func TestHistoryIsARange(t *testing.T) {
	t.Parallel()
	s := openStore(t, fresh(t), nil)
	var at []eventlog.Offset
	for i := range 10 {
		at = append(at, mustAppend(t, s, record("t", fmt.Sprint(i)), record("other", "x"))[0].Offset)
	}
	tests := []struct {
		r    eventlog.Range
		want string
	}{
		{eventlog.Range{Max: 100}, "0123456789"},
		{eventlog.Range{Max: 3}, "012"},
		{eventlog.Range{Max: 3, Newest: true}, "789"},
		{eventlog.Range{After: at[2], Max: 100}, "3456789"},
		{eventlog.Range{After: at[2], Until: at[5], Max: 100}, "345"},
		{eventlog.Range{After: at[2], Until: at[5], Max: 2}, "34"},
		{eventlog.Range{After: at[2], Until: at[5], Max: 2, Newest: true}, "45"},
		{eventlog.Range{After: at[9], Max: 100}, ""},
	}
	for _, tt := range tests {
		tt.r.Topic = "t"
		h, err := s.History(t.Context(), tt.r)
		if got := strings.Join(bodies(h.Records), ""); err != nil || got != tt.want || h.Trimmed != 0 {
			t.Errorf("%+v: %q, trimmed %d, %v, want %q", tt.r, got, h.Trimmed, err, tt.want)
		}
	}
}

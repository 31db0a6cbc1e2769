package sqlitelog_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/buffkit/buffkit/eventlog"
	"github.com/buffkit/buffkit/eventlog/sqlitelog"
)

// perTopic keeps of each topic what its name says before the slash.
func perTopic(topic string) eventlog.Retention {
	kind, _, _ := strings.Cut(topic, "/")
	return map[string]eventlog.Retention{
		"minute":  {Age: time.Minute},
		"month":   {Age: 30 * 24 * time.Hour},
		"forever": {Count: -1, Bytes: -1, Age: -1},
		"three":   {Count: 3},
		"little":  {Bytes: 1},
	}[kind]
}

// wantRead reads from an offset on, to the end, and compares the bodies with what is wanted, "gap" for a told one.
func wantRead(t *testing.T, log *sqlitelog.Log, after eventlog.Offset, topic, want string) {
	t.Helper()
	head, err := log.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	at := eventlog.NewCursor(head.Epoch(), after)
	if after == 0 {
		at = eventlog.Cursor{}
	}
	for {
		b, err := log.Read(t.Context(), []string{topic}, at, 2)
		if err != nil {
			t.Fatal(err)
		}
		if at.At(0) == 0 && len(b.Gaps) > 0 {
			t.Fatalf("%s from the beginning: %v", topic, b.Gaps)
		}
		for _, e := range b.Entries {
			got = append(got, fmt.Sprintf("%.10s", e.Event().Data))
		}
		for _, gap := range b.Gaps {
			got = append(got, "gap")
			if gap.Err != eventlog.ErrTrimmed {
				t.Errorf("%s: %v, want ErrTrimmed", topic, gap.Err)
			}
		}
		if at = b.Next; len(b.Entries) == 0 {
			break
		}
	}
	if all := strings.Join(got, " "); all != want {
		t.Errorf("%s after %d: %q, want %q", topic, after, all, want)
	}
}

func series(topic string, n int) (records []eventlog.Record) {
	for i := range n {
		records = append(records, eventlog.Record{Topic: topic, Body: fmt.Appendf(nil, "data: %d\n\n", i)})
	}
	return records
}

func mustAppend(t *testing.T, store *sqlitelog.Store, records ...eventlog.Record) []eventlog.Record {
	t.Helper()
	if _, err := store.Append(t.Context(), records); err != nil {
		t.Fatal(err)
	}
	return records
}

func TestRetentionIsPerTopic(t *testing.T) {
	t.Parallel()
	const (
		many = 300 // topics of a kind: more than are looked at in one go
		hour = eventlog.Offset(time.Hour / time.Microsecond)
	)
	path := newPath(t)
	opts := sqlitelog.Options{RetentionOf: perTopic}
	store := openStore(t, path, &opts)
	begin := mustAppend(t, store, series("begin", 1)...)[0].Offset
	names := []string{"month/1", "forever/1", "three/1", "little/1", "default/1"}
	for i := range many {
		names = append(names, fmt.Sprint("minute/", i))
	}
	for _, topic := range names {
		mustAppend(t, store, series(topic, 5)...)
	}
	mid := mustAppend(t, store, series("mid", 1)...)[0].Offset
	if err := store.Age(t.Context(), time.Hour); err != nil {
		t.Fatal(err)
	}
	begin, mid = begin-hour, mid-hour
	store = openStore(t, path, &opts) // the old one remembers where the topics were
	mustAppend(t, store, series("minute/1", 2)...)
	check := func(when string) {
		t.Helper()
		t.Log(when)
		log := openLog(t, path, opts)
		defer log.Close()
		for topic, want := range map[string]string{
			"month/1": "0 1 2 3 4", "forever/1": "0 1 2 3 4", "default/1": "0 1 2 3 4", "three/1": "gap", "little/1": "gap",
			"minute/0": "gap", "minute/1": "gap", "minute/299": "gap", "minute/never": "", "never": "",
		} {
			wantRead(t, log, begin, topic, want)
		}
		for topic, want := range map[string]string{"month/1": "", "three/1": "", "little/1": "", "minute/0": "", "minute/1": "0 1", "minute/299": ""} {
			wantRead(t, log, mid, topic, want) // who has seen all that is gone is told nothing
		}
	}
	check("before anything is deleted")
	if err := store.RetainNow(t.Context()); err != nil {
		t.Fatal(err)
	}
	check("after")
	body := int64(len("data: 0\n\n"))
	for topic, events := range map[string]int64{"month/1": 5, "forever/1": 5, "default/1": 5, "minute/0": 0, "minute/1": 2, "minute/299": 0} {
		if bytes, err := store.OnDisk(t.Context(), topic); err != nil || bytes != events*body {
			t.Errorf("%s: %d bytes are in the file, want %d; %v", topic, bytes, events*body, err)
		}
	}
	store.Close()
	check("after a restart")
	again := openStore(t, path, &opts)
	if err := again.RetainNow(t.Context()); err != nil {
		t.Fatal(err)
	}
	check("after the retention of another process")
	if _, bytes, booked, err := again.Count(t.Context(), "minute/1"); err != nil || bytes != booked {
		t.Errorf("%d bytes are in the file, by the books %d, %v", bytes, booked, err)
	}
}

// manyTopics returns an event for each of so many.
func manyTopics(n int) (records []eventlog.Record) {
	for i := range n {
		records = append(records, eventlog.Record{Topic: fmt.Sprint("of many/", i), Body: []byte("data: 1\n\n")})
	}
	return records
}

// A writer has no connection before its first append, nor after one that failed.
func TestAWriterWithoutAConnectionDoesNotStopRetention(t *testing.T) {
	t.Parallel()
	const packs = 400
	path := newPath(t)
	mustAppend(t, openStore(t, path, nil), manyTopics(packs)...)
	store := openStore(t, path, &sqlitelog.Options{Retention: eventlog.Retention{Age: time.Microsecond}})
	var tails sync.WaitGroup
	defer tails.Wait()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	following := make(chan struct{}, sqlitelog.MaxConns)
	for range sqlitelog.MaxConns - 1 {
		tails.Go(func() {
			store.Tail(ctx, eventlog.Cursor{}, func(eventlog.Page) error {
				select {
				case following <- struct{}{}:
				default:
				}
				<-ctx.Done()
				return ctx.Err()
			})
		})
	}
	for range sqlitelog.MaxConns - 1 {
		<-following
	}
	done := make(chan error, 2)
	go func() { done <- store.RetainNow(ctx) }()
	file := openFile(t, path)
	await(t, "retention is under way", func() bool {
		var left int
		if err := file.QueryRow("SELECT count(*) FROM buffkit_packs").Scan(&left); err != nil {
			t.Fatal(err)
		}
		return left < packs
	})
	go func() {
		_, err := store.Append(ctx, series("next", 1))
		done <- err
	}()
	patience := time.After(20 * time.Second)
	for range 2 {
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
		case <-patience:
			t.Fatal("retention and the writer wait for each other")
		}
	}
}

func TestARetentionThatIsBehindDeletesMoreAtOnce(t *testing.T) {
	t.Parallel()
	for took, want := range map[time.Duration]int{0: 128, 4 * time.Second: 128, 5 * time.Second: 256, 25 * time.Second: 4096, 1000 * time.Hour: 4096} {
		if got := sqlitelog.RoomAfter(took); got != want {
			t.Errorf("after %v: %d packs a transaction, want %d", took, got, want)
		}
	}
}

func TestRetentionThatWaitsForALockLeavesTheTurnToAppends(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	store := openStore(t, path, &sqlitelog.Options{Retention: eventlog.Retention{Age: time.Microsecond}})
	mustAppend(t, store, series("t", 1)...)
	conn, err := openFile(t, path).Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.ExecContext(t.Context(), "BEGIN IMMEDIATE"); err != nil {
		t.Fatal(err)
	}
	retained := make(chan error, 1)
	go func() { retained <- store.RetainNow(t.Context()) }()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	await(t, "retention has the turn", func() bool { return !store.HasTurn() })
	back, err := store.Turn(ctx)
	if err != nil {
		t.Error("it kept the turn")
	}
	back()
	if _, err := conn.ExecContext(t.Context(), "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	if err := <-retained; err != nil {
		t.Error(err)
	}
	if n, err := store.Packs(t.Context()); err != nil || n > 0 {
		t.Errorf("%d packs are left, %v", n, err)
	}
}

// Who polls for the lock beside a busy writer gets it by chance.
func TestOldKeysAreDeletedInTurn(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	store, file := openStore(t, path, nil), openFile(t, path)
	if _, err := file.Exec("WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000)" +
		" INSERT INTO buffkit_keys (topic, key, position, at) SELECT 't', i, i, i FROM n"); err != nil {
		t.Fatal(err)
	}
	back, err := store.Turn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := store.RetainNow(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("while another writes: %v", err)
	}
	back()
	if err := store.RetainNow(t.Context()); err != nil {
		t.Error(err)
	}
	var left int
	if err := file.QueryRow("SELECT count(*) FROM buffkit_keys").Scan(&left); err != nil || left > 0 {
		t.Errorf("%d keys are left, %v", left, err)
	}
}

// What was trimmed of an empty topic is remembered for as long as a reader of any topic may come back. Then one floor stands for all that were
// forgotten, never below what any of them has lost.
func TestAnEmptyTopicIsRememberedTwiceAsLongAsTheLongestAge(t *testing.T) {
	t.Parallel()
	const hour = eventlog.Offset(time.Hour / time.Microsecond)
	tests := []struct {
		name   string
		beside string // a topic with an event, or one that had some
		keeps  bool
	}{
		{"a longer one has an event", "month/1", true},
		{"one without limit has an event", "forever/1", true},
		{"a longer one is remembered itself", "month/trimmed", true},
		{"none is longer", "default/1", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			path := newPath(t)
			opts := sqlitelog.Options{Retention: eventlog.Retention{Age: time.Hour}, RetentionOf: perTopic}
			store := openStore(t, path, &opts)
			lost := mustAppend(t, store, series("minute/1", 3)...)[2].Offset
			if err := store.Age(t.Context(), 2*time.Minute); err != nil {
				t.Fatal(err)
			}
			if err := store.RetainNow(t.Context()); err != nil {
				t.Fatal(err)
			}
			mustAppend(t, store, series(tt.beside, 1)...)
			if strings.HasSuffix(tt.beside, "trimmed") {
				if err := store.TrimAll(t.Context(), tt.beside); err != nil {
					t.Fatal(err)
				}
			}
			if err := store.Age(t.Context(), 3*time.Hour); err != nil {
				t.Fatal(err)
			}
			lost -= 3*hour + hour/30          // all was made older twice
			store = openStore(t, path, &opts) // it has to find out how long topics are kept
			for range 2 {
				if err := store.RetainNow(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			h := history(t, store, eventlog.Range{Topic: "never", Max: 1})
			if remembered := h.Trimmed == 0; remembered != tt.keeps {
				t.Errorf("a topic that never was is trimmed up to %d; the other one was up to %d", h.Trimmed, lost)
			}
			if h := history(t, store, eventlog.Range{Topic: "minute/1", Max: 1}); h.Trimmed < lost || len(h.Records) > 0 {
				t.Errorf("trimmed up to %d, want %d at least", h.Trimmed, lost)
			}
			log := openLog(t, path, opts)
			wantRead(t, log, lost-1, "minute/1", "gap")
			wantRead(t, log, lost+hour, "minute/1", "")
			wantRead(t, log, lost+hour, "never", "") // away for two hours
			mustAppend(t, store, series("minute/1", 2)...)
			wantRead(t, openLog(t, path, opts), lost-1, "minute/1", "gap")
			wantRead(t, openLog(t, path, opts), lost+hour, "minute/1", "0 1")
		})
	}
}

// The clock was a day ahead when something was stored, and was set back: offsets count on from there, event by event, for a day.
func TestRetentionGoesOnWhileTheClockIsBehindTheLog(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	store := openStore(t, path, &sqlitelog.Options{Retention: eventlog.Retention{Count: 1}})
	if _, err := openFile(t, path).Exec("UPDATE buffkit_log SET head = ?", time.Now().Add(24*time.Hour).UnixMicro()); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	for _, step := range []struct {
		after         time.Duration
		appends, left int
	}{
		{0, 3, 3},
		{5 * time.Second, 0, 3},  // other processes may be late
		{10 * time.Second, 2, 2}, // those of before, and not what has just come
		{20 * time.Second, 0, 1},
	} {
		for range step.appends {
			mustAppend(t, store, series("t", 1)...)
		}
		if err := store.RetainAt(t.Context(), now.Add(step.after), "t"); err != nil {
			t.Fatal(err)
		}
		if n, err := store.Packs(t.Context()); err != nil || n != step.left {
			t.Errorf("after %v: %d packs, want %d; %v", step.after, n, step.left, err)
		}
	}
}

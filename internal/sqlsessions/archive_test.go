package sqlsessions

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/buffkit/buffkit/eventlog"
	"github.com/buffkit/buffkit/eventlog/sqlarchive"
	"github.com/buffkit/buffkit/migrate/dialect"
)

const archivedEpoch = 7

// archived opens the archive of a database as a node does.
func archived(t *testing.T, on target, driver, dsn string, age time.Duration) (*sqlarchive.Archive, *sql.DB) {
	t.Helper()
	db := openDB(t, driver, dsn)
	a, err := sqlarchive.Open(t.Context(), db, on.dialect, &sqlarchive.Options{Migrate: true, Age: age, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Close() })
	return a, db
}

// recordsAfter makes records of two topics that follow an offset, every third of the topic "b ".
func recordsAfter(offset eventlog.Offset, n int, newest map[string]eventlog.Offset) eventlog.Page {
	var page eventlog.Page
	for i := range n {
		topic := "a"
		if i%3 == 2 {
			topic = "b "
		}
		r := eventlog.Record{
			Topic: topic, Key: "k\x00", Body: []byte("data: \xff" + strings.Repeat("x", i) + "\n\n"),
			Offset: offset + 10, Chain: offset, Prev: newest[topic],
		}
		newest[topic], offset = r.Offset, r.Offset
		page.Records = append(page.Records, r)
	}
	page.Epoch, page.Head = archivedEpoch, eventlog.NewCursor(archivedEpoch, offset)
	return page
}

func extend(t *testing.T, a *sqlarchive.Archive, from eventlog.Cursor, page eventlog.Page) eventlog.Cursor {
	t.Helper()
	if err := a.Extend(t.Context(), from, page); err != nil {
		t.Fatal(err)
	}
	return page.Head
}

func historyOf(t *testing.T, a *sqlarchive.Archive, r eventlog.Range) eventlog.Archived {
	t.Helper()
	h, err := a.History(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestArchiveReturnsWhatWasPutIntoIt(t *testing.T) {
	everywhere(t, func(t *testing.T, on target) {
		driver, dsn := on.fresh(t)
		a, _ := archived(t, on, driver, dsn, -1)
		if place, floor, err := a.Place(t.Context()); err != nil || !place.IsZero() || floor != 0 {
			t.Fatalf("an empty archive is at %v, %d, %v", place, floor, err)
		}
		newest := map[string]eventlog.Offset{}
		page := recordsAfter(0, 250, newest)
		at := extend(t, a, eventlog.Cursor{}, page)
		var of []eventlog.Record
		for _, r := range page.Records {
			if r.Topic == "a" {
				of = append(of, r)
			}
		}
		for _, asked := range []struct {
			eventlog.Range
			from, to int // of the topic's records
		}{
			{eventlog.Range{Max: 1000}, 0, len(of)},
			{eventlog.Range{Max: 10}, 0, 10},
			{eventlog.Range{Max: 10, After: of[4].Offset}, 5, 15},
			{eventlog.Range{Max: 10, After: of[4].Offset, Until: of[7].Offset}, 5, 8},
			{eventlog.Range{Max: 3, Newest: true, Until: of[7].Offset}, 5, 8},
			{eventlog.Range{Max: 1000, Newest: true, Bytes: 1}, len(of) - 1, len(of)},
			{eventlog.Range{Max: 10, After: at.At(0)}, 0, 0},
		} {
			asked.Topic = "a"
			h := historyOf(t, a, asked.Range)
			want := of[asked.from:asked.to]
			if h.Epoch != archivedEpoch || h.Place != at.At(0) || h.Trimmed != 0 || len(h.Records) != len(want) {
				t.Errorf("%+v: %d records of %d at %d, floor %d; want %d", asked.Range, len(h.Records), h.Epoch, h.Place, h.Trimmed, len(want))
				continue
			}
			for i, r := range h.Records {
				if w := want[i]; r.Offset != w.Offset || r.Prev != w.Prev || r.Key != w.Key || string(r.Body) != string(w.Body) || r.Topic != "a" {
					t.Errorf("%+v: record %d is %+v, want %+v", asked.Range, i, r, w)
				}
			}
		}
		if h := historyOf(t, a, eventlog.Range{Topic: "b", Max: 10}); len(h.Records) != 0 {
			t.Error("a topic is taken for one with a blank more")
		}
	})
}

// Two nodes extend the same archive at a time: one of each pair does.
func TestArchiveIsExtendedFromItsPlaceAlone(t *testing.T) {
	everywhere(t, func(t *testing.T, on target) {
		driver, dsn := on.fresh(t)
		nodes := make([]*sqlarchive.Archive, 4)
		for i := range nodes {
			nodes[i], _ = archived(t, on, driver, dsn, -1)
		}
		newest, at := map[string]eventlog.Offset{}, eventlog.Cursor{}
		const rounds = 10
		for range rounds {
			page := recordsAfter(at.At(0), 20, newest)
			outcomes := make(chan error, len(nodes))
			for _, a := range nodes {
				go func() { outcomes <- extendRetrying(t.Context(), a, at, page) }()
			}
			extended := 0
			for range nodes {
				switch err := <-outcomes; {
				case err == nil:
					extended++
				case !errors.Is(err, eventlog.ErrArchiveMoved):
					t.Fatal(err)
				}
			}
			if extended != 1 {
				t.Fatalf("%d nodes extended it, want 1", extended)
			}
			at = page.Head
		}
		if h := historyOf(t, nodes[0], eventlog.Range{Topic: "a", Max: 1000}); len(h.Records) != rounds*14 {
			t.Errorf("%d records, want %d", len(h.Records), rounds*14)
		}
	})
}

// extendRetrying passes over what a server or SQLite refuses because others write.
func extendRetrying(ctx context.Context, a *sqlarchive.Archive, at eventlog.Cursor, page eventlog.Page) error {
	for {
		err := a.Extend(ctx, at, page)
		if err == nil || errors.Is(err, eventlog.ErrArchiveMoved) || ctx.Err() != nil || !isContention(err) {
			return err
		}
	}
}

func isContention(err error) bool {
	text := strings.ToLower(err.Error())
	return strings.Contains(text, "locked") || strings.Contains(text, "deadlock")
}

func TestArchiveSaysWhereSomethingIsMissing(t *testing.T) {
	everywhere(t, func(t *testing.T, on target) {
		driver, dsn := on.fresh(t)
		a, _ := archived(t, on, driver, dsn, -1)
		newest := map[string]eventlog.Offset{}
		at := extend(t, a, eventlog.Cursor{}, recordsAfter(0, 10, newest))
		lost := recordsAfter(at.At(0), 10, newest)
		at = extend(t, a, at, recordsAfter(lost.Head.At(0), 10, newest))
		if h := historyOf(t, a, eventlog.Range{Topic: "a", Max: 100}); h.Trimmed != lost.Head.At(0) {
			t.Errorf("behind a hole the floor is %d, want %d", h.Trimmed, lost.Head.At(0))
		}
		after := recordsAfter(at.At(0)+10, 3, newest) // a failover has lost the last two records
		after.Records[0].Chain = at.At(0) - 20
		extend(t, a, at, after)
		h := historyOf(t, a, eventlog.Range{Topic: "a", Max: 100})
		for _, r := range h.Records {
			if r.Offset > at.At(0)-20 && r.Offset <= at.At(0) {
				t.Errorf("the record %d is shown, and was lost", r.Offset)
			}
		}
		if h.Trimmed != lost.Head.At(0) {
			t.Errorf("after a failover the floor is %d, want %d as before", h.Trimmed, lost.Head.At(0))
		}
		unseen := recordsAfter(after.Head.At(0)+10, 3, newest) // it names a record that came and was passed over
		unseen.Records[0].Chain = after.Head.At(0) - 5
		at = extend(t, a, after.Head, unseen)
		if h := historyOf(t, a, eventlog.Range{Topic: "a", Max: 100}); h.Trimmed != after.Head.At(0) {
			t.Errorf("with an unknown record before it the floor is %d, want %d", h.Trimmed, after.Head.At(0))
		}
		behind := eventlog.Page{Epoch: archivedEpoch + 1, Head: eventlog.NewCursor(archivedEpoch+1, at.At(0)-1)} // a log that begins anew, with a clock that went back
		extend(t, a, at, behind)
		if h := historyOf(t, a, eventlog.Range{Topic: "a", Max: 100}); h.Trimmed != behind.Head.At(0) || len(h.Records) > 0 || h.Place != behind.Head.At(0) {
			t.Errorf("of a log that is behind: %d records, floor %d, want none and %d", len(h.Records), h.Trimmed, behind.Head.At(0))
		}
	})
}

// A failover has lost the end of the log, and nobody has published anything since.
func TestArchiveKeepsWhatAFailoverHasLeft(t *testing.T) {
	everywhere(t, func(t *testing.T, on target) {
		driver, dsn := on.fresh(t)
		a, _ := archived(t, on, driver, dsn, -1)
		newest := map[string]eventlog.Offset{}
		page := recordsAfter(0, 10, newest)
		at := extend(t, a, eventlog.Cursor{}, page)
		left := eventlog.NewCursor(archivedEpoch+1, page.Records[7].Offset)
		extend(t, a, at, eventlog.Page{Epoch: left.Epoch(), Head: left})
		h := historyOf(t, a, eventlog.Range{Topic: "a", Max: 100})
		if n := len(h.Records); n != 6 || h.Records[n-1].Offset != left.At(0) || h.Trimmed != 0 || h.Place != left.At(0) {
			t.Errorf("%d records, floor %d, place %d; want the 6 up to %d, and no floor", n, h.Trimmed, h.Place, left.At(0))
		}
	})
}

// The server has lost all, and to delete a large archive takes longer than one call may: the next goes on.
func TestArchiveIsGivenUpInParts(t *testing.T) {
	t.Parallel()
	const rows, last = 25_000, "25000"
	driver, dsn := onSQLite.fresh(t)
	a, db := archived(t, onSQLite, driver, dsn, -1)
	at := extend(t, a, eventlog.Cursor{}, eventlog.Page{Epoch: archivedEpoch, Head: eventlog.NewCursor(archivedEpoch, rows)})
	mustExec := func(query string) {
		t.Helper()
		if _, err := db.ExecContext(t.Context(), query); err != nil {
			t.Fatal(err)
		}
	}
	mustExec("WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < " + last + ")" +
		" INSERT INTO buffkit_archive_events (position, topic, prev, mark, body) SELECT i, 'a', i - 1, x'', x'0a' FROM n")
	mustExec("CREATE TRIGGER slow BEFORE DELETE ON buffkit_archive_events WHEN OLD.position = " + last + " BEGIN SELECT RAISE(ABORT, 'took too long'); END")
	empty := eventlog.Page{Epoch: archivedEpoch + 1, Head: eventlog.NewCursor(archivedEpoch+1, 0)}
	if err := a.Extend(t.Context(), at, empty); err == nil {
		t.Fatal("it came to the end")
	}
	left := historyOf(t, a, eventlog.Range{Topic: "a", Max: rows})
	if n := len(left.Records); n == 0 || n > rows/2 || left.Trimmed != rows || left.Place != rows {
		t.Errorf("%d records are left, floor %d, place %d; want some, behind a floor of %d", n, left.Trimmed, left.Place, rows)
	}
	mustExec("DROP TRIGGER slow")
	extend(t, a, at, empty)
	if h := historyOf(t, a, eventlog.Range{Topic: "a", Max: rows}); len(h.Records) > 0 || h.Trimmed != 0 || h.Epoch != empty.Epoch {
		t.Errorf("at last %d records are left, floor %d, epoch %d", len(h.Records), h.Trimmed, h.Epoch)
	}
}

// What is too old is deleted, and told before it is.
func TestArchiveForgetsWhatIsTooOld(t *testing.T) {
	everywhere(t, func(t *testing.T, on target) {
		driver, dsn := on.fresh(t)
		first, db := archived(t, on, driver, dsn, -1)
		old := eventlog.Offset(time.Now().Add(-48 * time.Hour).UnixMicro())
		fresh := eventlog.Offset(time.Now().UnixMicro())
		newest := map[string]eventlog.Offset{}
		at := extend(t, first, eventlog.Cursor{}, recordsAfter(old, 2500, newest))
		extend(t, first, at, recordsAfter(fresh, 30, newest))
		second, _ := archived(t, on, driver, dsn, 24*time.Hour)
		eventually(t, "the old are deleted", func() bool {
			var n int
			if err := db.QueryRow("SELECT count(*) FROM buffkit_archive_events").Scan(&n); err != nil {
				t.Fatal(err)
			}
			return n == 30
		})
		h := historyOf(t, second, eventlog.Range{Topic: "a", Max: 100})
		if len(h.Records) != 20 || h.Trimmed < h.Records[0].Prev || h.Trimmed >= h.Records[0].Offset {
			t.Errorf("%d records, the first at %d behind %d, floor %d", len(h.Records), h.Records[0].Offset, h.Records[0].Prev, h.Trimmed)
		}
	})
}

func TestArchiveWithoutItsTablesIsToldWhatToDo(t *testing.T) {
	everywhere(t, func(t *testing.T, on target) {
		driver, dsn := on.fresh(t)
		_, err := sqlarchive.Open(t.Context(), openDB(t, driver, dsn), on.dialect, nil)
		if err == nil || !strings.Contains(err.Error(), "Options.Migrate") {
			t.Errorf("Open: %v", err)
		}
	})
	if _, err := sqlarchive.Open(t.Context(), nil, dialect.SQLite, nil); err == nil || !strings.Contains(err.Error(), "driver of your choice") {
		t.Errorf("no database: %v", err)
	}
}

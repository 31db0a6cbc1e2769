package sqlitelog_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/buffkit/buffkit/eventlog"
	"github.com/buffkit/buffkit/eventlog/sqlitelog"
)

const pageBytes = 4096 // SQLite's default

// spoil changes the bytes of a file that nobody has open: those of each page that holds a text, where it begins. A page that isn't used any more may, too.
func spoil(t *testing.T, path, text string, change func(page []byte, at int)) {
	t.Helper()
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(file, []byte(text)) {
		t.Fatalf("the file doesn't have %q", text)
	}
	for page := range slices.Chunk(file, pageBytes) {
		if at := bytes.Index(page, []byte(text)); at >= 0 {
			change(page, at)
		}
	}
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
}

func flip(page []byte, at int) { page[at] ^= 1 }
func zero(page []byte, _ int)  { clear(page) }

// damagedFile has a topic "bad" with the events 1 to 5, of which 3 and 4, stored together, were damaged by the change, and "good" with as many. It
// returns the offsets of the bad ones.
func damagedFile(t *testing.T, path string, opts *sqlitelog.Options, change func(page []byte, at int)) (at []eventlog.Offset) {
	t.Helper()
	store := openStore(t, path, opts)
	for _, numbers := range [][]string{{"1", "2"}, {"3", "4"}, {"5"}} {
		var records []eventlog.Record
		for _, n := range numbers {
			filler := strings.Repeat("x", 3*pageBytes) + "middle of " + n + strings.Repeat("x", 3*pageBytes)
			records = append(records, eventlog.Record{Topic: "good", Body: []byte("data: " + n + "\n\n")},
				eventlog.Record{Topic: "bad", Body: []byte("data: " + n + "         " + filler + "\n\n")})
		}
		for i, r := range mustAppend(t, store, records...) {
			if i%2 == 1 {
				at = append(at, r.Offset)
			}
		}
	}
	store.Close()
	spoil(t, path, "middle of 4", change)
	return at
}

func TestADamagedPackIsAToldGapAndTheLogGoesOn(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func([]byte, int){"a bit has flipped": flip, "a page is empty": zero} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := newPath(t)
			at := damagedFile(t, path, nil, change)
			for preload, when := range map[time.Duration]string{-1: "from the store", 0: "as a node that follows the log through the damage"} {
				t.Log(when)
				var told bytes.Buffer
				log, err := sqlitelog.Open(t.Context(), path, &sqlitelog.Options{Replica: eventlog.ReplicaOptions{
					Preload: preload, Logger: slog.New(slog.NewTextHandler(&told, nil)),
				}})
				if err != nil {
					t.Fatal(err)
				}
				const five = "5         "
				wantRead(t, log, at[0]-2, "bad", "gap")
				wantRead(t, log, at[1], "bad", "gap")
				wantRead(t, log, at[2], "bad", "gap")
				wantRead(t, log, at[3], "bad", five)
				wantRead(t, log, at[4], "bad", "")
				wantRead(t, log, 0, "bad", five)
				wantRead(t, log, at[0]-2, "good", "1 2 3 4 5")
				wantRead(t, log, at[2], "good", "4 5")
				more, err := log.Append(t.Context(), eventlog.Event{Topic: "more", Data: []byte("6")})
				if err != nil || log.Health() != nil {
					t.Fatal(err, log.Health())
				}
				wantRead(t, log, more[0].At(0)-1, "more", "6")
				if err := log.Close(); err != nil {
					t.Fatal(err)
				}
				if says := told.String(); strings.Count(says, "level=ERROR") != 1 || !strings.Contains(says, fmt.Sprint("topic=bad offset=", at[2], " events=2")) {
					t.Errorf("the logger was told %s", says)
				}
			}
			found, err := sqlitelog.Check(t.Context(), path)
			if all := fmt.Sprint(found); err != nil || !strings.Contains(all, "damaged") {
				t.Errorf("found %s, %v", all, err)
			}
		})
	}
}

func TestCheckNamesDamagedEvents(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	at := damagedFile(t, path, nil, flip)
	found, err := sqlitelog.Check(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	says := fmt.Sprintf(`2 events are damaged and lost, in 1 packs, the first of topic "bad", from offset %d on`, at[2])
	for _, f := range found {
		if f.Level == eventlog.LevelError && strings.Contains(f.What, says) {
			return
		}
	}
	t.Errorf("found %v, want %q", found, says)
}

// A tail sends what is whole, and leaves out what isn't: what comes next names it.
func TestATailLeavesOutWhatIsDamaged(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	at := damagedFile(t, path, nil, flip)
	var lacks []eventlog.Offset
	seen := at[0] - 2
	for _, r := range tailed(t, openStore(t, path, nil), seen) {
		if r.Chain != seen && seen >= at[0] {
			lacks = append(lacks, r.Chain)
		}
		seen = r.Offset
	}
	if want := at[2:4]; len(lacks) != 2 || lacks[0] != want[0] || lacks[1] != want[1] {
		t.Errorf("holes up to %v, want %v", lacks, want)
	}
}

func TestHistoryBeginsBehindWhatIsDamaged(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	at := damagedFile(t, path, nil, flip)
	store := openStore(t, path, nil)
	for _, tt := range []struct {
		asked   eventlog.Range
		want    []eventlog.Offset
		trimmed eventlog.Offset
	}{
		{eventlog.Range{Max: 9}, at[4:], at[3]},
		{eventlog.Range{Max: 9, Newest: true}, at[4:], at[3]},
		{eventlog.Range{After: at[0], Max: 9}, at[4:], at[3]},
		{eventlog.Range{After: at[4], Max: 9}, nil, 0},
		{eventlog.Range{Until: at[1], Max: 9}, at[:2], 0},
		{eventlog.Range{Until: at[2], Max: 9}, nil, at[3]},
	} {
		tt.asked.Topic = "bad"
		h := history(t, store, tt.asked)
		var got []eventlog.Offset
		for _, r := range h.Records {
			got = append(got, r.Offset)
		}
		if !slices.Equal(got, tt.want) || h.Trimmed != tt.trimmed {
			t.Errorf("%+v: %v, trimmed up to %d; want %v and %d", tt.asked, got, h.Trimmed, tt.want, tt.trimmed)
		}
	}
}

func TestRetentionTakesADamagedPackWithTheRest(t *testing.T) {
	t.Parallel()
	t.Run("a bit has flipped", func(t *testing.T) {
		t.Parallel()
		retainDamaged(t, flip, 0)
	})
	t.Run("a page is empty", func(t *testing.T) { // SQLite can't delete it
		t.Parallel()
		retainDamaged(t, zero, 2)
	})
}

// retainDamaged checks what retention deletes where so many damaged events stay in the file.
func retainDamaged(t *testing.T, change func(page []byte, at int), stay int) {
	path := newPath(t)
	opts := &sqlitelog.Options{RetentionOf: func(topic string) eventlog.Retention {
		if topic == "bad" {
			return eventlog.Retention{Count: 2}
		}
		return eventlog.Retention{}
	}}
	at := damagedFile(t, path, opts, change)
	store := openStore(t, path, opts)
	one := int64(len("data: 1         ")+6*pageBytes+len("middle of 1")) + 2
	for _, step := range []struct{ more, left int }{{0, 3}, {1, 2 + stay}} { // one of the damaged two isn't over at first
		mustAppend(t, store, series("bad", step.more)...)
		if err := store.RetainNow(t.Context(), "bad", "good"); err != nil {
			t.Fatal(err)
		}
		if bytes, err := store.OnDisk(t.Context(), "bad"); err != nil || bytes/one != int64(step.left)-int64(step.more) {
			t.Errorf("with %d more: %d bytes are in the file, %v", step.more, bytes, err)
		}
		h := history(t, store, eventlog.Range{Topic: "bad", Max: 9})
		if len(h.Records) != 1+step.more || h.Trimmed != at[3] {
			t.Errorf("with %d more: %d events, trimmed up to %d, want %d", step.more, len(h.Records), h.Trimmed, at[3])
		}
	}
	newest := mustAppend(t, store, series("bad", 1)...)[0].Offset
	if err := store.TrimAll(t.Context(), "bad"); err != nil {
		t.Fatal(err)
	}
	if h := history(t, store, eventlog.Range{Topic: "bad", Max: 9}); len(h.Records) > 0 || h.Trimmed != newest {
		t.Errorf("without events: %d, trimmed up to %d, want %d", len(h.Records), h.Trimmed, newest)
	}
	if next := mustAppend(t, openStore(t, path, opts), series("bad", 1)...)[0]; next.Prev != newest {
		t.Errorf("the next event names %d before it, want %d", next.Prev, newest)
	}
}

func TestExpiredPacksGoAlthoughADamagedOneStays(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	opts := &sqlitelog.Options{Retention: eventlog.Retention{Age: time.Microsecond}}
	damagedFile(t, path, opts, zero)
	store := openStore(t, path, opts)
	for range 2 {
		if err := store.RetainNow(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := store.Packs(t.Context()); err != nil || n != 1 {
		t.Errorf("%d packs are left, %v; want the damaged one alone", n, err)
	}
}

// Where nobody can tell what is lost, nobody goes on as if nothing were.
func TestDamageWithoutBoundsIsAnErrorThatSaysWhatToDo(t *testing.T) {
	t.Parallel()
	many := func(t *testing.T, path string) {
		store := openStore(t, path, nil)
		for i := range 200 {
			mustAppend(t, store, eventlog.Record{Topic: "t", Body: fmt.Appendf(nil, "data: number %04d\n\n", i)})
		}
		store.Close()
	}
	for name, damage := range map[string]func(t *testing.T, path string){
		"a page of many packs is empty": func(t *testing.T, path string) {
			many(t, path)
			spoil(t, path, "number 0050", zero)
		},
		"a row contradicts its events": func(t *testing.T, path string) {
			mustAppend(t, openStore(t, path, nil), series("t", 3)...)
			if _, err := openFile(t, path).Exec("UPDATE buffkit_packs SET span = span - 1 WHERE position = (SELECT min(position) FROM buffkit_packs)"); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := newPath(t)
			damage(t, path)
			store := openStore(t, path, nil)
			_, err := store.History(t.Context(), eventlog.Range{Topic: "t", Max: 1000})
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			tail := store.Tail(ctx, eventlog.NewCursor(epochOf(t, store), 1), func(eventlog.Page) error { return nil })
			for _, err := range []error{err, tail} {
				if !errors.Is(err, sqlitelog.ErrDamaged) || !strings.Contains(fmt.Sprint(err), "put a backup in its place") {
					t.Errorf("%v, want ErrDamaged, and what to do", err)
				}
			}
			found, err := sqlitelog.Check(t.Context(), path)
			if !slices.ContainsFunc(found, func(f eventlog.Finding) bool { return strings.Contains(f.Do, "put a backup in its place, or move it") }) {
				t.Errorf("Check found %v, %v", found, err)
			}
		})
	}
}

func epochOf(t *testing.T, store *sqlitelog.Store) uint64 {
	t.Helper()
	return history(t, store, eventlog.Range{Topic: "never", Max: 1}).Epoch
}

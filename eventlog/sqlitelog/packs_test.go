package sqlitelog_test

import (
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/buffkit/buffkit/eventlog"
	"github.com/buffkit/buffkit/eventlog/sqlitelog"
)

// tailed returns what a Tail sends of what is stored behind an offset. The store must have stored none of it itself: it reads the file.
func tailed(t *testing.T, store *sqlitelog.Store, after eventlog.Offset) (all []eventlog.Record) {
	t.Helper()
	enough := errors.New("enough")
	var head eventlog.Cursor
	one := func(p eventlog.Page) error { head = p.Head; return enough }
	if err := store.Tail(t.Context(), eventlog.Cursor{}, one); !errors.Is(err, enough) {
		t.Fatal(err)
	}
	if head.At(0) <= after {
		return nil
	}
	err := store.Tail(t.Context(), eventlog.NewCursor(head.Epoch(), after), func(p eventlog.Page) error {
		all = append(all, p.Records...)
		if p.Head.At(0) >= head.At(0) {
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) {
		t.Fatal(err)
	}
	return all
}

func history(t *testing.T, store *sqlitelog.Store, r eventlog.Range) eventlog.History {
	t.Helper()
	h, err := store.History(t.Context(), r)
	if err != nil {
		t.Fatalf("history of %+v: %v", r, err)
	}
	return h
}

// someRecords are of topics a to e by chance, now and then large ones.
func someRecords(rng *rand.Rand, n int) []eventlog.Record {
	records := make([]eventlog.Record, n)
	for i := range records {
		size := rng.IntN(50)
		if rng.IntN(20) == 0 {
			size = rng.IntN(sqlitelog.PackBytes * 5 / 4)
		}
		records[i] = eventlog.Record{Topic: string(rune('a' + rng.IntN(5))), Key: strings.Repeat("k", rng.IntN(3)), Body: []byte(strings.Repeat(string(rune('0'+rng.IntN(10))), 1+size))}
	}
	return records
}

func TestATailBeginsAnywhereAndReadsWhatInterleaves(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	writer, reader := openStore(t, path, nil), openStore(t, path, nil)
	rng := rand.New(rand.NewPCG(1, 2))
	var all []eventlog.Record
	for _, n := range []int{1, 3, 60, 1, 2500, 7} { // one more than a group and a page hold
		records := someRecords(rng, n)
		if _, err := writer.Append(t.Context(), records); err != nil {
			t.Fatal(err)
		}
		all = append(all, records...)
	}
	if n, err := reader.Packs(t.Context()); err != nil || n >= len(all)/5 {
		t.Errorf("%d events are in %d packs, %v", len(all), n, err)
	}
	for i := 0; i < len(all); i += 1 + i/50 {
		if got := tailed(t, reader, all[i].Offset); !slices.EqualFunc(got, all[i+1:], same) {
			t.Fatalf("behind event %d of %d came %d, or others", i, len(all), len(got))
		}
	}
	if got := tailed(t, reader, all[0].Offset-1); !slices.EqualFunc(got, all, same) {
		t.Errorf("from the beginning came %d of %d, or others", len(got), len(all))
	}
}

func TestLessThanHalfAPackOfATopicOutlivesItsRetention(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	opts := &sqlitelog.Options{Retention: eventlog.Retention{Count: 100, Bytes: -1}}
	store, reader := openStore(t, path, opts), openStore(t, path, opts)
	add := func(n int) []eventlog.Record {
		records := make([]eventlog.Record, n)
		for i := range records {
			records[i] = eventlog.Record{Topic: "t", Body: []byte(strings.Repeat("x", 100))}
		}
		if _, err := store.Append(t.Context(), records); err != nil {
			t.Fatal(err)
		}
		return records
	}
	var all []eventlog.Record
	for _, step := range []struct{ add, onDisk int }{
		{160, 160}, // 60 are over: less than half of the pack
		{10, 170},
		{20, 100}, // 90 are over, and the pack is cut
		{30, 130}, // 30 of the 70 that are left of it
		{5, 100},
		{100, 100}, // all the packs before are over
	} {
		all = append(all, add(step.add)...)
		if err := store.RetainNow(t.Context(), "t"); err != nil {
			t.Fatal(err)
		}
		bytes, err := store.OnDisk(t.Context(), "t")
		if err != nil || bytes != 100*int64(step.onDisk) {
			t.Errorf("after %d more: %d events are in the file, want %d; %v", step.add, bytes/100, step.onDisk, err)
		}
		kept := all[len(all)-100:]
		h := history(t, store, eventlog.Range{Topic: "t", Max: 1000})
		if !slices.EqualFunc(h.Records, kept, same) || h.Trimmed != kept[0].Prev {
			t.Errorf("after %d more: %d are kept, trimmed up to %d, want %d", step.add, len(h.Records), h.Trimmed, kept[0].Prev)
		}
		if got := tailed(t, reader, kept[49].Offset); !slices.EqualFunc(got, kept[50:], same) {
			t.Errorf("after %d more: behind the 50th came %d", step.add, len(got))
		}
	}
}

func TestTheHeadOutlivesTheLastEvent(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	opts := &sqlitelog.Options{Retention: eventlog.Retention{Age: time.Microsecond}}
	store := openStore(t, path, opts)
	old := []eventlog.Record{{Topic: "a", Body: []byte("1")}, {Topic: "b", Body: []byte("2")}, {Topic: "a", Body: []byte("3")}}
	epoch, err := store.Append(t.Context(), old)
	if err != nil {
		t.Fatal(err)
	}
	if err := store.RetainNow(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n, err := store.Packs(t.Context()); err != nil || n > 0 {
		t.Fatalf("%d packs are left, %v", n, err)
	}
	again := openStore(t, path, opts)
	fresh := []eventlog.Record{{Topic: "c", Body: []byte("4")}}
	if now, err := again.Append(t.Context(), fresh); err != nil || now != epoch || fresh[0].Chain != old[2].Offset || fresh[0].Offset <= old[2].Offset {
		t.Errorf("epoch %d after %d, %d follows %d, the last was %d, %v", now, epoch, fresh[0].Offset, fresh[0].Chain, old[2].Offset, err)
	}
}

// openFile opens the file without the log.
func openFile(t *testing.T, path string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath()+"?_pragma=busy_timeout(20000)")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func TestAFileOfAnotherFormatIsRefusedAsItIs(t *testing.T) {
	t.Parallel()
	for says, script := range map[string]string{
		"has the format 1, and this version reads 2 alone: begin with an empty file": "CREATE TABLE buffkit_log (id INTEGER PRIMARY KEY, format INTEGER, epoch INTEGER, head INTEGER, bytes INTEGER, floor INTEGER);" +
			"CREATE TABLE buffkit_events (position INTEGER PRIMARY KEY, topic TEXT, chain INTEGER, prev INTEGER, size INTEGER, key TEXT, body BLOB);" +
			"INSERT INTO buffkit_log VALUES (1, 1, 7, 8, 9, 0); INSERT INTO buffkit_events VALUES (8, 't', 0, 0, 9, '', 'data: 1')",
		"has the format 3, and this version reads 2: use a newer version": "CREATE TABLE buffkit_log (format INTEGER); INSERT INTO buffkit_log VALUES (3)",
	} {
		path := newPath(t)
		db := openFile(t, path)
		if _, err := db.Exec(script); err != nil {
			t.Fatal(err)
		}
		before := tables(t, db)
		_, err := sqlitelog.OpenStore(t.Context(), path, nil)
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("opened: %v, want %q", err, says)
		}
		if now := tables(t, db); now != before {
			t.Errorf("the file had %s, and has %s", before, now)
		}
	}
}

func tables(t *testing.T, db *sql.DB) (names string) {
	t.Helper()
	if err := db.QueryRow("SELECT group_concat(name) FROM (SELECT name FROM sqlite_schema ORDER BY name)").Scan(&names); err != nil {
		t.Fatal(err)
	}
	return names
}

func TestSeveralAppendsInOneTransactionFollowEachOther(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	store, reader := openStore(t, path, nil), openStore(t, path, nil)
	db := openFile(t, path)
	rng := rand.New(rand.NewPCG(3, 4))
	var all []eventlog.Record
	for i := range 10 {
		tx, err := db.BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		var some []eventlog.Record
		for range 3 {
			records := someRecords(rng, 20)
			if _, err := store.AppendTx(t.Context(), tx, records); err != nil {
				t.Fatal(err)
			}
			some = append(some, records...)
		}
		if i%3 == 0 {
			tx.Rollback()
			continue
		}
		if err := tx.Commit(); err != nil {
			t.Fatal(err)
		}
		own := someRecords(rng, 2)
		if _, err := store.Append(t.Context(), own); err != nil {
			t.Fatal(err)
		}
		all = append(append(all, some...), own...)
	}
	checkLinks(t, all)
	if got := tailed(t, reader, 1); !slices.EqualFunc(got, all, same) {
		t.Errorf("%d came, want %d", len(got), len(all))
	}
}

// checkLinks proves that each record names the ones before it, in the log and in its topic.
func checkLinks(t *testing.T, all []eventlog.Record) {
	t.Helper()
	var chain eventlog.Offset
	prev := map[string]eventlog.Offset{}
	for _, r := range all {
		if r.Chain != chain || r.Prev != prev[r.Topic] || r.Offset <= chain {
			t.Fatalf("%d of %q names %d and %d, want %d and %d", r.Offset, r.Topic, r.Chain, r.Prev, chain, prev[r.Topic])
		}
		chain, prev[r.Topic] = r.Offset, r.Offset
	}
}

// TestAFileAgreesWithAListOfEvents does anything to a file, and expects of it what a list of all events says.
func TestAFileAgreesWithAListOfEvents(t *testing.T) {
	t.Parallel()
	for seed := range uint64(4) {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			t.Parallel()
			rng := rand.New(rand.NewPCG(seed, 7))
			m := model{keep: map[string]eventlog.Retention{}}
			for topic := range strings.SplitSeq("a b c d e", " ") {
				m.keep[topic] = eventlog.Retention{Count: 1 + rng.IntN(100), Bytes: 1 + rng.Int64N(3*sqlitelog.PackBytes)}
			}
			path, opts := newPath(t), &sqlitelog.Options{RetentionOf: func(topic string) eventlog.Retention { return m.keep[topic] }}
			writers := []*sqlitelog.Store{openStore(t, path, opts), openStore(t, path, opts)}
			reader, db := openStore(t, path, opts), openFile(t, path)
			for range 150 {
				records := someRecords(rng, 1+rng.IntN(30))
				switch store := writers[rng.IntN(2)]; rng.IntN(5) {
				case 0:
					m.retain(t, store)
				case 1:
					m.addTx(t, store, db, records, rng.IntN(2) == 0)
				case 2:
					m.checkTail(t, reader, rng)
				default:
					m.add(t, store, records)
				}
				m.checkHistory(t, reader, rng)
			}
			checkLinks(t, m.all)
			m.retain(t, reader)
		})
	}
}

// model is all events that ever were.
type model struct {
	keep map[string]eventlog.Retention
	all  []eventlog.Record
}

func (m *model) add(t *testing.T, store *sqlitelog.Store, records []eventlog.Record) {
	t.Helper()
	if _, err := store.Append(t.Context(), records); err != nil {
		t.Fatal(err)
	}
	m.all = append(m.all, records...)
}

func (m *model) addTx(t *testing.T, store *sqlitelog.Store, db *sql.DB, records []eventlog.Record, commit bool) {
	t.Helper()
	tx, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	if _, err := store.AppendTx(t.Context(), tx, records); err != nil {
		t.Fatal(err)
	}
	if commit {
		if err := tx.Commit(); err != nil {
			t.Fatal(err)
		}
		m.all = append(m.all, records...)
	}
}

// kept returns what is within the retention of a topic, and the newest offset that isn't.
func (m *model) kept(topic string) (kept []eventlog.Record, trimmed eventlog.Offset) {
	keep, bytes := m.keep[topic], int64(0)
	for _, r := range slices.Backward(m.all) {
		if r.Topic != topic {
			continue
		}
		bytes += int64(len(r.Key) + len(r.Body))
		if len(kept) == keep.Count || bytes > keep.Bytes && len(kept) > 0 {
			trimmed = r.Offset
			break
		}
		kept = append(kept, r)
	}
	slices.Reverse(kept)
	return kept, trimmed
}

// retain has a store delete, and checks the books and how much of each topic is left in the file.
func (m *model) retain(t *testing.T, store *sqlitelog.Store) {
	t.Helper()
	if err := store.RetainNow(t.Context(), "a", "b", "c", "d", "e"); err != nil {
		t.Fatal(err)
	}
	_, bytes, booked, err := store.Count(t.Context(), "a")
	if err != nil || bytes != booked {
		t.Errorf("%d bytes are in the file, by the books %d, %v", bytes, booked, err)
	}
	for topic := range strings.SplitSeq("a b c d e", " ") {
		kept, _ := m.kept(topic)
		live := int64(0)
		for _, r := range kept {
			live += int64(len(r.Key) + len(r.Body))
		}
		if onDisk, err := store.OnDisk(t.Context(), topic); err != nil || onDisk < live || onDisk >= live+sqlitelog.PackBytes/2 {
			t.Errorf("%d bytes of %s are in the file, %d of them are kept, %v", onDisk, topic, live, err)
		}
	}
}

func (m *model) checkHistory(t *testing.T, store *sqlitelog.Store, rng *rand.Rand) {
	t.Helper()
	asked := eventlog.Range{Topic: string(rune('a' + rng.IntN(5))), Max: 1 + rng.IntN(60), Newest: rng.IntN(2) == 0}
	some := func() eventlog.Offset {
		if len(m.all) == 0 || rng.IntN(3) == 0 {
			return 0
		}
		return m.all[rng.IntN(len(m.all))].Offset
	}
	asked.After, asked.Until = some(), some()
	want, trimmed := m.kept(asked.Topic)
	want = slices.DeleteFunc(want, func(r eventlog.Record) bool {
		return r.Offset <= asked.After || asked.Until > 0 && r.Offset > asked.Until
	})
	if over := len(want) - asked.Max; over > 0 && asked.Newest {
		want = want[over:]
	} else if over > 0 {
		want = want[:asked.Max]
	}
	if h := history(t, store, asked); !slices.EqualFunc(h.Records, want, same) || h.Trimmed != trimmed {
		t.Fatalf("%+v: %d records, trimmed up to %d; want %d and %d", asked, len(h.Records), h.Trimmed, len(want), trimmed)
	}
}

// checkTail tails from an event of the list: all that is kept comes, in its order, and what is over the retention may.
func (m *model) checkTail(t *testing.T, store *sqlitelog.Store, rng *rand.Rand) {
	t.Helper()
	if len(m.all) == 0 {
		return
	}
	from := rng.IntN(len(m.all))
	must := map[eventlog.Offset]bool{}
	for topic := range strings.SplitSeq("a b c d e", " ") {
		kept, _ := m.kept(topic)
		for _, r := range kept {
			must[r.Offset] = r.Offset > m.all[from].Offset
		}
	}
	rest := m.all[from+1:]
	for _, got := range tailed(t, store, m.all[from].Offset) {
		i := slices.IndexFunc(rest, func(r eventlog.Record) bool { return r.Offset == got.Offset })
		if i < 0 || !same(got, rest[i]) {
			t.Fatalf("%d of %q came twice, too early, or as another", got.Offset, got.Topic)
		}
		rest = rest[i+1:]
		delete(must, got.Offset)
	}
	for offset, due := range must {
		if due {
			t.Fatalf("%d, which is kept, never came behind %d", offset, m.all[from].Offset)
		}
	}
}

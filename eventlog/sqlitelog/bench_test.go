package sqlitelog_test

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/buffkit/buffkit/eventlog"
	"github.com/buffkit/buffkit/eventlog/sqlitelog"
)

var benchData = []byte(strings.Repeat("x", 200))

// load is callers who each append a batch at a time, its events in turn to so many topics.
type load struct{ callers, batch, topics int }

func (l load) String() string {
	return fmt.Sprintf("callers=%d/batch=%d/topics=%d", l.callers, l.batch, l.topics)
}

// BenchmarkAppend compares with what an app would write by hand: rows of topic and body, inserted by a prepared statement, as many in a
// commit as there are events under way. The driver, the journal and the syncs are the same. Both take turns, so that they meet the same weather.
func BenchmarkAppend(b *testing.B) {
	for _, l := range []load{{1, 1, 1}, {64, 1, 1}, {512, 1, 1}, {1, 64, 1}, {1, 512, 1}, {512, 1, 64}, {1, 512, 64}} {
		b.Run(l.String(), func(b *testing.B) {
			const turns = 32 // commits of the bare table at a time
			appends, inserts := benchLog(b, l), benchBare(b, l)
			var ours, bare time.Duration
			for b.Loop() {
				bare += timed(func() { inserts(turns) })
				ours += timed(func() { appends(turns) })
			}
			events := float64(b.N * turns * l.callers * l.batch)
			b.ReportMetric(events/ours.Seconds(), "events/s")
			b.ReportMetric(events/bare.Seconds(), "bare/s")
			b.ReportMetric(bare.Seconds()/ours.Seconds(), "of-bare")
		})
	}
}

func timed(f func()) time.Duration {
	began := time.Now()
	f()
	return time.Since(began)
}

// benchLog returns what has each caller append so many times.
func benchLog(b *testing.B, l load) func(times int) {
	log, err := sqlitelog.Open(b.Context(), filepath.Join(b.TempDir(), "log.db"), nil)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { log.Close() })
	events := make([][]eventlog.Event, l.callers)
	for c := range events {
		for i := range l.batch {
			events[c] = append(events[c], eventlog.Event{Topic: fmt.Sprint("orders/", (c+i)%l.topics), Data: benchData})
		}
	}
	return func(times int) {
		var wg sync.WaitGroup
		for _, own := range events {
			wg.Go(func() {
				for range times {
					if _, err := log.Append(context.Background(), own...); err != nil {
						b.Error(err)
					}
				}
			})
		}
		wg.Wait()
	}
}

// benchBare returns what inserts and commits so many times.
func benchBare(b *testing.B, l load) func(times int) {
	db, err := sql.Open("sqlite", "file:"+filepath.Join(b.TempDir(), "bare.db")+"?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { db.Close() })
	db.SetMaxOpenConns(1)
	if _, err := db.Exec("CREATE TABLE events (id INTEGER PRIMARY KEY, topic TEXT NOT NULL, body BLOB NOT NULL)"); err != nil {
		b.Fatal(err)
	}
	insert, err := db.Prepare("INSERT INTO events (topic, body) VALUES (?, ?)")
	if err != nil {
		b.Fatal(err)
	}
	topics := make([]string, l.callers*l.batch)
	for i := range topics {
		topics[i] = fmt.Sprint("orders/", i%l.topics)
	}
	return func(times int) {
		for range times {
			if err := insertBatch(db, insert, topics); err != nil {
				b.Fatal(err)
			}
		}
	}
}

func insertBatch(db *sql.DB, insert *sql.Stmt, topics []string) error {
	tx, err := db.Begin()
	if err != nil {
		return err
	}
	defer tx.Rollback() // does nothing after Commit
	stmt := tx.Stmt(insert)
	for _, topic := range topics {
		if _, err := stmt.Exec(topic, benchData); err != nil {
			return err
		}
	}
	return tx.Commit()
}

// BenchmarkColdStart opens a file of 1,000,000 events.
func BenchmarkColdStart(b *testing.B) {
	path := filepath.Join(b.TempDir(), "x.db")
	opts := &sqlitelog.Options{Retention: eventlog.Retention{Count: -1, Bytes: -1}}
	store, err := sqlitelog.OpenStore(b.Context(), path, opts)
	if err != nil {
		b.Fatal(err)
	}
	for n := 0; n < 1_000_000; n += 4000 {
		records := make([]eventlog.Record, 4000)
		for i := range records {
			records[i] = eventlog.Record{Topic: fmt.Sprint("topic/", (n+i)%1000), Body: append([]byte("data: "), benchData...)}
		}
		if _, err := store.Append(b.Context(), records); err != nil {
			b.Fatal(err)
		}
	}
	store.Close()
	for b.Loop() {
		log, err := sqlitelog.Open(b.Context(), path, opts)
		if err != nil {
			b.Fatal(err)
		}
		if s := log.Stats(); s.Bytes > eventlog.DefaultMaxBytes {
			b.Fatal(s)
		}
		if batch, err := log.Read(b.Context(), []string{"topic/7"}, eventlog.Cursor{}, 1000); err != nil || len(batch.Entries) != 1000 {
			b.Fatal(len(batch.Entries), err)
		}
		log.Close()
	}
}

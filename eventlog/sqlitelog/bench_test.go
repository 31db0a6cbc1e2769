package sqlitelog_test

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/buffkit/buffkit/eventlog"
	"github.com/buffkit/buffkit/eventlog/sqlitelog"
)

var benchData = []byte(strings.Repeat("x", 200))

// BenchmarkBareInsert is the floor: as many rows a commit and sync, and nothing but their bytes.
func BenchmarkBareInsert(b *testing.B) {
	for _, batch := range []int{1, 64, 512} {
		b.Run(fmt.Sprint("batch=", batch), func(b *testing.B) {
			db, err := sql.Open("sqlite", "file:"+filepath.Join(b.TempDir(), "x.db")+"?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)")
			if err != nil {
				b.Fatal(err)
			}
			defer db.Close()
			db.SetMaxOpenConns(1)
			if _, err := db.Exec("CREATE TABLE t (id INTEGER PRIMARY KEY, topic TEXT, body BLOB)"); err != nil {
				b.Fatal(err)
			}
			insert, err := db.Prepare("INSERT INTO t (topic, body) VALUES (?, ?)")
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				tx, err := db.Begin()
				if err != nil {
					b.Fatal(err)
				}
				stmt := tx.Stmt(insert)
				for range batch {
					if _, err := stmt.Exec("orders", benchData); err != nil {
						b.Fatal(err)
					}
				}
				if err := tx.Commit(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)*float64(batch)/b.Elapsed().Seconds(), "events/s")
		})
	}
}

func BenchmarkAppend(b *testing.B) {
	for _, shape := range []struct{ callers, batch int }{{1, 1}, {64, 1}, {512, 1}, {1, 64}, {1, 512}} {
		b.Run(fmt.Sprintf("callers=%d/batch=%d", shape.callers, shape.batch), func(b *testing.B) {
			log, err := sqlitelog.Open(b.Context(), filepath.Join(b.TempDir(), "x.db"), nil)
			if err != nil {
				b.Fatal(err)
			}
			defer log.Close()
			events := make([]eventlog.Event, shape.batch)
			for i := range events {
				events[i] = eventlog.Event{Topic: "orders", Data: benchData}
			}
			b.ResetTimer()
			var wg sync.WaitGroup
			for c := range shape.callers {
				n := (b.N + c) / shape.callers
				wg.Go(func() {
					for range n {
						if _, err := log.Append(context.Background(), events...); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
			b.ReportMetric(float64(b.N)*float64(shape.batch)/b.Elapsed().Seconds(), "events/s")
		})
	}
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
		if s := log.Stats(); s.Bytes > 0 {
			b.Fatal(s)
		}
		if batch, err := log.Read(b.Context(), []string{"topic/7"}, eventlog.Cursor{}, 1000); err != nil || len(batch.Entries) != 1000 {
			b.Fatal(len(batch.Entries), err)
		}
		log.Close()
	}
}

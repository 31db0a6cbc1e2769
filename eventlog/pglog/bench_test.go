package pglog_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/buffkit/buffkit/eventlog"
	"github.com/buffkit/buffkit/eventlog/pglog"
)

// BenchmarkAppend compares many publishers with a bare INSERT of the same events, one transaction after the other on one connection, of as many rows as
// the log had in one on average: into a table as an app would make it ("bare"), and into one with an index for topics beside ("indexed"), which an app needs to read
// them by topic. The server's fsync and synchronous_commit are on. They take turns, a second each; the log's turn ends when its own index is up with its head.
func BenchmarkAppend(b *testing.B) {
	for _, publishers := range []int{16, 256, 1024} {
		b.Run(fmt.Sprintf("publishers=%d", publishers), func(b *testing.B) { compare(b, publishers, 1) })
	}
}

// BenchmarkAppendMany is BenchmarkAppend for one publisher that appends many events at once.
func BenchmarkAppendMany(b *testing.B) {
	for _, events := range []int{8, 128, 512} {
		b.Run(fmt.Sprintf("events=%d", events), func(b *testing.B) { compare(b, 1, events) })
	}
}

// BenchmarkAppendTx compares transactions that append one event each, of eight writers, with transactions that insert one bare row.
func BenchmarkAppendTx(b *testing.B) {
	server := ownServer(b, "fsync=on", "synchronous_commit=on", "max_wal_size=4GB")
	l := openLog(b, server.URL(""), nil)
	pool := newPool(b, server.URL(""))
	exec(b, server.URL(""), `CREATE TABLE bare (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, topic text NOT NULL, body bytea NOT NULL)`)
	body := []byte(strings.Repeat("data: 0123456789", 12) + "\n\n")
	var ours, bare int64
	for b.Loop() {
		ours += transact(b, pool, func(tx pgx.Tx, topic string) error {
			return l.AppendTx(b.Context(), tx, eventlog.Event{Topic: topic, Data: body[6:]})
		})
		bare += transact(b, pool, func(tx pgx.Tx, topic string) error {
			_, err := tx.Exec(b.Context(), "INSERT INTO bare (topic, body) VALUES ($1, $2)", topic, body)
			return err
		})
	}
	b.ReportMetric(float64(ours)/float64(b.N)/turn.Seconds(), "tx/s")
	b.ReportMetric(float64(bare)/float64(b.N)/turn.Seconds(), "bare-tx/s")
	b.ReportMetric(float64(ours)/float64(bare), "of-bare")
	b.ReportMetric(0, "ns/op")
}

// transact lets eight writers do something in one transaction after the other, for a turn, and returns how many.
func transact(b *testing.B, pool *pgxpool.Pool, do func(tx pgx.Tx, topic string) error) int64 {
	ctx, cancel := context.WithTimeout(b.Context(), turn)
	defer cancel()
	var n atomic.Int64
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for ctx.Err() == nil {
				err := pgx.BeginFunc(b.Context(), pool, func(tx pgx.Tx) error { return do(tx, fmt.Sprintf("topic/%d", (int(n.Add(1))+i)%100)) })
				if err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	return n.Load()
}

const turn = time.Second

func compare(b *testing.B, publishers, events int) {
	server := ownServer(b, "fsync=on", "synchronous_commit=on", "max_wal_size=4GB")
	s := openStore(b, server.URL(""), &pglog.Options{})
	exec(b, server.URL(""), `CREATE TABLE bare (id bigint PRIMARY KEY, topic text NOT NULL, body bytea NOT NULL);
		CREATE TABLE indexed (LIKE bare INCLUDING ALL); CREATE INDEX ON indexed (topic, id)`)
	conn, err := pgx.Connect(b.Context(), server.URL(""))
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close(context.Background())
	body := []byte(strings.Repeat("data: 0123456789", 12) + "\n\n")
	var ours, bare, indexed, batches, rows int64
	var spent time.Duration // by us
	for b.Loop() {
		before, begin := s.Batches(), time.Now()
		ours += appendFor(b, s, publishers, events, body)
		if err := s.Index(b.Context()); err != nil {
			b.Fatal(err)
		}
		spent += time.Since(begin)
		batches += s.Batches() - before
		batch := max(ours/max(batches, 1), 1)
		bare += insertFor(b, conn, "bare", &rows, batch, body)
		indexed += insertFor(b, conn, "indexed", &rows, batch, body)
	}
	each := float64(b.N) * turn.Seconds()
	rate := float64(ours) / spent.Seconds()
	b.ReportMetric(rate, "events/s")
	b.ReportMetric(float64(bare)/each, "bare-rows/s")
	b.ReportMetric(rate/(float64(bare)/each), "of-bare")
	b.ReportMetric(float64(indexed)/each, "indexed-rows/s")
	b.ReportMetric(rate/(float64(indexed)/each), "of-indexed")
	b.ReportMetric(float64(ours)/float64(batches), "events/tx")
	b.ReportMetric(0, "ns/op")
}

// appendFor lets the publishers append some events after the others, for a turn, and returns how many.
func appendFor(b *testing.B, s *pglog.Store, publishers, events int, body []byte) int64 {
	ctx, cancel := context.WithTimeout(b.Context(), turn)
	defer cancel()
	var n atomic.Int64
	var all sync.WaitGroup
	for i := range publishers {
		all.Go(func() {
			for ctx.Err() == nil {
				records := make([]eventlog.Record, events)
				for j := range records {
					records[j] = eventlog.Record{Topic: fmt.Sprintf("topic/%d", (i+j)%100), Body: body}
				}
				if _, err := s.Append(b.Context(), records); err != nil {
					b.Error(err)
					return
				}
				n.Add(int64(events))
			}
		})
	}
	all.Wait()
	return n.Load()
}

// insertFor inserts batches of rows for a turn, and returns how many rows.
func insertFor(b *testing.B, conn *pgx.Conn, table string, last *int64, batch int64, body []byte) (n int64) {
	ctx, cancel := context.WithTimeout(b.Context(), turn)
	defer cancel()
	query := "INSERT INTO " + table + " SELECT * FROM unnest($1::bigint[], $2::text[], $3::bytea[])"
	for ctx.Err() == nil {
		ids, topics, bodies := make([]int64, batch), make([]string, batch), make([][]byte, batch)
		for i := range ids {
			*last++
			ids[i], topics[i], bodies[i] = *last, fmt.Sprintf("topic/%d", i%100), body
		}
		if _, err := conn.Exec(b.Context(), query, ids, topics, bodies); err != nil {
			b.Fatal(err)
		}
		n += batch
	}
	return n
}

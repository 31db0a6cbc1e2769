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

	"github.com/buffkit/buffkit/eventlog"
	"github.com/buffkit/buffkit/eventlog/pglog"
)

// BenchmarkAppend compares many publishers with a bare INSERT of the same rows, one transaction after the other, of as many rows as the log
// had in one on average: into a table like the log's, with its index for topics ("twin"), and into one with a primary key alone ("bare"). The server's
// fsync is on. They take turns, a second each.
func BenchmarkAppend(b *testing.B) {
	for _, publishers := range []int{16, 256, 1024} {
		b.Run(fmt.Sprintf("publishers=%d", publishers), func(b *testing.B) { compare(b, publishers) })
	}
}

const turn = time.Second

func compare(b *testing.B, publishers int) {
	server := ownServer(b, "fsync=on", "max_wal_size=4GB")
	s := openStore(b, server.URL(""), &pglog.Options{})
	exec(b, server.URL(""), `CREATE TABLE bare ("offset" bigint PRIMARY KEY, topic text NOT NULL, key bytea NOT NULL, body bytea NOT NULL);
		CREATE TABLE twin (LIKE buffkit_log_events INCLUDING ALL)`)
	conn, err := pgx.Connect(b.Context(), server.URL(""))
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close(context.Background())
	body := []byte(strings.Repeat("data: 0123456789", 12) + "\n\n")
	var ours, bare, twin, batches, rows int64
	for b.Loop() {
		before := s.Batches()
		ours += appendFor(b, s, publishers, body)
		batches += s.Batches() - before
		batch := max(ours/max(batches, 1), 1)
		bare += insertFor(b, conn, `INSERT INTO bare SELECT * FROM unnest($1::bigint[], $2::text[], $3::bytea[], $4::bytea[])`, &rows, batch, body)
		twin += insertFor(b, conn, `INSERT INTO twin SELECT n, t, k, n, n, octet_length(b), b
			FROM unnest($1::bigint[], $2::text[], $3::bytea[], $4::bytea[]) AS g (n, t, k, b)`, &rows, batch, body)
	}
	spent := float64(b.N) * turn.Seconds()
	b.ReportMetric(float64(ours)/spent, "events/s")
	b.ReportMetric(float64(bare)/spent, "bare-rows/s")
	b.ReportMetric(float64(ours)/float64(bare), "of-bare")
	b.ReportMetric(float64(twin)/spent, "twin-rows/s")
	b.ReportMetric(float64(ours)/float64(twin), "of-twin")
	b.ReportMetric(float64(ours)/float64(batches), "events/tx")
	b.ReportMetric(0, "ns/op")
}

// appendFor lets the publishers append one event after the other, for a turn, and returns how many.
func appendFor(b *testing.B, s *pglog.Store, publishers int, body []byte) int64 {
	ctx, cancel := context.WithTimeout(b.Context(), turn)
	defer cancel()
	var n atomic.Int64
	var all sync.WaitGroup
	for i := range publishers {
		all.Go(func() {
			for ctx.Err() == nil {
				if _, err := s.Append(b.Context(), []eventlog.Record{{Topic: fmt.Sprintf("topic/%d", i%100), Body: body}}); err != nil {
					b.Error(err)
					return
				}
				n.Add(1)
			}
		})
	}
	all.Wait()
	return n.Load()
}

// insertFor inserts batches of rows for a turn, and returns how many rows.
func insertFor(b *testing.B, conn *pgx.Conn, query string, last *int64, batch int64, body []byte) (n int64) {
	ctx, cancel := context.WithTimeout(b.Context(), turn)
	defer cancel()
	for ctx.Err() == nil {
		ns, topics, keys, bodies := make([]int64, batch), make([]string, batch), make([][]byte, batch), make([][]byte, batch)
		for i := range ns {
			*last++
			ns[i], topics[i], keys[i], bodies[i] = *last, fmt.Sprintf("topic/%d", i%100), []byte{}, body
		}
		if _, err := conn.Exec(b.Context(), query, ns, topics, keys, bodies); err != nil {
			b.Fatal(err)
		}
		n += batch
	}
	return n
}

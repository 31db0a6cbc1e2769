package pglog_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	process "os/exec"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/buffkit/buffkit/eventlog"
	"github.com/buffkit/buffkit/eventlog/pglog"
)

// It measures the heap, so it isn't parallel.
func TestANodeStartsWithinItsMemoryWhateverIsStored(t *testing.T) {
	const events, budget, preload = 50_000, 1 << 20, 200 * time.Millisecond
	dsn := fresh(t)
	s := unindexed(t, dsn, forever)
	stored := fill(t, s, events, 100, 1000)
	filled := time.Now()
	until(t, "the events to be old", func() bool { return time.Since(filled) > 2*preload })
	head := mustAppend(t, s, record("topic/7", "newest"))[0]
	for _, tt := range []struct {
		preload  time.Duration
		from, to int64 // bytes that the node reads
	}{{preload, 1, stored / 10}, {0, stored / 10, 3 * stored}} { // the default reads all of them, unless the machine is slow
		pool, read := countedPool(t, dsn)
		before := heap()
		l, err := pglog.OpenPool(t.Context(), pool, &pglog.Options{
			Retention: forever, Replica: eventlog.ReplicaOptions{Memory: eventlog.MemoryOptions{MaxBytes: budget}, Preload: tt.preload},
		})
		if err != nil {
			t.Fatal(err)
		}
		if n, newest := page(t, l, "topic/7"); n != events/100+1 || newest != head.Offset {
			t.Errorf("preload %v: %d events, the newest %d", tt.preload, n, newest)
		}
		if kept, live := l.Stats().Bytes, heap()-before; kept > budget || live > 3*budget {
			t.Errorf("preload %v: %d bytes by the books, and %d live", tt.preload, kept, live)
		}
		if n := read.Load(); n < tt.from || n > tt.to {
			t.Errorf("preload %v: the node read %d bytes of %d", tt.preload, n, stored)
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
}

// page reads a page of a topic, and returns how many events it has, and the newest.
func page(t *testing.T, l *pglog.Log, topic string) (n int, newest eventlog.Offset) {
	t.Helper()
	b, err := l.Read(t.Context(), []string{topic}, eventlog.Cursor{}, 1000)
	if n = len(b.Entries); err != nil || n == 0 {
		t.Fatalf("Read: %d events, %v", n, err)
	}
	return n, b.Entries[n-1].Offset
}

// countedPool counts the bytes that come from the server.
func countedPool(t *testing.T, dsn string) (*pgxpool.Pool, *atomic.Int64) {
	t.Helper()
	config, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	config.MaxConns = max(config.MaxConns, 4)
	read, dial := new(atomic.Int64), config.ConnConfig.DialFunc
	config.ConnConfig.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		return countedConn{conn, read}, err
	}
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool, read
}

type countedConn struct {
	net.Conn
	read *atomic.Int64
}

func (c countedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.read.Add(int64(n))
	return n, err
}

// heap returns the bytes of all that lives.
func heap() int64 {
	runtime.GC()
	runtime.GC() // what finalizers and pools held for one round
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// fill stores events of 200 bytes, some in a row, brings the index up, and returns their bytes.
func fill(t testing.TB, s *pglog.Store, events, topics, together int) (stored int64) {
	t.Helper()
	body := []byte(strings.Repeat("data: 0123456789", 12) + "\n\n")
	for n := 0; n < events; n += together {
		records := make([]eventlog.Record, together)
		for i := range records {
			records[i] = eventlog.Record{Topic: fmt.Sprint("topic/", (n+i)%topics), Body: body}
		}
		mustAppend(t, s, records...)
	}
	if err := s.Index(t.Context()); err != nil {
		t.Fatal(err)
	}
	return int64(events * len(body))
}

// coldVar makes the test binary a node that opens the log of the URL it names, reads a page, and tells how it went.
const coldVar = "BUFFKIT_PGLOG_COLD"

const coldBudget = 64 << 20

// BenchmarkColdStart starts a node, a process of its own, on a server that was started anew and has 1,000,000 events of the last half minute: what a node reads
// first. The topic that it then reads a page of has all of them, a thousandth, or few; no limit of retention is reached. They are in 1000 rows, or in 100,000.
func BenchmarkColdStart(b *testing.B) {
	for _, of := range []struct{ topics, together int }{{1, 1000}, {1000, 1000}, {1000, 10}, {100_000, 1000}} {
		b.Run(fmt.Sprintf("topics=%d,together=%d", of.topics, of.together), func(b *testing.B) {
			server := ownServer(b, "max_wal_size=4GB", "fsync=off")
			fill(b, openStore(b, server.URL(""), &pglog.Options{Retention: forever}), 1_000_000, of.topics, of.together)
			var opened, ready time.Duration
			var most int64
			for b.Loop() {
				if err := server.Halt(); err != nil {
					b.Fatal(err)
				}
				if err := server.Start(); err != nil {
					b.Fatal(err)
				}
				node := startCold(b, server.URL(""))
				if node.Kept > coldBudget || node.Page != min(1000, 1_000_000/of.topics) {
					b.Fatalf("%+v", node)
				}
				opened, ready, most = opened+node.Opened, ready+node.Ready, max(most, node.resident)
			}
			b.ReportMetric(opened.Seconds()/float64(b.N), "s-to-open")
			b.ReportMetric(ready.Seconds()/float64(b.N), "s-to-page")
			b.ReportMetric(float64(most)/(1<<20), "MiB-resident")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// coldNode is what a node tells of its start.
type coldNode struct {
	Opened, Ready time.Duration // since it began
	Kept          int64         // bytes in memory, by the log's books
	Page          int           // events of the page

	resident int64 // bytes, at most, by the system
}

func startCold(b *testing.B, dsn string) (node coldNode) {
	b.Helper()
	cmd := process.CommandContext(b.Context(), os.Args[0])
	cmd.Env, cmd.Stderr = append(os.Environ(), coldVar+"="+dsn), os.Stderr
	out, err := cmd.Output()
	if err == nil {
		err = json.Unmarshal(out, &node)
	}
	if err != nil {
		b.Fatal(err)
	}
	node.resident = int64(cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss) << 10 // Linux counts kibibytes
	return node
}

// beCold is the node.
func beCold(dsn string) error {
	ctx, begin := context.Background(), time.Now()
	l, err := pglog.Open(ctx, dsn, &pglog.Options{
		Retention: eventlog.Retention{Count: 2_000_000, Bytes: 1 << 30, Age: time.Hour},
		Replica:   eventlog.ReplicaOptions{Memory: eventlog.MemoryOptions{MaxBytes: coldBudget}},
	})
	if err != nil {
		return err
	}
	defer l.Close()
	node := coldNode{Opened: time.Since(begin)}
	b, err := l.Read(ctx, []string{"topic/0"}, eventlog.Cursor{}, 1000)
	if err != nil {
		return err
	}
	node.Ready, node.Kept, node.Page = time.Since(begin), l.Stats().Bytes, len(b.Entries)
	return json.NewEncoder(os.Stdout).Encode(node)
}

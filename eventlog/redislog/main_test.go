package redislog_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/buffkit/buffkit/eventlog"
	"github.com/buffkit/buffkit/eventlog/redislog"
	"github.com/buffkit/buffkit/internal/leaktest"
	"github.com/buffkit/buffkit/internal/servers"
)

func TestMain(m *testing.M) {
	code := m.Run()
	code = max(code, stopServers())
	if left := leaktest.Leftover(5 * time.Second); code == 0 && len(left) > 0 {
		fmt.Printf("FAIL: %d goroutines are left:\n\n%s\n", len(left), strings.Join(left, "\n\n"))
		code = 1
	}
	os.Exit(code)
}

// The servers that tests share, each started by the first that needs it. Tests that break a server have one of their own.
var (
	sharedRedis   = shared(func() (*servers.RedisServer, error) { return servers.Redis() })
	sharedRedis8  = shared(func() (*servers.RedisServer, error) { return servers.Redis8() })
	sharedValkey  = shared(func() (*servers.RedisServer, error) { return servers.Valkey() })
	sharedCluster = shared(servers.NewRedisCluster)
)

type stopper interface{ Stop() error }

var (
	stopsMu sync.Mutex // guards what follows
	stops   []func() error
)

func shared[S stopper](start func() (S, error)) func(t testing.TB) S {
	once := sync.OnceValues(func() (S, error) {
		server, err := start()
		if err == nil {
			stopsMu.Lock()
			defer stopsMu.Unlock()
			stops = append(stops, server.Stop)
		}
		return server, err
	})
	return func(t testing.TB) S {
		t.Helper()
		server, err := once()
		if err != nil {
			t.Fatal(err)
		}
		return server
	}
}

func stopServers() (code int) {
	stopsMu.Lock()
	defer stopsMu.Unlock()
	for _, stop := range stops {
		if err := stop(); err != nil {
			fmt.Println("FAIL: stop a server:", err)
			code = 1
		}
	}
	return code
}

// own starts a server for one test.
func own(t testing.TB, start func(...string) (*servers.RedisServer, error), args ...string) *servers.RedisServer {
	t.Helper()
	server, err := start(args...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Errorf("stop the server: %v", err)
		}
	})
	return server
}

// kinds are what every test of the contract runs on.
var kinds = []struct {
	name  string
	addrs func(testing.TB) []string
}{
	{"Redis 7", func(t testing.TB) []string { return []string{sharedRedis(t).Addr} }},
	{"Redis 8", func(t testing.TB) []string { return []string{sharedRedis8(t).Addr} }},
	{"Valkey 9", func(t testing.TB) []string { return []string{sharedValkey(t).Addr} }},
	{"Cluster", func(t testing.TB) []string { return sharedCluster(t).Addrs()[:1] }},
}

var prefixes atomic.Int64

// prefix is one that no other test has.
func prefix() string { return fmt.Sprintf("test-%d", prefixes.Add(1)) }

func openStore(t testing.TB, opts redislog.Options) *redislog.Store {
	t.Helper()
	store, err := redislog.OpenStore(t.Context(), &opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	return store
}

// openLog opens a log that the test, or its end, closes.
func openLog(t testing.TB, opts redislog.Options) *redislog.Log {
	t.Helper()
	var replica eventlog.ReplicaOptions
	if opts.Replica != nil {
		replica = *opts.Replica
	}
	if replica.Logger == nil {
		replica.Logger = slog.New(slog.DiscardHandler)
	}
	opts.Replica = &replica
	log, err := redislog.Open(t.Context(), &opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = log.Close() })
	return log
}

func record(topic, body string) eventlog.Record {
	return eventlog.Record{Topic: topic, Body: []byte("data: " + body + "\n\n")}
}

func mustAppend(t testing.TB, store eventlog.Store, records ...eventlog.Record) uint64 {
	t.Helper()
	epoch, err := store.Append(context.Background(), records)
	if err != nil {
		t.Fatal(err)
	}
	return epoch
}

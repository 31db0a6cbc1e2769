package redisstore_test

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/buffkit/buffkit/internal/leaktest"
	"github.com/buffkit/buffkit/internal/servers"
	"github.com/buffkit/buffkit/sessionstore/redisstore"
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
	{"Valkey 9", func(t testing.TB) []string { return []string{sharedValkey(t).Addr} }},
	{"Cluster", func(t testing.TB) []string { return sharedCluster(t).Addrs()[:1] }},
}

var prefixes atomic.Int64

// prefix is one that no other test has.
func prefix() string { return fmt.Sprintf("test-%d", prefixes.Add(1)) }

func openStore(t testing.TB, opts redisstore.Options) *redisstore.Store {
	t.Helper()
	store, err := redisstore.Open(t.Context(), &opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	return store
}

package pglog_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	_ "github.com/jackc/pgx/v5/stdlib"

	"github.com/buffkit/buffkit/internal/leaktest"
	"github.com/buffkit/buffkit/internal/servers"
)

func TestMain(m *testing.M) {
	if dsn := os.Getenv(coldVar); dsn != "" {
		if err := beCold(dsn); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	slog.SetDefault(slog.New(slog.NewTextHandler(io.Discard, nil))) // the examples have no logger
	code := max(m.Run(), stopServers())
	if left := leaktest.Leftover(5 * time.Second); code == 0 && len(left) > 0 {
		fmt.Printf("FAIL: %d goroutines are left:\n\n%s\n", len(left), strings.Join(left, "\n\n"))
		code = 1
	}
	os.Exit(code)
}

// startPostgres starts the server that most tests share, with the first test that needs it.
var startPostgres = sync.OnceValues(func() (*servers.PostgresDB, error) {
	p, err := servers.Postgres()
	if err == nil {
		stops = append(stops, p.Stop)
	}
	return p, err
})

var stops []func() error

func stopServers() (code int) {
	for _, stop := range stops {
		if err := stop(); err != nil {
			fmt.Println("FAIL: stop a server:", err)
			code = 1
		}
	}
	return code
}

// ownServer starts one for this test alone.
func ownServer(t testing.TB, settings ...string) *servers.PostgresDB {
	t.Helper()
	p, err := servers.PostgresWith(settings...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Stop(); err != nil {
			t.Error(err)
		}
	})
	return p
}

var names atomic.Int64

// fresh returns the URL of a new schema of the shared server.
func fresh(t testing.TB) string {
	t.Helper()
	server, err := startPostgres()
	if err != nil {
		t.Fatal(err)
	}
	name := fmt.Sprintf("test%d_%d", os.Getpid(), names.Add(1))
	exec(t, server.URL(""), "CREATE SCHEMA "+name)
	t.Cleanup(func() { exec(t, server.URL(""), "SET client_min_messages = error; DROP SCHEMA "+name+" CASCADE") })
	return with(t, server.URL(""), "search_path", name)
}

// freshDatabase returns the name of a new database of the shared server.
func freshDatabase(t testing.TB) (server *servers.PostgresDB, name string) {
	t.Helper()
	server, err := startPostgres()
	if err != nil {
		t.Fatal(err)
	}
	name = fmt.Sprintf("test%d_%d", os.Getpid(), names.Add(1))
	exec(t, server.URL(""), "CREATE DATABASE "+name)
	t.Cleanup(func() { exec(t, server.URL(""), "DROP DATABASE "+name+" WITH (FORCE)") })
	return server, name
}

// with adds a parameter to a URL.
func with(t testing.TB, dsn, key, value string) string {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Set(key, value)
	u.RawQuery = q.Encode()
	return u.String()
}

// exec runs statements on a connection of its own.
func exec(t testing.TB, dsn, query string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		t.Error(err)
		return
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, query, pgx.QueryExecModeSimpleProtocol); err != nil {
		t.Errorf("%s: %v", query, err)
	}
}

func newPool(t testing.TB, dsn string) *pgxpool.Pool {
	t.Helper()
	config, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	config.MaxConns = max(config.MaxConns, 16)
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}

// until waits for something that must happen.
func until(t testing.TB, what string, happened func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(30 * time.Second); !happened(); {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited for %s", what)
		}
	}
}

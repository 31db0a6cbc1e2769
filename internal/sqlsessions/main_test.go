package sqlsessions

import (
	"database/sql"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/buffkit/buffkit/internal/leaktest"
	"github.com/buffkit/buffkit/internal/servers"
	"github.com/buffkit/buffkit/migrate/dialect"
	"github.com/buffkit/buffkit/sessionstore/sqlstore"

	"github.com/go-sql-driver/mysql"
	_ "github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite"
)

func TestMain(m *testing.M) {
	flag.Parse()
	if f := flag.Lookup("test.parallel"); f.Value.String() == strconv.Itoa(runtime.GOMAXPROCS(0)) {
		if err := f.Value.Set(strconv.Itoa(4 * runtime.GOMAXPROCS(0))); err != nil { // most of the time they wait for servers
			panic(err)
		}
	}
	if err := mysql.SetLogger(&mysql.NopLogger{}); err != nil { // it would tell each connection that a test kills
		panic(err)
	}
	code := m.Run()
	code = max(code, stopServers())
	if left := leaktest.Leftover(time.Minute); code == 0 && len(left) > 0 {
		fmt.Printf("FAIL: %d goroutines are left:\n\n%s\n", len(left), strings.Join(left, "\n\n"))
		code = 1
	}
	os.Exit(code)
}

// target is a database that tests run on.
type target struct {
	name    string
	dialect dialect.Dialect
	start   func(opts ...servers.Option) (*server, error)
	shared  func() (*server, error)
}

// server is one with databases. SQLite has none.
type server struct {
	*servers.Server // nil if it was there already
	driver          string
	dsn             func(database string) string
	stop            func() error
}

func newTarget(name string, d dialect.Dialect, start func(opts ...servers.Option) (*server, error)) target {
	return target{name, d, start, sync.OnceValues(func() (*server, error) {
		s, err := start()
		if err == nil {
			stopsMu.Lock()
			defer stopsMu.Unlock()
			stops = append(stops, s.stop)
		}
		return s, err
	})}
}

var (
	onSQLite   = target{name: "SQLite", dialect: dialect.SQLite}
	onPostgres = newTarget("PostgreSQL", dialect.Postgres, func(opts ...servers.Option) (*server, error) {
		p, err := servers.Postgres(opts...)
		if err != nil {
			return nil, err
		}
		return &server{p.Server, "pgx", p.URL, p.Stop}, nil
	})
	onMySQL = newTarget("MySQL", dialect.MySQL, func(opts ...servers.Option) (*server, error) {
		m, err := servers.MySQL(opts...)
		if err != nil {
			return nil, err
		}
		return &server{m.Server, "mysql", m.DSN, m.Stop}, nil
	})
	onMariaDB = newTarget("MariaDB", dialect.MariaDB, func(opts ...servers.Option) (*server, error) {
		m, err := servers.MariaDB(opts...)
		if err != nil {
			return nil, err
		}
		return &server{m.Server, "mysql", m.DSN, m.Stop}, nil
	})
)

var (
	stopsMu sync.Mutex // guards what follows
	stops   []func() error
)

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

// everywhere runs a test on each database.
func everywhere(t *testing.T, test func(t *testing.T, on target)) {
	t.Helper()
	t.Parallel()
	for _, on := range []target{onSQLite, onPostgres, onMySQL, onMariaDB} {
		t.Run(on.name, func(t *testing.T) {
			t.Parallel()
			test(t, on)
		})
	}
}

// overNetwork runs a test on each database that has a server.
func overNetwork(t *testing.T, test func(t *testing.T, on target)) {
	t.Helper()
	everywhere(t, func(t *testing.T, on target) {
		if on.dialect != dialect.SQLite {
			test(t, on)
		}
	})
}

var databases atomic.Int64

// fresh makes an empty database on the shared server, or a file, and returns its driver and connection string.
func (on target) fresh(t testing.TB) (driver, dsn string) {
	t.Helper()
	if on.dialect == dialect.SQLite {
		return "sqlite", "file:" + filepath.Join(t.TempDir(), "app.db") + "?_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)"
	}
	s, err := on.shared()
	if err != nil {
		t.Fatal(err)
	}
	return s.driver, s.fresh(t)
}

// fresh makes an empty database.
func (s *server) fresh(t testing.TB) (dsn string) {
	t.Helper()
	admin := ""
	if s.driver == "pgx" {
		admin = "postgres"
	}
	db, err := sql.Open(s.driver, s.dsn(admin))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	name := fmt.Sprintf("test%d_%d", os.Getpid(), databases.Add(1))
	if _, err := db.Exec("CREATE DATABASE " + name); err != nil {
		t.Fatal(err)
	}
	return s.dsn(name)
}

func openDB(t testing.TB, driver, dsn string) *sql.DB {
	t.Helper()
	db, err := sql.Open(driver, dsn)
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(8) // the servers of the tests take some hundreds
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// openStore opens a store with a pool of its own, as another node has.
func openStore(t testing.TB, on target, driver, dsn string) *sqlstore.Store {
	t.Helper()
	opts := &sqlstore.Options{Migrate: true, Logger: slog.New(slog.DiscardHandler)}
	s, err := sqlstore.Open(t.Context(), openDB(t, driver, dsn), on.dialect, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// eventually asks until it is so.
func eventually(t testing.TB, what string, so func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(3 * time.Minute); !so(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatal("too late: ", what)
		}
	}
}

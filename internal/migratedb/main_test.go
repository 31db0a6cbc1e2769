package migratedb

import (
	"database/sql"
	"flag"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"github.com/buffkit/buffkit/internal/leaktest"
	"github.com/buffkit/buffkit/internal/servers"
	"github.com/buffkit/buffkit/migrate"
	"github.com/buffkit/buffkit/migrate/dialect"

	"github.com/go-sql-driver/mysql"
	_ "github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite"
)

func TestMain(m *testing.M) {
	if os.Getenv(childVar) != "" {
		os.Exit(child())
	}
	flag.Parse()
	if f := flag.Lookup("test.parallel"); f.Value.String() == strconv.Itoa(runtime.GOMAXPROCS(0)) {
		if err := f.Value.Set(strconv.Itoa(4 * runtime.GOMAXPROCS(0))); err != nil { // most of the time they wait for servers
			panic(err)
		}
	}
	slog.SetDefault(slog.New(slog.DiscardHandler))              // the examples have no logger
	if err := mysql.SetLogger(&mysql.NopLogger{}); err != nil { // it would tell each connection that a test kills
		panic(err)
	}
	code := m.Run()
	code = max(code, stopServers())
	if err := writeMatrix(); err != nil {
		fmt.Println("FAIL: write the matrix:", err)
		code = 1
	}
	if left := leaktest.Leftover(time.Minute); code == 0 && len(left) > 0 {
		fmt.Printf("FAIL: %d goroutines are left:\n\n%s\n", len(left), strings.Join(left, "\n\n"))
		code = 1
	}
	os.Exit(code)
}

// The servers, each started by the first test that needs it.
var startPostgres = sync.OnceValues(func() (*servers.PostgresDB, error) {
	p, err := servers.Postgres()
	if err == nil {
		stopLater(p.Stop)
	}
	return p, err
})

var startMariaDB = sync.OnceValues(func() (*servers.MariaDBServer, error) {
	m, err := servers.MariaDB()
	if err == nil {
		stopLater(m.Stop)
	}
	return m, err
})

var startMySQL = sync.OnceValues(func() (*servers.MySQLServer, error) {
	m, err := servers.MySQL()
	if err == nil {
		stopLater(m.Stop)
	}
	return m, err
})

var (
	stopsMu sync.Mutex // guards what follows
	stops   []func() error
)

func stopLater(stop func() error) {
	stopsMu.Lock()
	defer stopsMu.Unlock()
	stops = append(stops, stop)
}

func stopServers() (code int) {
	for _, stop := range stops {
		if err := stop(); err != nil {
			fmt.Println("FAIL: stop a server:", err)
			code = 1
		}
	}
	return code
}

// target is a database that tests run on.
type target struct {
	name    string
	dialect dialect.Dialect
	// fresh makes an empty database and returns its driver and connection string.
	fresh func(t *testing.T) (driver, dsn string)
	// wipe empties one, where that is quicker.
	wipe []string
}

var databases atomic.Int64

var (
	onSQLite = target{"sqlite", dialect.SQLite, func(t *testing.T) (string, string) {
		return "sqlite", "file:" + filepath.Join(t.TempDir(), "app.db")
	}, nil}
	onPostgres = target{"postgres", dialect.Postgres, func(t *testing.T) (string, string) {
		t.Helper()
		server, err := startPostgres()
		if err != nil {
			t.Fatal(err)
		}
		db := openDB(t, "pgx", server.URL(""))
		name := fmt.Sprintf("test%d_%d", os.Getpid(), databases.Add(1))
		mustExec(t, db, "CREATE DATABASE "+name)
		t.Cleanup(func() {
			if _, err := db.Exec("DROP DATABASE IF EXISTS " + name + " WITH (FORCE)"); err != nil {
				t.Error(err)
			}
		})
		return "pgx", server.URL(name)
	}, []string{"DROP SCHEMA public CASCADE", "CREATE SCHEMA public"}}
	onMariaDB = target{"mariadb", dialect.MariaDB, func(t *testing.T) (string, string) {
		t.Helper()
		server, err := startMariaDB()
		if err != nil {
			t.Fatal(err)
		}
		return "mysql", freshMySQL(t, server.DSN)
	}, wipeMySQL}
	onMySQL = target{"mysql", dialect.MySQL, func(t *testing.T) (string, string) {
		t.Helper()
		server, err := startMySQL()
		if err != nil {
			t.Fatal(err)
		}
		return "mysql", freshMySQL(t, server.DSN)
	}, wipeMySQL}
)

var wipeMySQL = []string{"DROP TABLE IF EXISTS t, u, users, buffkit_migrations, buffkit_migrations_journal"}

func freshMySQL(t *testing.T, dsn func(database string) string) string {
	t.Helper()
	db := openDB(t, "mysql", dsn(""))
	name := fmt.Sprintf("test%d_%d", os.Getpid(), databases.Add(1))
	mustExec(t, db, "CREATE DATABASE "+name)
	t.Cleanup(func() {
		if _, err := db.Exec("DROP DATABASE " + name); err != nil {
			t.Error(err)
		}
	})
	return dsn(name)
}

// everywhere runs a test on each database.
func everywhere(t *testing.T, test func(t *testing.T, on target)) {
	t.Helper()
	t.Parallel()
	for _, on := range []target{onSQLite, onPostgres, onMariaDB, onMySQL} {
		t.Run(on.name, func(t *testing.T) {
			t.Parallel()
			test(t, on)
		})
	}
}

func openDB(t *testing.T, driver, dsn string) *sql.DB {
	t.Helper()
	db, err := sql.Open(driver, dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil && !strings.Contains(err.Error(), "bad connection") { // of a server that has ended meanwhile
			t.Error(err)
		}
	})
	return db
}

func (on target) open(t *testing.T) *sql.DB {
	t.Helper()
	driver, dsn := on.fresh(t)
	return openDB(t, driver, dsn)
}

func mustExec(t *testing.T, db *sql.DB, queries ...string) {
	t.Helper()
	for _, query := range queries {
		if _, err := db.ExecContext(t.Context(), query); err != nil {
			t.Fatalf("%s: %v", query, err)
		}
	}
}

// files makes a folder of pairs of name and text.
func files(pairs ...string) fs.FS {
	fsys := fstest.MapFS{}
	for i := 0; i < len(pairs); i += 2 {
		fsys[pairs[i]] = &fstest.MapFile{Data: []byte(pairs[i+1])}
	}
	return fsys
}

func migrator(t *testing.T, on target, db *sql.DB, opts migrate.Options) *migrate.Migrator {
	t.Helper()
	if opts.Logger == nil {
		opts.Logger = quiet(t)
	}
	m, err := migrate.New(db, on.dialect, &opts)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func of(fsys fs.FS) migrate.Options {
	return migrate.Options{Sources: []migrate.Source{{FS: fsys}}}
}

// has tells whether a table exists.
func has(t *testing.T, db *sql.DB, table string) bool {
	t.Helper()
	var n int
	return db.QueryRowContext(t.Context(), "SELECT count(*) FROM "+table).Scan(&n) == nil
}

// number reads one.
func number(t *testing.T, db *sql.DB, query string) (n int) {
	t.Helper()
	if err := db.QueryRowContext(t.Context(), query).Scan(&n); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return n
}

// quiet logs to the test.
func quiet(t *testing.T) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
}

func dirFS(folder string) fs.FS { return os.DirFS(folder) }

// thorough tells whether each fault is to happen at each boundary, and what is large to be as large as can be, which takes ten minutes: make fault-matrix.
func thorough() bool { return os.Getenv("BUFFKIT_TEST_ALL") != "" }

// isMySQL tells whether DDL commits by itself.
func isMySQL(on target) bool { return on.dialect == dialect.MySQL || on.dialect == dialect.MariaDB }

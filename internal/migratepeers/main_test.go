package migratepeers

import (
	"database/sql"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/buffkit/buffkit/internal/leaktest"
	"github.com/buffkit/buffkit/internal/servers"
	"github.com/buffkit/buffkit/migrate/dialect"

	_ "github.com/go-sql-driver/mysql"
	_ "github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite"
)

func TestMain(m *testing.M) {
	code := m.Run()
	for _, stop := range stops {
		if err := stop(); err != nil {
			fmt.Println("FAIL: stop a server:", err)
			code = 1
		}
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

// database is an empty one of the test's own.
type database struct {
	dialect     dialect.Dialect
	driver, dsn string
	url         string // as pop and dbmate take it
	*sql.DB
}

var databases atomic.Int64

func newDatabase(t *testing.T, d dialect.Dialect) *database {
	t.Helper()
	on := &database{dialect: d}
	name := fmt.Sprintf("test%d_%d", os.Getpid(), databases.Add(1))
	switch d {
	case dialect.SQLite:
		path := filepath.Join(t.TempDir(), "app.db")
		on.driver, on.dsn, on.url = "sqlite", "file:"+path, "sqlite:"+path
	case dialect.Postgres:
		server, err := startPostgres()
		if err != nil {
			t.Fatal(err)
		}
		create(t, "pgx", server.URL(""), name, " WITH (FORCE)")
		on.driver, on.dsn = "pgx", server.URL(name)
		u, err := url.Parse(on.dsn)
		if err != nil {
			t.Fatal(err)
		}
		u.RawQuery = "sslmode=disable"
		on.url = u.String()
	case dialect.MariaDB:
		server, err := startMariaDB()
		if err != nil {
			t.Fatal(err)
		}
		on.useMySQL(t, server.DSN, name)
	case dialect.MySQL:
		server, err := startMySQL()
		if err != nil {
			t.Fatal(err)
		}
		on.useMySQL(t, server.DSN, name)
	}
	on.DB = openDB(t, on.driver, on.dsn)
	return on
}

// useMySQL makes a database of MySQL or MariaDB.
func (on *database) useMySQL(t *testing.T, dsn func(database string) string, name string) {
	t.Helper()
	create(t, "mysql", dsn(""), name, "")
	on.driver, on.dsn = "mysql", dsn(name)
	on.url = "mysql://" + strings.NewReplacer("tcp(", "", ")", "").Replace(on.dsn)
}

// isMySQL tells whether the tools take it for MySQL.
func (on *database) isMySQL() bool {
	return on.dialect == dialect.MySQL || on.dialect == dialect.MariaDB
}

func create(t *testing.T, driver, dsn, name, force string) {
	t.Helper()
	db := openDB(t, driver, dsn)
	mustExec(t, db, "CREATE DATABASE "+name)
	t.Cleanup(func() {
		if _, err := db.Exec("DROP DATABASE " + name + force); err != nil {
			t.Error(err)
		}
	})
}

// again opens the same database once more, for a tool that closes it or wants other parameters.
func (on *database) again(t *testing.T, params string) *sql.DB {
	t.Helper()
	if !on.isMySQL() {
		params = ""
	}
	return openDB(t, on.driver, on.dsn+params)
}

func openDB(t *testing.T, driver, dsn string) *sql.DB {
	t.Helper()
	db, err := sql.Open(driver, dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func mustExec(t *testing.T, db *sql.DB, queries ...string) {
	t.Helper()
	for _, query := range queries {
		if _, err := db.ExecContext(t.Context(), query); err != nil {
			t.Fatalf("%s: %v", query, err)
		}
	}
}

// has tells whether a table exists.
func has(t *testing.T, db *sql.DB, table string) bool {
	t.Helper()
	var n int
	return db.QueryRowContext(t.Context(), "SELECT count(*) FROM "+table).Scan(&n) == nil
}

// dump is all that a table holds.
func dump(t *testing.T, db *sql.DB, table string) string {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), "SELECT * FROM "+table)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	fmt.Fprintln(&b, columns)
	for rows.Next() {
		values, into := make([]any, len(columns)), make([]any, len(columns))
		for i := range values {
			into[i] = &values[i]
		}
		if err := rows.Scan(into...); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintln(&b, values...)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func quiet(t *testing.T) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
}

package migratedb

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// wire counts what a program says to its database and can act at any of it. A test that goes through all of them has been at every
// boundary there is, those of the runner's own bookkeeping included.
type wire struct {
	n      atomic.Int64
	before func(n int64, query string)
	after  func(n int64, query string, err error)
	lose   func(n int64, query string) bool // the answer never arrives, and the connection is gone
	begin  string                           // what each connection says first
	skew   time.Duration                    // what the runner's clock is ahead, in what it writes and in SQLite's
}

// open opens a database whose connections all go through the wire.
func (w *wire) open(driverName, dsn string) (*sql.DB, error) {
	plain, err := sql.Open(driverName, dsn)
	if err != nil {
		return nil, err
	}
	d := plain.Driver()
	if err := plain.Close(); err != nil {
		return nil, err
	}
	var c driver.Connector = dsnConnector{dsn, d}
	if dc, ok := d.(driver.DriverContext); ok {
		if c, err = dc.OpenConnector(dsn); err != nil {
			return nil, err
		}
	}
	return sql.OpenDB(wireConnector{c, w}), nil
}

type dsnConnector struct {
	dsn string
	d   driver.Driver
}

func (c dsnConnector) Connect(context.Context) (driver.Conn, error) { return c.d.Open(c.dsn) }
func (c dsnConnector) Driver() driver.Driver                        { return c.d }

type wireConnector struct {
	driver.Connector
	w *wire
}

func (c wireConnector) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	if c.w.begin != "" {
		if _, err := conn.(driver.ExecerContext).ExecContext(ctx, c.w.begin, nil); err != nil {
			return nil, errors.Join(err, conn.Close())
		}
	}
	return &wireConn{Conn: conn, w: c.w}, nil
}

// wireConn is a connection of the three drivers, all of which take queries without preparing them.
type wireConn struct {
	driver.Conn
	w    *wire
	lost bool
}

func (c *wireConn) around(query string, f func() error) error {
	if c.lost {
		return errLost
	}
	n := c.w.n.Add(1)
	if c.w.before != nil {
		c.w.before(n, query)
	}
	err := f()
	if c.w.after != nil {
		c.w.after(n, query, err)
	}
	if c.w.lose != nil && c.w.lose(n, query) {
		c.lost = true
		return errLost
	}
	return err
}

var errLost = errors.New("the connection was cut by the test")

func (c *wireConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (res driver.Result, err error) {
	query, args = c.w.skewed(query, args)
	err = c.around(query, func() error {
		res, err = c.Conn.(driver.ExecerContext).ExecContext(ctx, query, args)
		return err
	})
	return res, err
}

func (c *wireConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (rows driver.Rows, err error) {
	query, args = c.w.skewed(query, args)
	err = c.around(query, func() error {
		rows, err = c.Conn.(driver.QueryerContext).QueryContext(ctx, query, args)
		return err
	})
	return rows, err
}

// skewed is what a runner would say whose clock is wrong. It has a time of its clock in two places: those that it writes to the ledger, and SQLite's
// clock, which runs in its process.
func (w *wire) skewed(query string, args []driver.NamedValue) (string, []driver.NamedValue) {
	if w.skew == 0 {
		return query, args
	}
	const layout = "2006-01-02T15:04:05.000000Z"
	query = strings.ReplaceAll(query, "julianday('now')", fmt.Sprintf("julianday('now', '%+d seconds')", int(w.skew.Seconds())))
	args = slices.Clone(args)
	for i := range args {
		if text, ok := args[i].Value.(string); ok {
			if at, err := time.Parse(layout, text); err == nil {
				args[i].Value = at.Add(w.skew).Format(layout)
			}
		}
	}
	return query, args
}

func (c *wireConn) Ping(ctx context.Context) error {
	if p, ok := c.Conn.(driver.Pinger); ok {
		return p.Ping(ctx)
	}
	return nil
}

func (c *wireConn) CheckNamedValue(v *driver.NamedValue) error {
	if checker, ok := c.Conn.(driver.NamedValueChecker); ok {
		return checker.CheckNamedValue(v)
	}
	return driver.ErrSkip
}

func (c *wireConn) ResetSession(ctx context.Context) error {
	if r, ok := c.Conn.(driver.SessionResetter); ok {
		return r.ResetSession(ctx)
	}
	return nil
}

func (c *wireConn) IsValid() bool {
	if v, ok := c.Conn.(driver.Validator); ok {
		return v.IsValid()
	}
	return true
}

// killSelf ends this process as kill -9 does.
func killSelf() {
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {} // until it has happened
}

// recorder records what goes over its wire.
func recorder() (*wire, func() []string) {
	var mu sync.Mutex // guards what follows
	var all []string
	w := &wire{}
	w.before = func(_ int64, query string) {
		mu.Lock()
		defer mu.Unlock()
		all = append(all, query)
	}
	return w, func() []string {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(all)
	}
}

func isOurs(query string) bool {
	return strings.Contains(query, "buffkit_migrations") || strings.Contains(query, "pg_") || strings.Contains(strings.ToLower(query), "pragma") ||
		strings.HasPrefix(query, "SELECT 1") || strings.HasPrefix(query, "SET client_") || strings.HasPrefix(query, "SET lock_timeout") ||
		strings.Contains(query, "current_schema") || strings.Contains(query, "LOCK(") || strings.Contains(query, "DATABASE()") ||
		strings.Contains(query, "information_schema") || strings.HasPrefix(query, "SET SESSION lock_wait") || strings.Contains(query, "CONNECTION_ID()") ||
		strings.HasPrefix(query, "SHOW CREATE")
}

// "--dry-run" is worth something only if it is what happens.
func TestThePlanPrintsExactlyWhatUpSends(t *testing.T) {
	everywhere(t, func(t *testing.T, on target) {
		fsys := files(
			"1_a.up.sql", "-- about a\nCREATE TABLE a (id int, b varchar(20)); -- trailing\nINSERT INTO a VALUES (1, 'x;y');\n",
			"2_b.up.sql", "BEGIN;\nINSERT INTO a VALUES (2, '--');\nCOMMIT;\n",
			"3_none.up.sql", "",
			"4_c.up.sql", "-- no-transaction\nCREATE TABLE c (id int);\nINSERT INTO c VALUES (1)",
		)
		w, queries := recorder()
		db, err := w.open(on.fresh(t))
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		m := migrator(t, on, db, of(fsys))
		plan, err := m.Plan(t.Context(), upGoal)
		if err != nil {
			t.Fatal(err)
		}
		var printed strings.Builder
		if err := plan.Print(&printed); err != nil {
			t.Fatal(err)
		}
		if len(queries()) == 0 || has(t, db, "buffkit_migrations") {
			t.Fatal("the plan changed the database, or wasn't seen")
		}
		before := len(queries())
		if _, err := m.Up(t.Context()); err != nil {
			t.Fatal(err)
		}
		rest, transactions := printed.String(), 0
		for _, query := range queries()[before:] {
			switch {
			case isOurs(query):
			case query == "BEGIN" || query == "COMMIT" || query == "BEGIN IMMEDIATE" || query == "START TRANSACTION" || query == "ROLLBACK":
				transactions++
			default:
				_, behind, ok := strings.Cut(rest, "\n"+query+";\n")
				if !ok {
					t.Fatalf("%q was sent and isn't in what is left of the plan:\n%s", query, rest)
				}
				rest = "\n" + behind
			}
		}
		for line := range strings.Lines(rest) {
			if line = strings.TrimSpace(line); line != "" && line != "COMMIT;" && !strings.HasPrefix(line, "--") {
				t.Errorf("%q is in the plan and wasn't sent", line)
			}
		}
		if n := number(t, db, "SELECT count(*) FROM a"); n != 2 {
			t.Errorf("%d rows", n)
		}
		t.Logf("\n%s", printed.String())
	})
}

package migrate

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"
)

type sqlite struct{}

func (*sqlite) quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }
func (*sqlite) bind(query string) string { return query }

func (*sqlite) types() columnTypes {
	varchar := func(n int) string { return fmt.Sprintf("VARCHAR(%d)", n) }
	return columnTypes{long: "TEXT", key: varchar, text: varchar, options: " WITHOUT ROWID"} // a commit writes a page less
}

func (*sqlite) rollsBackDDL() bool { return true }

// begin takes the write lock at once: a transaction that reads first and writes then can be refused in between.
func (*sqlite) begin() string { return "BEGIN IMMEDIATE" }

// cancels: drivers of SQLite interrupt a statement when its context ends.
func (*sqlite) cancels() bool { return false }

func (*sqlite) cancel(context.Context, querier, int64) error { return nil }

func (*sqlite) clock() string {
	return "CAST((julianday('now') - 2440587.5) * 86400000000.0 AS INTEGER)"
}

func (*sqlite) schema(context.Context, querier) (string, error) { return "main", nil }

func (*sqlite) columns(ctx context.Context, q querier, schema, table string) ([]string, error) {
	return texts(ctx, q, "SELECT name FROM pragma_table_info(?, ?)", table, schema)
}

func (*sqlite) others(context.Context, querier, string) ([]string, error) { return nil, nil }

func (*sqlite) loose(context.Context, querier, string) ([]string, error) { return nil, nil }

// busyTimeout is how long a statement waits for other connections' writes, at least; the runner itself waits longer, and can be stopped.
const busyTimeout = 2 * time.Second

func (*sqlite) prepare(ctx context.Context, q querier) (undo string, err error) {
	var old int64
	if err := q.QueryRowContext(ctx, "PRAGMA busy_timeout").Scan(&old); err != nil {
		return "", err
	}
	if old >= busyTimeout.Milliseconds() {
		return "", nil
	}
	_, err = q.ExecContext(ctx, "PRAGMA busy_timeout = "+strconv.FormatInt(busyTimeout.Milliseconds(), 10))
	return "PRAGMA busy_timeout = " + strconv.FormatInt(old, 10), err
}

func (*sqlite) open(context.Context, querier, string) (int64, error) { return 0, nil }

func (*sqlite) reset() string { return "" }

func (*sqlite) waitForLocks(context.Context, querier, bool) error { return nil }

func (*sqlite) blockers(context.Context, querier, int64) ([]string, error) { return nil, nil }

// SQLite has no locks of a connection's: its runner takes a lease.

func (*sqlite) tryLock(context.Context, querier, lockName) (bool, error) { return true, nil }

func (*sqlite) unlock(context.Context, querier, lockName) error { return nil }

func (*sqlite) holder(context.Context, querier, lockName) (*Holder, error) { return nil, nil }

// probe isn't needed: what can't be in a transaction in SQLite may be done twice.
func (*sqlite) probe(context.Context, querier, []object) (string, error) { return "", nil }

// judge knows errors by their text, since each driver has a type of its own and the text is SQLite's.
func (*sqlite) judge(err error) fault {
	text := err.Error()
	f := fault{busy: strings.Contains(text, "database is locked") || strings.Contains(text, "SQLITE_BUSY")}
	switch {
	case strings.Contains(text, "readonly database") || strings.Contains(text, "read-only") || strings.Contains(text, "SQLITE_READONLY"):
		f.hint = "the file, its folder, or the connection is read-only: SQLite must be able to write to both"
	case strings.Contains(text, "unable to open database file"):
		f.hint = "its folder must be there, and this user able to read and write the file: give the right name"
	case strings.Contains(text, "file is not a database"):
		f.hint = "the file is something else, or encrypted: give the right name"
	case strings.Contains(text, "disk is full") || strings.Contains(text, "SQLITE_FULL"):
		f.hint = "the disk is full: make room and run it again"
	case strings.Contains(text, "disk I/O error"):
		f.hint = "the disk may be full, or the file can't be written"
	}
	return f
}

func (*sqlite) hopeless(err error) bool {
	text := err.Error()
	return strings.Contains(text, "unable to open database file") || strings.Contains(text, "file is not a database")
}

func (*sqlite) progress(context.Context, querier, int64) (string, float64, error) { return "", -1, nil }

// size is that of the whole database.
func (*sqlite) size(ctx context.Context, q querier, _ string) (bytes int64, err error) {
	err = q.QueryRowContext(ctx, "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size").Scan(&bytes)
	return bytes, err
}

func (*sqlite) locks(context.Context, querier) ([]string, error) { return nil, nil }

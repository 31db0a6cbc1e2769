package live

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	"github.com/buffkit/buffkit/migrate"
	"github.com/buffkit/buffkit/migrate/dialect"
	"github.com/buffkit/buffkit/migrate/lint"
)

// DB is a connection. What it is set to in MySQL, fresh statistics, does no harm in a pool.
type DB interface {
	// ExecContext is that of database/sql.
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	// QueryRowContext is that of database/sql.
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

var _ DB = migrate.DB(nil)

// Options returns options for the linter that know a server: its version, the sizes of its tables, and what our runner does by itself. The
// base may be nil. The Rows in it ask the database as long as they are called, with the context.
func Options(ctx context.Context, db DB, d dialect.Dialect, base *lint.Options) (*lint.Options, error) {
	var o lint.Options
	if base != nil {
		o = *base
	}
	o.Runner = lint.Runner{LockTimeout: true, ForeignKeysOff: true}
	if err := db.QueryRowContext(ctx, versions[d]).Scan(&o.Version); err != nil {
		return nil, fmt.Errorf("live: ask %s for its version: %w", d.Title(), err)
	}
	if d == dialect.MySQL { // it keeps numbers of rows for a day; MariaDB doesn't
		_, _ = db.ExecContext(ctx, "SET SESSION information_schema_stats_expiry = 0")
	}
	o.Rows = func(table string) (int64, bool) { return rows(ctx, db, d, table) }
	return &o, nil
}

var versions = map[dialect.Dialect]string{
	dialect.Postgres: "SHOW server_version", dialect.MySQL: "SELECT VERSION()", dialect.MariaDB: "SELECT VERSION()", dialect.SQLite: "SELECT sqlite_version()",
}

// sizes are queries by schema, which may be empty, and table; NULL isn't known. Names are compared without case, the very same one first: the
// linter's have no quotes any more.
//
// PostgreSQL counts the rows of partitions with their table. What was never analyzed and has no statistics of changes isn't known.
// MySQL and MariaDB estimate from a few pages.
var sizes = map[dialect.Dialect]string{
	dialect.Postgres: `SELECT (SELECT CASE WHEN bool_and(k.reltuples < 0 AND pg_catalog.pg_stat_get_live_tuples(k.oid) = 0) THEN NULL
  ELSE sum(GREATEST(k.reltuples, pg_catalog.pg_stat_get_live_tuples(k.oid), 0))::bigint END
  FROM pg_catalog.pg_class k WHERE k.oid = c.oid AND c.relkind <> 'p' OR k.relkind <> 'p' AND k.oid IN (
    WITH RECURSIVE part AS (SELECT inhrelid FROM pg_catalog.pg_inherits WHERE inhparent = c.oid
      UNION SELECT i.inhrelid FROM pg_catalog.pg_inherits i JOIN part ON i.inhparent = part.inhrelid) SELECT inhrelid FROM part))
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE lower(c.relname) = lower($2::text) AND c.relkind IN ('r', 'p', 'm')
  AND CASE WHEN $1::text = '' THEN pg_catalog.pg_table_is_visible(c.oid) ELSE lower(n.nspname) = lower($1::text) END
ORDER BY c.relname <> $2::text LIMIT 1`,
	dialect.MySQL:   mysqlSize,
	dialect.MariaDB: mysqlSize,
}

const mysqlSize = "SELECT table_rows FROM information_schema.tables WHERE table_schema = COALESCE(NULLIF(?, ''), DATABASE()) AND table_name = ?"

// mostCounted is where counting ends in SQLite: a larger table is as large as that to the linter.
const mostCounted = lint.DefaultLargeTable

func rows(ctx context.Context, db DB, d dialect.Dialect, name string) (n int64, known bool) {
	schema, table, ok := strings.Cut(name, ".")
	if !ok {
		schema, table = "", name
	}
	query, args := sizes[d], []any{schema, table}
	if d == dialect.SQLite {
		query, args = fmt.Sprintf("SELECT count(*) FROM (SELECT 1 FROM %s LIMIT %d)", sqliteName(schema, table), mostCounted), nil
	}
	var found sql.NullInt64
	if err := db.QueryRowContext(ctx, query, args...).Scan(&found); err != nil {
		return 0, false // it isn't there, or may not be read
	}
	return found.Int64, found.Valid
}

func sqliteName(schema, table string) string {
	quoted := `"` + strings.ReplaceAll(table, `"`, `""`) + `"`
	if schema == "" {
		return quoted
	}
	return `"` + strings.ReplaceAll(schema, `"`, `""`) + `".` + quoted
}

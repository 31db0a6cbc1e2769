package seed

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/buffkit/buffkit/migrate/dialect"
)

// findKey asks for the primary key, or sees that the key which the file names is one: MySQL and MariaDB would add rows twice without.
func (w *writer) findKey(ctx context.Context) error {
	w.keyed = true
	if w.insert {
		return nil
	}
	if len(w.key) == 0 {
		key, err := w.names(ctx, primaryKeys[w.dialect])
		if err != nil {
			return fmt.Errorf("%s: ask for the primary key of %s: %w", w.path, w.table, err)
		}
		if len(key) == 0 {
			return fmt.Errorf("%s: there is no table %s, or it has no primary key: give the table (# table: NAME), a unique key (# key: COLUMN), or write # insert",
				w.path, w.table)
		}
		w.key = key
		return nil
	}
	if w.dialect != dialect.MySQL && w.dialect != dialect.MariaDB {
		return nil // they refuse a key that isn't unique
	}
	indexes, err := w.names(ctx, "SELECT GROUP_CONCAT(column_name ORDER BY column_name) FROM information_schema.statistics"+
		" WHERE table_schema = COALESCE(NULLIF(?, ''), DATABASE()) AND table_name = ? AND non_unique = 0 GROUP BY index_name"+
		" HAVING COUNT(column_name) = COUNT(*) AND COUNT(sub_part) = 0") // no expressions, and no prefixes
	if err != nil {
		return fmt.Errorf("%s: ask for the unique keys of %s: %w", w.path, w.table, err)
	}
	if !slices.Contains(indexes, strings.Join(slices.Sorted(slices.Values(w.key)), ",")) {
		return fmt.Errorf("%s: %s has no unique index on the whole of %s, so a second run would add its rows again, or change others: make one, or name another key", w.path, w.table,
			strings.Join(w.key, ", "))
	}
	return nil
}

// primaryKeys are queries by schema, which may be empty, and table.
var primaryKeys = map[dialect.Dialect]string{
	dialect.Postgres: "SELECT a.attname FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indrelid" +
		" JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = ANY (i.indkey)" +
		" WHERE i.indisprimary AND CASE WHEN $1::text = '' THEN pg_catalog.pg_table_is_visible(c.oid) ELSE n.nspname = $1::text END AND c.relname = $2::text" +
		" ORDER BY array_position(i.indkey::int2[], a.attnum)",
	dialect.MySQL:   mysqlKey,
	dialect.MariaDB: mysqlKey,
	dialect.SQLite:  "SELECT name FROM pragma_table_info(?2, CASE ?1 WHEN '' THEN 'main' ELSE ?1 END) WHERE pk > 0 ORDER BY pk",
}

const mysqlKey = "SELECT column_name FROM information_schema.key_column_usage WHERE constraint_name = 'PRIMARY'" +
	" AND table_schema = COALESCE(NULLIF(?, ''), DATABASE()) AND table_name = ? ORDER BY ordinal_position"

// names runs a query by schema and table.
func (w *writer) names(ctx context.Context, query string) (all []string, err error) {
	schema, table, ok := strings.Cut(w.table, ".")
	if !ok {
		schema, table = "", w.table
	}
	rows, err := w.db.QueryContext(ctx, query, schema, table)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, err
		}
		all = append(all, name)
	}
	return all, rows.Err()
}

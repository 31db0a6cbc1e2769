package migratetest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/buffkit/buffkit/migrate"
	"github.com/buffkit/buffkit/migrate/dialect"
)

// Database is a database of a kind.
type Database struct {
	DB      *sql.DB
	Dialect dialect.Dialect
}

// Parity applies the same migrations to two empty databases of different kinds, and compares the tables: their names, their
// columns in order, whether these may be NULL, primary keys, and the family of types: numbers, text, time, bytes. UUIDs, JSON and enums count as text, which is what
// a database without them has; and SQLite may keep a time as text or as a number.
func Parity(ctx context.Context, a, b Database, o Options) error {
	left, err := a.tables(ctx, o)
	if err != nil {
		return err
	}
	right, err := b.tables(ctx, o)
	if err != nil {
		return err
	}
	var faults []error
	names := map[string]bool{}
	for name := range left {
		names[name] = true
	}
	for name := range right {
		names[name] = true
	}
	for name := range names {
		switch l, r := left[name], right[name]; {
		case l == nil:
			faults = append(faults, fmt.Errorf("migratetest: the table %s is in %s alone", name, b.Dialect.Title()))
		case r == nil:
			faults = append(faults, fmt.Errorf("migratetest: the table %s is in %s alone", name, a.Dialect.Title()))
		default:
			faults = append(faults, compare(name, a, b, l, r)...)
		}
	}
	slices.SortFunc(faults, func(x, y error) int { return strings.Compare(x.Error(), y.Error()) })
	return errors.Join(faults...)
}

// column is one of a table's.
type column struct {
	name     string
	family   string // number, text, time, bytes; "" if it may hold anything
	typeName string
	notNull  bool
	key      int64 // its place in the primary key, 0 if it isn't in it
}

func (c column) String() string {
	text := c.name + " " + c.typeName
	if c.notNull {
		text += " not null"
	}
	if c.key > 0 {
		text += fmt.Sprintf(", number %d of the primary key", c.key)
	}
	return text
}

func compare(table string, a, b Database, left, right []column) (faults []error) {
	for i := range max(len(left), len(right)) {
		var l, r column
		if i < len(left) {
			l = left[i]
		}
		if i < len(right) {
			r = right[i]
		}
		if l.name == r.name && alike(l, r, a.Dialect == dialect.SQLite || b.Dialect == dialect.SQLite) {
			continue
		}
		faults = append(faults, fmt.Errorf("migratetest: column %d of %s is %q in %s and %q in %s", i+1, table, l, a.Dialect.Title(), r, b.Dialect.Title()))
	}
	return faults
}

// alike lets a column of a primary key be called NOT NULL or not: it is, except in SQLite.
func alike(l, r column, sqlite bool) bool {
	nulls := l.notNull == r.notNull || l.key > 0
	family := l.family == r.family || l.family == "" || r.family == "" || sqlite && (l.family == "time" || r.family == "time") && l.family != "bytes" && r.family != "bytes"
	return nulls && family && l.key == r.key
}

func (d Database) tables(ctx context.Context, o Options) (map[string][]column, error) {
	m, err := migrate.New(d.DB, d.Dialect, &o.Migrate)
	if err != nil {
		return nil, err
	}
	if _, err := m.Up(ctx); err != nil {
		return nil, fmt.Errorf("migratetest: up on %s: %w", d.Dialect.Title(), err)
	}
	rows, err := d.DB.QueryContext(ctx, columnsOf[d.Dialect])
	if err != nil {
		return nil, fmt.Errorf("migratetest: read the columns of %s: %w", d.Dialect.Title(), err)
	}
	defer rows.Close()
	ledger := o.Migrate.Table
	if ledger == "" {
		ledger = migrate.DefaultTable
	}
	tables := map[string][]column{}
	for rows.Next() {
		var table string
		var c column
		if err := rows.Scan(&table, &c.name, &c.typeName, &c.notNull, &c.key); err != nil {
			return nil, err
		}
		if table == ledger || table == ledger+"_journal" || table == ledger+"_lock" {
			continue
		}
		c.name, c.typeName = strings.ToLower(c.name), strings.ToLower(c.typeName)
		c.family = familyOf(c.typeName)
		tables[strings.ToLower(table)] = append(tables[strings.ToLower(table)], c)
	}
	return tables, rows.Err()
}

// families are looked for in the name of a type, the first that is in it counts.
var families = []struct{ part, family string }{
	{"interval", "time"}, {"point", ""}, {"geom", ""}, {"range", ""}, {"[]", ""}, {"array", ""},
	{"date", "time"}, {"time", "time"}, {"year", "number"},
	{"bool", "number"}, {"int", "number"}, {"serial", "number"}, {"num", "number"}, {"dec", "number"}, {"real", "number"}, {"float", "number"}, {"double", "number"}, {"bit", "number"},
	{"blob", "bytes"}, {"bytea", "bytes"}, {"binary", "bytes"},
	{"char", "text"}, {"text", "text"}, {"clob", "text"}, {"uuid", "text"}, {"json", "text"}, {"enum", "text"}, {"set", "text"}, {"inet", "text"}, {"xml", "text"}, {"string", "text"},
}

func familyOf(typeName string) string {
	for _, f := range families {
		if strings.Contains(typeName, f.part) {
			return f.family
		}
	}
	return "" // an own type
}

// columnsOf are table, column, type, not null, place in the primary key; in the order of the tables' columns.
var columnsOf = map[dialect.Dialect]string{
	dialect.Postgres: `SELECT c.relname, a.attname, CASE t.typtype WHEN 'e' THEN 'enum' WHEN 'd' THEN format_type(t.typbasetype, NULL) ELSE format_type(a.atttypid, NULL) END, a.attnotnull,
			COALESCE(array_position(i.indkey::smallint[], a.attnum) + 1, 0)
		FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped JOIN pg_type t ON t.oid = a.atttypid
		LEFT JOIN pg_index i ON i.indrelid = c.oid AND i.indisprimary
		WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relnamespace = current_schema()::regnamespace ORDER BY c.relname, a.attnum`,
	dialect.MySQL:   columnsOfMySQL,
	dialect.MariaDB: columnsOfMySQL,
	dialect.SQLite: `SELECT l.name, c.name, c.type, c."notnull", c.pk FROM pragma_table_list l JOIN pragma_table_xinfo(l.name) c
		WHERE l.schema = 'main' AND l.type = 'table' AND l.name NOT LIKE 'sqlite\_%' ESCAPE '\' ORDER BY l.name, c.cid`,
}

const columnsOfMySQL = `SELECT c.table_name, c.column_name, c.data_type, c.is_nullable = 'NO', COALESCE(k.ordinal_position, 0)
	FROM information_schema.columns c JOIN information_schema.tables t ON t.table_schema = c.table_schema AND t.table_name = c.table_name AND t.table_type <> 'VIEW'
	LEFT JOIN information_schema.key_column_usage k ON k.table_schema = c.table_schema AND k.table_name = c.table_name AND k.column_name = c.column_name AND k.constraint_name = 'PRIMARY'
	WHERE c.table_schema = DATABASE() ORDER BY c.table_name, c.ordinal_position`

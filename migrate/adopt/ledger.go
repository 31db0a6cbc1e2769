package adopt

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/buffkit/buffkit/migrate"
	"github.com/buffkit/buffkit/migrate/dialect"
)

// ErrNoLedger is returned where no table is the ledger of a tool.
var ErrNoLedger = errors.New("adopt: no ledger")

// table is one that may be a ledger.
type table struct {
	name    string            // as it was given
	quoted  string            // for SQL
	columns map[string]string // name in lower case to type in lower case; empty if there is no such table
}

// look reads the columns of a table, NAME or SCHEMA.NAME, without the table's rows.
func look(ctx context.Context, db migrate.DB, d dialect.Dialect, name string) (*table, error) {
	schema, plain, qualified := strings.Cut(name, ".")
	if !qualified {
		schema, plain = "", name
	}
	query, args := columnsQuery(d, schema, plain)
	rows, err := db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("adopt: look for %s: %w", name, err)
	}
	defer rows.Close()
	t := &table{name: name, quoted: quote(d, plain), columns: map[string]string{}}
	if schema != "" {
		t.quoted = quote(d, schema) + "." + t.quoted
	}
	for rows.Next() {
		var column, kind string
		if err := rows.Scan(&column, &kind); err != nil {
			return nil, fmt.Errorf("adopt: look for %s: %w", name, err)
		}
		t.columns[strings.ToLower(column)] = strings.ToLower(kind)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("adopt: look for %s: %w", name, err)
	}
	return t, nil
}

func columnsQuery(d dialect.Dialect, schema, name string) (query string, args []any) {
	switch d {
	case dialect.Postgres:
		return "SELECT a.attname, pg_catalog.format_type(a.atttypid, NULL) FROM pg_catalog.pg_attribute a" +
			" JOIN pg_catalog.pg_class c ON c.oid = a.attrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace" +
			" WHERE n.nspname = COALESCE(NULLIF($1, ''), current_schema()) AND c.relname = $2 AND a.attnum > 0 AND NOT a.attisdropped", []any{schema, name}
	case dialect.SQLite:
		if schema == "" {
			schema = "main"
		}
		return "SELECT name, type FROM pragma_table_info(?, ?)", []any{name, schema}
	}
	return "SELECT column_name, data_type FROM information_schema.columns WHERE table_schema = COALESCE(NULLIF(?, ''), DATABASE()) AND table_name = ?",
		[]any{schema, name}
}

func quote(d dialect.Dialect, name string) string {
	mark := `"`
	if d == dialect.MySQL || d == dialect.MariaDB {
		mark = "`"
	}
	return mark + strings.ReplaceAll(name, mark, mark+mark) + mark
}

func (t *table) has(columns ...string) bool {
	for _, c := range columns {
		if _, ok := t.columns[c]; !ok {
			return false
		}
	}
	return len(t.columns) > 0
}

// shape returns the tools whose ledgers look like this.
func (t *table) shape() []Tool {
	counts := t.has("version") && len(t.columns) == 1
	number := strings.Contains(t.columns["version"], "int")
	switch {
	case t.has("version_id", "is_applied"):
		return []Tool{Goose}
	case t.has("version", "dirty"):
		return []Tool{GolangMigrate}
	case t.has("name", "group_id", "migrated_at"):
		return []Tool{Bun}
	case t.has("id", "applied_at") && len(t.columns) == 2:
		return []Tool{SQLMigrate}
	case counts && number:
		return []Tool{Tern}
	case counts:
		return []Tool{Dbmate, Pop}
	}
	return nil
}

// Options of Find and History. nil and the zero value mean the defaults.
type Options struct {
	// Table is the tool's ledger, NAME or SCHEMA.NAME. Default: the tool's own default, in the schema that is current.
	Table string
}

func (o *Options) table(t Tool) string {
	if o != nil && o.Table != "" {
		return o.Table
	}
	return t.table()
}

// Find tells whose migrations a folder and a database hold: the shape of the ledger and that of the files must agree. It only reads.
//
// The error wraps ErrNoLedger if there is no ledger. Where several tools fit, or none, it says which ones were looked at.
func Find(ctx context.Context, fsys fs.FS, db *sql.DB, d dialect.Dialect, opts *Options) (Tool, error) {
	ledgers, err := ledgersOf(ctx, db, d, opts)
	if err != nil {
		return "", err
	}
	folders, err := foldersOf(fsys)
	if err != nil {
		return "", err
	}
	if len(ledgers) == 0 {
		return "", fmt.Errorf("%w of %s is in the database's current schema: is it the right database? If the tool was told another table, give that (--ledger);"+
			" if it kept none, use baseline", ErrNoLedger, list(Tools(), "or"))
	}
	var both []Tool
	for _, t := range ledgers {
		if slices.Contains(folders, t) {
			both = append(both, t)
		}
	}
	switch {
	case len(both) == 1:
		return both[0], nil
	case len(both) > 1:
		return "", fmt.Errorf("adopt: folder and database may be those of %s: say which (--from)", list(both, "and of"))
	case len(folders) == 0:
		return "", fmt.Errorf("adopt: the database has the ledger of %s, but the folder has no file of a migration: give the right one", list(ledgers, "or"))
	}
	return "", fmt.Errorf("adopt: the database has the ledger of %s, but the folder looks like that of %s: give the right one, or say which tool it is (--from)",
		list(ledgers, "or"), list(folders, "or"))
}

// ledgersOf returns the tools whose ledgers are there.
func ledgersOf(ctx context.Context, db *sql.DB, d dialect.Dialect, opts *Options) (all []Tool, err error) {
	for _, tool := range Tools() {
		t, err := look(ctx, db, d, opts.table(tool))
		if err != nil {
			return nil, err
		}
		if slices.Contains(t.shape(), tool) {
			all = append(all, tool)
		}
	}
	return all, nil
}

package seed

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/buffkit/buffkit/migrate"
	"github.com/buffkit/buffkit/migrate/dialect"
)

// write sends the rows, if they are still those that were planned.
func (d *data) write(ctx context.Context, db migrate.DB, on dialect.Dialect, batchRows int) error {
	t, err := d.open()
	if err != nil {
		return err
	}
	defer t.Close()
	w := &writer{data: d, db: db, dialect: on, most: batchRows}
	err = w.all(ctx, d.format(t.Reader, d))
	if _, unread := io.Copy(io.Discard, t); unread == nil && t.sum.String() != d.checksum {
		changed := fmt.Errorf("%w: %s isn't what it was when this run was planned: run it again", migrate.ErrChanged, d.path)
		return errors.Join(changed, err)
	}
	return err
}

// all sends rows in batches.
func (w *writer) all(ctx context.Context, rows rows) error {
	for {
		r, err := rows.next()
		if err == io.EOF { // and no error around one: that is a file which ends too early
			return w.flush(ctx)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", w.path, err)
		}
		if err := w.add(ctx, r); err != nil {
			return err
		}
	}
}

// writer gathers rows of the same columns into one statement.
type writer struct {
	*data
	db      migrate.DB
	dialect dialect.Dialect
	most    int

	keyed    bool // key was looked up
	columns  []string
	keyAt    []int // where the key is among the columns
	args     []any
	keys     map[string]bool // of the batch: a statement can't change a row twice
	n, bytes int
	from, to int // lines
	query    string
	rows     int // that query is for
}

// maxArgs is how many values a statement may have: 16 bits on the wire; in SQLite the default since 3.32.
func (w *writer) maxArgs() int {
	if w.dialect == dialect.SQLite {
		return 32766
	}
	return 65535
}

func (w *writer) add(ctx context.Context, r row) error {
	if !w.keyed {
		if err := w.findKey(ctx); err != nil {
			return err
		}
	}
	if !slices.Equal(r.columns, w.columns) {
		if err := w.flush(ctx); err != nil {
			return err
		}
		if err := w.begin(r); err != nil {
			return err
		}
	}
	key := w.keyOf(r)
	if w.n == w.most || w.bytes+r.size > maxBatchBytes && w.n > 0 || (w.n+1)*len(w.columns) > w.maxArgs() || key != "" && w.keys[key] {
		if err := w.flush(ctx); err != nil {
			return err
		}
	}
	if w.n == 0 {
		w.from = r.line
	}
	if key != "" {
		w.keys[key] = true
	}
	w.n, w.bytes, w.to = w.n+1, w.bytes+r.size, r.line
	for _, v := range r.values {
		w.args = append(w.args, w.arg(v))
	}
	return nil
}

// begin takes the columns of the rows that follow.
func (w *writer) begin(r row) error {
	w.columns, w.keyAt, w.query = slices.Clone(r.columns), nil, ""
	w.keys = map[string]bool{}
	for i, c := range w.columns {
		if slices.Contains(w.columns[:i], c) {
			return fmt.Errorf("%s: %sthe column %s is there twice", w.path, place(r.line, r.line), c)
		}
	}
	if w.insert {
		return nil
	}
	for _, k := range w.key {
		i := slices.Index(w.columns, k)
		if i < 0 {
			return fmt.Errorf("%s: %sthe row has no %s, which is the key of %s: give it, name another key (# key:), or write # insert", w.path,
				place(r.line, r.line), k, w.table)
		}
		w.keyAt = append(w.keyAt, i)
	}
	return nil
}

// keyOf is the row's key as a text, "" without one.
func (w *writer) keyOf(r row) string {
	if len(w.keyAt) == 0 {
		return ""
	}
	var b strings.Builder
	for _, i := range w.keyAt {
		fmt.Fprintf(&b, "%q,", fmt.Sprint(r.values[i]))
	}
	return b.String()
}

// arg is a value as drivers take it for a column of any type. PostgreSQL reads everything from text. A number that is no int64 is text, of which
// a column of numbers makes one, and a column of text keeps each digit.
func (w *writer) arg(v any) any {
	switch v := v.(type) {
	case json.Number:
		if n, err := v.Int64(); err == nil && w.dialect != dialect.Postgres {
			return n
		}
		return v.String()
	case bool:
		if w.dialect == dialect.Postgres {
			return strconv.FormatBool(v)
		}
	}
	return v
}

func (w *writer) flush(ctx context.Context) error {
	if w.n == 0 {
		return nil
	}
	if w.query == "" || w.rows != w.n {
		w.query, w.rows = w.statement(), w.n
	}
	if _, err := w.db.ExecContext(ctx, w.query, w.args...); err != nil {
		return fmt.Errorf("%s: %sinto %s: %w", w.path, place(w.from, w.to), w.table, err)
	}
	clear(w.args)
	w.args, w.n, w.bytes = w.args[:0], 0, 0
	clear(w.keys)
	return nil
}

func place(from, to int) string {
	switch {
	case from == 0:
		return ""
	case from == to:
		return fmt.Sprintf("line %d: ", from)
	}
	return fmt.Sprintf("lines %d to %d: ", from, to)
}

// statement writes the INSERT for a batch.
func (w *writer) statement() string {
	var b strings.Builder
	names := make([]string, len(w.columns))
	for i, c := range w.columns {
		names[i] = w.quote(c)
	}
	fmt.Fprintf(&b, "INSERT INTO %s (%s) VALUES ", w.quotedTable(), strings.Join(names, ", "))
	n := 0
	for i := range w.n {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteByte('(')
		for j := range w.columns {
			if j > 0 {
				b.WriteString(", ")
			}
			n++
			if w.dialect == dialect.Postgres {
				b.WriteString("$" + strconv.Itoa(n))
			} else {
				b.WriteByte('?')
			}
		}
		b.WriteByte(')')
	}
	if !w.insert {
		b.WriteString(Upsert(w.dialect, w.columns, w.key))
	}
	return b.String()
}

func (w *writer) quote(name string) string { return quote(w.dialect, name) }

// quotedTable quotes each part of schema.table.
func (w *writer) quotedTable() string {
	parts := strings.Split(w.table, ".")
	for i, p := range parts {
		parts[i] = w.quote(p)
	}
	return strings.Join(parts, ".")
}

func quote(d dialect.Dialect, name string) string {
	if d == dialect.MySQL || d == dialect.MariaDB {
		return "`" + strings.ReplaceAll(name, "`", "``") + "`"
	}
	return `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
}

// Upsert returns what stands behind INSERT … VALUES (…), so that a row whose key is there already is changed instead. If all columns are
// the key it is left as it is. For code that seeds by itself.
//
// MySQL and MariaDB know no key there: a row that meets another one in any unique index changes it.
func Upsert(d dialect.Dialect, columns, key []string) string {
	var sets []string
	for _, c := range columns {
		if slices.Contains(key, c) {
			continue
		}
		q := quote(d, c)
		switch d {
		case dialect.MySQL:
			sets = append(sets, q+" = new_row."+q)
		case dialect.MariaDB:
			sets = append(sets, q+" = VALUES("+q+")")
		default:
			sets = append(sets, q+" = excluded."+q)
		}
	}
	keys := make([]string, len(key))
	for i, k := range key {
		keys[i] = quote(d, k)
	}
	switch {
	case d == dialect.MySQL && len(sets) > 0:
		return " AS new_row ON DUPLICATE KEY UPDATE " + strings.Join(sets, ", ")
	case d == dialect.MariaDB && len(sets) > 0:
		return " ON DUPLICATE KEY UPDATE " + strings.Join(sets, ", ")
	case d == dialect.MySQL, d == dialect.MariaDB:
		return " ON DUPLICATE KEY UPDATE " + keys[0] + " = " + keys[0]
	case len(sets) > 0:
		return " ON CONFLICT (" + strings.Join(keys, ", ") + ") DO UPDATE SET " + strings.Join(sets, ", ")
	}
	return " ON CONFLICT (" + strings.Join(keys, ", ") + ") DO NOTHING"
}

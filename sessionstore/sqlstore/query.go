package sqlstore

import (
	"encoding/hex"
	"strconv"
	"strings"

	"github.com/buffkit/buffkit/migrate/dialect"
)

// query is a statement with its arguments. PostgreSQL gets arguments, lists of them as the text of an array, so that a statement of any size has one text, which is
// prepared once. The others get numbers and bytes as literals: most of their drivers prepare a statement with arguments each time, which costs two more round trips.
type query struct {
	text string
	args []any
}

// Parts of a query, besides text as it stands (string) and single values (int64, []byte).
type (
	keys  [][]byte   // a condition: to be one of them. There is one at least
	clock struct{}   // an expression: microseconds since 1970
	table [][]any    // rows to insert, of int64, []byte and nil
	lock  lockOption // behind a SELECT: for update
)

type lockOption int

const (
	wait lockOption = iota
	skip            // what others have locked
)

// query writes a statement of its parts.
func (s *Store) query(parts ...any) query {
	w := &writer{dialect: s.dialect}
	for _, part := range parts {
		w.part(part)
	}
	return query{w.String(), w.args}
}

type writer struct {
	strings.Builder
	dialect dialect.Dialect
	args    []any
}

func (w *writer) part(part any) {
	switch part := part.(type) {
	case string:
		w.WriteString(part)
	case int64, []byte:
		w.value(part)
	case keys:
		w.keys(part)
	case clock:
		w.WriteString(clocks[w.dialect])
		if w.dialect == dialect.SQLite {
			w.WriteString(strconv.FormatInt(localClock(), 10))
		}
	case table:
		w.table(part)
	case lock:
		w.lock(lockOption(part))
	}
}

var clocks = map[dialect.Dialect]string{
	dialect.Postgres: "(extract(epoch FROM statement_timestamp()) * 1000000)::bigint", // of a statement: an index can be asked for what is older
	dialect.MySQL:    "timestampdiff(MICROSECOND, '1970-01-01', utc_timestamp(6))",    // unix_timestamp repeats an hour where summer time ends
	dialect.MariaDB:  "timestampdiff(MICROSECOND, '1970-01-01', utc_timestamp(6))",
	dialect.SQLite:   "",
}

func (w *writer) arg(value any) string {
	w.args = append(w.args, value)
	return "$" + strconv.Itoa(len(w.args))
}

func (w *writer) value(value any) {
	if w.dialect == dialect.Postgres {
		w.WriteString(w.arg(value))
		return
	}
	w.WriteString(literal(value, "x'", "'"))
}

// literal writes a number, or bytes in hexadecimal digits between quotes.
func literal(value any, open, end string) string {
	switch value := value.(type) {
	case int64:
		return strconv.FormatInt(value, 10)
	case []byte:
		return open + hex.EncodeToString(value) + end
	}
	return "NULL"
}

func (w *writer) keys(keys keys) {
	if w.dialect == dialect.Postgres {
		column := make([]any, len(keys))
		for i, key := range keys {
			column[i] = key
		}
		w.WriteString(" IN (SELECT unnest(" + w.array(column) + "))") // with = ANY the array is parsed again for each row that is looked at
		return
	}
	w.WriteString(" IN (")
	for i, key := range keys {
		if i > 0 {
			w.WriteByte(',')
		}
		w.value(key)
	}
	w.WriteByte(')')
}

// array is an argument: the values of a column, which are of one type or nil.
func (w *writer) array(column []any) string {
	kind := "bigint[]"
	var text strings.Builder
	text.WriteByte('{')
	for i, value := range column {
		if i > 0 {
			text.WriteByte(',')
		}
		if _, ok := value.([]byte); ok {
			kind = "bytea[]"
		}
		text.WriteString(literal(value, `"\\x`, `"`))
	}
	text.WriteByte('}')
	return w.arg(text.String()) + "::text::" + kind
}

func (w *writer) table(rows table) {
	if w.dialect != dialect.Postgres {
		w.WriteString(" VALUES ")
		for i, row := range rows {
			if i > 0 {
				w.WriteByte(',')
			}
			w.row(row)
		}
		return
	}
	w.WriteString(" SELECT * FROM unnest(")
	for i := range rows[0] {
		if i > 0 {
			w.WriteByte(',')
		}
		column := make([]any, len(rows))
		for j, row := range rows {
			column[j] = row[i]
		}
		w.WriteString(w.array(column))
	}
	w.WriteByte(')')
}

func (w *writer) row(row []any) {
	w.WriteByte('(')
	for i, value := range row {
		if i > 0 {
			w.WriteByte(',')
		}
		w.value(value)
	}
	w.WriteByte(')')
}

func (w *writer) lock(option lockOption) {
	if w.dialect == dialect.SQLite {
		return // a transaction has the file
	}
	w.WriteString(" FOR UPDATE")
	if option == skip {
		w.WriteString(" SKIP LOCKED")
	}
}

// upsert is an INSERT of rows that replaces the columns behind the key of a row that is there.
func (s *Store) upsert(name string, key, columns []string, rows table) query {
	all := strings.Join(append(key[:len(key):len(key)], columns...), ", ")
	into := "INSERT INTO " + name + " (" + all + ")"
	switch s.dialect {
	case dialect.MySQL:
		return s.query(into, rows, " AS new ON DUPLICATE KEY UPDATE "+sets(columns, "new.", ""))
	case dialect.MariaDB:
		return s.query(into, rows, " ON DUPLICATE KEY UPDATE "+sets(columns, "VALUES(", ")"))
	}
	return s.query(into, rows, " ON CONFLICT ("+strings.Join(key, ", ")+") DO UPDATE SET "+sets(columns, "excluded.", ""))
}

// sets sets columns to what an INSERT would have put there.
func sets(columns []string, open, end string) string {
	var all []string
	for _, c := range columns {
		all = append(all, c+" = "+open+c+end)
	}
	return strings.Join(all, ", ")
}

package schema

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/buffkit/buffkit/migrate/dialect"
)

// ErrServer is returned by Read for a server that is older than this package knows.
var ErrServer = errors.New("schema: the server is too old")

// Schema is what a database has besides its data.
type Schema struct {
	Dialect dialect.Dialect
	// Objects are in an order in which they can be made.
	Objects []Object
	// Omitted says what can't be written, a line each.
	Omitted []string

	before, after []string // settings around the objects
}

// Object is a table with its columns, an index, a function.
type Object struct {
	Kind string // in lower case: table, index, foreign key, function
	Name string // with its schema in PostgreSQL, quoted where it has to be
	SQL  []string
	body bool // it has semicolons within, and clients of MySQL need a DELIMITER
}

// Options of Read. nil and zero fields mean the defaults.
type Options struct {
	// Ignore are tables that aren't part of it, with all that belongs to them: a ledger of migrations. They are names in the schema that
	// is current for the connection, or SCHEMA.NAME.
	Ignore []string
}

// Read reads the schema of a database: on PostgreSQL all schemas of it but the system's, on SQLite the file that was opened and
// no attached one. It changes nothing; conn mustn't be in a transaction, and gets its settings back.
//
// The user must be able to see it all. On MySQL and MariaDB the body of another user's function needs the right SHOW_ROUTINE, or
// SELECT on mysql.proc; it is an error if one can't be read.
func Read(ctx context.Context, conn *sql.Conn, d dialect.Dialect, opts *Options) (*Schema, error) {
	var o Options
	if opts != nil {
		o = *opts
	}
	s := &Schema{Dialect: d}
	var err error
	switch d {
	case dialect.Postgres:
		err = readPostgres(ctx, conn, s, o)
	case dialect.MySQL, dialect.MariaDB:
		err = readMySQL(ctx, conn, s, o)
	case dialect.SQLite:
		err = readSQLite(ctx, conn, s, o)
	default:
		err = fmt.Errorf("%v is no dialect: use dialect.Postgres, MySQL, MariaDB or SQLite", d)
	}
	if err != nil {
		return nil, fmt.Errorf("schema: read it: %w", err)
	}
	return s, nil
}

func (s *Schema) add(o Object) { s.Objects = append(s.Objects, o) }

func (s *Schema) omit(format string, args ...any) {
	s.Omitted = append(s.Omitted, fmt.Sprintf(format, args...))
}

// WriteTo writes a file of SQL. Execute it on an empty database, as a whole, on one connection.
func (s *Schema) WriteTo(w io.Writer) (int64, error) {
	n, err := io.WriteString(w, s.String())
	return int64(n), err
}

// String returns what WriteTo writes.
func (s *Schema) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "-- The schema of a %s database, without data, owners and privileges. Written by buffkit migrate dump.\n", s.Dialect.Title())
	for _, o := range s.Omitted {
		fmt.Fprintf(&b, "-- NOT IN THIS FILE: %s\n", strings.Join(strings.Fields(o), " "))
	}
	if len(s.Objects) == 0 {
		b.WriteString("-- It is empty.\n")
		return b.String()
	}
	s.settings(&b, s.before)
	for _, o := range s.Objects {
		b.WriteByte('\n')
		for _, text := range o.SQL {
			o.write(&b, text)
		}
	}
	s.settings(&b, s.after)
	return b.String()
}

func (s *Schema) settings(b *strings.Builder, all []string) {
	if len(all) > 0 {
		b.WriteString("\n" + strings.Join(all, ";\n") + ";\n")
	}
}

func (o Object) write(b *strings.Builder, text string) {
	if o.body && !strings.HasPrefix(text, "SET ") {
		b.WriteString("DELIMITER ;;\n" + text + ";;\nDELIMITER ;\n")
		return
	}
	b.WriteString(strings.TrimRight(text, "\n") + ";\n")
}

// querier is a connection or a transaction.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// table reads rows of text; NULL is "".
func table(ctx context.Context, q querier, query string, args ...any) (all [][]string, err error) {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("%w, asked %s", err, strings.Join(strings.Fields(query), " "))
	}
	defer rows.Close()
	names, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	for rows.Next() {
		values, targets := make([]sql.NullString, len(names)), make([]any, len(names))
		for i := range values {
			targets[i] = &values[i]
		}
		if err := rows.Scan(targets...); err != nil {
			return nil, err
		}
		row := make([]string, len(names))
		for i, v := range values {
			row[i] = v.String
		}
		all = append(all, row)
	}
	return all, rows.Err()
}

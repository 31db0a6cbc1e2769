package sqlitelog

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
)

// querier runs statements: the writer's own prepared ones, or any driver's within the app's transaction. Values are int64, string or []byte.
type querier interface {
	exec(ctx context.Context, query string, args ...any) error
	// ints reads the first row of a query, sql.ErrNoRows if there is none.
	ints(ctx context.Context, to []*int64, query string, args ...any) error
}

// plain runs statements on a *sql.Conn or in a *sql.Tx.
type plain struct {
	on interface {
		ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
		QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
	}
}

func (p plain) exec(ctx context.Context, query string, args ...any) error {
	_, err := p.on.ExecContext(ctx, query, args...)
	return err
}

func (p plain) ints(ctx context.Context, to []*int64, query string, args ...any) error {
	into := make([]any, len(to))
	for i := range to {
		into[i] = to[i]
	}
	return p.on.QueryRowContext(ctx, query, args...).Scan(into...)
}

// writer is a connection of its own, the statements that were prepared on it, and what is known since its last commit. It speaks to the driver
// itself: database/sql would cost a tenth of a small commit.
type writer struct {
	db      *sql.DB
	conn    *sql.Conn
	stmts   map[string]driver.Stmt
	args    []driver.NamedValue
	known   known
	buffers buffers

	driver driver.ConnPrepareContext // while use runs
}

// use runs f with the connection.
func (w *writer) use(ctx context.Context, f func() error) (err error) {
	if w.conn == nil {
		if w.conn, err = w.db.Conn(ctx); err != nil {
			w.conn = nil
			return err
		}
		w.stmts = map[string]driver.Stmt{}
	}
	return w.conn.Raw(func(conn any) error {
		w.driver = conn.(driver.ConnPrepareContext)
		return f()
	})
}

func (w *writer) close() {
	if w.conn == nil {
		return
	}
	w.conn.Raw(func(any) error {
		for _, stmt := range w.stmts {
			stmt.Close()
		}
		return nil
	})
	w.conn.Close()
	w.conn, w.known = nil, known{}
}

func (w *writer) prepared(ctx context.Context, query string) (driver.Stmt, error) {
	if stmt := w.stmts[query]; stmt != nil {
		return stmt, nil
	}
	stmt, err := w.driver.PrepareContext(ctx, query)
	if err == nil {
		w.stmts[query] = stmt
	}
	return stmt, err
}

func (w *writer) exec(ctx context.Context, query string, args ...any) error {
	stmt, err := w.prepared(ctx, query)
	if err != nil {
		return err
	}
	_, err = stmt.(driver.StmtExecContext).ExecContext(ctx, w.named(args))
	return err
}

func (w *writer) ints(ctx context.Context, to []*int64, query string, args ...any) error {
	stmt, err := w.prepared(ctx, query)
	if err != nil {
		return err
	}
	rows, err := stmt.(driver.StmtQueryContext).QueryContext(ctx, w.named(args))
	if err != nil {
		return err
	}
	defer rows.Close()
	row := make([]driver.Value, len(to))
	switch err := rows.Next(row); {
	case errors.Is(err, io.EOF):
		return sql.ErrNoRows
	case err != nil:
		return err
	}
	for i, v := range row {
		n, ok := v.(int64)
		if !ok {
			return fmt.Errorf("sqlitelog: column %d is %v, want a number", i+1, v)
		}
		*to[i] = n
	}
	return nil
}

func (w *writer) named(args []any) []driver.NamedValue {
	w.args = w.args[:0]
	for i, arg := range args {
		w.args = append(w.args, driver.NamedValue{Ordinal: i + 1, Value: arg})
	}
	return w.args
}

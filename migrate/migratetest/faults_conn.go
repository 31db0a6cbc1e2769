package migratetest

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"strings"
	"sync"
)

// cutter is a driver on top of a pool of any other: its connections are the pool's, counted statement by statement, and one of these is the
// last.
type cutter struct {
	db     *sql.DB
	at     int64
	behind bool

	mu   sync.Mutex // guards what follows
	n    int64
	done bool
	sql  string
}

func (c *cutter) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	return &cutConn{c: c, conn: conn}, nil
}

func (c *cutter) Driver() driver.Driver { return c.db.Driver() }

// fired tells whether it came to the fault, and at what.
func (c *cutter) fired() (bool, string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.done, c.sql
}

// count tells whether this is the statement.
func (c *cutter) count(query string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n++
	if c.n != c.at {
		return false
	}
	c.done = true
	if c.sql = strings.Join(strings.Fields(query), " "); len(c.sql) > 80 {
		c.sql = strings.ToValidUTF8(c.sql[:80], "") + " …"
	}
	return true
}

var errCut = errors.New("migratetest: the connection is cut here")

// cutConn is a connection. It is closed for good when it is closed: what it was set to is nothing for the pool's next user.
type cutConn struct {
	c    *cutter
	conn *sql.Conn
	tx   *sql.Tx
	lost bool
}

func (c *cutConn) kill() {
	c.lost = true
	if c.tx != nil {
		_ = c.tx.Rollback()
		c.tx = nil
	}
	_ = c.conn.Raw(func(any) error { return driver.ErrBadConn })
	_ = c.conn.Close() // it is closed; this tells database/sql
}

func (c *cutConn) around(query string, f func() error) error {
	if c.lost {
		return driver.ErrBadConn
	}
	now := c.c.count(query)
	if now && !c.c.behind {
		c.kill()
		return errCut
	}
	err := f()
	if now {
		c.kill()
		return errCut
	}
	return err
}

func (c *cutConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (res driver.Result, err error) {
	err = c.around(query, func() error {
		if c.tx != nil {
			res, err = c.tx.ExecContext(ctx, query, values(args)...)
		} else {
			res, err = c.conn.ExecContext(ctx, query, values(args)...)
		}
		return err
	})
	return res, err
}

func (c *cutConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	var all *cutRows
	err := c.around(query, func() error {
		var rows *sql.Rows
		var err error
		if c.tx != nil {
			rows, err = c.tx.QueryContext(ctx, query, values(args)...)
		} else {
			rows, err = c.conn.QueryContext(ctx, query, values(args)...)
		}
		if err != nil {
			return err
		}
		all, err = readAll(rows)
		return err
	})
	if err != nil {
		return nil, err
	}
	return all, nil
}

func values(args []driver.NamedValue) (all []any) {
	for _, a := range args {
		if a.Name != "" {
			all = append(all, sql.Named(a.Name, a.Value))
			continue
		}
		all = append(all, a.Value)
	}
	return all
}

// CheckNamedValue leaves it to the driver beneath.
func (c *cutConn) CheckNamedValue(*driver.NamedValue) error { return nil }

func (c *cutConn) Ping(ctx context.Context) error {
	if c.lost {
		return driver.ErrBadConn
	}
	return c.conn.PingContext(ctx)
}

func (c *cutConn) IsValid() bool { return !c.lost }

func (c *cutConn) Close() error {
	if !c.lost {
		c.kill()
	}
	return nil
}

func (c *cutConn) Begin() (driver.Tx, error) {
	return c.BeginTx(context.Background(), driver.TxOptions{})
}

func (c *cutConn) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	if c.lost {
		return nil, driver.ErrBadConn
	}
	tx, err := c.conn.BeginTx(ctx, &sql.TxOptions{Isolation: sql.IsolationLevel(opts.Isolation), ReadOnly: opts.ReadOnly})
	if err != nil {
		return nil, err
	}
	c.tx = tx
	return cutTx{c}, nil
}

type cutTx struct{ c *cutConn }

func (t cutTx) Commit() error   { return t.end((*sql.Tx).Commit) }
func (t cutTx) Rollback() error { return t.end((*sql.Tx).Rollback) }

func (t cutTx) end(f func(*sql.Tx) error) error {
	tx := t.c.tx
	if tx == nil {
		return driver.ErrBadConn
	}
	t.c.tx = nil
	return f(tx)
}

func (c *cutConn) Prepare(query string) (driver.Stmt, error) { return cutStmt{c, query}, nil }

// cutStmt isn't prepared at all: the runner doesn't, but Go code in a migration may.
type cutStmt struct {
	c     *cutConn
	query string
}

func (s cutStmt) Close() error  { return nil }
func (s cutStmt) NumInput() int { return -1 }

func (s cutStmt) Exec(args []driver.Value) (driver.Result, error) {
	return s.c.ExecContext(context.Background(), s.query, named(args))
}

func (s cutStmt) Query(args []driver.Value) (driver.Rows, error) {
	return s.c.QueryContext(context.Background(), s.query, named(args))
}

func (s cutStmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	return s.c.ExecContext(ctx, s.query, args)
}

func (s cutStmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	return s.c.QueryContext(ctx, s.query, args)
}

func named(args []driver.Value) (all []driver.NamedValue) {
	for i, a := range args {
		all = append(all, driver.NamedValue{Ordinal: i + 1, Value: a})
	}
	return all
}

// cutRows are read as a whole, so that the connection is free for the next statement.
type cutRows struct {
	names []string
	rows  [][]driver.Value
}

func readAll(rows *sql.Rows) (*cutRows, error) {
	defer rows.Close()
	names, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	all := &cutRows{names: names}
	for rows.Next() {
		row, targets := make([]driver.Value, len(names)), make([]any, len(names))
		for i := range row {
			targets[i] = (*any)(&row[i])
		}
		if err := rows.Scan(targets...); err != nil {
			return nil, err
		}
		all.rows = append(all.rows, row)
	}
	return all, rows.Err()
}

func (r *cutRows) Columns() []string { return r.names }
func (r *cutRows) Close() error      { return nil }

func (r *cutRows) Next(dest []driver.Value) error {
	if len(r.rows) == 0 {
		return io.EOF
	}
	copy(dest, r.rows[0])
	r.rows = r.rows[1:]
	return nil
}

package pglog

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
)

// conns lends connections of a pool. It is where pgx and database/sql differ; whatever works with a connection is written once.
type conns interface {
	// with calls use with a connection that nobody else has meanwhile. A connection that use leaves closed doesn't return to the pool.
	with(ctx context.Context, use func(*pgx.Conn) error) error
	// db is for package migrate; done ends its use. Behind a pooler, which loses prepared statements, it does without them if it can.
	db(pooled bool) (db *sql.DB, done func() error)
	close()
}

// querier is a connection, or a transaction on it.
type querier interface {
	Query(ctx context.Context, query string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, query string, args ...any) pgx.Row
	Exec(ctx context.Context, query string, args ...any) (pgconn.CommandTag, error)
}

// committed calls use with a connection on which each statement sees what was committed before it, whatever the server's default is: a stricter isolation
// would fail all but one of those who append at a time.
func (s *store) committed(ctx context.Context, conn *pgx.Conn, use func(querier) error) error {
	if !s.server.strict {
		return use(conn)
	}
	return pgx.BeginTxFunc(ctx, conn, pgx.TxOptions{IsoLevel: pgx.ReadCommitted}, func(tx pgx.Tx) error { return use(tx) })
}

// used calls use, and closes a connection that leads to a standby: the pool's next one may lead to the primary.
func used(conn *pgx.Conn, use func(*pgx.Conn) error) error {
	err := use(conn)
	var pg *pgconn.PgError
	if errors.Is(err, ErrStandby) || errors.As(err, &pg) && pg.Code == readOnly {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = conn.Close(ctx)
	}
	return err
}

const readOnly = "25006" // read_only_sql_transaction

type pgxConns struct {
	pool *pgxpool.Pool
	ours bool // close closes it
}

func (c pgxConns) with(ctx context.Context, use func(*pgx.Conn) error) error {
	conn, err := c.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	return used(conn.Conn(), use)
}

func (c pgxConns) db(pooled bool) (*sql.DB, func() error) {
	config := c.pool.Config().ConnConfig
	if pooled {
		config.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol
	}
	db := stdlib.OpenDB(*config)
	return db, db.Close
}

func (c pgxConns) close() {
	if c.ours {
		c.pool.Close()
	}
}

type sqlConns struct{ pool *sql.DB }

// ErrDriver is returned by OpenSQL for a sql.DB of another driver than pgx's.
var ErrDriver = errors.New(`pglog: the sql.DB isn't one of pgx's: open it with the driver "pgx" of github.com/jackc/pgx/v5/stdlib`)

func (c sqlConns) with(ctx context.Context, use func(*pgx.Conn) error) error {
	conn, err := c.pool.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	return conn.Raw(func(raw any) error {
		ofPgx, ok := raw.(*stdlib.Conn)
		if !ok {
			return ErrDriver
		}
		return used(ofPgx.Conn(), use)
	})
}

func (c sqlConns) db(bool) (*sql.DB, func() error) {
	return c.pool, func() error { return nil }
}

func (c sqlConns) close() {}

package pglog

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/buffkit/buffkit/eventlog"
)

// Log is an eventlog.Log whose events are in a PostgreSQL database. All nodes of an app open one on the same database.
type Log struct {
	*eventlog.Replica
	store *store
}

var _ eventlog.Log = (*Log)(nil)

// Open connects to the database of a URL, postgres://user:password@host:port/database, or of key=value pairs. Its pool is the log's own: pool_max_conns in the
// URL is its size, at least 3.
func Open(ctx context.Context, url string, opts *Options) (*Log, error) {
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("pglog: %w", err) // it shows no password
	}
	config.MaxConns = max(config.MaxConns, minConns)
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("pglog: %w", err)
	}
	return open(ctx, pgxConns{pool, true}, opts)
}

const minConns = 3 // one follows the log for good, one appends, one reads or sweeps

// OpenPool opens the log in a pool of the app's, which must have at least 3 connections: the log keeps one for good. It stays open after Close.
func OpenPool(ctx context.Context, pool *pgxpool.Pool, opts *Options) (*Log, error) {
	if n := pool.Config().MaxConns; n < minConns {
		return nil, fmt.Errorf("pglog: the pool has %d connections, at least %d are needed: set pool_max_conns", n, minConns)
	}
	return open(ctx, pgxConns{pool, false}, opts)
}

// OpenSQL opens the log in a pool of the app's that was made with pgx's driver for database/sql; see OpenPool.
// Errors: as Open, and ErrDriver.
func OpenSQL(ctx context.Context, db *sql.DB, opts *Options) (*Log, error) {
	if n := db.Stats().MaxOpenConnections; n > 0 && n < minConns {
		return nil, fmt.Errorf("pglog: the pool has %d connections, at least %d are needed: call SetMaxOpenConns", n, minConns)
	}
	return open(ctx, sqlConns{db}, opts)
}

func open(ctx context.Context, c conns, opts *Options) (*Log, error) {
	s, err := openStore(ctx, c, opts)
	if err != nil {
		return nil, err
	}
	replica, err := eventlog.NewReplica(ctx, s, &s.opts.Replica)
	if err != nil {
		_ = s.Close()
		return nil, fmt.Errorf("open the log: %w", err)
	}
	return &Log{replica, s}, nil
}

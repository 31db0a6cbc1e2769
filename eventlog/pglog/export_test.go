package pglog

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/buffkit/buffkit/eventlog"
)

// Store is the store of a log, for the tests that go beneath its Replica.
type Store = store

// OpenStore opens a store alone.
func OpenStore(ctx context.Context, pool *pgxpool.Pool, opts *Options) (*Store, error) {
	return openStore(ctx, pgxConns{pool: pool}, opts)
}

// OpenSQLStore opens a store alone.
func OpenSQLStore(ctx context.Context, db *sql.DB, opts *Options) (*Store, error) {
	return openStore(ctx, sqlConns{db}, opts)
}

// Pooled tells whether a pooler was found.
func (s *store) Pooled() bool { return s.server.pooled }

// Sweep drops at once what is over the limits, and older than tail.
func (s *store) Sweep(ctx context.Context, tail time.Duration) error {
	return (&sweeper{store: s, tail: max(tail, 0), atMost: time.Minute}).round(ctx)
}

// Turns returns a function that takes a turn of retention, each as short as can be.
func (s *store) Turns() func(context.Context) error {
	return (&sweeper{store: s}).round
}

// TurnsAt is Turns whose turns are at a time.
func (s *store) TurnsAt(tail time.Duration) func(context.Context, time.Time) error {
	return (&sweeper{store: s, tail: tail, atMost: time.Minute}).roundAt
}

// Index brings the index up to the head, by itself or by waiting for who is at it.
func (s *store) Index(ctx context.Context) error {
	return s.conns.with(ctx, func(conn *pgx.Conn) error {
		for behind := true; behind; {
			const query = "SELECT l.head > i.upto FROM buffkit_log l CROSS JOIN buffkit_log_indexed i"
			if err := errors.Join(s.extendIndex(ctx, conn), conn.QueryRow(ctx, query, pgx.QueryExecModeExec).Scan(&behind)); err != nil {
				return err
			}
		}
		return nil
	})
}

// IndexEvery sets how often the index is brought up to the head.
func IndexEvery(opts *Options, d time.Duration) { opts.indexEvery = d }

// Pend is AppendTx with records.
func (s *store) Pend(ctx context.Context, tx pgx.Tx, records ...eventlog.Record) error {
	return s.pend(records, func(query string, args []any) (int64, error) {
		tag, err := tx.Exec(ctx, query, args...)
		return tag.RowsAffected(), err
	})
}

// Batches is how many transactions the store has made for Append.
func (s *store) Batches() int64 { return s.batches.Load() }

// SweepTopics is how many topics a turn looks at, at least.
const SweepTopics = sweepTopics

// Queued is how many calls of Append wait for a transaction.
func (s *store) Queued() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.queue)
}

// SweepEvery sets how often retention runs.
func SweepEvery(opts *Options, d time.Duration) { opts.sweepEvery, opts.tailKept = d, -1 }

// Timeout sets how long a server may take to answer.
func Timeout(opts *Options, d time.Duration) { opts.timeout = d }

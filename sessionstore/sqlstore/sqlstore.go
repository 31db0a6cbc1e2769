package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/buffkit/buffkit/migrate/dialect"
	"github.com/buffkit/buffkit/sessionstore"
)

// Options of Open. The zero value, and nil, mean the defaults.
type Options struct {
	// Migrate creates the tables, or brings them up to date, by package migrate with its default ledger. An app with migrations of its own
	// adds Source to their plan instead.
	Migrate bool
	// Logger gets what Migrate has to say. Default slog.Default().
	Logger *slog.Logger
}

const (
	page        = 1000            // sessions of one transaction: it ends in some tens of milliseconds
	revokedPage = 10_000          // sessions that Revoked returns: 160 KB
	maxNode     = 255             // bytes of a node's name, as wide as its column
	tryFor      = 5 * time.Second // a transaction that was ended for a deadlock
)

// Store keeps sessions in a database. It implements sessionstore.Store.
type Store struct {
	db      *sql.DB
	dialect dialect.Dialect
	closed  atomic.Bool
	writing chan struct{} // held by a transaction on SQLite, which has one writer anyway

	mu         sync.Mutex // guards what follows
	countAgain time.Time  // no sooner
}

var _ sessionstore.Store = (*Store)(nil)

// Open returns the store in a database, whose tables must be there unless Options.Migrate creates them. The database stays the caller's: Close doesn't close it.
// Error: ErrNoSchema.
func Open(ctx context.Context, db *sql.DB, d dialect.Dialect, opts *Options) (*Store, error) {
	var o Options
	if opts != nil {
		o = *opts
	}
	switch {
	case db == nil:
		return nil, errors.New("sqlstore: Open needs a *sql.DB: open one with the driver of your choice")
	case d.Title() == "unknown":
		return nil, fmt.Errorf("sqlstore: %v is no dialect: use dialect.Postgres, MySQL, MariaDB or SQLite", d)
	case o.Logger == nil:
		o.Logger = slog.Default()
	}
	if o.Migrate {
		if err := migrateUp(ctx, db, d, o.Logger); err != nil {
			return nil, fmt.Errorf("create the session store's tables: %w", err)
		}
	}
	s := &Store{db: db, dialect: d, writing: make(chan struct{}, 1)}
	if err := s.Check(ctx); err != nil {
		if isNoTable(err) {
			err = fmt.Errorf("%w: %w", ErrNoSchema, err)
		}
		return nil, fmt.Errorf("open the session store: %w", err)
	}
	return s, nil
}

// begin tells why a call can't be served.
func (s *Store) begin(ctx context.Context) error {
	if s.closed.Load() {
		return sessionstore.ErrClosed
	}
	return ctx.Err()
}

// Check implements sessionstore.Store.
func (s *Store) Check(ctx context.Context) error {
	if err := s.begin(ctx); err != nil {
		return err
	}
	var n int64
	q := s.query("SELECT count(*) FROM buffkit_sessions_feed")
	return s.db.QueryRowContext(ctx, q.text, q.args...).Scan(&n)
}

// Close implements sessionstore.Store. Calls that are on their way go on.
func (s *Store) Close() error {
	if s.closed.Swap(true) {
		return sessionstore.ErrClosed
	}
	return nil
}

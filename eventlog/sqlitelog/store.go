package sqlitelog

import (
	"context"
	"database/sql"
	_ "embed"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/url"
	"path/filepath"
	"sync"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/buffkit/buffkit/eventlog"
)

//go:embed schema.sql
var schema string

const (
	formatVersion = 2
	lockPatience  = 10 * time.Second // of a writer who waits for another process, or for a transaction of the app
)

// Store is the log's file. Open wraps it in a Replica; it is exported for programs that bring one of their own.
type Store struct {
	opts  Options
	db    *sql.DB
	place place

	ctx   context.Context // of all that runs in the background
	stop  context.CancelFunc
	tasks sync.WaitGroup
	queue queue
	turn  chan struct{} // holds one token while nobody of this process writes: who waits gets it first, and SQLite's own waiting is by chance
	soon  bell          // rung when something was stored, or may be soon
	feed  feed
	dirty dirty
	ages  ages
	heads heads

	damage damage

	mu     sync.Mutex // guards what follows
	closed bool
}

var _ eventlog.Store = (*Store)(nil)

// OpenStore opens a file, and creates it if it isn't there. Its folder must be.
func OpenStore(ctx context.Context, path string, opts *Options) (*Store, error) {
	var o Options
	if opts != nil {
		o = *opts
	}
	o.setDefaults()
	full, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("sqlitelog: %w", err)
	}
	db, err := sql.Open("sqlite", dsn(full, o.pragmas))
	if err != nil {
		return nil, fmt.Errorf("sqlitelog: open %s: %w", path, err)
	}
	db.SetMaxOpenConns(maxConns)
	db.SetMaxIdleConns(maxConns)
	if err := prepareFile(ctx, db); err != nil {
		db.Close()
		return nil, fmt.Errorf("sqlitelog: open %s: %w", path, err)
	}
	at, err := placeOf(full)
	if err != nil {
		db.Close()
		return nil, fmt.Errorf("sqlitelog: open %s: %w", path, err)
	}
	s := &Store{opts: o, db: db, place: at, queue: queue{come: make(chan struct{}, 1)}, turn: make(chan struct{}, 1)}
	s.turn <- struct{}{}
	s.ctx, s.stop = context.WithCancel(context.WithoutCancel(ctx))
	s.tasks.Go(s.write)
	s.tasks.Go(s.retain)
	return s, nil
}

const maxConns = 8 // a writer, retention, tails and histories: more than the cores that read

func dsn(path string, more []string) string {
	pragmas := url.Values{"_pragma": append([]string{
		fmt.Sprintf("busy_timeout(%d)", lockPatience.Milliseconds()), // the first, for the others may meet a lock
		"journal_mode(WAL)",
		"synchronous(FULL)",
		"cache_size(-16384)", // 16 MiB a connection
	}, more...)}
	return (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: pragmas.Encode()}).String()
}

func prepareFile(ctx context.Context, db *sql.DB) error {
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	return inTx(ctx, plain{conn}, func() error {
		if err := checkFormat(ctx, conn); err != nil { // before anything is made
			return err
		}
		if _, err := conn.ExecContext(ctx, schema); err != nil {
			return err
		}
		_, err := conn.ExecContext(ctx, "INSERT OR IGNORE INTO buffkit_log (id, format, epoch, head, stored, dropped, floor) VALUES (1, ?, ?, 0, 0, 0, 0)",
			formatVersion, int64(eventlog.NewEpoch()))
		return err
	})
}

// checkFormat refuses a file with tables that this version doesn't know.
func checkFormat(ctx context.Context, conn *sql.Conn) error {
	var tables, format int
	if err := conn.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_schema WHERE name = 'buffkit_log'").Scan(&tables); err != nil || tables == 0 {
		return err
	}
	switch err := conn.QueryRowContext(ctx, "SELECT format FROM buffkit_log").Scan(&format); {
	case err != nil:
		return err
	case format > formatVersion:
		return fmt.Errorf("its log has the format %d, and this version reads %d: use a newer version", format, formatVersion)
	case format < formatVersion:
		return fmt.Errorf("its log has the format %d, and this version reads %d alone: begin with an empty file, or go on with the version that wrote it",
			format, formatVersion)
	}
	return nil
}

// inTx runs f within a transaction that may write.
func inTx(ctx context.Context, query querier, f func() error) error {
	if err := query.exec(ctx, "BEGIN IMMEDIATE"); err != nil {
		return explain(err)
	}
	err := f()
	if err == nil {
		if err = query.exec(ctx, "COMMIT"); err == nil {
			return nil
		}
		if code := codeOf(err); code&0xff == sqlite3.SQLITE_IOERR { // it may be in the file all the same
			err = fmt.Errorf("%w: %w", eventlog.ErrUnknownOutcome, err)
		}
	}
	query.exec(context.WithoutCancel(ctx), "ROLLBACK") // fails where SQLite has rolled back itself
	return explain(err)
}

func codeOf(err error) int {
	var e *sqlite.Error
	if errors.As(err, &e) {
		return e.Code()
	}
	return 0
}

// explain says what to do about an error of SQLite's.
func explain(err error) error {
	switch codeOf(err) & 0xff {
	case sqlite3.SQLITE_FULL:
		return fmt.Errorf("%w: the disk, or the file's max_page_count, leaves no room: %w", eventlog.ErrFull, err)
	case sqlite3.SQLITE_BUSY:
		return fmt.Errorf("sqlitelog: another transaction held the file for %v; make the app's transactions shorter: %w", lockPatience, err)
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
		return fmt.Errorf("%w: SQLite can't read the file; %s: %w", ErrDamaged, restore, err)
	}
	return err
}

// Supersede implements eventlog.Store.
func (s *Store) Supersede(ctx context.Context, old uint64) (epoch uint64, err error) {
	if err := s.check(ctx); err != nil {
		return 0, err
	}
	conn, err := s.conn(ctx)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	err = inTx(ctx, plain{conn}, func() error {
		if _, err := conn.ExecContext(ctx, "UPDATE buffkit_log SET epoch = ? WHERE epoch = ?", int64(eventlog.NewEpoch()), int64(old)); err != nil {
			return err
		}
		return conn.QueryRowContext(ctx, "SELECT epoch FROM buffkit_log").Scan(&epoch)
	})
	s.soon.ring(0)
	return epoch, s.blame(err)
}

func (s *Store) conn(ctx context.Context) (*sql.Conn, error) {
	conn, err := s.db.Conn(ctx)
	return conn, s.blame(err)
}

// check returns why no call can be served.
func (s *Store) check(ctx context.Context) error {
	if s.ctx.Err() != nil {
		return eventlog.ErrClosed
	}
	return ctx.Err()
}

// blame returns ErrClosed for what went wrong because of Close.
func (s *Store) blame(err error) error {
	if err != nil && s.ctx.Err() != nil {
		return eventlog.ErrClosed
	}
	return err
}

// Close implements eventlog.Store.
func (s *Store) Close() error {
	s.mu.Lock()
	was := s.closed
	s.closed = true
	s.mu.Unlock()
	if was {
		return eventlog.ErrClosed
	}
	s.stop()
	s.tasks.Wait()
	return s.db.Close()
}

// limit returns def for 0, and no limit for a negative one.
func limit[T int | int64 | time.Duration](n, def, none T) T {
	switch {
	case n == 0:
		return def
	case n < 0:
		return none
	}
	return n
}

func retentionOr(r, def eventlog.Retention) eventlog.Retention {
	return eventlog.Retention{
		Count: limit(r.Count, def.Count, math.MaxInt),
		Bytes: limit(r.Bytes, def.Bytes, math.MaxInt64),
		Age:   limit(r.Age, def.Age, math.MaxInt64),
	}
}

func (s *Store) log() *slog.Logger {
	if logger := s.opts.Replica.Logger; logger != nil {
		return logger
	}
	return slog.Default()
}

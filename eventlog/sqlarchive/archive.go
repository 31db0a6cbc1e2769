// Package sqlarchive keeps events in a database for longer than the log's store does: the eventlog.Archive behind Redis, say, in SQLite or PostgreSQL.
//
//	store, err := redislog.OpenStore(ctx, &redislog.Options{Addrs: …})
//	archive, err := sqlarchive.Open(ctx, db, sqlarchive.PostgreSQL, nil)
//	log, err := eventlog.NewReplica(ctx, eventlog.NewTier(store, archive, nil), nil)
//
// It takes the app's *sql.DB, and no driver of its own. The tables, whose names begin with buffkit_archive, are made by Open. What a sealed log writes is sealed
// in the archive, too.
package sqlarchive

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/buffkit/buffkit/eventlog"
)

// Dialect is the kind of a database.
type Dialect int

// The databases that an archive can be in.
const (
	SQLite Dialect = iota + 1 // 3.35 or newer
	PostgreSQL
)

// DefaultAge is how long an archive keeps events: the longest leave that most people take.
const DefaultAge = 30 * 24 * time.Hour

// Options of Open. The zero value, and nil, mean the defaults.
type Options struct {
	// Age is how long an event is kept. Default DefaultAge; negative: for ever.
	Age time.Duration
	// Logger is told when old events can't be deleted. Default slog.Default().
	Logger *slog.Logger
}

// Archive is an eventlog.Archive in a database. Several nodes may share it.
type Archive struct {
	db      *sql.DB
	dialect Dialect
	opts    Options

	ctx   context.Context // of what runs in the background
	stop  context.CancelFunc
	tasks sync.WaitGroup
}

var _ eventlog.Archive = (*Archive)(nil)

// Open makes the tables if they aren't there. The context is for that alone. The database stays the caller's: Close doesn't close it.
func Open(ctx context.Context, db *sql.DB, dialect Dialect, opts *Options) (*Archive, error) {
	a := &Archive{db: db, dialect: dialect}
	if opts != nil {
		a.opts = *opts
	}
	if a.opts.Age == 0 {
		a.opts.Age = DefaultAge
	}
	if a.opts.Logger == nil {
		a.opts.Logger = slog.Default()
	}
	if dialect != SQLite && dialect != PostgreSQL {
		return nil, fmt.Errorf("sqlarchive: dialect %d: give SQLite or PostgreSQL", dialect)
	}
	if err := a.prepare(ctx); err != nil {
		return nil, fmt.Errorf("sqlarchive: %w", err)
	}
	a.ctx, a.stop = context.WithCancel(context.WithoutCancel(ctx))
	if a.opts.Age > 0 {
		a.tasks.Go(a.sweep)
	}
	return a, nil
}

// prepare makes the tables. Two nodes that do so at once may meet in PostgreSQL's catalog: the second try finds them.
func (a *Archive) prepare(ctx context.Context) (err error) {
	for range 3 {
		err = nil
		for _, statement := range a.schema() {
			if _, err = a.db.ExecContext(ctx, statement); err != nil {
				break
			}
		}
		if err == nil || ctx.Err() != nil {
			break
		}
	}
	return err
}

func (a *Archive) schema() []string {
	bytes, collation := "BLOB", ""
	if a.dialect == PostgreSQL {
		bytes, collation = "bytea", ` COLLATE "C"`
	}
	return []string{
		// One row: how far it is in which log, and up to where something may be missing.
		`CREATE TABLE IF NOT EXISTS buffkit_archive (
	id    INTEGER PRIMARY KEY CHECK (id = 1),
	epoch BIGINT NOT NULL,
	place BIGINT NOT NULL,
	floor BIGINT NOT NULL
)`,
		`CREATE TABLE IF NOT EXISTS buffkit_archive_events (
	position BIGINT PRIMARY KEY,
	topic    TEXT` + collation + ` NOT NULL,
	prev     BIGINT NOT NULL,
	key      ` + bytes + ` NOT NULL,
	body     ` + bytes + ` NOT NULL
)`,
		`CREATE INDEX IF NOT EXISTS buffkit_archive_events_topic ON buffkit_archive_events (topic, position)`,
		`INSERT INTO buffkit_archive (id, epoch, place, floor) SELECT 1, 0, 0, 0 WHERE NOT EXISTS (SELECT 1 FROM buffkit_archive)`,
	}
}

// Close ends what runs in the background. The database stays open.
func (a *Archive) Close() error {
	a.stop()
	a.tasks.Wait()
	return nil
}

// state is the row of buffkit_archive.
type state struct {
	epoch        uint64
	place, floor eventlog.Offset
}

type querier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

func (a *Archive) state(ctx context.Context, from querier, lock string) (s state, err error) {
	err = from.QueryRowContext(ctx, "SELECT epoch, place, floor FROM buffkit_archive WHERE id = 1"+lock).Scan(&s.epoch, &s.place, &s.floor)
	if errors.Is(err, sql.ErrNoRows) {
		err = errors.New("sqlarchive: the table buffkit_archive has lost its row: drop the tables that begin with buffkit_archive, and open the archive anew")
	}
	return s, err
}

// Place implements eventlog.Archive.
func (a *Archive) Place(ctx context.Context) (eventlog.Cursor, eventlog.Offset, error) {
	s, err := a.state(ctx, a.db, "")
	if err != nil || s.epoch == 0 {
		return eventlog.Cursor{}, 0, err
	}
	return eventlog.NewCursor(s.epoch, s.place), s.floor, nil
}

// arg is the n-th placeholder, counted from 1.
func (a *Archive) arg(n int) string {
	if a.dialect == PostgreSQL {
		return "$" + strconv.Itoa(n)
	}
	return "?"
}

// args puts placeholders for ?s.
func (a *Archive) args(query string) string {
	var b strings.Builder
	for n := 1; ; n++ {
		before, after, found := strings.Cut(query, "?")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		b.WriteString(a.arg(n))
		query = after
	}
}

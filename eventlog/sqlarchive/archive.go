// Package sqlarchive keeps events in a database for longer than the log's store does: the eventlog.Archive behind Redis, say, in PostgreSQL, MySQL, MariaDB or SQLite.
//
//	archive, err := sqlarchive.Open(ctx, db, dialect.Postgres, &sqlarchive.Options{Migrate: true})
//	log, err := redislog.Open(ctx, &redislog.Options{Addrs: …, Archive: archive})
//
// It takes the app's *sql.DB, and no driver of its own. What a sealed log writes is sealed in the archive, too.
package sqlarchive

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/buffkit/buffkit/eventlog"
	"github.com/buffkit/buffkit/migrate"
	"github.com/buffkit/buffkit/migrate/dialect"
)

// SourceName is the name of Source in the ledger of package migrate.
const SourceName = "eventarchive"

//go:embed migrations/*.sql
var files embed.FS

// Source is the schema of the archive, for an app's own plan of migrations. An app that has none opens the archive with Options.Migrate.
func Source() migrate.Source {
	folder, err := fs.Sub(files, "migrations")
	if err != nil {
		panic(err) // the folder is embedded
	}
	return migrate.Source{Name: SourceName, FS: folder}
}

// DefaultAge is how long an archive keeps events: the longest leave that most people take.
const DefaultAge = 30 * 24 * time.Hour

// Options of Open. The zero value, and nil, mean the defaults.
type Options struct {
	// Migrate creates the tables, or brings them up to date, by package migrate with its default ledger. An app with migrations of its own
	// adds Source to their plan instead.
	Migrate bool
	// Age is how long an event is kept. Default DefaultAge; negative: for ever.
	Age time.Duration
	// Logger is told when old events can't be deleted, and gets what Migrate has to say. Default slog.Default().
	Logger *slog.Logger
}

// Archive is an eventlog.Archive in a database. Several nodes may share it.
type Archive struct {
	db      *sql.DB
	dialect dialect.Dialect
	opts    Options

	ctx   context.Context // of what runs in the background
	stop  context.CancelFunc
	tasks sync.WaitGroup
}

var _ eventlog.Archive = (*Archive)(nil)

// Open returns the archive in a database, whose tables must be there unless Options.Migrate creates them. The context is for that alone. The database stays the
// caller's: Close doesn't close it.
func Open(ctx context.Context, db *sql.DB, d dialect.Dialect, opts *Options) (*Archive, error) {
	a := &Archive{db: db, dialect: d}
	if opts != nil {
		a.opts = *opts
	}
	if a.opts.Age == 0 {
		a.opts.Age = DefaultAge
	}
	if a.opts.Logger == nil {
		a.opts.Logger = slog.Default()
	}
	switch {
	case db == nil:
		return nil, errors.New("sqlarchive: Open needs a *sql.DB: open one with the driver of your choice")
	case d.Title() == "unknown":
		return nil, fmt.Errorf("sqlarchive: %v is no dialect: use dialect.Postgres, MySQL, MariaDB or SQLite", d)
	}
	if a.opts.Migrate {
		if err := a.migrate(ctx); err != nil {
			return nil, fmt.Errorf("sqlarchive: create the archive's tables: %w", err)
		}
	}
	if _, err := a.state(ctx, db, ""); err != nil {
		return nil, fmt.Errorf("sqlarchive: the archive's tables can't be read; open it with Options.Migrate, or add sqlarchive.Source() to the app's migrations and run them: %w", err)
	}
	a.ctx, a.stop = context.WithCancel(context.WithoutCancel(ctx))
	if a.opts.Age > 0 {
		a.tasks.Go(a.sweep)
	}
	return a, nil
}

func (a *Archive) migrate(ctx context.Context) error {
	m, err := migrate.New(a.db, a.dialect, &migrate.Options{Sources: []migrate.Source{Source()}, AllowMissing: true, Logger: a.opts.Logger})
	if err == nil {
		_, err = m.Up(ctx)
	}
	return err
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
		err = errors.New("the table buffkit_archive has lost its row: undo the migration of the archive, and apply it again")
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
	if a.dialect == dialect.Postgres {
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

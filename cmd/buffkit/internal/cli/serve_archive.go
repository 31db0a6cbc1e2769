package cli

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"

	"github.com/buffkit/buffkit/eventlog"
	"github.com/buffkit/buffkit/eventlog/sqlarchive"
)

const archiveConnections = 8 // to a database: one that fills the archive, the others read for those who were away for long

// archivedPlace is a Redis with an archive behind it.
type archivedPlace struct {
	*redisPlace
	archive databaseTarget
	opts    sqlarchive.Options
}

// withArchive puts what --archive names behind the log, nothing if that is empty.
func (f *serveFlags) withArchive(log logPlace) (logPlace, error) {
	if f.archive == "" {
		return log, nil
	}
	redis, ok := log.(*redisPlace)
	if !ok {
		return nil, usagef("--archive stands behind --log redis://…: a log in a file or in PostgreSQL has the room itself, see --retain-age")
	}
	target, err := parseDatabase(f.archive)
	if err != nil {
		return nil, usagef("--archive: %w", err)
	}
	if f.archiveAge < 0 {
		return nil, usagef("--archive-age %v: give a duration, or 0 for no limit", f.archiveAge)
	}
	age := f.archiveAge
	if age == 0 {
		age = -1
	}
	return archivedPlace{redis, target, sqlarchive.Options{Migrate: true, Age: age}}, nil
}

func (p archivedPlace) open(ctx context.Context, bounds eventlog.MemoryOptions, logger *slog.Logger) (eventlog.Log, error) {
	archive, err := p.openArchive(ctx, logger)
	if err != nil {
		return nil, fmt.Errorf("--archive: %w", err)
	}
	redis := *p.redisPlace
	redis.Archive = archive
	log, err := redis.open(ctx, bounds, logger)
	if err != nil {
		return nil, errors.Join(err, archive.Close())
	}
	return log, nil
}

func (p archivedPlace) openArchive(ctx context.Context, logger *slog.Logger) (eventlog.Archive, error) {
	db, err := sql.Open(p.archive.driver, p.archive.shared().dsn)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(archiveConnections)
	opts := p.opts
	opts.Logger = logger
	archive, err := sqlarchive.Open(ctx, db, p.archive.dialect, &opts)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return databaseArchive{archive, db}, nil
}

// databaseArchive closes its database too.
type databaseArchive struct {
	eventlog.Archive
	db *sql.DB
}

func (a databaseArchive) Close() error { return errors.Join(a.Archive.Close(), a.db.Close()) }

package cli

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"

	"github.com/buffkit/buffkit/migrate/dialect"
	"github.com/buffkit/buffkit/sessionstore"
	"github.com/buffkit/buffkit/sessionstore/redisstore"
	"github.com/buffkit/buffkit/sessionstore/sqlstore"
)

const sessionConnections = 8 // to a database: one for those who come and go, two for what was revoked and abandoned, the others for what is sent to sessions

// sessionsOpener opens a store, and makes its tables if need be.
type sessionsOpener func(context.Context, *slog.Logger) (sessionstore.Store, error)

// parseSessions returns what --sessions names, nil for the sessions of this process alone.
func (f *serveFlags) parseSessions() (sessionsOpener, error) {
	text := f.sessions
	if text == "" {
		text = f.sessionsOfLog()
	}
	scheme, rest, _ := strings.Cut(text, ":")
	switch scheme = strings.ToLower(scheme); {
	case scheme == "memory" && rest == "":
		return nil, nil
	case f.insecure:
		return nil, usagef("--sessions %s is for several nodes that know each other's tokens by a secret: use --secret-file instead of --insecure", scheme)
	case scheme == "redis" || scheme == "rediss":
		opts, err := redisstore.ParseURL(text)
		if err != nil {
			return nil, usageError{fmt.Errorf("--sessions: %w", err)}
		}
		return func(ctx context.Context, _ *slog.Logger) (sessionstore.Store, error) {
			return redisstore.Open(ctx, opts)
		}, nil
	}
	target, err := parseDatabase(text)
	if err != nil {
		return nil, usagef("--sessions: use memory, redis://…, or a database: %w", err)
	}
	return target.openSessions, nil
}

// sessionsOfLog names the server of the log, if several nodes may share it.
func (f *serveFlags) sessionsOfLog() string {
	scheme, _, _ := strings.Cut(f.log, ":")
	switch strings.ToLower(scheme) {
	case "redis", "rediss", "postgres", "postgresql":
		if !f.insecure {
			return withoutParameters(f.log, "count", "age", "max_bytes", "pool_")
		}
	}
	return "memory"
}

// withoutParameters takes parameters from a URL that begin like these, which are for a log alone.
func withoutParameters(text string, begin ...string) string {
	u, err := url.Parse(text)
	if err != nil {
		return text // several hosts; it is parsed again where it is used
	}
	query := u.Query()
	for name := range query {
		for _, b := range begin {
			if strings.HasPrefix(name, b) {
				query.Del(name)
			}
		}
	}
	u.RawQuery = query.Encode()
	return u.String()
}

// databaseSessions closes its database too.
type databaseSessions struct {
	sessionstore.Store
	db *sql.DB
}

func (s databaseSessions) Close() error { return errors.Join(s.Store.Close(), s.db.Close()) }

// openSessions is a sessionsOpener.
func (target databaseTarget) openSessions(ctx context.Context, logger *slog.Logger) (sessionstore.Store, error) {
	db, err := sql.Open(target.driver, target.shared().dsn)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(sessionConnections)
	store, err := sqlstore.Open(ctx, db, target.dialect, &sqlstore.Options{Migrate: true, Logger: logger})
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return databaseSessions{store, db}, nil
}

// shared returns the target with what several processes need to write to it at a time.
func (target databaseTarget) shared() databaseTarget {
	if target.dialect == dialect.SQLite {
		separator := "?"
		if strings.Contains(target.dsn, "?") {
			separator = "&"
		}
		target.dsn += separator + "_txlock=immediate&_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)"
	}
	return target
}

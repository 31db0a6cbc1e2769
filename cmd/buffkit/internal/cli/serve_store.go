package cli

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/buffkit/buffkit/eventlog"
	"github.com/buffkit/buffkit/eventlog/pglog"
	"github.com/buffkit/buffkit/eventlog/redislog"
	"github.com/buffkit/buffkit/eventlog/sqlitelog"
)

// logKind is a kind of log that --log may name.
type logKind struct {
	scheme string // what stands before the colon
	usage  string
	// open gets what stands behind the colon. The bounds are those of the command line.
	open func(ctx context.Context, rest string, bounds eventlog.MemoryOptions, logger *slog.Logger) (eventlog.Log, error)
}

var logKinds = []logKind{
	{"memory", "memory", openMemory},
	{"sqlite", "sqlite:DIR", openSQLite},
	{"redis", "redis://HOST", openRedis("redis:")},
	{"rediss", "rediss://HOST", openRedis("rediss:")},
	{"postgres", "postgres://HOST/DATABASE", openPostgres},
	{"postgresql", "postgresql://HOST/DATABASE", openPostgres},
}

// parseLog returns the kind of log that --log names, and what it says of it.
func parseLog(text string) (logKind, string, error) {
	scheme, rest, _ := strings.Cut(text, ":")
	var usages []string
	for _, kind := range logKinds {
		usages = append(usages, kind.usage)
		if !strings.EqualFold(kind.scheme, scheme) {
			continue
		}
		if (rest == "") != (kind.scheme == kind.usage) {
			return logKind{}, "", usagef("--log %s: write --log %s", kind.scheme, kind.usage)
		}
		return kind, rest, nil
	}
	return logKind{}, "", usagef("--log: no log of the kind %.32q in this version: use --log %s", scheme, strings.Join(usages, " or --log "))
}

func openMemory(_ context.Context, _ string, bounds eventlog.MemoryOptions, _ *slog.Logger) (eventlog.Log, error) {
	return eventlog.NewMemory(&bounds), nil
}

const fileShare = 4 // a file may hold so many times what memory may: a disk has more room

// openSQLite opens the log in a folder, which it makes if need be: nobody else may look into it.
func openSQLite(ctx context.Context, folder string, bounds eventlog.MemoryOptions, logger *slog.Logger) (eventlog.Log, error) {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, fmt.Errorf("--log sqlite: %w", err)
	}
	opts := sqlitelog.Options{
		Retention: bounds.Retention, MaxBytes: bounds.MaxBytes * fileShare,
		Replica: eventlog.ReplicaOptions{Memory: bounds, Logger: logger},
	}
	return sqlitelog.Open(ctx, filepath.Join(folder, "log.db"), &opts)
}

// openRedis opens the log in a Redis or Valkey that the URL names; redislog.ParseURL says what may stand in it.
func openRedis(scheme string) func(context.Context, string, eventlog.MemoryOptions, *slog.Logger) (eventlog.Log, error) {
	return func(ctx context.Context, rest string, bounds eventlog.MemoryOptions, logger *slog.Logger) (eventlog.Log, error) {
		opts, err := redislog.ParseURL(scheme + rest)
		if err != nil {
			return nil, usageError{fmt.Errorf("--log: %w", err)}
		}
		if opts.Retention == (eventlog.Retention{}) {
			opts.Retention = bounds.Retention
		}
		opts.Replica = &eventlog.ReplicaOptions{Memory: bounds, Logger: logger}
		return redislog.Open(ctx, opts)
	}
}

// openPostgres opens the log in a database, and makes its tables if need be.
func openPostgres(ctx context.Context, rest string, bounds eventlog.MemoryOptions, logger *slog.Logger) (eventlog.Log, error) {
	return pglog.Open(ctx, "postgres:"+rest, &pglog.Options{
		Migrate: true, Retention: bounds.Retention, Replica: eventlog.ReplicaOptions{Memory: bounds, Logger: logger}, Logger: logger,
	})
}

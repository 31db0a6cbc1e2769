package migrate

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/buffkit/buffkit/migrate/dialect"
	"github.com/buffkit/buffkit/migrate/lexer"
	"github.com/buffkit/buffkit/migrate/source"
)

// Ref names a migration: its source and its version.
type Ref = source.Ref

// Version is the number of a migration, as digits.
type Version = source.Version

// Source is a set of migrations that one party writes.
type Source struct {
	// Name is part of the key under which the ledger knows a migration, and of what other migrations depend on. Letters, digits
	// and any of "._/-". Default DefaultSource.
	Name string
	// FS holds the files: an embed.FS, os.DirFS, fs.Sub of one. May be nil if there is Go. See Foreign for one of another tool.
	FS fs.FS
	// Go are migrations that are code.
	Go []GoMigration
	// Loaded are migrations that source.Load has found already, of several folders for instance.
	Loaded []source.Migration
}

// DefaultSource is the name of a source that has none.
const DefaultSource = "app"

// GoMigration is a migration that is code instead of SQL.
type GoMigration struct {
	Version Version
	Name    string
	// Up and Down do it. They are called with the migration's transaction; on MySQL and MariaDB, where DDL commits by itself, it
	// protects the data statements only. Down may be nil.
	Up, Down func(ctx context.Context, db DB) error
	// Checksum is whatever you change when the code does something else; the ledger keeps it. Empty: changes go unnoticed.
	Checksum string
	Depends  []Ref
	Env      []string // as the header env: of a file
	// NoTransaction lets Up and Down run in no transaction, so that they can have several of their own. They are called again if the
	// process dies in them and Repair says that they aren't done.
	NoTransaction bool
	// DataOnly says that Up and Down change rows and nothing else: what commits by itself is refused. So they are one transaction with the
	// ledger on MySQL and MariaDB too, and an interrupted one has left nothing.
	DataOnly bool
	// Repeatable lets Up run again when Checksum has changed.
	Repeatable bool
	// RequiresApp is as the header requires-app: of a file.
	RequiresApp string
	// Path is what messages call it. Default "Go code".
	Path string
}

// DB is what a migration in Go, and whoever else is asked during a run, talks to. It is good until the function returns, and for one call
// at a time. A *sql.DB is one too.
type DB interface {
	// ExecContext is that of database/sql.
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	// QueryContext is that of database/sql.
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	// QueryRowContext is that of database/sql.
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// Options of New. Zero fields mean the defaults.
type Options struct {
	// Sources are the migrations. Several share one plan; where nothing else is said the first one's go first.
	Sources []Source
	// Table is the ledger. Its companions are Table_journal and, where there is a lease, Table_lock. It lives in the schema that is current
	// for the connection. Letters, digits and _. Default DefaultTable.
	Table string
	// Environment is where this is: development, production. Migrations with a header env: that doesn't name it are left out.
	Environment string
	// AllowOutOfOrder runs a migration whose version is lower than one that was applied. Without it that is an error, since it is
	// how two branches that were merged end up with two schemas.
	AllowOutOfOrder bool
	// AllowMissing runs although the ledger has migrations of these sources that the sources don't have: this program is older than the
	// database, or a file is gone. Migrations of other sources are other programs', which may share the ledger.
	AllowMissing bool
	// AppVersion is the version of the program that works with the database, as 1.4.0. A migration may declare the oldest one that works with the
	// schema behind it, by the header requires-app:, and the ledger keeps that: so a program that meets a newer database is told. Default: it isn't
	// looked at.
	AppVersion string
	// AppPolicy is what happens to a program that is too old. Default AppRefuse.
	AppPolicy AppPolicy
	// Check looks at the plan of an up that isn't empty and has no other fault, before anything runs: package migrate/lint/live has one
	// that asks the linter. Nil: nobody does.
	Check Check
	// Lock is how two runners are kept apart. Default AutoLock.
	Lock LockMode
	// LockWait is how long to wait for another runner. Default DefaultLockWait; negative: not at all.
	LockWait time.Duration
	// LockTimeout is how long a statement may wait for the locks that other transactions hold, while others queue behind it. Then its
	// migration is rolled back, where that is possible, and tried again after a pause. Default DefaultLockTimeout; negative: whatever the
	// server does by default. CREATE INDEX CONCURRENTLY and its like wait as long as it takes. MySQL and MariaDB count in whole seconds.
	LockTimeout time.Duration
	// Retries is how often a migration is tried again after LockTimeout or a deadlock. Default DefaultRetries; negative: not at all.
	Retries int
	// Monitor notes the sizes of the tables that a migration names, before and behind it, and on PostgreSQL the locks that it held; both stand in the
	// ledger and in StepResult. It costs two queries for each table, and one more. Durations and waits for locks are noted anyway.
	Monitor bool
	// Lexer is how files are read: the sql_mode of MySQL, the longest statement.
	Lexer lexer.Options
	// Hooks observe.
	Hooks Hooks
	// Logger gets what nobody else is told. Default: slog.Default().
	Logger *slog.Logger
}

// The defaults of Options.
const (
	DefaultTable       = "buffkit_migrations"
	DefaultLockWait    = 10 * time.Minute // longer than most migrations, shorter than a deploy's patience
	DefaultLockTimeout = 5 * time.Second  // what the app's requests can wait behind ours; as strong_migrations and pgroll have it within a factor
	DefaultRetries     = 10               // with pauses that double up to maxPause: over a minute in all
)

// Migrator runs migrations on one database. Its methods may be called at any time; those that change something wait for each other
// by the lock in the database, as they do for those of other processes.
type Migrator struct {
	db      *sql.DB
	dialect dialect.Dialect
	opts    Options
	server  server
	log     *slog.Logger
	runner  string // host:pid
}

// New returns a runner of migrations. It doesn't talk to the database yet, and never closes it.
//
// PostgreSQL, MySQL and MariaDB take two connections of the pool at once. SQLite takes one, so that :memory: works with SetMaxOpenConns(1).
func New(db *sql.DB, d dialect.Dialect, opts *Options) (*Migrator, error) {
	var o Options
	if opts != nil {
		o = *opts
	}
	if db == nil {
		return nil, errors.New("migrate: New needs a *sql.DB: open one with the driver of your choice")
	}
	if err := o.complete(); err != nil {
		return nil, err
	}
	s, err := newServer(d, &o)
	if err != nil {
		return nil, err
	}
	host, err := os.Hostname()
	if err != nil || host == "" {
		host = "unknown"
	}
	return &Migrator{db: db, dialect: d, opts: o, server: s, log: o.Logger, runner: fmt.Sprintf("%s:%d", host, os.Getpid())}, nil
}

func (o *Options) complete() error {
	if o.Table == "" {
		o.Table = DefaultTable
	}
	if strings.Trim(o.Table, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") != "" || len(o.Table) > maxTableName {
		return fmt.Errorf("migrate: Options.Table %q: use up to %d letters, digits and _", o.Table, maxTableName)
	}
	if o.LockWait == 0 {
		o.LockWait = DefaultLockWait
	}
	if o.LockTimeout == 0 {
		o.LockTimeout = DefaultLockTimeout
	}
	if o.Retries == 0 {
		o.Retries = DefaultRetries
	}
	if _, err := source.ParseAppVersion(o.AppVersion); err != nil && o.AppVersion != "" {
		return fmt.Errorf("migrate: Options.AppVersion: %w; leave it empty for a build without a version", err)
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if len(o.Sources) == 0 {
		return errors.New("migrate: Options.Sources is empty: give at least one, as in migrate.Source{FS: os.DirFS(\"migrations\")}")
	}
	o.Sources = append([]Source(nil), o.Sources...)
	seen := map[string]bool{}
	for i := range o.Sources {
		s := &o.Sources[i]
		if s.Name == "" {
			s.Name = DefaultSource
		}
		if _, err := source.ParseRef(s.Name + ":1"); err != nil || len(s.Name) > maxSourceName {
			return fmt.Errorf("migrate: the source name %q: use up to %d letters, digits and any of ._/-", s.Name, maxSourceName)
		}
		if seen[s.Name] {
			return fmt.Errorf("migrate: two sources are named %q: give each its own Name", s.Name)
		}
		seen[s.Name] = true
		if s.FS == nil && s.Go == nil && s.Loaded == nil {
			return fmt.Errorf("migrate: the source %q has neither FS nor Go", s.Name)
		}
	}
	return nil
}

// What the columns of the ledger hold, and what identifiers may be long: 63 bytes in PostgreSQL, with "_journal_pkey" behind it.
const (
	maxTableName  = 48
	maxSourceName = 128
	maxVersion    = 64
	maxName       = 255
)

// Dialect returns the dialect that New was given.
func (m *Migrator) Dialect() dialect.Dialect { return m.dialect }

// Up applies every migration that is pending.
func (m *Migrator) Up(ctx context.Context) (*Result, error) { return m.Run(ctx, Goal{Do: DoUp}) }

// UpTo applies the pending migrations of a source up to a version, and of others what they depend on.
func (m *Migrator) UpTo(ctx context.Context, to Ref) (*Result, error) {
	return m.Run(ctx, Goal{Do: DoUp, To: &to})
}

// Down undoes the last n migrations of the sources, the last applied first.
func (m *Migrator) Down(ctx context.Context, n int) (*Result, error) {
	return m.Run(ctx, Goal{Do: DoDown, Steps: n})
}

// DownTo undoes the migrations of a source above a version; version 0 is all of them. It may be a source that is in Options.Sources no
// more: its down scripts are in the ledger.
func (m *Migrator) DownTo(ctx context.Context, to Ref) (*Result, error) {
	return m.Run(ctx, Goal{Do: DoDown, To: &to})
}

// Redo undoes the last n migrations and applies them again.
func (m *Migrator) Redo(ctx context.Context, n int) (*Result, error) {
	return m.Run(ctx, Goal{Do: DoRedo, Steps: n})
}

// Reset undoes all migrations of the sources.
func (m *Migrator) Reset(ctx context.Context) (*Result, error) {
	return m.Run(ctx, Goal{Do: DoReset})
}

// Validate tells all that is wrong with the sources, and with them against the ledger. The error is a *PlanError.
func (m *Migrator) Validate(ctx context.Context) error {
	_, err := m.Plan(ctx, Goal{Do: DoUp})
	return err
}

// Wait returns when the database answers: for a container that starts beside it. It gives up with the context, and at once where waiting
// doesn't help: a wrong password, a database that isn't there.
func (m *Migrator) Wait(ctx context.Context) error {
	for p := newPause(50*time.Millisecond, time.Second); ; {
		err := m.db.PingContext(ctx)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return fmt.Errorf("migrate: wait for %s: %w", m.dialect.Title(), errors.Join(context.Cause(ctx), err))
		case m.server.hopeless(err):
			return fmt.Errorf("migrate: wait for %s: %w", m.dialect.Title(), err)
		}
		m.log.DebugContext(ctx, "migrate: the database doesn't answer yet", "err", err)
		if p.wait(ctx) != nil {
			return fmt.Errorf("migrate: wait for %s: %w", m.dialect.Title(), errors.Join(context.Cause(ctx), err))
		}
	}
}

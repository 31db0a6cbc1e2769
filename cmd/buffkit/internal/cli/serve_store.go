package cli

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/buffkit/buffkit/eventlog"
	"github.com/buffkit/buffkit/eventlog/pglog"
	"github.com/buffkit/buffkit/eventlog/redislog"
	"github.com/buffkit/buffkit/eventlog/sqlitelog"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/pflag"
)

const (
	logVar     = "BUFFKIT_LOG"
	dataFolder = "buffkit-data" // in the working directory, as ./migrations is: two apps of one user don't meet in it
	defaultLog = "sqlite:" + dataFolder
	logFile    = "log.db"
)

// addLog defines --log.
func addLog(flags *pflag.FlagSet, text *string, usage string) {
	flags.StringVar(text, "log", cmp.Or(os.Getenv(logVar), defaultLog), usage+" (default $"+logVar+", else "+defaultLog+")")
	flags.Lookup("log").DefValue = "" // what help would show: a URL has a password in it
}

// logPlace is where events are kept: what --log names.
type logPlace interface {
	// String names it, without what is secret.
	String() string
	// open opens the log for a hub, and makes it if need be. The bounds are those of the command line.
	open(ctx context.Context, bounds eventlog.MemoryOptions, logger *slog.Logger) (eventlog.Log, error)
	// check looks at it, and changes nothing.
	check(ctx context.Context) ([]eventlog.Finding, error)
	// visit opens the log beside those who work with it, and trims nothing of theirs. It returns errNoLog where there is none yet.
	visit(ctx context.Context, logger *slog.Logger) (eventlog.Log, error)
}

var errNoLog = errors.New("there is no log yet")

// logKind is a kind of log that --log may name.
type logKind struct {
	scheme string // what stands before the colon
	usage  string
	parse  func(rest string) (logPlace, error) // gets what stands behind it
}

var logKinds = []logKind{
	{"memory", "memory", func(string) (logPlace, error) { return memoryPlace{}, nil }},
	{"sqlite", "sqlite:DIR", func(folder string) (logPlace, error) { return sqlitePlace(folder), nil }},
	{"redis", "redis://HOST", parseRedis("redis:")},
	{"rediss", "rediss://HOST", parseRedis("rediss:")},
	{"postgres", "postgres://HOST/DATABASE", parsePostgres},
	{"postgresql", "postgresql://HOST/DATABASE", parsePostgres},
}

// parseLog returns what --log names. What is wrong with it is wrong usage.
func parseLog(text string) (logPlace, error) {
	scheme, rest, _ := strings.Cut(text, ":")
	var usages []string
	for _, kind := range logKinds {
		usages = append(usages, kind.usage)
		if !strings.EqualFold(kind.scheme, scheme) {
			continue
		}
		if (rest == "") != (kind.scheme == kind.usage) {
			return nil, usagef("--log %s: write --log %s", kind.scheme, kind.usage)
		}
		at, err := kind.parse(rest)
		if err != nil {
			return nil, usagef("--log: %w", err)
		}
		return at, nil
	}
	return nil, usagef("--log: no log of the kind %.32q in this version: use --log %s", scheme, strings.Join(usages, " or --log "))
}

type memoryPlace struct{}

func (memoryPlace) String() string { return "memory" }

func (memoryPlace) open(_ context.Context, bounds eventlog.MemoryOptions, _ *slog.Logger) (eventlog.Log, error) {
	return eventlog.NewMemory(&bounds), nil
}

func (memoryPlace) check(context.Context) ([]eventlog.Finding, error) {
	return []eventlog.Finding{eventlog.FoundWarning("events are in memory: they end with the process, and every reader is told a gap then",
		"keep them where they last: --log sqlite:DIR, redis://HOST or postgres://HOST/DATABASE")}, nil
}

func (memoryPlace) visit(context.Context, *slog.Logger) (eventlog.Log, error) { return nil, errNoLog }

// sqlitePlace is a folder.
type sqlitePlace string

const fileShare = 4 // a file may hold so many times what memory may: a disk has more room

func (p sqlitePlace) String() string { return "sqlite:" + p.folder() }

// folder is the whole path, if the system tells it.
func (p sqlitePlace) folder() string {
	if full, err := filepath.Abs(string(p)); err == nil {
		return full
	}
	return string(p)
}

func (p sqlitePlace) file() string { return filepath.Join(string(p), logFile) }

func (p sqlitePlace) open(ctx context.Context, bounds eventlog.MemoryOptions, logger *slog.Logger) (eventlog.Log, error) {
	if err := p.prepare(); err != nil {
		return nil, err
	}
	opts := sqlitelog.Options{
		Retention: bounds.Retention, MaxBytes: bounds.MaxBytes * fileShare,
		Replica: eventlog.ReplicaOptions{Memory: bounds, Logger: logger},
	}
	return sqlitelog.Open(ctx, p.file(), &opts)
}

// prepare makes the folder if need be: nobody else may look into it. The one that nobody named may be in a repository, and keeps out of it.
func (p sqlitePlace) prepare() error {
	if err := os.MkdirAll(string(p), 0o700); err != nil {
		return fmt.Errorf("%w: name a folder that can be written to, with --log sqlite:DIR, or do without: --log memory", err)
	}
	if root, _, _ := strings.Cut(filepath.ToSlash(string(p)), "/"); root == dataFolder {
		return writeNew(filepath.Join(root, ".gitignore"), "*\n")
	}
	return nil
}

// writeNew writes a file unless there is one: that is its owner's.
func writeNew(name, text string) error {
	file, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	_, err = file.WriteString(text)
	return errors.Join(err, file.Close())
}

// check looks at the folder, or if it isn't there at the one it would be made in.
func (p sqlitePlace) check(ctx context.Context) ([]eventlog.Finding, error) {
	folder := p.folder()
	var found []eventlog.Finding
	for !exists(folder) && folder != filepath.Dir(folder) {
		folder = filepath.Dir(folder)
		found = []eventlog.Finding{eventlog.FoundOK("the folder isn't there yet: it is made when the log is opened")}
	}
	more, err := sqlitelog.Check(ctx, filepath.Join(folder, logFile))
	return append(found, more...), err
}

func exists(name string) bool {
	_, err := os.Stat(name)
	return !errors.Is(err, fs.ErrNotExist)
}

// hasLog tells whether there is a log in the file, which may be another program's.
func (p sqlitePlace) hasLog(ctx context.Context) (has bool, err error) {
	if !exists(p.file()) {
		return false, nil
	}
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: filepath.Join(p.folder(), logFile)}).EscapedPath(), RawQuery: "mode=ro"}).String())
	if err != nil {
		return false, err
	}
	defer db.Close()
	err = db.QueryRowContext(ctx, "SELECT count(*) > 0 FROM sqlite_master WHERE type = 'table' AND name = 'buffkit_log'").Scan(&has)
	return has, err
}

func (p sqlitePlace) visit(ctx context.Context, logger *slog.Logger) (eventlog.Log, error) {
	if has, err := p.hasLog(ctx); err != nil || !has {
		return nil, cmp.Or(err, errNoLog)
	}
	return sqlitelog.Open(ctx, p.file(), &sqlitelog.Options{
		Retention: everything, MaxBytes: -1, IdempotencyWindow: -1, Replica: eventlog.ReplicaOptions{Logger: logger},
	})
}

// What doctor opens a log with, so that it deletes nothing, and leaves little.
var (
	everything = eventlog.Retention{Count: -1, Bytes: -1, Age: -1}
	little     = eventlog.Retention{Count: 100, Bytes: 64 << 10, Age: time.Minute} // other nodes' doctors may come at the same time
)

// redisPlace are the options of a Redis or Valkey that the URL names; redislog.ParseURL says what may stand in it.
type redisPlace redislog.Options

func parseRedis(scheme string) func(string) (logPlace, error) {
	return func(rest string) (logPlace, error) {
		opts, err := redislog.ParseURL(scheme + rest)
		if err != nil {
			return nil, err
		}
		return (*redisPlace)(opts), nil
	}
}

func (p *redisPlace) String() string {
	text := "redis://" + strings.Join(p.Addrs, ",")
	if p.Sentinel != "" {
		text += "?sentinel=" + p.Sentinel
	}
	return text
}

func (p *redisPlace) open(ctx context.Context, bounds eventlog.MemoryOptions, logger *slog.Logger) (eventlog.Log, error) {
	opts := redislog.Options(*p)
	opts.Retention = p.retention(bounds.Retention)
	bounds.Retention = opts.Retention // what Redis drops, a node needn't have
	opts.Replica = &eventlog.ReplicaOptions{Memory: bounds, Logger: logger}
	return redislog.Open(ctx, &opts)
}

// retention is that of the command line, but for what the URL says.
func (p *redisPlace) retention(flags eventlog.Retention) eventlog.Retention {
	r := p.Retention
	return eventlog.Retention{Count: cmp.Or(r.Count, flags.Count), Bytes: cmp.Or(r.Bytes, flags.Bytes), Age: cmp.Or(r.Age, flags.Age)}
}

func (p *redisPlace) check(ctx context.Context) ([]eventlog.Finding, error) {
	return redislog.Check(ctx, (*redislog.Options)(p))
}

const ages = 100 * 365 * 24 * time.Hour // as good as no limit, where there must be one

// visit: of topics that it doesn't append to, a redislog deletes only what Forget and MaxBytes say, and the tail by what TailBytes and TailAge say.
func (p *redisPlace) visit(ctx context.Context, logger *slog.Logger) (eventlog.Log, error) {
	if has, err := redislog.HasLog(ctx, (*redislog.Options)(p)); err != nil || !has {
		return nil, cmp.Or(err, errNoLog)
	}
	opts := redislog.Options(*p)
	opts.Retention, opts.MaxBytes = little, -1
	opts.TailBytes, opts.TailAge, opts.Forget = 1<<50, ages, ages
	opts.Replica = &eventlog.ReplicaOptions{Logger: logger}
	return redislog.Open(ctx, &opts)
}

// postgresPlace is a URL that pgx can read.
type postgresPlace struct {
	url    string
	config *pgxpool.Config
}

func parsePostgres(rest string) (logPlace, error) {
	url := "postgres:" + rest
	config, err := pgxpool.ParseConfig(url) // its error shows no password
	if err != nil {
		return nil, err
	}
	return postgresPlace{url, config}, nil
}

func (p postgresPlace) String() string {
	c := p.config.ConnConfig
	return "postgres://" + net.JoinHostPort(c.Host, strconv.Itoa(int(c.Port))) + "/" + c.Database
}

func (p postgresPlace) open(ctx context.Context, bounds eventlog.MemoryOptions, logger *slog.Logger) (eventlog.Log, error) {
	return pglog.Open(ctx, p.url, &pglog.Options{
		Migrate: true, Retention: bounds.Retention, Replica: eventlog.ReplicaOptions{Memory: bounds, Logger: logger}, Logger: logger,
	})
}

func (p postgresPlace) check(ctx context.Context) ([]eventlog.Finding, error) {
	return pglog.Check(ctx, p.url)
}

func (p postgresPlace) visit(ctx context.Context, logger *slog.Logger) (eventlog.Log, error) {
	log, err := pglog.Open(ctx, p.url, &pglog.Options{
		Retention: everything, IdempotencyWindow: -1, Logger: logger,
		RetentionOf: func(topic string) eventlog.Retention {
			if topic == doctorTopic {
				return little
			}
			return eventlog.Retention{}
		},
	})
	if errors.Is(err, pglog.ErrNoSchema) {
		return nil, errNoLog
	}
	return log, err
}

package sqlitelog

import (
	"context"
	"database/sql"
	"fmt"
	"math"
	"time"

	"github.com/buffkit/buffkit/eventlog"
)

// Defaults of Options.
const (
	DefaultMaxBytes = 1 << 30            // 1 GiB, and about a quarter more on the disk
	DefaultAge      = 7 * 24 * time.Hour // who was away for a week reads the page anew
)

// Options of Open. The zero value, and nil, mean the defaults; negative limits mean none.
type Options struct {
	// Retention of every topic in the file. Default: the counts and bytes of eventlog's defaults, and DefaultAge.
	Retention eventlog.Retention
	// RetentionOf, if set, gives the retention of a topic; zero fields then mean those of Retention. All processes that share the file should agree.
	// It is called often, and calls overlap: it must not call the log, nor panic.
	RetentionOf func(topic string) eventlog.Retention
	// MaxBytes bounds the bodies and keys of all events in the file. Over it, the oldest events of the largest topics are deleted. Default DefaultMaxBytes.
	MaxBytes int64
	// IdempotencyWindow is how long an idempotency key is remembered. Default eventlog.DefaultIdempotency.
	IdempotencyWindow time.Duration
	// Replica is for what is kept in memory, for keys that seal, and for the logger. Its Retention and
	// RetentionOf are those above if they are unset.
	Replica eventlog.ReplicaOptions

	pragmas []string // a test's, of every connection
}

func (o *Options) setDefaults() {
	o.Retention = retentionOr(o.Retention, eventlog.Retention{
		Count: eventlog.DefaultRetentionCount, Bytes: eventlog.DefaultRetentionBytes, Age: DefaultAge,
	})
	o.MaxBytes = limit(o.MaxBytes, DefaultMaxBytes, math.MaxInt64)
	o.IdempotencyWindow = limit(o.IdempotencyWindow, eventlog.DefaultIdempotency, math.MaxInt64)
	if o.Replica.Memory.Retention == (eventlog.Retention{}) {
		o.Replica.Memory.Retention = o.Retention
	}
	if o.Replica.Memory.RetentionOf == nil {
		o.Replica.Memory.RetentionOf = o.RetentionOf
	}
}

// retentionOf returns what is kept of a topic.
func (o *Options) retentionOf(topic string) eventlog.Retention {
	if o.RetentionOf == nil {
		return o.Retention
	}
	return retentionOr(o.RetentionOf(topic), o.Retention)
}

// Log is an eventlog.Log in a SQLite file.
type Log struct {
	*eventlog.Replica
	store *Store
}

// Open opens a log, and creates its file if it isn't there: two more, of the same name and "-wal" or "-shm", stand beside it while it is open. Close
// closes it.
func Open(ctx context.Context, path string, opts *Options) (*Log, error) {
	store, err := OpenStore(ctx, path, opts)
	if err != nil {
		return nil, err
	}
	replica, err := eventlog.NewReplica(ctx, store, &store.opts.Replica)
	if err != nil {
		store.Close()
		return nil, fmt.Errorf("sqlitelog: open %s: %w", path, err)
	}
	return &Log{Replica: replica, store: store}, nil
}

// AppendTx stores events in a transaction of the app's on the same file, through any driver: they exist if and only if it commits, and
// arrive within milliseconds then. It returns their cursors, which mean nothing if it doesn't.
//
// It takes the file's write lock, which every other writer then waits for until the transaction ends: call it late. A transaction that has
// read before it writes can fail with SQLITE_BUSY_SNAPSHOT, here as at any statement that writes: begin it with
// BEGIN IMMEDIATE ("_txlock=immediate" in the name of modernc's and mattn's drivers), or run it again.
//
// Errors: *eventlog.EventError, the driver's. The transaction should be rolled back then.
func (l *Log) AppendTx(ctx context.Context, tx *sql.Tx, events ...eventlog.Event) ([]eventlog.Cursor, error) {
	records, err := l.Records(events...)
	if err != nil || len(records) == 0 {
		return nil, err
	}
	epoch, err := l.store.AppendTx(ctx, tx, records)
	if err != nil {
		return nil, err
	}
	cursors := make([]eventlog.Cursor, len(records))
	for i, r := range records {
		cursors[i] = eventlog.NewCursor(epoch, r.Offset)
	}
	return cursors, nil
}

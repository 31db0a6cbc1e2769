package pglog

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/buffkit/buffkit/migrate"
	"github.com/buffkit/buffkit/migrate/dialect"
)

// SourceName is the name of Source in the ledger of package migrate.
const SourceName = "pglog"

//go:embed migrations/*.sql
var files embed.FS

// Source is the schema of the log, for an app's own plan of migrations. An app that has none opens the log with Options.Migrate.
func Source() migrate.Source {
	folder, err := fs.Sub(files, "migrations")
	if err != nil {
		panic(err) // the folder is embedded
	}
	return migrate.Source{Name: SourceName, FS: folder}
}

// ErrNoSchema is returned by Open and its like when the tables of the log aren't there.
var ErrNoSchema = errors.New("pglog: the log's tables aren't in this database: open it with Options.Migrate, or add pglog.Source() to the app's migrations and run them")

func migrateUp(ctx context.Context, c conns, pooled bool, logger *slog.Logger) error {
	db, done := c.db(pooled)
	opts := &migrate.Options{Sources: []migrate.Source{Source()}, AllowMissing: true, Logger: logger}
	if pooled {
		opts.Lock = migrate.LeaseLock
	}
	m, err := migrate.New(db, dialect.Postgres, opts)
	if err == nil {
		_, err = m.Up(ctx)
	}
	return errors.Join(err, done())
}

// queries are the statements of a store, with the schema that its tables are in.
type queries struct {
	appendNext, append, appendOnce, appendTx, tail, history, newest, supersede, epoch, indexLock, unindexed, indexRows, dirty, walk, trim, collect, forget string
	channel                                                                                                                                                string // of its notifications
}

func newQueries(schema string, oid uint32) queries {
	channel := fmt.Sprintf("buffkit_log_%d", oid)
	in := strings.NewReplacer("{log}", pgx.Identifier{schema}.Sanitize()+".buffkit_log", "{channel}", channel).Replace
	return queries{
		appendNext: in(appendNextQuery),
		append:     in(appendQuery),
		appendOnce: in(appendOnceQuery),
		appendTx:   in(appendTxQuery),
		tail:       in(tailQuery),
		history:    in(fmt.Sprintf(historyQuery, "ASC", oldestQuery)),
		newest:     in(fmt.Sprintf(historyQuery, "DESC", newestQuery)),
		supersede:  in(supersedeQuery),
		epoch:      in(epochQuery),
		indexLock:  in(indexLockQuery),
		unindexed:  in(unindexedQuery),
		indexRows:  in(indexRowsQuery),
		dirty:      in(dirtyQuery),
		walk:       in(walkQuery),
		trim:       in(trimQuery),
		collect:    in(collectQuery),
		forget:     in(forgetQuery),
		channel:    channel,
	}
}

const locateQuery = `
SELECT n.nspname, c.oid
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = to_regclass('buffkit_log')`

// locate finds the tables by the connection's search_path.
func locate(ctx context.Context, c conns) (q queries, err error) {
	err = c.with(ctx, func(conn *pgx.Conn) error {
		var schema string
		var oid uint32
		err := conn.QueryRow(ctx, locateQuery, pgx.QueryExecModeExec).Scan(&schema, &oid)
		if errors.Is(err, pgx.ErrNoRows) {
			return ErrNoSchema
		}
		q = newQueries(schema, oid)
		return err
	})
	return q, err
}

// server is what one connection tells of the server behind it.
type server struct {
	version  int    // 150004 is 15.4
	encoding string // of the database
	pooled   bool   // a pooler stands between: the process that answers isn't the one that the connection was made with
	strict   bool   // its default isolation is stricter than READ COMMITTED
	copies   bool   // it is a standby
}

const serverQuery = `SELECT current_setting('server_version_num')::int, current_setting('server_encoding'), pg_backend_pid(), pg_is_in_recovery(),
	current_setting('default_transaction_isolation') NOT IN ('read committed', 'read uncommitted')`

func look(ctx context.Context, c conns) (s server, err error) {
	err = c.with(ctx, func(conn *pgx.Conn) error {
		var pid uint32
		if err := conn.QueryRow(ctx, serverQuery, pgx.QueryExecModeExec).Scan(&s.version, &s.encoding, &pid, &s.copies, &s.strict); err != nil {
			return err
		}
		s.pooled = pid != conn.PgConn().PID()
		return nil
	})
	return s, err
}

const minVersion = 130000 // PostgreSQL 13: xid8 and gen_random_uuid without an extension; 12 has been without updates since 2024

func (s server) check() error {
	switch {
	case s.version < minVersion:
		return fmt.Errorf("pglog: PostgreSQL %d is too old: version %d or later is needed", s.version/10000, minVersion/10000)
	case s.encoding != "UTF8":
		return fmt.Errorf("pglog: the database's encoding is %s: create one with ENCODING 'UTF8'", s.encoding)
	}
	return nil
}

// epochColumn is the log's epoch, or 0 where the server follows another one: what such a server hasn't got yet would be taken for lost.
const epochColumn = `CASE WHEN pg_is_in_recovery() THEN 0 ELSE l.epoch END`

// ErrStandby is returned by Open and its like for a server that follows another one, and by reads once a pool leads to one.
var ErrStandby = errors.New("pglog: the server is a standby, which takes no events: connect to the primary, or name all of them in the URL and add target_session_attrs=read-write")

package migrate

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"reflect"
	"time"

	"github.com/buffkit/buffkit/migrate/dialect"
)

// server is what differs from database to database.
type server interface {
	// quote quotes an identifier.
	quote(name string) string
	// bind puts the database's placeholders in place of each ?.
	bind(query string) string
	// types spells the columns of the ledger.
	types() columnTypes
	// rollsBackDDL tells whether CREATE TABLE and the like are part of a transaction.
	rollsBackDDL() bool
	// begin is the statement that begins a transaction.
	begin() string

	// schema returns where a table without a schema is made; "" if there are no schemas.
	schema(ctx context.Context, q querier) (string, error)
	// columns returns those of a table, none if there is no such table.
	columns(ctx context.Context, q querier, schema, table string) ([]string, error)

	// others are the schemas besides the current one in which the connection finds a table by its name alone, in their order.
	others(ctx context.Context, q querier, table string) ([]string, error)

	// loose returns the tables whose rows no transaction rolls back; "new tables" if tables are made like that by default.
	loose(ctx context.Context, q querier, schema string) ([]string, error)

	// prepare sets a connection up that reads, or holds a lock. undo is what the pool's next user should not find changed.
	prepare(ctx context.Context, q querier) (undo string, err error)
	// open sets a connection up to work on, and returns its number.
	open(ctx context.Context, q querier, runner string) (id int64, err error)
	// reset takes back what open has changed, on a connection that turned out to be others' as well.
	reset() string
	// waitForLocks makes the statements that follow wait for locks as long as it takes, or not.
	waitForLocks(ctx context.Context, q querier, forever bool) error
	// cancel stops what a connection runs. The connection is kept.
	cancel(ctx context.Context, q querier, id int64) error
	// cancels tells whether cancel is needed: without it the driver stops the work when its context ends.
	cancels() bool
	// blockers says who holds the locks that a connection waits for.
	blockers(ctx context.Context, q querier, id int64) ([]string, error)

	// progress says how far the statement of a connection is, in percent of its phase; -1 if it isn't known.
	progress(ctx context.Context, q querier, id int64) (phase string, percent float64, err error)
	// size is what a table takes on the disk in bytes, -1 if there is none of that quoted name.
	size(ctx context.Context, q querier, name string) (int64, error)
	// locks are those of the transaction that is open, a line each.
	locks(ctx context.Context, q querier) ([]string, error)

	// tryLock takes a lock of the connection's, or doesn't.
	tryLock(ctx context.Context, q querier, name lockName) (bool, error)
	// unlock gives it back.
	unlock(ctx context.Context, q querier, name lockName) error
	// holder says who has a lock; nil if nobody.
	holder(ctx context.Context, q querier, name lockName) (*Holder, error)
	// clock is an expression: microseconds since 1970, as the server has it.
	clock() string

	// probe returns what the catalog says about objects, in a text that is the same as long as they are.
	probe(ctx context.Context, q querier, objects []object) (string, error)
	// judge says what an error means.
	judge(err error) fault
	// hopeless tells whether a connection fails for a reason that waiting doesn't change.
	hopeless(err error) bool
}

// fault is what the runner needs to know of a server's error.
type fault struct {
	busy     bool // a lock wasn't to be had, or there was a deadlock: try again
	position int  // in the statement, in characters from 1; 0 if unknown
	hint     string
}

func newServer(d dialect.Dialect, o *Options) (server, error) {
	switch d {
	case dialect.Postgres:
		return &postgres{lockTimeout: o.LockTimeout, leased: o.Lock == LeaseLock}, nil
	case dialect.SQLite:
		return &sqlite{}, nil
	case dialect.MySQL, dialect.MariaDB:
		return &mysql{dialect: d, lockTimeout: o.LockTimeout, leased: o.Lock == LeaseLock}, nil
	}
	return nil, fmt.Errorf("migrate: %v is no dialect: use dialect.Postgres, MySQL, MariaDB or SQLite", d)
}

// connection is one of the pool's that goes back as it was.
type connection struct {
	*sql.Conn
	undo string
}

// Close gives the connection back to the pool. It is no error if it was closed for good.
func (c *connection) Close() error {
	if c.undo != "" {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_, _ = c.ExecContext(ctx, c.undo)
	}
	if err := c.Conn.Close(); !errors.Is(err, sql.ErrConnDone) {
		return err
	}
	return nil
}

// connect takes a connection to read on.
func (m *Migrator) connect(ctx context.Context) (*connection, error) {
	conn, err := m.db.Conn(ctx)
	if err != nil {
		return nil, fmt.Errorf("migrate: connect to %s: %w", m.dialect.Title(), advised(m.server, err))
	}
	undo, err := m.server.prepare(ctx, conn)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("migrate: set up a connection: %w", advised(m.server, err)), conn.Close())
	}
	return &connection{conn, undo}, nil
}

// advised adds what to do, where that is known.
func advised(s server, err error) error {
	if hint := s.judge(err).hint; hint != "" {
		return fmt.Errorf("%w\n    %s", err, hint)
	}
	return err
}

// sqlState returns the code of an error as PostgreSQL's drivers give it.
func sqlState(err error) string {
	var coded interface{ SQLState() string }
	if errors.As(err, &coded) {
		return coded.SQLState()
	}
	return ""
}

// number returns a numeric field of a driver's error, of whatever type it is: this package imports no driver.
func number(err error, field string) int {
	if err == nil {
		return 0
	}
	v := reflect.ValueOf(err)
	for v.Kind() == reflect.Pointer && !v.IsNil() {
		v = v.Elem()
	}
	if v.Kind() == reflect.Struct {
		switch f := v.FieldByName(field); {
		case f.IsValid() && f.CanInt():
			return int(f.Int())
		case f.IsValid() && f.CanUint():
			return int(f.Uint())
		}
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range joined.Unwrap() {
			if n := number(e, field); n != 0 {
				return n
			}
		}
		return 0
	}
	return number(errors.Unwrap(err), field)
}

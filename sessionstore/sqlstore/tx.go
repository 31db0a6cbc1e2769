package sqlstore

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/buffkit/buffkit/migrate/dialect"
	"github.com/buffkit/buffkit/sessionstore"
)

// session is a *sql.DB, *sql.Tx or *sql.Conn.
type session interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// tx is a transaction that may write.
type tx struct {
	store   *Store
	session session
}

// exec runs a statement of its parts.
func (t *tx) exec(ctx context.Context, parts ...any) error {
	return t.run(ctx, t.store.query(parts...))
}

func (t *tx) run(ctx context.Context, q query) error {
	_, err := t.session.ExecContext(ctx, q.text, q.args...)
	return err
}

// each calls scan for every row of a query.
func (s *Store) each(ctx context.Context, on session, q query, scan func(rows *sql.Rows) error) error {
	found, err := on.QueryContext(ctx, q.text, q.args...)
	if err != nil {
		return err
	}
	defer found.Close()
	for found.Next() {
		if err := scan(found); err != nil {
			return err
		}
	}
	return found.Err()
}

// number reads the one number of a query; ok is false if there is no row.
func (t *tx) number(ctx context.Context, parts ...any) (n int64, ok bool, err error) {
	err = t.store.each(ctx, t.session, t.store.query(parts...), func(rows *sql.Rows) error {
		ok = true
		return rows.Scan(&n)
	})
	return n, ok, err
}

// inTx runs f within a transaction, and again if the database has ended that for another one's sake: f mustn't keep what an earlier try has done.
func (s *Store) inTx(ctx context.Context, f func(t *tx) error) error {
	if err := s.begin(ctx); err != nil {
		return err
	}
	if s.dialect == dialect.SQLite {
		select {
		case s.writing <- struct{}{}:
			defer func() { <-s.writing }()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	deadline := time.Now().Add(tryFor)
	for pause := time.Millisecond; ; pause = min(2*pause, longestPause) {
		err := s.try(ctx, f)
		if err == nil || !isBusy(err) || time.Now().After(deadline) {
			return err
		}
		select {
		case <-time.After(rand.N(pause) + time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("%w, while it was tried again after: %w", ctx.Err(), err)
		}
	}
}

const longestPause = 50 * time.Millisecond // between two tries: some transactions' time

func (s *Store) try(ctx context.Context, f func(t *tx) error) error {
	if s.dialect == dialect.SQLite {
		return s.tryImmediate(ctx, f)
	}
	inner, err := s.db.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelReadCommitted}) // what was read is locked, and MySQL locks no gaps
	if err != nil {
		return err
	}
	if err := f(&tx{s, inner}); err != nil {
		_ = inner.Rollback()
		return err
	}
	return inner.Commit()
}

// tryImmediate begins a transaction that has SQLite's lock from the start: one that gets it when it writes first may be too late. database/sql
// can't ask for that.
func (s *Store) tryImmediate(ctx context.Context, f func(t *tx) error) error {
	conn, err := s.db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := conn.ExecContext(ctx, "BEGIN IMMEDIATE"); err != nil {
		return err
	}
	err = f(&tx{s, conn})
	if err == nil {
		if _, err = conn.ExecContext(ctx, "COMMIT"); err == nil {
			return nil
		}
	}
	if _, failed := conn.ExecContext(context.WithoutCancel(ctx), "ROLLBACK"); failed != nil && !strings.Contains(failed.Error(), "no transaction is active") {
		_ = conn.Raw(func(any) error { return driver.ErrBadConn }) // whoever got it next would be in our transaction
	}
	return err
}

// isBusy tells whether a transaction was ended for another one's sake: by a deadlock, since both made the same row, or since SQLite has one
// writer.
func isBusy(err error) bool {
	switch sqlState(err) {
	case "40P01", "40001", "23505": // deadlock_detected, serialization_failure, unique_violation
		return true
	}
	text := err.Error()
	for _, busy := range []string{
		"Error 1213", "Error 1062", "Error 1020", // ER_LOCK_DEADLOCK, ER_DUP_ENTRY, ER_CHECKREAD, as github.com/go-sql-driver/mysql writes them
		"SQLITE_BUSY", "database is locked", "database table is locked",
	} {
		if strings.Contains(text, busy) {
			return true
		}
	}
	return false
}

// sqlState returns the code of an error as PostgreSQL's drivers give it.
func sqlState(err error) string {
	var coded interface{ SQLState() string }
	if errors.As(err, &coded) {
		return coded.SQLState()
	}
	return ""
}

func localClock() int64 { return time.Now().UnixMicro() }

// checkNode tells whether a name fits its column.
func checkNode(node string) error {
	if len(node) == 0 || len(node) > maxNode {
		return fmt.Errorf("sqlstore: the name of a node has %d bytes: give it 1 to %d", len(node), maxNode)
	}
	return nil
}

// States of a session in its row.
var causes = []error{nil, sessionstore.ErrRevoked, sessionstore.ErrReplayed}

func stateOf(cause error) int64 {
	for state, c := range causes {
		if errors.Is(cause, c) {
			return int64(state)
		}
	}
	return 1
}

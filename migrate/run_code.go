package migrate

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"

	"github.com/buffkit/buffkit/migrate/lexer"
)

// codeDB is what code talks to.
type codeDB struct {
	run   *run
	data  bool   // it may change rows only
	seen  string // the last query that was looked at
	rows  int64
	ended atomic.Bool
	alone atomic.Bool // it sent a statement that commits by itself
}

var errEnded = errors.New("migrate: the migration's function has returned, and its DB ended with it")

func (d *codeDB) end() { d.ended.Store(true) }

// look sees what code sends. What can't be read may be anything.
func (d *codeDB) look(query string) error {
	if d.ended.Load() {
		return errEnded
	}
	if d.run.m.server.rollsBackDDL() && !d.data || query == d.seen {
		return nil
	}
	for st, err := range lexer.Split(strings.NewReader(query), d.run.m.dialect, nil) {
		if err != nil || classify(st, d.run.m.dialect).nature != inTx {
			if d.data {
				return fmt.Errorf("%w: the code said that it changes rows only (DataOnly), and sends: %s", ErrTransaction, excerpt(query))
			}
			d.alone.Store(true)
			return nil
		}
	}
	d.seen = query
	return nil
}

// ExecContext is that of database/sql.
func (d *codeDB) ExecContext(ctx context.Context, query string, args ...any) (res sql.Result, err error) {
	if err := d.look(query); err != nil {
		return nil, err
	}
	err = d.run.do(ctx, func(ctx context.Context) error {
		res, err = d.run.conn.ExecContext(ctx, query, args...)
		return err
	})
	if err == nil {
		if n, err := res.RowsAffected(); err == nil {
			d.rows += n
		}
	}
	return res, err
}

// QueryContext is that of database/sql.
func (d *codeDB) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	if err := d.look(query); err != nil {
		return nil, err
	}
	return d.run.conn.QueryContext(ctx, query, args...)
}

// QueryRowContext is that of database/sql.
func (d *codeDB) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	if err := d.look(query); err != nil {
		ended, cancel := context.WithCancelCause(ctx)
		cancel(err)
		ctx = ended
	}
	return d.run.conn.QueryRowContext(ctx, query, args...)
}

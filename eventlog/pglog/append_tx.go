package pglog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/buffkit/buffkit/eventlog"
)

// ErrIsolation is returned by AppendTx and AppendSQLTx for a transaction that sees only what was there when it began: at its commit it
// would have to know the newest offset of all.
var ErrIsolation = errors.New("pglog: the transaction's isolation isn't READ COMMITTED: begin it with that, the server's default, or append after it")

// One statement both inserts and tells the isolation.
const appendTxQuery = `
INSERT INTO {log}_pending (leads, period, topic, key, idem, body, known, at, mark, since)
SELECT leads, period, topic, key, idem, body, known, $1::bigint, $2::bigint, $3::bigint FROM (VALUES %s) AS v (leads, period, topic, key, idem, body, known)
WHERE current_setting('transaction_isolation') IN ('read committed', 'read uncommitted')`

const maxTxRecords = 1000 // of one statement: five parameters each, of 65,535

// AppendTx adds the events to the app's transaction: they are stored when it commits, and never if it doesn't. The offsets are given at
// the commit, so that it makes no difference how early AppendTx is called; what is told to the clients is in the order of the commits.
//
// Errors: *eventlog.EventError, ErrIsolation, and the server's, after which the transaction can only be rolled back. What an error of
// the transaction's own Commit means is the app's to know; tx.Commit returns as if a deferred constraint were checked.
func (l *Log) AppendTx(ctx context.Context, tx pgx.Tx, events ...eventlog.Event) error {
	return l.appendTx(events, func(query string, args []any) (int64, error) {
		tag, err := tx.Exec(ctx, query, args...)
		return tag.RowsAffected(), err
	})
}

// AppendSQLTx is AppendTx for a transaction of database/sql, with any driver for PostgreSQL.
func (l *Log) AppendSQLTx(ctx context.Context, tx *sql.Tx, events ...eventlog.Event) error {
	return l.appendTx(events, func(query string, args []any) (int64, error) {
		res, err := tx.ExecContext(ctx, query, args...)
		if err != nil {
			return 0, err
		}
		return res.RowsAffected()
	})
}

func (l *Log) appendTx(events []eventlog.Event, exec func(query string, args []any) (int64, error)) error {
	records, err := l.Records(events...)
	if err != nil {
		return err
	}
	return l.store.pend(records, exec)
}

// pend puts records into the table from which the transaction's end takes them.
func (s *store) pend(records []eventlog.Record, exec func(query string, args []any) (int64, error)) error {
	for len(records) > 0 {
		n := min(len(records), maxTxRecords)
		query, args := s.pendQuery(records[:n])
		done, err := exec(query, args)
		switch {
		case err != nil:
			return fmt.Errorf("append to the transaction: %w", explained(err))
		case done == 0:
			return ErrIsolation
		}
		records = records[n:]
	}
	return nil
}

func (s *store) pendQuery(records []eventlog.Record) (query string, args []any) {
	topics := make([]string, len(records))
	for i := range records {
		topics[i] = records[i].Topic
	}
	h := s.latest.of(topics)
	args = append(args, h.at, h.mark, h.since)
	var values strings.Builder
	for i, r := range records {
		if i > 0 {
			values.WriteString(", ")
		}
		n := len(args)
		fmt.Fprintf(&values, "(%t, %d::bigint, $%d::text, $%d::bytea, $%d::bytea, $%d::bytea, $%d::bigint)", i == 0, s.period(), n+1, n+2, n+3, n+4, n+5)
		var idem any // a nil []byte is an empty one to lib/pq before 1.11, and then all events of a topic would have the same key
		if r.IdempotencyKey != "" {
			idem = []byte(r.IdempotencyKey)
		}
		args = append(args, r.Topic, []byte(r.Key), idem, orEmpty(r.Body), h.known[i])
	}
	return fmt.Sprintf(s.appendTx, values.String()), args
}

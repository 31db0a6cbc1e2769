package migrate

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

// exec runs a statement of the ledger's own.
func (l *ledger) exec(ctx context.Context, q querier, query string, args ...any) (int64, error) {
	res, err := q.ExecContext(ctx, l.bind(query), args...)
	if err != nil {
		return 0, fmt.Errorf("migrate: write the ledger: %w", advised(l.server, err))
	}
	n, err := res.RowsAffected()
	if err != nil {
		return 0, fmt.Errorf("migrate: write the ledger: %w", err)
	}
	return n, nil
}

// one runs a statement that must change one row: anything else means that another runner was at it.
func (l *ledger) one(ctx context.Context, q querier, query string, args ...any) error {
	return l.changes(ctx, q, 1, query, args...)
}

// changes is one for so many rows.
func (l *ledger) changes(ctx context.Context, q querier, want int, query string, args ...any) error {
	n, err := l.exec(ctx, q, query, args...)
	if err == nil && n != int64(want) {
		return fmt.Errorf("%w: %d rows of %s changed where it had to be %d: another runner, or a hand, changed it meanwhile", ErrLockLost, n, l.table, want)
	}
	return err
}

// timeLayout is how the ledger has times, in UTC.
const timeLayout = "2006-01-02T15:04:05.000000Z"

func now() string { return time.Now().UTC().Format(timeLayout) }

// insert writes a row. down is what the down script is, "" with hasDown for one of no bytes.
func (l *ledger) insert(ctx context.Context, q querier, r *row, down string, timings []StatementTime) error {
	err := l.one(ctx, q, "INSERT INTO "+l.table+insertColumns+" VALUES ("+insertMarks+")", r.values(down, timings)...)
	if err != nil || r.app == "" {
		return err
	}
	return l.setApp(ctx, q, r)
}

// How much is inserted at once: 14 values a row within the 999 of the oldest SQLite, and scripts that fit into a max_allowed_packet of 1 MiB with the rest
// of their rows.
const (
	maxInsertRows  = 64
	maxInsertBytes = 1 << 19
)

// insertMany writes rows, in as many statements as it takes, until the context ends; downs are their scripts, nil for one without. Thousands may take
// longer than one statement should, so each has a time of its own.
func (r *run) insertMany(ctx context.Context, rows []*row, downs []*script) error {
	for len(rows) > 0 {
		if ctx.Err() != nil {
			return ended(ctx)
		}
		n, err := r.insertSome(ctx, rows, downs)
		if err != nil {
			return err
		}
		rows, downs = rows[n:], downs[n:]
	}
	return nil
}

// insertSome writes the first of the rows, and tells how many.
func (r *run) insertSome(ctx context.Context, rows []*row, downs []*script) (n int, err error) {
	var values []any
	for size := 0; n < min(len(rows), maxInsertRows); n++ {
		down, ok, err := downs[n].text(r.m.dialect)
		if err != nil {
			return 0, err
		}
		if size += len(down); n > 0 && size > maxInsertBytes {
			break
		}
		rows[n].hasDown = ok
		values = append(values, rows[n].values(down, nil)...)
	}
	bounded, cancel := r.own(ctx)
	defer cancel()
	marks := strings.TrimPrefix(strings.Repeat(", ("+insertMarks+")", n), ", ")
	err = r.l.changes(bounded, r.conn, n, "INSERT INTO "+r.l.table+insertColumns+" VALUES "+marks, values...)
	for i := 0; i < n && err == nil; i++ {
		if rows[i].app != "" {
			err = r.l.setApp(bounded, r.conn, rows[i])
		}
	}
	return n, err
}

// What insert fills in, of requires_app afterwards.
const (
	insertColumns = " (source, version, name, seq, state, checksum, statements, applied_at, duration_us, rows_affected, origin, runner, down_sql, timings)"
	insertMarks   = "?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?"
)

func (r *row) values(down string, timings []StatementTime) []any {
	return []any{r.ref.Source, string(r.ref.Version), r.name, r.seq, string(r.state), r.checksum, r.statements, r.at, r.took.Microseconds(), r.rows,
		r.origin, r.runner, sql.NullString{String: down, Valid: r.hasDown}, r.timingsText(timings)}
}

// insertLeased is insert if the lease is fresh, in one statement. Without ok nothing was written, and the lease must be renewed first.
func (l *ledger) insertLeased(ctx context.Context, q querier, s *lease, r *row, down string, timings []StatementTime) (ok bool, err error) {
	n, err := l.exec(ctx, q, "INSERT INTO "+l.table+insertColumns+" SELECT "+insertMarks+" FROM "+l.lease+" WHERE "+s.isFresh(),
		append(r.values(down, timings), s.token)...)
	if err != nil || n != 1 || r.app == "" {
		return n == 1, err
	}
	return true, l.setApp(ctx, q, r)
}

// setApp writes the oldest version of the app that works with a migration.
func (l *ledger) setApp(ctx context.Context, q querier, r *row) error {
	if !l.appExists {
		return nil
	}
	_, err := l.exec(ctx, q, "UPDATE "+l.table+" SET requires_app = ? WHERE source = ? AND version = ?",
		sql.NullString{String: r.app, Valid: r.app != ""}, r.ref.Source, string(r.ref.Version))
	return err
}

// finish makes an unfinished row an applied one, and forgets its journal.
func (l *ledger) finish(ctx context.Context, q querier, r *row, down string, timings []StatementTime) error {
	if err := l.complete(ctx, q, r, Applying, down, timings); err != nil {
		return err
	}
	return l.forget(ctx, q, r.ref)
}

// complete writes what a row is now, that was in another state, or was applied before.
func (l *ledger) complete(ctx context.Context, q querier, r *row, from State, down string, timings []StatementTime) error {
	err := l.one(ctx, q, "UPDATE "+l.table+" SET state = ?, checksum = ?, statements = ?, applied_at = ?, duration_us = ?, rows_affected = ?, origin = ?,"+
		" runner = ?, down_sql = ?, timings = ? WHERE source = ? AND version = ? AND state = ?",
		string(Applied), r.checksum, r.statements, r.at, r.took.Microseconds(), r.rows, r.origin, r.runner,
		sql.NullString{String: down, Valid: r.hasDown}, r.timingsText(timings), r.ref.Source, string(r.ref.Version), string(from))
	if err != nil {
		return err
	}
	return l.setApp(ctx, q, r)
}

// standsFor writes into a row what its migration stands for, if that is a squash.
func (l *ledger) standsFor(ctx context.Context, q querier, ref Ref, mig *migration) error {
	r := row{squashes: mig.standsFor()}
	if len(r.squashes) == 0 {
		return nil
	}
	_, err := l.exec(ctx, q, "UPDATE "+l.table+" SET timings = ? WHERE source = ? AND version = ?", r.timingsText(nil), ref.Source, string(ref.Version))
	return err
}

// setState changes a row from one state to another.
func (l *ledger) setState(ctx context.Context, q querier, ref Ref, from, to State) error {
	return l.one(ctx, q, "UPDATE "+l.table+" SET state = ? WHERE source = ? AND version = ? AND state = ?",
		string(to), ref.Source, string(ref.Version), string(from))
}

// remove deletes a row, and its journal if it has one.
func (l *ledger) remove(ctx context.Context, q querier, ref Ref, state State) error {
	err := l.one(ctx, q, "DELETE FROM "+l.table+" WHERE source = ? AND version = ? AND state = ?", ref.Source, string(ref.Version), string(state))
	if err != nil || state == Applied {
		return err
	}
	return l.forget(ctx, q, ref)
}

// forget deletes the journal of a migration.
func (l *ledger) forget(ctx context.Context, q querier, ref Ref) error {
	_, err := l.exec(ctx, q, "DELETE FROM "+l.journal+" WHERE source = ? AND version = ?", ref.Source, string(ref.Version))
	return err
}

// announce writes what is about to be sent.
func (l *ledger) announce(ctx context.Context, q querier, ref Ref, e entry) error {
	return l.one(ctx, q, "INSERT INTO "+l.journal+" (source, version, first_no, last_no, marks, state, before_it, begins_with, started_at, duration_us,"+
		" rows_affected, error) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
		ref.Source, string(ref.Version), e.first, e.last, e.marks, string(e.state), e.before, e.sql, now(), e.took.Microseconds(), e.rows, e.err)
}

// settle strikes off what was announced, or says why it failed.
func (l *ledger) settle(ctx context.Context, q querier, ref Ref, e entry) error {
	return l.one(ctx, q, "UPDATE "+l.journal+" SET state = ?, duration_us = ?, rows_affected = ?, error = ? WHERE source = ? AND version = ? AND first_no = ?"+
		" AND state = ?", string(e.state), e.took.Microseconds(), e.rows, e.err, ref.Source, string(ref.Version), e.first, string(intent))
}

// withdraw takes an entry back that isn't done.
func (l *ledger) withdraw(ctx context.Context, q querier, ref Ref, first int) error {
	return l.one(ctx, q, "DELETE FROM "+l.journal+" WHERE source = ? AND version = ? AND first_no = ? AND state <> ?",
		ref.Source, string(ref.Version), first, string(done))
}

// StatementTime is how long a statement took.
type StatementTime struct {
	N    int           `json:"n"` // from 1
	Took time.Duration `json:"took_ns"`
	Rows int64         `json:"rows,omitempty"` // affected, as the server counts
}

// maxTimings is how many statements the ledger keeps the times of: of a longer migration the slowest.
const maxTimings = 1000

// timingsText is JSON: {"statements":[{"n":1,"took_ns":…,"rows":…}],"lock_wait_ns":…}, of a squash with {"squashes":["1","2"] before.
func (r *row) timingsText(all []StatementTime) sql.NullString {
	if len(all) == 0 && len(r.squashes) == 0 {
		return sql.NullString{}
	}
	text, err := json.Marshal(timingsOf{r.squashes, slowest(all), r.measured})
	return sql.NullString{String: string(text), Valid: err == nil}
}

// slowest returns the statements that took longest, in their order.
func slowest(all []StatementTime) []StatementTime {
	if len(all) <= maxTimings {
		return all
	}
	all = longest(all, maxTimings)
	slices.SortFunc(all, func(a, b StatementTime) int { return a.N - b.N })
	return all
}

// longest returns the n that took longest, the longest first.
func longest(all []StatementTime, n int) []StatementTime {
	all = slices.Clone(all)
	slices.SortStableFunc(all, func(a, b StatementTime) int { return int(b.Took - a.Took) })
	return all[:min(n, len(all))]
}

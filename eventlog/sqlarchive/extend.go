package sqlarchive

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/buffkit/buffkit/eventlog"
	"github.com/buffkit/buffkit/migrate/dialect"
)

const rowsAtOnce = 100 // of one INSERT: 500 placeholders, half of what the oldest SQLite takes

// Extend implements eventlog.Archive.
func (a *Archive) Extend(ctx context.Context, from eventlog.Cursor, page eventlog.Page) error {
	tx, err := a.db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("sqlarchive: %w", err)
	}
	defer tx.Rollback()
	if err := a.extend(ctx, tx, from, page); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil { // if it was stored all the same, the next call finds the archive moved
		return fmt.Errorf("sqlarchive: %w", err)
	}
	return nil
}

func (a *Archive) extend(ctx context.Context, tx *sql.Tx, from eventlog.Cursor, page eventlog.Page) error {
	at, err := a.hold(ctx, tx)
	if err != nil {
		return fmt.Errorf("sqlarchive: %w", err)
	}
	if at.epoch != from.Epoch() || at.place != from.At(0) {
		return eventlog.ErrArchiveMoved
	}
	records, floor := proven(at, page)
	for some := range slices.Chunk(records, rowsAtOnce) {
		if err := a.insert(ctx, tx, some); err != nil {
			return fmt.Errorf("sqlarchive: %w", err)
		}
	}
	_, err = tx.ExecContext(ctx, a.args("UPDATE buffkit_archive SET epoch = ?, place = ?, floor = ? WHERE id = 1"),
		int64(page.Epoch), int64(max(at.place, page.Head.At(0))), int64(floor))
	if err != nil {
		return fmt.Errorf("sqlarchive: %w", err)
	}
	return nil
}

// hold reads the state and keeps others from changing it until the transaction ends. In SQLite a write does that.
func (a *Archive) hold(ctx context.Context, tx *sql.Tx) (state, error) {
	if a.dialect != dialect.SQLite {
		return a.state(ctx, tx, " FOR UPDATE")
	}
	if _, err := tx.ExecContext(ctx, "UPDATE buffkit_archive SET place = place WHERE id = 1"); err != nil {
		return state{}, err
	}
	return a.state(ctx, tx, "")
}

// proven returns the records of a page that are beyond the place, and the floor after them: the newest offset up to which something may be missing.
func proven(at state, page eventlog.Page) ([]eventlog.Record, eventlog.Offset) {
	floor, seen := at.floor, at.place
	if page.Head.At(0) < at.place { // a log that begins anew, with a clock that went back
		return nil, at.place
	}
	first := 0
	for i := range page.Records {
		r := &page.Records[i]
		if r.Offset <= at.place {
			first, floor = i+1, at.place
			continue
		}
		if r.Chain > seen {
			floor = r.Chain
		}
		seen = r.Offset
	}
	if head := page.Head.At(0); head > seen {
		floor = head
	}
	return page.Records[first:], floor
}

func (a *Archive) insert(ctx context.Context, tx *sql.Tx, records []eventlog.Record) error {
	const columns = 5
	values := strings.TrimSuffix(strings.Repeat("(?, ?, ?, ?, ?), ", len(records)), ", ")
	args := make([]any, 0, columns*len(records))
	for i := range records {
		r := &records[i]
		args = append(args, int64(r.Offset), r.Topic, int64(r.Prev), []byte(r.Key), r.Body)
	}
	_, err := tx.ExecContext(ctx, a.args("INSERT INTO buffkit_archive_events (position, topic, prev, mark, body) VALUES "+values), args...)
	return err
}

const (
	sweepEach = time.Minute
	sweepRows = 1000 // deleted at once: some milliseconds
)

// sweep deletes what is too old, until the archive is closed.
func (a *Archive) sweep() {
	tick := time.NewTicker(sweepEach)
	defer tick.Stop()
	for {
		if err := a.sweepOnce(a.ctx); err != nil && a.ctx.Err() == nil {
			a.opts.Logger.Error("sqlarchive: old events can't be deleted; trying again", "error", err, "in", sweepEach)
		}
		select {
		case <-tick.C:
		case <-a.ctx.Done():
			return
		}
	}
}

// sweepOnce raises the floor first, so that nobody takes what is being deleted for never written.
func (a *Archive) sweepOnce(ctx context.Context) error {
	oldest := time.Now().Add(-a.opts.Age).UnixMicro()
	var any bool
	if err := a.db.QueryRowContext(ctx, a.args("SELECT EXISTS (SELECT 1 FROM buffkit_archive_events WHERE position < ?)"), oldest).Scan(&any); err != nil || !any {
		return err
	}
	if _, err := a.db.ExecContext(ctx, a.args("UPDATE buffkit_archive SET floor = ? WHERE id = 1 AND floor < ?"), oldest-1, oldest-1); err != nil {
		return err
	}
	for {
		done, err := a.db.ExecContext(ctx, a.args(a.deletion()), oldest)
		if err != nil {
			return err
		}
		if n, err := done.RowsAffected(); err != nil || n < sweepRows {
			return err
		}
	}
}

// deletion deletes some of the oldest rows before a position. MySQL takes no LIMIT in a subquery, and the others none in a DELETE.
func (a *Archive) deletion() string {
	rows := fmt.Sprintf("position < ? ORDER BY position LIMIT %d", sweepRows)
	if a.dialect == dialect.MySQL || a.dialect == dialect.MariaDB {
		return "DELETE FROM buffkit_archive_events WHERE " + rows
	}
	return "DELETE FROM buffkit_archive_events WHERE position IN (SELECT position FROM buffkit_archive_events WHERE " + rows + ")"
}

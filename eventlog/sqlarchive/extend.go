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

// lostRows are deleted at once of an archive whose log has lost all: tens of milliseconds. Months of them in one transaction would take longer than any caller waits.
const lostRows = 10_000

// Extend implements eventlog.Archive.
func (a *Archive) Extend(ctx context.Context, from eventlog.Cursor, page eventlog.Page) error {
	for more := true; more; {
		var err error
		if more, err = a.extendOnce(ctx, from, page); err != nil {
			return err
		}
	}
	return nil
}

// extendOnce is Extend, or some of the deleting that comes before it.
func (a *Archive) extendOnce(ctx context.Context, from eventlog.Cursor, page eventlog.Page) (more bool, err error) {
	tx, err := a.db.BeginTx(ctx, nil)
	if err != nil {
		return false, fmt.Errorf("sqlarchive: %w", err)
	}
	defer tx.Rollback()
	if more, err = a.extend(ctx, tx, from, page); err != nil {
		return false, err
	}
	if err := tx.Commit(); err != nil { // if it was stored all the same, the next call finds the archive moved
		return false, fmt.Errorf("sqlarchive: %w", err)
	}
	return more, nil
}

func (a *Archive) extend(ctx context.Context, tx *sql.Tx, from eventlog.Cursor, page eventlog.Page) (more bool, err error) {
	at, err := a.hold(ctx, tx)
	if err != nil {
		return false, fmt.Errorf("sqlarchive: %w", err)
	}
	if at.epoch != from.Epoch() || at.place != from.At(0) {
		return false, eventlog.ErrArchiveMoved
	}
	if at, more, err = a.rollBack(ctx, tx, at, page); err != nil {
		return false, fmt.Errorf("sqlarchive: %w", err)
	}
	if more {
		return true, nil
	}
	for some := range slices.Chunk(page.Records, rowsAtOnce) {
		if err := a.insert(ctx, tx, some); err != nil {
			return false, fmt.Errorf("sqlarchive: %w", err)
		}
	}
	_, err = tx.ExecContext(ctx, a.args("UPDATE buffkit_archive SET epoch = ?, place = ?, floor = ? WHERE id = 1"),
		int64(page.Epoch), int64(page.Head.At(0)), int64(floorOf(at, page)))
	if err != nil {
		return false, fmt.Errorf("sqlarchive: %w", err)
	}
	return false, nil
}

// rollBack deletes what a page proves to be lost, and returns where the archive is then, or that there is more of it.
func (a *Archive) rollBack(ctx context.Context, tx *sql.Tx, at state, page eventlog.Page) (then state, more bool, err error) {
	keep := min(at.place, page.Head.At(0))
	if len(page.Records) > 0 {
		keep = min(keep, page.Records[0].Chain)
	}
	if keep == at.place {
		return at, false, nil
	}
	var known bool
	err = tx.QueryRowContext(ctx, a.args("SELECT EXISTS (SELECT 1 FROM buffkit_archive_events WHERE position = ?)"), int64(keep)).Scan(&known)
	switch {
	case err != nil:
		return at, false, err
	case known:
	case page.Head.At(0) < at.place: // nobody knows where the two part
		keep, at.floor = 0, page.Head.At(0)
	case keep > at.floor: // it came and went while nobody looked
		at.floor = at.place
	}
	if keep == 0 {
		more, err = a.giveUp(ctx, tx, at.place)
		return at, more, err
	}
	_, err = tx.ExecContext(ctx, a.args("DELETE FROM buffkit_archive_events WHERE position > ?"), int64(keep))
	return at, false, err
}

// giveUp deletes some of all that is up to the place, and tells whether there is more. What is left meanwhile isn't whole: the floor says so.
func (a *Archive) giveUp(ctx context.Context, tx *sql.Tx, place eventlog.Offset) (more bool, err error) {
	done, err := tx.ExecContext(ctx, a.args(a.deletion(lostRows)), int64(place)+1)
	if err != nil {
		return false, err
	}
	if n, err := done.RowsAffected(); err != nil || n < lostRows {
		return false, err
	}
	_, err = tx.ExecContext(ctx, a.args("UPDATE buffkit_archive SET floor = ? WHERE id = 1"), int64(place))
	return true, err
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

// floorOf returns the newest offset up to which something may be missing, once a page was added.
func floorOf(at state, page eventlog.Page) eventlog.Offset {
	floor, seen := at.floor, at.place
	for i := range page.Records {
		r := &page.Records[i]
		if r.Chain > seen {
			floor = max(floor, r.Chain)
		}
		seen = r.Offset
	}
	if head := page.Head.At(0); head > seen {
		floor = max(floor, head)
	}
	return floor
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
		done, err := a.db.ExecContext(ctx, a.args(a.deletion(sweepRows)), oldest)
		if err != nil {
			return err
		}
		if n, err := done.RowsAffected(); err != nil || n < sweepRows {
			return err
		}
	}
}

// deletion deletes some of the oldest rows before a position. MySQL takes no LIMIT in a subquery, and the others none in a DELETE.
func (a *Archive) deletion(most int) string {
	rows := fmt.Sprintf("position < ? ORDER BY position LIMIT %d", most)
	if a.dialect == dialect.MySQL || a.dialect == dialect.MariaDB {
		return "DELETE FROM buffkit_archive_events WHERE " + rows
	}
	return "DELETE FROM buffkit_archive_events WHERE position IN (SELECT position FROM buffkit_archive_events WHERE " + rows + ")"
}

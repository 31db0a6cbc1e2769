package sqlitelog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"

	sqlite3 "modernc.org/sqlite/lib"

	"github.com/buffkit/buffkit/eventlog"
)

const (
	tellMost = 1000 // damaged packs, of which the logger is told: no file that is worth more would be read so far
	restore  = "stop every process that uses it, and put a backup in its place, or move it and those beside it (-wal, -shm) away: the log begins anew then, and every reader is told a gap"
)

// damage is the packs that were found damaged.
type damage struct {
	mu    sync.Mutex // guards what follows
	told  map[eventlog.Offset]struct{}
	stuck []string // the positions of those that can't be deleted
}

// first tells whether a pack is met for the first time.
func (d *damage) first(position eventlog.Offset) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, was := d.told[position]; was || len(d.told) >= tellMost {
		return false
	}
	if d.told == nil {
		d.told = map[eventlog.Offset]struct{}{}
	}
	d.told[position] = struct{}{}
	return true
}

// stays notes a pack that can't be deleted.
func (d *damage) stays(position eventlog.Offset) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.stuck = append(d.stuck, strconv.FormatInt(int64(position), 10))
}

// but is the end of a condition for packs that can be deleted.
func (d *damage) but() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.stuck) == 0 {
		return ""
	}
	return " AND position NOT IN (" + strings.Join(d.stuck, ", ") + ")"
}

// corrupt tells whether SQLite met a page that can't be as it is.
func corrupt(err error) bool { return codeOf(err)&0xff == sqlite3.SQLITE_CORRUPT }

// bounded tells whether it is known which events a damaged pack has lost: all that its row says of them must agree with itself, and with the log.
func (p *pack) bounded(cause error, head eventlog.Offset) bool {
	return errors.Is(cause, errChecksum) && p.count >= 1 && p.first <= p.last && p.last <= p.end && p.end <= head
}

// lose gives up the events of a damaged pack, if it is known which they are.
func (s *Store) lose(ctx context.Context, query querier, p *pack, cause error) error {
	now, err := readState(ctx, query)
	if err != nil {
		return err
	}
	if !p.bounded(cause, now.head) {
		return fmt.Errorf("%w; how many are lost isn't known: %s", cause, restore)
	}
	if s.damage.first(p.first) {
		s.log().Error("sqlitelog: events in the file are damaged and lost, a gap for their topic",
			"topic", p.topic, "offset", p.first, "events", p.count, "error", cause)
	}
	return nil
}

// packColumns are what eachPack reads.
const packColumns = "position, span, ahead, count, topic, events"

// eachPack calls on with the packs of a query of packColumns, as long as it returns true. Those that SQLite can't read as a whole come without
// their bytes. The query must find the same again: within a snapshot, say.
func eachPack(ctx context.Context, conn *sql.Conn, query string, args []any, on func(*pack) (bool, error)) error {
	n := 0
	err := eachRow(ctx, conn, query, args, func(p *pack) (bool, error) { n++; return on(p) })
	if !corrupt(err) {
		return err
	}
	bare := strings.Replace(query, "events", "x'' AS events", 1)
	return eachRow(ctx, conn, bare, args, func(p *pack) (bool, error) {
		if n--; n >= 0 {
			return true, nil
		}
		if p.events, err = eventsAt(ctx, conn, p.first); err != nil && !corrupt(err) {
			return false, err
		}
		return on(p)
	})
}

func eventsAt(ctx context.Context, conn *sql.Conn, position eventlog.Offset) (events []byte, err error) {
	err = conn.QueryRowContext(ctx, "SELECT events FROM buffkit_packs WHERE position = ?", int64(position)).Scan(&events)
	return events, err
}

func eachRow(ctx context.Context, conn *sql.Conn, query string, args []any, on func(*pack) (bool, error)) error {
	rows, err := conn.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		p, err := scanPack(rows)
		if err != nil {
			return err
		}
		if more, err := on(&p); err != nil || !more {
			return err
		}
	}
	return rows.Err()
}

// scanPack reads a row of packColumns.
func scanPack(row interface{ Scan(to ...any) error }) (pack, error) {
	var p pack
	var span, ahead eventlog.Offset
	err := row.Scan(&p.first, &span, &ahead, &p.count, &p.topic, &p.events)
	p.last, p.end = p.first+span, p.first+ahead
	return p, err
}

// onePack returns the first of a query of packColumns, nil if there is none.
func onePack(ctx context.Context, conn *sql.Conn, query string, args ...any) (found *pack, err error) {
	err = eachPack(ctx, conn, query, args, func(p *pack) (bool, error) { found = p; return false, nil })
	return found, err
}

package sqlitelog

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/buffkit/buffkit/eventlog"
)

const (
	pageRecords = 512                    // of one page, and a group more: more gain nothing
	pageBytes   = 4 << 20                // of one page's bodies and keys, and a group more
	pollEager   = time.Millisecond       // while a transaction of the app's may commit
	pollIdle    = 10 * time.Millisecond  // for what other processes store: 10 µs of work each
	sayAlive    = 500 * time.Millisecond // twice as often as a Tail must
	afterTx     = time.Second            // from AppendTx to the commit, as a rule
)

// Tail implements eventlog.Store. What this process appends wakes it; for what others do it looks at SQLite's data version.
func (s *Store) Tail(ctx context.Context, after eventlog.Cursor, next func(eventlog.Page) error) error {
	if err := s.check(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.ctx, cancel)()
	conn, err := s.conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	t := tailer{store: s, conn: conn, after: after}
	if err := t.follow(ctx, next); ctx.Err() == nil || s.ctx.Err() != nil {
		return s.blame(err)
	}
	return ctx.Err()
}

type tailer struct {
	store   *Store
	conn    *sql.Conn
	after   eventlog.Cursor
	version int64
	fed     bool // the last page came from the feed
}

func (t *tailer) follow(ctx context.Context, next func(eventlog.Page) error) error {
	for {
		rung := t.store.soon.listen() // before the look
		if records := t.store.feed.after(t.after); len(records) > 0 {
			if err := t.give(records, next); err != nil {
				return err
			}
			continue
		}
		if fed := t.fed; fed { // the file says no more, unless somebody else wrote: await finds out
			t.fed = false
			if err := t.await(ctx, rung); err != nil {
				return err
			}
			continue
		}
		version, err := t.dataVersion(ctx)
		if err != nil {
			return err
		}
		page, more, err := t.page(ctx)
		if err != nil {
			return err
		}
		if err := next(page); err != nil {
			return err
		}
		t.version, t.after = version, page.Head
		if more {
			continue
		}
		if err := t.await(ctx, rung); err != nil {
			return err
		}
	}
}

// give sends what this process has stored.
func (t *tailer) give(records []eventlog.Record, next func(eventlog.Page) error) error {
	epoch := t.after.Epoch()
	page := eventlog.Page{Epoch: epoch, Records: records, Head: eventlog.NewCursor(epoch, records[len(records)-1].Offset)}
	t.store.dirty.add(records...)
	if err := next(page); err != nil {
		return err
	}
	t.after, t.fed = page.Head, true
	return nil
}

// await returns when there may be something new, or when it is time to say that there isn't.
func (t *tailer) await(ctx context.Context, rung <-chan struct{}) error {
	said := time.Now()
	timer := time.NewTimer(t.store.soon.poll())
	defer timer.Stop()
	for {
		select {
		case <-rung:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C:
		}
		version, err := t.dataVersion(ctx)
		if err != nil || version != t.version || time.Since(said) >= sayAlive {
			return err
		}
		timer.Reset(t.store.soon.poll())
	}
}

// dataVersion changes with every commit of another connection.
func (t *tailer) dataVersion(ctx context.Context) (version int64, err error) {
	err = t.conn.QueryRowContext(ctx, "PRAGMA data_version").Scan(&version)
	return version, err
}

// page reads what comes next, from one snapshot, and tells whether there is more.
func (t *tailer) page(ctx context.Context) (page eventlog.Page, more bool, err error) {
	err = snapshot(ctx, t.conn, func() error {
		now, err := readState(ctx, plain{t.conn})
		if err != nil {
			return err
		}
		page.Epoch, page.Head = now.epoch, eventlog.NewCursor(now.epoch, now.head)
		if t.after.IsZero() || now.head <= t.after.At(0) {
			return nil
		}
		var upTo eventlog.Offset
		if page.Records, upTo, more, err = t.store.recordsBehind(ctx, t.conn, t.after.At(0)); more {
			page.Head = page.Head.With(0, upTo)
		}
		return err
	})
	t.store.dirty.add(page.Records...)
	return page, more, err
}

// groupsBehind are the packs of all groups with an offset behind ?1: the group that it is in begins before.
const groupsBehind = "SELECT " + packColumns + " FROM buffkit_packs WHERE position > coalesce((SELECT" +
	" CASE WHEN position + ahead <= ?1 THEN ?1 ELSE position - back END FROM buffkit_packs WHERE position <= ?1 ORDER BY position DESC LIMIT 1), ?1)" +
	" ORDER BY position"

// recordsBehind reads a page of whole groups, and tells up to where, and whether there are more. What is damaged is left out: the chain shows it.
func (s *Store) recordsBehind(ctx context.Context, conn *sql.Conn, after eventlog.Offset) (found []eventlog.Record, upTo eventlog.Offset, more bool, err error) {
	bytes, end := int64(0), eventlog.Offset(0) // of the group
	err = eachPack(ctx, conn, groupsBehind, []any{int64(after)}, func(p *pack) (bool, error) {
		if more = p.first > end && (len(found) >= pageRecords || bytes >= pageBytes); more {
			return false, nil
		}
		end = p.end
		records, err := p.unpack()
		if err != nil {
			return true, s.lose(ctx, plain{conn}, p, err)
		}
		for _, r := range records {
			if r.Offset > after {
				found = append(found, r)
				bytes += sizeOf(&r)
			}
		}
		return true, nil
	})
	slices.SortFunc(found, byOffset)
	if more {
		end = last(found)
	}
	return found, end, more, err
}

func byOffset(a, b eventlog.Record) int { return cmp.Compare(a.Offset, b.Offset) }

// snapshot runs f, which only reads, on one state of the file.
func snapshot(ctx context.Context, conn *sql.Conn, f func() error) error {
	if _, err := conn.ExecContext(ctx, "BEGIN"); err != nil {
		return fmt.Errorf("sqlitelog: read: %w", err)
	}
	err := f()
	if _, end := conn.ExecContext(context.WithoutCancel(ctx), "ROLLBACK"); err == nil { // a COMMIT fails with what a statement met in a damaged file
		err = end
	}
	if err != nil {
		return fmt.Errorf("sqlitelog: read: %w", explain(err))
	}
	return nil
}

// bell wakes tails.
type bell struct {
	mu    sync.Mutex // guards what follows
	rung  chan struct{}
	eager time.Time // until then something may come
}

// ring says that something was stored, or with a duration that something may be within it.
func (b *bell) ring(within time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if within > 0 {
		b.eager = time.Now().Add(within)
	}
	if b.rung != nil {
		close(b.rung)
		b.rung = nil
	}
}

// listen returns a channel that is closed when the bell rings next.
func (b *bell) listen() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.rung == nil {
		b.rung = make(chan struct{})
	}
	return b.rung
}

// poll returns how soon to look whether somebody else has stored something.
func (b *bell) poll() time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	if time.Now().Before(b.eager) {
		return pollEager
	}
	return pollIdle
}

package sqlitelog

import (
	"context"
	"database/sql"
	"fmt"
	"sync"
	"time"

	"github.com/buffkit/buffkit/eventlog"
)

const (
	pageRecords = 512                    // of one page: more gain nothing
	pageBytes   = 4 << 20                // of one page's bodies, and one record more
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
}

func (t *tailer) follow(ctx context.Context, next func(eventlog.Page) error) error {
	for {
		rung := t.store.soon.listen() // before the look
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
		var head eventlog.Offset
		if err := t.conn.QueryRowContext(ctx, "SELECT epoch, head FROM buffkit_log").Scan(&page.Epoch, &head); err != nil {
			return err
		}
		page.Head = eventlog.NewCursor(page.Epoch, head)
		if t.after.IsZero() || head <= t.after.At(0) {
			return nil
		}
		rows, err := t.conn.QueryContext(ctx, "SELECT "+recordColumns+" FROM buffkit_events WHERE position > ? ORDER BY position LIMIT ?",
			int64(t.after.At(0)), pageRecords+1)
		if err != nil {
			return err
		}
		page.Records, more, err = scan(rows, pageRecords, pageBytes)
		return err
	})
	if more {
		page.Head = page.Head.With(0, page.Records[len(page.Records)-1].Offset)
	}
	for i := range page.Records {
		t.store.dirty.add(page.Records[i].Topic)
	}
	return page, more, err
}

// snapshot runs f, which only reads, on one state of the file.
func snapshot(ctx context.Context, conn *sql.Conn, f func() error) error {
	if _, err := conn.ExecContext(ctx, "BEGIN"); err != nil {
		return fmt.Errorf("sqlitelog: read: %w", err)
	}
	err := f()
	if _, end := conn.ExecContext(context.WithoutCancel(ctx), "COMMIT"); err == nil {
		err = end
	}
	if err != nil {
		return fmt.Errorf("sqlitelog: read: %w", err)
	}
	return nil
}

const recordColumns = "position, topic, chain, prev, key, body"

// scan reads rows up to so many, or so many bytes, and tells whether there are more.
func scan(rows *sql.Rows, most int, bytes int64) (records []eventlog.Record, more bool, err error) {
	defer rows.Close()
	for rows.Next() {
		if len(records) == most || bytes < 0 {
			return records, true, nil
		}
		var r eventlog.Record
		if err := rows.Scan(&r.Offset, &r.Topic, &r.Chain, &r.Prev, &r.Key, &r.Body); err != nil {
			return nil, false, err
		}
		bytes -= int64(len(r.Body))
		records = append(records, r)
	}
	return records, false, rows.Err()
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

package pglog

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/buffkit/buffkit/eventlog"
)

const (
	heartbeat    = time.Second // a page at least so often
	pageRecords  = 1000        // of one query, and those of one row more
	pageMaxBytes = 4 << 20     // and so much
)

// One statement sees one state: the head is that of the records. The sums stop a page of large events.
const tailQuery = `
SELECT ` + epochColumn + `, l.head, b.last, b.first, b.chain, b.mark, b.topics, b.prevs, b.members, b.ends, b.keys, b.body FROM {log} l
LEFT JOIN LATERAL (
	SELECT * FROM (
		SELECT p.*, sum(cardinality(p.members)) OVER page - cardinality(p.members) AS records_before,
			sum(octet_length(p.body)) OVER page - octet_length(p.body) AS bytes_before
		FROM (SELECT * FROM {log}_batches WHERE last > coalesce($1::bigint, l.head) ORDER BY last LIMIT $2::int) p
		WINDOW page AS (ORDER BY p.last)
	) q WHERE q.records_before < $2::int AND q.bytes_before < $3::bigint
) b ON true
WHERE l.partition = 0 ORDER BY b.last`

// Tail implements eventlog.Store. It keeps a connection of the pool until it ends.
func (s *store) Tail(ctx context.Context, after eventlog.Cursor, next func(eventlog.Page) error) error {
	merged, cancel := s.untilClosed(ctx)
	defer cancel()
	err := s.conns.with(merged, func(conn *pgx.Conn) error { return s.follow(merged, conn, after, next) })
	switch {
	case s.ctx.Err() != nil:
		return eventlog.ErrClosed
	case ctx.Err() != nil:
		return ctx.Err()
	}
	return err
}

func (s *store) follow(ctx context.Context, conn *pgx.Conn, after eventlog.Cursor, next func(eventlog.Page) error) error {
	var from *int64 // nil: the head
	if !after.IsZero() {
		at := int64(after.At(0))
		from = &at
	}
	w := waiter{store: s, conn: conn, pause: heartbeat}
	defer w.end()
	for {
		page, full, err := s.page(ctx, conn, from)
		if err != nil {
			return err
		}
		at := int64(page.Head.At(0))
		if from == nil || at > *from {
			from = &at
		}
		if err := next(page); err != nil {
			return err
		}
		if full {
			continue
		}
		if err := w.wait(ctx, len(page.Records) > 0); err != nil {
			return err
		}
	}
}

// page reads what is stored behind an offset. If it is full, its head is that of its last row, since there may be more.
func (s *store) page(ctx context.Context, conn *pgx.Conn, from *int64) (page eventlog.Page, full bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.opts.timeout)
	defer cancel()
	err = s.committed(ctx, conn, func(q querier) error {
		page, full, err = s.readPage(ctx, q, from)
		return err
	})
	switch {
	case err != nil:
		return page, false, explained(err)
	case page.Epoch == 0:
		return page, false, errEmpty
	}
	return page, full, nil
}

func (s *store) readPage(ctx context.Context, q querier, from *int64) (page eventlog.Page, full bool, err error) {
	rows, err := q.Query(ctx, s.tail, s.args(from, pageRecords, pageMaxBytes)...)
	if err != nil {
		return page, false, err
	}
	defer rows.Close()
	var head, after, last eventlog.Offset
	if from != nil {
		after = eventlog.Offset(*from)
	}
	records, bytes := 0, 0
	for rows.Next() {
		var b batch
		if err := rows.Scan(&page.Epoch, &head, &b.last, &b.first, &b.chain, &b.mark, &b.topics, &b.prevs, &b.members, &b.ends, &b.keys, &b.body); err != nil {
			return page, false, err
		}
		if page.Epoch == 0 {
			return page, false, ErrStandby
		}
		if b.last != nil {
			found := b.records(after)
			s.latest.follow(link{*b.chain, *b.mark}, *b.last, found)
			page.Records = append(page.Records, found...)
			records, bytes, last = records+len(b.members), bytes+len(b.body), *b.last
		}
	}
	full = records >= pageRecords || bytes >= pageMaxBytes
	if full {
		head = last
	}
	page.Head = eventlog.NewCursor(page.Epoch, head)
	return page, full, rows.Err()
}

// waiter waits for the next page to be due. A notification is a hint, no more: what it tells is read from the table, and who doesn't
// get any (behind a pooler, or because the server dropped them) asks more often.
type waiter struct {
	*store
	conn    *pgx.Conn
	listens bool
	pause   time.Duration // without a notification
	asked   bool          // the last page was asked for without one
}

// wait returns when a page is due. found tells that the last one had records.
func (w *waiter) wait(ctx context.Context, found bool) error {
	switch {
	case w.server.pooled:
		return w.poll(ctx)
	case !w.listens:
		return w.listen(ctx)
	case found && w.asked:
		w.pause = w.opts.Poll
	}
	limited, cancel := context.WithTimeout(ctx, w.pause)
	defer cancel()
	_, err := w.conn.WaitForNotification(limited)
	w.asked = err != nil
	switch {
	case err == nil:
		w.pause = heartbeat
	case ctx.Err() != nil:
		return ctx.Err()
	case limited.Err() == nil || w.conn.IsClosed():
		return err
	}
	return nil
}

// listen asks for notifications. A page is due at once, for what was stored meanwhile.
func (w *waiter) listen(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, w.opts.timeout)
	defer cancel()
	w.listens = true
	_, err := w.conn.Exec(ctx, "LISTEN "+pgx.Identifier{w.channel}.Sanitize(), pgx.QueryExecModeSimpleProtocol)
	return err
}

// end closes a connection that listens: nobody else could use it.
func (w *waiter) end() {
	if !w.listens {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = w.conn.Close(ctx)
}

// poll waits for the next turn, or for an Append of this node.
func (w *waiter) poll(ctx context.Context) error {
	timer := time.NewTimer(w.opts.Poll)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-w.appended:
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

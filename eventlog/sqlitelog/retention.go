package sqlitelog

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/buffkit/buffkit/eventlog"
)

const (
	retainEvery = 5 * time.Second
	tailWindow  = 10 * time.Second // in which every process has seen an event, or is late enough to be told a hole
	deletePacks = 128              // of one transaction, and other rows: others write in between
)

// dirty are the topics that got something since they were last looked at.
type dirty struct {
	mu     sync.Mutex // guards what follows
	topics map[string]struct{}
}

func (d *dirty) add(records ...eventlog.Record) {
	if len(records) == 0 {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.topics == nil {
		d.topics = make(map[string]struct{})
	}
	for i := range records {
		if i == 0 || records[i].Topic != records[i-1].Topic {
			d.topics[records[i].Topic] = struct{}{}
		}
	}
}

func (d *dirty) take() map[string]struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	taken := d.topics
	d.topics = nil
	return taken
}

// back returns what is to be looked at again.
func (d *dirty) back(topics map[string]struct{}) {
	for topic := range topics {
		d.add(eventlog.Record{Topic: topic})
	}
}

// retain deletes what is over the retention, until Close.
func (s *Store) retain() {
	tick := time.NewTicker(retainEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-s.ctx.Done():
			return
		}
		if err := s.Retain(s.ctx); err != nil && s.ctx.Err() == nil {
			s.log().Error("sqlitelog: can't delete what is over the retention; trying again", "in", retainEvery, "error", err)
		}
	}
}

// Retain deletes what is over the retention and older than 10 seconds. It runs by itself every 5 seconds.
func (s *Store) Retain(ctx context.Context) error {
	return s.retainAfter(ctx, eventlog.Offset(time.Now().Add(-tailWindow).UnixMicro()))
}

// retainAfter is Retain that deletes nothing behind an offset.
func (s *Store) retainAfter(ctx context.Context, safe eventlog.Offset) error {
	conn, err := s.conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	r := retainer{store: s, conn: conn, safe: safe}
	for _, step := range []func(context.Context) error{r.topics, r.expired, r.keys, r.budget, r.forget} {
		if err := step(ctx); err != nil {
			return explain(err)
		}
	}
	return r.damaged
}

// retainer is one run.
type retainer struct {
	store   *Store
	conn    *sql.Conn
	safe    eventlog.Offset // nothing behind it is deleted
	damaged error           // what was met
}

// topics deletes what is over the retention of the topics that got something.
func (r *retainer) topics(ctx context.Context) error {
	topics := r.store.dirty.take()
	defer func() { r.store.dirty.back(topics) }()
	for topic := range topics {
		edge, err := r.edge(ctx, func() (eventlog.Offset, error) { return r.store.edge(ctx, r.conn, topic) })
		if err == nil {
			err = r.trim(ctx, topic, min(edge, r.safe), true)
		}
		if err == nil && edge <= r.safe {
			delete(topics, topic)
		}
		if err := r.pass(err); err != nil {
			return err
		}
	}
	return nil
}

// pass lets a run go on with other topics when one is damaged.
func (r *retainer) pass(err error) error {
	if errors.Is(err, ErrDamaged) {
		r.damaged, err = err, nil
	}
	return err
}

// edge reads one from a snapshot: another process may be deleting.
func (r *retainer) edge(ctx context.Context, read func() (eventlog.Offset, error)) (edge eventlog.Offset, err error) {
	err = snapshot(ctx, r.conn, func() (err error) {
		edge, err = read()
		return err
	})
	return edge, err
}

// trim deletes the events of a topic up to an offset. The pack that it is in is rewritten; with lazy only once half of its bytes are over, so
// that less than packBytes/2 of a topic stay in the file for longer than they should.
func (r *retainer) trim(ctx context.Context, topic string, upTo eventlog.Offset, lazy bool) error {
	for more := upTo > 0; more; {
		if err := inTx(ctx, plain{r.conn}, func() (err error) {
			more, err = r.trimSome(ctx, topic, upTo, lazy)
			return err
		}); err != nil {
			return err
		}
	}
	return nil
}

// trimSome deletes whole packs, and tells whether there are more. The last time it deletes a part of one, too.
func (r *retainer) trimSome(ctx context.Context, topic string, upTo eventlog.Offset, lazy bool) (more bool, err error) {
	now, err := readState(ctx, plain{r.conn})
	if err != nil {
		return false, err
	}
	var first, last, bytes, n int64 // the offsets are of the newest of them
	if err := r.conn.QueryRowContext(ctx, "SELECT coalesce(max(position), 0), coalesce(max(position + span), 0), coalesce(sum(bytes), 0), count(*) FROM"+
		" (SELECT position, span, bytes FROM buffkit_packs WHERE topic = ?1 AND position <= ?2 ORDER BY position LIMIT ?3) WHERE position + span <= ?2",
		topic, int64(upTo), deletePacks).Scan(&first, &last, &bytes, &n); err != nil {
		return false, err
	}
	if n > 0 {
		if err := r.run(ctx, []statement{{"DELETE FROM buffkit_packs WHERE topic = ? AND position <= ?", []any{topic, first}}}); err != nil {
			return false, err
		}
	}
	if more = n == deletePacks; !more {
		cut, dropped, err := r.cut(ctx, topic, upTo, lazy)
		if err != nil {
			return false, err
		}
		last, bytes = max(last, int64(cut)), bytes+dropped
	}
	if last == 0 { // nothing is over, or too little
		return false, nil
	}
	return more, r.run(ctx, []statement{
		{"INSERT INTO buffkit_trimmed (topic, position) VALUES (?, ?) ON CONFLICT (topic) DO UPDATE SET position = max(position, excluded.position)", []any{topic, last}},
		{"UPDATE buffkit_log SET head = ?, stored = ?, dropped = dropped + ?", []any{int64(now.head), now.stored, bytes}}, // the newest pack may be gone
	})
}

// cut rewrites the pack of a topic that holds an offset, without what is up to there. It returns the newest offset that it dropped, 0 for none, and the bytes.
func (r *retainer) cut(ctx context.Context, topic string, upTo eventlog.Offset, lazy bool) (last eventlog.Offset, bytes int64, err error) {
	old, err := scanPack(r.conn.QueryRowContext(ctx, "SELECT position, span, count, topic, events FROM buffkit_packs WHERE topic = ? AND position <= ?"+
		" ORDER BY position DESC LIMIT 1", topic, int64(upTo)))
	if errors.Is(err, sql.ErrNoRows) {
		return 0, 0, nil
	}
	if err != nil {
		return 0, 0, err
	}
	records, err := old.unpack()
	if err != nil {
		return 0, 0, err
	}
	var rest *pack
	for i := range records {
		switch record := &records[i]; {
		case record.Offset <= upTo:
			last, bytes = record.Offset, bytes+sizeOf(record)
		case rest == nil:
			rest = newPack(record, nil)
		default:
			rest.add(record)
		}
	}
	if rest == nil || lazy && bytes < rest.bytes {
		return 0, 0, nil
	}
	on := int64(rest.first - old.first)
	return last, bytes, r.run(ctx, []statement{{"UPDATE buffkit_packs SET position = ?, span = ?, back = back + ?, ahead = ahead - ?, count = ?, bytes = ?, events = ?" +
		" WHERE position = ?", []any{int64(rest.first), int64(rest.last - rest.first), on, on, rest.count, rest.bytes, rest.sealed(), int64(old.first)}}})
}

type statement struct {
	query string
	args  []any
}

func (r *retainer) run(ctx context.Context, statements []statement) error {
	for _, s := range statements {
		if _, err := r.conn.ExecContext(ctx, s.query, s.args...); err != nil {
			return err
		}
	}
	return nil
}

// expired deletes what is too old, of all topics.
func (r *retainer) expired(ctx context.Context) error {
	old := min(expiredBefore(r.store.opts.Retention.Age), int64(r.safe))
	for old > 0 {
		topics, err := r.topicsBefore(ctx, old)
		if err != nil || len(topics) == 0 {
			return err
		}
		for topic, last := range topics {
			if err := r.trim(ctx, topic, last, true); err != nil {
				return err
			}
		}
	}
	return nil
}

// topicsBefore returns the topics of the oldest packs before a position, with the newest offset of those.
func (r *retainer) topicsBefore(ctx context.Context, position int64) (map[string]eventlog.Offset, error) {
	rows, err := r.conn.QueryContext(ctx, "SELECT topic, max(position + span) FROM (SELECT topic, position, span FROM buffkit_packs"+
		" WHERE position < ?1 AND position + span < ?1 ORDER BY position LIMIT ?2) GROUP BY topic", position, deletePacks)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	topics := map[string]eventlog.Offset{}
	for rows.Next() {
		var topic string
		var last eventlog.Offset
		if err := rows.Scan(&topic, &last); err != nil {
			return nil, err
		}
		topics[topic] = last
	}
	return topics, rows.Err()
}

func (r *retainer) keys(ctx context.Context) error {
	limit := time.Now().Add(-r.store.opts.IdempotencyWindow).UnixMicro()
	for {
		result, err := r.conn.ExecContext(ctx, "DELETE FROM buffkit_keys WHERE (topic, key) IN (SELECT topic, key FROM buffkit_keys WHERE at < ? LIMIT ?)", limit, deletePacks)
		if err != nil {
			return err
		}
		if n, err := result.RowsAffected(); err != nil || n < deletePacks {
			return err
		}
	}
}

// budget brings all topics that are over a level down to it, so that all together are within nine tenths of MaxBytes: a busy topic
// makes room before a quiet one does.
func (r *retainer) budget(ctx context.Context) error {
	now, err := readState(ctx, plain{r.conn})
	if err != nil {
		return err
	}
	var dropped int64
	if err := r.conn.QueryRowContext(ctx, "SELECT dropped FROM buffkit_log").Scan(&dropped); err != nil || now.stored-dropped <= r.store.opts.MaxBytes {
		return err
	}
	topics, err := r.sizes(ctx)
	if err != nil {
		return err
	}
	level := levelOf(topics, r.store.opts.MaxBytes/10*9)
	for _, t := range topics {
		if t.bytes <= level {
			continue
		}
		edge, err := r.edge(ctx, func() (eventlog.Offset, error) { return overflow(ctx, r.conn, t.name, math.MaxInt64, level, 0) })
		if err == nil {
			err = r.trim(ctx, t.name, min(edge, r.safe), false)
		}
		if err := r.pass(err); err != nil {
			return err
		}
	}
	return nil
}

type topicSize struct {
	name  string
	bytes int64
}

func (r *retainer) sizes(ctx context.Context) (topics []topicSize, err error) {
	rows, err := r.conn.QueryContext(ctx, "SELECT topic, sum(bytes) FROM buffkit_packs GROUP BY topic")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var t topicSize
		if err := rows.Scan(&t.name, &t.bytes); err != nil {
			return nil, err
		}
		topics = append(topics, t)
	}
	return topics, rows.Err()
}

// levelOf returns how many bytes each topic may have at most, so that all have a sum at most.
func levelOf(topics []topicSize, sum int64) int64 {
	slices.SortFunc(topics, func(a, b topicSize) int { return cmp.Compare(a.bytes, b.bytes) })
	for i, t := range topics {
		share := sum / int64(len(topics)-i)
		if t.bytes > share {
			return share
		}
		sum -= t.bytes
	}
	return math.MaxInt64
}

// forget drops the memory of topics that had their last event long ago: the floor stands for them.
func (r *retainer) forget(ctx context.Context) error {
	old := expiredBefore(r.store.opts.Retention.Age)
	if old == 0 {
		return nil
	}
	old -= r.store.opts.Retention.Age.Microseconds() // who holds a cursor from before is told a gap in any case
	return inTx(ctx, plain{r.conn}, func() error {
		const gone = " FROM buffkit_trimmed AS t WHERE position < ? AND NOT EXISTS (SELECT 1 FROM buffkit_packs AS p WHERE p.topic = t.topic)"
		var floor sql.NullInt64
		if err := r.conn.QueryRowContext(ctx, "SELECT max(position)"+gone, old).Scan(&floor); err != nil || !floor.Valid {
			return err
		}
		return r.run(ctx, []statement{
			{"UPDATE buffkit_log SET floor = max(floor, ?)", []any{floor.Int64}},
			{"DELETE FROM buffkit_trimmed WHERE topic IN (SELECT topic" + gone + ")", []any{old}},
		})
	})
}

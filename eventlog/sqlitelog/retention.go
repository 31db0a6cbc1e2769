package sqlitelog

import (
	"cmp"
	"context"
	"database/sql"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/buffkit/buffkit/eventlog"
)

const (
	retainEvery = 5 * time.Second
	tailWindow  = 10 * time.Second // in which every process has seen an event, or is late enough to be told a hole
	deleteRows  = 500              // of one transaction: others write in between
)

// dirty are the topics that got something since they were last looked at.
type dirty struct {
	mu     sync.Mutex // guards what follows
	topics map[string]struct{}
}

func (d *dirty) add(topic string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.topics == nil {
		d.topics = make(map[string]struct{})
	}
	d.topics[topic] = struct{}{}
}

func (d *dirty) take() map[string]struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	taken := d.topics
	d.topics = nil
	return taken
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
	conn, err := s.conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	r := retainer{store: s, conn: conn, safe: eventlog.Offset(time.Now().Add(-tailWindow).UnixMicro())}
	for _, step := range []func(context.Context) error{r.topics, r.expired, r.keys, r.budget, r.forget} {
		if err := step(ctx); err != nil {
			return explain(err)
		}
	}
	return nil
}

// retainer is one run.
type retainer struct {
	store *Store
	conn  *sql.Conn
	safe  eventlog.Offset // nothing behind it is deleted
}

// topics deletes what is over the counts and bytes of the topics that got something.
func (r *retainer) topics(ctx context.Context) error {
	for topic := range r.store.dirty.take() {
		edge, err := r.store.edge(ctx, r.conn, topic)
		if err == nil {
			err = r.trim(ctx, topic, min(edge, r.safe))
		}
		if err != nil || edge > r.safe {
			r.store.dirty.add(topic)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// trim deletes the events of a topic up to an offset.
func (r *retainer) trim(ctx context.Context, topic string, upTo eventlog.Offset) error {
	for more := upTo > 0; more; {
		err := inTx(ctx, r.conn, func() error {
			var last sql.NullInt64
			var bytes, n int64
			if err := r.conn.QueryRowContext(ctx, "SELECT max(position), coalesce(sum(size), 0), count(*) FROM (SELECT position, size FROM buffkit_events"+
				" WHERE topic = ? AND position <= ? ORDER BY position LIMIT ?)", topic, int64(upTo), deleteRows).Scan(&last, &bytes, &n); err != nil {
				return err
			}
			if more = n == deleteRows; n == 0 {
				return nil
			}
			return r.run(ctx, []statement{
				{"DELETE FROM buffkit_events WHERE topic = ? AND position <= ?", []any{topic, last.Int64}},
				{"INSERT INTO buffkit_trimmed (topic, position) VALUES (?, ?) ON CONFLICT (topic) DO UPDATE SET position = max(position, excluded.position)", []any{topic, last.Int64}},
				{"UPDATE buffkit_log SET bytes = bytes - ?", []any{bytes}},
			})
		})
		if err != nil {
			return err
		}
	}
	return nil
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
			if err := r.trim(ctx, topic, last); err != nil {
				return err
			}
		}
	}
	return nil
}

// topicsBefore returns the topics of the oldest events before a position, with the newest of those.
func (r *retainer) topicsBefore(ctx context.Context, position int64) (map[string]eventlog.Offset, error) {
	rows, err := r.conn.QueryContext(ctx, "SELECT topic, max(position) FROM (SELECT topic, position FROM buffkit_events WHERE position < ?"+
		" ORDER BY position LIMIT ?) GROUP BY topic", position, deleteRows)
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
		result, err := r.conn.ExecContext(ctx, "DELETE FROM buffkit_keys WHERE (topic, key) IN (SELECT topic, key FROM buffkit_keys WHERE at < ? LIMIT ?)", limit, deleteRows)
		if err != nil {
			return err
		}
		if n, err := result.RowsAffected(); err != nil || n < deleteRows {
			return err
		}
	}
}

// budget brings all topics that are over a level down to it, so that all together are within nine tenths of MaxBytes: a busy topic
// makes room before a quiet one does.
func (r *retainer) budget(ctx context.Context) error {
	var bytes int64
	if err := r.conn.QueryRowContext(ctx, "SELECT bytes FROM buffkit_log").Scan(&bytes); err != nil || bytes <= r.store.opts.MaxBytes {
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
		var edge eventlog.Offset
		if err := r.conn.QueryRowContext(ctx, "SELECT coalesce(max(position), 0) FROM (SELECT position, sum(size) OVER (ORDER BY position DESC) AS total"+
			" FROM buffkit_events WHERE topic = ?) WHERE total > ?", t.name, level).Scan(&edge); err != nil {
			return err
		}
		if err := r.trim(ctx, t.name, min(edge, r.safe)); err != nil {
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
	rows, err := r.conn.QueryContext(ctx, "SELECT topic, sum(size) FROM buffkit_events GROUP BY topic")
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
	return inTx(ctx, r.conn, func() error {
		const gone = " FROM buffkit_trimmed AS t WHERE position < ? AND NOT EXISTS (SELECT 1 FROM buffkit_events AS e WHERE e.topic = t.topic)"
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

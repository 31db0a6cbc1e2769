package pglog

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/buffkit/buffkit/eventlog"
)

const (
	tailKept      = 10 * time.Second    // of what is over the limits: nodes may be reading it, and would take its lack for a hole
	sweepInterval = 10 * time.Second    // how late an event may be dropped; History leaves it out at once
	sweepTopics   = 500                 // that one statement looks at
	sweepRows     = 5000                // that one transaction drops: short ones, so that vacuum keeps up and nobody waits
	sweepTimeout  = 2 * time.Minute     // of one statement
	forgetAfter   = 14 * 24 * time.Hour // how long an empty topic is remembered
)

// limits are a topic's, as the server takes them: nil is no limit.
type limits struct {
	count, bytes, age *int64 // age in microseconds
}

func (s *store) limitsOf(topic string) limits {
	keep := s.opts.Retention
	if s.opts.RetentionOf != nil {
		keep = or(s.opts.RetentionOf(topic), keep)
	}
	return limits{positive(int64(keep.Count)), positive(keep.Bytes), positive(keep.Age.Microseconds())}
}

func positive(n int64) *int64 {
	if n <= 0 {
		return nil
	}
	return &n
}

// or fills in the fields that are zero.
func or(r, def eventlog.Retention) eventlog.Retention {
	if r.Count == 0 {
		r.Count = def.Count
	}
	if r.Bytes == 0 {
		r.Bytes = def.Bytes
	}
	if r.Age == 0 {
		r.Age = def.Age
	}
	return r
}

// sweep drops what is over the limits, until the store closes. An error is logged: the next turn tries again.
func (s *store) sweep() {
	tick := time.NewTicker(s.opts.sweepEvery)
	defer tick.Stop()
	var swept int64 // up to here topics with news were looked at
	for {
		select {
		case <-tick.C:
			if err := s.sweepOnce(s.ctx, &swept, s.opts.tailKept); err != nil && s.ctx.Err() == nil {
				s.opts.Logger.Warn("pglog: retention", "err", err)
			}
		case <-s.ctx.Done():
			return
		}
	}
}

// The topics that have events in a range of offsets, and where the range ends.
const dirtyQuery = `
SELECT l.head, e.topic FROM {log} l
LEFT JOIN LATERAL (SELECT DISTINCT topic FROM {log}_events WHERE "offset" > $1::bigint AND "offset" <= l.head) e ON true
WHERE l.partition = 0`

// The topics that have events, in order, found by one look into the index for each.
const walkQuery = `
WITH RECURSIVE walk AS (
	SELECT (SELECT min(topic) FROM {log}_events WHERE topic > $1::text) AS topic, 1 AS n
	UNION ALL
	SELECT (SELECT min(e.topic) FROM {log}_events e WHERE e.topic > w.topic), n + 1 FROM walk w WHERE w.topic IS NOT NULL AND w.n < $2::int
)
SELECT topic FROM walk WHERE topic IS NOT NULL`

const trimQuery = `SELECT {log}_trim($1::text[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint, $6::bigint)`

// Keys that count no longer, and empty topics from long ago: what they knew is then known of all topics that aren't remembered.
const forgetQuery = `
WITH expired AS (
	DELETE FROM {log}_keys WHERE "offset" < (SELECT {log}_clock()) - $1::bigint
), forgotten AS (
	DELETE FROM {log}_topics t WHERE t.topic <> '' AND t.trimmed < (SELECT {log}_clock()) - $2::bigint
		AND NOT EXISTS (SELECT FROM {log}_events e WHERE e.topic = t.topic) RETURNING t.trimmed
)
INSERT INTO {log}_topics AS t SELECT '', max(trimmed) FROM forgotten HAVING count(*) > 0
ON CONFLICT (topic) DO UPDATE SET trimmed = greatest(t.trimmed, excluded.trimmed)`

// sweepOnce looks at the topics that got events since the last time, which may be over in number or bytes, and then at all for their age.
func (s *store) sweepOnce(ctx context.Context, swept *int64, tail time.Duration) error {
	return s.conns.with(ctx, func(conn *pgx.Conn) error {
		sw := sweeper{s, conn, max(tail, 0)}
		head, topics, err := sw.dirty(ctx, *swept)
		if err != nil {
			return err
		}
		for len(topics) > 0 {
			n := min(len(topics), sweepTopics)
			if err := sw.trimTopics(ctx, topics[:n]); err != nil {
				return err
			}
			topics = topics[n:]
		}
		if tail > 0 { // what was too new to be dropped is looked at again
			head = min(head, time.Now().Add(-tail-time.Minute).UnixMicro())
		}
		*swept = max(*swept, head)
		if err := sw.trimAll(ctx); err != nil {
			return err
		}
		_, err = sw.exec(ctx, s.forget, s.period(), forgetAfter.Microseconds())
		return err
	})
}

// sweeper works on one connection.
type sweeper struct {
	*store
	conn *pgx.Conn
	tail time.Duration // of which nothing is dropped
}

func (s *sweeper) dirty(ctx context.Context, swept int64) (head int64, topics []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, sweepTimeout)
	defer cancel()
	rows, err := s.conn.Query(ctx, s.store.dirty, s.args(swept)...)
	if err != nil {
		return 0, nil, err
	}
	var topic *string
	_, err = pgx.ForEachRow(rows, []any{&head, &topic}, func() error {
		if topic != nil {
			topics = append(topics, *topic)
		}
		return nil
	})
	return head, topics, err
}

func (s *sweeper) trimAll(ctx context.Context) error {
	last := ""
	for {
		topics, err := s.walkFrom(ctx, last)
		if err != nil || len(topics) == 0 {
			return err
		}
		last = topics[len(topics)-1]
		if err := s.trimTopics(ctx, topics); err != nil {
			return err
		}
	}
}

func (s *sweeper) walkFrom(ctx context.Context, after string) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, sweepTimeout)
	defer cancel()
	rows, err := s.conn.Query(ctx, s.walk, s.args(after, sweepTopics)...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// trimTopics drops what the topics have over their limits, in transactions of sweepRows.
func (s *sweeper) trimTopics(ctx context.Context, topics []string) error {
	counts, bytes, ages := make([]*int64, len(topics)), make([]*int64, len(topics)), make([]*int64, len(topics))
	for i, topic := range topics {
		l := s.limitsOf(topic)
		counts[i], bytes[i], ages[i] = l.count, l.bytes, l.age
	}
	for dropped := int64(sweepRows); dropped == sweepRows; {
		limited, cancel := context.WithTimeout(ctx, sweepTimeout)
		err := s.conn.QueryRow(limited, s.trim, s.args(topics, counts, bytes, ages, sweepRows, s.tail.Microseconds())...).Scan(&dropped)
		cancel()
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *sweeper) exec(ctx context.Context, query string, args ...any) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, sweepTimeout)
	defer cancel()
	tag, err := s.conn.Exec(ctx, query, s.args(args...)...)
	return tag.RowsAffected(), err
}

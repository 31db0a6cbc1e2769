package pglog

import (
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/buffkit/buffkit/eventlog"
)

const (
	tailKept      = 10 * time.Second    // of what is over the limits: nodes may be reading it, and would take its lack for a hole
	sweepInterval = 10 * time.Second    // how late an event may be dropped; History leaves it out at once
	sweepAtMost   = 2 * time.Second     // for each of the walks through all topics and all rows, which go on in the next turn where they stopped
	sweepTopics   = 200                 // that one statement looks at
	sweepRows     = 100                 // that one transaction looks at: short ones, so that vacuum keeps up
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
	sw := sweeper{store: s, tail: max(s.opts.tailKept, 0), atMost: sweepAtMost}
	for {
		select {
		case <-tick.C:
			if err := sw.round(s.ctx); err != nil && s.ctx.Err() == nil {
				s.opts.Logger.Warn("pglog: retention", "err", explained(err))
			}
		case <-s.ctx.Done():
			return
		}
	}
}

// The topics that have events behind an offset, and the log's head.
const dirtyQuery = `
SELECT l.head, u.topic FROM {log} l
LEFT JOIN LATERAL (
	SELECT DISTINCT g.topic FROM {log}_batches b CROSS JOIN LATERAL unnest(b.topics) AS g (topic) WHERE $1::bigint > 0 AND b.last > $1::bigint AND b.last <= l.head AND g.topic <> ''
) u ON true
WHERE l.partition = 0`

// The topics that have events, in order, found by one look into the index for each.
const walkQuery = `
WITH RECURSIVE walk AS (
	SELECT (SELECT min(topic) FROM {log}_index WHERE topic > $1::text) AS topic, 1 AS n
	UNION ALL
	SELECT (SELECT min(i.topic) FROM {log}_index i WHERE i.topic > w.topic), n + 1 FROM walk w WHERE w.topic IS NOT NULL AND w.n < $2::int
)
SELECT topic FROM walk WHERE topic IS NOT NULL`

const trimQuery = `SELECT {log}_trim($1::text[], $2::bigint[], $3::bigint[], $4::bigint[])`

// The last argument is an offset that is old by the node's own clock: the server's may be behind the log. A millisecond passes at most until the function looks at its clock.
const collectQuery = `SELECT seen, dropped FROM {log}_collect($1::bigint, $2::bigint, least($3::bigint, {log}_clock() - $4::bigint + 1000))`

// Keys that count no longer, and empty topics from long ago: what they knew is then known of all topics that aren't remembered.
const forgetQuery = `
WITH expired AS (
	DELETE FROM {log}_keys WHERE "offset" < (SELECT {log}_clock()) - $1::bigint
), forgotten AS (
	DELETE FROM {log}_topics t WHERE t.topic <> '' AND t.trimmed < (SELECT {log}_clock()) - $2::bigint
		AND NOT EXISTS (SELECT FROM {log}_index i WHERE i.topic = t.topic) RETURNING t.trimmed
)
INSERT INTO {log}_topics AS t SELECT '', max(trimmed) FROM forgotten HAVING count(*) > 0
ON CONFLICT (topic) DO UPDATE SET trimmed = greatest(t.trimmed, excluded.trimmed)`

// sweeper works on one connection at a time, in turns.
type sweeper struct {
	*store
	conn      *pgx.Conn
	now       time.Time     // of this turn
	tail      time.Duration // of which nothing is dropped
	atMost    time.Duration // for each walk of a turn; it takes a step all the same
	swept     int64         // up to here topics with news were looked at; 0: nothing yet
	walked    string        // the topic that the walk through all came to
	collected int64         // and the row
	seen      []headAt      // where the log was, oldest first
	old       int64         // where it was before the tail; 0: that isn't known yet
}

// headAt tells that what is up to a head is so old at least, though its offsets are ahead of a clock that was set back.
type headAt struct {
	at   time.Time // by the monotonic clock
	head int64
}

// note takes the head of now. A log that has lost its end begins anew with that.
func (s *sweeper) note(now time.Time, head int64) {
	if n := len(s.seen); head < s.old || n > 0 && head < s.seen[n-1].head {
		s.seen, s.old = nil, 0
	}
	s.seen = append(s.seen, headAt{now, head})
	for len(s.seen) > 0 && now.Sub(s.seen[0].at) >= s.tail {
		s.old, s.seen = s.seen[0].head, s.seen[1:]
	}
}

// round looks at the topics that got events since the last one, which may be over in number or bytes, and at others for their age. Then it drops
// the rows of which nothing is left.
func (s *sweeper) round(ctx context.Context) error { return s.roundAt(ctx, time.Now()) }

func (s *sweeper) roundAt(ctx context.Context, now time.Time) error {
	return s.conns.with(ctx, func(conn *pgx.Conn) error {
		s.conn, s.now = conn, now
		for _, step := range []func(context.Context) error{s.extend, s.trimDirty, s.trimAll, s.collectAll, s.forgetOld} {
			if err := step(ctx); err != nil {
				return err
			}
		}
		return nil
	})
}

// scan runs a statement that returns one row.
func (s *sweeper) scan(ctx context.Context, query string, args, into []any) error {
	ctx, cancel := context.WithTimeout(ctx, sweepTimeout)
	defer cancel()
	return s.committed(ctx, s.conn, func(q querier) error { return q.QueryRow(ctx, query, s.args(args...)...).Scan(into...) })
}

func (s *sweeper) extend(ctx context.Context) error { return s.extendIndex(ctx, s.conn) }

func (s *sweeper) trimDirty(ctx context.Context) error {
	head, topics, err := s.findDirty(ctx)
	if err != nil {
		return err
	}
	s.note(s.now, head)
	for some := range slices.Chunk(topics, sweepTopics) {
		if err := s.trimTopics(ctx, some); err != nil {
			return err
		}
	}
	s.swept = max(s.swept, head)
	return nil
}

func (s *sweeper) findDirty(ctx context.Context) (head int64, topics []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, sweepTimeout)
	defer cancel()
	err = s.committed(ctx, s.conn, func(q querier) error {
		rows, err := q.Query(ctx, s.dirty, s.args(s.swept)...)
		if err != nil {
			return err
		}
		var topic *string
		_, err = pgx.ForEachRow(rows, []any{&head, &topic}, func() error {
			if topic != nil {
				topics = append(topics, *topic)
			}
			return nil
		})
		return err
	})
	return head, topics, err
}

// trimAll looks at the topics that come next, as many as there is time for.
func (s *sweeper) trimAll(ctx context.Context) error {
	for begin := time.Now(); ; {
		topics, err := s.walkOn(ctx)
		if err == nil {
			err = s.trimTopics(ctx, topics)
		}
		switch {
		case err != nil:
			return err
		case len(topics) < sweepTopics:
			s.walked = ""
			return nil
		}
		s.walked = topics[len(topics)-1]
		if time.Since(begin) >= s.atMost {
			return nil
		}
	}
}

func (s *sweeper) walkOn(ctx context.Context) (topics []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, sweepTimeout)
	defer cancel()
	err = s.committed(ctx, s.conn, func(q querier) error {
		rows, err := q.Query(ctx, s.walk, s.args(s.walked, sweepTopics)...)
		if err != nil {
			return err
		}
		topics, err = pgx.CollectRows(rows, pgx.RowTo[string])
		return err
	})
	return topics, err
}

// trimTopics notes what the topics have over their limits.
func (s *sweeper) trimTopics(ctx context.Context, topics []string) error {
	counts, bytes, ages := make([]*int64, len(topics)), make([]*int64, len(topics)), make([]*int64, len(topics))
	for i, topic := range topics {
		l := s.limitsOf(topic)
		counts[i], bytes[i], ages[i] = l.count, l.bytes, l.age
	}
	var trimmed int64
	return s.scan(ctx, s.trim, []any{topics, counts, bytes, ages}, []any{&trimmed})
}

// collectAll drops the oldest rows, as long as it finds some to drop, and then looks at those that come next, as many as there is time for.
func (s *sweeper) collectAll(ctx context.Context) error {
	begin := time.Now()
	for oldest, dropped := int64(0), int64(1); dropped > 0 && time.Since(begin) < s.atMost; {
		var err error
		if oldest, dropped, err = s.collectRows(ctx, oldest); err != nil {
			return err
		}
	}
	for {
		seen, _, err := s.collectRows(ctx, s.collected)
		if s.collected = seen; err != nil || seen == 0 || time.Since(begin) >= s.atMost {
			return err
		}
	}
}

// collectRows returns the last row that it looked at, 0 at the end.
func (s *sweeper) collectRows(ctx context.Context, behind int64) (last, dropped int64, err error) {
	var seen *int64
	err = s.scan(ctx, s.collect, []any{behind, sweepRows, s.tail.Microseconds(), s.old}, []any{&seen, &dropped})
	if seen != nil {
		last = *seen
	}
	return last, dropped, err
}

func (s *sweeper) forgetOld(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, sweepTimeout)
	defer cancel()
	return s.committed(ctx, s.conn, func(q querier) error {
		_, err := q.Exec(ctx, s.forget, s.args(s.period(), forgetAfter.Microseconds())...)
		return err
	})
}

package sqlitelog

import (
	"context"
	"database/sql"
	"math"
	"slices"
	"time"

	"github.com/buffkit/buffkit/eventlog"
)

// History implements eventlog.Store. What retention is about to delete counts as deleted.
func (s *Store) History(ctx context.Context, asked eventlog.Range) (h eventlog.History, err error) {
	if err := s.check(ctx); err != nil {
		return h, err
	}
	conn, err := s.conn(ctx)
	if err != nil {
		return h, err
	}
	defer conn.Close()
	err = snapshot(ctx, conn, func() error {
		var topicTrimmed eventlog.Offset
		if err := conn.QueryRowContext(ctx, "SELECT epoch, coalesce((SELECT position FROM buffkit_trimmed WHERE topic = ?), floor) FROM buffkit_log",
			asked.Topic).Scan(&h.Epoch, &topicTrimmed); err != nil {
			return err
		}
		edge, err := s.edge(ctx, conn, asked.Topic)
		if err != nil {
			return err
		}
		h.Trimmed = max(topicTrimmed, edge)
		h.Records, err = records(ctx, conn, asked, edge)
		return err
	})
	return h, s.blame(err)
}

// records reads what is behind the edge in a range, oldest first.
func records(ctx context.Context, conn *sql.Conn, asked eventlog.Range, edge eventlog.Offset) ([]eventlog.Record, error) {
	order, bytes := "ASC", int64(math.MaxInt64)
	if asked.Newest {
		order = "DESC"
		if asked.Bytes > 0 {
			bytes = asked.Bytes
		}
	}
	until := int64(math.MaxInt64)
	if asked.Until > 0 {
		until = int64(asked.Until)
	}
	rows, err := conn.QueryContext(ctx, "SELECT "+recordColumns+" FROM buffkit_events WHERE topic = ? AND position > ? AND position <= ? ORDER BY position "+
		order+" LIMIT ?", asked.Topic, int64(max(asked.After, edge)), until, asked.Max)
	if err != nil {
		return nil, err
	}
	found, _, err := scan(rows, asked.Max, bytes)
	if asked.Newest {
		slices.Reverse(found)
	}
	return found, err
}

// edge returns the newest offset of a topic that is over its retention, deleted or not, 0 if none is that isn't deleted.
func (s *Store) edge(ctx context.Context, conn *sql.Conn, topic string) (edge eventlog.Offset, err error) {
	keep := s.opts.Retention
	old := expiredBefore(keep.Age)
	count := int64(min(keep.Count, math.MaxInt32)) // SQLite adds to it
	var bytes int64
	err = conn.QueryRowContext(ctx, "WITH edge (position) AS (SELECT max("+
		"coalesce((SELECT max(position) FROM buffkit_events WHERE topic = ?1 AND position < ?2), 0),"+
		" coalesce((SELECT position FROM buffkit_events WHERE topic = ?1 ORDER BY position DESC LIMIT 1 OFFSET ?3), 0)))"+
		" SELECT position, (SELECT coalesce(sum(size), 0) FROM buffkit_events WHERE topic = ?1 AND position > edge.position) FROM edge",
		topic, old, count).Scan(&edge, &bytes)
	if err != nil || bytes <= keep.Bytes {
		return edge, err
	}
	// The newest event is kept, however large.
	err = conn.QueryRowContext(ctx, "SELECT coalesce(max(position), ?2) FROM (SELECT position, sum(size) OVER (ORDER BY position DESC) AS total,"+
		" row_number() OVER (ORDER BY position DESC) AS place FROM buffkit_events WHERE topic = ?1 AND position > ?2) WHERE total > ?3 AND place > 1",
		topic, int64(edge), keep.Bytes).Scan(&edge)
	return edge, err
}

// expiredBefore returns the offset before which events are too old, 0 for no limit.
func expiredBefore(age time.Duration) int64 {
	if age == math.MaxInt64 {
		return 0
	}
	return max(time.Now().Add(-age).UnixMicro(), 0)
}

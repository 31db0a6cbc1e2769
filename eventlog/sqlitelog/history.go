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
		asked.After = max(asked.After, edge)
		var lost eventlog.Offset
		h.Records, lost, err = s.records(ctx, conn, asked)
		h.Trimmed = max(h.Trimmed, lost)
		return err
	})
	return h, s.blame(err)
}

// packsOf are the packs of a topic with an offset behind ?2, up to ?3: the one that ?2 is in begins before.
const packsOf = "SELECT " + packColumns + " FROM buffkit_packs WHERE topic = ?1 AND position <= ?3 AND position >=" +
	" coalesce((SELECT max(position) FROM buffkit_packs WHERE topic = ?1 AND position <= ?2), 0) ORDER BY position "

// records reads a range, oldest first. All up to lost, 0 for none, is gone with damaged packs.
func (s *Store) records(ctx context.Context, conn *sql.Conn, asked eventlog.Range) (found []eventlog.Record, lost eventlog.Offset, err error) {
	order, bytes := "ASC", int64(math.MaxInt64)
	if asked.Newest {
		order = "DESC"
		if asked.Bytes > 0 {
			bytes = asked.Bytes
		}
	}
	if asked.Until == 0 {
		asked.Until = math.MaxInt64
	}
	full := func() bool { return len(found) >= asked.Max || bytes < 0 }
	err = eachPack(ctx, conn, packsOf+order, []any{asked.Topic, int64(asked.After), int64(asked.Until)}, func(p *pack) (bool, error) {
		some, err := p.unpack()
		if err != nil {
			if lost = p.last; !asked.Newest {
				found = nil
			}
			return !asked.Newest, s.lose(ctx, plain{conn}, p, err)
		}
		if asked.Newest {
			slices.Reverse(some)
		}
		for i := range some {
			if r := &some[i]; r.Offset > asked.After && r.Offset <= asked.Until && !full() {
				found = append(found, *r)
				bytes -= int64(len(r.Body))
			}
		}
		return !full(), nil
	})
	if err != nil {
		return nil, 0, err
	}
	if asked.Newest {
		slices.Reverse(found)
	}
	return found, lost, nil
}

// edge returns the newest offset of a topic that is over its retention, deleted or not, 0 if none is that isn't deleted.
func (s *Store) edge(ctx context.Context, conn *sql.Conn, topic string) (eventlog.Offset, error) {
	keep := s.opts.retentionOf(topic)
	old, err := expired(ctx, conn, topic, keep.Age)
	if err != nil {
		return 0, err
	}
	over, err := overflow(ctx, conn, topic, int64(keep.Count), keep.Bytes, 1) // the newest event is kept, however large
	return max(old, over), err
}

// overflow returns the newest offset of a topic that isn't among its newest events, so many of them at most, with so many bytes at
// most; 0 if all are. At least so many are, whatever their bytes.
func overflow(ctx context.Context, conn *sql.Conn, topic string, count, bytes, least int64) (eventlog.Offset, error) {
	var n, sum int64 // of the newest, as far as the walk has come
	err := conn.QueryRowContext(ctx, "SELECT coalesce(sum(count), 0), coalesce(sum(bytes), 0) FROM buffkit_packs WHERE topic = ?", topic).Scan(&n, &sum)
	over := func() bool { return n > count || sum > bytes && n > least }
	if err != nil || !over() {
		return 0, err
	}
	edge, err := walk(ctx, conn, topic, func(packCount, packBytes int64) bool {
		n, sum = n-packCount, sum-packBytes
		return over()
	})
	if err != nil {
		return 0, err
	}
	p, err := onePack(ctx, conn, "SELECT "+packColumns+" FROM buffkit_packs WHERE position = ?", edge)
	if err != nil || p == nil {
		return 0, err
	}
	records, err := p.unpack()
	if err != nil { // damaged: it goes as a whole
		if n, sum = n+1, sum+1; over() {
			return p.last, nil
		}
		return p.first - 1, nil
	}
	for _, r := range slices.Backward(records) {
		if n, sum = n+1, sum+sizeOf(&r); over() {
			return r.Offset, nil
		}
	}
	return 0, nil
}

// walk calls on with the packs of a topic, oldest first, as long as it returns true. It returns the position of the last.
func walk(ctx context.Context, conn *sql.Conn, topic string, on func(count, bytes int64) bool) (position int64, err error) {
	rows, err := conn.QueryContext(ctx, "SELECT position, count, bytes FROM buffkit_packs WHERE topic = ? ORDER BY position", topic)
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	for rows.Next() {
		var count, bytes int64
		if err := rows.Scan(&position, &count, &bytes); err != nil {
			return 0, err
		}
		if !on(count, bytes) {
			break
		}
	}
	return position, rows.Err()
}

const noAge = time.Duration(math.MaxInt64) // no limit

// expiredBefore returns the offset before which events are too old, 0 for no limit.
func expiredBefore(age time.Duration) int64 {
	if age == noAge {
		return 0
	}
	return max(time.Now().Add(-age).UnixMicro(), 0)
}

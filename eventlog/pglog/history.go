package pglog

import (
	"context"
	"errors"
	"math"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/buffkit/buffkit/eventlog"
)

// What is over the topic's limits is left out though the sweeper may not have dropped it yet. Of what was before the rest, the oldest
// event that is left knows. It is told in which order to take the rest.
const historyQuery = `
WITH bound AS MATERIALIZED (
	SELECT {log}_bound($1::text, $2::bigint, $3::bigint, $4::bigint) AS upto
)
SELECT l.epoch,
	coalesce(
		(SELECT o.prev FROM {log}_events o WHERE o.topic = $1 AND o."offset" > b.upto ORDER BY o."offset" LIMIT 1),
		greatest(b.upto, (SELECT t.trimmed FROM {log}_topics t WHERE t.topic IN ($1, '') ORDER BY t.topic DESC LIMIT 1), 0)
	),
	e."offset", e.topic, e.key, e.prev, e.chain, e.body
FROM {log} l CROSS JOIN bound b
LEFT JOIN LATERAL (
	SELECT * FROM {log}_events e WHERE e.topic = $1 AND e."offset" > greatest($5::bigint, b.upto) AND e."offset" <= $6::bigint
	ORDER BY e."offset" %s LIMIT $7::int
) e ON true
WHERE l.partition = 0 ORDER BY e."offset"`

const queryTimeout = 30 * time.Second // of a range of up to 10,000 events: a server that takes longer doesn't answer at all

// History implements eventlog.Store.
func (s *store) History(ctx context.Context, r eventlog.Range) (eventlog.History, error) {
	ctx, cancel := s.untilClosed(ctx)
	defer cancel()
	var h eventlog.History
	err := s.conns.with(ctx, func(conn *pgx.Conn) (err error) {
		h, err = s.history1(ctx, conn, r)
		return err
	})
	return h, s.orClosed(explained(err))
}

func (s *store) history1(ctx context.Context, conn *pgx.Conn, r eventlog.Range) (h eventlog.History, err error) {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	query, until, limit := s.history, int64(r.Until), min(max(r.Max, 1), math.MaxInt32)
	if r.Newest {
		query = s.newest
	}
	if until == 0 {
		until = math.MaxInt64
	}
	keep := s.limitsOf(r.Topic)
	rows, err := conn.Query(ctx, query, s.args(r.Topic, keep.count, keep.bytes, keep.age, int64(r.After), until, limit)...)
	if err != nil {
		return h, err
	}
	defer rows.Close()
	for rows.Next() {
		var e row
		if err := rows.Scan(&h.Epoch, &h.Trimmed, &e.offset, &e.topic, &e.key, &e.prev, &e.chain, &e.body); err != nil {
			return h, err
		}
		if e.offset != nil {
			h.Records = append(h.Records, e.record())
		}
	}
	if rows.Err() == nil && h.Epoch == 0 {
		return h, errEmpty
	}
	return h, rows.Err()
}

var errEmpty = errors.New("pglog: the table buffkit_log is empty: restore it, or undo the migrations of pglog and run them again")

const supersedeQuery = `UPDATE {log} SET epoch = {log}_epoch() WHERE partition = 0 AND epoch = $1::bigint RETURNING epoch`

// A statement of its own: of two nodes that supersede at once, the one that waited for the other would read the epoch from before.
const epochQuery = `SELECT epoch FROM {log} WHERE partition = 0`

// Supersede implements eventlog.Store.
func (s *store) Supersede(ctx context.Context, old uint64) (epoch uint64, err error) {
	ctx, cancel := s.untilClosed(ctx)
	defer cancel()
	err = s.conns.with(ctx, func(conn *pgx.Conn) error {
		ctx, cancel := context.WithTimeout(ctx, s.opts.timeout)
		defer cancel()
		err := conn.QueryRow(ctx, s.supersede, s.args(int64(old))...).Scan(&epoch)
		if errors.Is(err, pgx.ErrNoRows) {
			err = conn.QueryRow(ctx, s.epoch, s.args()...).Scan(&epoch)
		}
		return err
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, errEmpty
	}
	return epoch, s.orClosed(explained(err))
}

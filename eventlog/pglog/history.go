package pglog

import (
	"context"
	"errors"
	"math"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/buffkit/buffkit/eventlog"
)

// What is over the topic's limits is left out though the sweeper may not have noted it yet. Of what was before the rest, the oldest
// event that is left knows, if nothing of the topic was ever over. It is told in which order to take the rest and which runs of the index have enough of it, and takes
// no more than it was asked for in bytes.
const historyQuery = `
WITH bound AS MATERIALIZED (
	SELECT greatest(b.upto, (SELECT t.trimmed FROM {log}_topics t WHERE t.topic = $1::text)) AS upto
	FROM (SELECT {log}_bound($1::text, $2::bigint, $3::bigint, $4::bigint) AS upto) b
), enough AS (%[2]s
), found AS (
	SELECT e."offset", e.prev, e.size FROM bound b CROSS JOIN enough m
	JOIN {log}_events e ON e.topic = $1 AND e.known > greatest($5::bigint, b.upto, m.behind) AND e.since < least($6::bigint, m.upto)
		AND e."offset" > greatest($5::bigint, b.upto) AND e."offset" <= $6
	ORDER BY e."offset" %[1]s LIMIT $7::int
), wanted AS (
	SELECT f.*, sum(f.size) OVER (ORDER BY f."offset" DESC) - f.size AS newer FROM found f
)
SELECT ` + epochColumn + `,
	CASE WHEN b.upto > 0 THEN b.upto ELSE coalesce(
		(SELECT i.prev FROM {log}_index i WHERE i.topic = $1 ORDER BY i.last LIMIT 1),
		(SELECT e.prev FROM {log}_events e WHERE e.topic = $1 ORDER BY e."offset" LIMIT 1),
		(SELECT t.trimmed FROM {log}_topics t WHERE t.topic = ''),
		0) END,
	r."offset", r.prev, r.chain, r.key_size, r.piece
FROM {log} l CROSS JOIN bound b
LEFT JOIN (
	SELECT w."offset", w.prev, p.* FROM wanted w CROSS JOIN LATERAL (
		SELECT CASE WHEN w."offset" > a.first THEN w."offset" - 1 ELSE a.chain END AS chain, coalesce(a.keys[w."offset" - a.first + 1], 0) AS key_size,
			substring(a.body FROM coalesce(a.ends[w."offset" - a.first], 0) + 1 FOR w.size) AS piece
		FROM (SELECT * FROM {log}_batches x WHERE x.last >= w."offset" ORDER BY x.last LIMIT 1) a
	) p WHERE $8::bigint <= 0 OR w.newer < $8::bigint
) r ON true
WHERE l.partition = 0 ORDER BY r."offset"`

// Where the oldest of a range end, and where the newest begin, as far as the index has as many of them. A run that is partly outside isn't counted.
const (
	oldestQuery = `
	SELECT NULL::bigint AS behind, min(r.last) AS upto FROM (
		SELECT i.last, sum(cardinality(i.offsets)) FILTER (WHERE i.prev >= greatest($5::bigint, b.upto)) OVER (ORDER BY i.last) AS events
		FROM bound b JOIN {log}_index i ON i.topic = $1 AND i.last > greatest($5::bigint, b.upto) AND i.prev < $6::bigint
	) r WHERE r.events >= $7::int`
	newestQuery = `
	SELECT max(r.last) - 1 AS behind, NULL::bigint AS upto FROM (
		SELECT i.last, sum(cardinality(i.offsets)) FILTER (WHERE i.last <= $6::bigint) OVER runs AS events, sum(i.bytes) FILTER (WHERE i.last <= $6::bigint) OVER runs AS bytes
		FROM bound b JOIN {log}_index i ON i.topic = $1 AND i.last > greatest($5::bigint, b.upto) AND i.prev < $6::bigint WINDOW runs AS (ORDER BY i.last DESC)
	) r WHERE r.events >= $7::int OR ($8::bigint > 0 AND r.bytes >= $8::bigint)`
)

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
	query, until, limit, bytes := s.history, int64(r.Until), min(max(r.Max, 1), math.MaxInt32), int64(0)
	if r.Newest {
		query, bytes = s.newest, r.Bytes
	}
	if until == 0 {
		until = math.MaxInt64
	}
	keep := s.limitsOf(r.Topic)
	args := s.args(r.Topic, keep.count, keep.bytes, keep.age, int64(r.After), until, limit, bytes)
	err = s.committed(ctx, conn, func(q querier) error {
		h, err = readHistory(ctx, q, query, args, r.Topic)
		return err
	})
	if err == nil && h.Epoch == 0 {
		err = errEmpty
	}
	return h, err
}

func readHistory(ctx context.Context, q querier, query string, args []any, topic string) (h eventlog.History, err error) {
	rows, err := q.Query(ctx, query, args...)
	if err != nil {
		return h, err
	}
	var offset, prev, chain *eventlog.Offset // nil: there is no record
	var keySize *int
	var piece []byte
	_, err = pgx.ForEachRow(rows, []any{&h.Epoch, &h.Trimmed, &offset, &prev, &chain, &keySize, &piece}, func() error {
		if h.Epoch == 0 {
			return ErrStandby
		}
		if offset != nil {
			h.Records = append(h.Records, eventlog.Record{
				Topic: topic, Key: string(piece[:*keySize]), Body: piece[*keySize:], Offset: *offset, Prev: *prev, Chain: *chain,
			})
		}
		return nil
	})
	return h, err
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
		return s.committed(ctx, conn, func(q querier) error {
			err := q.QueryRow(ctx, s.supersede, s.args(int64(old))...).Scan(&epoch)
			if errors.Is(err, pgx.ErrNoRows) {
				err = q.QueryRow(ctx, s.epoch, s.args()...).Scan(&epoch)
			}
			return err
		})
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, errEmpty
	}
	return epoch, s.orClosed(explained(err))
}

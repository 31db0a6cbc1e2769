package sqlitelog

import (
	"context"
	"database/sql"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/buffkit/buffkit/eventlog"
)

const (
	roundAtMost = 200 * time.Millisecond // of a run's part of a round through all topics: that are tens of thousands
	forgetEvery = time.Minute            // a walk through all that is remembered
)

// ages is how far the round through all topics has come, which looks for what is too old where each topic has an age of its own.
type ages struct {
	mu     sync.Mutex // guards what follows
	now    round
	before *round    // the last that came to its end, nil if none has
	forgot time.Time // when topics were last forgotten
}

// round is a part of one.
type round struct {
	topic   string        // the last
	longest time.Duration // the age of those so far
}

func (a *ages) round() round {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.now
}

// note says how far a round has come, or that it is at its end.
func (a *ages) note(r round, end bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.now = r; end {
		a.now, a.before = round{}, &r
	}
}

// forgets tells whether it is time to forget topics again.
func (a *ages) forgets() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if time.Since(a.forgot) < forgetEvery {
		return false
	}
	a.forgot = time.Now()
	return true
}

// longest returns the longest age of any topic, without limit while that isn't known.
func (a *ages) longest(opts *Options) time.Duration {
	if opts.RetentionOf == nil {
		return opts.Retention.Age
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.before == nil {
		return noAge
	}
	return max(a.before.longest, a.now.longest, opts.Retention.Age)
}

// expired deletes what is too old, of all topics.
func (r *retainer) expired(ctx context.Context) error {
	if r.store.opts.RetentionOf != nil {
		return r.expiredOfEach(ctx)
	}
	for old := min(expiredBefore(r.store.opts.Retention.Age), int64(r.safe)); old > 0; {
		over, err := r.packsBefore(ctx, old)
		if err != nil || len(over) == 0 {
			return err
		}
		if err := r.trim(ctx, true, over...); err != nil {
			return err
		}
	}
	return nil
}

// packsBefore returns the topics of the oldest packs before a position, with the newest offset of those.
func (r *retainer) packsBefore(ctx context.Context, position int64) (over []edge, err error) {
	return r.edges(ctx, "SELECT topic, max(position + span) FROM (SELECT topic, position, span FROM buffkit_packs"+
		" WHERE position < ?1 AND position + span < ?1"+r.store.damage.but()+" ORDER BY position LIMIT ?2) GROUP BY topic", position, roomAfter(time.Since(r.began)))
}

// expiredOfEach deletes what is too old of the topics that come next, as many as there is time to look at. The next run goes on behind them.
func (r *retainer) expiredOfEach(ctx context.Context) error {
	at, end := r.store.ages.round(), false
	defer func() { r.store.ages.note(at, end) }()
	for looked := time.Duration(0); !end && looked < roundAtMost; {
		began := time.Now()
		oldest, err := r.oldestBehind(ctx, at.topic)
		if err != nil {
			return err
		}
		over, err := r.tooOld(ctx, oldest, &at)
		if err != nil {
			return err
		}
		looked += time.Since(began) // to delete takes as long as it takes
		if err := r.trim(ctx, true, over...); err != nil {
			return err
		}
		if end = len(oldest) < topicsAtOnce; !end {
			at.topic = oldest[len(oldest)-1].topic
		}
	}
	return nil
}

// tooOld returns how far topics are too old, by their oldest events. The round notes their ages.
func (r *retainer) tooOld(ctx context.Context, oldest []edge, at *round) (over []edge, err error) {
	for _, o := range oldest {
		age := r.store.opts.retentionOf(o.topic).Age
		at.longest = max(at.longest, age)
		if int64(o.upTo) >= expiredBefore(age) {
			continue
		}
		upTo, err := expired(ctx, r.conn, o.topic, age)
		if err != nil {
			return nil, err
		}
		over = append(over, edge{o.topic, upTo})
	}
	return over, nil
}

// behind is a query for the topic that comes next, in the order of their names, be it one that has lost all of its events.
const behind = "(SELECT min(topic) FROM (SELECT min(topic) AS topic FROM buffkit_packs WHERE topic > %[1]s UNION ALL SELECT min(topic) FROM buffkit_trimmed WHERE topic > %[1]s))"

var oldestBehind = "WITH RECURSIVE walk (topic, n) AS (SELECT " + fmt.Sprintf(behind, "?1") + ", 1" +
	" UNION ALL SELECT " + fmt.Sprintf(behind, "walk.topic") + ", n + 1 FROM walk WHERE walk.topic IS NOT NULL AND n < ?2)" +
	" SELECT topic, coalesce((SELECT min(position) FROM buffkit_packs AS p WHERE p.topic = walk.topic), ?3) FROM walk WHERE topic IS NOT NULL"

// oldestBehind returns the topics that come next, each with the offset of its oldest event, a high one if it has none: a few looks into an index for each.
func (r *retainer) oldestBehind(ctx context.Context, topic string) (oldest []edge, err error) {
	return r.edges(ctx, oldestBehind, topic, topicsAtOnce, int64(math.MaxInt64))
}

// expired returns the newest offset of a topic's packs that are too old as a whole, 0 if none is.
func expired(ctx context.Context, conn *sql.Conn, topic string, age time.Duration) (newest eventlog.Offset, err error) {
	err = conn.QueryRowContext(ctx, "SELECT coalesce(max(position + span), 0) FROM (SELECT position, span FROM buffkit_packs"+
		" WHERE topic = ?1 AND position < ?2 ORDER BY position DESC LIMIT 2) WHERE position + span < ?2", topic, expiredBefore(age)).Scan(&newest)
	return newest, err
}

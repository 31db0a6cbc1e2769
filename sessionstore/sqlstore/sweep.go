package sqlstore

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/buffkit/buffkit/sessionstore"
)

// Sweep implements sessionstore.Store.
func (s *Store) Sweep(ctx context.Context, abandoned, revoked time.Duration, most int) (ended []sessionstore.Info, more bool, err error) {
	if err := s.begin(ctx); err != nil {
		return nil, false, err
	}
	if err := s.sweepNodes(ctx); err != nil {
		return nil, false, fmt.Errorf("take away what dead nodes have: %w", err)
	}
	moreRevoked, err := s.sweepRevoked(ctx, revoked)
	if err != nil {
		return nil, false, fmt.Errorf("forget revoked sessions: %w", err)
	}
	ended, err = s.sweepAbandoned(ctx, abandoned)
	if err != nil {
		return nil, false, fmt.Errorf("remove abandoned sessions: %w", err)
	}
	if more = moreRevoked || len(ended) == page; more {
		return ended, true, nil // without those that are removed anyway there may be few enough
	}
	longest, more, err := s.sweepSurplus(ctx, most)
	if err != nil && len(ended) == 0 {
		return nil, false, fmt.Errorf("remove the longest abandoned sessions: %w", err)
	}
	if err != nil {
		return ended, false, nil // the error comes again, those that have ended don't
	}
	return append(ended, longest...), more, nil
}

func (s *Store) sweepNodes(ctx context.Context) error {
	var dead [][]byte
	q := s.query("SELECT node FROM buffkit_sessions_nodes WHERE alive_until <= ", clock{})
	err := s.each(ctx, s.db, q, func(rows *sql.Rows) error {
		var node []byte
		err := rows.Scan(&node)
		dead = append(dead, node)
		return err
	})
	for _, node := range dead {
		for more := err == nil; more; {
			more, err = s.dropSome(ctx, node, true)
		}
	}
	return err
}

// Conditions of sessions to remove.
const (
	isAbandoned = " FROM buffkit_sessions WHERE state = 0 AND abandoned IS NOT NULL"
	isUnheld    = " AND connections <= 0" // a node that still counts one takes it back first
)

// keep says how long what was revoked is kept, in microseconds. That stands in the rows 3 and 4 of the feed's table, which the first to ask makes.
func (s *Store) keep(ctx context.Context, revoked time.Duration) (int64, error) {
	var l sessionstore.Longest
	err := s.inTx(ctx, func(t *tx) error {
		var now int64
		l = sessionstore.Longest{}
		err := s.each(ctx, t.session, s.query("SELECT id, newest, ", clock{}, " FROM buffkit_sessions_feed"), func(rows *sql.Rows) error {
			var id, n int64
			err := rows.Scan(&id, &n, &now)
			switch id {
			case 3:
				l.Keep = n
			case 4:
				l.Said = n
			}
			return err
		})
		if err != nil || !l.Say(revoked.Microseconds(), now) {
			return err
		}
		return t.run(ctx, s.upsert("buffkit_sessions_feed", []string{"id"}, []string{"newest"}, table{{int64(3), l.Keep}, {int64(4), l.Said}}))
	})
	return l.Keep, err
}

// sweepRevoked forgets sessions by the order in which they were revoked.
func (s *Store) sweepRevoked(ctx context.Context, revoked time.Duration) (more bool, err error) {
	keep, err := s.keep(ctx, revoked)
	if err != nil {
		return false, err
	}
	err = s.inTx(ctx, func(t *tx) error {
		var due keys
		q := s.query("SELECT id FROM buffkit_sessions WHERE revocation IS NOT NULL AND seen < ", clock{}, " - ", keep,
			isUnheld+" ORDER BY revocation LIMIT ", int64(page), lock(skip))
		if err := s.each(ctx, t.session, q, func(rows *sql.Rows) error { return scanKey(rows, &due) }); err != nil {
			return err
		}
		more = len(due) == page
		return t.remove(ctx, due)
	})
	return more, err
}

func scanKey(rows *sql.Rows, all *keys) error {
	var key []byte
	err := rows.Scan(&key)
	*all = append(*all, key)
	return err
}

func (t *tx) remove(ctx context.Context, ids keys) error {
	if len(ids) == 0 {
		return nil
	}
	return t.exec(ctx, "DELETE FROM buffkit_sessions WHERE id", ids)
}

// sweepAbandoned passes over sessions that others have locked, so it waits for nobody, and two callers never get the same one.
func (s *Store) sweepAbandoned(ctx context.Context, abandoned time.Duration) (ended []sessionstore.Info, err error) {
	err = s.inTx(ctx, func(t *tx) (err error) {
		ended, err = t.end(ctx, s.query("SELECT "+columns+isAbandoned+" AND abandoned < ", clock{}, " - ", abandoned.Microseconds(),
			" ORDER BY abandoned LIMIT ", int64(page), lock(skip)))
		return err
	})
	return ended, err
}

// end removes the sessions that a query finds.
func (t *tx) end(ctx context.Context, q query) (ended []sessionstore.Info, err error) {
	var ids keys
	err = t.store.each(ctx, t.session, q, func(rows *sql.Rows) error {
		var r row
		err := r.scan(rows)
		ended, ids = append(ended, r.Info(r.id, r.Seen)), append(ids, r.id[:])
		return err
	})
	if err != nil {
		return nil, err
	}
	return ended, t.remove(ctx, ids)
}

// sweepSurplus removes the longest abandoned if there are more sessions than most, and the oldest of too many replays. One caller at a time does so:
// two would remove twice as many.
func (s *Store) sweepSurplus(ctx context.Context, most int) (ended []sessionstore.Info, more bool, err error) {
	s.mu.Lock()
	due := !time.Now().Before(s.countAgain)
	s.mu.Unlock()
	if !due {
		return nil, false, nil
	}
	began := time.Now()
	err = s.inTx(ctx, func(t *tx) (err error) {
		ended, more, err = t.endSurplus(ctx, most)
		return err
	})
	if err == nil && !more {
		s.mu.Lock()
		s.countAgain = time.Now().Add(countPause * time.Since(began))
		s.mu.Unlock()
	}
	return ended, more, err
}

const countPause = 20 // times as long as it took: a twentieth of one of the server's processors

func (t *tx) endSurplus(ctx context.Context, most int) (ended []sessionstore.Info, more bool, err error) {
	if _, mine, err := t.number(ctx, "SELECT newest FROM buffkit_sessions_feed WHERE id = 2", lock(skip)); err != nil || !mine {
		return nil, false, err
	}
	live, replayed, err := t.count(ctx)
	if err != nil {
		return nil, false, err
	}
	if n := min(replayed-sessionstore.MaxReplays, page); n > 0 {
		var old keys
		q := t.store.query("SELECT id FROM buffkit_sessions WHERE state = 2"+isUnheld+" ORDER BY revocation LIMIT ", n, lock(skip))
		if err := t.store.each(ctx, t.session, q, func(rows *sql.Rows) error { return scanKey(rows, &old) }); err != nil {
			return nil, false, err
		}
		if err := t.remove(ctx, old); err != nil {
			return nil, false, err
		}
		more = len(old) == page
	}
	if n := min(live-int64(most), page); most > 0 && n > 0 {
		ended, err = t.end(ctx, t.store.query("SELECT "+columns+isAbandoned+" ORDER BY abandoned LIMIT ", n, lock(skip)))
		more = more || len(ended) == page
	}
	return ended, more && err == nil, err
}

// count returns how many sessions there are that aren't revoked, and that are by a replay.
func (t *tx) count(ctx context.Context) (live, replayed int64, err error) {
	q := t.store.query("SELECT state, count(*) FROM buffkit_sessions GROUP BY state")
	err = t.store.each(ctx, t.session, q, func(rows *sql.Rows) error {
		var state, n int64
		err := rows.Scan(&state, &n)
		switch state {
		case 0:
			live = n
		case 2:
			replayed = n
		}
		return err
	})
	return live, replayed, err
}

package sqlstore

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"

	"github.com/buffkit/buffkit/sessionstore"
)

// Connect implements sessionstore.Store.
func (s *Store) Connect(ctx context.Context, node string, claims []sessionstore.Claim) ([]sessionstore.Outcome, error) {
	if err := s.begin(ctx); err != nil {
		return nil, err
	}
	var outcomes []sessionstore.Outcome
	for some := range slices.Chunk(claims, page) {
		var decided []sessionstore.Outcome
		err := s.change(ctx, node, func(b *batch) (err error) {
			decided, err = b.connect(ctx, some)
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("connect to %d sessions: %w", len(some), err)
		}
		outcomes = append(outcomes, decided...)
	}
	return outcomes, nil
}

// change runs f in a transaction that has a node's lock, and saves what it has changed.
func (s *Store) change(ctx context.Context, node string, f func(b *batch) error) error {
	if err := checkNode(node); err != nil {
		return err
	}
	return s.inTx(ctx, func(t *tx) error {
		b := &batch{tx: t, node: []byte(node)}
		if _, err := b.lockNode(ctx, wait, true); err != nil {
			return err
		}
		if err := f(b); err != nil {
			return err
		}
		return b.save(ctx)
	})
}

func (b *batch) connect(ctx context.Context, claims []sessionstore.Claim) ([]sessionstore.Outcome, error) {
	ids, users := make([]sessionstore.ID, len(claims)), make([]string, len(claims))
	for i, c := range claims {
		ids[i], users[i] = c.Session, c.User
	}
	if err := b.load(ctx, ids, users...); err != nil {
		return nil, err
	}
	outcomes := make([]sessionstore.Outcome, len(claims))
	for i, c := range claims {
		r := b.rows[c.Session]
		if r == nil {
			r = &row{id: c.Session, Record: sessionstore.NewRecord(c, b.now)}
		}
		outcomes[i] = r.Connect(c, b.now, b.users[r.User].count())
		if outcomes[i].Err == nil {
			b.rows[c.Session] = r
			b.hold(r, 1)
		}
	}
	return outcomes, nil
}

// Leave implements sessionstore.Store.
func (s *Store) Leave(ctx context.Context, node string, leaves []sessionstore.Leave) error {
	if err := s.begin(ctx); err != nil {
		return err
	}
	for some := range slices.Chunk(leaves, page) {
		if err := s.change(ctx, node, func(b *batch) error { return b.leave(ctx, some) }); err != nil {
			return fmt.Errorf("leave %d sessions: %w", len(some), err)
		}
	}
	return nil
}

func (b *batch) leave(ctx context.Context, leaves []sessionstore.Leave) error {
	ids := make([]sessionstore.ID, len(leaves))
	for i, l := range leaves {
		ids[i] = l.Session
	}
	if err := b.load(ctx, ids); err != nil {
		return err
	}
	for _, l := range leaves {
		r := b.rows[l.Session]
		if r == nil {
			continue
		}
		r.Prove(l.Cursor)
		if r.held > 0 {
			b.drop(r, 1)
		}
	}
	return nil
}

// Beat implements sessionstore.Store.
func (s *Store) Beat(ctx context.Context, node string, ttl time.Duration) error {
	if err := s.begin(ctx); err != nil {
		return err
	}
	q := s.query("UPDATE buffkit_sessions_nodes SET alive_until = ", clock{}, " + ", ttl.Microseconds(), " WHERE node = ", []byte(node), " AND alive_until > ", clock{})
	result, err := s.db.ExecContext(ctx, q.text, q.args...)
	if err != nil {
		return fmt.Errorf("beat: %w", err)
	}
	if n, err := result.RowsAffected(); err != nil || n == 0 {
		return sessionstore.ErrNodeLost
	}
	return nil
}

// Restore implements sessionstore.Store. It is several transactions if there is much, in each of which what is counted becomes what it should be.
func (s *Store) Restore(ctx context.Context, node string, ttl time.Duration, held []sessionstore.Held) error {
	if err := s.begin(ctx); err != nil {
		return err
	}
	ids, has := make([]sessionstore.ID, len(held)), make(map[sessionstore.ID]sessionstore.Held, len(held))
	for i, h := range held {
		ids[i], has[h.Session] = h.Session, h
	}
	if ttl > 0 { // first of all it lives
		if err := s.change(ctx, node, func(b *batch) error { return b.live(ctx, ttl) }); err != nil {
			return fmt.Errorf("restore a node: %w", err)
		}
	}
	for some := range slices.Chunk(sortedKeys(ids), page) {
		if err := s.change(ctx, node, func(b *batch) error { return b.restore(ctx, some, has) }); err != nil {
			return fmt.Errorf("restore %d sessions of a node: %w", len(some), err)
		}
	}
	return nil
}

// live says that the node lives.
func (b *batch) live(ctx context.Context, ttl time.Duration) error {
	return b.exec(ctx, "UPDATE buffkit_sessions_nodes SET alive_until = ", clock{}, " + ", ttl.Microseconds(), " WHERE node = ", b.node)
}

func scanID(rows *sql.Rows, ids *[]sessionstore.ID) error {
	var id []byte
	if err := rows.Scan(&id); err != nil {
		return err
	}
	*ids = append(*ids, sessionstore.ID(id))
	return nil
}

func (b *batch) restore(ctx context.Context, some keys, has map[sessionstore.ID]sessionstore.Held) error {
	ids := make([]sessionstore.ID, len(some))
	var users []string
	for i, key := range some {
		ids[i] = sessionstore.ID(key)
		users = append(users, has[ids[i]].User)
	}
	if err := b.load(ctx, ids, users...); err != nil {
		return err
	}
	for _, id := range ids {
		h, r := has[id], b.rows[id]
		wanted := h.Connections > 0
		switch {
		case r == nil && wanted:
			r = &row{id: id, Record: sessionstore.NewHeldRecord(h, b.now)}
			b.rows[id] = r
		case r == nil, wanted && r.Revoked == nil && r.held == h.Connections && r.Generation >= h.Generation:
			continue // as it is already
		case r.held > 0:
			b.drop(r, r.held)
		}
		if wanted && r.Revoked == nil {
			r.Hold(h)
			b.hold(r, h.Connections)
		}
	}
	return nil
}

// Forget implements sessionstore.Store.
func (s *Store) Forget(ctx context.Context, node string) error {
	for more := true; more; {
		var err error
		if more, err = s.dropSome(ctx, []byte(node), false); err != nil {
			return fmt.Errorf("forget a node: %w", err)
		}
	}
	return nil
}

// dropSome takes away some of what a node counts, and at last the node. With ifDead it leaves one alone that lives, or that another is at.
func (s *Store) dropSome(ctx context.Context, node []byte, ifDead bool) (more bool, err error) {
	option := wait
	if ifDead {
		option = skip
	}
	err = s.inTx(ctx, func(t *tx) error {
		b := &batch{tx: t, node: node}
		more = false
		found, err := b.lockNode(ctx, option, false)
		if err != nil || !found || ifDead && b.until > b.now {
			return err
		}
		var ids []sessionstore.ID
		q := s.query("SELECT session FROM buffkit_sessions_held WHERE node = ", node, " ORDER BY session LIMIT ", int64(page))
		if err := s.each(ctx, t.session, q, func(rows *sql.Rows) error { return scanID(rows, &ids) }); err != nil {
			return err
		}
		if len(ids) == 0 {
			return b.exec(ctx, "DELETE FROM buffkit_sessions_nodes WHERE node = ", node)
		}
		more = true
		return b.dropAll(ctx, ids)
	})
	return more && err == nil, err
}

func (b *batch) dropAll(ctx context.Context, ids []sessionstore.ID) error {
	if err := b.load(ctx, ids); err != nil {
		return err
	}
	for _, r := range b.rows {
		if r.held > 0 {
			b.drop(r, r.held)
		}
	}
	if err := b.save(ctx); err != nil {
		return err
	}
	var orphans keys // of sessions that were removed: nobody else would ever take them away
	for _, id := range sortedKeys(ids) {
		if b.rows[sessionstore.ID(id)] == nil {
			orphans = append(orphans, id)
		}
	}
	if len(orphans) == 0 {
		return nil
	}
	return b.exec(ctx, "DELETE FROM buffkit_sessions_held WHERE node = ", b.node, " AND session", orphans)
}

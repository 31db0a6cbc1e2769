package sqlstore

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"

	"github.com/buffkit/buffkit/sessionstore"
)

// Get implements sessionstore.Store.
func (s *Store) Get(ctx context.Context, session sessionstore.ID) (sessionstore.Info, error) {
	if err := s.begin(ctx); err != nil {
		return sessionstore.Info{}, err
	}
	info, err := sessionstore.Info{}, error(sessionstore.ErrNoSession)
	q := s.query("SELECT "+columns+", ", clock{}, " FROM buffkit_sessions WHERE state = 0 AND id = ", session[:])
	failed := s.each(ctx, s.db, q, func(rows *sql.Rows) error {
		var r row
		var now int64
		err = r.scan(rows, &now)
		info = r.Info(r.id, now)
		return err
	})
	if failed != nil {
		return sessionstore.Info{}, fmt.Errorf("get a session: %w", failed)
	}
	return info, err
}

// List implements sessionstore.Store. It reads a page at a time, and holds no connection while each is called.
func (s *Store) List(ctx context.Context, each func(sessionstore.Info) bool) error {
	if err := s.begin(ctx); err != nil {
		return err
	}
	for after, more := []byte{}, true; more; {
		q := s.query("SELECT "+columns+", ", clock{}, " FROM buffkit_sessions WHERE state = 0 AND id > ", after, " ORDER BY id LIMIT ", int64(page))
		var infos []sessionstore.Info
		err := s.each(ctx, s.db, q, func(rows *sql.Rows) error {
			var r row
			var now int64
			err := r.scan(rows, &now)
			infos = append(infos, r.Info(r.id, now))
			after = r.id[:]
			return err
		})
		if err != nil {
			return fmt.Errorf("list sessions: %w", err)
		}
		for _, info := range infos {
			if !each(info) {
				return nil
			}
		}
		more = len(infos) == page
	}
	return nil
}

// Revoke implements sessionstore.Store.
func (s *Store) Revoke(ctx context.Context, session sessionstore.ID, cause error) (first bool, err error) {
	err = s.inTx(ctx, func(t *tx) error {
		b := &batch{tx: t}
		if err := b.learnTime(ctx); err != nil {
			return err
		}
		if err := b.load(ctx, []sessionstore.ID{session}); err != nil {
			return err
		}
		r := b.rows[session]
		if r == nil {
			r = &row{id: session, Record: sessionstore.Record{Created: b.now}}
			b.rows[session] = r
		}
		if first = r.Revoked == nil; !first {
			return nil
		}
		r.Revoke(cause, b.now)
		return b.save(ctx)
	})
	if err != nil {
		return false, fmt.Errorf("revoke a session: %w", err)
	}
	return first, nil
}

// Revoked implements sessionstore.Store. It returns ten thousand at once at most.
func (s *Store) Revoked(ctx context.Context, after string) (revoked []sessionstore.Revocation, mark string, err error) {
	seen, err := sessionstore.ParseMark(after)
	if err == nil {
		err = s.begin(ctx)
	}
	if err != nil {
		return nil, after, err
	}
	newest := int64(seen)
	q := s.query("SELECT id, state, revocation FROM buffkit_sessions WHERE revocation > ", int64(seen), " ORDER BY revocation LIMIT ", int64(revokedPage))
	err = s.each(ctx, s.db, q, func(rows *sql.Rows) error {
		var id []byte
		var state int64
		if err := rows.Scan(&id, &state, &newest); err != nil {
			return err
		}
		revoked = append(revoked, sessionstore.Revocation{Session: sessionstore.ID(id), Cause: causes[state]})
		return nil
	})
	if err != nil {
		return nil, after, fmt.Errorf("ask what was revoked: %w", err)
	}
	return revoked, strconv.FormatInt(newest, 10), nil
}

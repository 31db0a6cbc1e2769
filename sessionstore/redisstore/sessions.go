package redisstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/buffkit/buffkit/sessionstore"
	"github.com/redis/rueidis"
)

// Get implements sessionstore.Store.
func (s *Store) Get(ctx context.Context, session sessionstore.ID) (sessionstore.Info, error) {
	infos, err := s.read(ctx, []sessionstore.ID{session})
	switch {
	case err != nil:
		return sessionstore.Info{}, fmt.Errorf("get a session: %w", err)
	case len(infos) == 0:
		return sessionstore.Info{}, sessionstore.ErrNoSession
	}
	return infos[0], nil
}

// read returns those of the sessions that are there.
func (s *Store) read(ctx context.Context, ids []sessionstore.ID) ([]sessionstore.Info, error) {
	args := make([]string, len(ids))
	for i := range ids {
		args[i] = string(ids[i][:])
	}
	reply, err := s.exec(ctx, readScript, s.keys("", ids...), args)
	if err != nil {
		return nil, err
	}
	return infosOf(reply)
}

func infosOf(reply []rueidis.RedisMessage) ([]sessionstore.Info, error) {
	infos := make([]sessionstore.Info, len(reply))
	for i := range reply {
		elements, err := reply[i].ToArray()
		if err != nil {
			return nil, err
		}
		if infos[i], err = infoOf(elements); err != nil {
			return nil, err
		}
	}
	return infos, nil
}

// infoOf reads what lib.lua has as fields.
func infoOf(elements []rueidis.RedisMessage) (info sessionstore.Info, err error) {
	f, err := texts(elements)
	if err != nil {
		return info, err
	}
	if len(f) != 6 {
		return info, errors.New("an answer that isn't understood: a session must have 6 fields")
	}
	var n numbers
	id, ok := idOf(f[0])
	if !ok {
		return info, errors.New("an answer that isn't understood: a session's id must have 16 bytes")
	}
	info = sessionstore.Info{
		Session: id, User: f[1], Connections: int(n.read(f[2])),
		Created: time.UnixMicro(n.read(f[3])), LastSeen: time.UnixMicro(n.read(f[4])), Cursor: f[5],
	}
	return info, n.err
}

// List implements sessionstore.Store.
func (s *Store) List(ctx context.Context, each func(sessionstore.Info) bool) error {
	for from := "-"; from != ""; {
		ids, err := s.live(ctx, from)
		if err != nil {
			return fmt.Errorf("list sessions: %w", err)
		}
		if from = ""; len(ids) > 0 {
			from = "(" + string(ids[len(ids)-1][:])
		}
		infos, err := s.read(ctx, ids)
		if err != nil {
			return fmt.Errorf("list sessions: %w", err)
		}
		for _, info := range infos {
			if !each(info) {
				return nil
			}
		}
	}
	return nil
}

// live returns some sessions in the order of their ids.
func (s *Store) live(ctx context.Context, from string) ([]sessionstore.ID, error) {
	reply, err := s.ask(ctx, func(b rueidis.Builder) rueidis.Completed {
		return b.Zrange().Key(s.base+"live").Min(from).Max("+").Bylex().Limit(0, page).Build()
	})
	if err != nil {
		return nil, err
	}
	return idsOf(reply)
}

// ask sends a command that reads, again if the server has refused it.
func (s *Store) ask(ctx context.Context, command func(rueidis.Builder) rueidis.Completed) ([]rueidis.RedisMessage, error) {
	return s.retry(ctx, func(ctx context.Context) rueidis.RedisResult { return s.client.Do(ctx, command(s.client.B())) })
}

// Revoke implements sessionstore.Store.
func (s *Store) Revoke(ctx context.Context, session sessionstore.ID, cause error) (bool, error) {
	why := "r"
	if errors.Is(cause, sessionstore.ErrReplayed) {
		why = "p"
	}
	reply, err := s.exec(ctx, revokeScript, s.keys("", session), []string{string(session[:]), why, s.keep()})
	if err != nil {
		return false, fmt.Errorf("revoke a session: %w", err)
	}
	return len(reply) > 0, nil
}

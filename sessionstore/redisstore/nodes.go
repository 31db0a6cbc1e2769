package redisstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/buffkit/buffkit/sessionstore"
	"github.com/redis/rueidis"
)

// Connect implements sessionstore.Store.
func (s *Store) Connect(ctx context.Context, node string, claims []sessionstore.Claim) ([]sessionstore.Outcome, error) {
	if err := s.ready(ctx); err != nil {
		return nil, err
	}
	var outcomes []sessionstore.Outcome
	for some := range slices.Chunk(claims, page) {
		decided, err := s.connect(ctx, node, some)
		if err != nil {
			return nil, fmt.Errorf("connect to %d sessions: %w", len(some), err)
		}
		outcomes = append(outcomes, decided...)
	}
	return outcomes, nil
}

func (s *Store) connect(ctx context.Context, node string, claims []sessionstore.Claim) ([]sessionstore.Outcome, error) {
	ids, args := make([]sessionstore.ID, len(claims)), []string{node, s.keep()}
	for i, c := range claims {
		fresh := "0"
		if c.Fresh {
			fresh = "1"
		}
		ids[i] = c.Session
		args = append(args, string(c.Session[:]), c.User, fresh, strconv.FormatUint(uint64(c.Generation), 10), c.Cursor, micros(c.Grace),
			strconv.Itoa(max(c.MaxPerSession, 0)), strconv.Itoa(max(c.MaxPerUser, 0)))
	}
	reply, err := s.exec(ctx, connectScript, s.keys(node, ids...), args)
	if err != nil {
		return nil, err
	}
	if len(reply) != len(claims) {
		return nil, fmt.Errorf("%d outcomes of %d claims", len(reply), len(claims))
	}
	outcomes := make([]sessionstore.Outcome, len(claims))
	for i := range reply {
		if outcomes[i], err = parseOutcome(reply[i]); err != nil {
			return nil, err
		}
	}
	return outcomes, nil
}

var decisions = map[string]error{"ok": nil, "r": sessionstore.ErrRevoked, "p": sessionstore.ErrReplayed, "t": sessionstore.ErrTooMany}

func parseOutcome(message rueidis.RedisMessage) (o sessionstore.Outcome, err error) {
	elements, err := message.ToArray()
	if err != nil {
		return o, err
	}
	f, err := texts(elements)
	if err == nil && len(f) != 5 {
		err = errors.New("an answer that isn't understood: an outcome must have 5 fields")
	}
	if err != nil {
		return o, err
	}
	if o.Err = decisions[f[0]]; o.Err != nil {
		return o, nil
	}
	var n numbers
	o.Generation, o.Cursor, o.Created, o.Connections = uint32(n.read(f[1])), f[2], time.UnixMicro(n.read(f[3])), int(n.read(f[4]))
	return o, n.err
}

// Leave implements sessionstore.Store.
func (s *Store) Leave(ctx context.Context, node string, leaves []sessionstore.Leave) error {
	if err := s.ready(ctx); err != nil {
		return err
	}
	for some := range slices.Chunk(leaves, page) {
		ids, args := make([]sessionstore.ID, len(some)), []string{s.keep()}
		for i, l := range some {
			ids[i] = l.Session
			args = append(args, string(l.Session[:]), l.Cursor)
		}
		if _, err := s.exec(ctx, leaveScript, s.keys(node, ids...), args); err != nil {
			return fmt.Errorf("leave %d sessions: %w", len(some), err)
		}
	}
	return nil
}

// Beat implements sessionstore.Store.
func (s *Store) Beat(ctx context.Context, node string, ttl time.Duration) error {
	reply, err := s.exec(ctx, beatScript, s.keys(node), []string{node, micros(ttl), s.keep()})
	switch {
	case err != nil:
		return fmt.Errorf("beat: %w", err)
	case len(reply) == 0:
		return sessionstore.ErrNodeLost
	}
	return nil
}

// Restore implements sessionstore.Store. It is several scripts if there is much, in each of which what is counted becomes what it should be.
func (s *Store) Restore(ctx context.Context, node string, ttl time.Duration, held []sessionstore.Held) error {
	ids, has := make([]sessionstore.ID, 0, len(held)), make(map[sessionstore.ID]sessionstore.Held, len(held))
	for _, h := range held {
		if _, twice := has[h.Session]; !twice {
			ids = append(ids, h.Session)
		}
		has[h.Session] = h
	}
	if err := s.ready(ctx); err != nil {
		return err
	}
	if ttl > 0 { // first of all it lives
		if err := s.hold(ctx, node, micros(ttl), nil, nil); err != nil {
			return fmt.Errorf("restore a node: %w", err)
		}
	}
	for some := range slices.Chunk(ids, page) {
		if err := s.hold(ctx, node, asItIs, some, has); err != nil {
			return fmt.Errorf("restore %d sessions of a node: %w", len(some), err)
		}
	}
	return nil
}

// Modes of scripts, besides a time for which the node lives from now on.
const (
	ifDead = "dead" // a node that lives is left alone
	asItIs = "0"    // its time stays; one that isn't known is dead
	ending = ""     // the node is to end
)

// hold sets what a node has of some sessions.
func (s *Store) hold(ctx context.Context, node, mode string, some []sessionstore.ID, has map[sessionstore.ID]sessionstore.Held) error {
	args := []string{node, s.keep(), mode}
	for _, id := range some {
		h, created := has[id], int64(0)
		if !h.Created.IsZero() {
			created = h.Created.UnixMicro()
		}
		args = append(args, string(id[:]), strconv.Itoa(h.Connections), h.User, strconv.FormatUint(uint64(h.Generation), 10), h.Cursor, strconv.FormatInt(created, 10))
	}
	_, err := s.exec(ctx, holdScript, s.keys(node, some...), args)
	return err
}

// heldBy returns about so many of the sessions that a node counts connections of.
func (s *Store) heldBy(ctx context.Context, node string, most int, mode string) ([]sessionstore.ID, error) {
	reply, err := s.exec(ctx, heldScript, s.keys(node), []string{node, strconv.Itoa(most), mode})
	if err != nil {
		return nil, err
	}
	return idsOf(reply)
}

func idsOf(reply []rueidis.RedisMessage) (ids []sessionstore.ID, err error) {
	all, err := texts(reply)
	for _, text := range all {
		if id, ok := idOf(text); ok {
			ids = append(ids, id)
		}
	}
	return ids, err
}

// Forget implements sessionstore.Store.
func (s *Store) Forget(ctx context.Context, node string) error {
	if err := s.drop(ctx, node, ending); err != nil {
		return fmt.Errorf("forget a node: %w", err)
	}
	return nil
}

// drop takes away what a node counts, and the node.
func (s *Store) drop(ctx context.Context, node, mode string) error {
	for {
		ids, err := s.heldBy(ctx, node, page, mode)
		if err != nil || len(ids) == 0 {
			return err
		}
		for some := range slices.Chunk(ids, page) {
			if err := s.hold(ctx, node, mode, some, nil); err != nil {
				return err
			}
		}
	}
}

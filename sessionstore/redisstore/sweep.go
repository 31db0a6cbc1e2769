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

// Sweep implements sessionstore.Store.
func (s *Store) Sweep(ctx context.Context, abandoned, revoked time.Duration, most int) (ended []sessionstore.Info, more bool, err error) {
	args := []string{micros(abandoned), micros(revoked), strconv.Itoa(max(most, 0)), strconv.Itoa(sessionstore.MaxReplays), strconv.Itoa(page), s.keep()}
	dead, _, _, err := s.due(ctx, args)
	for _, node := range dead {
		if err == nil {
			err = s.drop(ctx, node, ifDead)
		}
	}
	if err != nil {
		return nil, false, fmt.Errorf("take away what dead nodes have: %w", err)
	}
	_, forget, ending, err := s.due(ctx, args) // what the dead have had may have ended now
	if err == nil {
		_, err = s.end(ctx, "f", forget)
	}
	if err == nil {
		ended, err = s.end(ctx, "e", ending)
	}
	if err != nil {
		return nil, false, fmt.Errorf("remove sessions: %w", err)
	}
	return ended, max(len(dead), len(forget), len(ending)) >= page, nil
}

// due returns what is to be swept: dead nodes, revoked sessions and abandoned ones.
func (s *Store) due(ctx context.Context, args []string) (dead []string, forget, ending []sessionstore.ID, err error) {
	reply, err := s.exec(ctx, dueScript, s.keys(""), args)
	if err != nil {
		return nil, nil, nil, err
	}
	if len(reply) != 3 {
		return nil, nil, nil, errors.New("an answer that isn't understood: there must be 3 lists")
	}
	var lists [3][]rueidis.RedisMessage
	for i := range reply {
		if lists[i], err = reply[i].ToArray(); err != nil {
			return nil, nil, nil, err
		}
	}
	dead, err1 := texts(lists[0])
	forget, err2 := idsOf(lists[1])
	ending, err3 := idsOf(lists[2])
	return dead, forget, ending, errors.Join(err1, err2, err3)
}

// end removes sessions that are still as they were found, and returns the abandoned among them.
func (s *Store) end(ctx context.Context, what string, ids []sessionstore.ID) (ended []sessionstore.Info, err error) {
	for some := range slices.Chunk(ids, page) {
		args := []string{what}
		for _, id := range some {
			args = append(args, string(id[:]))
		}
		reply, err := s.exec(ctx, endScript, s.keys("", some...), args)
		if err != nil {
			return nil, err
		}
		infos, err := infosOf(reply)
		if err != nil {
			return nil, err
		}
		ended = append(ended, infos...)
	}
	return ended, nil
}

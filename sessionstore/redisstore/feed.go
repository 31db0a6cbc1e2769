package redisstore

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/buffkit/buffkit/sessionstore"
	"github.com/redis/rueidis"
)

const (
	revokedPage = 10_000          // sessions that Revoked returns: 160 KB
	overlap     = 5 * time.Second // of what Revoked returns again after a failover that has lost some: the new master's clock may be so much behind
)

// entry is one of the feed.
type entry struct {
	id     sessionstore.ID
	number int64 // a time, in microseconds
}

// Revoked implements sessionstore.Store. A server that has lost nothing numbers above the newest that there was, so while that is there, what comes after it is
// all. If it isn't, numbers below it may be new: then it returns all of the last seconds before the mark.
func (s *Store) Revoked(ctx context.Context, after string) (revoked []sessionstore.Revocation, mark string, err error) {
	last, known, err := parseMark(after)
	if err != nil {
		return nil, after, err
	}
	var news []entry
	if known {
		news, err = s.feed(ctx, last.number, revokedPage+1)
		if known = len(news) > 0 && news[0] == last; known {
			news = news[1:]
		}
	}
	if err == nil && !known {
		news, err = s.feed(ctx, last.number-overlap.Microseconds(), revokedPage)
	}
	if err == nil {
		revoked, err = s.causes(ctx, news)
	}
	switch {
	case err != nil:
		return nil, after, fmt.Errorf("ask what was revoked: %w", err)
	case len(news) > 0:
		return revoked, news[len(news)-1].mark(), nil
	case !known:
		return nil, strconv.FormatInt(last.number, 10), nil
	}
	return nil, after, nil
}

// A mark is the number of the newest that was returned, and the session, if it was still there.
func (e entry) mark() string {
	return strconv.FormatInt(e.number, 10) + "-" + hex.EncodeToString(e.id[:])
}

// parseMark tells also whether a mark has a session.
func parseMark(mark string) (e entry, known bool, err error) {
	number, id, known := strings.Cut(mark, "-")
	n, err := sessionstore.ParseMark(number)
	if err == nil && known {
		var bytes []byte
		if bytes, err = hex.DecodeString(id); err == nil && copy(e.id[:], bytes) != len(e.id) {
			err = fmt.Errorf("redisstore: the mark %q has no session: begin with \"\"", mark)
		}
	}
	e.number = int64(n)
	return e, known, err
}

// feed returns the oldest of what was revoked from a number on.
func (s *Store) feed(ctx context.Context, from, most int64) ([]entry, error) {
	return s.entries(ctx, "revoked", from, math.MaxInt64, most)
}

// entries returns the members of a sorted set between two numbers.
func (s *Store) entries(ctx context.Context, name string, from, to, most int64) (entries []entry, err error) {
	reply, err := s.ask(ctx, func(b rueidis.Builder) rueidis.Completed {
		return b.Zrangebyscore().Key(s.base+name).Min(strconv.FormatInt(max(from, 0), 10)).Max(strconv.FormatInt(to, 10)).Withscores().Limit(0, most).Build()
	})
	if err != nil {
		return nil, err
	}
	entries = make([]entry, len(reply))
	for i := range reply {
		if entries[i], err = parseMember(reply[i]); err != nil {
			return nil, err
		}
	}
	return entries, nil
}

// causes says of each why it was revoked. The replayed have the same numbers in a set of their own.
func (s *Store) causes(ctx context.Context, news []entry) ([]sessionstore.Revocation, error) {
	if len(news) == 0 {
		return nil, nil
	}
	replays, err := s.entries(ctx, "replayed", news[0].number, news[len(news)-1].number, int64(len(news)))
	if err != nil {
		return nil, err
	}
	replayed := make(map[entry]bool, len(replays))
	for _, e := range replays {
		replayed[e] = true
	}
	revoked := make([]sessionstore.Revocation, len(news))
	for i, e := range news {
		revoked[i] = sessionstore.Revocation{Session: e.id, Cause: sessionstore.ErrRevoked}
		if replayed[e] {
			revoked[i].Cause = sessionstore.ErrReplayed
		}
	}
	return revoked, nil
}

// parseMember reads a member of a sorted set with its score, as RESP3 has them.
func parseMember(message rueidis.RedisMessage) (e entry, err error) {
	pair, err := message.ToArray()
	if err != nil {
		return e, err
	}
	if len(pair) != 2 {
		return e, errors.New("an answer that isn't understood: a revocation must have a session and a number")
	}
	text, err := pair[0].ToString()
	if err != nil {
		return e, err
	}
	e.id, _ = idOf(text)
	score, err := pair[1].AsFloat64()
	e.number = int64(math.Round(score))
	return e, err
}

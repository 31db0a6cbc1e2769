package redislog

import (
	"cmp"
	"context"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/buffkit/buffkit/eventlog"
	"github.com/buffkit/buffkit/eventlog/redislog/redisconn"
)

const (
	sweepEvery  = 2 * time.Second // on average, by each node
	sweepLooks  = 500             // topics that are looked at in one round, about
	sweepTopics = 16              // of which this many are worked on in one script
	sweepLeaves = "0.5"           // of a topic that has to make room
)

// sweep looks after topics that nobody appends to, until Close. Every node does: there is no harm in doing it twice.
func (s *Store) sweep() {
	cursor := "0"
	for redisconn.Pause(s.ctx, s.ctx, sweepEvery/2+rand.N(sweepEvery)) {
		cursor = s.sweepSome(cursor)
	}
}

// sweepSome returns where to go on. An error is nobody's business here: appends and the tail tell of theirs, and the next round comes.
func (s *Store) sweepSome(cursor string) string {
	ctx, cancel := context.WithTimeout(s.ctx, s.opts.Timeout)
	defer cancel()
	b := s.client.B()
	replies := s.client.DoMulti(ctx, b.Hget().Key(s.metaKey()).Field("g").Build(),
		b.Arbitrary("HSCAN").Keys(s.metaKey()).Args(cursor, "MATCH", "t:*", "COUNT", strconv.Itoa(sweepLooks)).ReadOnly())
	total, _ := replies[0].AsInt64()
	found, err := replies[1].AsScanEntry()
	if err != nil {
		return "0"
	}
	for topics := range slices.Chunk(s.stale(found.Elements, total > s.maxBytes(), time.Now()), sweepTopics) {
		if err := s.sweepTopics(ctx, topics); err != nil {
			return "0"
		}
	}
	return strconv.FormatUint(found.Cursor, 10)
}

func (s *Store) sweepTopics(ctx context.Context, topics []topicState) error {
	keys := s.logKeys()
	for _, t := range topics {
		keys = append(keys, s.topicKey(t.name))
	}
	args := []string{strconv.FormatInt(time.Now().Add(-s.opts.Forget).UnixMicro(), 10), strconv.FormatInt(min(s.maxBytes(), unlimited), 10), sweepLeaves}
	return sweepScript.Run(ctx, s.client, keys, args).Error()
}

func (s *Store) maxBytes() int64 { return limit(s.opts.MaxBytes) }

// topicState is what the log's hash knows of a topic.
type topicState struct {
	name   string
	newest eventlog.Offset
	bytes  int64
	count  int64
}

// stale returns those of the topics that may have expired or be forgotten, and if there are too many bytes the largest, first.
func (s *Store) stale(pairs []string, full bool, now time.Time) []topicState {
	var old, large []topicState
	for i := 0; i+1 < len(pairs); i += 2 {
		t, ok := parseState(pairs[i], pairs[i+1])
		age := now.Sub(t.newest.Time())
		switch {
		case !ok:
		case t.count == 0 && age > s.opts.Forget, t.count > 0 && age > expiry(s.opts.retentionOf(t.name).Age):
			old = append(old, t)
		case full && t.count > 1:
			large = append(large, t)
		}
	}
	slices.SortFunc(large, func(a, b topicState) int { return cmp.Compare(b.bytes, a.bytes) })
	return append(large[:min(len(large), sweepTopics)], old...)
}

// expiry is how long after its newest record a topic of this age is gone for sure, as the script that appends has it.
func expiry(age time.Duration) time.Duration { return limitedAdd(age, age/8+2*time.Second) }

func limitedAdd(a, b time.Duration) time.Duration {
	if a+b < a {
		return a
	}
	return a + b
}

// parseState reads a field of the log's hash: seven doubles, the last two of which are of no interest here.
func parseState(field, value string) (t topicState, ok bool) {
	name, isTopic := strings.CutPrefix(field, "t:")
	if !isTopic || len(value) != 56 {
		return t, false
	}
	number := func(i int) float64 { return math.Float64frombits(binary.LittleEndian.Uint64([]byte(value[8*i:]))) }
	return topicState{name, eventlog.Offset(number(0)), int64(number(1) - number(3)), int64(number(2) - number(4))}, true
}

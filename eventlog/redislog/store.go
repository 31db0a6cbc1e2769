package redislog

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"

	"github.com/buffkit/buffkit/eventlog"
	"github.com/buffkit/buffkit/eventlog/redislog/redisconn"
	"github.com/redis/rueidis"
)

// Store keeps records in Redis or Valkey. It implements eventlog.Store; Open makes a Log of it.
type Store struct {
	opts   Options
	client rueidis.Client
	base   string             // what the names of all keys begin with
	ctx    context.Context    // ends with Close
	cancel context.CancelFunc // ends it
	tasks  sync.WaitGroup     // committers, tails, the sweeper

	mu         sync.Mutex // guards what follows
	closed     bool
	queue      []*pending
	waiting    int // records in it
	committers int
	seen       seen
}

// seen is what this node knows of the log.
type seen struct {
	epoch  uint64          // the one that was seen last
	offset eventlog.Offset // the newest that was seen in it
	inAny  eventlog.Offset // the newest that was seen in any
}

var _ eventlog.Store = (*Store)(nil)

// OpenStore connects to the server and gives the log its epoch if it has none. A server that can't be reached, refuses the user or is too old is
// an error.
func OpenStore(ctx context.Context, opts *Options) (*Store, error) {
	o, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	client, err := rueidis.NewClient(o.conn().Client())
	if err != nil {
		return nil, fmt.Errorf("connect to Redis at %v: %w", o.Addrs, o.explain(err))
	}
	s := &Store{opts: o, client: client, base: o.base()}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	if head, _, err := s.peek(ctx, client, ""); err != nil {
		s.cancel()
		client.Close()
		return nil, fmt.Errorf("open the log %q in Redis at %v: %w", o.Prefix, o.Addrs, o.explain(err))
	} else {
		s.saw(head.Epoch(), head.At(0))
	}
	s.tasks.Go(s.sweep)
	return s, nil
}

// base is what the names of all keys begin with.
func (o *Options) base() string { return "{" + o.Prefix + "}:" }

func (s *Store) metaKey() string              { return s.base + "m" }
func (s *Store) tailKey() string              { return s.base + "tail" }
func (s *Store) listKey() string              { return s.base + "list" }
func (s *Store) topicKey(topic string) string { return s.base + "t:" + topic }
func (s *Store) idempotencyKey(t, k string) string {
	return s.base + "i:" + strconv.Itoa(len(t)) + ":" + t + ":" + k // no two pairs make the same name
}

// logKeys are the keys that every script begins with.
func (s *Store) logKeys() []string { return []string{s.metaKey(), s.tailKey(), s.listKey()} }

// newEpoch returns one that no log has.
func newEpoch() uint64 { return 1 + rand.Uint64N(1<<40-1) } // 8 digits of a cursor; see eventlog.NewMemory

func newEpochText() string { return strconv.FormatUint(newEpoch(), 10) }

// Supersede implements eventlog.Store.
func (s *Store) Supersede(ctx context.Context, old uint64) (uint64, error) {
	if err := s.begin(ctx); err != nil {
		return 0, err
	}
	defer s.tasks.Done()
	reply, err := s.exec(ctx, supersedeScript, s.logKeys(), []string{newEpochText(), strconv.FormatUint(old, 10)}).ToString()
	if err != nil {
		return 0, fmt.Errorf("give the log a new epoch: %w", s.explain(ctx, err))
	}
	return strconv.ParseUint(reply, 10, 64)
}

// exec runs a script that may run again, and waits no longer than the timeout.
func (s *Store) exec(ctx context.Context, script redisconn.Script, keys, args []string) rueidis.RedisResult {
	ctx, cancel := context.WithTimeout(ctx, s.opts.Timeout)
	defer cancel()
	result, _ := redisconn.Retry(ctx, s.ctx, func() (rueidis.RedisResult, error) {
		result := script.Run(ctx, s.client, keys, args)
		return result, result.Error()
	})
	return result
}

// begin counts a call, which Close waits for. The caller ends it with tasks.Done.
func (s *Store) begin(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return eventlog.ErrClosed
	}
	s.tasks.Add(1)
	return nil
}

// saw remembers the newest place that this node knows of. An append that finds the log behind it has found a rollback.
func (s *Store) saw(epoch uint64, offset eventlog.Offset) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.seen.epoch != epoch {
		s.seen.epoch, s.seen.offset = epoch, 0
	}
	s.seen.offset, s.seen.inAny = max(s.seen.offset, offset), max(s.seen.inAny, offset)
}

// Close implements eventlog.Store. It waits for appends that are on their way.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return eventlog.ErrClosed
	}
	s.closed = true
	left := s.queue
	s.queue, s.waiting = nil, 0
	s.mu.Unlock()
	for _, p := range left {
		p.finish(0, eventlog.ErrClosed)
	}
	s.cancel()
	s.tasks.Wait()
	s.client.Close()
	return nil
}

// explain returns ErrClosed, or the context's error, if that is why a call has failed.
func (s *Store) explain(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case s.ctx.Err() != nil:
		return eventlog.ErrClosed
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("no answer from Redis within %v: look whether it is reachable and not blocked by a slow command (SLOWLOG GET): %w", s.opts.Timeout, err)
	}
	return s.opts.explain(err)
}

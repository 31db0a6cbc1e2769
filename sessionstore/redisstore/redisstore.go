package redisstore

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/buffkit/buffkit/sessionstore"
	"github.com/redis/rueidis"
)

const page = 500 // sessions of one script: about 5 ms of Redis's time

// Store keeps sessions in Redis or Valkey. It implements sessionstore.Store.
type Store struct {
	opts   Options
	client rueidis.Client
	base   string             // what the names of all keys begin with
	ctx    context.Context    // ends with Close
	cancel context.CancelFunc // ends it

	mu     sync.Mutex // guards what follows
	closed bool
	calls  sync.WaitGroup // is added to before closed alone
}

var _ sessionstore.Store = (*Store)(nil)

// Open connects to the server. One that can't be reached, or refuses the user, is an error.
func Open(ctx context.Context, opts *Options) (*Store, error) {
	o, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	s := &Store{opts: o, base: "{" + o.Prefix + "-sessions}:"}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	if s.client, err = rueidis.NewClient(o.conn().Client()); err != nil {
		err = fmt.Errorf("connect to Redis at %v: %w", o.Addrs, s.explain(ctx, err))
		s.cancel()
		return nil, err
	}
	if err := s.Check(ctx); err != nil {
		_ = s.Close()
		return nil, fmt.Errorf("open the session store %q in Redis at %v: %w", o.Prefix, o.Addrs, err)
	}
	return s, nil
}

// keys names those that all scripts know, for a node, and those of some sessions. scripts/lib.lua gives them names in the same order.
func (s *Store) keys(node string, sessions ...sessionstore.ID) []string {
	keys := make([]string, 0, 9+len(sessions))
	for _, name := range []string{"newest", "live", "abandoned", "revoked", "replayed", "users", "nodes"} {
		keys = append(keys, s.base+name)
	}
	keys = append(keys, s.base+"held:"+node, s.base+"longest")
	for _, id := range sessions {
		keys = append(keys, s.base+"s:"+string(id[:]))
	}
	return keys
}

// keep is an argument of all scripts that write.
func (s *Store) keep() string { return strconv.FormatInt(s.opts.Keep.Milliseconds(), 10) }

func micros(d time.Duration) string { return strconv.FormatInt(d.Microseconds(), 10) }

// begin counts a call, which Close waits for. The caller ends it with calls.Done.
func (s *Store) begin(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return sessionstore.ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	s.calls.Add(1)
	return nil
}

// ready tells whether a call that has nothing to ask would be served.
func (s *Store) ready(ctx context.Context) error {
	err := s.begin(ctx)
	if err == nil {
		s.calls.Done()
	}
	return err
}

// Check implements sessionstore.Store.
func (s *Store) Check(ctx context.Context) error {
	_, err := s.exec(ctx, readScript, s.keys(""), nil)
	return err
}

// Close implements sessionstore.Store. It waits for calls that are on their way.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return sessionstore.ErrClosed
	}
	s.closed = true
	s.mu.Unlock()
	s.cancel()
	s.calls.Wait()
	s.client.Close()
	return nil
}

// texts turns a reply's elements into strings.
func texts(reply []rueidis.RedisMessage) ([]string, error) {
	all := make([]string, len(reply))
	for i := range reply {
		var err error
		if all[i], err = reply[i].ToString(); err != nil {
			return nil, fmt.Errorf("an answer that isn't understood: %w", err)
		}
	}
	return all, nil
}

// numbers reads integers, and keeps the first error.
type numbers struct{ err error }

func (n *numbers) read(text string) int64 {
	value, err := strconv.ParseInt(text, 10, 64)
	if err != nil && n.err == nil {
		n.err = fmt.Errorf("an answer that isn't understood: %w", err)
	}
	return value
}

// idOf reads a session, and is false for what isn't one.
func idOf(text string) (id sessionstore.ID, ok bool) {
	return id, copy(id[:], text) == len(id) && len(text) == len(id)
}

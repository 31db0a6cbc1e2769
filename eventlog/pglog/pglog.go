package pglog

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/buffkit/buffkit/eventlog"
)

// DefaultPoll is how often the log is asked for news where notifications don't arrive.
const DefaultPoll = 100 * time.Millisecond // ten queries a second and node cost a server nothing

const answerTimeout = 10 * time.Second // of a short statement: a server that takes longer doesn't answer at all

// Options of Open and its like. The zero value, and nil, mean the defaults.
type Options struct {
	// Migrate creates the tables, or brings them up to date, by package migrate with its default ledger. An app with migrations of its own
	// adds Source to their plan instead.
	Migrate bool
	// Retention of every topic in the database. Defaults as eventlog.Retention says.
	Retention eventlog.Retention
	// RetentionOf, if set, gives the retention of a topic; zero fields then mean those of Retention. All nodes should agree.
	// It is called often, and calls overlap.
	RetentionOf func(topic string) eventlog.Retention
	// IdempotencyWindow is how long an idempotency key is remembered. Default eventlog.DefaultIdempotency; negative: for ever.
	IdempotencyWindow time.Duration
	// Poll is how often to ask for news where the server's notifications don't arrive: behind a pooler in transaction mode. Default DefaultPoll; a
	// second at most.
	Poll time.Duration
	// Replica is what this node keeps in memory, and the keys that seal what is stored. The retention of its Memory is by default the one above.
	Replica eventlog.ReplicaOptions
	// Logger gets what nobody else is told. Default slog.Default().
	Logger *slog.Logger

	sweepEvery, indexEvery, timeout, tailKept time.Duration // tests have other ones
}

// store is the part that talks to the server.
type store struct {
	queries
	conns  conns
	server server
	opts   Options
	latest latest
	alone  bool // nobody else has stored events between this node's last two transactions; appendAll's own

	ctx      context.Context // ends with Close
	cancel   context.CancelFunc
	tasks    sync.WaitGroup
	filled   chan struct{} // there may be calls in the queue
	appended chan struct{} // this node has appended

	batches atomic.Int64 // transactions of Append

	mu     sync.Mutex // guards what follows
	closed bool
	queue  []*call
}

var _ eventlog.Store = (*store)(nil)

func openStore(ctx context.Context, c conns, opts *Options) (*store, error) {
	s := &store{conns: c, filled: make(chan struct{}, 1), appended: make(chan struct{}, 1)}
	if opts != nil {
		s.opts = *opts
	}
	s.opts.setDefaults()
	if err := s.connect(ctx); err != nil {
		c.close()
		return nil, err
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.tasks.Go(s.appendAll)
	s.tasks.Go(s.index)
	s.tasks.Go(s.sweep)
	return s, nil
}

func (s *store) connect(ctx context.Context) (err error) {
	if s.server, err = look(ctx, s.conns); err != nil {
		return fmt.Errorf("open the log: %w", explained(err))
	}
	if err := s.server.check(); err != nil {
		return err
	}
	if s.server.copies {
		return ErrStandby
	}
	if s.opts.Migrate {
		if err := migrateUp(ctx, s.conns, s.server.pooled, s.opts.Logger); err != nil {
			return fmt.Errorf("create the log's tables: %w", err)
		}
	}
	s.queries, err = locate(ctx, s.conns)
	return err
}

func (o *Options) setDefaults() {
	o.Retention = or(o.Retention, eventlog.Retention{
		Count: eventlog.DefaultRetentionCount, Bytes: eventlog.DefaultRetentionBytes, Age: eventlog.DefaultRetentionAge,
	})
	if o.IdempotencyWindow == 0 {
		o.IdempotencyWindow = eventlog.DefaultIdempotency
	}
	if o.sweepEvery == 0 {
		o.sweepEvery = sweepInterval
	}
	if o.indexEvery == 0 {
		o.indexEvery = indexInterval
	}
	if o.tailKept == 0 {
		o.tailKept = tailKept
	}
	if o.timeout == 0 {
		o.timeout = answerTimeout
	}
	if o.Poll <= 0 {
		o.Poll = DefaultPoll
	}
	o.Poll = min(o.Poll, heartbeat)
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	o.Replica.Memory.Retention = or(o.Replica.Memory.Retention, o.Retention)
	if o.Replica.Memory.RetentionOf == nil {
		o.Replica.Memory.RetentionOf = o.RetentionOf
	}
	if o.Replica.Logger == nil {
		o.Replica.Logger = o.Logger
	}
}

// args puts in front of a query's arguments how they are sent: a pooler in transaction mode loses prepared statements between two transactions.
func (s *store) args(args ...any) []any {
	if s.server.pooled {
		return append([]any{pgx.QueryExecModeExec}, args...)
	}
	return args
}

// untilClosed returns a context that also ends with the store.
func (s *store) untilClosed(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(s.ctx, cancel)
	return ctx, func() {
		stop()
		cancel()
	}
}

// orClosed is ErrClosed if an error came because the store closed.
func (s *store) orClosed(err error) error {
	if err != nil && s.ctx.Err() != nil {
		return eventlog.ErrClosed
	}
	return err
}

// Close implements eventlog.Store. A transaction that was sent is cut off: its callers are told ErrUnknownOutcome.
func (s *store) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return eventlog.ErrClosed
	}
	s.closed = true
	s.mu.Unlock()
	s.cancel()
	s.tasks.Wait()
	s.conns.close()
	return nil
}

// period is the window of idempotency in microseconds.
func (s *store) period() int64 {
	if s.opts.IdempotencyWindow < 0 {
		return math.MaxInt64 // no end; the clock less this is still a number
	}
	return s.opts.IdempotencyWindow.Microseconds()
}

package eventlog

import (
	"context"
	"hash/maphash"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// ReplicaOptions of NewReplica. The zero value, and nil, mean the defaults.
type ReplicaOptions struct {
	// Memory bounds what is kept in this process. What is older, or had to make room, is read from the store when somebody asks for it. Its
	// Retention should be the store's, or less. IdempotencyWindow isn't used: keys are the store's business.
	Memory MemoryOptions
	// Preload is how much of the log's newest history is read at the start, of all topics together, so that those who come back after a restart find
	// it in memory. It is left out, or less of it is read, if it would take longer than a second. Default DefaultPreload; negative: nothing is read.
	Preload time.Duration
	// Keys seals what is stored. Default: nothing is sealed, and what is can't be read.
	Keys *KeyRing
	// Logger is told once when the store can't be followed, and once when it can again. Default slog.Default().
	Logger *slog.Logger
}

// DefaultPreload is a restart, and the time that clients take to come back: push's DrainWindow and Retry, twice.
const DefaultPreload = 30 * time.Second

// Replica is a Log over a Store. It follows the store into the memory of this process, from a little before the head at the time it starts, and serves
// live readers from there. What a reader asks for that isn't there, it loads from the store, once for all who wait for it.
//
// Append returns when the events are stored and can be read here. When they are stored, but the node can't follow so far within
// 10 seconds, or before the context ends, it returns the cursors and an error that wraps ErrNotVisible.
//
// Where a Read goes through to the store, Batch.Behind is a lower bound: it is more than the entries of the batch if anything is left.
type Replica struct {
	store Store
	mem   *Memory
	keys  *KeyRing
	log   *slog.Logger

	ctx   context.Context // of all that runs in the background
	stop  context.CancelFunc
	tasks sync.WaitGroup

	loads  flights[string, struct{}] // by topic
	pages  flights[pageKey, page]
	probes flights[struct{}, Cursor]
	slots  chan struct{} // one for each range that is read at a time

	seed      maphash.Seed
	landmarks []landmark // of the goroutine that follows the store: the newest record of the topics that it met last

	ranges   atomic.Uint64
	unopened atomic.Uint64

	mu      sync.Mutex // guards everything below
	closed  bool
	turn    chan struct{} // closed at the next page
	waiters []*waiter     // in no order
	heard   time.Time     // the last page
	down    error         // why the store can't be followed, nil while it is
	epochs  int           // how many there have been
	past    []uint64      // the last of them, this one included

	doubts   []landmark // that weren't found yet since the store was lost
	doubtful bool       // they are to be looked for
}

var _ Log = (*Replica)(nil)

const (
	visibleWithin   = 10 * time.Second // what Append waits for beside its context, and a second more at most: as long as a request may take
	silence         = 10 * time.Second // of a store that says something each second: it hangs
	rangeWithin     = 30 * time.Second // a range read of a store that works takes a fraction of that
	retryFirst      = 100 * time.Millisecond
	retryMost       = 5 * time.Second
	rangesAtATime   = 16  // range reads: they share the store's connections with those who append
	followedAtATime = 512 // records under one lock: a quarter of a millisecond
)

// NewReplica follows the store and returns when it has its head. The context is for that alone. The replica owns the store: Close closes it.
// On an error, that of the store's first answer or the context's, the store stays open.
func NewReplica(ctx context.Context, store Store, opts *ReplicaOptions) (*Replica, error) {
	var o ReplicaOptions
	if opts != nil {
		o = *opts
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	r := &Replica{store: store, mem: newMemory(o.Memory, true), keys: o.Keys, log: o.Logger, slots: make(chan struct{}, rangesAtATime), seed: maphash.MakeSeed()}
	r.ctx, r.stop = context.WithCancel(context.WithoutCancel(ctx))
	first := make(chan error, 1)
	r.background(func() {
		r.preload(or(o.Preload, DefaultPreload, 0))
		r.run(first)
	})
	r.background(r.endLate)
	var err error
	select {
	case err = <-first:
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		r.end(nil)
		return nil, err
	}
	return r, nil
}

// end ends all that runs in the background, and then the store if close isn't nil.
func (r *Replica) end(close func() error) (err error) {
	r.mu.Lock()
	was := r.closed
	r.closed = true
	for _, w := range r.waiters {
		w.end(ErrClosed)
	}
	r.waiters = nil
	r.mu.Unlock()
	if was {
		return ErrClosed
	}
	r.stop()
	r.mem.Close()
	if close != nil {
		err = close()
	}
	r.tasks.Wait()
	return err
}

// background runs a task that Close waits for. It returns false when the replica is closed.
func (r *Replica) background(task func()) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return false
	}
	r.tasks.Go(task)
	return true
}

// Head implements Log.
func (r *Replica) Head(ctx context.Context) (Cursor, error) { return r.mem.Head(ctx) }

// Watch implements Log.
func (r *Replica) Watch(ctx context.Context, wake func(topic string)) error {
	return r.mem.Watch(ctx, wake)
}

// Close implements Log. It waits for all that runs in the background, and closes the store.
func (r *Replica) Close() error {
	return r.end(r.store.Close)
}

// ReplicaStats is how a Replica does.
type ReplicaStats struct {
	MemoryStats
	// Ranges counts the reads of the store's history.
	Ranges uint64
	// Unopened counts the records that no key opened, as often as they were met.
	Unopened uint64
	// Lag is how long ago the store was last heard of: a second at most while all is well.
	Lag time.Duration
}

// Stats returns what is kept in memory and what was asked of the store.
func (r *Replica) Stats() ReplicaStats {
	r.mu.Lock()
	lag := time.Since(r.heard)
	r.mu.Unlock()
	return ReplicaStats{MemoryStats: r.mem.Stats(), Ranges: r.ranges.Load(), Unopened: r.unopened.Load(), Lag: lag}
}

// Health returns nil while the store is followed, else why it isn't: live readers then get nothing new, and Append may fail.
func (r *Replica) Health() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return ErrClosed
	}
	return r.down
}

package eventlog

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// Defaults of MemoryOptions and Retention.
const (
	DefaultRetentionCount = 10_000               // events of a topic: an hour at three a second
	DefaultRetentionBytes = 4 << 20              // 4 MiB of a topic
	DefaultRetentionAge   = time.Hour            // a long lift, a lunch
	DefaultMaxBytes       = 256 << 20            // 256 MiB: a quarter of the smallest machine people rent
	DefaultMaxTopics      = 1 << 20              // a topic costs about 300 bytes without its events
	DefaultMaxEventBytes  = 1 << 20              // 1 MiB; an event is a fragment of a page, not a file
	DefaultIdempotency    = 5 * time.Minute      // as long as a publisher may still retry
	maxEventBytes         = 1 << 30              // positions within a chunk are 32 bits
	sweepInterval         = time.Second          // how late an event may expire
	sweepBatch            = 1024                 // topics that are trimmed in one go under the lock
	unlimited             = int64(math.MaxInt64) // what a negative limit means
)

// Retention is how much of a topic is kept: what is over any of the limits is dropped, oldest first. A zero field means its
// default, a negative one no limit. The newest event of a topic is dropped by Age only.
type Retention struct {
	Count int           // events. Default DefaultRetentionCount
	Bytes int64         // bytes on the wire. Default DefaultRetentionBytes
	Age   time.Duration // since it was appended, a second more at most. Default DefaultRetentionAge
}

// MemoryOptions of NewMemory. The zero value, and nil, mean the defaults; negative limits mean none.
type MemoryOptions struct {
	// Retention of every topic.
	Retention Retention
	// RetentionOf, if set, gives the retention of a topic when its first event comes; zero fields then mean those of Retention.
	// It is called under the log's lock: it must not call the log.
	RetentionOf func(topic string) Retention
	// MaxBytes bounds the memory of all events, topics and idempotency keys. Over it, the oldest events of the largest topics
	// are dropped, so that a busy topic doesn't push out the history of a quiet one. Default DefaultMaxBytes.
	MaxBytes int64
	// MaxTopics bounds the topics that have events. An Append to one more returns ErrFull. Default DefaultMaxTopics.
	MaxTopics int
	// MaxEventBytes bounds an event on the wire, its key included. Default DefaultMaxEventBytes; at most 1 GiB.
	MaxEventBytes int
	// IdempotencyWindow is how long an idempotency key is remembered. Default DefaultIdempotency.
	IdempotencyWindow time.Duration
}

// Memory is the log of one process. It holds what its retention keeps and nothing else, and ends with the process.
type Memory struct {
	opts  MemoryOptions
	epoch uint64
	done  chan struct{} // closed by Close
	swept chan struct{} // closed when the sweeper is gone

	mu       sync.RWMutex // guards everything below
	closed   bool
	last     Offset            // the newest
	floor    Offset            // the newest dropped event of the topics that were forgotten
	topics   map[string]*topic // those with events, and those of which only the newest dropped offset is known
	classes  classes           // the topics by size
	due      dueQueue          // the topics by the age of their oldest event
	keys     idempotency
	bytes    int64
	watchers []*watcher // replaced, never changed in place
}

type watcher struct{ wake func(topic string) }

var _ Log = (*Memory)(nil)

// NewMemory returns an empty log with an epoch of its own. Close ends its sweeper.
func NewMemory(opts *MemoryOptions) *Memory {
	m := &Memory{
		epoch:  1 + rand.Uint64N(1<<40-1), // 8 digits; a wrong match also needs an offset of the past, so this is plenty
		done:   make(chan struct{}),
		swept:  make(chan struct{}),
		topics: make(map[string]*topic),
		keys:   idempotency{seen: make(map[idempotencyKey]*idempotencyEntry)},
	}
	if opts != nil {
		m.opts = *opts
	}
	m.opts.setDefaults()
	go m.sweep()
	return m
}

func (o *MemoryOptions) setDefaults() {
	o.Retention = o.Retention.or(Retention{DefaultRetentionCount, DefaultRetentionBytes, DefaultRetentionAge})
	o.MaxBytes = or(o.MaxBytes, DefaultMaxBytes)
	o.MaxTopics = int(or(int64(o.MaxTopics), DefaultMaxTopics))
	o.MaxEventBytes = int(min(or(int64(o.MaxEventBytes), DefaultMaxEventBytes), maxEventBytes))
	o.IdempotencyWindow = time.Duration(or(int64(o.IdempotencyWindow), int64(DefaultIdempotency)))
}

// or returns the retention with its zero fields from def.
func (r Retention) or(def Retention) Retention {
	return Retention{
		Count: int(or(int64(r.Count), int64(def.Count))),
		Bytes: or(r.Bytes, def.Bytes),
		Age:   time.Duration(or(int64(r.Age), int64(def.Age))),
	}
}

func or(n, def int64) int64 {
	switch {
	case n == 0:
		return def
	case n < 0:
		return unlimited
	}
	return n
}

// Head implements Log.
func (m *Memory) Head(ctx context.Context) (Cursor, error) {
	if err := ctx.Err(); err != nil {
		return Cursor{}, err
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	if m.closed {
		return Cursor{}, ErrClosed
	}
	return NewCursor(m.epoch, m.last), nil
}

// Watch implements Log.
func (m *Memory) Watch(ctx context.Context, wake func(topic string)) error {
	w := &watcher{wake}
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		return ErrClosed
	}
	m.watchers = append(slices.Clone(m.watchers), w)
	m.mu.Unlock()
	defer m.unwatch(w)

	wake("")
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-m.done:
		return ErrClosed
	}
}

func (m *Memory) unwatch(w *watcher) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.watchers = slices.DeleteFunc(slices.Clone(m.watchers), func(other *watcher) bool { return other == w })
}

// Close implements Log. It waits for the sweeper and drops all events.
func (m *Memory) Close() error {
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		return ErrClosed
	}
	m.closed = true
	m.topics, m.classes, m.due, m.keys, m.bytes = nil, classes{}, nil, idempotency{}, 0
	m.mu.Unlock()
	close(m.done)
	<-m.swept
	return nil
}

// MemoryStats is what a Memory holds.
type MemoryStats struct {
	Topics int   // that have events
	Events int   // kept
	Bytes  int64 // memory they take, by the log's own books; at most MaxBytes
}

// Stats returns what the log holds now, all zero after Close. It looks at every topic.
func (m *Memory) Stats() MemoryStats {
	m.mu.RLock()
	defer m.mu.RUnlock()
	s := MemoryStats{Bytes: m.bytes}
	for _, t := range m.topics {
		if t.count > 0 {
			s.Topics++
			s.Events += t.count
		}
	}
	return s
}

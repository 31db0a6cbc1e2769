package eventlog

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"
)

// Defaults of MemoryOptions and Retention.
const (
	DefaultRetentionCount = 10_000          // events of a topic: an hour at three a second
	DefaultRetentionBytes = 4 << 20         // 4 MiB of a topic
	DefaultRetentionAge   = time.Hour       // a long lift, a lunch
	DefaultMaxBytes       = 256 << 20       // 256 MiB: a quarter of the smallest machine people rent
	DefaultMaxTopics      = 1 << 20         // a topic costs about 300 bytes without its events
	DefaultMaxEventBytes  = 1 << 20         // 1 MiB; an event is a fragment of a page, not a file
	DefaultIdempotency    = 5 * time.Minute // as long as a publisher may still retry
	maxEventBytes         = 1 << 30         // positions within a chunk are 32 bits
	sweepInterval         = time.Second     // how late an event may expire
	sweepBatch            = 1024            // topics that are trimmed in one go under the lock
)

// Retention is how much of a topic is kept: what is over any of the limits is dropped, oldest first. A zero field means its
// default, a negative one no limit. The newest event of a topic is dropped by Age only, or for MemoryOptions.MaxBytes.
type Retention struct {
	Count int           // events. Default DefaultRetentionCount
	Bytes int64         // bytes on the wire, and of keys. Default DefaultRetentionBytes
	Age   time.Duration // since it was appended, by the machine's clock; a second more at most. Default DefaultRetentionAge
}

// MemoryOptions of NewMemory. The zero value, and nil, mean the defaults; negative limits mean none.
type MemoryOptions struct {
	// Retention of every topic.
	Retention Retention
	// RetentionOf, if set, gives the retention of a topic when its first event comes; zero fields then mean those of Retention.
	// It is called under the log's lock: it must not call the log, nor panic.
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
	opts    MemoryOptions
	follows bool          // it is a Replica's: offsets and epochs are told, and what it lacks may be in the store
	done    chan struct{} // closed by Close
	swept   chan struct{} // closed when the sweeper is gone

	mu       sync.RWMutex // guards everything below
	closed   bool
	epoch    uint64            // changes only in one that follows
	idHead   []byte            // what each id line begins with: the field and the epoch
	last     Offset            // the newest
	floor    Offset            // the newest dropped event of the topics that were forgotten
	topics   map[string]*topic // those with events, and those of which only the newest dropped offset is known
	era      uint64            // of topics: how often they were all let go
	classes  classes           // the topics by size
	due      dueQueue          // the topics by the age of their oldest event
	keys     idempotency
	events   int        // of all topics
	bytes    int64      // of all events, topics and keys
	watchers []*watcher // replaced, never changed in place
}

var _ Log = (*Memory)(nil)

// NewMemory returns an empty log with an epoch of its own. Close ends its sweeper.
func NewMemory(opts *MemoryOptions) *Memory {
	var o MemoryOptions
	if opts != nil {
		o = *opts
	}
	return newMemory(o, false)
}

func newMemory(opts MemoryOptions, follows bool) *Memory {
	m := &Memory{
		opts:    opts,
		follows: follows,
		epoch:   NewEpoch(),
		done:    make(chan struct{}),
		swept:   make(chan struct{}),
		topics:  make(map[string]*topic),
		keys:    idempotency{seen: make(map[idempotencyKey]*idempotencyEntry)},
	}
	m.idHead = idHeadOf(m.epoch)
	m.opts.setDefaults()
	go m.sweep()
	return m
}

// NewEpoch returns an identity for a new log, drawn at random. Every Store draws its epochs here, so that an id line has room for them.
func NewEpoch() uint64 {
	return 1 + rand.Uint64N(1<<40-1) // 8 digits; a wrong match also needs an offset of the past, so this is plenty
}

// idHeadOf returns what each id line of a log begins with.
func idHeadOf(epoch uint64) []byte {
	return fmt.Appendf(nil, "id: %s.", strconv.FormatUint(epoch, cursorBase))
}

func (o *MemoryOptions) setDefaults() {
	o.Retention = o.Retention.or(Retention{DefaultRetentionCount, DefaultRetentionBytes, DefaultRetentionAge})
	o.MaxBytes = or(o.MaxBytes, DefaultMaxBytes, math.MaxInt64)
	o.MaxTopics = or(o.MaxTopics, DefaultMaxTopics, math.MaxInt)
	o.MaxEventBytes = min(or(o.MaxEventBytes, DefaultMaxEventBytes, maxEventBytes), maxEventBytes)
	o.IdempotencyWindow = or(o.IdempotencyWindow, DefaultIdempotency, math.MaxInt64)
}

// or returns the retention with its zero fields from def, and no negative ones.
func (r Retention) or(def Retention) Retention {
	return Retention{
		Count: or(r.Count, def.Count, math.MaxInt),
		Bytes: or(r.Bytes, def.Bytes, math.MaxInt64),
		Age:   or(r.Age, def.Age, math.MaxInt64),
	}
}

// or returns a limit: def for 0, none for a negative one.
func or[T int | int64 | time.Duration](limit, def, none T) T {
	switch {
	case limit == 0:
		return def
	case limit < 0:
		return none
	}
	return limit
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

func (m *Memory) head() Cursor {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return NewCursor(m.epoch, m.last)
}

// Close implements Log. It waits for the sweeper and drops all events.
func (m *Memory) Close() error {
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		return ErrClosed
	}
	m.closed = true
	m.letGo()
	m.topics, m.classes, m.due, m.keys, m.events, m.bytes = nil, classes{}, nil, idempotency{}, 0, 0
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

// Stats returns what the log holds now, all zero after Close.
func (m *Memory) Stats() MemoryStats {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return MemoryStats{Topics: m.liveTopics(), Events: m.events, Bytes: m.bytes}
}

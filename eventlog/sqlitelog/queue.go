package sqlitelog

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/buffkit/buffkit/eventlog"
)

const maxCommitRecords = 4096 // of all calls that share a commit: a few milliseconds' work, so a sync costs little of it

// call is one Append.
type call struct {
	records []eventlog.Record
	epoch   uint64
}

// batch is the calls that share a commit.
type batch struct {
	calls   []*call
	records int
	taken   bool // it is being stored: nobody comes or goes any more
	err     error
	done    chan struct{} // closed when it is stored, or err says why it isn't
}

// queue holds the calls that wait.
type queue struct {
	come chan struct{} // has room for one: the writer should look

	mu      sync.Mutex // guards what follows
	batches []*batch   // oldest first
	wanted  int        // calls that the writer waits for
	closed  bool
}

// join adds a call to the next batch.
func (q *queue) join(c *call) (*batch, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return nil, eventlog.ErrClosed
	}
	if n := len(q.batches); n == 0 || q.batches[n-1].records >= maxCommitRecords {
		q.batches = append(q.batches, &batch{done: make(chan struct{})})
	}
	b := q.batches[len(q.batches)-1]
	b.calls = append(b.calls, c)
	b.records += len(c.records)
	if n := len(b.calls); n == 1 || n == q.wanted || b.records >= maxCommitRecords {
		select {
		case q.come <- struct{}{}:
		default:
		}
	}
	return b, nil
}

// close sends away those who wait and those who come.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	for _, b := range q.batches {
		b.taken, b.err = true, eventlog.ErrClosed
		close(b.done)
	}
	q.batches = nil
}

// leave takes a call back, and returns false if it is too late for that.
func (q *queue) leave(b *batch, c *call) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if b.taken {
		return false
	}
	b.calls = slices.DeleteFunc(b.calls, func(other *call) bool { return other == c })
	b.records -= len(c.records)
	return true
}

// waiting counts the calls.
func (q *queue) waiting() (n int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, b := range q.batches {
		n += len(b.calls)
	}
	return n
}

// linger is how long a batch waits for more calls.
type linger struct {
	calls int           // that are enough
	each  time.Duration // for one more, and again when one has come
	most  time.Duration // in all
}

// take waits for a batch, and then until it has lingered. It returns nil when the context ends.
func (q *queue) take(ctx context.Context, l linger) *batch {
	var tick <-chan time.Time
	var end time.Time
	for before := 0; ; {
		b, some := q.next(l.calls)
		if b != nil {
			return b
		}
		if some && tick == nil {
			ticker := time.NewTicker(max(l.each, time.Microsecond))
			defer ticker.Stop()
			tick, end, before = ticker.C, time.Now().Add(l.most), q.waiting()
		}
		select {
		case <-q.come:
		case now := <-tick:
			n := q.waiting()
			if n == before || !now.Before(end) {
				l.calls = 1
			}
			before = n
		case <-ctx.Done():
			return nil
		}
	}
}

// next returns the oldest batch if it is full, or has as many calls as are wanted. Else it tells whether there is one.
func (q *queue) next(wanted int) (b *batch, some bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.wanted = max(wanted, 1)
	for len(q.batches) > 0 && len(q.batches[0].calls) == 0 { // they have left
		q.batches = q.batches[1:]
	}
	if len(q.batches) == 0 {
		return nil, false
	}
	b = q.batches[0]
	if len(b.calls) < q.wanted && b.records < maxCommitRecords {
		return nil, true
	}
	b.taken = true
	q.batches = q.batches[1:]
	return b, true
}

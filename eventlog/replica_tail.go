package eventlog

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"
)

var (
	errSilent = fmt.Errorf("eventlog: the store said nothing for %v", silence)
	errProbed = errors.New("eventlog: the head is known")
	errLate   = fmt.Errorf("eventlog: this node didn't come so far within %v", visibleWithin)
	errMoved  = errors.New("eventlog: the store holds another log meanwhile")

	errMissing = errors.New("eventlog: the store has said that it stored them, and what it sends leaves them out")
)

// rolledBack is a store that has lost what it had.
type rolledBack struct {
	epoch uint64 // of the log as it is now
	what  string
}

func (e *rolledBack) Error() string { return "eventlog: the store has lost what it had: " + e.what }

// run follows the store until the replica is closed. It sends the outcome of the first page.
func (r *Replica) run(first chan<- error) {
	wait := retryFirst
	for started := false; ; {
		err := r.tail(func() {
			wait = retryFirst
			if !started {
				started = true
				first <- nil
			}
		})
		var lost *rolledBack
		if errors.As(err, &lost) {
			err = r.supersede(lost)
		}
		switch {
		case r.ctx.Err() != nil:
			return
		case err != nil && !started:
			first <- fmt.Errorf("follow the store: %w", err)
			return
		}
		if err != nil {
			r.fails(err)
			if !r.pause(wait/2 + rand.N(wait/2)) {
				return
			}
			wait = min(2*wait, retryMost)
		}
	}
}

// pause returns false when the replica ends before.
func (r *Replica) pause(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-r.ctx.Done():
		return false
	}
}

// tail follows the store from where the memory is, until an error. It calls heard after each page.
func (r *Replica) tail(heard func()) error {
	ctx, cancel := context.WithCancelCause(r.ctx)
	defer cancel(nil)
	watchdog := time.AfterFunc(silence, func() { cancel(errSilent) })
	defer watchdog.Stop()
	again := r.hasHeard()
	var verifying atomic.Bool
	err := r.store.Tail(ctx, r.place(), func(p Page) error {
		watchdog.Stop() // to take a page is our own work
		if again {
			again = false
			r.doubt(p.Epoch)
		}
		if err := r.take(p); err != nil {
			return err
		}
		if !verifying.Load() { // one at a time: callers who leave early may bring doubts with each page
			if doubts := r.inDoubt(); len(doubts) > 0 {
				verifying.Store(true)
				r.background(func() {
					defer verifying.Store(false)
					r.verify(ctx, doubts, cancel)
				})
			}
		}
		watchdog.Reset(silence)
		r.works()
		heard()
		return nil
	})
	var lost *rolledBack
	if cause := context.Cause(ctx); errors.Is(cause, errSilent) || errors.As(cause, &lost) {
		return cause
	}
	if err == nil {
		err = errors.New("eventlog: the store's Tail ended without an error")
	}
	return err
}

// place is where to follow from: zero before the first page.
func (r *Replica) place() Cursor {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.epochs == 0 {
		return Cursor{}
	}
	return r.mem.head()
}

// take brings memory as far as a page goes, or says that the store has lost something.
func (r *Replica) take(p Page) error {
	at, head := r.place(), p.Head.At(0)
	if p.Epoch == 0 {
		return errors.New("eventlog: the store has no epoch")
	}
	if at.Epoch() != p.Epoch {
		return r.begin(p.Epoch, head)
	}
	seen, begin, from := at.At(0), at.At(0), 0
	for i := range p.Records {
		record := &p.Records[i]
		switch {
		case record.Partition != 0:
			return fmt.Errorf("eventlog: a record of partition %d: a replica follows partition 0 alone", record.Partition)
		case record.Chain < seen:
			return &rolledBack{p.Epoch, fmt.Sprintf("%d follows %d, where %d was", record.Offset, record.Chain, seen)}
		case record.Chain > seen: // away for longer than the store keeps what it sends
			begin, from = record.Chain, i
		}
		seen = record.Offset
	}
	switch {
	case head < seen:
		return &rolledBack{p.Epoch, fmt.Sprintf("its head is %d, and was %d", head, seen)}
	case head > seen:
		begin, from = head, len(p.Records)
	}
	if begin != at.At(0) {
		if r.hasHeard() {
			r.log.Info("eventlog: the store has dropped events that this node hasn't seen; what is in memory is read again when it is asked for")
			r.doubt(p.Epoch) // it may be another server
		}
		r.mem.restart(p.Epoch, begin)
	}
	if n := len(p.Records); n > 0 {
		r.note(p.Epoch, &p.Records[n-1])
	}
	r.follow(p.Records[from:])
	return nil
}

func (r *Replica) follow(records []Record) {
	for i := range records {
		r.open(&records[i])
	}
	for some := range slices.Chunk(records, followedAtATime) {
		r.mem.follow(some)
	}
}

// begin goes on behind the head of a log that is another one than before. One that was before must not come back: it has lost what led
// to the other.
func (r *Replica) begin(epoch uint64, head Offset) error {
	r.mu.Lock()
	if slices.Contains(r.past, epoch) {
		r.mu.Unlock()
		return &rolledBack{epoch, "an earlier log has come back"}
	}
	if r.past = append(r.past, epoch); len(r.past) > maxPast {
		r.past = slices.Delete(r.past, 0, 1)
	}
	r.epochs++
	first := r.epochs == 1
	r.mu.Unlock()
	r.mem.restart(epoch, head)
	if !first {
		r.log.Warn("eventlog: the store holds another log than before; every reader is told a gap")
	}
	return nil
}

const maxPast = 64 // epochs that are remembered: each is a rollback or a store that was emptied

// open makes a record readable, or takes its body if that can't be.
func (r *Replica) open(record *Record) {
	var err error
	switch {
	case r.keys != nil:
		err = r.keys.openRecord(record)
	case len(record.Body) == 0 || record.Body[0] == sealedMark:
		err = fmt.Errorf("%w: the log was opened without keys", ErrSealed)
	}
	if err == nil {
		return
	}
	record.Body = nil
	if n := r.unopened.Add(1); n&(n-1) == 0 { // the first, the second, the fourth and so on: a wrong key meets many
		r.log.Error("eventlog: an event can't be opened, a gap for its topic", "topic", record.Topic, "offset", record.Offset, "times", n, "error", err)
	}
}

// supersede tells all nodes that the store has lost something.
func (r *Replica) supersede(found *rolledBack) error {
	ctx, cancel := context.WithTimeout(r.ctx, silence)
	defer cancel()
	epoch, err := r.store.Supersede(ctx, found.epoch)
	switch {
	case err != nil:
		return fmt.Errorf("supersede the log after %q: %w", found, err)
	case epoch == found.epoch:
		return fmt.Errorf("%w, and gave no new epoch", found)
	}
	r.log.Warn("eventlog: the store was rolled back", "found", found)
	return nil
}

// works notes that the store was heard, and lets those go on who wait for what it said.
func (r *Replica) works() {
	r.mu.Lock()
	was := r.down
	r.heard, r.down = time.Now(), nil
	if r.turn != nil {
		close(r.turn)
		r.turn = nil
	}
	head := r.mem.head()
	r.waiters = slices.DeleteFunc(r.waiters, func(w *waiter) bool { return w.arrives(head, r.epochs) })
	r.mu.Unlock()
	if was != nil {
		r.log.Info("eventlog: the store is followed again")
	}
}

// hasHeard tells whether the store was followed before.
func (r *Replica) hasHeard() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return !r.heard.IsZero()
}

func (r *Replica) fails(err error) {
	r.mu.Lock()
	was := r.down
	r.down = fmt.Errorf("follow the store: %w", err)
	r.mu.Unlock()
	if was == nil {
		r.log.Error("eventlog: the store can't be followed; trying again", "error", err)
	}
}

// next returns a channel that is closed at the next page, and how many epochs there have been.
func (r *Replica) next() (<-chan struct{}, int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.turn == nil {
		r.turn = make(chan struct{})
	}
	return r.turn, r.epochs
}

// epochsSoFar is how many there have been.
func (r *Replica) epochsSoFar() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.epochs
}

// waiter waits for an offset of a log, to end when this node has come so far. Thousands may wait at a time, and each page ends only some of them.
type waiter struct {
	epoch  uint64
	offset Offset
	epochs int // how many there had been when it began
	since  time.Time
	ended  chan struct{} // closed when err is set
	err    error
}

func (w *waiter) end(err error) {
	w.err = err
	close(w.ended)
}

// arrives ends it if there is nothing left to wait for at a head, and tells whether it did.
func (w *waiter) arrives(head Cursor, epochs int) bool {
	switch {
	case head.Epoch() == w.epoch && head.At(0) >= w.offset:
		w.end(nil)
	case head.Epoch() != w.epoch && epochs != w.epochs:
		w.end(errMoved)
	default:
		return false
	}
	return true
}

// await returns when an offset of a log can be read here. It returns errMoved when the log was replaced since there were so many epochs.
func (r *Replica) await(ctx context.Context, epoch uint64, offset Offset, epochs int) error {
	if head := r.mem.head(); head.Epoch() == epoch && head.At(0) >= offset { // as often when the store's answer is slower than its tail
		return nil
	}
	w := &waiter{epoch: epoch, offset: offset, epochs: epochs, since: time.Now(), ended: make(chan struct{})}
	r.mu.Lock()
	switch {
	case r.closed:
		w.end(ErrClosed)
	case !w.arrives(r.mem.head(), r.epochs):
		r.waiters = append(r.waiters, w)
	}
	r.mu.Unlock()
	select {
	case <-w.ended:
		return w.err
	case <-ctx.Done():
		r.forget(func(other *waiter) bool { return other == w })
		return ctx.Err()
	}
}

func (r *Replica) forget(gone func(*waiter) bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.waiters = slices.DeleteFunc(r.waiters, gone)
}

// endLate ends those who have waited for too long, until the replica is closed. A timer for each would cost more than the rest of the waiting.
func (r *Replica) endLate() {
	for r.pause(visibleWithin / 10) {
		long := time.Now().Add(-visibleWithin)
		r.forget(func(w *waiter) bool {
			late := w.since.Before(long)
			if late {
				w.end(errLate)
			}
			return late
		})
	}
}

package redislog

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/buffkit/buffkit/eventlog"
	"github.com/buffkit/buffkit/eventlog/redislog/redisconn"
	"github.com/redis/rueidis"
)

// pending is an Append that waits for its batch.
type pending struct {
	records []eventlog.Record
	one     [1]eventlog.Record // what records are in if that is all
	bytes   int
	done    chan struct{} // closed when epoch and err are set

	epoch uint64
	err   error
}

func (p *pending) finish(epoch uint64, err error) {
	p.epoch, p.err = epoch, err
	close(p.done)
}

// Append implements eventlog.Store. Calls that come while others are on their way share a script.
//
// Errors: ErrFull when Redis is out of memory; ErrUnknownOutcome when there was no answer, or none that can be read; ErrClosed; the context's, which also wraps
// ErrUnknownOutcome if the records had been sent.
func (s *Store) Append(ctx context.Context, records []eventlog.Record) (uint64, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	if len(records) == 0 {
		return s.emptyAppend(ctx)
	}
	// The records are the caller's again when its context ends, so the batch has copies.
	p := &pending{done: make(chan struct{})}
	p.records = append(p.one[:0], records...)
	for i := range records {
		p.bytes += len(records[i].Topic) + len(records[i].Key) + len(records[i].Body)
	}
	if err := s.enqueue(p); err != nil {
		return 0, err
	}
	select {
	case <-p.done:
	case <-ctx.Done():
		if s.withdraw(p) {
			return 0, ctx.Err()
		}
		return 0, fmt.Errorf("%w: %w", eventlog.ErrUnknownOutcome, ctx.Err())
	}
	if p.err != nil {
		return 0, p.err
	}
	copy(records, p.records)
	return p.epoch, nil
}

func (s *Store) emptyAppend(ctx context.Context) (uint64, error) {
	if err := s.begin(ctx); err != nil {
		return 0, err
	}
	defer s.tasks.Done()
	head, _, err := s.peek(ctx, s.client, "")
	if err != nil {
		return 0, fmt.Errorf("ask for the head: %w", s.explain(ctx, err))
	}
	return head.Epoch(), nil
}

// enqueue adds it to the queue, and starts a committer unless enough are at work.
func (s *Store) enqueue(p *pending) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return eventlog.ErrClosed
	}
	s.queue = append(s.queue, p)
	s.waiting += len(p.records)
	if s.committers == 0 || s.committers < inFlight && s.waiting >= fullBatch {
		s.committers++
		s.tasks.Go(s.commit)
	}
	return nil
}

// withdraw takes it out of the queue and tells whether it still was there.
func (s *Store) withdraw(p *pending) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.Index(s.queue, p)
	if i < 0 {
		return false
	}
	s.queue = slices.Delete(s.queue, i, i+1)
	s.waiting -= len(p.records)
	return true
}

// commit sends what waits, batch after batch, until nothing is left.
func (s *Store) commit() {
	for {
		runtime.Gosched() // who is about to append comes first, and shares the script
		batch, seen := s.next()
		if batch == nil {
			return
		}
		s.send(batch, seen)
	}
}

// next takes a batch out of the queue. Without one, or with one that may still grow while another committer is at work, the committer is over.
func (s *Store) next() ([]*pending, seen) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.queue) == 0 || s.committers > 1 && s.waiting < fullBatch {
		s.committers--
		return nil, seen{}
	}
	n, records, bytes := 0, 0, 0
	for _, p := range s.queue {
		if n > 0 && (records+len(p.records) > maxBatchRecords || bytes+p.bytes > maxBatchBytes) {
			break
		}
		n, records, bytes = n+1, records+len(p.records), bytes+p.bytes
	}
	batch := slices.Clone(s.queue[:n])
	s.queue = slices.Delete(s.queue, 0, n)
	s.waiting -= records
	return batch, s.seen
}

// send stores a batch and tells all who wait for it.
func (s *Store) send(batch []*pending, seen seen) {
	ctx, cancel := context.WithTimeout(context.Background(), s.opts.Timeout)
	defer cancel()
	var records []*eventlog.Record
	for _, p := range batch {
		for i := range p.records {
			records = append(records, &p.records[i])
		}
	}
	epoch, err := s.store(ctx, records, seen)
	for _, p := range batch {
		p.finish(epoch, err)
	}
}

// store runs the script, and once more without them if it has found records that are repeats.
func (s *Store) store(ctx context.Context, records []*eventlog.Record, seen seen) (epoch uint64, err error) {
	for len(records) > 0 {
		b := s.newBatch(records)
		keys, args := s.pack(b, seen)
		reply, err := s.attempt(ctx, keys, args)
		if err != nil {
			return 0, s.outcome(err)
		}
		if epoch, records, err = s.take(b, records, reply); err != nil { // the script has run
			return 0, fmt.Errorf("%w: %w", eventlog.ErrUnknownOutcome, err)
		}
	}
	return epoch, nil
}

// attempt runs the script. Only a refusal, after which nothing is stored, is followed by another try.
func (s *Store) attempt(ctx context.Context, keys, args []string) ([]rueidis.RedisMessage, error) {
	return redisconn.Retry(ctx, s.ctx, func() ([]rueidis.RedisMessage, error) { return appendScript.Run(ctx, s.client, keys, args).ToArray() })
}

// take writes what the script has returned into the records. If it found repeats and stored nothing, it returns those that are none.
func (s *Store) take(b *batch, records []*eventlog.Record, reply []rueidis.RedisMessage) (epoch uint64, left []*eventlog.Record, err error) {
	words := make([]string, len(reply))
	for i := range reply {
		if words[i], err = reply[i].ToString(); err != nil {
			return 0, nil, errDamaged
		}
	}
	if len(words) != 2 && len(words) != 4 {
		return 0, nil, errDamaged
	}
	if epoch, err = strconv.ParseUint(words[0], 10, 64); err != nil {
		return 0, nil, errDamaged
	}
	if len(words) == 2 {
		left, err = s.repeats(b, records, words[1])
		return epoch, left, err
	}
	chain, err1 := parseOffset(words[1])
	first, err2 := parseOffset(words[2])
	newest, err3 := b.fill(first, chain, words[3])
	if err := errors.Join(err1, err2, err3); err != nil {
		return 0, nil, err
	}
	s.saw(epoch, newest)
	return epoch, nil, nil
}

// repeats marks the records whose keys the script knew, given the number of each key and its offset, and returns the others.
func (s *Store) repeats(b *batch, records []*eventlog.Record, known string) ([]*eventlog.Record, error) {
	words := strings.Fields(known)
	offsets := make(map[string]eventlog.Offset, len(words)/2)
	for i := 0; i+1 < len(words); i += 2 {
		key, err1 := strconv.Atoi(words[i])
		offset, err2 := parseOffset(words[i+1])
		if err1 != nil || err2 != nil || key >= len(b.keys) {
			return nil, errDamaged
		}
		offsets[b.keys[key].name] = offset
	}
	left := slices.DeleteFunc(slices.Clone(records), func(r *eventlog.Record) bool {
		if r.IdempotencyKey == "" {
			return false
		}
		offset, known := offsets[s.idempotencyKey(r.Topic, r.IdempotencyKey)]
		if known {
			repeat(r, offset)
		}
		return known
	})
	if len(left) == len(records) {
		return nil, errDamaged
	}
	return left, nil
}

// repeat makes a record one that was stored before.
func repeat(r *eventlog.Record, offset eventlog.Offset) {
	r.Partition, r.Offset, r.Repeated = 0, offset, true
}

package redislog

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/buffkit/buffkit/eventlog"
)

// pending is an Append that waits for its batch.
type pending struct {
	records []eventlog.Record
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
// Errors: ErrFull when Redis is out of memory; ErrUnknownOutcome when there was no answer; ErrClosed; the context's, which also wraps
// ErrUnknownOutcome if the records had been sent.
func (s *Store) Append(ctx context.Context, records []eventlog.Record) (uint64, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	if len(records) == 0 {
		return s.emptyAppend(ctx)
	}
	// The records are the caller's again when its context ends, so the batch has copies.
	p := &pending{records: slices.Clone(records), done: make(chan struct{})}
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
	if s.committers < inFlight {
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
	return true
}

// commit sends what waits, batch after batch, until nothing is left.
func (s *Store) commit() {
	for {
		batch, seen := s.next()
		if batch == nil {
			return
		}
		s.send(batch, seen)
	}
}

// next takes a batch out of the queue. Without one, the committer is over.
func (s *Store) next() ([]*pending, seenText) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, records, bytes := 0, 0, 0
	for _, p := range s.queue {
		records, bytes = records+len(p.records), bytes+p.bytes
		if n > 0 && (records > maxBatchRecords || bytes > maxBatchBytes) {
			break
		}
		n++
	}
	if n == 0 {
		s.committers--
		return nil, seenText{}
	}
	batch := slices.Clone(s.queue[:n])
	s.queue = slices.Delete(s.queue, 0, n)
	return batch, seenText{strconv.FormatUint(s.epoch, 10), formatOffset(s.seen), formatOffset(s.newest)}
}

// seenText is what this node has seen, for the script: an epoch, the newest offset in it, and the newest in any.
type seenText [3]string

// send stores a batch and tells all who wait for it.
func (s *Store) send(batch []*pending, seen seenText) {
	call := s.newAppend(batch, seen)
	ctx, cancel := context.WithTimeout(context.Background(), s.opts.Timeout)
	defer cancel()
	epoch, err := s.store(ctx, call, batch)
	for _, p := range batch {
		p.finish(epoch, err)
	}
}

// store runs the script. Only a refusal, after which nothing is stored, is followed by another try.
func (s *Store) store(ctx context.Context, call *appendCall, batch []*pending) (uint64, error) {
	for wait := firstWait; ; wait = min(2*wait, lastWait) {
		reply, err := appendScript.run(ctx, s.client, call.keys, call.args).ToString()
		if err == nil {
			return s.fill(batch, reply)
		}
		if !refused(err) || !s.pause(ctx, wait) {
			return 0, s.outcome(err)
		}
	}
}

// appendCall collects the keys and arguments of the script.
type appendCall struct {
	keys, args []string
}

func (s *Store) newAppend(batch []*pending, seen seenText) *appendCall {
	var (
		topics, keys, classes []string // the script's tables, in the order of their numbers
		topicOf               = map[string]int{}
		keyOf                 = map[string]int{}
		classOf               = map[eventlog.Retention]int{}
		topicClasses          []string
		records               []string
	)
	for _, p := range batch {
		for i := range p.records {
			r := &p.records[i]
			topic, ok := topicOf[r.Topic]
			if !ok {
				topics = append(topics, s.topicKey(r.Topic))
				topic = len(topics)
				topicOf[r.Topic] = topic
				retention := s.opts.retentionOf(r.Topic)
				if classOf[retention] == 0 {
					classOf[retention] = len(classOf) + 1
					classes = appendRetention(classes, retention)
				}
				topicClasses = append(topicClasses, strconv.Itoa(classOf[retention]))
			}
			key := 0
			if r.IdempotencyKey != "" {
				name := s.idempotencyKey(r.Topic, r.IdempotencyKey)
				if keyOf[name] == 0 {
					keys = append(keys, name)
					keyOf[name] = len(keys)
				}
				key = keyOf[name]
			}
			records = append(records, strconv.Itoa(topic), strconv.Itoa(key), encode(r))
		}
	}
	args := []string{
		newEpochText(), seen[0], seen[1], seen[2], strconv.FormatInt(s.opts.TailBytes, 10), microseconds(s.opts.TailAge),
		strconv.FormatInt(s.opts.IdempotencyWindow.Milliseconds(), 10), strconv.Itoa(len(topics)), strconv.Itoa(len(classOf)),
	}
	return &appendCall{
		keys: slices.Concat([]string{s.metaKey(), s.tailKey()}, topics, keys),
		args: slices.Concat(args, classes, topicClasses, records),
	}
}

func appendRetention(args []string, r eventlog.Retention) []string {
	limited := "1"
	if r.Age.Microseconds() >= unlimited {
		limited = "0"
	}
	return append(args, bounded(int64(r.Count)), bounded(r.Bytes), microseconds(r.Age), limited)
}

// bounded writes a limit as a number that Lua can calculate with.
func bounded(limit int64) string { return strconv.FormatInt(min(limit, unlimited), 10) }

func microseconds(d time.Duration) string { return bounded(max(d.Microseconds(), 1)) }

// fill writes what the script has returned into the records.
func (s *Store) fill(batch []*pending, reply string) (uint64, error) {
	words := strings.Fields(reply)
	if len(words) < 3 {
		return 0, fmt.Errorf("redislog: the script returned %q", reply)
	}
	epoch, err1 := strconv.ParseUint(words[0], 10, 64)
	chain, err2 := parseOffset(words[1])
	offset, err3 := parseOffset(words[2])
	if err1 != nil || err2 != nil || err3 != nil {
		return 0, fmt.Errorf("redislog: the script returned %q", reply)
	}
	words = words[3:]
	for _, p := range batch {
		for i := range p.records {
			r := &p.records[i]
			if len(words) == 0 {
				return 0, fmt.Errorf("redislog: the script returned %q", reply)
			}
			text, repeated := strings.CutPrefix(words[0], "r")
			words = words[1:]
			at, err := parseOffset(text)
			if err != nil {
				return 0, fmt.Errorf("redislog: the script returned %q", reply)
			}
			if repeated {
				r.Partition, r.Offset, r.Repeated = 0, at, true
				continue
			}
			r.Partition, r.Offset, r.Prev, r.Chain = 0, offset, at, chain
			chain, offset = offset, offset+1
		}
	}
	s.saw(epoch, chain)
	return epoch, nil
}

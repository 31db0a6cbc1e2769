package redislog

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/buffkit/buffkit/eventlog"
)

const rangeRecords = 512 // that one script reads, about: other commands wait for it

// History implements eventlog.Store. A large range is read in several steps.
func (s *Store) History(ctx context.Context, r eventlog.Range) (eventlog.History, error) {
	if err := s.begin(ctx); err != nil {
		return eventlog.History{}, err
	}
	defer s.tasks.Done()
	for {
		h, again, err := s.history(ctx, r)
		if err != nil {
			return eventlog.History{}, fmt.Errorf("read %q: %w", r.Topic, s.explain(ctx, err))
		}
		if !again {
			return h, nil
		}
	}
}

// history is History, or tells to begin again because the log has got another epoch meanwhile.
func (s *Store) history(ctx context.Context, r eventlog.Range) (all eventlog.History, again bool, err error) {
	most, bounded := r.Max, r.Bytes > 0
	left := max(most, 1)
	for {
		step, more, err := s.readRange(ctx, r, left)
		if err != nil {
			return all, false, err
		}
		if all.Epoch != 0 && all.Epoch != step.Epoch {
			return all, true, nil
		}
		n := len(step.Records)
		join(&all, step, r)
		left = max(most, 1) - len(all.Records)
		if left <= 0 || n == 0 || !more {
			return all, false, nil
		}
		if r.Newest {
			r.Until = step.Records[0].Offset - 1
			r.Bytes -= size(step.Records)
			if r.Bytes <= 0 && bounded {
				return all, false, nil
			}
		} else {
			r.After = step.Records[n-1].Offset
		}
	}
}

// join adds a step that was read from r on. If retention has been quicker, what was read before is behind a hole, and no longer counts.
func join(all *eventlog.History, step eventlog.History, r eventlog.Range) {
	switch {
	case r.Newest:
		all.Records = slices.Concat(step.Records, all.Records)
	case step.Trimmed > r.After:
		all.Records = step.Records
	default:
		all.Records = append(all.Records, step.Records...)
	}
	all.Epoch, all.Trimmed = step.Epoch, step.Trimmed
}

func size(records []eventlog.Record) (bytes int64) {
	for i := range records {
		bytes += int64(len(records[i].Body))
	}
	return bytes
}

// readRange reads a piece of a range, no more records than are left to read, and tells whether there may be more of it.
func (s *Store) readRange(ctx context.Context, r eventlog.Range, left int) (h eventlog.History, more bool, err error) {
	until, newest := "+", "0"
	if r.Until > 0 {
		until = formatOffset(r.Until)
	}
	if r.Newest {
		newest = "1"
	}
	age := strconv.FormatInt(int64(microseconds(s.opts.retentionOf(r.Topic).Age)), 10)
	keys := append(s.logKeys(), s.topicKey(r.Topic))
	args := []string{newEpochText(), age, formatOffset(r.After), until, strconv.Itoa(min(left, rangeRecords)), newest}
	reply, err := s.exec(ctx, historyScript, keys, args).ToArray()
	if err != nil {
		return h, false, err
	}
	trimmed, entries, err := readHead(reply)
	if err != nil || len(reply) != 4 {
		return h, false, errDamaged
	}
	if r.Newest {
		slices.Reverse(entries)
	}
	h = eventlog.History{Epoch: trimmed.Epoch(), Trimmed: trimmed.At(0)}
	for _, entry := range entries {
		if h.Records, err = readEntry(h.Records, r.Topic, entry); err != nil {
			return h, false, err
		}
	}
	h.Records = within(r, h.Records, left)
	rest, err := reply[3].AsInt64()
	return h, rest == 1, err
}

// within returns those of the records that are in the range, no more than the most.
func within(r eventlog.Range, records []eventlog.Record, most int) []eventlog.Record {
	for len(records) > 0 && records[0].Offset <= r.After {
		records = records[1:]
	}
	for n := len(records); n > 0 && r.Until > 0 && records[n-1].Offset > r.Until; n = len(records) {
		records = records[:n-1]
	}
	if over := len(records) - most; over > 0 && r.Newest {
		return records[over:]
	}
	return records[:min(len(records), most)]
}

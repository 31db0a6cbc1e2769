package redislog

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/buffkit/buffkit/eventlog"
)

const rangeEntries = 512 // that one script reads: other commands wait for it

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
	left, bounded := max(r.Max, 1), r.Bytes > 0
	for {
		step, err := s.readRange(ctx, r, min(left, rangeEntries))
		if err != nil {
			return all, false, err
		}
		if all.Epoch != 0 && all.Epoch != step.Epoch {
			return all, true, nil
		}
		n := len(step.Records)
		join(&all, step, r)
		left -= n
		if left <= 0 || n < rangeEntries {
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

func (s *Store) readRange(ctx context.Context, r eventlog.Range, most int) (eventlog.History, error) {
	until, newest := "+", "0"
	if r.Until > 0 {
		until = formatOffset(r.Until)
	}
	if r.Newest {
		newest = "1"
	}
	keys := []string{s.metaKey(), s.tailKey(), s.topicKey(r.Topic)}
	args := []string{newEpochText(), microseconds(s.opts.retentionOf(r.Topic).Age), formatOffset(r.After), until, strconv.Itoa(most), newest}
	reply, err := s.exec(ctx, historyScript, keys, args).ToArray()
	if err != nil {
		return eventlog.History{}, err
	}
	trimmed, entries, err := readHead(reply)
	if err != nil {
		return eventlog.History{}, err
	}
	h := eventlog.History{Epoch: trimmed.Epoch(), Trimmed: trimmed.At(0), Records: make([]eventlog.Record, len(entries))}
	for i, entry := range entries {
		if h.Records[i], err = readEntry(r.Topic, entry); err != nil {
			return eventlog.History{}, err
		}
	}
	if r.Newest {
		slices.Reverse(h.Records)
	}
	return h, nil
}

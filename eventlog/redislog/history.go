package redislog

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/buffkit/buffkit/eventlog"
)

const rangeEntries = 512 // that one script reads: other commands wait for it

// History implements eventlog.Store. A large range is read in several steps. A History that isn't whole to its end, because retention was quicker, ends
// where the hole begins.
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
	left := max(r.Max, 1)
	for {
		step, err := s.readRange(ctx, r, min(left, rangeEntries))
		if err != nil {
			return all, false, err
		}
		if all.Epoch != 0 && all.Epoch != step.Epoch {
			return all, true, nil
		}
		n := len(step.Records)
		whole := join(&all, step, r.Newest)
		left -= n
		if !whole || left <= 0 || n < rangeEntries {
			return all, false, nil
		}
		if r.Newest {
			r.Until = step.Records[0].Offset - 1
		} else {
			r.After = step.Records[n-1].Offset
		}
	}
}

// join adds a step, unless something between is gone. It tells whether to go on.
func join(all *eventlog.History, step eventlog.History, newest bool) bool {
	all.Epoch, all.Trimmed = step.Epoch, max(all.Trimmed, step.Trimmed)
	switch {
	case len(all.Records) == 0:
		all.Records = step.Records
	case len(step.Records) == 0:
		return false
	case newest && all.Records[0].Prev == step.Records[len(step.Records)-1].Offset:
		all.Records = slices.Concat(step.Records, all.Records)
	case !newest && step.Records[0].Prev == all.Records[len(all.Records)-1].Offset:
		all.Records = append(all.Records, step.Records...)
	default:
		return false
	}
	return true
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

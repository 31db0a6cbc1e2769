package eventlog_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/buffkit/buffkit/eventlog"
	"github.com/buffkit/buffkit/eventlog/storetest"
)

// fakeStore is a Store in memory, whose faults are on command.
type fakeStore struct {
	keep    eventlog.Retention
	window  int                  // records that Tail can still send whatever retention says; 0: all
	history func(eventlog.Range) // called before a range is looked at
	answers func(eventlog.Range) // and before it is returned
	tail    func() error         // called before each page

	mu      sync.Mutex // guards everything below
	closed  bool
	epoch   uint64
	records []eventlog.Record
	first   int // of records that Tail still sends
	head    eventlog.Offset
	keys    map[[2]string]eventlog.Offset
	turn    chan struct{}
	ranges  []eventlog.Range
}

func newFakeStore() *fakeStore {
	return &fakeStore{epoch: eventlog.NewEpoch(), keys: map[[2]string]eventlog.Offset{}, turn: make(chan struct{})}
}

func (s *fakeStore) Append(ctx context.Context, records []eventlog.Record) (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.check(ctx); err != nil {
		return 0, err
	}
	for i := range records {
		r := &records[i]
		key := [2]string{r.Topic, r.IdempotencyKey}
		if offset, ok := s.keys[key]; ok && r.IdempotencyKey != "" {
			r.Offset, r.Repeated = offset, true
			continue
		}
		r.Offset, r.Chain, r.Prev = s.head.Next(time.Now()), s.head, s.newest(r.Topic)
		s.head, s.keys[key] = r.Offset, r.Offset
		s.records = append(s.records, *r)
	}
	if s.window > 0 {
		s.first = max(s.first, len(s.records)-s.window)
	}
	s.signal()
	return s.epoch, nil
}

func (s *fakeStore) check(ctx context.Context) error {
	if s.closed {
		return eventlog.ErrClosed
	}
	return ctx.Err()
}

func (s *fakeStore) signal() {
	close(s.turn)
	s.turn = make(chan struct{})
}

func (s *fakeStore) newest(topic string) eventlog.Offset {
	for _, r := range slices.Backward(s.records) {
		if r.Topic == topic {
			return r.Offset
		}
	}
	return 0
}

func (s *fakeStore) Tail(ctx context.Context, after eventlog.Cursor, next func(eventlog.Page) error) error {
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for {
		if s.tail != nil {
			if err := s.tail(); err != nil {
				return err
			}
		}
		page, turn, err := s.page(ctx, after)
		if err != nil {
			return err
		}
		if err := next(page); err != nil {
			return err
		}
		after = page.Head
		select {
		case <-turn:
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (s *fakeStore) page(ctx context.Context, after eventlog.Cursor) (eventlog.Page, <-chan struct{}, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.check(ctx); err != nil {
		return eventlog.Page{}, nil, err
	}
	page := eventlog.Page{Epoch: s.epoch, Head: eventlog.NewCursor(s.epoch, s.head)}
	for _, r := range s.records[s.first:] {
		if !after.IsZero() && r.Offset > after.At(0) {
			r.Body = slices.Clone(r.Body)
			page.Records = append(page.Records, r)
		}
	}
	return page, s.turn, nil
}

func (s *fakeStore) History(ctx context.Context, asked eventlog.Range) (eventlog.History, error) {
	if s.history != nil {
		s.history(asked)
	}
	if s.answers != nil {
		defer s.answers(asked)
	}
	return s.look(ctx, asked)
}

func (s *fakeStore) look(ctx context.Context, asked eventlog.Range) (eventlog.History, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.check(ctx); err != nil {
		return eventlog.History{}, err
	}
	s.ranges = append(s.ranges, asked)
	h := eventlog.History{Epoch: s.epoch}
	var all []eventlog.Record
	for _, r := range s.records {
		if r.Topic == asked.Topic {
			all = append(all, r)
		}
	}
	if keep := s.keep.Count; keep > 0 && len(all) > keep {
		h.Trimmed = all[len(all)-keep-1].Offset
		all = all[len(all)-keep:]
	}
	all = slices.DeleteFunc(all, func(r eventlog.Record) bool {
		return r.Offset <= asked.After || asked.Until > 0 && r.Offset > asked.Until
	})
	if n := min(len(all), asked.Max); asked.Newest {
		all = all[len(all)-n:]
	} else {
		all = all[:n]
	}
	for _, r := range all {
		r.Body = slices.Clone(r.Body)
		h.Records = append(h.Records, r)
	}
	return h, nil
}

func (s *fakeStore) Supersede(ctx context.Context, old uint64) (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.check(ctx); err != nil {
		return 0, err
	}
	if s.epoch == old {
		s.epoch = eventlog.NewEpoch()
		s.signal()
	}
	return s.epoch, nil
}

func (s *fakeStore) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return eventlog.ErrClosed
	}
	s.closed = true
	s.signal()
	return nil
}

// rollBack loses the newest records, as a failover does.
func (s *fakeStore) rollBack(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.records = s.records[:len(s.records)-n]
	s.head = 0
	if n := len(s.records); n > 0 {
		s.head = s.records[n-1].Offset
	}
	s.signal()
}

// newestOfAll returns the head.
func (s *fakeStore) newestOfAll() eventlog.Offset {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.head
}

// asked returns how many ranges were read.
func (s *fakeStore) asked() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.ranges)
}

func TestFakeStoreIsAStore(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T, c storetest.Config) storetest.Store {
		store := newFakeStore()
		store.keep = c.Retention
		return storetest.Store{Store: store}
	})
}

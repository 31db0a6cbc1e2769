package pglog_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/buffkit/buffkit/eventlog"
	"github.com/buffkit/buffkit/eventlog/pglog"
)

// tape records what a Tail sends and checks that it is in order and without a hole.
type tape struct {
	t    testing.TB
	stop context.CancelFunc
	done chan struct{}

	mu      sync.Mutex // guards what follows
	records []eventlog.Record
	pages   int
	epochs  []uint64
	head    eventlog.Offset
	prevs   map[string]eventlog.Offset
	err     error
}

// follow starts a Tail, and returns when it has sent its first page.
func follow(t testing.TB, s *pglog.Store, after eventlog.Cursor) *tape {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	p := &tape{t: t, stop: cancel, done: make(chan struct{}), prevs: map[string]eventlog.Offset{}}
	go func() {
		defer close(p.done)
		err := s.Tail(ctx, after, p.next)
		p.mu.Lock()
		defer p.mu.Unlock()
		p.err = err
	}()
	t.Cleanup(func() {
		p.end()
		if p.err != nil && !errors.Is(p.err, context.Canceled) {
			t.Errorf("Tail: %v", p.err)
		}
	})
	until(t, "the first page", func() bool { return p.seen(func() bool { return p.pages > 0 }) })
	return p
}

// end stops the Tail and forgets its error.
func (p *tape) end() {
	p.stop()
	<-p.done
}

func (p *tape) seen(what func() bool) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return what()
}

func (p *tape) all() []eventlog.Record {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.records)
}

func (p *tape) next(page eventlog.Page) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.pages == 0 {
		p.head = page.Head.At(0)
		if len(page.Records) > 0 {
			p.head = page.Records[0].Chain
		}
	}
	for _, r := range page.Records {
		if r.Offset <= p.head || r.Chain != p.head {
			p.t.Errorf("record %d names %d before it, the last seen was %d", r.Offset, r.Chain, p.head)
		}
		if prev, ok := p.prevs[r.Topic]; ok && r.Prev != prev {
			p.t.Errorf("record %d of %s names %d before it, that was %d", r.Offset, r.Topic, r.Prev, prev)
		}
		p.head, p.prevs[r.Topic] = r.Offset, r.Offset
	}
	if page.Head.At(0) != p.head {
		p.t.Errorf("the page's head is %d, its last record %d", page.Head.At(0), p.head)
	}
	p.records = append(p.records, page.Records...)
	p.pages++
	if n := len(p.epochs); n == 0 || p.epochs[n-1] != page.Epoch {
		p.epochs = append(p.epochs, page.Epoch)
	}
	return nil
}

// wait waits for records, and returns all that there are then.
func (p *tape) wait(n int) []eventlog.Record {
	p.t.Helper()
	until(p.t, "the records", func() bool { return len(p.all()) >= n })
	return p.all()
}

func bodies(records []eventlog.Record) (all []string) {
	for _, r := range records {
		all = append(all, string(r.Body))
	}
	return all
}

package redislog_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/buffkit/buffkit/eventlog"
	"github.com/buffkit/buffkit/eventlog/redislog"
)

// patience is how long something that must happen may take on a busy machine.
const patience = 30 * time.Second

// eventually waits until something holds.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); !holds(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

// follower is a client that stays connected to a node: it reads topics from where it is, and is told gaps.
type follower struct {
	log    eventlog.Log
	topics []string

	mu   sync.Mutex // guards what follows
	at   eventlog.Cursor
	got  []string // the data of all events, in the order they came
	gaps []error
}

// follow starts a follower at a cursor. It ends with the test.
func follow(t testing.TB, log eventlog.Log, after eventlog.Cursor, topics ...string) *follower {
	t.Helper()
	f := &follower{log: log, topics: topics, at: after}
	ctx, cancel := context.WithCancel(context.Background())
	news := make(chan struct{}, 1)
	var tasks sync.WaitGroup
	tasks.Go(func() {
		_ = log.Watch(ctx, func(string) {
			select {
			case news <- struct{}{}:
			default:
			}
		})
	})
	tasks.Go(func() {
		for f.read(ctx) {
			select {
			case <-news:
			case <-time.After(100 * time.Millisecond):
			case <-ctx.Done():
			}
		}
	})
	t.Cleanup(func() { cancel(); tasks.Wait() })
	return f
}

// read reads until nothing is left, and tells whether to come again.
func (f *follower) read(ctx context.Context) bool {
	for {
		b, err := f.log.Read(ctx, f.topics, f.cursor(), 100)
		if ctx.Err() != nil || errors.Is(err, eventlog.ErrClosed) {
			return false
		}
		if err != nil {
			return true
		}
		f.mu.Lock()
		for _, e := range b.Entries {
			f.got = append(f.got, string(e.Event().Data))
		}
		for _, gap := range b.Gaps {
			f.gaps = append(f.gaps, gap.Err)
		}
		f.at = b.Next
		f.mu.Unlock()
		if len(b.Entries) == 0 {
			return true
		}
	}
}

func (f *follower) cursor() eventlog.Cursor {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.at
}

func (f *follower) seen() (got []string, gaps []error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.got), slices.Clone(f.gaps)
}

// wait waits until an event came.
func (f *follower) wait(t testing.TB, data string) {
	t.Helper()
	eventually(t, "the event "+data, func() bool {
		got, _ := f.seen()
		return slices.Contains(got, data)
	})
}

// told waits until a gap was told.
func (f *follower) told(t testing.TB) {
	t.Helper()
	eventually(t, "a gap is told", func() bool {
		_, gaps := f.seen()
		return len(gaps) > 0
	})
}

func (f *follower) wantNoGap(t testing.TB) {
	t.Helper()
	if _, gaps := f.seen(); len(gaps) > 0 {
		t.Errorf("told the gaps %v, want none", gaps)
	}
}

// wantExactly fails unless exactly these came, each once, and those of one publisher in order. An event is named "publisher/number".
func (f *follower) wantExactly(t testing.TB, want map[string]bool) {
	t.Helper()
	got, _ := f.seen()
	times, last := map[string]int{}, map[string]int{}
	for _, data := range got {
		times[data]++
		var publisher string
		var n int
		if _, err := fmt.Sscanf(strings.Replace(data, "/", " ", 1), "%s %d", &publisher, &n); err != nil {
			t.Fatalf("event %q: %v", data, err)
		}
		if before, ok := last[publisher]; ok && n <= before {
			t.Errorf("%s came after %s/%d", data, publisher, before)
		}
		last[publisher] = n
	}
	for data := range want {
		if times[data] != 1 {
			t.Errorf("%s came %d times, want once", data, times[data])
		}
	}
	for data := range times {
		if !want[data] {
			t.Errorf("%s came and was never published", data)
		}
	}
}

func publish(t testing.TB, log eventlog.Log, topic, data string) eventlog.Cursor {
	t.Helper()
	cursors, err := log.Append(context.Background(), eventlog.Event{Topic: topic, Data: []byte(data)})
	if err != nil {
		t.Fatalf("append %s: %v", data, err)
	}
	return cursors[0]
}

// publishers are several that publish at the same time, and repeat what failed under its idempotency key until it is stored.
type publishers struct {
	stop  context.CancelFunc
	tasks sync.WaitGroup

	mu        sync.Mutex // guards what follows
	confirmed map[string]bool
	failures  map[string]int // by kind
}

func startPublishers(t testing.TB, log *redislog.Log, n int, topics ...string) *publishers {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	p := &publishers{stop: cancel, confirmed: map[string]bool{}, failures: map[string]int{}}
	for i := range n {
		p.tasks.Go(func() {
			for k := 0; ctx.Err() == nil; k++ {
				data := fmt.Sprintf("p%d/%d", i, k)
				p.insist(log, eventlog.Event{Topic: topics[i%len(topics)], Data: []byte(data), IdempotencyKey: data})
			}
		})
	}
	t.Cleanup(func() { p.end() })
	return p
}

// insist publishes an event until it is stored.
func (p *publishers) insist(log *redislog.Log, e eventlog.Event) {
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		_, err := log.Append(ctx, e)
		cancel()
		stored := err == nil || errors.Is(err, eventlog.ErrNotVisible)
		p.mu.Lock()
		switch {
		case stored:
			p.confirmed[string(e.Data)] = true
		case errors.Is(err, eventlog.ErrUnknownOutcome):
			p.failures["unknown"]++
		default:
			p.failures["refused"]++
		}
		p.mu.Unlock()
		if stored || errors.Is(err, eventlog.ErrClosed) {
			return
		}
	}
}

func (p *publishers) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.confirmed)
}

// more waits until so many more were confirmed.
func (p *publishers) more(t testing.TB, n int) {
	t.Helper()
	n += p.count()
	eventually(t, fmt.Sprintf("%d events are confirmed", n), func() bool { return p.count() >= n })
}

// end stops them and returns what was confirmed.
func (p *publishers) end() map[string]bool {
	p.stop()
	p.tasks.Wait()
	return p.confirmed
}

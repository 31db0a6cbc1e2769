package logtest

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/buffkit/buffkit/eventlog"
)

func testWatch(t *testing.T, newLog Factory) {
	log := open(t, newLog, Config{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	wakes := make(chan string, 1000)
	done := make(chan error, 1)
	go func() { done <- log.Watch(ctx, func(topic string) { wakes <- topic }) }()
	waitWake(t, wakes, "")

	at := mustHead(t, log)
	for i := range 20 {
		topic := fmt.Sprintf("t%d", i)
		mustAppend(t, log, event(topic, "x"))
		waitWake(t, wakes, topic)
		b := mustRead(t, log, at, 10, topic)
		wantData(t, b, "x")
		at = b.Next
	}
	mustAppend(t, log, event("x", "1"), event("y", "1"), event("x", "2"), event("z", "1"))
	missing := map[string]bool{"x": true, "y": true, "z": true}
	for len(missing) > 0 {
		delete(missing, receive(t, wakes))
	}
	cancel()
	if err := receive(t, done); !errors.Is(err, context.Canceled) {
		t.Errorf("Watch returned %v, want the context's error", err)
	}
	mustAppend(t, log, event("after", "x"))
}

func testWatchFirst(t *testing.T, newLog Factory) {
	const events = 500
	log := open(t, newLog, Config{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var woken [events]atomic.Bool
	began := make(chan struct{}, 1)
	go log.Watch(ctx, func(topic string) {
		if i, err := strconv.Atoi(topic); err == nil {
			woken[i].Store(true)
		} else {
			began <- struct{}{}
		}
	})
	receive(t, began)

	topics := make([]string, events)
	for i := range topics {
		topics[i] = strconv.Itoa(i)
	}
	at := mustHead(t, log)
	go func() {
		for _, topic := range topics {
			if _, err := log.Append(ctx, event(topic, "x")); err != nil && ctx.Err() == nil {
				t.Errorf("Append: %v", err)
			}
		}
	}()
	deadline := time.Now().Add(patience)
	for n := 0; n < events; {
		b := mustRead(t, log, at, 100, topics...)
		for _, e := range b.Entries {
			if i, _ := strconv.Atoi(e.Topic); !woken[i].Load() {
				t.Fatalf("an event of topic %s was read before its wake was called", e.Topic)
			}
			n++
		}
		if at = b.Next; time.Now().After(deadline) {
			t.Fatalf("read %d of %d events within %v", n, events, patience)
		}
		runtime.Gosched() // whoever appends has its turn, however few processors there are
	}
}

func testWatchEnds(t *testing.T, newLog Factory) {
	log := open(t, newLog, Config{})
	ctx, stop := context.WithCancel(t.Context())
	var appending sync.WaitGroup
	defer appending.Wait()
	defer stop()
	appending.Go(func() {
		for ctx.Err() == nil {
			if _, err := log.Append(ctx, event("t", "x")); err != nil && ctx.Err() == nil {
				t.Errorf("Append: %v", err)
				return
			}
		}
	})
	for range 50 {
		ctx, cancel := context.WithCancel(t.Context())
		var returned atomic.Bool
		err := log.Watch(ctx, func(topic string) {
			if returned.Load() {
				t.Error("wake was called after Watch had returned")
			}
			if topic != "" {
				cancel()
			}
		})
		returned.Store(true)
		if !errors.Is(err, context.Canceled) {
			t.Errorf("Watch returned %v, want the context's error", err)
		}
		cancel()
	}
}

func waitWake(t *testing.T, wakes <-chan string, topic string) {
	t.Helper()
	for receive(t, wakes) != topic {
	}
}

func receive[T any](t *testing.T, c <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(patience):
		t.Fatalf("nothing came within %v", patience)
	}
	return v
}

func testConcurrency(t *testing.T, newLog Factory) {
	const writers, each, readers = 8, 150, 4
	log := open(t, newLog, Config{Retention: eventlog.Retention{Count: -1}})
	topics := []string{"t0", "t1", "t2"}
	start := mustHead(t, log)

	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := 0; i < each; i += 3 {
				_, err := log.Append(t.Context(),
					event(topics[w%3], fmt.Sprintf("%d %d", w, i)),
					event(topics[(w+1)%3], fmt.Sprintf("%d %d", w, i+1)),
					event(topics[(w+2)%3], fmt.Sprintf("%d %d", w, i+2)))
				if err != nil {
					t.Errorf("writer %d: %v", w, err)
					return
				}
			}
		})
	}
	for range readers {
		wg.Go(func() { tail(t, log, start, topics, writers, each) })
	}
	wg.Wait()
}

// tail reads until it has each event of each writer once, in the order of its writer and of the offsets.
func tail(t *testing.T, log eventlog.Log, at eventlog.Cursor, topics []string, writers, each int) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	wake := make(chan struct{}, 1)
	go log.Watch(ctx, func(string) {
		select {
		case wake <- struct{}{}:
		default:
		}
	})
	newest := map[uint32]eventlog.Offset{}
	inTopic := map[string]map[int]int{}
	for _, topic := range topics {
		inTopic[topic] = map[int]int{}
	}
	for n := 0; n < writers*each; {
		b, err := log.Read(ctx, topics, at, 7)
		if err != nil || len(b.Gaps) > 0 {
			t.Errorf("reader after %d events: %v, gaps %v", n, err, b.Gaps)
			return
		}
		for _, e := range b.Entries {
			var w, i int
			fmt.Sscan(string(e.Event().Data), &w, &i)
			if e.Offset <= newest[e.Partition] {
				t.Errorf("offset %d was read after %d", e.Offset, newest[e.Partition])
			}
			if last, ok := inTopic[e.Topic][w]; ok && last >= i {
				t.Errorf("event %d of writer %d was read after %d", i, w, last)
			}
			newest[e.Partition], inTopic[e.Topic][w] = e.Offset, i
			n++
		}
		at = b.Next
		if len(b.Entries) == 0 {
			select {
			case <-wake:
			case <-ctx.Done():
				t.Errorf("reader has %d of %d events", n, writers*each)
				return
			}
		}
	}
	if b, err := log.Read(ctx, topics, at, 7); err != nil || b.Behind != 0 {
		t.Errorf("after all events were read: %d more, %v", b.Behind, err)
	}
}

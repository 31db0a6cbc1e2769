package push_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/buffkit/buffkit/eventlog"
	"github.com/buffkit/buffkit/push"
)

// slowLog takes a second for each append, as one does that is far away, and counts them.
type slowLog struct {
	eventlog.Log
	panics  bool
	mu      sync.Mutex // guards what follows
	appends int
	fail    error
}

func (l *slowLog) Append(ctx context.Context, events ...eventlog.Event) ([]eventlog.Cursor, error) {
	select {
	case <-time.After(time.Second):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if l.panics {
		panic("a bug of the log")
	}
	l.mu.Lock()
	l.appends++
	fail := l.fail
	l.mu.Unlock()
	if fail != nil {
		return nil, fail
	}
	return l.Log.Append(ctx, events...)
}

func TestPublishersShareAnAppend(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		log := &slowLog{Log: newLog(t, none)}
		b := newBroker(t, push.Public("a"), push.Options{Log: log})
		s := connect(t, b, "/")
		s.want("open:fresh")
		const publishers = 100
		cursors := make([]eventlog.Cursor, publishers)
		var all sync.WaitGroup
		began := time.Now()
		for i := range publishers {
			all.Go(func() { cursors[i] = publish(t, b, fmt.Sprint("a:", i)) })
		}
		all.Wait()
		if log.appends != 2 || time.Since(began) != 2*time.Second { // that of the first, and that of all others
			t.Errorf("%d appends in %v", log.appends, time.Since(began))
		}
		byID := map[string]string{}
		for _, f := range s.frames() {
			byID[f.id] = f.data
		}
		for i, cursor := range cursors {
			if got := byID[cursor.String()]; got != fmt.Sprint(i) {
				t.Errorf("publisher %d was told the cursor of event %q", i, got)
			}
		}
	})
}

// Who shares an append doesn't share the fault of others.
func TestABadEventFailsItsOwnPublisherOnly(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := newBroker(t, push.Public("a"), push.Options{Log: &slowLog{Log: newLog(t, none)}})
		s := connect(t, b, "/")
		var all sync.WaitGroup
		all.Go(func() { publish(t, b, "a:first") })
		synctest.Wait()
		for i := range 4 {
			all.Go(func() { publish(t, b, fmt.Sprint("a:", i)) })
			all.Go(func() {
				_, err := b.PublishAll(t.Context(), push.Event{Topic: "a", Data: []byte("half")}, push.Event{Topic: "a", Data: []byte("\xff")})
				var bad *eventlog.EventError
				if !errors.As(err, &bad) || bad.Index != 1 {
					t.Errorf("got %v", err)
				}
			})
		}
		all.Wait()
		if got := s.next(); len(got) != 1+1+4 {
			t.Errorf("came %q", got)
		}
	})
}

// Who gives up before his event's turn has published nothing, and nobody waits for him.
func TestWhoGivesUpLeavesTheQueue(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		log := &slowLog{Log: newLog(t, none)}
		b := newBroker(t, push.Public("a"), push.Options{Log: log})
		s := connect(t, b, "/")
		var all sync.WaitGroup
		all.Go(func() { publish(t, b, "a:1") })
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		if _, err := b.Publish(ctx, push.Event{Topic: "a", Data: []byte("given up")}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		all.Go(func() { publish(t, b, "a:2") })
		all.Wait()
		s.want("open:fresh", "1", "2")
	})
}

// A log that is closed, or fails, fails everybody at once or in turn, and the next call is tried anew.
func TestAFailedAppendFailsAllThatSharedIt(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		broken := errors.New("disk full")
		log := &slowLog{Log: newLog(t, none), fail: broken}
		b := newBroker(t, push.Public("a"), push.Options{Log: log})
		var all sync.WaitGroup
		for range 5 {
			all.Go(func() {
				if _, err := b.Publish(t.Context(), push.Event{Topic: "a"}); !errors.Is(err, broken) {
					t.Errorf("got %v", err)
				}
			})
		}
		all.Wait()
		log.mu.Lock()
		log.fail = nil
		log.mu.Unlock()
		publish(t, b, "a:1")
	})
}

// The one whose call it was has the panic. The others only know that it came to no end.
func TestALogThatPanicsLeavesTheOutcomeUnknown(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := newBroker(t, push.Public("a"), push.Options{Log: &slowLog{Log: newLog(t, none), panics: true}})
		var all sync.WaitGroup
		var panicked, unknown atomic.Int64
		for range 5 {
			all.Go(func() {
				defer func() {
					if recover() != nil {
						panicked.Add(1)
					}
				}()
				if _, err := b.Publish(t.Context(), push.Event{Topic: "a"}); !errors.Is(err, eventlog.ErrUnknownOutcome) {
					t.Errorf("got %v", err)
				}
				unknown.Add(1)
			})
		}
		all.Wait()
		if panicked.Load() != 2 || unknown.Load() != 3 { // the first, and of the others the one that appended for all
			t.Errorf("%d panicked, %d have an unknown outcome", panicked.Load(), unknown.Load())
		}
	})
}

// That the broker was closed meanwhile says nothing of what became of the events.
func TestAnUnknownOutcomeIsToldThoughTheBrokerClosed(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := newBroker(t, push.Public("a"), push.Options{Log: &slowLog{Log: newLog(t, none), fail: eventlog.ErrUnknownOutcome}})
		var publishing sync.WaitGroup
		publishing.Go(func() {
			_, err := b.Publish(t.Context(), push.Event{Topic: "a"})
			if !errors.Is(err, push.ErrClosed) || !errors.Is(err, eventlog.ErrUnknownOutcome) {
				t.Errorf("got %v", err)
			}
		})
		synctest.Wait()
		if err := b.Close(); err != nil {
			t.Error(err)
		}
		publishing.Wait()
	})
}

func TestLingerGathersWhatLeavesTogether(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := newBroker(t, push.Public("a"), push.Options{Linger: 20 * time.Millisecond})
		s := connect(t, b, "/")
		pass(time.Second)
		s.want("open:fresh")
		writes := s.w.flushes
		publish(t, b, "a:1")
		pass(5 * time.Millisecond)
		publish(t, b, "a:2", "a:3")
		s.want()
		pass(20 * time.Millisecond)
		s.want("1", "2", "3")
		if n := s.w.flushes - writes; n != 1 {
			t.Errorf("%d writes", n)
		}
	})
}

func TestBadOptionsOfTheWriterAreRefused(t *testing.T) {
	for _, o := range []push.Options{{Linger: -1}, {Linger: push.MaxLinger + 1}, {Parking: -1}, {Parking: push.ParkAlways + 1}} {
		if b, err := push.New(push.Public("a"), &o); err == nil {
			b.Close()
			t.Errorf("%+v was taken", o)
		}
	}
}

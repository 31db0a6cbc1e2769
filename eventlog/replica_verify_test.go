package eventlog_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/buffkit/buffkit/eventlog"
)

// newCutStore returns a store that can't be followed while down is set.
func newCutStore() (store *fakeStore, down *atomic.Bool) {
	store, down = newFakeStore(), new(atomic.Bool)
	store.tail = func() error {
		if down.Load() {
			return errors.New("cut")
		}
		return nil
	}
	return store, down
}

// Two servers whose clocks are behind the log count on from its head, event by event: what is lost and what replaces it have the same offsets then.
// And what a store no longer sends can't show that the end of it was lost.
func TestReplicaFindsALostTailThatTheOffsetsDontShow(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		lose func(*fakeStore)
		told bool
	}{
		{"other events at the same offsets", func(s *fakeStore) {
			s.mu.Lock()
			defer s.mu.Unlock()
			for i := range s.records[3:] {
				s.records[3+i].Body = []byte("data: other\n\n")
			}
		}, true},
		{"the last one of another topic", func(s *fakeStore) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.records[4].Topic = "other"
		}, true},
		{"overtaken by more than the store sends", func(s *fakeStore) {
			s.rollBack(2)
			s.window = 2
			fill(t, s, series("other", 5)...)
		}, true},
		{"more than the store sends, and nothing lost", func(s *fakeStore) {
			s.window = 2
			fill(t, s, series("other", 5)...)
		}, false},
		{"all of the topic trimmed, and nothing lost", func(s *fakeStore) {
			s.window, s.keep.Count = 2, 2
			fill(t, s, series("t", 5)...)
		}, false},
		{"nothing", func(*fakeStore) {}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			store, down := newCutStore()
			r := newReplica(t, store, nil)
			last := mustAppend(t, r, series("t", 5)...)[4]
			down.Store(true)
			until(t, "it says so", func() bool { store.wake(); return r.Health() != nil })
			tt.lose(store)
			down.Store(false)
			until(t, "it is well again", func() bool {
				head, err := r.Head(t.Context())
				return err == nil && r.Health() == nil && (!tt.told || head.Epoch() != last.Epoch())
			})
			b := mustRead(t, r, last, "t")
			if told := len(b.Gaps) == 1 && errors.Is(b.Gaps[0].Err, eventlog.ErrOtherLog); told != tt.told {
				t.Errorf("gaps %v, want them told: %v", b.Gaps, tt.told)
			}
		})
	}
}

// The store may be lost again before there is an answer, and by then what comes next is known as newest.
func TestReplicaDoubtsUntilThereIsAnAnswer(t *testing.T) {
	t.Parallel()
	store, down := newCutStore()
	asked, answers := make(chan struct{}, 1), make(chan struct{})
	store.history = func(eventlog.Range) {
		select {
		case asked <- struct{}{}:
		default:
		}
		<-answers
	}
	r := newReplica(t, store, nil)
	cut := func() {
		down.Store(true)
		until(t, "it says so", func() bool { store.wake(); return r.Health() != nil })
	}
	last := mustAppend(t, r, series("t", 5)...)[4]
	cut()
	store.mu.Lock()
	for i := range store.records[3:] {
		store.records[3+i].Body = []byte("data: other\n\n")
	}
	store.mu.Unlock()
	fill(t, store, series("other", 1)...)
	down.Store(false)
	until(t, "it has what came next", func() bool {
		head, err := r.Head(t.Context())
		return err == nil && r.Health() == nil && head.At(0) > last.At(0)
	})
	<-asked
	cut()
	close(answers)
	down.Store(false)
	untilLost(t, r, last)
}

// untilLost returns when the node has found that the log isn't any more what it was at a cursor.
func untilLost(t *testing.T, r *eventlog.Replica, at eventlog.Cursor) {
	t.Helper()
	until(t, "it finds the loss", func() bool {
		head, err := r.Head(t.Context())
		return err == nil && head.Epoch() != at.Epoch()
	})
}

// The newest record may be of a topic that keeps so little that its loss shows nothing.
func TestReplicaFindsALostTailByTheTopicsBefore(t *testing.T) {
	t.Parallel()
	store, down := newCutStore()
	store.keep.Count = 1
	r := newReplica(t, store, nil)
	mustAppend(t, r, series("orders", 1)...)
	last := mustAppend(t, r, series("presence", 1)...)[0]
	down.Store(true)
	until(t, "it says so", func() bool { store.wake(); return r.Health() != nil })
	store.mu.Lock()
	for i := range store.records {
		store.records[i].Body = []byte("data: other\n\n")
	}
	store.mu.Unlock()
	fill(t, store, series("presence", 2)...)
	down.Store(false)
	untilLost(t, r, last)
}

// A server stores an event, answers, and is gone before any node has met the event. The one that takes over lacks it, and has others behind its offset when
// this node comes back: only who has stored it can know.
func TestReplicaAcknowledgesNothingThatAFailoverHasLost(t *testing.T) {
	t.Parallel()
	for name, then := range map[string]string{"the topic goes on": "t", "the topic was new": "other"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store, down := newCutStore()
			r := newReplica(t, store, nil)
			before := mustAppend(t, r, series("before", 1)...)[0]
			down.Store(true)
			until(t, "it says so", func() bool { store.wake(); return r.Health() != nil })
			told := make(chan error)
			go func() {
				_, err := r.Append(t.Context(), series("t", 1)...)
				told <- err
			}()
			until(t, "it is stored", func() bool { return r.Waiters() == 1 })
			store.rollBack(1)
			fill(t, store, series(then, 2)...)
			down.Store(false)
			if err := <-told; !errors.Is(err, eventlog.ErrUnknownOutcome) {
				t.Errorf("who published is told %v", err)
			}
			until(t, "everybody is told", func() bool {
				b := mustRead(t, r, before, "t")
				return len(b.Gaps) == 1 && errors.Is(b.Gaps[0].Err, eventlog.ErrOtherLog)
			})
		})
	}
}

// leaveEarly appends an event, and leaves when it is stored and the node hasn't met it yet.
func leaveEarly(t *testing.T, r *eventlog.Replica) {
	t.Helper()
	ctx, leave := context.WithCancel(t.Context())
	told := make(chan error)
	go func() {
		_, err := r.Append(ctx, series("t", 1)...)
		told <- err
	}()
	until(t, "it is stored", func() bool { return r.Waiters() == 1 })
	leave()
	if err := <-told; !errors.Is(err, eventlog.ErrNotVisible) {
		t.Fatalf("who left is told %v", err)
	}
}

// Who was told that an event is stored, and will come, has left when it turns out to be lost.
func TestReplicaLooksForWhatItHasStoredAndNotMet(t *testing.T) {
	t.Parallel()
	for name, lost := range map[string]bool{"lost": true, "late": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store, down := newCutStore()
			r := newReplica(t, store, nil)
			before := mustAppend(t, r, series("before", 1)...)[0]
			down.Store(true)
			until(t, "it says so", func() bool { store.wake(); return r.Health() != nil })
			leaveEarly(t, r)
			if lost {
				store.rollBack(1)
			}
			fill(t, store, series("other", 1)...)
			down.Store(false)
			until(t, "it is looked for", func() bool { return r.Health() == nil && store.asked() > 0 && r.Doubts() == 0 })
			b := mustRead(t, r, before, "t")
			if gap := len(b.Gaps) == 1 && errors.Is(b.Gaps[0].Err, eventlog.ErrOtherLog); gap != lost {
				t.Errorf("gaps %v, want them told: %v", b.Gaps, lost)
			}
		})
	}
}

// Callers who leave while their events are stored are many where requests are cut off early: the store isn't asked for all of these at once.
func TestReplicaLooksForOneRecordAtATime(t *testing.T) {
	t.Parallel()
	store := newFakeStore()
	var gate sync.Mutex
	store.tail = func() error {
		gate.Lock()
		defer gate.Unlock()
		return nil
	}
	var asked atomic.Int64
	answers := make(chan struct{})
	store.history = func(eventlog.Range) {
		asked.Add(1)
		<-answers
	}
	r := newReplica(t, store, nil)
	for range 3 {
		gate.Lock()
		leaveEarly(t, r)
		gate.Unlock()
		until(t, "it is followed", func() bool {
			head, err := r.Head(t.Context())
			return err == nil && head.At(0) == store.newestOfAll() && asked.Load() > 0
		})
	}
	if n := asked.Load(); n != 1 {
		t.Errorf("the store was asked %d times before it answered", n)
	}
	close(answers)
	until(t, "all are found", func() bool { return r.Doubts() == 0 })
}

package integration

import (
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"
)

// patience is how long a test waits for what must come. Only a failing test ever waits so long.
const patience = 20 * time.Second

// tape is what a client got, in order.
type tape[T any] struct {
	mu    sync.Mutex // guards what follows
	notes []T
	more  chan struct{} // closed by the next add; nil if nobody waits
}

func (r *tape[T]) add(note T) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.notes = append(r.notes, note)
	if r.more != nil {
		close(r.more)
		r.more = nil
	}
}

func (r *tape[T]) all() []T {
	notes, _ := r.look()
	return notes
}

// look returns what is there, and a channel that is closed when there is more.
func (r *tape[T]) look() ([]T, <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.more == nil {
		r.more = make(chan struct{})
	}
	return slices.Clone(r.notes), r.more
}

// await waits until the condition holds of all that is on the tape, and returns that.
func (r *tape[T]) await(t *testing.T, what string, holds func([]T) bool) []T {
	t.Helper()
	deadline := time.After(patience)
	for {
		notes, more := r.look()
		if holds(notes) {
			return notes
		}
		select {
		case <-more:
		case <-deadline:
			t.Fatalf("%s: not within %v. What came:\n%s", what, patience, lines(notes))
		}
	}
}

// note is an event as a client tells it: its type ("message" if it has no name), its id and its data.
type note struct {
	Type, ID, Data string
	State          int // readyState, of what an EventSource itself tells: open, error
}

// events is the tape of an SSE client.
type events struct{ tape[note] }

// of returns the data of the events of a type.
func of(kind string, notes []note) (data []string) {
	for _, n := range notes {
		if n.Type == kind {
			data = append(data, n.Data)
		}
	}
	return data
}

// awaitCount waits for the n-th event of a type and returns it.
func (e *events) awaitNth(t *testing.T, kind string, n int) note {
	t.Helper()
	var found note
	e.await(t, "event "+kind+" number "+strconv.Itoa(n), func(notes []note) bool {
		count := 0
		for _, note := range notes {
			if note.Type == kind {
				if count++; count == n {
					found = note
					return true
				}
			}
		}
		return false
	})
	return found
}

// awaitLast waits for a numbered event and wants the tape to have all from first to last, each once and in order.
func (e *events) awaitLast(t *testing.T, first, last int) {
	t.Helper()
	end := strconv.Itoa(last)
	notes := e.await(t, "event "+end, func(notes []note) bool { return slices.Contains(of("message", notes), end) })
	if got := of("message", notes); !slices.Equal(got, numbers(first, last)) {
		t.Fatalf("lost or doubled between %d and %d:\n%s", first, last, lines(notes))
	}
}

func numbers(first, last int) []string {
	all := make([]string, 0, last-first+1)
	for n := first; n <= last; n++ {
		all = append(all, strconv.Itoa(n))
	}
	return all
}

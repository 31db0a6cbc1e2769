package eventlog

import (
	"context"
	"slices"
)

type watcher struct{ wake func(topic string) }

// Watch implements Log. It calls wake under the log's lock.
func (m *Memory) Watch(ctx context.Context, wake func(topic string)) error {
	w := &watcher{wake}
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		return ErrClosed
	}
	m.watchers = append(m.watchers, w)
	wake("")
	m.mu.Unlock()
	defer m.unwatch(w)

	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-m.done:
		return ErrClosed
	}
}

// unwatch waits for the calls of wake that are under way.
func (m *Memory) unwatch(w *watcher) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.watchers = slices.DeleteFunc(m.watchers, func(other *watcher) bool { return other == w })
}

// tell calls the watchers for the topics of the events. It is called before the lock is released, so nobody has read the events yet.
func (m *Memory) tell(events []Event) {
	for i := range events {
		if i > 0 && events[i].Topic == events[i-1].Topic {
			continue
		}
		for _, w := range m.watchers {
			w.wake(events[i].Topic)
		}
	}
}

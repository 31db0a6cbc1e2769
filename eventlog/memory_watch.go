package eventlog

import (
	"context"
	"slices"
	"sync"
)

type watcher struct {
	mu   sync.RWMutex // held for reading while wake runs, so that Watch can wait for it
	gone bool
	wake func(topic string)
}

func (w *watcher) call(topic string) {
	w.mu.RLock()
	defer w.mu.RUnlock()
	if !w.gone {
		w.wake(topic)
	}
}

func (w *watcher) leave() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.gone = true
}

// Watch implements Log.
func (m *Memory) Watch(ctx context.Context, wake func(topic string)) error {
	w := &watcher{wake: wake}
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		return ErrClosed
	}
	m.watchers = append(slices.Clone(m.watchers), w)
	m.mu.Unlock()
	defer w.leave()
	defer m.unwatch(w)

	w.call("")
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-m.done:
		return ErrClosed
	}
}

func (m *Memory) unwatch(w *watcher) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.watchers = slices.DeleteFunc(slices.Clone(m.watchers), func(other *watcher) bool { return other == w })
}

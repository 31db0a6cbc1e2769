package push

import (
	"net"
	"sync"
)

// nonblocking is a connection that isn't the kernel's and can be parked all the same, as those of package pushtest.
type nonblocking interface {
	net.Conn
	// TryWrite writes as much as is taken at once. It returns less than all, and no error, if there is no room.
	TryWrite(p []byte) (int, error)
	// Notify has f called whenever there is room again after TryWrite took less than all, and once the peer is gone; also if it is by now.
	// nil ends that. f doesn't block.
	Notify(f func(gone bool))
}

// pipes is the medium of connections in memory. Who waits on it is durably blocked in the sense of testing/synctest.
type pipes struct {
	news    chan struct{} // one, if something was seen
	stopped chan struct{}

	mu    sync.Mutex // guards what follows
	conns []nonblocking
	free  []int32
	seen  []readiness
}

func newPipes() *pipes { return &pipes{news: make(chan struct{}, 1), stopped: make(chan struct{})} }

func (m *pipes) detach(c net.Conn) (int32, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if n := len(m.free); n > 0 {
		handle := m.free[n-1]
		m.free = m.free[:n-1]
		m.conns[handle] = c.(nonblocking)
		return handle, nil
	}
	m.conns = append(m.conns, c.(nonblocking))
	return int32(len(m.conns) - 1), nil
}

func (m *pipes) conn(handle int32) nonblocking {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.conns[handle]
}

func (m *pipes) add(handle, tag int32) error {
	m.conn(handle).Notify(func(gone bool) {
		m.mu.Lock()
		m.seen = append(m.seen, readiness{handle: handle, tag: tag, gone: gone, writable: !gone})
		m.mu.Unlock()
		signal(m.news)
	})
	return nil
}

func (m *pipes) write(handle int32, p []byte) (int, error) {
	n, err := m.conn(handle).TryWrite(p)
	if err == nil && n < len(p) {
		err = errFull
	}
	return n, err
}

// wantWrite has nothing to do: Notify tells by itself.
func (m *pipes) wantWrite(int32, int32, bool) error { return nil }

func (m *pipes) take(handle int32) (net.Conn, error) {
	m.mu.Lock()
	c := m.conns[handle]
	m.conns[handle] = nil
	m.free = append(m.free, handle)
	m.mu.Unlock()
	c.Notify(nil)
	return c, nil
}

func (m *pipes) close(handle int32) {
	c, _ := m.take(handle)
	c.Close()
}

func (m *pipes) wait(seen []readiness) ([]readiness, error) {
	select {
	case <-m.news:
	case <-m.stopped:
		return seen, net.ErrClosed
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	seen = append(seen, m.seen...)
	m.seen = m.seen[:0]
	return seen, nil
}

func (m *pipes) stop() error { close(m.stopped); return nil }

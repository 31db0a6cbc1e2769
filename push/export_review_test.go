package push

import (
	"net"
	"time"

	"github.com/buffkit/buffkit/eventlog"
)

// OnDetach has f called whenever a stream in memory is about to be parked. Call it before the first.
func (b *Broker) OnDetach(f func()) {
	b.shards.pipes.open = func() (medium, error) { return detachHook{newPipes(), f}, nil }
}

type detachHook struct {
	medium
	f func()
}

func (m detachHook) detach(c net.Conn) (int32, error) {
	m.f()
	return m.medium.detach(c)
}

// HoldUsers keeps a stream that is being parked from its place in its user's list, until it is released.
func (b *Broker) HoldUsers() (release func()) {
	b.streams.mu.RLock()
	return b.streams.mu.RUnlock
}

// UserStreams counts a user's streams as the limits see them.
func (b *Broker) UserStreams(user string) int { return b.streams.userStreams(user) }

// ReadWindow is one read of topic a for a crowd, up to a limit.
func ReadWindow(log eventlog.Log, after, limit eventlog.Cursor) ([]eventlog.Entry, eventlog.Cursor) {
	b := &Broker{log: log}
	b.opts.Limits.MaxBatchBytes = DefaultMaxBatchBytes
	var w window
	if err := w.read(b, 0, []string{"a"}, after, limit); err != nil {
		panic(err)
	}
	return w.entries, w.next
}

// SetBack is as if the machine's clock had been set back while parked streams in memory had nothing to do.
func (b *Broker) SetBack(by time.Duration) {
	defer signal(b.shards.pipes.news) // after what is written here
	for _, p := range b.shards.pipes.byHandle {
		if p != nil {
			p.sent += by.Nanoseconds()
			p.crowd.sent += by.Nanoseconds()
		}
	}
}

// WritesTake makes each write to a parked stream in memory take so long. Call it before the first.
func (b *Broker) WritesTake(d time.Duration) {
	b.shards.pipes.open = func() (medium, error) { return slowMedium{newPipes(), d}, nil }
}

type slowMedium struct {
	medium
	d time.Duration
}

func (m slowMedium) write(handle int32, p []byte) (int, error) {
	<-time.After(m.d)
	return m.medium.write(handle, p)
}

package push

import (
	"errors"
	"net"
	"syscall"
)

// medium is where the streams of a shard write to, each by a handle: the kernel's sockets, TLS, or pipes in memory. No method waits,
// but for wait and stop. The shard alone calls them, but for detach, and for wait, which its poller calls.
type medium interface {
	// detach takes over a connection of the medium's kind and returns its handle. Any goroutine calls it.
	detach(c net.Conn) (handle int32, err error)
	// add begins to watch a handle that detach returned. The tag comes back with what is seen of it, so that news of one that was closed
	// are told from those of the next with the same number.
	add(handle, tag int32) error
	// write writes as much as is taken at once. It returns errFull, with what was taken, if that isn't all.
	write(handle int32, p []byte) (int, error)
	// wantWrite asks to be told once the handle can be written again, or no more.
	wantWrite(handle, tag int32, want bool) error
	// take ends the watch of a handle and returns its connection. Of what was written nothing may be left in the medium: while there is,
	// a write of nothing returns errFull.
	take(handle int32) (net.Conn, error)
	// close closes a handle, and its connection once what was written has left.
	close(handle int32)
	// wait blocks until there is something to tell, and appends it. It returns an error after stop.
	wait(seen []readiness) ([]readiness, error)
	// stop ends wait.
	stop() error
}

// readiness is what was seen of a handle.
type readiness struct {
	handle, tag int32
	gone        bool // the peer has closed, or the connection broke
	writable    bool
	err         error // why it is gone, nil if the peer closed
}

// errFull says that a medium takes no more for now.
var errFull = errors.New("push: send buffer is full")

// onDescriptor calls f with the connection's descriptor, which isn't closed meanwhile.
func onDescriptor(c syscall.Conn, f func(fd int) error) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	if err := raw.Control(func(fd uintptr) { failed = f(int(fd)) }); err != nil {
		return err
	}
	return failed
}

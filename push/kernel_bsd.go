//go:build darwin || dragonfly || freebsd || netbsd || openbsd

package push

import (
	"errors"
	"net"
	"os"
	"runtime"
	"sync"
	"syscall"
	"time"
)

// kernel is the medium of TCP connections without TLS: descriptors that Go's poller doesn't know. Its poller blocks a thread.
//
// An event of a kqueue names a descriptor; the field for a tag of one's own has another type on each system. So the tags are here, and lest
// news of a descriptor that was closed get the tag of the next with the same number, they are fetched under the lock under which
// descriptors are closed. Nothing may wait under a lock, so there are two kqueues: the outer one tells that the inner one has news.
type kernel struct {
	descriptors
	outer, inner int
	wake, woken  int // the ends of a pipe: stop writes, wait sees it
	events       []syscall.Kevent_t

	mu     sync.Mutex // guards what follows, and inner
	tags   map[int32]int32
	failed bool // wait doesn't come back
	closed bool
}

const canPoll = true

const kernelBatch = 256 // events a system call

func newKernel() (*kernel, error) {
	k := &kernel{outer: -1, inner: -1, wake: -1, woken: -1, events: make([]syscall.Kevent_t, kernelBatch), tags: map[int32]int32{}}
	if err := k.open(); err != nil {
		k.release()
		return nil, err
	}
	return k, nil
}

func (k *kernel) open() error {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	for _, queue := range []*int{&k.outer, &k.inner} {
		fd, err := syscall.Kqueue()
		if err != nil {
			return os.NewSyscallError("kqueue", err)
		}
		syscall.CloseOnExec(fd)
		*queue = fd
	}
	var pipe [2]int
	if err := syscall.Pipe(pipe[:]); err != nil {
		return os.NewSyscallError("pipe", err)
	}
	k.woken, k.wake = pipe[0], pipe[1]
	for _, fd := range pipe {
		syscall.CloseOnExec(fd)
	}
	for _, fd := range []int{k.inner, k.woken} { // without EV_CLEAR: told as long as it is so
		if err := change(k.outer, fd, syscall.EVFILT_READ, syscall.EV_ADD); err != nil {
			return err
		}
	}
	return nil
}

// change adds a filter of a descriptor to a kqueue, or takes it out.
func change(queue, fd, filter, flags int) error {
	var changes [1]syscall.Kevent_t
	syscall.SetKevent(&changes[0], fd, filter, flags)
	for {
		_, err := syscall.Kevent(queue, changes[:], nil, nil)
		if err != syscall.EINTR {
			return os.NewSyscallError("kevent", err)
		}
	}
}

func (k *kernel) add(handle, tag int32) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closed {
		return net.ErrClosed
	}
	k.tags[handle] = tag // what the client sends wakes us too, and is ignored
	return change(k.inner, int(handle), syscall.EVFILT_READ, syscall.EV_ADD|syscall.EV_CLEAR)
}

func (k *kernel) wantWrite(handle, _ int32, want bool) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case k.closed:
		return net.ErrClosed
	case want:
		return change(k.inner, int(handle), syscall.EVFILT_WRITE, syscall.EV_ADD|syscall.EV_CLEAR)
	}
	err := change(k.inner, int(handle), syscall.EVFILT_WRITE, syscall.EV_DELETE)
	if errors.Is(err, syscall.ENOENT) { // it wasn't asked for
		return nil
	}
	return err
}

// remove ends the watch of a handle. It must come before its descriptor is closed.
func (k *kernel) remove(handle int32) error {
	k.wantWrite(handle, 0, false)
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.tags, handle)
	if k.closed {
		return net.ErrClosed
	}
	return change(k.inner, int(handle), syscall.EVFILT_READ, syscall.EV_DELETE)
}

func (k *kernel) take(handle int32) (net.Conn, error) {
	k.remove(handle)
	return adopt(handle)
}

// close closes the descriptor, which a kqueue then forgets.
func (k *kernel) close(handle int32) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.tags, handle)
	k.descriptors.close(handle)
}

func (k *kernel) wait(seen []readiness) ([]readiness, error) {
	stopped, err := k.await()
	k.mu.Lock()
	defer k.mu.Unlock()
	var n int
	switch {
	case err != nil:
		k.failed = true
	case stopped || k.closed:
		k.release()
		return seen, net.ErrClosed
	default:
		n, err = poll(k.inner, k.events, &syscall.Timespec{})
		k.failed = err != nil
	}
	if err != nil {
		return seen, err
	}
	for i := range k.events[:n] {
		if r, ok := k.seen(&k.events[i]); ok {
			seen = append(seen, r)
		}
	}
	return seen, nil
}

// await blocks until there is news, or the end.
func (k *kernel) await() (stopped bool, err error) {
	var news [2]syscall.Kevent_t
	n, err := poll(k.outer, news[:], nil)
	for i := range news[:n] {
		stopped = stopped || int(news[i].Ident) == k.woken
	}
	return stopped, err
}

func poll(queue int, into []syscall.Kevent_t, timeout *syscall.Timespec) (n int, err error) {
	n, err = syscall.Kevent(queue, nil, into, timeout)
	if errors.Is(err, syscall.EINTR) {
		return 0, nil
	}
	return max(n, 0), os.NewSyscallError("kevent", err)
}

// seen tells what an event means. The lock is held.
func (k *kernel) seen(e *syscall.Kevent_t) (r readiness, ok bool) {
	r.handle = int32(e.Ident)
	r.tag, ok = k.tags[r.handle]
	r.gone = e.Flags&(syscall.EV_EOF|syscall.EV_ERROR) != 0
	r.writable = int(e.Filter) == syscall.EVFILT_WRITE
	return r, ok && (r.gone || r.writable)
}

// stop has wait close the queues: not all systems like a kqueue that is closed under a thread that waits.
func (k *kernel) stop() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case k.closed:
		return net.ErrClosed
	case k.failed:
		k.release()
		return nil
	}
	_, err := syscall.Write(k.wake, []byte{0})
	return os.NewSyscallError("write", err)
}

// release closes all that open has opened.
func (k *kernel) release() {
	k.closed = true
	for _, fd := range []int{k.outer, k.inner, k.wake, k.woken} {
		if fd >= 0 {
			syscall.Close(fd)
		}
	}
}

// tcpNotSentLowat is an option of TCP on darwin that package syscall doesn't name.
const tcpNotSentLowat = 0x201

// tune makes a client that doesn't read visible after kilobytes, where the system can. No BSD has an option that all share for one that is
// gone without a word: its writes end with the write timeout, once its buffers are full.
func tune(c syscall.Conn, unsent int, _ time.Duration) {
	if runtime.GOOS != "darwin" {
		return
	}
	onDescriptor(c, func(fd int) error { return syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, tcpNotSentLowat, unsent) })
}

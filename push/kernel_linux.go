package push

import (
	"errors"
	"net"
	"os"
	"syscall"
	"time"
)

// kernel is the medium of TCP connections without TLS: descriptors that Go's poller doesn't know. It waits in that poller all the same, in
// which an epoll descriptor is one like others: no thread is blocked.
type kernel struct {
	descriptors
	epoll  int
	file   *os.File
	raw    syscall.RawConn
	events []syscall.EpollEvent
}

const canPoll = true

const (
	kernelBatch = 256 // events a system call
	epollET     = 1 << 31
	epollIdle   = syscall.EPOLLRDHUP // errors and hang-ups are always told
)

func newKernel() (*kernel, error) {
	fd, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	if err := syscall.SetNonblock(fd, true); err != nil { // else os.NewFile doesn't give it to Go's poller
		syscall.Close(fd)
		return nil, os.NewSyscallError("fcntl", err)
	}
	k := &kernel{epoll: fd, file: os.NewFile(uintptr(fd), "epoll"), events: make([]syscall.EpollEvent, kernelBatch)}
	if k.raw, err = k.file.SyscallConn(); err != nil {
		k.file.Close()
		return nil, err
	}
	return k, nil
}

func (k *kernel) add(handle, tag int32) error {
	return k.control(syscall.EPOLL_CTL_ADD, handle, tag, epollIdle)
}

func (k *kernel) wantWrite(handle, tag int32, want bool) error {
	events := uint32(epollIdle)
	if want {
		events |= syscall.EPOLLOUT
	}
	return k.control(syscall.EPOLL_CTL_MOD, handle, tag, events)
}

func (k *kernel) remove(handle int32) error {
	return k.control(syscall.EPOLL_CTL_DEL, handle, 0, 0)
}

func (k *kernel) control(op int, fd, tag int32, events uint32) error {
	e := syscall.EpollEvent{Events: events | epollET, Fd: fd, Pad: tag}
	return os.NewSyscallError("epoll_ctl", syscall.EpollCtl(k.epoll, op, int(fd), &e))
}

func (k *kernel) wait(seen []readiness) ([]readiness, error) {
	var n int
	var failed error
	err := k.raw.Read(func(fd uintptr) bool {
		n, failed = syscall.EpollWait(int(fd), k.events, 0)
		if errors.Is(failed, syscall.EINTR) {
			n, failed = 0, nil
		}
		return n > 0 || failed != nil
	})
	if err != nil {
		return seen, err
	}
	if failed != nil {
		return seen, os.NewSyscallError("epoll_wait", failed)
	}
	for _, e := range k.events[:n] {
		seen = append(seen, readiness{
			handle: e.Fd, tag: e.Pad,
			gone:     e.Events&(syscall.EPOLLRDHUP|syscall.EPOLLHUP|syscall.EPOLLERR) != 0,
			writable: e.Events&syscall.EPOLLOUT != 0,
		})
	}
	return seen, nil
}

func (k *kernel) take(handle int32) (net.Conn, error) {
	k.remove(handle)
	return adopt(handle)
}

func (k *kernel) stop() error { return k.file.Close() }

// The options of TCP that package syscall doesn't name.
const (
	tcpUserTimeout  = 18
	tcpNotSentLowat = 25
)

// tune makes a client that doesn't read visible after kilobytes instead of megabytes, and one that is gone without a word after
// the time that a write may take. A kernel that knows an option no better leaves the stream as it is.
func tune(c syscall.Conn, unsent int, timeout time.Duration) {
	onDescriptor(c, func(fd int) error {
		syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, tcpNotSentLowat, unsent)
		syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, tcpUserTimeout, int(timeout.Milliseconds()))
		return nil
	})
}

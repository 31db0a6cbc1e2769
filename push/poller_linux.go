package push

import (
	"errors"
	"os"
	"syscall"
)

// poller says which descriptors have lost their peer or can be written again. It waits in Go's own poller, in which an epoll
// descriptor is one like others: no thread is blocked.
type poller struct {
	epoll  int
	file   *os.File
	raw    syscall.RawConn
	events []syscall.EpollEvent
}

const canPoll = true

// readiness is what a poller has seen of a descriptor.
type readiness struct {
	fd, tag  int32
	gone     bool // the peer has closed, or the connection broke
	writable bool
}

const (
	pollerBatch = 256 // events a system call
	epollET     = 1 << 31
	epollIdle   = syscall.EPOLLRDHUP // errors and hang-ups are always told
)

func newPoller() (*poller, error) {
	fd, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	if err := syscall.SetNonblock(fd, true); err != nil { // else os.NewFile doesn't give it to Go's poller
		syscall.Close(fd)
		return nil, os.NewSyscallError("fcntl", err)
	}
	p := &poller{epoll: fd, file: os.NewFile(uintptr(fd), "epoll"), events: make([]syscall.EpollEvent, pollerBatch)}
	if p.raw, err = p.file.SyscallConn(); err != nil {
		p.file.Close()
		return nil, err
	}
	return p, nil
}

// add begins to watch a descriptor. The tag comes back with what is seen of it, so that news of a closed one are told from those
// of the next with the same number.
func (p *poller) add(fd, tag int32) error {
	return p.control(syscall.EPOLL_CTL_ADD, fd, tag, epollIdle)
}

// wantWrite asks to be told when the descriptor can be written again, or no more.
func (p *poller) wantWrite(fd, tag int32, want bool) error {
	events := uint32(epollIdle)
	if want {
		events |= syscall.EPOLLOUT
	}
	return p.control(syscall.EPOLL_CTL_MOD, fd, tag, events)
}

// remove ends the watch of a descriptor that stays open.
func (p *poller) remove(fd int32) error {
	return p.control(syscall.EPOLL_CTL_DEL, fd, 0, 0)
}

func (p *poller) control(op int, fd, tag int32, events uint32) error {
	e := syscall.EpollEvent{Events: events | epollET, Fd: fd, Pad: tag}
	return os.NewSyscallError("epoll_ctl", syscall.EpollCtl(p.epoll, op, int(fd), &e))
}

// wait blocks until there is something to tell, and appends it. It returns os.ErrClosed after close.
func (p *poller) wait(seen []readiness) ([]readiness, error) {
	var n int
	var failed error
	err := p.raw.Read(func(fd uintptr) bool {
		n, failed = syscall.EpollWait(int(fd), p.events, 0)
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
	for _, e := range p.events[:n] {
		seen = append(seen, readiness{
			fd: e.Fd, tag: e.Pad,
			gone:     e.Events&(syscall.EPOLLRDHUP|syscall.EPOLLHUP|syscall.EPOLLERR) != 0,
			writable: e.Events&syscall.EPOLLOUT != 0,
		})
	}
	return seen, nil
}

func (p *poller) close() error { return p.file.Close() }

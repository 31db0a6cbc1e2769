//go:build unix

package push

import (
	"errors"
	"net"
	"os"
	"syscall"
)

// descriptors writes to sockets without waiting. It holds nothing: a handle is a descriptor.
type descriptors struct{}

// detach takes the socket of a connection from Go's poller, which would keep some 400 bytes for it, and returns its handle.
func (descriptors) detach(c net.Conn) (handle int32, err error) {
	fd, err := duplicate(c.(syscall.Conn))
	if err != nil {
		return 0, err
	}
	c.Close() // the duplicate stays
	return int32(fd), nil
}

// duplicate returns a descriptor of the connection's socket that Go's poller doesn't know. The connection must be closed then.
func duplicate(c syscall.Conn) (fd int, err error) {
	err = onDescriptor(c, func(open int) (failed error) {
		syscall.ForkLock.RLock()
		defer syscall.ForkLock.RUnlock()
		if fd, failed = syscall.Dup(open); failed == nil {
			syscall.CloseOnExec(fd)
		}
		return os.NewSyscallError("dup", failed)
	})
	return fd, err
}

// adopt makes a connection of a descriptor, which it closes.
func adopt(fd int32) (net.Conn, error) {
	file := os.NewFile(uintptr(fd), "stream")
	defer file.Close()
	return net.FileConn(file)
}

func (descriptors) write(fd int32, p []byte) (int, error) {
	for {
		n, err := writeSocket(int(fd), p)
		switch {
		case err == nil && n == len(p):
			return n, nil
		case err == nil, errors.Is(err, syscall.EAGAIN):
			return max(n, 0), errFull
		case !errors.Is(err, syscall.EINTR):
			return 0, os.NewSyscallError("write", err)
		}
	}
}

func (descriptors) close(fd int32) { syscall.Close(int(fd)) }

//go:build unix

package push

import (
	"errors"
	"net"
	"os"
	"syscall"
)

// duplicate returns a descriptor of the connection's socket that Go's poller doesn't know.
func duplicate(conn *net.TCPConn) (fd int, err error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0, err
	}
	var failed error
	err = raw.Control(func(open uintptr) {
		syscall.ForkLock.RLock()
		defer syscall.ForkLock.RUnlock()
		if fd, failed = syscall.Dup(int(open)); failed == nil {
			syscall.CloseOnExec(fd)
		}
	})
	if err == nil {
		err = os.NewSyscallError("dup", failed)
	}
	return fd, err
}

// adopt makes a connection of a descriptor, which it closes.
func adopt(fd int) (net.Conn, error) {
	file := os.NewFile(uintptr(fd), "stream")
	defer file.Close()
	return net.FileConn(file)
}

// writeFD writes what a socket takes without waiting. It returns 0 and syscall.EAGAIN if that is nothing.
func writeFD(fd int32, p []byte) (int, error) {
	for {
		n, err := syscall.Write(int(fd), p)
		if !errors.Is(err, syscall.EINTR) {
			return max(n, 0), err
		}
	}
}

func closeFD(fd int32) { syscall.Close(int(fd)) }

func isAgain(err error) bool { return errors.Is(err, syscall.EAGAIN) }

package load

import (
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// conn is one client.
type conn struct {
	scanner
	fd     int32
	life   uint32 // which connection of the client this is, to tell late events of the one before
	stage  stage
	began  int64    // when it began to connect
	count  uint64   // events in sequence since Mark
	seqs   []uint32 // of the topics it follows: the next number it must get, over the number of topics; noSeq at first
	token  []byte   // to show at the next connect
	caught bool     // count has reached the goal
}

type stage uint8

const (
	closed     stage = iota
	connecting       // waits to be writable
	requested        // waits for the headers
	open
)

const noSeq = ^uint32(0)

// socket returns one that is bound to a source address. With IP_BIND_ADDRESS_NO_PORT the port is chosen at connect, so that each source
// address has all ports for each server.
func socket(source netip.Addr, receiveBuffer int) (fd int, err error) {
	fd, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("socket: %w", err)
	}
	if receiveBuffer > 0 {
		err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, receiveBuffer)
	}
	if err == nil {
		err = unix.SetsockoptInt(fd, unix.SOL_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
	}
	if err == nil {
		err = unix.Bind(fd, &unix.SockaddrInet4{Addr: source.As4()})
	}
	if err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("bind to %v: %w", source, err)
	}
	return fd, nil
}

// dial begins to connect.
func dial(fd int, to netip.AddrPort) error {
	err := unix.Connect(fd, &unix.SockaddrInet4{Addr: to.Addr().As4(), Port: int(to.Port())})
	if err != nil && err != unix.EINPROGRESS {
		return fmt.Errorf("connect to %v: %w", to, err)
	}
	return nil
}

// sources are the addresses that connections come from, in turn.
func source(i, n int) netip.Addr {
	return netip.AddrFrom4([4]byte{127, 0, 1, byte(1 + i%n)})
}

// reset makes close(2) cut the connection, like a network that breaks, and leaves no TIME_WAIT behind.
func reset(fd int) {
	unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	unix.Close(fd)
}

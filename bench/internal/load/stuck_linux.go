package load

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// Stuck is a client that asks for a stream and then doesn't read, until it is told to.
type Stuck struct {
	scanner
	opts   Options
	fd     int
	token  []byte
	events []uint32 // numbers of what it has read
}

// stuckReceiveBuffer makes the kernel take little for a client that doesn't read: the rest stays with the server. The
// kernel doubles it.
const stuckReceiveBuffer = 4 << 10

const stuckTimeout = 2 * time.Second // to connect, and between two reads

// NewStuck returns one that isn't connected. Of the options, Addr, Topics, Request and TokenHeader count.
func NewStuck(opts Options) *Stuck {
	s := &Stuck{opts: opts.withDefaults(), fd: -1}
	s.scratch, s.many = new([]byte), opts.Many
	return s
}

// Connect asks for the stream, from where it was.
func (s *Stuck) Connect() error {
	s.Close()
	s.scanner.reset()
	fd, err := socket(source(0, 1), stuckReceiveBuffer)
	if err != nil {
		return err
	}
	s.fd = fd
	if err := unix.SetNonblock(fd, false); err != nil {
		return err
	}
	timeout := unix.NsecToTimeval(int64(stuckTimeout))
	unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout)
	unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &timeout)
	if err := dial(fd, s.opts.Addr); err != nil {
		return err
	}
	_, err = unix.Write(fd, s.opts.Request(Ask{LastID: s.id, Token: s.token, Next: s.next()}))
	return err
}

func (s *Stuck) topics() uint32 { return uint32(s.opts.Topics) }

func (s *Stuck) next() uint32 {
	if len(s.events) == 0 {
		return 0
	}
	return s.events[len(s.events)-1]/s.topics() + 1
}

// ErrNoEnd is returned by Read when neither the end nor the event came.
var ErrNoEnd = errors.New("neither the end of the stream nor the event came")

// Read reads until the event with the number until has come, or the server's end of the stream: then ended is true. It
// waits stuckTimeout between two reads at most, and then returns ErrNoEnd.
func (s *Stuck) Read(until uint32) (ended bool, err error) {
	buf := make([]byte, readBuffer)
	for {
		n, err := unix.Read(s.fd, buf)
		switch {
		case err == unix.EINTR:
			continue
		case err == unix.EAGAIN:
			return false, fmt.Errorf("%w: it waited for event %d, and has %d", ErrNoEnd, until, len(s.events))
		case n <= 0:
			return true, nil
		}
		s.feed(buf[:n], s)
		if len(s.events) > 0 && s.events[len(s.events)-1] >= until {
			return false, nil
		}
	}
}

func (s *Stuck) opened(head []byte) {
	s.token = append(s.token[:0], header(head, s.opts.TokenHeader)...)
}

func (s *Stuck) got(_ int64, number uint32) { s.events = append(s.events, number) }

// Missed returns how many events of its topic are missing from the first that came to the one with the number last, and how many came
// twice.
func (s *Stuck) Missed(last uint32) (lost, doubled int) {
	if len(s.events) == 0 {
		return 0, 0
	}
	next := s.events[0] / s.topics()
	for _, number := range s.events {
		seq := number / s.topics()
		if seq < next {
			doubled++
			continue
		}
		lost += int(seq - next)
		next = seq + 1
	}
	return lost + max(0, int(last/s.topics())-int(next)+1), doubled
}

// Close cuts the connection.
func (s *Stuck) Close() {
	if s.fd >= 0 {
		reset(s.fd)
		s.fd = -1
	}
}

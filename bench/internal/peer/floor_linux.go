package peer

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// The floor: what nobody can be faster than who writes each event to each socket as it comes. It knows just enough HTTP to be
// asked the same question, keeps the frames for who comes back, and does nothing else.
var (
	floorPeer = Peer{
		Name: "floor", Title: "floor: write(2) in a loop", Floor: true, Resumes: true, Pace: 100e3,
		request: eventSource,
		start:   func(Options) (*Started, error) { return startFloor(1) },
	}
	floor2Peer = Peer{
		Name: "floor2", Title: "floor, two writers", Floor: true, Resumes: true, Pace: 150e3,
		request: eventSource,
		start:   func(Options) (*Started, error) { return startFloor(2) },
	}
)

type floor struct {
	listener int
	writers  []*floorWriter
	accepted int
	sent     int

	mu      sync.Mutex // guards history, and that nobody joins between its end and the sockets
	history map[int][]byte
}

// floorWriter writes to its share of the sockets.
type floorWriter struct {
	mu     sync.Mutex // guards topics and what they hold
	topics map[int][]*floorConn
	work   chan floorFrame
	done   chan struct{}
}

// floorConn is a socket; a closed one is forgotten by each of its topics in turn.
type floorConn struct {
	fd     int
	closed bool
}

type floorFrame struct {
	topic int
	bytes []byte
}

func startFloor(writers int) (*Started, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err == nil {
		err = unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}})
	}
	if err == nil {
		err = unix.Listen(fd, 4096) // what net/http has where net.core.somaxconn is its default
	}
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		return nil, err
	}
	f := &floor{listener: fd, history: map[int][]byte{}}
	for range writers {
		w := &floorWriter{topics: map[int][]*floorConn{}, work: make(chan floorFrame), done: make(chan struct{})}
		f.writers = append(f.writers, w)
		go w.run()
	}
	go f.accept()
	at := name.(*unix.SockaddrInet4)
	return &Started{Server: f, addr: netip.AddrPortFrom(netip.AddrFrom4(at.Addr), uint16(at.Port)).String(), stop: f.Close}, nil
}

const floorHead = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"

func (f *floor) accept() {
	buf := make([]byte, 8<<10)
	for {
		fd, _, err := unix.Accept4(f.listener, unix.SOCK_CLOEXEC)
		if errors.Is(err, unix.EINTR) || errors.Is(err, unix.ECONNABORTED) {
			continue
		}
		if err != nil {
			return
		}
		unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1) // as net/http does
		n, err := unix.Read(fd, buf)                                  // the request is one write of the generator's
		if err == nil {
			err = f.join(fd, buf[:n])
		}
		if err != nil {
			unix.Close(fd)
		}
	}
}

// join answers a request and makes its socket a follower of its topics.
func (f *floor) join(fd int, request []byte) error {
	topics, last, resume, err := parseFloor(string(request))
	if err != nil {
		return err
	}
	f.accepted++
	w := f.writers[f.accepted%len(f.writers)]
	f.mu.Lock()
	defer f.mu.Unlock()
	answer := []byte(floorHead)
	for _, topic := range topics {
		if resume {
			answer = append(answer, after(f.history[topic], last)...)
		}
	}
	if err := writeAll(fd, answer); err != nil {
		return err
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	c := &floorConn{fd: fd}
	for _, topic := range topics {
		w.topics[topic] = append(w.topics[topic], c)
	}
	return nil
}

func parseFloor(request string) (topics []int, last int, resume bool, err error) {
	head, rest, _ := strings.Cut(request, "\r\n")
	_, query, _ := strings.Cut(strings.TrimSuffix(head, " HTTP/1.1"), "?")
	values, err := url.ParseQuery(query)
	if err != nil {
		return nil, 0, false, err
	}
	for _, name := range values["topic"] {
		n, err := strconv.Atoi(strings.TrimPrefix(name, "t"))
		if err != nil {
			return nil, 0, false, err
		}
		topics = append(topics, n)
	}
	if _, text, ok := strings.Cut(rest, "Last-Event-ID: "); ok {
		text, _, _ = strings.Cut(text, "\r\n")
		last, err = strconv.Atoi(text)
		resume = true
	}
	return topics, last, resume, err
}

// after returns the frames that follow the one with the id last.
func after(frames []byte, last int) []byte {
	id := fmt.Appendf(nil, "\nid: %d\n", last)
	at := bytes.Index(frames, id)
	if at < 0 {
		return frames
	}
	end := bytes.Index(frames[at:], []byte("\n\n\r\n"))
	return frames[at+end+len("\n\n\r\n"):]
}

func (f *floor) Publish(topic int, payload []byte) error {
	f.sent++
	body := fmt.Appendf(nil, "id: %d\ndata: %s\n\n", f.sent, payload)
	frame := floorFrame{topic, fmt.Appendf(nil, "%x\r\n%s\r\n", len(body), body)}
	f.mu.Lock()
	f.history[topic] = append(f.history[topic], frame.bytes...)
	f.mu.Unlock()
	for _, w := range f.writers[1:] {
		w.work <- frame
	}
	f.writers[0].write(frame)
	for _, w := range f.writers[1:] {
		<-w.done
	}
	return nil
}

func (w *floorWriter) run() {
	for frame := range w.work {
		w.write(frame)
		w.done <- struct{}{}
	}
}

// write writes a frame to each socket, and forgets those that are closed.
func (w *floorWriter) write(frame floorFrame) {
	w.mu.Lock()
	defer w.mu.Unlock()
	gone := false
	for _, c := range w.topics[frame.topic] {
		if !c.closed {
			c.write(frame.bytes)
		}
		gone = gone || c.closed
	}
	if gone {
		w.topics[frame.topic] = slices.DeleteFunc(w.topics[frame.topic], func(c *floorConn) bool { return c.closed })
	}
}

func (c *floorConn) write(p []byte) {
	n, err := unix.Write(c.fd, p)
	if n < len(p) && (err == nil || err == unix.EAGAIN) {
		err = writeAll(c.fd, p[max(n, 0):])
	}
	if err != nil {
		unix.Close(c.fd)
		c.closed = true
	}
}

// writeAll waits for who doesn't read: the floor has no slow clients.
func writeAll(fd int, p []byte) error {
	for len(p) > 0 {
		n, err := unix.Write(fd, p)
		switch {
		case n > 0:
			p = p[n:]
		case err == unix.EAGAIN:
			unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}, -1)
		case err != unix.EINTR:
			return err
		}
	}
	return nil
}

func (f *floor) Close() { unix.Close(f.listener) }

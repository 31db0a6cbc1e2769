package cli

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"unicode/utf8"
)

const (
	maxPostEvents = 500       // events of one request
	maxPostBytes  = 256 << 10 // bytes of data in one request; a larger event goes alone
	maxLineBytes  = 8 << 20   // of one line: what a client accepts as one event
)

// chunk is a run of events that go out with one request.
type chunk struct {
	first int // number of the first event, from 1
	data  [][]byte
	bytes int
}

func (c *chunk) full() bool { return len(c.data) >= maxPostEvents || c.bytes >= maxPostBytes }

// chunks hands events over in order: what came in while a request was under way leaves with the next one, so that a slow
// source isn't held back and a fast one fills its requests. It holds two chunks and a line at most.
type chunks struct {
	waiting chan *chunk // the one that is being filled, if any; only the source puts it there
	err     error       // why the source ended early; read after waiting is closed
}

func newChunks() *chunks { return &chunks{waiting: make(chan *chunk, 1)} }

// fill takes the events from next until it returns io.EOF.
func (q *chunks) fill(ctx context.Context, next func() ([]byte, error)) {
	defer close(q.waiting)
	for n := 1; ; n++ {
		data, err := next()
		switch {
		case errors.Is(err, io.EOF):
			return
		case err == nil && !utf8.Valid(data):
			err = errors.New("it isn't UTF-8: encode binary data as base64, say")
		}
		if err != nil {
			q.err = fmt.Errorf("event %d: %w", n, err)
			return
		}
		if !q.put(ctx, n, data) {
			return
		}
	}
}

func (q *chunks) put(ctx context.Context, n int, data []byte) bool {
	var c *chunk
	select {
	case c = <-q.waiting:
	default:
	}
	if c != nil && c.full() {
		q.waiting <- c // there is room: nobody else puts anything there
		c = nil
	}
	if c == nil {
		c = &chunk{first: n}
	}
	c.data = append(c.data, data)
	c.bytes += len(data)
	select {
	case q.waiting <- c:
		return true
	case <-ctx.Done():
		return false
	}
}

// each yields the chunks until there are no more or the context ends.
func (q *chunks) each(ctx context.Context) iter.Seq[*chunk] {
	return func(yield func(*chunk) bool) {
		for {
			select {
			case c, ok := <-q.waiting:
				if !ok || !yield(c) {
					return
				}
			case <-ctx.Done():
				return
			}
		}
	}
}

// lines returns the lines of the reader, without their ends.
func lines(r io.Reader) func() ([]byte, error) {
	in := bufio.NewReaderSize(r, 64<<10)
	return func() ([]byte, error) {
		var line []byte
		for {
			part, err := in.ReadSlice('\n')
			if len(line)+len(part) > maxLineBytes {
				return nil, fmt.Errorf("the line has more than %d bytes", maxLineBytes)
			}
			line = append(line, part...)
			switch {
			case errors.Is(err, bufio.ErrBufferFull):
				continue
			case errors.Is(err, io.EOF) && len(line) == 0, err != nil && !errors.Is(err, io.EOF):
				return nil, err
			}
			return bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r")), nil
		}
	}
}

// arguments returns the arguments, one after the other.
func arguments(args []string) func() ([]byte, error) {
	return func() ([]byte, error) {
		if len(args) == 0 {
			return nil, io.EOF
		}
		arg := args[0]
		args = args[1:]
		return []byte(arg), nil
	}
}

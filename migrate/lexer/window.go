package lexer

import (
	"errors"
	"io"
)

const (
	firstBytes    = 1 << 10  // the first read of a file: most migrations are smaller, and there may be thousands
	readBytes     = 64 << 10 // a later one: below it the calls cost, above it nothing is gained
	maxEmptyReads = 100      // as bufio: then the reader is broken
)

// window is the part of a file from the beginning of a piece on, as far as it was read.
type window struct {
	r    io.Reader
	step int // what is read at once, at least
	max  int // of a statement: no more is read than shows that one is longer
	mem  []byte
	base int    // where in mem buf starts
	buf  []byte // what is read of the piece and what follows it
	err  error  // of the reader, io.EOF included: nothing follows buf
}

func (w *window) eof() bool { return w.err != nil }

// drop takes the first n bytes off.
func (w *window) drop(n int) {
	w.buf = w.buf[n:]
	w.base += n
}

// more reads at least as much as there is from the given place on, so that looking at the same place again and again takes
// time in proportion to what is read.
func (w *window) more(from int) {
	want := max(w.step, min(len(w.buf)-from, w.max-len(w.buf)+w.step))
	if len(w.mem)-w.base-len(w.buf) < want {
		w.makeRoom(want)
	}
	room := w.mem[w.base : w.base+len(w.buf)+want]
	n := len(w.buf)
	for empty := 0; n < len(room) && w.err == nil; {
		got, err := w.r.Read(room[n:])
		n += got
		w.err = err
		if empty++; got > 0 {
			empty = 0
		}
		if empty == maxEmptyReads && err == nil {
			w.err = io.ErrNoProgress
		}
	}
	w.buf = room[:n]
	if w.step >= firstBytes {
		w.step = min(4*w.step, readBytes)
	}
}

// makeRoom moves the window to the beginning of its memory, in a larger one if it would have to move again soon.
func (w *window) makeRoom(want int) {
	mem := w.mem
	if need := len(w.buf) + len(w.buf)/2 + want; len(mem) < need {
		mem = make([]byte, need)
	}
	copy(mem, w.buf)
	w.mem, w.base, w.buf = mem, 0, mem[:len(w.buf)]
}

// readErr returns why reading ended, if it wasn't the end of the file.
func (w *window) readErr() error {
	if errors.Is(w.err, io.EOF) {
		return nil
	}
	return w.err
}

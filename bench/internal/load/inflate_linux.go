package load

import (
	"compress/gzip"
	"fmt"
	"io"
	"iter"
)

// inflater undoes gzip as it comes in. The decoder of the standard library reads when it wants; here it is a coroutine that is asked to go on
// whenever something has come.
type inflater struct {
	next func() ([]byte, bool)
	stop func()

	rest  []byte // that the decoder hasn't read
	yield func([]byte) bool
	err   error // why it ended
}

const inflateBuffer = 4 << 10

func newInflater() *inflater {
	f := &inflater{}
	f.next, f.stop = iter.Pull(f.run)
	return f
}

// run yields what was decoded, and nil when it needs more.
func (f *inflater) run(yield func([]byte) bool) {
	f.yield = yield
	r, err := gzip.NewReader(f)
	buf := make([]byte, inflateBuffer)
	for err == nil {
		var n int
		n, err = r.Read(buf)
		if n > 0 && !yield(buf[:n]) {
			return
		}
	}
	f.err = fmt.Errorf("gzip: %w", err)
}

// Read implements io.Reader for the decoder.
func (f *inflater) Read(p []byte) (int, error) {
	for len(f.rest) == 0 {
		if !f.yield(nil) {
			return 0, io.ErrUnexpectedEOF
		}
	}
	n := copy(p, f.rest)
	f.rest = f.rest[n:]
	return n, nil
}

// feed decodes what came, as far as it goes, and gives it to a function.
func (f *inflater) feed(p []byte, to func([]byte)) error {
	f.rest = p
	for {
		plain, ok := f.next()
		switch {
		case !ok:
			return f.err
		case plain == nil:
			return nil
		}
		to(plain)
	}
}

package push

import (
	"compress/flate"
	"encoding/binary"
	"net/http"
	"runtime"
	"strings"
)

// A stream with Content-Encoding: gzip is gzipHeader and then blocks. Each block ends at a byte and refers to nothing but its tail:
// plain text that came right before it. So a block is made once, and sent to everybody who has got the tail, in whatever blocks.
// docs/adr/0008-compress-once.md has the measurements behind the numbers below.

// gzipHeader says deflate, no name, no time, an unknown system (RFC 1952, section 2.3).
const gzipHeader = "\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"

const (
	tailSize    = 8 << 10 // of the plain text that a cohort keeps to refer back to: more costs CPU and gains little
	tailMembers = 8       // of a cohort: for fewer a block without a tail costs less CPU
	blockLevel  = 6       // of compress/flate: level 1 gains nothing from a tail in text under 128 bytes, and isn't faster with one

	leastPlain  = 160 // bytes without a tail: fewer shrink by less than a tenth
	leastTailed = 16  // bytes with a tail

	deflateWindow = 32 << 10  // as far as a block can refer back (RFC 1951, section 2)
	storedSize    = 1<<16 - 1 // the most that one stored deflate block holds (RFC 1951, section 3.2.4)
	storedHead    = 1 + 2 + 2 // bytes: kind, length, its complement
)

// flushed is an empty stored block. What came before it is decoded without waiting for more: a sync flush in zlib's words.
const flushed = "\x00\x00\x00\xff\xff"

// appendBlock appends plain as one block that can be read only by those who got tail, the plain text right before it. It doesn't
// change or keep tail and plain, and allocates only when dst lacks the room.
func appendBlock(dst, tail, plain []byte) []byte {
	if len(plain) < leastTailed || len(plain) < leastPlain && len(tail) == 0 {
		return appendStored(dst, plain)
	}
	d := <-deflaters
	if d == nil {
		d = newDeflater()
	}
	defer func() { deflaters <- d }()
	block := d.appendBlock(dst, tail, plain)
	if len(block)-len(dst) >= storedBlockSize(plain) {
		return appendStored(dst, plain)
	}
	return block
}

// appendStored appends plain as a block that isn't compressed, for bytes that aren't shared or don't shrink.
func appendStored(dst, plain []byte) []byte {
	for len(plain) > 0 {
		n := min(len(plain), storedSize)
		dst = append(dst, 0)
		dst = binary.LittleEndian.AppendUint16(dst, uint16(n))
		dst = binary.LittleEndian.AppendUint16(dst, ^uint16(n))
		dst = append(dst, plain[:n]...)
		plain = plain[n:]
	}
	return append(dst, flushed...) // Go's reader holds the bytes of a stored block back until the next one begins
}

func storedBlockSize(plain []byte) int {
	blocks := (len(plain) + storedSize - 1) / storedSize
	return len(plain) + storedHead*blocks + len(flushed)
}

// appendTail returns the tail of the next block: what is left of tail after plain was sent. It reuses the room of tail.
func appendTail(tail, plain []byte) []byte {
	if len(plain) >= tailSize {
		return append(tail[:0], plain[len(plain)-tailSize:]...)
	}
	if over := len(tail) + len(plain) - tailSize; over > 0 {
		tail = append(tail[:0], tail[over:]...)
	}
	return append(tail, plain...)
}

// deflater compresses one block after another. Nothing of a block is left in it for the next.
type deflater struct {
	w   *flate.Writer
	out appender
}

// deflaters are as many as can run at once. Each is made when it is first needed, weighs 0.8 MB, and is kept: nil is one that wasn't
// needed yet.
var deflaters = func() chan *deflater {
	n := runtime.GOMAXPROCS(0)
	free := make(chan *deflater, n)
	for range n {
		free <- nil
	}
	return free
}()

func newDeflater() *deflater {
	d := &deflater{}
	d.w, _ = flate.NewWriter(&d.out, blockLevel) // the only error is a level that doesn't exist
	return d
}

// appendBlock has no error to return: the appender gives none.
func (d *deflater) appendBlock(dst, tail, plain []byte) []byte {
	d.w.Reset(&d.out)
	if len(tail) > 0 {
		d.out.discard = true
		d.w.Write(tail[max(0, len(tail)-deflateWindow):])
		d.w.Flush()
		d.out.discard = false
	}
	d.out.bytes = dst
	d.w.Write(plain)
	d.w.Flush()
	block := d.out.bytes
	d.out.bytes = nil // it is the caller's
	return block
}

// appender is a writer that appends, or forgets.
type appender struct {
	bytes   []byte
	discard bool
}

func (a *appender) Write(p []byte) (int, error) {
	if !a.discard {
		a.bytes = append(a.bytes, p...)
	}
	return len(p), nil
}

// acceptsGzip tells whether a client would rather have its answer with gzip than without. In doubt it wouldn't: plain text is always
// right. See RFC 9110, section 12.5.3.
func acceptsGzip(r *http.Request) bool {
	gzip, identity, rest := unnamed, unnamed, unnamed
	for _, line := range r.Header["Accept-Encoding"] {
		for element := range strings.SplitSeq(line, ",") {
			coding, weight := parseCoding(element)
			switch {
			case strings.EqualFold(coding, "gzip"), strings.EqualFold(coding, "x-gzip"):
				gzip = min(gzip, weight)
			case strings.EqualFold(coding, "identity"):
				identity = min(identity, weight)
			case coding == "*":
				rest = min(rest, weight)
			}
		}
	}
	if gzip == unnamed {
		gzip = rest
	}
	return gzip != unnamed && gzip > 0 && (identity == unnamed || gzip >= identity)
}

// unnamed is more than any weight, in thousandths.
const unnamed = 1001

// parseCoding takes an element of Accept-Encoding apart. What it can't read weighs nothing.
func parseCoding(element string) (coding string, weight int) {
	const space = " \t"
	coding, param, weighted := strings.Cut(element, ";")
	coding = strings.Trim(coding, space)
	if !weighted {
		return coding, 1000
	}
	name, value, _ := strings.Cut(strings.Trim(param, space), "=")
	if !strings.EqualFold(name, "q") {
		return coding, 0
	}
	return coding, parseWeight(value)
}

// parseWeight reads "0", "1", or either with up to three decimals, as thousandths. Anything else is 0.
func parseWeight(text string) (thousandths int) {
	whole, decimals, _ := strings.Cut(text, ".")
	if whole != "0" && whole != "1" || len(decimals) > 3 {
		return 0
	}
	for _, digit := range []byte((whole + decimals + "000")[:4]) {
		if digit < '0' || digit > '9' {
			return 0
		}
		thousandths = thousandths*10 + int(digit-'0')
	}
	if thousandths > 1000 {
		return 0
	}
	return thousandths
}

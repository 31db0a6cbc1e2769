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
// There is no trailer: nothing marks the end but the end, and a goodbye before it.
//
// Text of one client alone never goes into a block that others get, nor into a tail: it is stored.
//
// docs/adr/0008-compress-once.md has the measurements behind the numbers below.

// gzipHeader says deflate, no name, no time, an unknown system (RFC 1952, section 2.3).
const gzipHeader = "\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"

const (
	tailSize    = 8 << 10 // bytes of plain text that a cohort keeps: twice as much takes 1 or 2 % more off for half as much CPU again
	shortTail   = 1 << 10 // bytes: gains most of it for half the CPU, and is soon got again
	tailMembers = 8       // of a cohort: for fewer, tailSize costs more CPU than their writes, and more than 1 KB a member
	blockLevel  = 6       // of compress/flate: 1 takes a third off the CPU and makes a row half as large again

	leastPlain  = 128 // bytes without a tail: fewer lose less than a sixth, or 20 bytes
	leastTailed = 32  // bytes behind a tail: fewer lose less than 20

	storedSize = 1<<16 - 1 // bytes, the most that one stored deflate block holds (RFC 1951, section 3.2.4)
	storedHead = 1 + 2 + 2 // bytes: kind, length, its complement
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

// tailRoom is how long the tail of a cohort of so many members gets.
func tailRoom(members int) int {
	if members < tailMembers {
		return shortTail
	}
	return tailSize
}

// appendTail returns the tail of the next block, at most room bytes: what is left of tail after plain was sent. It reuses the memory
// of tail.
func appendTail(tail, plain []byte, room int) []byte {
	if len(plain) >= room {
		return append(tail[:0], plain[len(plain)-room:]...)
	}
	if over := len(tail) + len(plain) - room; over > 0 {
		tail = append(tail[:0], tail[over:]...)
	}
	return append(tail, plain...)
}

// tailFor returns what of a cohort's tail can stand before a block for a member that got so many of the cohort's bytes since it last
// got bytes of its own. Members get all of it, shortTail bytes, or nothing, so a block is made three times at most.
func tailFor(tail []byte, got int) []byte {
	switch {
	case got >= len(tail):
		return tail
	case got >= shortTail:
		return tail[len(tail)-shortTail:]
	}
	return nil
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
		d.w.Write(tail)
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

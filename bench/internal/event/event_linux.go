// Package event is what the servers under test publish and the load generator looks for: a payload that carries the time it was
// meant to leave and its number.
//
//	"@0000001a2b3c4d5e0000002axxxxxxxxxxxx"
//	  ^ nanoseconds    ^ number ^ filler
//
// It is a JSON string, since one of the peers publishes nothing else. The number counts all events of a run; event n belongs to topic n modulo
// the number of topics, so a receiver that knows its topics knows which number must come next. bench/mercure, which can't
// import this package, writes the same.
package event

import (
	"time"

	"golang.org/x/sys/unix"
)

const (
	// Mark is what a payload begins with; nothing else that a server sends contains it.
	Mark = `"@`
	// Digits is how many hexadecimal digits follow the mark.
	Digits = stampDigits + numberDigits
	// MinSize is the size of the smallest payload.
	MinSize = len(Mark) + Digits + len(`"`)

	stampDigits  = 16
	numberDigits = 8
)

const hex = "0123456789abcdef"

// New returns a payload of size bytes, or MinSize if that is more. It is new memory, since servers keep it.
func New(size int, at int64, number uint32) []byte {
	p := make([]byte, max(size, MinSize))
	copy(p, Mark)
	putHex(p[len(Mark):], uint64(at), stampDigits)
	putHex(p[len(Mark)+stampDigits:], uint64(number), numberDigits)
	for i := len(Mark) + Digits; i < len(p)-1; i++ {
		p[i] = 'a' + byte(i%26)
	}
	p[len(p)-1] = '"'
	return p
}

func putHex(p []byte, n uint64, digits int) {
	for i := digits - 1; i >= 0; i-- {
		p[i] = hex[n&0xf]
		n >>= 4
	}
}

// Parse reads what stands after the mark; p may be longer than that.
func Parse(p []byte) (at int64, number uint32, ok bool) {
	if len(p) < Digits {
		return 0, 0, false
	}
	stamp, ok1 := parseHex(p[:stampDigits])
	n, ok2 := parseHex(p[stampDigits:Digits])
	return int64(stamp), uint32(n), ok1 && ok2
}

func parseHex(p []byte) (n uint64, ok bool) {
	var bad byte
	for _, c := range p {
		v := values[c]
		bad |= v
		n = n<<4 | uint64(v&0xf)
	}
	return n, bad < 0x10
}

// values of the digits; 0x10 for what isn't one.
var values = func() (t [256]byte) {
	for i := range t {
		t[i] = 0x10
	}
	for i := range len(hex) {
		t[hex[i]] = byte(i)
	}
	return t
}()

// Now is the time on the machine's monotonic clock, in nanoseconds: the same for all its processes.
func Now() int64 { return monotonic + int64(time.Since(start)) }

// time.Since reads the clock without a system call, but counts from a start of its own.
var start, monotonic = func() (time.Time, int64) {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		panic(err) // Linux has had it for ever
	}
	return time.Now(), ts.Nano()
}()

// SleepUntil sleeps until a time of Now. Go's own timers may be late by a millisecond when the process is idle, which is more
// than the latencies that are measured.
func SleepUntil(at int64) {
	ts := unix.NsecToTimespec(at)
	for unix.ClockNanosleep(unix.CLOCK_MONOTONIC, unix.TIMER_ABSTIME, &ts, nil) == unix.EINTR {
	}
}

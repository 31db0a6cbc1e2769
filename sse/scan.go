package sse

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"strconv"
	"time"
	"unicode/utf8"
)

// DefaultMaxEventBytes is ScanOptions.MaxEventBytes when it is 0.
const DefaultMaxEventBytes = 8 << 20 // the 5 MiB events of the public contract tests pass with room; a broken server can't take more

const (
	readBytes = 4 << 10  // what net/http's own buffers hold, so a larger one would not fill
	keepBytes = 64 << 10 // buffers that grew over this are given away, so that one huge event doesn't cost for the life of a stream

	// The longest field that isn't unknown, and a BOM: a line may be that much longer than its value.
	maxFieldBytes = len("event: ") + len(bom)

	maxEmptyReads = 100 // as bufio: then the reader is broken

	bom = "\xEF\xBB\xBF"
)

// ScanOptions of Scan. The zero value, and nil, mean the defaults. The functions are called by the goroutine that ranges.
type ScanOptions struct {
	// MaxEventBytes bounds one event: its data, name and id in bytes; and one line of any kind, whose field name isn't counted.
	// Default DefaultMaxEventBytes. Scan needs up to about three times as much memory.
	MaxEventBytes int
	// LastEventID is the id that events inherit until the stream sets one: that of the stream before this one.
	LastEventID string
	// OnID is told the last event ID each time an empty line commits one that the stream has set, before the event of the same
	// block is yielded, and also when the block has no data and so is no event. "" means that the stream has reset it.
	OnID func(id string)
	// OnRetry is told the time that the server asks clients to wait before they reconnect.
	OnRetry func(time.Duration)
	// OnComment is told the text of comment lines, without the colon and one space after it.
	OnComment func(text string)
}

// Scan reads events until the reader ends, by the grammar of the WHATWG HTML standard.
//
// An event is yielded as soon as its empty line was read; nothing is read ahead for it. Its Data belongs to the caller. An
// Event without a name field, or with an empty one, has the Name "", which means "message". Bytes that aren't UTF-8 become U+FFFD. An
// event that isn't complete when the reader ends is dropped, as the standard demands.
//
// At io.EOF the iteration just ends. Before it ends for another reason it yields an error once, with a zero Event: one that
// wraps ErrTooLarge, or the reader's.
//
// The iterator can be used once. Scan doesn't close the reader.
func Scan(r io.Reader, opts *ScanOptions) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		s := scanner{first: true}
		if opts != nil {
			s.opts = *opts
		}
		if s.opts.MaxEventBytes <= 0 {
			s.opts.MaxEventBytes = DefaultMaxEventBytes
		}
		s.id = s.opts.LastEventID
		if err := s.run(r, yield); err != nil {
			yield(Event{}, err)
		}
	}
}

// scanner holds what is between two reads: a line that hasn't ended, and an event that hasn't.
type scanner struct {
	opts ScanOptions

	line   []byte // the beginning of a line whose end isn't read yet
	first  bool   // the next line is the first of the stream
	skipLF bool   // the last byte was a CR: a LF now belongs to it

	id       string // the last event ID, or what it will be at the next empty line
	idSet    bool   // this block has set it
	name     string // of this block
	lastName string // of some block before: most streams repeat a name, so its string is shared
	data     []byte // of this block, LF between lines
	hasData  bool   // this block has a line of data, maybe an empty one
}

// run returns nil when the reader or the caller has ended.
func (s *scanner) run(r io.Reader, yield func(Event, error) bool) error {
	buf := make([]byte, readBytes)
	for empty := 0; ; {
		n, err := r.Read(buf)
		if more, stop := s.feed(buf[:n], yield); !more {
			return stop
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("sse: read: %w", err)
		case n > 0:
			empty = 0
		default:
			if empty++; empty == maxEmptyReads {
				return fmt.Errorf("sse: read: %w", io.ErrNoProgress)
			}
		}
	}
}

// feed takes the next bytes of the stream. It returns false when there is nothing more to do.
func (s *scanner) feed(chunk []byte, yield func(Event, error) bool) (more bool, err error) {
	lines := newLineEnds(chunk)
	for start := 0; start < len(chunk); {
		if s.skipLF {
			s.skipLF = false
			if chunk[start] == '\n' {
				start++
				continue
			}
		}
		end := lines.next(start)
		if len(s.line)+end-start > s.opts.MaxEventBytes+maxFieldBytes {
			return false, s.tooLarge("a line")
		}
		if end == len(chunk) {
			s.line = append(s.line, chunk[start:]...)
			return true, nil
		}
		// A CR ends its line now; waiting for a LF after it could mean to wait for the next event.
		s.skipLF = chunk[end] == '\r'
		line := chunk[start:end]
		if len(s.line) > 0 {
			s.line = append(s.line, line...)
			line = s.line
		}
		start = end + 1
		if s.first {
			s.first = false
			line = bytes.TrimPrefix(line, []byte(bom))
		}
		if len(line) > 0 {
			err = s.field(line)
		} else if e, ok := s.dispatch(); ok && !yield(e, nil) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		s.line = reuse(s.line)
	}
	return true, nil
}

// field takes a line that isn't empty. The line is only valid during the call.
func (s *scanner) field(line []byte) error {
	name, value, _ := bytes.Cut(line, []byte{':'})
	value = bytes.TrimPrefix(value, []byte{' '})
	switch string(name) {
	case "data":
		if s.hasData {
			s.data = append(s.data, '\n')
		}
		s.hasData = true
		s.data = appendDecoded(s.data, value)
	case "event":
		if string(value) != s.lastName {
			s.lastName = string(appendDecoded(nil, value))
		}
		s.name = s.lastName
	case "id":
		if bytes.IndexByte(value, 0) < 0 {
			s.id, s.idSet = string(appendDecoded(nil, value)), true
		}
	case "retry":
		ms, err := strconv.ParseUint(string(value), 10, 64) // takes digits only
		if err == nil && ms <= uint64(maxRetry) && s.opts.OnRetry != nil {
			s.opts.OnRetry(time.Duration(ms) * time.Millisecond)
		}
		return nil
	case "":
		if s.opts.OnComment != nil {
			s.opts.OnComment(string(appendDecoded(nil, value)))
		}
		return nil
	}
	if len(s.data)+len(s.name)+len(s.id) > s.opts.MaxEventBytes {
		return s.tooLarge("an event")
	}
	return nil
}

const maxRetry = (1<<63 - 1) / int64(time.Millisecond) // what a time.Duration holds

// dispatch is an empty line.
func (s *scanner) dispatch() (e Event, ok bool) {
	e = Event{ID: s.id, Name: s.name, Inherited: s.id != "" && !s.idSet}
	if s.idSet && s.opts.OnID != nil {
		s.opts.OnID(s.id)
	}
	if ok = s.hasData; ok {
		e.Data = s.data
		if cap(s.data) > keepBytes {
			s.data = nil
		} else {
			e.Data = append(make([]byte, 0, len(s.data)), s.data...)
		}
	}
	s.data, s.hasData, s.name, s.idSet = s.data[:0], false, "", false
	return e, ok
}

func (s *scanner) tooLarge(what string) error {
	return fmt.Errorf("%w: %s over %d bytes: raise MaxEventBytes if you trust the server", ErrTooLarge, what, s.opts.MaxEventBytes)
}

func reuse(b []byte) []byte {
	if cap(b) > keepBytes {
		return nil
	}
	return b[:0]
}

// appendDecoded appends what the UTF-8 decoder of the WHATWG encoding standard makes of src: each maximal part of a
// character that breaks off, and each byte that begins none, is one U+FFFD. (Neither bytes.ToValidUTF8 nor range
// counts like that.)
func appendDecoded(dst, src []byte) []byte {
	if utf8.Valid(src) {
		return append(dst, src...)
	}
	for len(src) > 0 {
		r, n := utf8.DecodeRune(src)
		if r == utf8.RuneError && n == 1 {
			n = brokenLen(src)
		}
		dst = utf8.AppendRune(dst, r)
		src = src[n:]
	}
	return dst
}

// brokenLen returns how many bytes of a character stand at the start of b before it breaks off, at least 1. No whole
// character stands there.
func brokenLen(b []byte) int {
	low, high := byte(0x80), byte(0xBF) // of the second byte
	switch b[0] {
	case 0xE0:
		low = 0xA0 // less would be an overlong form
	case 0xED:
		high = 0x9F // more would be a surrogate
	case 0xF0:
		low = 0x90
	case 0xF4:
		high = 0x8F // more would be over U+10FFFF
	default:
		if b[0] < 0xE0 || b[0] > 0xF4 {
			return 1
		}
	}
	switch {
	case len(b) < 2 || b[1] < low || b[1] > high:
		return 1
	case b[0] >= 0xF0 && len(b) > 2 && b[2]&0xC0 == 0x80:
		return 3
	default:
		return 2
	}
}

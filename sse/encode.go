package sse

import (
	"bytes"
	"slices"
	"strconv"
	"time"
)

// Event is one event of a stream.
type Event struct {
	// ID is the last event ID as of this event. AppendEvent leaves the field out when it is "".
	ID string
	// Name is the event's type, "" for an unnamed event, which a browser dispatches as "message".
	Name string
	// Data is the payload: UTF-8, any number of lines. CR and CRLF arrive as LF.
	Data []byte
	// Inherited is set by Scan when the event had no id of its own, so that ID is that of an earlier event. AppendEvent
	// ignores it.
	Inherited bool
}

const dataField = "data: \n" // what a line of data costs around its text

// AppendEvent appends the event's frame: its id and name if it has them, at least one line of data, and the empty line that
// dispatches it. It allocates only when dst lacks the room.
//
// An error wraps ErrInvalid and says what to change; dst is then returned as it was.
func AppendEvent(dst []byte, e Event) ([]byte, error) {
	size := BodySize(e.Name, e.Data)
	if e.ID != "" {
		size += len("id: \n") + len(e.ID)
	}
	head, err := AppendID(slices.Grow(dst, size), e.ID)
	if err != nil {
		return dst, err
	}
	frame, err := AppendBody(head, e.Name, e.Data)
	if err != nil {
		return dst, err
	}
	return frame, nil
}

// AppendID appends the line that gives the next event its id, and nothing for "". It needs AppendBody after it.
//
// An error wraps ErrInvalid; dst is then returned as it was.
func AppendID(dst []byte, id string) ([]byte, error) {
	if id == "" {
		return dst, nil
	}
	if err := ValidID(id); err != nil {
		return dst, err
	}
	return appendField(dst, "id: ", id), nil
}

// AppendBody appends all of a frame but the id: the name if there is one, the data, and the empty line.
//
// An error wraps ErrInvalid and says what to change; dst is then returned as it was.
func AppendBody(dst []byte, name string, data []byte) ([]byte, error) {
	if err := ValidName(name); err != nil {
		return dst, err
	}
	if err := validData(data); err != nil {
		return dst, err
	}
	dst = slices.Grow(dst, BodySize(name, data))
	if name != "" {
		dst = appendField(dst, "event: ", name)
	}
	lines := newLineEnds(data)
	for start := 0; ; {
		end := lines.next(start)
		dst = append(dst, "data: "...)
		dst = append(dst, data[start:end]...)
		dst = append(dst, '\n')
		if end == len(data) {
			return append(dst, '\n'), nil
		}
		start = end + 1
		if data[end] == '\r' && start < len(data) && data[start] == '\n' {
			start++
		}
	}
}

// BodySize returns how many bytes AppendBody appends.
func BodySize(name string, data []byte) int {
	ends := bytes.Count(data, []byte{'\n'})
	lines := 1 + ends
	if cr := bytes.Count(data, []byte{'\r'}); cr > 0 {
		ends += cr
		lines += cr - bytes.Count(data, []byte("\r\n"))
	}
	size := len(data) - ends + lines*len(dataField) + len("\n")
	if name != "" {
		size += len("event: \n") + len(name)
	}
	return size
}

// AppendRetry appends the line that tells a client how long to wait before it reconnects, in whole milliseconds. A
// negative duration counts as 0. The line needs no empty line after it, so it can stand before a frame.
func AppendRetry(dst []byte, d time.Duration) []byte {
	dst = append(dst, "retry: "...)
	dst = strconv.AppendInt(dst, max(d, 0).Milliseconds(), 10)
	return append(dst, '\n')
}

// AppendComment appends a line that clients ignore, and an empty line, so that proxies and parsers pass it on at once. It
// belongs between two frames.
//
// A text that isn't one line of UTF-8 without NUL is refused with an error that wraps ErrInvalid; dst is then returned as
// it was.
func AppendComment(dst []byte, text string) ([]byte, error) {
	if err := validLine("comment", text); err != nil {
		return dst, err
	}
	return append(appendField(dst, ": ", text), '\n'), nil
}

func appendField(dst []byte, field, value string) []byte {
	dst = append(dst, field...)
	dst = append(dst, value...)
	return append(dst, '\n')
}

// lineEnds finds line ends from left to right. It searches each byte of the text once for LF and once for CR, however the
// two are mixed.
type lineEnds struct {
	text   []byte
	lf, cr int // the next of each, len(text) if there is none
}

func newLineEnds(text []byte) lineEnds {
	return lineEnds{text, indexFrom(text, '\n', 0), indexFrom(text, '\r', 0)}
}

// next returns the position of the first CR or LF at or after start, the length of the text if there is none. Starts
// must not fall.
func (l *lineEnds) next(start int) int {
	if l.lf < start {
		l.lf = indexFrom(l.text, '\n', start)
	}
	if l.cr < start {
		l.cr = indexFrom(l.text, '\r', start)
	}
	return min(l.lf, l.cr)
}

func indexFrom(text []byte, b byte, start int) int {
	if i := bytes.IndexByte(text[start:], b); i >= 0 {
		return start + i
	}
	return len(text)
}

package sse

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

var (
	// ErrInvalid is wrapped by the errors of everything that writes: the text would not arrive unchanged, or would write
	// fields of its own.
	ErrInvalid = errors.New("sse: invalid event")
	// ErrTooLarge is wrapped by the last error of Scan when an event or a line is over ScanOptions.MaxEventBytes.
	ErrTooLarge = errors.New("sse: event too large")
)

// ValidName tells whether a text can be an event's name: UTF-8 without CR, LF and NUL. The error wraps ErrInvalid and
// says which byte is wrong. "" is valid: an event without a name.
func ValidName(name string) error { return validLine("event name", name) }

// ValidID tells whether a text can be an event's id: UTF-8 without CR, LF and NUL. The error wraps ErrInvalid and says
// which byte is wrong. "" is valid: an event without an id.
func ValidID(id string) error { return validLine("event id", id) }

func validLine(what, s string) error {
	if i := strings.IndexByte(s, '\n'); i >= 0 {
		return fmt.Errorf("%w: %s has a LF at byte %d: put text of several lines into the data", ErrInvalid, what, i)
	}
	if i := strings.IndexByte(s, '\r'); i >= 0 {
		return fmt.Errorf("%w: %s has a CR at byte %d: put text of several lines into the data", ErrInvalid, what, i)
	}
	if i := strings.IndexByte(s, 0); i >= 0 {
		return fmt.Errorf("%w: %s has a NUL at byte %d: browsers ignore such a field", ErrInvalid, what, i)
	}
	if !utf8.ValidString(s) {
		return fmt.Errorf("%w: %s isn't UTF-8 from byte %d on: encode it as base64, say", ErrInvalid, what, invalidAt(s))
	}
	return nil
}

func validData(data []byte) error {
	if !utf8.Valid(data) {
		return fmt.Errorf("%w: data isn't UTF-8 from byte %d on: encode binary data as base64, say",
			ErrInvalid, invalidAt(string(data)))
	}
	return nil
}

// invalidAt returns the position of the first byte that isn't UTF-8. There must be one.
func invalidAt(s string) int {
	for i, r := range s {
		if r == utf8.RuneError {
			if _, n := utf8.DecodeRuneInString(s[i:]); n == 1 {
				return i
			}
		}
	}
	return len(s)
}

package lexer

import (
	"bytes"
	"errors"
	"strings"
	"unicode"
	"unicode/utf8"
)

// What is wrong with a text that Split can't take apart. The *Error around it tells where and what to do.
var (
	// ErrUnterminated: a string, a quoted identifier or a comment has no end.
	ErrUnterminated = errors.New("lexer: unterminated")
	// ErrUnclosed: a BEGIN, IF, LOOP or the like has no END, or a parenthesis around statements isn't closed.
	ErrUnclosed = errors.New("lexer: block not closed")
	// ErrClientCommand: a command to psql, mysql or sqlite3, which no server understands.
	ErrClientCommand = errors.New("lexer: client command")
	// ErrCopyRows: rows after COPY … FROM stdin.
	ErrCopyRows = errors.New("lexer: rows in the file")
	// ErrDelimiter: a DELIMITER directive without a usable delimiter.
	ErrDelimiter = errors.New("lexer: bad delimiter")
	// ErrTooLarge: a statement is longer than Options.MaxStatementBytes.
	ErrTooLarge = errors.New("lexer: statement too large")
	// ErrEncoding: the text isn't UTF-8, or holds a zero byte.
	ErrEncoding = errors.New("lexer: not a text in UTF-8")
)

// Error is a fault at a place in a file, with what to do about it.
type Error struct {
	Pos    Position
	Msg    string // what is wrong, one line
	Hint   string // what to do, one line; may be empty
	Line   string // the line at Pos, shortened if it's long, made safe for a terminal
	Column int    // of the fault in Line, in characters, from 1
	Err    error  // one of this package's, or the server's
}

// Error returns several lines: the place and the fault, the line of the file, a caret under the column, and the hint.
//
//	users.sql:2:8: this string is never closed
//	    VALUES ('ada);
//	            ^
//	close it with '; a quote inside of it is written as ''
func (e *Error) Error() string {
	text := e.Pos.String() + ": " + e.Msg
	if strings.TrimSpace(e.Line) != "" {
		text += "\n    " + e.Line + "\n    " + e.caret()
	}
	if e.Hint != "" {
		text += "\n" + e.Hint
	}
	return text
}

func (e *Error) Unwrap() error { return e.Err }

// caret keeps the tabs of the line, so that it stands under its column however wide they are.
func (e *Error) caret() string {
	var pad strings.Builder
	column := 1
	for _, r := range e.Line {
		if column == e.Column {
			break
		}
		column++
		if r != '\t' {
			r = ' '
		}
		pad.WriteRune(r)
	}
	return pad.String() + "^"
}

// How much of a long line is shown before and after a fault: with the indent it fits into 120 columns.
const (
	charactersBefore = 70
	charactersAfter  = 40
	excerptBytes     = charactersBefore * utf8.UTFMax // enough of a line's beginning to show so much
)

// excerpt returns the line around a fault, of which the text before and after it is known, and the fault's column in it.
func excerpt(before, after []byte) (line string, column int) {
	if i := bytes.LastIndexByte(before, '\n'); i >= 0 {
		before = before[i+1:]
	}
	if i := bytes.IndexByte(after, '\n'); i >= 0 {
		after = after[:i]
	}
	head := printable(bytes.TrimPrefix(before, []byte(bom)), false)
	tail := printable(bytes.TrimRight(after, "\r"), true)
	if len(head) > charactersBefore {
		head = append([]rune("… "), head[len(head)-charactersBefore:]...)
	}
	if len(tail) > charactersAfter {
		tail = append(tail[:charactersAfter], []rune(" …")...)
	}
	return strings.TrimRightFunc(string(head)+string(tail), unicode.IsSpace), len(head) + 1
}

// printable keeps the side next to the fault and replaces what would move a terminal's cursor.
func printable(text []byte, left bool) []rune {
	if len(text) > excerptBytes+utf8.UTFMax {
		if left {
			text = text[:excerptBytes+utf8.UTFMax]
		} else {
			text = text[len(text)-excerptBytes-utf8.UTFMax:]
			for len(text) > 0 && !utf8.RuneStart(text[0]) {
				text = text[1:]
			}
		}
	}
	runes := []rune(string(text))
	for i, r := range runes {
		if r != '\t' && !unicode.IsPrint(r) {
			runes[i] = utf8.RuneError
		}
	}
	return runes
}

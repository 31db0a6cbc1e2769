package lexer

import (
	"bytes"
	"fmt"
	"unicode/utf8"
)

// fault shows a place of the window.
func (s *splitter) fault(at int, err error, msg, hint string) *Error {
	for !s.eof() && len(s.buf)-at < excerptBytes { // so that the line shows alike however it arrives
		s.more(at)
	}
	line, column := excerpt(append(s.before[:len(s.before):len(s.before)], s.buf[:at]...), s.buf[at:])
	return &Error{Pos: s.start.after(s.buf[:at]), Msg: msg, Hint: hint, Line: line, Column: column, Err: err}
}

func (s *splitter) readFault() error {
	at := s.start.after(s.buf)
	return fmt.Errorf("lexer: read, after %v: %w", at, s.readErr())
}

func (s *splitter) unterminated(t scanned, at int) error {
	if i := bytes.IndexByte(s.buf, 0); i >= 0 {
		return s.zeroByte(i)
	}
	msg, hint := openToken(s.dialect, t.kind, s.buf[at:])
	return s.fault(at, ErrUnterminated, msg, hint)
}

// tooLarge blames the token that the limit is in if it takes more than half of it: its end is missing, most likely.
func (s *splitter) tooLarge(kind Kind) error {
	at := max(s.code, 0)
	msg := fmt.Sprintf("this statement is longer than %s", size(s.max))
	hint := "end it with ; earlier, or raise Options.MaxStatementBytes"
	if s.pos < s.max/2 && (kind.IsString() || kind == QuotedIdent || kind == BlockComment) {
		at = s.pos
		msg = fmt.Sprintf("the statement with this is longer than %s", size(s.max))
		_, hint = openToken(s.dialect, kind, s.buf[at:])
		hint = "is its end missing? " + hint
	} else if f := s.body.open(); f != nil {
		at, hint = f.at, f.hint
		msg += ": " + f.msg
	}
	return s.fault(at, ErrTooLarge, msg, hint)
}

func size(n int) string {
	switch {
	case n >= 1<<20 && n%(1<<20) == 0:
		return fmt.Sprintf("%d MiB", n>>20)
	case n >= 1<<10 && n%(1<<10) == 0:
		return fmt.Sprintf("%d KiB", n>>10)
	}
	return fmt.Sprintf("%d bytes", n)
}

func (s *splitter) zeroByte(at int) error {
	return s.fault(at, ErrEncoding, "a zero byte: the file is damaged, or isn't UTF-8",
		"save it as UTF-8 (PowerShell: Set-Content -Encoding utf8)")
}

// checkStart recognizes the other encodings that editors on Windows write, before their bytes look like something else.
func (s *splitter) checkStart() error {
	if s.start.Offset > 0 || s.pos > 0 {
		return nil
	}
	if bytes.HasPrefix(s.buf, []byte{0xFF, 0xFE}) || bytes.HasPrefix(s.buf, []byte{0xFE, 0xFF}) {
		return &Error{Pos: s.start, Msg: "the file is in UTF-16", Column: 1, Err: ErrEncoding,
			Hint: "save it as UTF-8 (PowerShell: Set-Content -Encoding utf8)"}
	}
	return nil
}

// clientCommand lets pass what pg_dump writes around a dump and what has no effect on the server.
func (s *splitter) clientCommand(at int, text []byte) (done bool, err error) {
	name := commandName(text)
	if s.code < 0 && (name == `\restrict` || name == `\unrestrict`) {
		return true, nil
	}
	return false, s.fault(at, ErrClientCommand, fmt.Sprintf("%s is a command of %s, the database doesn't know it", name, s.lex.Client),
		commandHint(name))
}

// commandName returns the first word of a client command, shortened.
func commandName(text []byte) string {
	n := 0
	for n < len(text) && text[n] > ' ' && n < 40 {
		_, size := utf8.DecodeRune(text[n:])
		n += size
	}
	return string(printable(text[:n], true))
}

func commandHint(name string) string {
	switch name {
	case `\i`, `\ir`, `\include`, `\include_relative`, ".read", `\.`:
		return "put the other file's text here, or make it a migration of its own"
	case `\c`, `\connect`, ".open", `\u`:
		return "a migration runs on the database that the runner was given: take the line out"
	case `\copy`, ".import":
		return "put the rows into INSERT statements, or into a data file for a seed"
	case `\g`, `\G`, `\gexec`, `\gset`, `\gx`:
		return "end the statement with ; instead"
	}
	return "take it out, or write it as SQL"
}

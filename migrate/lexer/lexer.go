package lexer

import (
	"bytes"

	"github.com/buffkit/buffkit/migrate/dialect"
)

// lexer is what must be known of the text before a token to tell what the token is. scan only reads it and accept only
// writes it, so that a token which a reader has cut short can be scanned again when there is more of it.
type lexer struct {
	dialect.Lexical
	postgres, sqlite bool
	classes          *[256]class

	begun     bool   // something was accepted: no byte order mark any more
	atStart   bool   // no code since the last statement ended
	cond      bool   // between CondOpen and CondClose
	named     bool   // the last token was a name: a dot now belongs to it, not to a number
	afterAs   bool   // the last token that isn't trivia was AS, and the dialect has DollarBodies
	delimiter string // set by DELIMITER, "" for the semicolon
	wholeWord bool   // the delimiter is a word, and only ends a statement as one

	escapes escapes
	copy    copyState
	parens  int // open ones, while copy is on
}

// escapes follows E'…' over white space with a line end in it: a '…' then is the same string, and \ escapes in it too
// (the rule "quotecontinue" in PostgreSQL's scan.l).
type escapes uint8

const (
	noEscapes escapes = iota
	afterEscapeString
	afterLineEnd
)

// copyState follows COPY … FROM stdin, since rows instead of SQL come on the lines after it.
type copyState uint8

const (
	copyStart   copyState = iota // no code since the last statement ended
	copyNever                    // another statement
	copySeen                     // COPY
	copyFrom                     // COPY … FROM
	copyStdin                    // COPY … FROM stdin
	copyPending                  // COPY … FROM stdin … ; the rows begin on the next line
	copyRows                     // in the rows
)

func newLexer(d dialect.Dialect, opts Options) *lexer {
	l := &lexer{Lexical: *d.Lexical(), postgres: d == dialect.Postgres, sqlite: d == dialect.SQLite, atStart: true}
	l.DoubleQuotes = l.DoubleQuotes && !opts.ANSIQuotes
	l.Backslash = l.Backslash && !opts.NoBackslashEscapes
	l.classes = &classesOf[0]
	if l.DigitWords {
		l.classes = &classesOf[1]
	}
	return l
}

// accept takes note of a token that scan has found.
func (l *lexer) accept(t scanned, text []byte) {
	l.begun = true
	if l.postgres {
		l.followEscapes(t.kind, text)
		l.followCopy(t.kind, text)
	}
	l.named = t.kind == Word || t.kind == QuotedIdent
	if t.kind.Trivia() {
		return
	}
	l.afterAs = l.DollarBodies && t.kind == Word && isWord(text, "as")
	switch t.kind {
	case CondOpen:
		l.cond = true
	case CondClose:
		l.cond = false
	case Directive:
		if delimiter, err := parseDelimiter(text); err == nil {
			l.setDelimiter(delimiter)
		}
		l.atStart = true
		return
	case Semicolon, Delimiter, ClientCommand, CopyData, CopyEnd:
		l.atStart = true
		return
	}
	l.atStart = false
}

func (l *lexer) followEscapes(kind Kind, text []byte) {
	switch {
	case kind == EscapeString:
		l.escapes = afterEscapeString
	case l.escapes == noEscapes:
	case kind != Space && kind != LineComment:
		l.escapes = noEscapes
	case bytes.IndexByte(text, '\n') >= 0 || bytes.IndexByte(text, '\r') >= 0:
		l.escapes = afterLineEnd
	}
}

func (l *lexer) followCopy(kind Kind, text []byte) {
	switch {
	case l.copy == copyPending && kind == Space && text[len(text)-1] == '\n': // scan cuts it there
		l.copy = copyRows
	case kind == CopyEnd, kind == ClientCommand && l.copy < copyPending:
		l.copy = copyStart
	case kind.Trivia(), l.copy == copyRows, l.copy == copyPending:
	case kind == Semicolon && l.copy == copyStdin:
		l.copy = copyPending
	case kind == Semicolon:
		l.copy = copyStart
	case l.copy == copyStart:
		if l.copy = copyNever; kind == Word && isWord(text, "copy") {
			l.copy, l.parens = copySeen, 0
		}
	case l.copy == copySeen, l.copy == copyFrom:
		l.followCopySource(kind, text)
	}
}

func (l *lexer) followCopySource(kind Kind, text []byte) {
	switch {
	case kind == Punct && text[0] == '(':
		l.parens++
	case kind == Punct && text[0] == ')':
		l.parens--
	case kind == Word && l.parens == 0 && isWord(text, "from"):
		l.copy = copyFrom
	case kind == Word && l.copy == copyFrom && isWord(text, "stdin"):
		l.copy = copyStdin
	case l.parens == 0:
		l.copy = copySeen
	}
}

func (l *lexer) setDelimiter(delimiter string) {
	if delimiter == ";" {
		delimiter = ""
	}
	l.delimiter, l.wholeWord = delimiter, delimiter != ""
	for i := range len(delimiter) {
		if c := delimiter[i]; l.classes[c]&wordByte == 0 || c == '$' {
			l.wholeWord = false
		}
	}
}

// isWord compares in any case; want is in lower case.
func isWord(text []byte, want string) bool {
	if len(text) != len(want) {
		return false
	}
	for i, c := range text {
		if lower(c) != want[i] {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + ('a' - 'A')
	}
	return c
}

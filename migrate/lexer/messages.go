package lexer

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/buffkit/buffkit/migrate/dialect"
)

// openToken says what is wrong with a token that the text ended within, and how it ends.
func openToken(d dialect.Dialect, kind Kind, text []byte) (msg, hint string) {
	switch {
	case kind == BlockComment && d == dialect.Postgres:
		return "this comment is never closed", "close it with */; comments nest in PostgreSQL, so each /* within it needs one too"
	case kind == BlockComment:
		return "this comment is never closed", "close it with */"
	case kind == DollarString:
		return "this string is never closed", "close it with " + dollarTag(text)
	case kind == QuotedIdent && text[0] == '[':
		return "this name is never closed", "close it with ]"
	}
	quote := firstQuote(text)
	if !kind.IsString() {
		return "this name is never closed", fmt.Sprintf("close it with %c; one within it is written twice, %[1]c%[1]c", quote)
	}
	hint = fmt.Sprintf("close it with %c; one within it is written twice, %[1]c%[1]c", quote)
	if kind == EscapeString || d.Lexical().Backslash {
		hint += `; a \ before the last one would make it part of the string`
	}
	return "this string is never closed", hint
}

func firstQuote(text []byte) byte {
	if i := bytes.IndexAny(text, "'\"`"); i >= 0 {
		return text[i]
	}
	return '\''
}

func dollarTag(text []byte) string {
	n := 1 + bytes.IndexByte(text[1:], '$')
	if n > 40 {
		return "the same tag that begins it"
	}
	return string(printable(text[:n+1], true))
}

// maxDelimiterBytes is what the mysql client's buffer for it holds.
const maxDelimiterBytes = 15

// parseDelimiter returns the argument of a DELIMITER line, by the rules of the mysql client: one word, perhaps quoted.
func parseDelimiter(line []byte) (string, error) {
	rest := bytes.TrimSpace(line[len("delimiter"):])
	arg, _, _ := bytes.Cut(rest, []byte{' '})
	arg, _, _ = bytes.Cut(arg, []byte{'\t'})
	if len(rest) > 1 && bytes.IndexByte([]byte("'\"`"), rest[0]) >= 0 {
		if i := bytes.IndexByte(rest[1:], rest[0]); i >= 0 {
			arg = rest[1 : i+1]
		}
	}
	switch {
	case len(arg) == 0:
		return "", errors.New("DELIMITER needs the text that is to end statements")
	case len(arg) > maxDelimiterBytes:
		return "", fmt.Errorf("this delimiter is longer than %d bytes", maxDelimiterBytes)
	case bytes.IndexByte(arg, '\\') >= 0:
		return "", errors.New(`a delimiter can't hold a \`)
	}
	return string(arg), nil
}

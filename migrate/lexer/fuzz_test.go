package lexer_test

import (
	"errors"
	"fmt"
	"iter"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf8"

	"github.com/buffkit/buffkit/migrate/dialect"
	"github.com/buffkit/buffkit/migrate/lexer"
)

// seed adds the corpus, once for each dialect.
func seed(f *testing.F) {
	f.Helper()
	for _, input := range inputs(f) {
		for i := range dialect.All() {
			f.Add(input, uint8(i))
		}
	}
}

// pick makes a dialect and options of a number.
func pick(n uint8) (dialect.Dialect, lexer.Options) {
	return dialect.All()[n%4], lexer.Options{ANSIQuotes: n&4 != 0, NoBackslashEscapes: n&8 != 0}
}

// The tokens joined are the input, whatever it is, and each has its place.
func FuzzTokens(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, input string, n uint8) {
		d, opts := pick(n)
		offset := 0
		for token := range lexer.Tokens(input, d, &opts) {
			if token.Text == "" || !strings.HasPrefix(input[offset:], token.Text) || token.Kind.String() == "unknown" {
				t.Fatalf("%v: the token at %d is %v %q", d, offset, token.Kind, token.Text)
			}
			if want := position(input[:offset]); token.Pos != want {
				t.Fatalf("%v: %v %q is at %+v, want %+v", d, token.Kind, token.Text, token.Pos, want)
			}
			offset += len(token.Text)
			if token.Unterminated && offset != len(input) {
				t.Fatalf("%v: %v %q is called unterminated, but more follows", d, token.Kind, token.Text)
			}
		}
		if offset != len(input) {
			t.Fatalf("%v: %q is left over", d, input[offset:])
		}
	})
}

// position is that behind a text, by the words of its comment.
func position(before string) lexer.Position {
	visible := strings.TrimPrefix(before, "\ufeff")
	lines := strings.Split(visible, "\n")
	column := 1
	for _, c := range []byte(lines[len(lines)-1]) {
		if c&0xC0 != 0x80 {
			column++
		}
	}
	return lexer.Position{Offset: int64(len(before)), Line: len(lines), Column: column}
}

// The pieces joined are the input, each statement is where it says and stays whole when it's split again.
func FuzzSplit(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, input string, n uint8) {
		d, opts := pick(n)
		joined, failed := "", false
		for s, err := range lexer.Pieces(strings.NewReader(input), d, &opts) {
			if failed {
				t.Fatal("something follows an error")
			}
			if err != nil {
				failed = true
				checkFuzzError(t, err)
				continue
			}
			checkPiece(t, s, input, len(joined))
			joined += s.Text
			if s.SQL != "" && !strings.Contains(strings.ToLower(input), "delimiter") {
				checkWhole(t, s.SQL, d, opts)
			}
		}
		if !failed && joined != input || !strings.HasPrefix(input, joined) {
			t.Fatalf("%v: joined\n%q\nwant\n%q", d, joined, input)
		}
	})
}

func checkFuzzError(t *testing.T, err error) {
	t.Helper()
	var e *lexer.Error
	if !errors.As(err, &e) || e.Err == nil || e.Msg == "" || e.Hint == "" || e.Pos.Line < 1 || e.Pos.Column < 1 {
		t.Fatalf("a fault without a place or a hint: %#v", err)
	}
	if !utf8.ValidString(err.Error()) || strings.ContainsAny(err.Error(), "\x1b\r\x00") {
		t.Fatalf("%q isn't fit for a terminal", err)
	}
}

func checkPiece(t *testing.T, s lexer.Statement, input string, offset int) {
	t.Helper()
	text := ""
	for token := range s.TextTokens() {
		text += token.Text
	}
	if text == "" || text != s.Text {
		t.Fatalf("the tokens of the piece %q are %q", s.Text, text)
	}
	if s.SQL == "" {
		return
	}
	at := s.Locate(0)
	if !strings.HasPrefix(input[at.Offset:], s.SQL) || at != position(input[:at.Offset]) || s.Pos.Offset < at.Offset {
		t.Fatalf("%q is said to be at %v, its code at %v", s.SQL, at, s.Pos)
	}
	if end := s.Locate(len(s.SQL)); end.Offset > int64(offset+len(s.Text)) {
		t.Fatalf("%q ends behind its piece %q", s.SQL, s.Text)
	}
	text = ""
	for token := range s.Tokens() {
		if text == "" && token.Pos != at || token.Unterminated {
			t.Fatalf("%+v in %q", token, s.SQL)
		}
		text += token.Text
	}
	if text != s.SQL {
		t.Fatalf("the tokens of %q are %q", s.SQL, text)
	}
}

// checkWhole splits a statement again. What means something else at the beginning or the end of a file is left out.
func checkWhole(t *testing.T, sql string, d dialect.Dialect, opts lexer.Options) {
	t.Helper()
	if strings.HasPrefix(sql, "\ufeff") || strings.HasPrefix(sql, "\xff\xfe") || strings.HasPrefix(sql, "\xfe\xff") {
		return
	}
	if d.Lexical().DashNeedsSpace && strings.HasSuffix(sql, "--") {
		return // two operators before a semicolon, a comment at the end
	}
	count := 0
	for s, err := range lexer.Split(strings.NewReader(sql), d, &opts) {
		if count++; err != nil || s.SQL != sql {
			t.Fatalf("%v: %q alone splits into %q, %v", d, sql, s.SQL, err)
		}
	}
	if count != 1 {
		t.Fatalf("%v: %q alone is %d statements", d, sql, count)
	}
}

// However the bytes arrive, the statements and the errors are the same.
func FuzzStream(f *testing.F) {
	for _, input := range inputs(f) {
		for i := range dialect.All() {
			f.Add(input, uint8(i), uint8(1), uint16(0))
			f.Add(input, uint8(i), uint8(3), uint16(30))
		}
	}
	f.Fuzz(func(t *testing.T, input string, n, step uint8, limit uint16) {
		d, opts := pick(n)
		opts.MaxStatementBytes = int(limit)
		whole := list(lexer.Pieces(strings.NewReader(input), d, &opts))
		for how, pieces := range map[string]iter.Seq2[lexer.Statement, error]{
			"byte by byte": lexer.PiecesBy(1, iotest.OneByteReader(strings.NewReader(input)), d, &opts),
			"in steps":     lexer.PiecesBy(int(step)+1, iotest.DataErrReader(iotest.HalfReader(strings.NewReader(input))), d, &opts),
		} {
			if got := list(pieces); got != whole {
				t.Fatalf("%v, %s: %q\n got %s\nwant %s", d, how, input, got, whole)
			}
		}
	})
}

func list(pieces iter.Seq2[lexer.Statement, error]) (text string) {
	for s, err := range pieces {
		text += fmt.Sprintf("%q %q %v %v\n", s.Text, s.SQL, s.Pos, err)
	}
	return text
}

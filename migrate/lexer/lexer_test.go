package lexer_test

import (
	"errors"
	"fmt"
	"io"
	"math"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/buffkit/buffkit/migrate/dialect"
	"github.com/buffkit/buffkit/migrate/lexer"
)

// words writes tokens as "Kind text", white space left out.
func words(sql string, d dialect.Dialect) string {
	var all []string
	for t := range lexer.Tokens(sql, d, nil) {
		if t.Kind != lexer.Space {
			all = append(all, fmt.Sprintf("%v %s", t.Kind, strings.ReplaceAll(t.Text, "\n", "␊")))
		}
	}
	return strings.Join(all, " | ")
}

func TestTokens(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		d    dialect.Dialect
		sql  string
		want string
	}{
		{"words and punctuation", dialect.Postgres, "a.b, (c)", "Word a | Punct . | Word b | Punct , | Punct ( | Word c | Punct )"},
		{"strings of PostgreSQL", dialect.Postgres, "'a' e'\\'' U&'b' b'1' X'f' n'c' $$d$$ $t$e$t$",
			"String 'a' | EscapeString e'\\'' | UnicodeString U&'b' | BitString b'1' | HexString X'f' | NationalString n'c' | DollarString $$d$$ | DollarString $t$e$t$"},
		{"an escape string that goes on", dialect.Postgres, "E'a'\n'\\''", "EscapeString E'a' | EscapeString '\\''"},
		{"quoted names of PostgreSQL", dialect.Postgres, `"a""b" U&"c"`, `QuotedIdent "a""b" | QuotedIdent U&"c"`},
		{"operators of PostgreSQL", dialect.Postgres, "a::b <@ c #>> d := $1 ?| `", "Word a | Operator :: | Word b | Operator <@ | Word c | Operator #>> | Word d | Operator := | Param $1 | Operator ?| | Operator `"},
		{"an operator before a comment", dialect.Postgres, "+-- x", "Operator + | LineComment -- x"},
		{"an operator before a block comment", dialect.Postgres, "@/* x */-", "Operator @ | BlockComment /* x */ | Operator -"},
		{"numbers of PostgreSQL", dialect.Postgres, "1 1.5 .5 1e-10 1_000 0x1F 1..2 1.e", "Number 1 | Number 1.5 | Number .5 | Number 1e-10 | Number 1_000 | Number 0x1F | Number 1 | Punct . | Number .2 | Number 1. | Word e"},
		{"a parameter at the end", dialect.Postgres, "$12", "Param $12"},
		{"a tag that the text ends in", dialect.Postgres, "$ab", "Other $ | Word ab"},
		{"rows", dialect.Postgres, "COPY t FROM stdin; --x\n1\t'\n\\.\nSELECT",
			"Word COPY | Word t | Word FROM | Word stdin | Semicolon ; | LineComment --x | CopyData 1\t'␊ | CopyEnd \\.␊ | Word SELECT"},
		{"rows that aren't ended", dialect.Postgres, "COPY t FROM stdin;\n1", "Word COPY | Word t | Word FROM | Word stdin | Semicolon ; | CopyData 1"},
		{"no rows", dialect.Postgres, "COPY (SELECT FROM stdin) TO x;\n1", "Word COPY | Punct ( | Word SELECT | Word FROM | Word stdin | Punct ) | Word TO | Word x | Semicolon ; | Number 1"},
		{"commands of psql", dialect.Postgres, "\\d a;b\nx", "ClientCommand \\d a;b | Word x"},
		{"strings of MySQL", dialect.MySQL, `'a\'' "b\"" _utf8'c' N'd'`, `String 'a\'' | String "b\"" | Word _utf8 | String 'c' | NationalString N'd'`},
		{"comments of MySQL", dialect.MySQL, "# a\n-- b\n--c/**/", "LineComment # a | LineComment -- b | Operator - | Operator - | Word c | BlockComment /**/"},
		{"conditional comments", dialect.MySQL, "/*!40101 a /* b */*/", "CondOpen /*!40101 | Word a | BlockComment /* b */ | CondClose */"},
		{"conditional comments of MariaDB", dialect.MariaDB, "/*M!100100a*/", "CondOpen /*M!100100 | Word a | CondClose */"},
		{"variables", dialect.MySQL, "@a @@b.c @`d` :=", "Variable @a | Variable @@b.c | Variable @`d` | Operator :="},
		{"words of MySQL", dialect.MySQL, "2024_a $b 1e 1e5 0xF ? \\N", "Word 2024_a | Word $b | Word 1e | Number 1e5 | Number 0xF | Param ? | Word \\N"},
		{"a delimiter", dialect.MySQL, "DELIMITER $$\na$$b;$$", "Directive DELIMITER $$ | Word a | Delimiter $$ | Word b | Semicolon ; | Delimiter $$"},
		{"commands of mysql", dialect.MySQL, `a\G`, `Word a | ClientCommand \G`},
		{"names of SQLite", dialect.SQLite, "[a b] `c` \"d\"", "QuotedIdent [a b] | QuotedIdent `c` | QuotedIdent \"d\""},
		{"parameters of SQLite", dialect.SQLite, "?1 :a @b $c #", "Param ?1 | Param :a | Param @b | Param $c | Other #"},
		{"commands of sqlite3", dialect.SQLite, ".read x;\ny", "ClientCommand .read x; | Word y"},
		{"a byte order mark", dialect.SQLite, "\ufeffa\ufeff", "BOM \ufeff | Word a\ufeff"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := words(tt.sql, tt.d); got != tt.want {
				t.Errorf("\n got %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestTokenIs(t *testing.T) {
	t.Parallel()
	for token := range lexer.Tokens(`Create "create"`, dialect.Postgres, nil) {
		if want := token.Text == "Create"; token.Is("CREATE") != want {
			t.Errorf("%q is CREATE: %v", token.Text, !want)
		}
	}
}

// The iterator of Tokens has no state of its own.
func TestTokensCanBeReadAgainAndLeft(t *testing.T) {
	t.Parallel()
	tokens := lexer.Tokens("DELIMITER //\nSELECT 1//", dialect.MySQL, nil)
	for range tokens {
		break
	}
	count := func() (n int) {
		for range tokens {
			n++
		}
		return n
	}
	if a, b := count(), count(); a != b || a == 0 {
		t.Errorf("%d tokens, then %d", a, b)
	}
}

func first(t *testing.T, sql string, d dialect.Dialect) lexer.Statement {
	t.Helper()
	for s, err := range lexer.Split(strings.NewReader(sql), d, &lexer.Options{File: "x.sql"}) {
		if err != nil {
			t.Fatal(err)
		}
		return s // leaving early must not harm
	}
	t.Fatal("no statement")
	return lexer.Statement{}
}

// What a server says about a statement is shown at its place in the file.
func TestAServersErrorIsShownInTheFile(t *testing.T) {
	t.Parallel()
	s := first(t, "\ufeff\n -- größe\n SELECT 'ä', nowhere\n FROM t; -- x\n", dialect.Postgres)
	offset := strings.Index(s.SQL, "nowhere")
	refused := errors.New("column does not exist")
	err := s.Fault(offset, refused.Error(), "add it first", refused)
	const want = "x.sql:3:14: column does not exist\n     SELECT 'ä', nowhere\n                 ^\nadd it first"
	if err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
	if !errors.Is(err, refused) {
		t.Error("the server's error is lost")
	}
	for offset, want := range map[int]string{-1: "x.sql:2:2", 0: "x.sql:2:2", 1 << 30: "x.sql:4:8"} {
		if got := s.Locate(offset).String(); got != want {
			t.Errorf("byte %d is at %s, want %s", offset, got, want)
		}
	}
	if got := s.Pos.String(); got != "x.sql:3:2" {
		t.Errorf("the statement is at %s", got)
	}
}

func TestAPositionWithoutAFile(t *testing.T) {
	t.Parallel()
	if got := (lexer.Position{Line: 3, Column: 7}).String(); got != "3:7" {
		t.Error(got)
	}
}

func TestAReadersErrorEndsTheSplit(t *testing.T) {
	t.Parallel()
	broken := errors.New("disk on fire")
	r := io.MultiReader(strings.NewReader("SELECT 1;\nSELECT 2;\nSELECT "+strings.Repeat("a", 100)), iotest.ErrReader(broken))
	var got []string
	for s, err := range lexer.Split(r, dialect.SQLite, &lexer.Options{File: "x.sql"}) {
		if err != nil {
			if !errors.Is(err, broken) || !strings.Contains(err.Error(), "x.sql:3:108") {
				t.Errorf("%v", err)
			}
			got = append(got, "error")
			continue
		}
		got = append(got, s.SQL)
	}
	if want := "SELECT 1, SELECT 2, error"; strings.Join(got, ", ") != want {
		t.Errorf("got %q", got)
	}
}

type stuckReader struct{}

func (stuckReader) Read([]byte) (int, error) { return 0, nil }

func TestAReaderThatGivesNothingEndsTheSplit(t *testing.T) {
	t.Parallel()
	for _, err := range lexer.Split(stuckReader{}, dialect.Postgres, nil) {
		if !errors.Is(err, io.ErrNoProgress) {
			t.Errorf("%v", err)
		}
		return
	}
	t.Error("no error")
}

func TestEachFaultHasItsError(t *testing.T) {
	t.Parallel()
	tests := []struct {
		sql  string
		d    dialect.Dialect
		want error
	}{
		{"SELECT '", dialect.Postgres, lexer.ErrUnterminated},
		{"/*!40101 SELECT 1", dialect.MySQL, lexer.ErrUnterminated},
		{"CREATE TRIGGER t AFTER INSERT ON a BEGIN SELECT 1;", dialect.SQLite, lexer.ErrUnclosed},
		{"CREATE PROCEDURE p() BEGIN SELECT 1;", dialect.MariaDB, lexer.ErrUnclosed},
		{`\connect x`, dialect.Postgres, lexer.ErrClientCommand},
		{"COPY t FROM stdin;\n", dialect.Postgres, lexer.ErrCopyRows},
		{"DELIMITER\n", dialect.MySQL, lexer.ErrDelimiter},
		{"SELECT 123456789012345678901234567890;", dialect.SQLite, lexer.ErrTooLarge},
		{"SELECT 1;\x00", dialect.SQLite, lexer.ErrEncoding},
	}
	for _, tt := range tests {
		var got error
		for _, err := range lexer.Split(strings.NewReader(tt.sql), tt.d, &lexer.Options{MaxStatementBytes: 30}) {
			got = err
		}
		if len(tt.sql) > 30 && tt.want != lexer.ErrTooLarge {
			for _, err := range lexer.Split(strings.NewReader(tt.sql), tt.d, nil) {
				got = err
			}
		}
		var e *lexer.Error
		if !errors.Is(got, tt.want) || !errors.As(got, &e) || e.Hint == "" {
			t.Errorf("%v: %q: %v, want %v with a hint", tt.d, tt.sql, got, tt.want)
		}
	}
}

// A tag may be longer than what is read at once.
func TestALongTagIsFound(t *testing.T) {
	t.Parallel()
	tag := "$" + strings.Repeat("a", 200_000) + "$"
	for s, err := range lexer.Split(strings.NewReader("SELECT "+tag+";"+tag+"; SELECT 2"), dialect.Postgres, &lexer.Options{MaxStatementBytes: math.MaxInt}) {
		if err != nil || s.Pos.Offset == 0 && len(s.SQL) != len("SELECT ;")+2*len(tag) {
			t.Fatalf("%d bytes, %.100v", len(s.SQL), err)
		}
	}
}

// repeat reads the same text again and again.
type repeat struct {
	text string
	left int // bytes
	at   int
}

func (r *repeat) Read(p []byte) (int, error) {
	if r.left == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), r.left)], r.text[r.at:])
	r.at = (r.at + n) % len(r.text)
	r.left -= n
	return n, nil
}

// However large a file is, it takes the memory of its longest statement.
func TestALargeFileTakesLittleMemory(t *testing.T) { // not parallel: it measures
	const statement = "INSERT INTO t (a, b) VALUES (1, 'it''s; so');\n"
	size := 30_000_000 // more than it may take; the race detector makes the lexer slow
	if testing.Short() {
		size /= 6
	}
	size -= size % len(statement)
	var before, now, most runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	count := 0
	for s, err := range lexer.Split(&repeat{text: statement, left: size}, dialect.Postgres, nil) {
		if err != nil || len(s.SQL) != len(statement)-2 {
			t.Fatal(s.SQL, err)
		}
		if count++; count%100_000 == 0 {
			runtime.ReadMemStats(&now)
			most.HeapInuse = max(most.HeapInuse, now.HeapInuse)
		}
	}
	if want := size / len(statement); count != want {
		t.Errorf("%d statements, want %d", count, want)
	}
	if used := int64(most.HeapInuse) - int64(before.HeapInuse); used > 16<<20 {
		t.Errorf("%d bytes of heap for statements of %d bytes", used, len(statement))
	}
}

// A quote that is missing at the beginning of a large file is told after MaxStatementBytes, not after the file.
func TestALimitEndsTheReading(t *testing.T) {
	t.Parallel()
	long := &repeat{text: "a, ", left: 50_000_000}
	for _, err := range lexer.Split(io.MultiReader(strings.NewReader("SELECT '"), long), dialect.SQLite, &lexer.Options{MaxStatementBytes: 1 << 10}) {
		if !errors.Is(err, lexer.ErrTooLarge) || !strings.Contains(err.Error(), "1:8: the statement with this is longer than 1 KiB") {
			t.Errorf("%v", err)
		}
	}
	if read := 50_000_000 - long.left; read > 1<<20 {
		t.Errorf("%d bytes were read", read)
	}
}

// Time is in proportion to the input, whatever it is: were it the square, this would take many minutes.
func TestNothingTakesSquareTime(t *testing.T) {
	t.Parallel()
	const size = 64 << 10
	for _, text := range []string{
		"'", "E'\\'", "$a", "$", "$a$", "$ä", "/*", "*/", "/*/", "--", "-", "\"", "`", "[", "(", ";", "; ", ";\n", ";--", "; /*a*/", "a", "a.", "1", "1.", ".",
		"\\", "\n", " ", "@", ":", "#\n", "BEGIN ", "CASE ", "IF a THEN ", "DELIMITER //\n", "/*!1 ", "E'a'\n", "x'", "COPY a FROM stdin;\n", "\xff", "\x00",
	} {
		for _, d := range dialect.All() {
			for _, before := range []string{"", "DELIMITER aaaaaaaaaaaaaa;\n", "CREATE PROCEDURE p() BEGIN "} {
				for range lexer.Split(io.MultiReader(strings.NewReader(before), &repeat{text: text, left: size}), d, nil) {
				}
			}
		}
	}
}

package lint_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/buffkit/buffkit/migrate/dialect"
	"github.com/buffkit/buffkit/migrate/lexer"
	"github.com/buffkit/buffkit/migrate/lint"
	"github.com/buffkit/buffkit/migrate/source"
)

// corpus returns the texts of testdata and of the lexer's cases.
func corpus(t testing.TB) (texts []string) {
	t.Helper()
	paths, err := filepath.Glob("testdata/rules/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		for _, c := range readRule(t, path) {
			texts = append(texts, c.written)
		}
	}
	for _, pattern := range []string{"testdata/sane/*/*.sql", "../lexer/testdata/split/*.txt"} {
		paths, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasSuffix(path, ".txt") {
				texts = append(texts, string(text))
				continue
			}
			texts = append(texts, strings.Split(string(text), "\n#### ")...)
		}
	}
	return texts
}

// check lints a text as both directions of a migration, after another one, and looks at all that it finds.
func check(t testing.TB, before, text string, n uint8) []lint.Finding {
	t.Helper()
	d := dialect.All()[n%4]
	script := func(path, text string) lint.Script {
		opts := &lexer.Options{File: path, ANSIQuotes: n&4 != 0}
		return lint.Script{Path: path, Header: source.Header{NoTransaction: n&8 != 0}, Statements: lexer.Split(strings.NewReader(text), d, opts)}
	}
	down := script("2.down.sql", text)
	migrations := []lint.Migration{
		{Up: script("1.up.sql", before), Applied: n&16 != 0},
		{Up: script("2.up.sql", text), Down: &down},
	}
	findings, err := lint.Check(migrations, d, &lint.Options{Rows: func(table string) (int64, bool) { return int64(len(table)) << 17, table != "" }})
	if err != nil {
		return nil // what can't be taken apart
	}
	for _, f := range findings {
		checkFinding(t, f, text)
	}
	return findings
}

// checkWritten writes findings in all formats.
func checkWritten(t testing.TB, findings []lint.Finding) {
	t.Helper()
	for name, write := range writers {
		var b bytes.Buffer
		if err := write(&b, findings); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if name == "text" && strings.ContainsAny(b.String(), "\x1b\r\x00") {
			t.Fatalf("%q isn't fit for a terminal", b.String())
		}
		if name != "text" && !json.Valid(b.Bytes()) {
			t.Fatalf("%s isn't JSON: %s", name, b.String())
		}
	}
}

func checkFinding(t testing.TB, f lint.Finding, text string) {
	t.Helper()
	if f.Rule == "" || f.Severity == lint.Off || f.Message == "" || strings.Contains(f.Message, "\n") || f.Fix == "" || f.Pos.Line < 1 || f.Pos.Column < 1 {
		t.Fatalf("an incomplete finding: %+v", f)
	}
	if strings.HasPrefix(f.Pos.File, "2.") && f.Pos.Offset > int64(len(text)) {
		t.Fatalf("%+v is behind the end of %q", f, text)
	}
	if utf8.RuneCountInString(f.Statement) > 120 {
		t.Fatalf("the statement isn't shortened: %q", f.Statement)
	}
}

func FuzzCheck(f *testing.F) {
	for i, text := range corpus(f) {
		f.Add("CREATE TABLE t (a int, b int);", text, uint8(i))
	}
	f.Fuzz(func(t *testing.T, before, text string, n uint8) {
		if findings := check(t, before, text, n); n%8 == 0 { // writing takes longer than finding
			checkWritten(t, findings)
		}
	})
}

// maxCuts bounds how often one text is cut: together they take about a second.
const maxCuts = 6

// The corpus is cut off, or misses a token, at places all over, which is where a recognizer forgets to look for the end.
func TestBrokenStatementsDoNoHarm(t *testing.T) {
	t.Parallel()
	for i, text := range corpus(t) {
		d := dialect.All()[i%4]
		var all []lexer.Token
		for token := range lexer.Tokens(text, d, nil) {
			all = append(all, token)
		}
		for k := i % 7; k < len(all); k += 1 + len(all)/maxCuts {
			at := int(all[k].Pos.Offset)
			check(t, "", text[:at], uint8(i))
			check(t, "", text[:at]+text[at+len(all[k].Text):], uint8(i+k))
		}
	}
}

package lexer_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/buffkit/buffkit/migrate/dialect"
	"github.com/buffkit/buffkit/migrate/lexer"
)

var update = flag.Bool("update", false, "rewrite what testdata/split expects")

// splitCase is one of testdata/split: testdata/README.md.
type splitCase struct {
	name     string
	header   string // the line with the name and the options
	written  string // the input as it stands in the file
	input    string
	want     string
	opts     lexer.Options
	dialects []dialect.Dialect
}

const (
	caseMark      = "#### "
	statementMark = "#=> "
	errorMark     = "#!! "
)

func readCases(t testing.TB, path string) (cases []splitCase) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	dialects := dialect.All()
	if name := strings.TrimSuffix(filepath.Base(path), ".txt"); name != "all" {
		dialects = nil
		for _, name := range strings.Split(name, "+") {
			d, err := dialect.Parse(name)
			if err != nil {
				t.Fatal(err)
			}
			dialects = append(dialects, d)
		}
	}
	for i, body := range strings.Split("\n"+strings.TrimSuffix(string(text), "\n"), "\n"+caseMark) {
		if i > 0 {
			cases = append(cases, parseCase(t, body, dialects))
		}
	}
	return cases
}

func parseCase(t testing.TB, body string, dialects []dialect.Dialect) splitCase {
	t.Helper()
	header, body, _ := strings.Cut(body+"\n", "\n")
	c := splitCase{header: header, written: body, dialects: dialects}
	for _, mark := range []string{statementMark, errorMark} {
		if i := strings.Index("\n"+c.written, "\n"+mark); i >= 0 {
			c.written, c.want = c.written[:i], body[i:]
		}
	}
	name, options, _ := strings.Cut(strings.TrimSuffix(header, "]"), " [")
	c.name, c.input = name, c.written
	for _, option := range strings.Fields(options) {
		c.apply(t, option)
	}
	c.want = strings.TrimRight(c.want, "\n")
	return c
}

func (c *splitCase) apply(t testing.TB, option string) {
	t.Helper()
	var err error
	switch key, value, _ := strings.Cut(option, "="); key {
	case "crlf":
		c.input = strings.ReplaceAll(c.input, "\n", "\r\n")
	case "bom":
		c.input = "\ufeff" + c.input
	case "nonl":
		c.input = strings.TrimSuffix(strings.TrimSuffix(c.input, "\n"), "\r")
	case "esc":
		quoted := `"` + strings.NewReplacer(`"`, `\"`, "\n", `\n`).Replace(c.input) + `"`
		c.input, err = strconv.Unquote(quoted)
	case "ansi":
		c.opts.ANSIQuotes = true
	case "nobackslash":
		c.opts.NoBackslashEscapes = true
	case "max":
		c.opts.MaxStatementBytes, err = strconv.Atoi(value)
	default:
		t.Fatalf("%s: no option %q", c.header, option)
	}
	if err != nil {
		t.Fatalf("%s: %v", c.header, err)
	}
}

// show writes what Split says in the manner of the files. A hint differs from dialect to dialect.
func (c splitCase) show(r io.Reader, d dialect.Dialect) string {
	opts := c.opts
	opts.File = "x.sql"
	var text strings.Builder
	for s, err := range lexer.Split(r, d, &opts) {
		if err != nil {
			if e := new(lexer.Error); errors.As(err, &e) && len(c.dialects) > 1 {
				e.Hint = ""
			}
			fmt.Fprintf(&text, "%s%v\n", errorMark, err)
			continue
		}
		fmt.Fprintf(&text, "%s%d:%d\n%s\n", statementMark, s.Pos.Line, s.Pos.Column, s.SQL)
	}
	valid := strings.ToValidUTF8(text.String(), "\ufffd")
	return strings.TrimRight(strings.ReplaceAll(valid, "\r", "␍"), "\n")
}

// joined returns the texts of all pieces before an error.
func joined(r io.Reader, d dialect.Dialect, opts lexer.Options) (text string, err error) {
	for s, e := range lexer.Pieces(r, d, &opts) {
		text += s.Text
		err = e
	}
	return text, err
}

// minCases is what the corpus was promised to hold. A case that runs for several dialects counts once.
const minCases = 300

func TestSplitGolden(t *testing.T) {
	t.Parallel()
	paths, err := filepath.Glob("testdata/split/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	for _, path := range paths {
		cases := readCases(t, path)
		count += len(cases)
		if *update {
			rewrite(t, path, cases)
		}
		names := map[string]bool{}
		for _, c := range cases {
			if names[c.name] {
				t.Errorf("%s: two cases are named %q", path, c.name)
			}
			names[c.name] = true
			for _, d := range c.dialects {
				t.Run(d.String()+"/"+c.name, func(t *testing.T) { c.check(t, d) })
			}
		}
	}
	if count < minCases {
		t.Errorf("%d cases, want at least %d", count, minCases)
	}
}

func (c splitCase) check(t *testing.T, d dialect.Dialect) {
	if got := c.show(strings.NewReader(c.input), d); got != c.want {
		t.Errorf("%q\ngot\n%s\nwant\n%s", c.input, got, c.want)
	}
	if got := c.show(iotest.OneByteReader(strings.NewReader(c.input)), d); got != c.want {
		t.Errorf("byte by byte: %q\ngot\n%s\nwant\n%s", c.input, got, c.want)
	}
	text, err := joined(strings.NewReader(c.input), d, c.opts)
	if err == nil && text != c.input || !strings.HasPrefix(c.input, text) {
		t.Errorf("the pieces joined are\n%q\nbut the input is\n%q", text, c.input)
	}
}

func rewrite(t *testing.T, path string, cases []splitCase) {
	t.Helper()
	var text bytes.Buffer
	for i := range cases {
		c := &cases[i]
		c.want = c.show(strings.NewReader(c.input), c.dialects[0])
		fmt.Fprintf(&text, "%s%s\n%s", caseMark, c.header, c.written)
		if c.want != "" {
			text.WriteString(c.want + "\n")
		}
	}
	if err := os.WriteFile(path, text.Bytes(), 0o666); err != nil {
		t.Fatal(err)
	}
}

// inputs returns those of the whole corpus, for fuzzing.
func inputs(t testing.TB) (all []string) {
	t.Helper()
	paths, _ := filepath.Glob("testdata/split/*.txt")
	for _, path := range paths {
		for _, c := range readCases(t, path) {
			all = append(all, c.input)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

package lint_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/buffkit/buffkit/migrate/dialect"
	"github.com/buffkit/buffkit/migrate/lint"
	"github.com/buffkit/buffkit/migrate/source"
)

var update = flag.Bool("update", false, "rewrite what testdata/rules expects, and docs/lint.md")

// ruleCase is one of testdata/rules: testdata/README.md.
type ruleCase struct {
	rule    string // from the file's name
	header  string
	bad     bool
	dialect dialect.Dialect
	written string // as it stands in the file
	want    string
	opts    lint.Options
	applied int // how many of its files have run
	noDown  bool
}

const (
	caseMark = "#### "
	fileMark = "==== "
	wantMark = "#=> "
)

func readRule(t testing.TB, path string) (cases []*ruleCase) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i, body := range strings.Split("\n"+strings.TrimSuffix(string(text), "\n"), "\n"+caseMark) {
		if i > 0 {
			cases = append(cases, parseRuleCase(t, strings.TrimSuffix(filepath.Base(path), ".txt"), body))
		}
	}
	return cases
}

func parseRuleCase(t testing.TB, rule, body string) *ruleCase {
	t.Helper()
	header, body, _ := strings.Cut(body+"\n", "\n")
	c := &ruleCase{rule: rule, header: header, written: body}
	if i := strings.Index("\n"+body, "\n"+wantMark); i >= 0 {
		c.written, c.want = body[:i], strings.TrimRight(body[i:], "\n")
	}
	fields := strings.Fields(header)
	if len(fields) < 2 || fields[0] != "bad" && fields[0] != "good" {
		t.Fatalf("%s: the header %q isn't bad or good, a database and options", rule, header)
	}
	c.bad = fields[0] == "bad"
	var err error
	if c.dialect, err = dialect.Parse(fields[1]); err != nil {
		t.Fatalf("%s: %v", rule, err)
	}
	for _, option := range fields[2:] {
		c.apply(t, option)
	}
	return c
}

func (c *ruleCase) apply(t testing.TB, option string) {
	t.Helper()
	key, value, _ := strings.Cut(option, "=")
	switch key {
	case "version":
		c.opts.Version = value
	case "rows":
		n, err := strconv.ParseInt(value, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		c.opts.Rows = func(string) (int64, bool) { return n, true }
	case "runner":
		c.opts.Runner = lint.Runner{LockTimeout: true, ForeignKeysOff: true}
	case "applied":
		c.applied, _ = strconv.Atoi(value)
	case "no-down":
		c.noDown = true
	default:
		t.Fatalf("%s: no option %q", c.header, option)
	}
}

// folder makes files of the case: one, or several behind lines that begin with ====, or with both sections.
func (c *ruleCase) folder() fstest.MapFS {
	fsys := fstest.MapFS{}
	for i, text := range strings.Split("\n"+c.written, "\n"+fileMark) {
		if i > 0 {
			_, text, _ = strings.Cut(text, "\n")
		} else if text = strings.TrimPrefix(text, "\n"); text == "" {
			continue
		}
		name := fmt.Sprintf("%04d_x", i)
		if strings.Contains(text, "-- migrate:up") {
			fsys[name+".sql"] = &fstest.MapFile{Data: []byte(text)}
			continue
		}
		fsys[name+".up.sql"] = &fstest.MapFile{Data: []byte(text)}
		if !c.noDown {
			fsys[name+".down.sql"] = &fstest.MapFile{}
		}
	}
	return fsys
}

func (c *ruleCase) findings(t testing.TB) []lint.Finding {
	t.Helper()
	files, err := source.Load(c.folder(), c.dialect, nil)
	if err != nil {
		t.Fatalf("%s, %s: %v", c.rule, c.header, err)
	}
	var migrations []lint.Migration
	for i, m := range files {
		linted := lint.Of(m, nil)
		linted.Applied = i < c.applied
		migrations = append(migrations, linted)
	}
	findings, err := lint.Check(migrations, c.dialect, &c.opts)
	if err != nil {
		t.Fatalf("%s, %s: %v", c.rule, c.header, err)
	}
	return findings
}

// show writes what the case's rule finds.
func (c *ruleCase) show(t testing.TB) string {
	var b strings.Builder
	for _, f := range c.findings(t) {
		if f.Rule == c.rule {
			fmt.Fprintf(&b, "%s%s:%d:%d %s: %s\n", wantMark, f.Pos.File, f.Pos.Line, f.Pos.Column, f.Severity, f.Message)
			for line := range strings.Lines(f.Fix) {
				fmt.Fprintf(&b, "%s  %s\n", wantMark, strings.TrimRight(line, "\n"))
			}
		}
	}
	return strings.TrimRight(b.String(), "\n")
}

// minRules is how many the linter was promised to have.
const minRules = 40

func TestRules(t *testing.T) {
	t.Parallel()
	all := lint.Rules()
	if len(all) < minRules {
		t.Errorf("%d rules, want at least %d", len(all), minRules)
	}
	ids := map[string]bool{}
	for _, r := range all {
		if ids[r.ID] {
			t.Errorf("two rules are named %s", r.ID)
		}
		ids[r.ID] = true
		t.Run(r.ID, func(t *testing.T) { checkRule(t, r) })
	}
	paths, _ := filepath.Glob("testdata/rules/*.txt")
	for _, path := range paths {
		if id := strings.TrimSuffix(filepath.Base(path), ".txt"); !ids[id] {
			t.Errorf("%s is for no rule", path)
		}
	}
}

func checkRule(t *testing.T, r lint.Rule) {
	for what, text := range map[string]string{"title": r.Title, "reason": r.Why, "safe way": r.Safe, "category": string(r.Category)} {
		if strings.TrimSpace(text) == "" {
			t.Errorf("it has no %s", what)
		}
	}
	if r.Severity == lint.Off || len(r.Dialects) == 0 {
		t.Error("it has no severity, or no database")
	}
	path := filepath.Join("testdata", "rules", r.ID+".txt")
	cases := readRule(t, path)
	tried := map[bool]int{}
	inDialect := map[dialect.Dialect]bool{}
	for _, c := range cases {
		tried[c.bad]++
		if c.bad {
			inDialect[c.dialect] = true
		}
		got := c.show(t)
		if *update {
			c.want = got
		}
		if got != c.want {
			t.Errorf("%s\n%s\ngot\n%s\nwant\n%s", c.header, c.written, got, c.want)
		}
		if c.bad != (got != "") {
			t.Errorf("%s\n%s\nthis is %v, but the rule finds %q", c.header, c.written, strings.Fields(c.header)[0], got)
		}
	}
	if tried[true] == 0 || tried[false] == 0 {
		t.Errorf("it has %d bad cases and %d good ones, want both", tried[true], tried[false])
	}
	for d := range inDialect {
		if !slices.Contains(r.Dialects, d) {
			t.Errorf("it has a bad case in %v, where it doesn't look", d)
		}
	}
	for _, d := range r.Dialects {
		if !inDialect[d] && d != dialect.MariaDB {
			t.Errorf("it has no bad case in %v", d)
		}
	}
	if *update {
		writeRule(t, path, cases)
	}
}

func writeRule(t *testing.T, path string, cases []*ruleCase) {
	t.Helper()
	var b bytes.Buffer
	for _, c := range cases {
		fmt.Fprintf(&b, "%s%s\n%s", caseMark, c.header, c.written)
		if c.want != "" {
			b.WriteString(c.want + "\n")
		}
	}
	if err := os.WriteFile(path, b.Bytes(), 0o666); err != nil {
		t.Fatal(err)
	}
}

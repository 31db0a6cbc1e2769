package archtest_test

import (
	"fmt"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// page is one Markdown file.
type page struct{ path, text string }

func pages(t *testing.T) []page {
	t.Helper()
	names, err := walk(true, ".md")
	if err != nil {
		t.Fatal(err)
	}
	var all []page
	for _, name := range names {
		all = append(all, page{name, read(t, name)})
	}
	return all
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// block is a fenced block of code.
type block struct {
	language, text string
	line           int // of its first line
}

// split takes a page apart into its blocks of code and the text between them.
func split(text string) (blocks []block, prose string) {
	var open *block
	n := 0
	for line := range strings.Lines(text) {
		n++
		fence, isFence := strings.CutPrefix(strings.TrimSpace(line), "```")
		switch {
		case isFence && open == nil:
			open = &block{language: fence, line: n + 1}
		case isFence:
			blocks = append(blocks, *open)
			open = nil
		case open != nil:
			open.text += line
		default:
			prose += line
		}
	}
	return blocks, prose
}

func programs(p page) []block {
	var found []block
	blocks, _ := split(p.text)
	for _, b := range blocks {
		if b.language == "go" && strings.HasPrefix(b.text, "package ") {
			found = append(found, b)
		}
	}
	return found
}

// Whole files of Go in the README and the documentation compile, and vet has nothing against them.
func TestProgramsInTheDocumentationCompile(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("runs go vet for each program")
	}
	for _, p := range pages(t) {
		if p.path != "README.md" && path.Dir(p.path) != "docs" {
			continue
		}
		for _, b := range programs(p) {
			t.Run(fmt.Sprintf("%s:%d", p.path, b.line), func(t *testing.T) {
				t.Parallel()
				file := filepath.Join(t.TempDir(), "main.go")
				if err := os.WriteFile(file, []byte(b.text), 0o600); err != nil {
					t.Fatal(err)
				}
				if out, err := goCommand(t, root, nil, "vet", file); err != nil {
					t.Errorf("%v\n%s", err, out)
				}
			})
		}
	}
}

// What a newcomer copies is what is compiled and tried.
func TestTheReadmeShowsTheQuickStart(t *testing.T) {
	t.Parallel()
	const example = "examples/quickstart/main.go"
	_, code, ok := strings.Cut(read(t, example), "\npackage main\n")
	if !ok {
		t.Fatalf("%s has no comment before its package clause", example)
	}
	code = "package main\n" + code
	shown := programs(page{"README.md", read(t, "README.md")})
	for _, b := range shown {
		if b.text == code {
			return
		}
	}
	if len(shown) == 0 {
		t.Fatalf("README.md has no block of Go that starts with its package clause: it must show %s", example)
	}
	t.Errorf("no block of README.md is %s without its comment. The first one differs%s", example, difference(shown[0], code))
}

func difference(b block, want string) string {
	got, wanted := strings.Split(b.text, "\n"), strings.Split(want, "\n")
	for i := range min(len(got), len(wanted)) {
		if got[i] != wanted[i] {
			return fmt.Sprintf(" at README.md:%d:\n\t%s\nand in the example:\n\t%s", b.line+i, got[i], wanted[i])
		}
	}
	return fmt.Sprintf(": %d lines against %d", len(got), len(wanted))
}

func TestLinksLeadSomewhere(t *testing.T) {
	t.Parallel()
	exists := func(name string) bool {
		_, err := os.Stat(filepath.Join(root, filepath.FromSlash(name)))
		return err == nil
	}
	for _, p := range pages(t) {
		report(t, checkLinks(p, exists))
	}
}

// The ways to write a link: [text](target), [name]: target, and HTML's attributes.
var (
	inlineLink = regexp.MustCompile(`\]\(<?([^()\s>]+)>?(?:\s+"[^"]*")?\)`)
	namedLink  = regexp.MustCompile(`(?m)^\s{0,3}\[[^\]]+\]:\s+(\S+)`)
	htmlLink   = regexp.MustCompile(`(?:href|src|srcset)="([^"]+)"`)
	inlineCode = regexp.MustCompile("`[^`\n]*`")
)

func checkLinks(p page, exists func(name string) bool) (faults []string) {
	_, prose := split(p.text)
	prose = inlineCode.ReplaceAllString(prose, "")
	for _, kind := range []*regexp.Regexp{inlineLink, namedLink, htmlLink} {
		for _, match := range kind.FindAllStringSubmatch(prose, -1) {
			target, err := url.Parse(match[1])
			if err != nil {
				faults = append(faults, fmt.Sprintf("%s: the link %s isn't one: %v", p.path, match[1], err))
				continue
			}
			if target.Scheme != "" || target.Host != "" || target.Path == "" {
				continue
			}
			name := path.Join(path.Dir(p.path), target.Path)
			if path.IsAbs(target.Path) {
				name = path.Clean(target.Path[1:])
			}
			if !exists(name) {
				faults = append(faults, fmt.Sprintf("%s: the link %s leads nowhere: there is no %s", p.path, match[1], name))
			}
		}
	}
	return faults
}

func TestCheckLinks(t *testing.T) {
	t.Parallel()
	exists := func(name string) bool { return name == "docs/wire.md" }
	tests := []struct{ name, text, want string }{
		{"a file", "see [it](wire.md#3-cursors)", ""},
		{"from the root", "see [it](/docs/wire.md)", ""},
		{"the page itself", "see [it](#here)", ""},
		{"the web", "see [it](https://example.com/x.md)", ""},
		{"nothing there", "see [it](wires.md)", "docs/wires.md"},
		{"a named link", "[it]: ../wire.md", "no wire.md"},
		{"an image", `<img src="x.svg">`, "docs/x.svg"},
		{"a title", `[it](x.md "title")`, "docs/x.md"},
		{"in code", "`[it](x.md)`\n```\n[it](x.md)\n```\n", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			expect(t, checkLinks(page{"docs/page.md", tt.text}, exists), tt.want)
		})
	}
}

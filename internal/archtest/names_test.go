package archtest_test

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Where a page names a test as the proof of what it says, the test is there: [`TestName`](file).
func TestTestsThatPagesNameExist(t *testing.T) {
	t.Parallel()
	source := func(name string) string {
		text, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
		if err != nil {
			return ""
		}
		return string(text)
	}
	for _, p := range pages(t) {
		report(t, checkNames(p, source))
	}
}

var testLink = regexp.MustCompile("\\[`(Test\\w+)`\\]\\(([^()\\s]+)\\)")

func checkNames(p page, source func(name string) string) (faults []string) {
	_, prose := split(p.text)
	for _, match := range testLink.FindAllStringSubmatch(prose, -1) {
		name := path.Join(path.Dir(p.path), match[2])
		if !strings.Contains(source(name), "\nfunc "+match[1]+"(t *testing.T) {") {
			faults = append(faults, fmt.Sprintf("%s: there is no test %s in %s", p.path, match[1], name))
		}
	}
	return faults
}

func TestCheckNames(t *testing.T) {
	t.Parallel()
	source := func(name string) string {
		if name != "push/a_test.go" {
			return ""
		}
		return "package push\n\nfunc TestIt(t *testing.T) {\n}\n"
	}
	tests := []struct{ name, text, want string }{
		{"one that is there", "See [`TestIt`](../push/a_test.go).", ""},
		{"another one", "See [`TestI`](../push/a_test.go).", "there is no test TestI in push/a_test.go"},
		{"another file", "See [`TestIt`](../push/b_test.go).", "push/b_test.go"},
		{"in a block of code", "```\n[`TestI`](../push/a_test.go)\n```", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			expect(t, checkNames(page{"docs/faults.md", tt.text}, source), tt.want)
		})
	}
}

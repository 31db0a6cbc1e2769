package archtest_test

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/build"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// outside are the modules that aren't in the workspace, each for a reason.
var outside = map[string]string{
	"internal/tools": "a linter's dependencies would raise the versions that our tests run with",
	"bench/mercure":  "its licence is the AGPL, so it shares nothing with what we ship, and it needs a newer Go",
}

// workspace lists the folders of go.work.
func workspace(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "go.work"))
	if err != nil {
		t.Fatal(err)
	}
	var folders []string
	for _, match := range regexp.MustCompile(`(?m)^(?:use)?\s+(\.\S*)$`).FindAllSubmatch(text, -1) {
		folders = append(folders, path.Clean(string(match[1])))
	}
	return folders
}

func TestEveryModuleIsInTheWorkspace(t *testing.T) {
	t.Parallel()
	files, err := walk(true, "go.mod")
	if err != nil {
		t.Fatal(err)
	}
	used := workspace(t)
	for _, file := range files {
		folder := path.Dir(file)
		if !slices.Contains(used, folder) && outside[folder] == "" {
			t.Errorf("%s isn't in go.work, so no linter and no test sees it: run \"go work use ./%s\"", file, folder)
		}
		text, err := os.ReadFile(filepath.Join(root, file))
		if err != nil {
			t.Fatal(err)
		}
		if regexp.MustCompile(`(?m)^replace\b`).Match(text) {
			t.Errorf("%s has a replace: \"go install …@latest\" refuses such a module, and users' builds ignore it", file)
		}
	}
}

// ci/fuzz.sh finds its targets with "go test -list" over the workspace. A target that go doesn't build would never run.
func TestEveryFuzzTargetIsFound(t *testing.T) {
	t.Parallel()
	files, err := walk(true, "_test.go")
	if err != nil {
		t.Fatal(err)
	}
	used := workspace(t)
	for _, name := range files {
		src, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(src, []byte("\nfunc Fuzz")) {
			continue
		}
		s, err := parseSource(name, src)
		if err != nil {
			t.Fatal(err)
		}
		built, err := build.Default.MatchFile(filepath.Join(root, path.Dir(name)), path.Base(name))
		if err != nil {
			t.Fatal(err)
		}
		report(t, checkFuzz(s, slices.Contains(used, moduleOf(name)), built))
	}
}

// moduleOf is the folder of the module that a file is in.
func moduleOf(name string) string {
	for folder := path.Dir(name); ; folder = path.Dir(folder) {
		if _, err := os.Stat(filepath.Join(root, folder, "go.mod")); err == nil || folder == "." {
			return folder
		}
	}
}

func checkFuzz(s source, inWorkspace, built bool) (faults []string) {
	for _, decl := range s.file.Decls {
		f, ok := decl.(*ast.FuncDecl)
		if !ok || f.Recv != nil || !strings.HasPrefix(f.Name.Name, "Fuzz") {
			continue
		}
		var why string
		switch params := f.Type.Params.List; {
		case len(params) != 1 || !isTestingF(s, params[0].Type):
			why = "it doesn't take one *testing.F"
		case !inWorkspace:
			why = "its module isn't in go.work"
		case !built:
			why = "its file has a build constraint that leaves it out here"
		default:
			continue
		}
		faults = append(faults, fmt.Sprintf("%s: make fuzz doesn't run %s: %s", s.at(f), f.Name.Name, why))
	}
	return faults
}

func isTestingF(s source, expr ast.Expr) bool {
	star, ok := expr.(*ast.StarExpr)
	if !ok {
		return false
	}
	selector, ok := star.X.(*ast.SelectorExpr)
	if !ok || selector.Sel.Name != "F" {
		return false
	}
	x, ok := selector.X.(*ast.Ident)
	return ok && x.Name == s.localName("testing")
}

func TestCheckFuzz(t *testing.T) {
	t.Parallel()
	const good = `package x; import "testing"; func FuzzX(f *testing.F) {}`
	tests := []struct {
		name, src          string
		inWorkspace, built bool
		want               string
	}{
		{"one that is found", good, true, true, ""},
		{"of a module outside", good, false, true, "go.work"},
		{"of a file left out", good, true, false, "build constraint"},
		{"with a wrong parameter", `package x; import "testing"; func FuzzX(t *testing.T) {}`, true, true, "*testing.F"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			expect(t, checkFuzz(mustParse(t, "x_test.go", tt.src), tt.inWorkspace, tt.built), tt.want)
		})
	}
}

package archtest_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
)

const module = "github.com/buffkit/buffkit"

// root is the folder of the root module, seen from this package's.
var root = filepath.Join("..", "..")

// source is one Go file. Files of all platforms are read: build constraints play no role here.
type source struct {
	path string // from the root, with slashes
	file *ast.File
	fset *token.FileSet
}

func (s source) folder() string { return path.Dir(s.path) }

func (s source) isTest() bool { return strings.HasSuffix(s.path, "_test.go") }

// at is "path:line" of a node.
func (s source) at(n ast.Node) string {
	return s.path + ":" + strconv.Itoa(s.fset.Position(n.Pos()).Line)
}

// localName returns the name by which the file calls an imported package, "" if it doesn't import it.
func (s source) localName(importPath string) string {
	for _, spec := range s.file.Imports {
		if spec.Path.Value != strconv.Quote(importPath) {
			continue
		}
		if spec.Name != nil {
			return spec.Name.Name
		}
		return path.Base(importPath)
	}
	return ""
}

// calls tells whether a node is a call of pkg.name, pkg being a local name.
func calls(n ast.Node, pkg, name string) bool {
	call, ok := n.(*ast.CallExpr)
	if !ok || pkg == "" {
		return false
	}
	selector, ok := call.Fun.(*ast.SelectorExpr)
	if !ok || selector.Sel.Name != name {
		return false
	}
	x, ok := selector.X.(*ast.Ident)
	return ok && x.Name == pkg
}

func parseSource(name string, src []byte) (source, error) {
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, name, src, parser.ParseComments|parser.SkipObjectResolution)
	return source{path: name, file: file, fset: fset}, err
}

// mustParse is for the tests of the checks themselves.
func mustParse(t *testing.T, name, src string) source {
	t.Helper()
	s, err := parseSource(name, []byte(src))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// rootModule parses the Go files of the root module, once for all tests.
var rootModule = sync.OnceValues(func() ([]source, error) {
	names, err := walk(false, ".go")
	if err != nil {
		return nil, err
	}
	var all []source
	for _, name := range names {
		src, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
		if err != nil {
			return nil, err
		}
		s, err := parseSource(name, src)
		if err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, nil
})

func rootSources(t *testing.T) []source {
	t.Helper()
	all, err := rootModule()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// walk lists the files whose name ends in suffix, in the root module or, with nested, in those beside it too. Like the go
// command it passes over testdata and over folders that begin with a dot or an underscore.
func walk(nested bool, suffix string) ([]string, error) {
	var names []string
	err := filepath.WalkDir(root, func(at string, entry fs.DirEntry, err error) error {
		if err != nil || at == root {
			return err
		}
		if !entry.IsDir() {
			if strings.HasSuffix(at, suffix) {
				name, err := filepath.Rel(root, at)
				names = append(names, filepath.ToSlash(name))
				return err
			}
			return nil
		}
		switch name := entry.Name(); {
		case name == "testdata", name == "node_modules", name[0] == '.', name[0] == '_':
			return filepath.SkipDir
		case !nested:
			if _, err := os.Stat(filepath.Join(at, "go.mod")); err == nil {
				return filepath.SkipDir
			}
		}
		return nil
	})
	return names, err
}

func report(t *testing.T, faults []string) {
	t.Helper()
	for _, fault := range faults {
		t.Error(fault)
	}
}

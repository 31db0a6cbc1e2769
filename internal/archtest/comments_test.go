package archtest_test

import (
	"fmt"
	"go/ast"
	"slices"
	"strings"
	"testing"
	"unicode"
)

// wellKnown are methods whose name says it all, since an interface of the standard library defines them.
var wellKnown = []string{"Error", "Is", "As", "Unwrap", "String", "Len", "Less", "Swap"}

func TestExportedNamesAreExplained(t *testing.T) {
	t.Parallel()
	packages := map[string]bool{} // folder -> has a package comment
	for _, s := range rootSources(t) {
		if s.isTest() {
			continue
		}
		packages[s.folder()] = packages[s.folder()] || strings.HasPrefix(s.file.Doc.Text(), "Package "+s.file.Name.Name)
		report(t, checkComments(s))
	}
	for folder, explained := range packages {
		if !explained {
			t.Errorf("%s: no file has a comment that starts with \"Package …\"; doc.go is the place for it", folder)
		}
	}
}

func checkComments(s source) (faults []string) {
	// need wants a comment that starts with the name.
	need := func(n ast.Node, name string, doc *ast.CommentGroup) {
		if ast.IsExported(name) && !startsWith(doc.Text(), name) {
			faults = append(faults, fmt.Sprintf("%s: %s needs a comment that starts with its name", s.at(n), name))
		}
	}
	for _, decl := range s.file.Decls {
		switch d := decl.(type) {
		case *ast.FuncDecl:
			receiver := receiverName(d)
			if d.Recv == nil || ast.IsExported(receiver) && !slices.Contains(wellKnown, d.Name.Name) {
				need(d, d.Name.Name, d.Doc)
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				switch spec := spec.(type) {
				case *ast.TypeSpec:
					need(spec, spec.Name.Name, either(spec.Doc, d, spec.Comment))
					needMethods(spec, need)
				case *ast.ValueSpec:
					needValue(d, spec, need)
				}
			}
		}
	}
	return faults
}

type needFunc func(n ast.Node, name string, doc *ast.CommentGroup)

// needMethods looks at the methods of an exported interface: they are what an implementer reads.
func needMethods(spec *ast.TypeSpec, need needFunc) {
	methods, ok := spec.Type.(*ast.InterfaceType)
	if !ok || !spec.Name.IsExported() {
		return
	}
	for _, method := range methods.Methods.List {
		if len(method.Names) == 1 { // not an embedded interface
			need(method, method.Names[0].Name, method.Doc)
		}
	}
}

// needValue looks at constants and variables. In a group a comment above the group or behind the value will do.
func needValue(d *ast.GenDecl, spec *ast.ValueSpec, need needFunc) {
	if d.Lparen.IsValid() && (d.Doc != nil || spec.Comment != nil) {
		return
	}
	name := spec.Names[0].Name
	need(spec, name, either(spec.Doc, d, nil))
}

// either returns the comment of a spec, or of its declaration if it stands alone in it.
func either(doc *ast.CommentGroup, d *ast.GenDecl, behind *ast.CommentGroup) *ast.CommentGroup {
	switch {
	case doc != nil:
		return doc
	case !d.Lparen.IsValid():
		return d.Doc
	}
	return behind
}

func startsWith(text, name string) bool {
	for _, article := range []string{"", "A ", "An ", "The "} {
		rest, ok := strings.CutPrefix(text, article+name)
		if ok && rest != "" && !unicode.IsLetter(rune(rest[0])) && !unicode.IsDigit(rune(rest[0])) {
			return true
		}
	}
	return false
}

func receiverName(d *ast.FuncDecl) string {
	if d.Recv == nil {
		return ""
	}
	for expr := d.Recv.List[0].Type; ; {
		switch e := expr.(type) {
		case *ast.StarExpr:
			expr = e.X
		case *ast.IndexExpr:
			expr = e.X
		case *ast.IndexListExpr:
			expr = e.X
		case *ast.Ident:
			return e.Name
		default:
			return ""
		}
	}
}

func TestCheckComments(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, src, want string }{
		{"a function with one", "// Do does.\nfunc Do() {}", ""},
		{"a function without", "func Do() {}", "Do needs"},
		{"another name", "// Does it.\nfunc Do() {}", "Do needs"},
		{"an unexported one", "func do() {}", ""},
		{"a method", "// T is.\ntype T[A any] struct{}\nfunc (t *T[A]) Do() {}", "Do needs"},
		{"a method of an unexported type", "type t struct{}\nfunc (t) Do() {}", ""},
		{"a well-known method", "// T is.\ntype T struct{}\nfunc (T) Unwrap() error { return nil }", ""},
		{"an article", "// A T is.\ntype T struct{}", ""},
		{"a method of an interface", "// T is.\ntype T interface{ Do() }", "Do needs"},
		{"a lonely constant", "const A = 1", "A needs"},
		{"a group with a comment", "// Limits.\nconst (\n\tA = 1\n\tB = 2\n)", ""},
		{"a group with comments behind", "const (\n\tA = 1 // one\n)", ""},
		{"a group without", "const (\n\tA = 1\n)", "A needs"},
		{"a group with comments within", "var (\n\t// A is.\n\tA = 1\n)", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			expect(t, checkComments(mustParse(t, "x.go", "package x\n"+tt.src)), tt.want)
		})
	}
}

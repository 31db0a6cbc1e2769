package archtest_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// edge allows an import, for a reason.
type edge struct{ to, why string }

// imports is what one package may import of this module.
type imports struct {
	code  []edge
	tests []edge // in its tests, besides what its code may
}

// architecture is the direction of the root module: every package that users can import, and what it may import of ours.
//
//	client ─> sse <─ eventlog <─ push
//
// Packages in a folder named internal aren't listed: any package may use them, and they use none of ours.
var architecture = map[string]imports{
	"sse": {}, // bytes and events: the ground that everything else stands on

	"client": {code: []edge{
		{"sse", "it reads the wire format; a program that only listens must not link a server"},
	}},

	"eventlog": {
		code: []edge{
			{"sse", "Append encodes an event once, and its entry carries the frame"},
		},
		tests: []edge{
			{"eventlog/logtest", "Memory passes the suite that every backend passes"},
			{"eventlog/storetest", "so does the store that the tests of Replica break"},
		},
	},
	"eventlog/logtest": {code: []edge{
		{"eventlog", "the seam it tests"},
		{"sse", "it decodes frames, to see that what was appended is what a client gets"},
	}},

	"eventlog/sqlarchive": {code: []edge{
		{"eventlog", "the seam it implements"},
		{"migrate", "its schema is a migration, and Options.Migrate runs it"},
		{"migrate/dialect", "which database it is"},
	}},

	"eventlog/storetest": {code: []edge{
		{"eventlog", "the seam it tests"},
	}},

	"htmx": {code: []edge{
		{"eventlog", "a fragment becomes an event; who pushes it is the app's choice"},
	}},

	"migrate": {code: []edge{
		{"migrate/dialect", "which database it runs on"},
		{"migrate/lexer", "a statement's place in its file, for messages and progress"},
		{"migrate/schema", "what a database is: to dump, compare and squash it"},
		{"migrate/source", "the migrations"},
	}},
	"migrate/adopt": {code: []edge{
		{"migrate", "what another tool has applied becomes rows of the ledger"},
		{"migrate/dialect", "files and ledgers differ by database"},
		{"migrate/lexer", "which statements can't be in a transaction"},
		{"migrate/source", "another tool's folder becomes one that it reads"},
	}},
	"migrate/dialect": {}, // names and facts: every other package of the runner stands on it
	"migrate/lexer": {code: []edge{
		{"migrate/dialect", "which strings, comments and bodies there are"},
	}},
	"migrate/lint": {code: []edge{
		{"migrate/dialect", "a rule is for some databases"},
		{"migrate/lexer", "statements are recognized from their tokens"},
		{"migrate/source", "scripts with their headers, lint:allow among them"},
	}},
	"migrate/lint/live": {code: []edge{
		{"migrate", "a check of its plans; the runner itself knows no linter"},
		{"migrate/dialect", "each server is asked in its own way"},
		{"migrate/lint", "the rules"},
	}},
	"migrate/migratetest": {code: []edge{
		{"migrate", "the runner that it runs up, down and into faults"},
		{"migrate/dialect", "catalogs differ"},
		{"migrate/schema", "what is compared"},
	}},
	"migrate/pattern": {
		code: []edge{
			{"migrate/dialect", "a pattern is written for each database"},
			{"migrate/lint", "which names are reserved words"},
		},
		tests: []edge{
			{"migrate/source", "what is generated is read as it stands, and passes our own rules"},
		},
	},
	"migrate/schema": {code: []edge{
		{"migrate/dialect", "each catalog is read its own way"},
		{"migrate/lexer", "which names stand in a view, as MySQL prints it"},
	}},
	"migrate/seed": {code: []edge{
		{"migrate", "a seed is a migration of a source of its own: the same ledger, lock and plan"},
		{"migrate/dialect", "an upsert is spelled differently in each"},
		{"migrate/source", "the headers, and the files that are SQL"},
	}},
	"migrate/source": {code: []edge{
		{"migrate/dialect", "a file may be for one database alone"},
		{"migrate/lexer", "headers and sections are comments, and only a lexer knows what is one"},
	}},

	"push": {
		code: []edge{
			{"eventlog", "the log it reads for every connection"},
			{"sessionstore", "what it shares with other nodes about sessions"},
			{"sse", "control events: open, gap, ping, bye"},
		},
		tests: []edge{
			{"push/pushtest", "a server and a client in memory"},
			{"client", "the other end of the wire"},
			{"eventlog/logtest", "a log that fails on command"},
		},
	},
	"push/pushtest": {code: []edge{
		{"push", "the server that users' tests start"},
		{"client", "and the client they follow it with"},
		{"eventlog", "the log beneath, which the oracle compares with"},
		{"sse", "what the fault proxy cuts"},
	}},

	"sessionstore": {
		code: []edge{
			{"eventlog", "which of two places is the older one"},
		},
		tests: []edge{
			{"sessionstore/storetest", "Memory passes the suite that every store passes"},
		},
	},
	"sessionstore/sqlstore": {code: []edge{
		{"migrate", "its schema is a migration, and Options.Migrate runs it"},
		{"migrate/dialect", "which database it is"},
		{"sessionstore", "the seam it implements, and the rules about one session"},
	}},
	"sessionstore/storetest": {code: []edge{
		{"eventlog", "places for sessions to have proved"},
		{"sessionstore", "the seam it tests"},
	}},
}

// foreign are the modules that the root module, tests included, may import besides the standard library and golang.org/x,
// each with the page that says why. A user of any of our packages gets them.
var foreign = map[string]string{
	"github.com/golang-jwt/jwt/v5": "docs/adr/0002-jwt-library.md",
}

func TestImportsGoInOneDirection(t *testing.T) {
	t.Parallel()
	for _, s := range rootSources(t) {
		report(t, checkImports(s))
	}
}

func TestForeignModulesHaveARecord(t *testing.T) {
	t.Parallel()
	for name, record := range foreign {
		if _, err := os.Stat(filepath.Join(root, record)); err != nil {
			t.Errorf("%s is allowed in internal/archtest/imports_test.go, but its record is missing: %v", name, err)
		}
	}
}

func checkImports(s source) (faults []string) {
	own := s.folder()
	rules, listed := architecture[own]
	if !listed && !isInternal(own) {
		return []string{fmt.Sprintf("%s: package %s is new: add it to the table architecture in internal/archtest/imports_test.go,"+
			" with what it may import and why", s.path, own)}
	}
	allowed := rules.code
	if s.isTest() {
		allowed = slices.Concat(rules.code, rules.tests)
	}
	for _, spec := range s.file.Imports {
		name, _ := strconv.Unquote(spec.Path.Value)
		target, ours := strings.CutPrefix(name+"/", module+"/")
		target = strings.TrimSuffix(target, "/")
		switch {
		case !ours && !isForeign(name):
		case !ours:
			faults = append(faults, fmt.Sprintf("%s imports %s, which every user of this module would have to fetch: put the code in"+
				" a module of its own, or, if that module depends on nothing, write a record in docs/adr and add it to the table foreign"+
				" in internal/archtest/imports_test.go", s.at(spec), name))
		case target == own || isInternal(target):
		case !slices.ContainsFunc(allowed, func(e edge) bool { return e.to == target }):
			faults = append(faults, fmt.Sprintf("%s: %s imports %s, against the direction. If the edge is right, add it with its reason"+
				" to architecture[%q] in internal/archtest/imports_test.go", s.at(spec), own, target, own))
		}
	}
	return faults
}

func isInternal(folder string) bool { return slices.Contains(strings.Split(folder, "/"), "internal") }

// isForeign tells whether an import needs a record and has none. The standard library has no dot in its first element.
func isForeign(name string) bool {
	first, _, _ := strings.Cut(name, "/")
	if name == "C" {
		return true // a C compiler is a dependency too
	}
	return strings.Contains(first, ".") && !isAllowedModule(name)
}

// isAllowedModule takes the path of a module or of a package in it.
func isAllowedModule(name string) bool {
	if strings.HasPrefix(name, "golang.org/x/") {
		return true
	}
	for allowed := range foreign {
		if name == allowed || strings.HasPrefix(name, allowed+"/") {
			return true
		}
	}
	return false
}

func TestCheckImports(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, path, imports, want string
	}{
		{"an edge of the table", "push/x.go", module + "/eventlog", ""},
		{"the standard library", "sse/x.go", "net/http", ""},
		{"golang.org/x", "sse/x.go", "golang.org/x/net/http2", ""},
		{"an allowed module", "push/x.go", "github.com/golang-jwt/jwt/v5", ""},
		{"another major version of it", "push/x.go", "github.com/golang-jwt/jwt/v4", "fetch"},
		{"a foreign module, in a test", "push/x_test.go", "github.com/stretchr/testify", "fetch"},
		{"C", "push/x.go", "C", "fetch"},
		{"against the direction", "eventlog/x.go", module + "/push", "against the direction"},
		{"a test's edge in code", "push/x.go", module + "/client", "against the direction"},
		{"a test's edge in a test", "push/x_test.go", module + "/client", ""},
		{"an external test of its own package", "sse/x_test.go", module + "/sse", ""},
		{"the root package", "sse/x.go", module, "against the direction"},
		{"a module of ours beside the root", "push/x.go", module + "/eventlog/redislog", "against the direction"},
		{"an internal package", "push/x.go", module + "/push/internal/wheel", ""},
		{"an internal package that uses ours", "internal/x/x.go", module + "/sse", "against the direction"},
		{"a package nobody knows", "surprise/x.go", "fmt", "is new"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			expect(t, checkImports(mustParse(t, tt.path, "package x\nimport _ "+strconv.Quote(tt.imports))), tt.want)
		})
	}
}

// expect wants no fault, or exactly one that contains the text.
func expect(t *testing.T, faults []string, want string) {
	t.Helper()
	switch {
	case want == "" && len(faults) > 0:
		t.Errorf("unexpected: %q", faults)
	case want != "" && (len(faults) != 1 || !strings.Contains(faults[0], want)):
		t.Errorf("got %q, want one fault that says %q", faults, want)
	}
}

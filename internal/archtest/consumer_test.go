package archtest_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// goCommand runs the go command in a folder and returns what it said.
func goCommand(t *testing.T, folder string, env []string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Dir = folder
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// What a user's "go mod tidy" fetches for our packages is decided by their imports and by those of their tests. This
// is that user: a module outside of the checkout that imports every package it can.
func TestAUserFetchesNoForeignTree(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("runs go mod tidy")
	}
	checkout, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	user := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(user, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("go.mod", fmt.Sprintf("module example.com/user\n\ngo 1.25.0\n\nrequire %s v0.0.0\n\nreplace %[1]s => %q\n", module, checkout))
	// Our checksums spare the user a question to the checksum database. Tidy drops those it doesn't need.
	if sums, err := os.ReadFile(filepath.Join(root, "go.sum")); err == nil {
		write("go.sum", string(sums))
	}
	write("main.go", "package main\n\n"+importAll(t)+"\nfunc main() {}\n")

	if out, err := goCommand(t, user, []string{"GOWORK=off", "GOFLAGS=-mod=mod"}, "mod", "tidy"); err != nil {
		t.Fatalf("go mod tidy: %v\n%s", err, out)
	}
	mod, err := os.ReadFile(filepath.Join(user, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	sums, err := os.ReadFile(filepath.Join(user, "go.sum"))
	if err != nil && !os.IsNotExist(err) { // no go.sum: nothing was needed at all
		t.Fatal(err)
	}
	report(t, checkNeeds(string(mod), string(sums)))
}

func importAll(t *testing.T) string {
	t.Helper()
	var text strings.Builder
	seen := map[string]bool{}
	for _, s := range rootSources(t) {
		if folder := s.folder(); !s.isTest() && !seen[folder] && !isInternal(folder) {
			seen[folder] = true
			fmt.Fprintf(&text, "import _ %q\n", module+"/"+folder)
		}
	}
	if !seen["push"] {
		t.Fatal("no package push found: the walk is broken")
	}
	return text.String()
}

// checkNeeds looks at what a user's go.mod requires and what its go.sum had to verify. Even a go.mod alone that
// stands in go.sum takes part in choosing the user's versions.
func checkNeeds(mod, sums string) (faults []string) {
	if !strings.Contains(mod, "\ngo 1.25.0\n") {
		faults = append(faults, "the go directive of a user at go 1.25.0 was raised:\n"+mod)
	}
	named := map[string]bool{}
	for line := range strings.Lines(sums) {
		if name, _, _ := strings.Cut(line, " "); !named[name] && !isAllowedModule(name) {
			named[name] = true
			faults = append(faults, fmt.Sprintf("a user of this module has to fetch %s: find the import in the code or the tests of the"+
				" root module and move it to a module of its own", name))
		}
	}
	return faults
}

func TestCheckNeeds(t *testing.T) {
	t.Parallel()
	const mod = "module x\n\ngo 1.25.0\n"
	tests := []struct{ name, mod, sums, want string }{
		{"nothing", mod, "", ""},
		{"what is allowed", mod, "github.com/golang-jwt/jwt/v5 v5.3.1 h1:x=\ngolang.org/x/net v0.1.0/go.mod h1:y=\n", ""},
		{"a foreign module", mod, "gopkg.in/yaml.v3 v3.0.1 h1:x=\ngopkg.in/yaml.v3 v3.0.1/go.mod h1:y=\n", "gopkg.in/yaml.v3"},
		{"a newer go", "module x\n\ngo 1.26.0\n", "", "raised"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			expect(t, checkNeeds(tt.mod, tt.sums), tt.want)
		})
	}
}

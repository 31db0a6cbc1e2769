package archtest_test

import (
	"fmt"
	"go/ast"
	"strings"
	"testing"
)

// sleepers are the files of test code that may call time.Sleep outside of synctest.Test, each for a reason.
var sleepers = map[string]string{
	"eventlog/memory_footprint_test.go": "a helper that runs in a bubble",
	"eventlog/memory_model_test.go":     "a helper that runs in a bubble",
}

// A test that sleeps and hopes is slow on a fast machine and wrong on a slow one. Inside of synctest.Test a sleep is exact and
// takes no time.
func TestNoTestSleepsAndHopes(t *testing.T) {
	t.Parallel()
	for _, s := range rootSources(t) {
		if isTestCode(s) && sleepers[s.path] == "" {
			report(t, checkSleep(s))
		}
	}
}

// isTestCode includes packages that exist for tests: logtest, pushtest.
func isTestCode(s source) bool { return s.isTest() || strings.HasSuffix(s.folder(), "test") }

func checkSleep(s source) (faults []string) {
	bubble, clock := s.localName("testing/synctest"), s.localName("time")
	ast.Inspect(s.file, func(n ast.Node) bool {
		if calls(n, bubble, "Test") {
			return false
		}
		if calls(n, clock, "Sleep") {
			faults = append(faults, fmt.Sprintf("%s sleeps outside of synctest.Test: wait for the event itself, use synctest, or list the"+
				" file with its reason in sleepers in internal/archtest/sleep_test.go", s.at(n)))
		}
		return true
	})
	return faults
}

func TestCheckSleep(t *testing.T) {
	t.Parallel()
	const inBubble = `package x
		import ("testing"; "testing/synctest"; "time")
		func TestX(t *testing.T) { synctest.Test(t, func(t *testing.T) { time.Sleep(time.Hour) }) }`
	tests := []struct{ name, src, want string }{
		{"in a bubble", inBubble, ""},
		{"outside", `package x; import "time"; func f() { time.Sleep(1) }`, "x_test.go:1 sleeps"},
		{"under another name", `package x; import clock "time"; func f() { clock.Sleep(1) }`, "x_test.go:1 sleeps"},
		{"another Sleep", `package x; func f() { time.Sleep(1) }`, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			expect(t, checkSleep(mustParse(t, "x_test.go", tt.src)), tt.want)
		})
	}
}

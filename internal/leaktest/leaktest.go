// Package leaktest fails a package's tests when they leave goroutines behind. A package uses it in one line:
//
//	func TestMain(m *testing.M) { leaktest.Main(m) }
package leaktest

import (
	"fmt"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

const patience = 5 * time.Second // for goroutines that were told to end

// Main runs the tests of a package and ends the process. Tests that pass and leave a goroutine fail, with its stack.
func Main(m *testing.M) {
	code := m.Run()
	if transport, ok := http.DefaultTransport.(*http.Transport); ok {
		transport.CloseIdleConnections()
	}
	if left := Leftover(patience); code == 0 && len(left) > 0 {
		fmt.Printf("FAIL: %d goroutines are left:\n\n%s\n", len(left), strings.Join(left, "\n\n"))
		code = 1
	}
	os.Exit(code)
}

// Leftover returns the stacks of all goroutines but the caller's, once none are left or the patience is over.
func Leftover(patience time.Duration) []string {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); ; <-tick.C {
		stacks := slices.DeleteFunc(stacks()[1:], isRuntimes)
		if len(stacks) == 0 || time.Now().After(deadline) {
			return stacks
		}
	}
}

// stacks returns the stack of each goroutine, the caller's first.
func stacks() []string {
	for buf := make([]byte, 1<<20); ; buf = make([]byte, 2*len(buf)) {
		if n := runtime.Stack(buf, true); n < len(buf) {
			return strings.Split(strings.TrimSpace(string(buf[:n])), "\n\n")
		}
	}
}

// isRuntimes is for goroutines that nobody here has started and nobody can end.
func isRuntimes(stack string) bool {
	return strings.Contains(stack, "os/signal.loop") // of the fuzzer
}

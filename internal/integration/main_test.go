package integration

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// programs that the tests run, and the Debian packages they are in.
var programs = [][2]string{{"curl", "curl"}, {"nginx", "nginx"}, {"chromium", "chromium"}}

// TestMain fails when a program is missing: a test that is skipped silently proves nothing. It fails, too, when a goroutine is left.
func TestMain(m *testing.M) {
	if packages := missing(); len(packages) > 0 {
		fmt.Printf("FAIL: the tests need programs that aren't here. On Debian and Ubuntu:\n\n"+
			"    sudo apt-get update && sudo apt-get install -y %s\n\n\"make test\" does it by itself as root.\n", strings.Join(packages, " "))
		os.Exit(1)
	}
	code := m.Run()
	chromium.close()
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	if left := leftover(5 * time.Second); code == 0 && len(left) > 0 {
		fmt.Printf("FAIL: %d goroutines are left:\n\n%s\n", len(left), strings.Join(left, "\n\n"))
		code = 1
	}
	os.Exit(code)
}

func missing() (packages []string) {
	for _, p := range programs {
		if _, err := exec.LookPath(p[0]); err != nil {
			packages = append(packages, p[1])
		}
	}
	return packages
}

// leftover returns the stacks of all goroutines but this one, once none are left or the patience is over.
func leftover(patience time.Duration) []string {
	for deadline := time.Now().Add(patience); ; runtime.Gosched() {
		buf := make([]byte, 1<<20)
		stacks := strings.Split(strings.TrimSpace(string(buf[:runtime.Stack(buf, true)])), "\n\n")[1:]
		stacks = slices.DeleteFunc(stacks, func(stack string) bool {
			return strings.Contains(stack, "os/signal.loop") // for the life of the process
		})
		if len(stacks) == 0 || time.Now().After(deadline) {
			return stacks
		}
	}
}

package integration

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/buffkit/buffkit/internal/leaktest"
)

// programs that the tests run, and the Debian packages they are in.
var programs = [][2]string{{"curl", "curl"}, {"nginx", "nginx"}, {"haproxy", "haproxy"}, {"caddy", "caddy"}, {"chromium", "chromium"}}

// TestMain fails when a program is missing: a test that is skipped silently proves nothing. It fails, too, when a goroutine is left.
func TestMain(m *testing.M) {
	if packages := missing(); len(packages) > 0 {
		fmt.Printf("FAIL: the tests need programs that aren't here. On Debian and Ubuntu:\n\n"+
			"    sudo apt-get update && sudo apt-get install -y %s\n\n\"make test\" does it by itself as root.\n", strings.Join(packages, " "))
		os.Exit(1)
	}
	code := m.Run()
	chromium.close()
	removeBinary()
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	if left := leaktest.Leftover(5 * time.Second); code == 0 && len(left) > 0 {
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

package leaktest_test

import (
	"strings"
	"testing"
	"time"

	"github.com/buffkit/buffkit/internal/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

// Not parallel: it looks at all goroutines of the process.
func TestLeftoverFindsAGoroutineUntilItEnds(t *testing.T) {
	started, stop, stopped := make(chan struct{}), make(chan struct{}), make(chan struct{})
	go func() { defer close(stopped); forgotten(started, stop) }()
	<-started
	found := func(stack string) bool { return strings.Contains(stack, "leaktest_test.forgotten") }
	before := count(leaktest.Leftover(100*time.Millisecond), found)
	close(stop)
	<-stopped
	if after := count(leaktest.Leftover(100*time.Millisecond), found); before != 1 || after != 0 {
		t.Errorf("found %d while it ran and %d afterwards, want 1 and 0", before, after)
	}
}

func forgotten(started chan<- struct{}, stop <-chan struct{}) {
	close(started)
	<-stop
}

func count(stacks []string, found func(string) bool) (n int) {
	for _, stack := range stacks {
		if found(stack) {
			n++
		}
	}
	return n
}

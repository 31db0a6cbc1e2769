package sessionstore_test

import (
	"testing"

	"github.com/buffkit/buffkit/sessionstore"
)

func TestTheLongestIsKeptUntilNobodyHasAskedForItForAsLong(t *testing.T) {
	t.Parallel()
	var l sessionstore.Longest
	for i, step := range []struct {
		keep, now, want int64
		changed         bool
	}{
		{800, 10_000, 800, true},
		{100, 10_001, 800, false},
		{800, 10_100, 800, false}, // seldom
		{800, 10_101, 800, true},
		{100, 10_900, 800, false}, // a node that asked at 10,200 may have been passed over
		{100, 11_001, 800, false},
		{100, 11_002, 100, true},
		{900, 11_003, 900, true},
	} {
		if changed := l.Say(step.keep, step.now); l.Keep != step.want || changed != step.changed {
			t.Errorf("step %d: %d is kept, changed: %v; want %d, %v", i, l.Keep, changed, step.want, step.changed)
		}
	}
}

package spelling_test

import (
	"strings"
	"testing"

	"github.com/buffkit/buffkit/migrate/internal/spelling"
)

func TestEdits(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		a, b string
		want int
	}{
		{"", "", 0}, {"same", "same", 0}, {"", "abc", 3}, {"abc", "", 3},
		{"depnds", "depends", 1}, {"repeatble", "repeatable", 1}, {"kitten", "sitting", 3}, {"ab", "ba", 2},
		{strings.Repeat("x", 100), "x", 99}, {strings.Repeat("x", 100), strings.Repeat("x", 100), 64},
	} {
		if got := spelling.Edits(tt.a, tt.b); got != tt.want {
			t.Errorf("%.10q and %.10q are %d apart, want %d", tt.a, tt.b, got, tt.want)
		}
	}
}

package access_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/buffkit/buffkit/cmd/buffkit/internal/access"
)

func TestAPatternNamesTopics(t *testing.T) {
	t.Parallel()
	tests := []struct {
		pattern, topic string
		want           bool
	}{
		{"orders", "orders", true},
		{"orders", "orders/7", false},
		{"orders", "order", false},
		{"orders", "Orders", false},
		{"orders/*", "orders/7", true},
		{"orders/*", "orders/7/items", true},
		{"orders/*", "orders/", false},
		{"orders/*", "orders", false},
		{"orders/*", "orders2/7", false},
		{"orders/*", "orders/*", true},
		{"*", "orders", true},
		{"*", "a", true},
		{"*", "", false},
		{"*", "~all", false},
		{"*", "~user/ann", false},
		{"/*", "/a", true},
		{"über/*", "über/straße", true},
	}
	for _, tt := range tests {
		t.Run(tt.pattern+" on "+tt.topic, func(t *testing.T) {
			t.Parallel()
			p, err := access.ParsePattern(tt.pattern)
			if err != nil {
				t.Fatal(err)
			}
			if got := p.Match(tt.topic); got != tt.want {
				t.Errorf("Match(%q) = %v, want %v", tt.topic, got, tt.want)
			}
		})
	}
}

func TestAPatternThatCouldSurpriseIsRefused(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"", "**", "a*", "*a", "a*b", "a/*/b", "*/a", "a/**", "~all", "~user/*", "~*", "a\nb", "a\x00", "a\xff",
		strings.Repeat("a", 256), strings.Repeat("a", 255) + "/*",
	} {
		if p, err := access.ParsePattern(text); !errors.Is(err, access.ErrBadPattern) {
			t.Errorf("ParsePattern(%q) = %q, %v; want ErrBadPattern", text, p, err)
		}
	}
}

func TestTheZeroPatternNamesNothing(t *testing.T) {
	t.Parallel()
	var p access.Pattern
	for _, topic := range []string{"", "a", "*", "~all"} {
		if p.Match(topic) {
			t.Errorf("matches %q", topic)
		}
	}
}

func FuzzPattern(f *testing.F) {
	for _, seed := range []string{"*", "orders", "orders/*", "~all", "~*", "a*", "a/*/b", "", "/*", "//*", "a\xff"} {
		f.Add(seed, "orders/7")
		f.Add(seed, "~user/ann")
	}
	f.Fuzz(func(t *testing.T, pattern, topic string) {
		p, err := access.ParsePattern(pattern)
		if err != nil {
			if !errors.Is(err, access.ErrBadPattern) {
				t.Fatalf("ParsePattern(%q): %v; want ErrBadPattern", pattern, err)
			}
			return
		}
		if p.String() != pattern {
			t.Fatalf("ParsePattern(%q) writes itself as %q", pattern, p)
		}
		// The rule once more, as a person would say it.
		prefix, below := strings.CutSuffix(pattern, "/*")
		want := pattern == topic && !strings.HasSuffix(pattern, "/*") && pattern != "*" ||
			below && strings.HasPrefix(topic, prefix+"/") && topic != prefix+"/" ||
			pattern == "*" && topic != ""
		want = want && !strings.HasPrefix(topic, "~")
		if got := p.Match(topic); got != want {
			t.Fatalf("%q matches %q: %v, want %v", pattern, topic, got, want)
		}
	})
}

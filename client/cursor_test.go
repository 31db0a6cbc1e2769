package client_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/buffkit/buffkit/client"
)

func TestBeyond(t *testing.T) {
	t.Parallel()
	tests := []struct {
		a, b       string
		beyond, ok bool
	}{
		{"k.2", "k.1", true, true},
		{"k.1", "k.1", false, true},
		{"k.1", "k.2", false, true},
		{"k.10", "k.z", true, true},
		{"m.1", "k.2", true, true},
		{"k.1.2-5", "k.1.2-4", true, true},
		{"k.1.2-5", "k.2.2-4", true, true},
		{"k.1.2-5", "k.1.2-5.3-1", false, true},
		{"k.2-5", "k.1", true, true},
		{"k.1", "k.2-5", true, true},
		{"k.0", "k.2-5", false, true},
		{"k.1.3-1", "k.1.2-9", true, true},
		{"k.1", "", false, false},
		{"k", "k.1", false, false},
		{"k.", "k.1", false, false},
		{".1", "k.1", false, false},
		{"k.01", "k.1", false, false},
		{"k.+1", "k.1", false, false},
		{"k.A", "k.1", false, false},
		{"k.1_0", "k.1", false, false},
		{"k.0-1", "k.1", false, false},
		{"k.1.1", "k.1", false, false},
		{"k.2-1.1-1", "k.1", false, false},
		{"k.2-1.2-1", "k.1", false, false},
		{"k.1-", "k.1", false, false},
		{"k.-1", "k.1", false, false},
		{"k.1-1-1", "k.1", false, false},
		{"k.3w5e11264sgsg", "k.1", false, false}, // 1<<64
		{"k.3w5e11264sgsf", "k.1", true, true},
		{"k." + strings.Repeat("1", 1024), "k.1", false, false},
	}
	for _, test := range tests {
		if beyond, ok := client.Beyond(test.a, test.b); beyond != test.beyond || ok != test.ok {
			t.Errorf("%s beyond %s: %v, %v", test.a, test.b, beyond, ok)
		}
	}
}

var grammar = regexp.MustCompile(`^(0|[1-9a-z][0-9a-z]*)(\.((0|[1-9a-z][0-9a-z]*)-)?(0|[1-9a-z][0-9a-z]*))+$`)

// Only the grammar of docs/wire.md is a cursor, none is beyond itself, and of two that differ one is beyond the other.
func FuzzCursor(f *testing.F) {
	for _, s := range [][2]string{{"k.1", "k.2"}, {"k.1.2-5", "k.3-3"}, {"k", "1.10"}, {"k.0-1", "é.1"}} {
		f.Add(s[0], s[1])
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		if beyond, ok := client.Beyond(a, a); beyond || ok && !grammar.MatchString(a) {
			t.Errorf("%q: cursor %v, beyond itself %v", a, ok, beyond)
		}
		ab, ok := client.Beyond(a, b)
		ba, _ := client.Beyond(b, a)
		zeros := strings.Contains(a+b+".", ".0") || strings.Contains(a+b, "-0") // a position of 0 is as good as none
		if ok && a != b && !zeros && !ab && !ba {
			t.Errorf("neither of %q and %q is beyond the other", a, b)
		}
	})
}

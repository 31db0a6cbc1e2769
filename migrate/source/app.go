package source

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
)

// AppVersion is a version of an app, taken apart. Versions are compared by their numbers, then by what stands behind a dash: 1.4.0-rc1 is
// before 1.4.0.
type AppVersion struct {
	numbers [4]int
	before  string // behind the dash
}

// ParseAppVersion reads up to four numbers with dots between: 1.4, v1.4.0, 1.4.0-rc1, 2026.11.22. What follows a + isn't compared.
func ParseAppVersion(text string) (v AppVersion, err error) {
	text, _, _ = strings.Cut(text, "+")
	text, v.before, _ = strings.Cut(text, "-")
	parts := strings.Split(strings.TrimPrefix(text, "v"), ".")
	if len(parts) > len(v.numbers) {
		return v, errApp(text)
	}
	for i, part := range parts {
		n, err := strconv.ParseUint(part, 10, 31)
		if err != nil {
			return v, errApp(text)
		}
		v.numbers[i] = int(n)
	}
	return v, nil
}

func errApp(text string) error {
	return fmt.Errorf("source: %.64q is no version of an app: write numbers with dots between, as in 1.4.0", text)
}

// Compare returns -1, 0 or +1.
func (v AppVersion) Compare(other AppVersion) int {
	for i, n := range v.numbers {
		if c := cmp.Compare(n, other.numbers[i]); c != 0 {
			return c
		}
	}
	switch {
	case v.before == other.before:
		return 0
	case v.before == "":
		return 1
	case other.before == "":
		return -1
	}
	return strings.Compare(v.before, other.before)
}

package lint

import (
	"fmt"
	"strings"

	"github.com/buffkit/buffkit/migrate/dialect"
)

// version is up to three numbers.
type version [3]int

// oldest are what Options.Version stands for when it is empty.
var oldest = map[dialect.Dialect]version{
	dialect.Postgres: {14}, dialect.MySQL: {8, 0}, dialect.MariaDB: {10, 6}, dialect.SQLite: {3, 35},
}

// parseVersion reads the numbers at the beginning of what a server calls itself.
func parseVersion(text string) (v version, err error) {
	text = strings.TrimPrefix(text, "5.5.5-") // what MariaDB puts in front for old clients
	rest := text
	for i := range v {
		digits := len(rest) - len(strings.TrimLeft(rest, "0123456789"))
		if digits == 0 || digits > 6 {
			break
		}
		for _, c := range rest[:digits] {
			v[i] = v[i]*10 + int(c-'0')
		}
		if rest = rest[digits:]; rest == "" || rest[0] != '.' {
			break
		}
		rest = rest[1:]
	}
	if v[0] == 0 {
		return v, fmt.Errorf("lint: no version in %q: write it as 16.4", text)
	}
	return v, nil
}

// since tells whether v is that version or a later one.
func (v version) since(parts ...int) bool {
	for i, part := range parts {
		if v[i] != part {
			return v[i] > part
		}
	}
	return true
}

package migrate

import (
	"fmt"
	"strings"

	"github.com/buffkit/buffkit/migrate/dialect"
	"github.com/buffkit/buffkit/migrate/lexer"
)

// Describe says what classify makes of the statements of some SQL, one a line.
func Describe(sql string, d dialect.Dialect) (string, error) {
	var lines []string
	for st, err := range lexer.Split(strings.NewReader(sql), d, nil) {
		if err != nil {
			return "", err
		}
		s := classify(st, d)
		words := []string{[...]string{inTx: "tx", alone: "alone", session: "session", begins: "begin", commits: "commit", control: "control", pragma: "foreign_keys"}[s.nature]}
		for _, flag := range []struct {
			on   bool
			name string
		}{{s.repeat, "repeat"}, {s.concur, "concurrent"}, {s.temp, "temp"}, {s.code, "code"}, {s.fkOff, "off"}} {
			if flag.on {
				words = append(words, flag.name)
			}
		}
		for _, o := range s.objects {
			words = append(words, strings.TrimSpace(o.Kind+" "+quoted(o, func(n string) string { return n })))
		}
		if s.drops+s.renames != "" {
			words = append(words, fmt.Sprintf("drops %q becomes %q", s.drops, s.renames))
		}
		lines = append(lines, strings.Join(words, ", "))
	}
	return strings.Join(lines, "\n"), nil
}

// BeyondSchema says what a squash would lose of each statement of some SQL.
func BeyondSchema(sql string, d dialect.Dialect) (all []string, err error) {
	for st, err := range lexer.Split(strings.NewReader(sql), d, nil) {
		if err != nil {
			return nil, err
		}
		all = append(all, beyondSchema(st, d))
	}
	return all, nil
}

package schema

import (
	"fmt"
	"slices"
	"strings"

	"github.com/buffkit/buffkit/migrate/dialect"
	"github.com/buffkit/buffkit/migrate/lexer"
)

// What a Difference is.
const (
	Missing   = "missing"   // b lacks it
	Extra     = "extra"     // b alone has it
	Different = "different" // both have it
)

// Difference is an object that isn't the same in two schemas, a and b.
type Difference struct {
	What   string `json:"what"`   // Missing, Extra or Different
	Object string `json:"object"` // its kind and name, as in "table users"
	// Lines are those of its SQL that one of the two has, behind "- " for a and "+ " for b.
	Lines []string `json:"lines"`
}

// String is a line for the object, and the lines of its SQL, indented.
func (d Difference) String() string {
	return d.What + ": " + d.Object + "\n" + indented(d.Lines)
}

// Compare returns what b doesn't have as a has it, in the order of the objects' kinds and names; none if the two are the same. White space and comments
// don't count: SQLite keeps those of a table's statement.
func Compare(a, b *Schema) []Difference {
	return compare(a, b, func(l, r string) bool { return l == r || slices.Equal(code(l, a.Dialect), code(r, a.Dialect)) })
}

// code are the tokens that mean something to the server.
func code(sql string, d dialect.Dialect) (all []string) {
	for t := range lexer.Tokens(sql, d, nil) {
		if !t.Kind.Trivia() {
			all = append(all, t.Text)
		}
	}
	return all
}

// Diff returns what differs, a few lines for each object, an empty string if nothing does. A line that begins with "-" is in a alone, one with
// "+" in b. Unlike Compare it looks at each byte.
func Diff(a, b *Schema) string {
	var text strings.Builder
	for _, d := range compare(a, b, func(l, r string) bool { return l == r }) {
		fmt.Fprintf(&text, "%s\n%s", d.Object, indented(d.Lines))
	}
	return text.String()
}

func compare(a, b *Schema, same func(l, r string) bool) (all []Difference) {
	left, right := a.byName(), b.byName()
	names := slices.Concat(keys(left), keys(right))
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		l, inLeft := left[name]
		r, inRight := right[name]
		if l == r { // an object may have no SQL
			continue
		}
		d := Difference{What: Different, Object: name, Lines: append(lines("-", l, r), lines("+", r, l)...)}
		switch {
		case !inRight:
			d.What = Missing
		case !inLeft:
			d.What = Extra
		case same(l, r):
			continue
		}
		all = append(all, d)
	}
	return all
}

func (s *Schema) byName() map[string]string {
	all := map[string]string{}
	for _, o := range s.Objects {
		all[o.Kind+" "+o.Name] += strings.Join(o.SQL, ";\n")
	}
	for _, o := range s.Omitted {
		all["omitted "+o] = o
	}
	return all
}

func keys(m map[string]string) (all []string) {
	for k := range m {
		all = append(all, k)
	}
	return all
}

// lines returns those of text that the other doesn't have.
func lines(mark, text, other string) (all []string) {
	if text == "" {
		return nil
	}
	there := map[string]int{}
	for line := range strings.Lines(other + "\n") {
		there[strings.TrimRight(line, ",\n")]++
	}
	for line := range strings.Lines(text + "\n") {
		line = strings.TrimRight(line, ",\n")
		if there[line]--; there[line] < 0 {
			all = append(all, mark+" "+line)
		}
	}
	return all
}

func indented(lines []string) string {
	var b strings.Builder
	for _, line := range lines {
		b.WriteString("  " + line + "\n")
	}
	return b.String()
}

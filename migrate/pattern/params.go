package pattern

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/buffkit/buffkit/migrate/dialect"
	"github.com/buffkit/buffkit/migrate/lint"
)

// Params are what a pattern is about. Which it needs is in Pattern.
type Params struct {
	Table   string
	Columns []Column
	Was     []Column // rebuild: the table as it is now, for the way down

	To         string   // rename-column: the new name
	Default    string   // add-column: a constant, as SQL
	Set        string   // backfill: the value, as SQL
	Enum       string   // enum-value: the name of the type in PostgreSQL
	Value      string   // enum-value: the new one
	Values     []string // enum-value: those that there are, in their order
	References string   // foreign-key: the other table
	From       string   // partition: the first month, 2026-01
	Months     int      // partition: how many, default 3
	Language   string   // fulltext in PostgreSQL, default simple
	Key        string   // the table's key, in foreign-key that of the other one; default id
	Batch      int      // backfill: rows a transaction, default DefaultBatch
	Unique     bool     // index
}

// Column is one, with its type if the pattern needs that.
type Column struct{ Name, Type string }

// DefaultBatch is how many rows a batch of a backfill changes: some ten milliseconds' work, so that nobody waits for its locks.
const DefaultBatch = 5000

// ParseColumn reads NAME or NAME:TYPE, where the type may have several words: total:numeric(12, 2).
func ParseColumn(text string) (Column, error) {
	name, typ, typed := strings.Cut(text, ":")
	c := Column{strings.TrimSpace(name), strings.TrimSpace(typ)}
	if typed && c.Type == "" {
		return c, fmt.Errorf("pattern: the column %q has no type behind its colon: write NAME:TYPE", text)
	}
	return c, nil
}

var (
	nameForm = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)
	sqlForm  = regexp.MustCompile(`^[^;\\\n\r]+$`)
)

// maxName is how long a name may be so that "rename_…_i" and the like stay below PostgreSQL's 63 bytes.
const maxName = 40

func checkName(what, name string) error {
	switch {
	case !nameForm.MatchString(name):
		return fmt.Errorf("the %s %.64q isn't a plain name: use small letters, digits and _, with a letter first", what, name)
	case len(name) > maxName:
		return fmt.Errorf("the %s %s is longer than %d letters: names are made of it", what, name, maxName)
	case lint.IsReserved(name):
		return fmt.Errorf("the %s %s is a reserved word, which needs quotes in every query: use another name", what, name)
	}
	return nil
}

func checkSQL(what, text string) error {
	if !sqlForm.MatchString(text) || strings.Contains(text, "--") || strings.Contains(text, "/*") {
		return fmt.Errorf("--%s %.64q must be one line of SQL without ; and comments", what, text)
	}
	return nil
}

// check tells all that is wrong.
func (p *Params) check(pattern *Pattern, d dialect.Dialect) error {
	errs := []error{checkName("table", p.Table)}
	if p.Table == "" {
		errs[0] = errors.New("--table is missing")
	}
	if pattern.Name == "enum-value" && d == dialect.Postgres && p.Enum == "" {
		errs = append(errs, errors.New("--enum is missing: the name of the type"))
	}
	for _, need := range pattern.Needs {
		errs = append(errs, p.has(need))
	}
	for _, c := range slices.Concat(p.Columns, p.Was) {
		errs = append(errs, checkName("column", c.Name))
		if c.Type != "" {
			errs = append(errs, checkSQL("column", c.Type))
		}
	}
	for what, name := range map[string]string{"--to": p.To, "--enum": p.Enum, "--references": p.References, "--key": p.Key, "--language": p.Language} {
		if name != "" {
			errs = append(errs, checkName(what, name))
		}
	}
	for what, text := range map[string]string{"default": p.Default, "set": p.Set} {
		if text != "" {
			errs = append(errs, checkSQL(what, text))
		}
	}
	for _, v := range append(p.Values, p.Value) {
		if strings.ContainsAny(v, "'\\\n\r") {
			errs = append(errs, fmt.Errorf("the value %q has a quote, a backslash or a line end in it", v))
		}
	}
	if pattern.Name == "rebuild" && len(errs) == 0 && len(p.common()) == 0 {
		errs = append(errs, errors.New("no column is in both --column and --was, so no row could be copied"))
	}
	slices.SortStableFunc(errs, func(a, b error) int { return cmp.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
	return errors.Join(errs...)
}

// has tells what is missing.
func (p *Params) has(need Need) error {
	missing := false
	switch need {
	case NeedColumn, NeedType:
		missing = len(p.Columns) != 1
	case NeedColumns, NeedTypes:
		missing = len(p.Columns) == 0
	case NeedTo:
		missing = p.To == ""
	case NeedSet:
		missing = p.Set == ""
	case NeedValue:
		missing = p.Value == "" || slices.Contains(p.Values, p.Value)
	case NeedValues:
		missing = len(p.Values) == 0
	case NeedReferences:
		missing = p.References == ""
	case NeedWas:
		missing = len(p.Was) == 0
	case NeedFrom:
		_, err := time.Parse(monthForm, p.From)
		missing = err != nil
	}
	for i, c := range p.Columns {
		missing = missing || need == NeedFrom && i > 0 && c.Type == "" || (need == NeedType || need == NeedTypes) && c.Type == ""
	}
	if missing {
		return errors.New(wanted[need])
	}
	return nil
}

var wanted = map[Need]string{
	NeedColumn:     "give one --column NAME",
	NeedColumns:    "give --column NAME, several times for several",
	NeedType:       "give one column with its type, --column NAME:TYPE",
	NeedTypes:      "give --column NAME:TYPE, several times for several",
	NeedTo:         "--to is missing: the new name",
	NeedSet:        "--set is missing: the value as SQL, as in --set \"lower(email)\"",
	NeedValue:      "--value is missing, or among --values: the new value",
	NeedValues:     "--values is missing: those that there are, in their order, with commas between",
	NeedReferences: "--references is missing: the other table",
	NeedWas:        "--was NAME:TYPE is missing: the columns as they are now, for the way down",
	NeedFrom:       "give the first month as --from 2026-01, first the column with the time, and further columns as NAME:TYPE",
}

const monthForm = "2006-01"

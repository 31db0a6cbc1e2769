package lint

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode"
)

// WriteText writes findings for people: the place, which terminals and editors turn into a link, what is wrong, the statement and the
// safe way.
//
//	0007_index.up.sql:3:1: warning: CREATE INDEX blocks writes to orders until it is built [index-not-concurrent]
//	    CREATE INDEX orders_user_id ON orders (user_id)
//	  safe:
//	    -- no-transaction
//	    CREATE INDEX CONCURRENTLY orders_user_id ON orders (user_id);
func WriteText(w io.Writer, findings []Finding) error {
	var b strings.Builder
	for i := range findings {
		f := &findings[i]
		fmt.Fprintf(&b, "%s: %s: %s [%s]\n", f.Pos, f.Severity, printable(f.Message), f.Rule)
		if f.Statement != "" {
			b.WriteString("    " + f.Statement + "\n")
		}
		b.WriteString("  safe:\n")
		for line := range strings.Lines(f.Fix) {
			b.WriteString("    " + printable(strings.TrimRight(line, "\r\n")) + "\n")
		}
	}
	if len(findings) > 0 {
		b.WriteString(Count(findings).String() + "\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// printable replaces what would move a terminal's cursor.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r == '\t' || unicode.IsPrint(r) {
			return r
		}
		if unicode.IsSpace(r) {
			return ' '
		}
		return unicode.ReplacementChar
	}, text)
}

// Counts is how many findings of each severity there are.
type Counts struct {
	Errors   int `json:"errors"`
	Warnings int `json:"warnings"`
	Infos    int `json:"infos"`
}

// Count counts findings.
func Count(findings []Finding) (n Counts) {
	for i := range findings {
		switch findings[i].Severity {
		case Error:
			n.Errors++
		case Warning:
			n.Warnings++
		case Info:
			n.Infos++
		}
	}
	return n
}

// String returns "1 error, 2 warnings, 0 infos".
func (n Counts) String() string {
	return plural(n.Errors, "error") + ", " + plural(n.Warnings, "warning") + ", " + plural(n.Infos, "info")
}

func plural(n int, word string) string {
	if n != 1 {
		word += "s"
	}
	return itoa(n) + " " + word
}

// jsonFinding is how a finding is written as JSON.
type jsonFinding struct {
	Rule      string   `json:"rule"`
	Severity  Severity `json:"severity"`
	Category  Category `json:"category"`
	Message   string   `json:"message"`
	Safe      string   `json:"safe"`
	File      string   `json:"file"`
	Line      int      `json:"line"`
	Column    int      `json:"column"`
	Offset    int64    `json:"offset"`
	Statement string   `json:"statement,omitempty"`
	Number    int      `json:"number,omitempty"`
	Table     string   `json:"table,omitempty"`
	Rows      *int64   `json:"rows,omitempty"`
}

// MarshalJSON writes the finding flat, with keys in lower case: rule, severity, category, message, safe, file, line, column, offset,
// and where they are known statement, number, table and rows.
func (f Finding) MarshalJSON() ([]byte, error) {
	flat := jsonFinding{
		Rule: f.Rule, Severity: f.Severity, Category: f.Category, Message: f.Message, Safe: f.Fix, File: f.Pos.File, Line: f.Pos.Line,
		Column: f.Pos.Column, Offset: f.Pos.Offset, Statement: f.Statement, Number: f.Number, Table: f.Table,
	}
	if f.Rows >= 0 {
		flat.Rows = &f.Rows
	}
	return json.Marshal(flat)
}

// WriteJSON writes {"findings": […], "counts": {"errors": 0, "warnings": 0, "infos": 0}} and a line end. There is always a list.
func WriteJSON(w io.Writer, findings []Finding) error {
	if findings == nil {
		findings = []Finding{}
	}
	return writeJSON(w, struct {
		Findings []Finding `json:"findings"`
		Counts   Counts    `json:"counts"`
	}{findings, Count(findings)})
}

func writeJSON(w io.Writer, value any) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(value)
}

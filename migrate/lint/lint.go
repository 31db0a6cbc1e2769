package lint

import (
	"fmt"
	"iter"
	"slices"

	"github.com/buffkit/buffkit/migrate/dialect"
	"github.com/buffkit/buffkit/migrate/lexer"
	"github.com/buffkit/buffkit/migrate/source"
)

// Severity is how much a finding matters.
type Severity uint8

// The severities. Off is for Options.Severities; no finding has it.
const (
	Off     Severity = iota
	Info             // there is a better way
	Warning          // it may hurt in production
	Error            // it fails, or loses what nobody meant to lose
)

var severityNames = [...]string{Off: "off", Info: "info", Warning: "warning", Error: "error"}

// String returns the name in lower case: off, info, warning, error.
func (s Severity) String() string {
	if int(s) >= len(severityNames) {
		return "unknown"
	}
	return severityNames[s]
}

// ParseSeverity reads what String returns.
func ParseSeverity(name string) (Severity, error) {
	if i := slices.Index(severityNames[:], name); i >= 0 {
		return Severity(i), nil
	}
	return Off, fmt.Errorf("lint: unknown severity %q: use off, info, warning or error", name)
}

// MarshalText writes what String returns.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads what ParseSeverity reads.
func (s *Severity) UnmarshalText(text []byte) error {
	parsed, err := ParseSeverity(string(text))
	if err == nil {
		*s = parsed
	}
	return err
}

// Migration is what Check looks at: a script and the one that undoes it.
type Migration struct {
	Up   Script
	Down *Script // nil if there is none
	// Applied says that it has run already: it is read for what it creates, and nothing in it is found.
	Applied bool
}

// Script is the SQL of one direction.
type Script struct {
	Path       string
	Header     source.Header // NoTransaction and Allow are asked for
	Statements iter.Seq2[lexer.Statement, error]
}

// Of returns a migration of a source as Check takes it. Its files are read while Check runs.
func Of(m source.Migration, opts *source.Options) Migration {
	script := func(s *source.Script) Script {
		return Script{Path: s.Path, Header: s.Header, Statements: s.Statements(opts)}
	}
	linted := Migration{Up: script(m.Up)}
	if m.Down != nil {
		down := script(m.Down)
		linted.Down = &down
	}
	return linted
}

// Options of Check. nil and the zero value mean the defaults.
type Options struct {
	// Version is the server's, as it says it itself: "16.4", "8.0.36", "10.11.6-MariaDB". Default: the oldest one that its makers
	// still keep, or did when this was written: PostgreSQL 14, MySQL 8.0, MariaDB 10.6, SQLite 3.35.
	Version string
	// Rows returns about how many rows a table has, by its name as the script writes it without quotes, perhaps with its schema.
	// known is false for a table that isn't there, or can't be counted. It is called from Check's goroutine, for the tables of findings
	// that weigh by size; nil knows no table.
	Rows func(table string) (rows int64, known bool)
	// SmallTable is the number of rows below which blocking a table is only worth an info. Default DefaultSmallTable.
	SmallTable int64
	// LargeTable is the number of rows from which blocking a table is an error. Default DefaultLargeTable.
	LargeTable int64
	// Severities replaces those of rules, by their ID; sizes don't change these. Off turns a rule off.
	Severities map[string]Severity
	// Runner is what the runner does around each script, so that the script needn't.
	Runner Runner
}

// Runner is what a runner sees to by itself.
type Runner struct {
	LockTimeout    bool // a limit on waiting for locks is set, but for CONCURRENTLY
	ForeignKeysOff bool // SQLite: foreign keys are off outside of the transaction, and checked before it commits
}

// Where blocking a table begins and ceases to be harmless. PostgreSQL reads or rewrites in the order of a million rows a second
// from memory: below the first it takes some milliseconds, from the second on longer than people wait.
const (
	DefaultSmallTable = 10_000
	DefaultLargeTable = 1_000_000
)

// Finding is one thing that a rule has against a statement.
type Finding struct {
	Rule      string   // the rule's ID
	Severity  Severity // after sizes and Options.Severities
	Category  Category
	Message   string         // what it does here and why that hurts, one line
	Fix       string         // the safe way, SQL with comments; may have several lines
	Pos       lexer.Position // of the word that says it; of the script's beginning if it is about the script
	Statement string         // the statement's SQL in one line, shortened; empty if it is about the script
	Number    int            // of the statement in its script, from 1; 0 if it is about the script
	Table     string         // the table that weighs, as Options.Rows is asked; may be empty
	Rows      int64          // how many rows it has, -1 if that isn't known
}

// Check returns what the rules find in some migrations, in their order and then by place. The order matters: what earlier ones
// create is known to later ones. It takes time in proportion to the scripts, and memory for one statement and the names of tables,
// columns and indexes.
//
// Calls may overlap, each with statements of its own.
//
// The error is that of a script which can't be read or taken apart, or tells of an option that can't be right; then there are no
// findings.
func Check(migrations []Migration, d dialect.Dialect, opts *Options) ([]Finding, error) {
	c, err := newChecker(d, opts)
	if err != nil {
		return nil, err
	}
	for _, m := range migrations {
		if err := c.migration(m); err != nil {
			return nil, err
		}
	}
	return c.finish(), nil
}

// Failed tells whether a finding is at least that severe, for an exit code.
func Failed(findings []Finding, least Severity) bool {
	return least > Off && slices.ContainsFunc(findings, func(f Finding) bool { return f.Severity >= least })
}

// ExitCode returns 1 if Failed, else 0.
func ExitCode(findings []Finding, least Severity) int {
	if Failed(findings, least) {
		return 1
	}
	return 0
}

func (o *Options) orDefault() Options {
	var filled Options
	if o != nil {
		filled = *o
	}
	if filled.SmallTable <= 0 {
		filled.SmallTable = DefaultSmallTable
	}
	if filled.LargeTable <= 0 {
		filled.LargeTable = DefaultLargeTable
	}
	if filled.Rows == nil {
		filled.Rows = func(string) (int64, bool) { return 0, false }
	}
	return filled
}

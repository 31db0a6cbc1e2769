package lint

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/buffkit/buffkit/migrate/dialect"
	"github.com/buffkit/buffkit/migrate/lexer"
)

// checker goes through the scripts.
type checker struct {
	opts     Options
	dialect  dialect.Dialect
	version  version
	ids      []string // of all rules
	rules    []*rule  // those of the dialect that aren't off
	rule     *rule    // the one that looks
	catalog  catalog
	script   *script
	scripts  []*script        // all that are looked at
	sizes    map[string]int64 // what Options.Rows has said
	findings []placed
	renames  []deferred // of this script
	keyless  []deferred // tables that this script has created
}

// placed is a finding with what it is sorted by.
type placed struct {
	Finding
	script int
}

// script is what is known of the script that is looked at, up to the current statement.
type script struct {
	number  int
	path    string
	down    bool
	hasUndo bool // it goes up, and there is a script that goes down
	noTx    bool
	count   int   // statements so far
	first   token // of the first statement

	inTx                   bool  // the runner's transaction, or one that the script has begun
	ownTx                  *stmt // the BEGIN of the script that is open
	timeout                bool  // a limit on waiting for locks is set
	fkOff                  *stmt // what has turned foreign keys off and not on again
	fkWasOff               bool
	ddl, dml               *stmt             // the first ones
	strong                 []heldLock        // locks of this transaction on tables that others use
	enums                  map[string]*stmt  // values added in this transaction
	notValid               map[string]bool   // constraints added NOT VALID in this transaction
	dropped                map[string]bool   // indexes dropped, for CONCURRENTLY IF NOT EXISTS
	altered                map[string]*stmt  // tables altered
	renamed                map[string]string // tables renamed: new name -> old
	created                []name            // tables
	mentions               map[string]bool   // in a down script: all words
	lost                   map[string]*table // SQLite: dropped tables that a copy takes the place of
	seen                   map[string]bool   // rules that report once
	copied                 []string          // SQLite: tables whose rows went into one that this script has created
	swapped                *stmt             // SQLite: what put such a copy in the place of its table
	fkChecked, legacyAlter bool              // SQLite
	changes                bool              // it has a statement that changes something
	applied                bool

	allows []*allow         // for all of it
	narrow map[int][]*allow // by statement
	shared []*allow         // above both sections of the file
}

// heldLock is one that keeps others off a table until the transaction ends.
type heldLock struct {
	table name
	by    *stmt
}

func newChecker(d dialect.Dialect, opts *Options) (*checker, error) {
	c := &checker{opts: opts.orDefault(), dialect: d, version: oldest[d], catalog: newCatalog(), sizes: map[string]int64{}}
	for _, r := range rules {
		c.ids = append(c.ids, r.ID)
	}
	if err := c.checkOptions(); err != nil {
		return nil, err
	}
	if c.opts.Version != "" {
		var err error
		if c.version, err = parseVersion(c.opts.Version); err != nil {
			return nil, err
		}
	}
	for _, r := range rules {
		severity, set := c.opts.Severities[r.ID]
		if slices.Contains(r.Dialects, d) && (!set || severity != Off) {
			c.rules = append(c.rules, r)
		}
	}
	return c, nil
}

func (c *checker) checkOptions() error {
	for _, id := range slices.Sorted(maps.Keys(c.opts.Severities)) {
		if !c.known(id) {
			return fmt.Errorf("lint: Severities names no rule %q%s", id, c.didYouMean(id))
		}
	}
	return nil
}

func (c *checker) known(id string) bool { return slices.Contains(c.ids, id) }

func (c *checker) mysql() bool { return c.dialect == dialect.MySQL || c.dialect == dialect.MariaDB }

// transactional tells whether a script's statements can be undone together.
func (c *checker) transactional() bool { return !c.mysql() }

func (c *checker) migration(m Migration) error {
	up, err := c.run(m.Up, m, false)
	if err != nil || m.Applied || m.Down == nil {
		return err
	}
	down, err := c.run(*m.Down, m, true)
	if err != nil {
		return err
	}
	c.pair(up, down)
	return nil
}

// run looks at one script.
func (c *checker) run(from Script, m Migration, down bool) (*script, error) {
	s := &script{
		number: len(c.scripts), path: from.Path, down: down, hasUndo: m.Down != nil, noTx: from.Header.NoTransaction, applied: m.Applied,
		enums: map[string]*stmt{}, notValid: map[string]bool{}, dropped: map[string]bool{}, altered: map[string]*stmt{},
		renamed: map[string]string{}, mentions: map[string]bool{}, lost: map[string]*table{}, seen: map[string]bool{},
		narrow: map[int][]*allow{},
	}
	s.inTx = c.transactional() && !s.noTx
	c.script = s
	c.scripts = append(c.scripts, s)
	own := map[int64]bool{}
	for statement, err := range from.Statements {
		if err != nil {
			return nil, err
		}
		s.count++
		r := recognize(statement, c.dialect, s.count)
		for _, a := range r.allows {
			own[a.token.Pos.Offset] = true
		}
		if s.count == 1 {
			s.first = r.first()
			c.takeShared(from, own)
		}
		c.statement(r, m.Applied)
	}
	c.each(m.Applied, func(r *rule) {
		if r.end != nil {
			r.end(c)
		}
	})
	return s, nil
}

// takeShared keeps the comments that stand above both sections of a file.
func (c *checker) takeShared(from Script, own map[int64]bool) {
	for _, a := range from.Header.Allow {
		if !own[a.Pos.Offset] {
			kept := &allow{rule: a.Rule, reason: a.Reason, wide: true, token: lexer.Token{Text: "-", Pos: a.Pos}}
			c.script.allows = append(c.script.allows, kept)
			c.script.shared = append(c.script.shared, kept)
		}
	}
}

// statement looks at one, and then takes note of what it does.
func (c *checker) statement(s *stmt, applied bool) {
	if c.script.down {
		for _, t := range s.tokens {
			c.script.mentions[strings.ToLower(unquote(t))] = true
		}
	}
	c.takeAllows(s)
	c.each(applied, func(r *rule) {
		if r.check != nil {
			r.check(c, s)
		}
	})
	c.follow(s)
	if !c.script.down {
		c.catalog.apply(s, c.script)
	}
}

// each calls f for the rules that look at the current script.
func (c *checker) each(applied bool, f func(*rule)) {
	if applied {
		return
	}
	for _, r := range c.rules {
		if c.script.down && !r.Down {
			continue
		}
		c.rule = r
		f(r)
	}
}

// pair looks at both scripts of a migration.
func (c *checker) pair(up, down *script) {
	for _, r := range c.rules {
		if c.rule = r; r.pair != nil {
			r.pair(c, up, down)
		}
	}
}

func (c *checker) finish() []Finding {
	for _, r := range c.rules {
		if c.rule = r; r.done != nil {
			r.done(c)
		}
	}
	slices.SortStableFunc(c.findings, func(a, b placed) int {
		if a.script != b.script {
			return a.script - b.script
		}
		return int(a.Pos.Offset - b.Pos.Offset)
	})
	all := make([]Finding, len(c.findings))
	for i := range c.findings {
		all[i] = c.findings[i].Finding
	}
	return all
}

// report tells what the current rule has against a statement, at one of its tokens.
func (c *checker) report(s *stmt, at lexer.Token, message, fix string) {
	c.on(name{}, s, at, message, fix)
}

// on is report for what hurts as much as a table is large.
func (c *checker) on(table name, s *stmt, at lexer.Token, message, fix string) {
	f := Finding{Message: message, Fix: fix, Pos: s.Pos, Statement: s.excerpt(), Number: s.number, Table: table.plain()}
	if at.Text != "" {
		f.Pos = at.Pos
	}
	c.add(f, c.script, s)
}

// reportAt is report for what is about the script, at a place in it.
func (c *checker) reportAt(at lexer.Token, message, fix string) {
	f := Finding{Message: message, Fix: fix, Pos: at.Pos}
	if at.Text == "" {
		f.Pos = lexer.Position{File: c.script.path, Line: 1, Column: 1}
	}
	c.add(f, c.script, nil)
}

// once is report, the first time that the current rule finds something in this script.
func (c *checker) once(s *stmt, at lexer.Token, message, fix string) {
	if !c.script.seen[c.rule.ID] {
		c.script.seen[c.rule.ID] = true
		c.report(s, at, message, fix)
	}
}

func (c *checker) add(f Finding, at *script, s *stmt) {
	if c.allowed(c.rule.ID, at, s) {
		return
	}
	f.Rule, f.Category, f.Severity, f.Rows = c.rule.ID, c.rule.Category, c.rule.Severity, -1
	if f.Fix == "" {
		f.Fix = c.rule.Safe
	}
	f.Pos.File = at.path
	c.weigh(&f)
	if severity, ok := c.opts.Severities[f.Rule]; ok {
		f.Severity = severity
	}
	c.findings = append(c.findings, placed{f, at.number})
}

// weigh asks for the size of the table.
func (c *checker) weigh(f *Finding) {
	if !c.rule.Weighs || f.Table == "" {
		return
	}
	rows := c.rows(f.Table)
	if rows < 0 {
		return
	}
	f.Rows = rows
	switch {
	case rows < c.opts.SmallTable:
		f.Severity = min(f.Severity, Info)
	case rows >= c.opts.LargeTable:
		f.Severity = max(f.Severity, Error)
	}
	f.Message += fmt.Sprintf(" (%s has about %s rows)", f.Table, thousands(rows))
}

// rows asks once for each table; -1 isn't known.
func (c *checker) rows(table string) int64 {
	n, asked := c.sizes[table]
	if !asked {
		n = -1
		if rows, known := c.opts.Rows(table); known && rows >= 0 {
			n = rows
		}
		c.sizes[table] = n
	}
	return n
}

func thousands(n int64) string {
	text := strconv.FormatInt(n, 10)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// maxStatement is how many characters of a statement a finding shows: what fits into a line of a terminal.
const maxStatement = 100

// excerpt writes the beginning of a statement in one line, without comments and what would move a terminal's cursor.
func (s *stmt) excerpt() string {
	var b strings.Builder
	space, n := false, 0
	for _, r := range s.tokens[:min(len(s.tokens), maxStatement)].written() {
		if unicode.IsSpace(r) {
			space = n > 0
			continue
		}
		if !unicode.IsPrint(r) {
			r = unicode.ReplacementChar
		}
		if space {
			b.WriteByte(' ')
			n++
		}
		space = false
		if n++; n > maxStatement {
			return b.String() + "…"
		}
		b.WriteRune(r)
	}
	return b.String()
}

// fresh tells whether this script has created the table, so that nobody waits for it and it has no rows yet.
func (c *checker) fresh(n name) bool {
	t := c.catalog.table(n)
	return t != nil && t.born == c.script && !c.script.down
}

// busy tells whether a statement names a table that others use.
func (c *checker) busy(n name) bool { return len(n.parts) > 0 && !c.fresh(n) }

// online tells whether the statement makes MySQL refuse rather than block: ALGORITHM=INSTANT, or INPLACE or NOCOPY without LOCK=SHARED.
func (s *stmt) online() bool {
	switch s.algorithm {
	case "instant":
		return true
	case "inplace", "nocopy":
		return s.lock == "" || s.lock == "none"
	}
	return s.lock == "none"
}

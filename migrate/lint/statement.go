package lint

import (
	"github.com/buffkit/buffkit/migrate/dialect"
	"github.com/buffkit/buffkit/migrate/lexer"
)

// verb is what a statement does, as far as rules ask for it.
type verb uint8

const (
	other verb = iota
	createTable
	createIndex
	createOther // of the kind in object
	alterTable
	alterOther
	drop // of the kind in object, tables included
	truncate
	insert
	update
	deleteFrom
	selectFrom
	renameTable // MySQL's RENAME TABLE
	lockTable
	vacuum
	cluster
	reindex
	refresh
	optimize
	begin
	commit
	rollback
	set
	pragma
	comment
	callOrDo
)

// ddl tells whether a statement changes the schema.
func (v verb) ddl() bool {
	switch v {
	case createTable, createIndex, createOther, alterTable, alterOther, drop, truncate, renameTable, comment:
		return true
	}
	return false
}

// dml tells whether a statement changes rows.
func (v verb) dml() bool { return v == insert || v == update || v == deleteFrom }

// stmt is a statement, recognized.
type stmt struct {
	lexer.Statement
	dialect dialect.Dialect
	number  int    // in its script, from 1
	tokens  tokens // all that mean something
	cut     bool   // there were more than maxTokens
	allows  []allow

	verb   verb
	object string // index, view, type …: what is created, altered or dropped
	names  []name // what it is about; of an index its own name, if it has one
	table  name   // the table it works on, or that is created

	concurrently, cascade, ifExists, ifNotExists bool
	temporary, replace, unique                   bool
	full                                         bool // VACUUM FULL
	local                                        bool // SET LOCAL
	only                                         bool // CREATE INDEX … ON ONLY: without its partitions

	columns     []column
	constraints []constraint
	actions     []action // of ALTER TABLE
	options     tokens   // behind the list of columns
	method      string   // of an index: USING gin, FULLTEXT
	list        tokens   // the columns of an index, or those an INSERT names
	listed      bool     // an INSERT names them
	query       bool     // CREATE TABLE … AS, INSERT … SELECT
	where       tokens   // nil without one
	from        int      // of UPDATE and DELETE: how many tables
	setting     string   // SET and PRAGMA: of what, in lower case
	value       tokens   // and to what
	partitionOf bool
	like        bool // CREATE TABLE … (LIKE …), INHERITS, OF type
	nowait      bool // it gives up by itself: NOWAIT, WAIT n
	ignore      bool // ALTER IGNORE TABLE
	algorithm   string
	lock        string
}

// column is one as it is defined.
type column struct {
	name       name
	typ        typ
	notNull    bool
	null       bool // said outright
	primary    bool
	unique     bool
	auto       bool   // AUTO_INCREMENT, IDENTITY
	autoincr   bool   // SQLite's AUTOINCREMENT
	defaulted  tokens // nil without DEFAULT
	stored     bool   // generated, kept in the table
	generated  bool   // generated from an expression
	references name   // empty without
	checks     []tokens
	charset    string
	position   lexer.Token // FIRST or AFTER
}

// typ is the type of a column.
type typ struct {
	name  string // in lower case with single spaces: "timestamp with time zone", "int unsigned"
	args  tokens
	array bool
	token lexer.Token
}

// constraint is one of a table.
type constraint struct {
	kind       string // primary key, unique, foreign key, check, exclude, index, fulltext, spatial, not null
	name       name
	columns    tokens
	references name
	expression tokens
	notValid   bool // NOT VALID, NOT ENFORCED
	usingIndex bool
	token      lexer.Token
}

// action is one clause of ALTER TABLE.
type action struct {
	kind       string // see parse_alter.go
	column     name
	to         name // new name of a column or table
	def        column
	constraint constraint
	value      tokens
	concurrent bool
	cascade    bool
	ifExists   bool
	token      lexer.Token
}

// maxTokens are looked at in one statement: a view or a routine has some thousands, and rows to insert say nothing new.
const maxTokens = 1 << 15

// recognize takes the tokens of a statement and what they say.
func recognize(s lexer.Statement, d dialect.Dialect, number int) *stmt {
	r := &stmt{Statement: s, dialect: d, number: number}
	end := s.Locate(len(s.SQL)).Offset
	begun := false
	for t := range s.TextTokens() {
		switch {
		case t.Kind == lexer.LineComment:
			r.allows = appendAllow(r.allows, t, !begun && number == 1)
		case t.Kind.Trivia(), t.Kind == lexer.CondOpen, t.Kind == lexer.CondClose:
		case t.Pos.Offset >= end:
		case len(r.tokens) < maxTokens:
			begun = true
			r.tokens = append(r.tokens, t)
		default:
			r.cut = true
		}
	}
	r.parse()
	return r
}

// first returns the statement's first token.
func (s *stmt) first() lexer.Token { return s.tokens.get(0) }

// maxAgain is how many tokens of a statement a fix repeats: what a reader still looks at.
const maxAgain = 400

// again returns the statement for a fix, in one line and without comments.
func (s *stmt) again() string {
	if len(s.tokens) > maxAgain {
		return s.tokens[:maxAgain].written() + " …"
	}
	return s.tokens.written()
}

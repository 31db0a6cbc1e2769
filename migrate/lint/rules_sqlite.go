package lint

import (
	"strings"

	"github.com/buffkit/buffkit/migrate/lexer"
)

// Rules about what SQLite can't alter, and about what it takes for a name or a type.
var (
	sqliteAlter = rule{Rule: Rule{
		ID: "sqlite-alter", Category: Transaction, Severity: Error, Dialects: onSQLite, Down: true,
		Title: "an ALTER TABLE that SQLite doesn't have",
		Why: "SQLite adds, renames and drops columns (3.25 and 3.35), and renames tables. Other changes need a new table. Since 3.53 NOT NULL and CHECK can" +
			" be added and dropped too.",
		Safe: "CREATE TABLE users_new (id integer PRIMARY KEY, email text NOT NULL UNIQUE);\nINSERT INTO users_new (id, email) SELECT id, email FROM users;\n" +
			"DROP TABLE users;\nALTER TABLE users_new RENAME TO users; -- with foreign keys off: see sqlite-rebuild",
	}, check: func(c *checker, s *stmt) {
		if s.verb != alterTable {
			return
		}
		if len(s.actions) > 1 {
			c.report(s, s.actions[1].token, "SQLite does one thing in an ALTER TABLE", "-- write an ALTER TABLE for each")
		}
		for i := range s.actions {
			a := &s.actions[i]
			if message := c.cantAlter(a); message != "" {
				c.report(s, a.token, message, "")
			}
		}
	}}

	sqliteAddColumn = rule{Rule: Rule{
		ID: "sqlite-add-column", Category: Data, Severity: Error, Dialects: onSQLite,
		Title: "ADD COLUMN that fails when the table has rows",
		Why: "SQLite doesn't write the rows: a default must be a constant, so not CURRENT_TIMESTAMP and no expression, a generated column" +
			" must be VIRTUAL, and a column with REFERENCES must default to NULL while foreign keys are on.",
		Safe: "ALTER TABLE posts ADD COLUMN created_at text;\nUPDATE posts SET created_at = CURRENT_TIMESTAMP WHERE created_at IS NULL;",
	}, check: func(c *checker, s *stmt) {
		for i := range s.actions {
			a := &s.actions[i]
			d := &a.def
			if a.kind != "add column" || !c.busy(s.table) {
				continue
			}
			first := d.defaulted.get(0)
			switch {
			case first.Is("current_timestamp"), first.Is("current_date"), first.Is("current_time"), isPunct(first, "(") && !isLiteral(d.defaulted):
				c.report(s, first, "this default isn't a constant, which fails as soon as "+s.table.String()+" has a row", "")
			case d.generated && d.stored:
				c.report(s, a.column.token(), "a STORED column fails as soon as "+s.table.String()+" has a row", "-- write VIRTUAL")
			case len(d.references.parts) > 0 && d.defaulted != nil && !first.Is("null"):
				c.report(s, first, "a column with REFERENCES must default to NULL, or this fails as soon as "+s.table.String()+" has a row", "")
			}
		}
	}}

	sqliteDropColumn = rule{Rule: Rule{
		ID: "sqlite-drop-column", Category: Transaction, Severity: Error, Dialects: onSQLite, Down: true,
		Title: "DROP COLUMN that SQLite refuses",
		Why: "It isn't there before 3.35, and refuses a column that is part of a key, an index, a unique constraint, a foreign key, a CHECK of the table, a" +
			" trigger or a view.",
		Safe: "DROP INDEX users_nickname;\nALTER TABLE users DROP COLUMN nickname;\n-- a column in a key or a constraint needs a new table: see sqlite-alter",
	}, check: func(c *checker, s *stmt) {
		for i := range s.actions {
			a := &s.actions[i]
			if a.kind != "drop column" {
				continue
			}
			if !c.version.since(3, 35) {
				c.report(s, a.column.token(), "SQLite has DROP COLUMN since 3.35", "")
				continue
			}
			t := c.catalog.table(s.table)
			if t == nil || c.script.down {
				continue
			}
			uses := t.uses(a.column.key())
			if index, ok := strings.CutPrefix(uses, "the index "); ok && uses != "" {
				c.report(s, a.column.token(), a.column.String()+" is part of "+uses+", so SQLite refuses to drop it",
					"DROP INDEX "+index+";\n"+s.again()+";")
			} else if uses != "" {
				c.report(s, a.column.token(), a.column.String()+" is part of "+uses+", so SQLite refuses to drop it", "")
			}
		}
	}}

	pragmaInTx = rule{Rule: Rule{
		ID: "pragma-in-transaction", Category: Transaction, Severity: Error, Dialects: onSQLite, Down: true,
		Title: "PRAGMA that does nothing in a transaction, or fails",
		Why: "PRAGMA foreign_keys is silently ignored in a transaction: a rebuild that relies on it deletes the rows of other tables through ON DELETE CASCADE," +
			" and reports success. journal_mode and synchronous fail there.",
		Safe: "-- no-transaction\nPRAGMA foreign_keys = OFF;\nBEGIN;\n-- …\nPRAGMA foreign_key_check;\nCOMMIT;\nPRAGMA foreign_keys = ON;",
	}, check: func(c *checker, s *stmt) {
		if s.verb != pragma || !c.script.inTx || len(s.value) == 0 {
			return
		}
		switch s.setting {
		case "foreign_keys":
			c.report(s, s.first(), "PRAGMA foreign_keys has no effect in a transaction, and says nothing", "")
		case "journal_mode", "synchronous":
			c.report(s, s.first(), "PRAGMA "+s.setting+" can't be changed in a transaction", "-- no-transaction\n"+s.again()+";")
		}
	}}

	sqliteIntKey = rule{Rule: Rule{
		ID: "sqlite-int-primary-key", Category: Types, Severity: Warning, Dialects: onSQLite,
		Title: "INT or BIGINT PRIMARY KEY",
		Why:   "Only the very word INTEGER makes the key the rowid. With any other the key has an index of its own, isn't numbered by itself, and may be NULL.",
		Safe:  "CREATE TABLE users (id INTEGER PRIMARY KEY, email text NOT NULL);",
	}, check: func(c *checker, s *stmt) {
		if s.options.has("without", "rowid") {
			return
		}
		for i := range s.columns {
			col := &s.columns[i]
			if !col.primary || col.typ.token.Is("integer") && len(col.typ.args) == 0 {
				continue
			}
			switch col.typ.base() {
			case "int", "bigint", "smallint", "tinyint", "mediumint", "serial", "bigserial":
				c.report(s, col.typ.token, col.typ.String()+" PRIMARY KEY isn't the rowid: it is NULL unless a value is given", "-- write INTEGER PRIMARY KEY")
			}
		}
	}}

	sqliteNullKey = rule{Rule: Rule{
		ID: "sqlite-null-primary-key", Category: Types, Severity: Warning, Dialects: onSQLite,
		Title: "a primary key that may be NULL",
		Why:   "For the sake of old files SQLite lets NULL into a primary key that isn't INTEGER, as often as you like.",
		Safe:  "CREATE TABLE settings (name text NOT NULL PRIMARY KEY, value text) STRICT;",
	}, check: func(c *checker, s *stmt) {
		if s.verb != createTable || s.options.has("without", "rowid") || s.options.has("strict") {
			return
		}
		for i := range s.columns {
			col := &s.columns[i]
			switch {
			case !col.primary || col.notNull:
			case col.typ.name == "text", col.typ.name == "varchar", col.typ.name == "char", col.typ.name == "uuid", col.typ.name == "blob":
				c.report(s, col.name.token(), "the key "+col.name.String()+" may be NULL", "-- write "+col.name.String()+" "+col.typ.String()+" NOT NULL PRIMARY KEY")
			}
		}
	}}

	sqliteStringType = rule{Rule: Rule{
		ID: "sqlite-string-type", Category: Types, Severity: Warning, Dialects: onSQLite,
		Title: "the type STRING",
		Why:   "SQLite doesn't know it and takes it for a number: '007' becomes 7, '1e3' becomes 1000.",
		Safe:  "CREATE TABLE parts (id INTEGER PRIMARY KEY, code text NOT NULL);",
	}, check: func(c *checker, s *stmt) {
		s.eachColumn(func(col *column) {
			if col.typ.name == "string" || col.typ.name == "str" {
				c.report(s, col.typ.token, "SQLite takes "+col.typ.token.Text+" for a number: '007' becomes 7", "-- write text")
			}
		})
	}}

	sqliteDoubleQuotes = rule{Rule: Rule{
		ID: "sqlite-double-quotes", Category: Data, Severity: Warning, Dialects: onSQLite, Down: true,
		Title: "a value in double quotes, or a name in single ones",
		Why: "\"…\" quotes a name. If there is no column of that name SQLite takes it for a string, as long as it is built so: a misspelled column in an index" +
			" then indexes the same constant in every row, and nothing says so.",
		Safe: "CREATE INDEX users_email ON users (email);\nINSERT INTO roles (name) VALUES ('admin');",
	}, check: func(c *checker, s *stmt) {
		c.quotedValues(s)
		for _, t := range s.quotedNames() {
			c.report(s, t, "a name in single quotes is a string wherever a string may stand", "-- write it without quotes, or in double ones")
		}
		if s.verb == createIndex {
			c.quotedIndex(s)
		}
	}}
)

// isLiteral tells whether an expression in parentheses is one value, perhaps with a sign: SQLite takes that for a constant.
func isLiteral(value tokens) bool {
	c := &cursor{tokens: value}
	inside, _ := c.group()
	last := inside.get(len(inside) - 1)
	return len(inside) == 1 && !strings.HasPrefix(strings.ToLower(last.Text), "current_") || len(inside) == 2 && last.Kind == lexer.Number
}

// cantAlter returns what SQLite has against a clause, "" if nothing.
func (c *checker) cantAlter(a *action) string {
	switch a.kind {
	case "add constraint":
		if a.constraint.kind == "check" && c.version.since(3, 53) {
			return ""
		}
		return "SQLite can't add a constraint to a table"
	case "set not null", "drop not null", "drop constraint":
		if c.version.since(3, 53) {
			return ""
		}
		return "SQLite before 3.53 can't change a column or drop a constraint"
	case "alter type", "set default", "drop default", "modify column", "drop primary key", "add identity":
		return "SQLite can't change a column"
	case "add column":
		if a.def.primary || a.def.unique {
			return "SQLite can't add a column that is unique or the primary key"
		}
	case "rename column":
		if !c.version.since(3, 25) {
			return "SQLite can rename columns since 3.25"
		}
	}
	return ""
}

// quotedValues finds "…" where only a value can stand: in VALUES and behind DEFAULT.
func (c *checker) quotedValues(s *stmt) {
	if s.verb == insert {
		if i := s.tokens.find("values"); i >= 0 {
			for _, t := range s.tokens[i:] {
				if t.Is("on") || t.Is("returning") {
					break
				}
				if t.Kind == lexer.QuotedIdent && strings.HasPrefix(t.Text, `"`) {
					c.report(s, t, t.Text+" is a name, and only by accident a string", "-- write '"+unquote(t)+"'")
					return
				}
			}
		}
	}
	s.eachColumn(func(col *column) {
		if t := col.defaulted.get(0); t.Kind == lexer.QuotedIdent && strings.HasPrefix(t.Text, `"`) {
			c.report(s, t, t.Text+" is a name, and only by accident a string", "-- write '"+unquote(t)+"'")
		}
	})
}

// quotedNames returns the names that a statement creates, or works on, in single quotes.
func (s *stmt) quotedNames() (found []token) {
	if s.verb == other || s.verb == set || s.verb == pragma || s.verb == callOrDo || s.verb == comment {
		return nil
	}
	take := func(n name) {
		for _, part := range n.parts {
			if part.Kind == stringKind {
				found = append(found, part)
			}
		}
	}
	take(s.table)
	for i := range s.columns {
		take(s.columns[i].name)
	}
	for i := range s.actions {
		take(s.actions[i].column)
		take(s.actions[i].to)
	}
	if s.verb == createIndex {
		for _, item := range s.list.commas() {
			if item.get(0).Kind == stringKind {
				found = append(found, item.get(0))
			}
		}
	}
	return found
}

// quotedIndex finds columns in double quotes that the table doesn't have.
func (c *checker) quotedIndex(s *stmt) {
	t := c.catalog.table(s.table)
	if t == nil || !t.whole {
		return
	}
	for _, item := range s.list.commas() {
		first := item.get(0)
		if first.Kind != lexer.QuotedIdent {
			continue
		}
		if _, ok := t.columns[strings.ToLower(unquote(first))]; !ok {
			c.report(s, first, s.table.String()+" has no column "+first.Text+", so SQLite indexes the string", "-- name a column, without quotes")
		}
	}
}

package lint

import (
	"maps"
	"slices"
	"strings"

	"github.com/buffkit/buffkit/migrate/dialect"
)

// Rules about the rebuilding of tables, which stands in for what SQLite can't alter.
var (
	sqliteRebuild = rule{Rule: Rule{
		ID: sqliteRebuildID, Category: Destructive, Severity: Error, Dialects: onSQLite, Down: true,
		Title: "a table is rebuilt while foreign keys are on",
		Why: "DROP TABLE deletes the rows first. With foreign keys on, ON DELETE CASCADE and SET NULL do their work in the tables that refer to it, although" +
			" the new table takes its place a moment later. defer_foreign_keys doesn't help against that.",
		Safe: "-- no-transaction\nPRAGMA foreign_keys = OFF;\nBEGIN;\nCREATE TABLE users_new (id integer PRIMARY KEY, email text NOT NULL);\n" +
			"INSERT INTO users_new (id, email) SELECT id, email FROM users;\nDROP TABLE users;\nALTER TABLE users_new RENAME TO users;\n" +
			"PRAGMA foreign_key_check;\nCOMMIT;\nPRAGMA foreign_keys = ON;",
	}, check: func(c *checker, s *stmt) {
		if s.verb != drop || s.object != "table" || c.opts.Runner.ForeignKeysOff || c.fkOff() {
			return
		}
		for _, n := range s.names {
			if c.rebuilt(n) {
				c.report(s, n.token(), "with foreign keys on, this deletes what refers to the rows of "+n.String()+" by ON DELETE CASCADE", "")
			}
		}
	}}

	sqliteRebuildCheck = rule{Rule: Rule{
		ID: "sqlite-rebuild-check", Category: Data, Severity: Warning, Dialects: onSQLite,
		Title: "a table is rebuilt without PRAGMA foreign_key_check",
		Why:   "While foreign keys are off nothing keeps rows that refer to nothing out, and turning them on again doesn't look for them.",
		Safe:  "PRAGMA foreign_key_check; -- before COMMIT: each row that it returns refers to nothing\nCOMMIT;",
	}, end: func(c *checker) {
		if c.script.swapped != nil && c.script.fkWasOff && !c.script.fkChecked && !c.opts.Runner.ForeignKeysOff {
			s := c.script.swapped
			c.report(s, s.first(), s.table.String()+" takes the place of another table, and no foreign_key_check follows", "")
		}
	}}

	sqliteRenameFirst = rule{Rule: Rule{
		ID: "sqlite-rename-first", Category: Destructive, Severity: Error, Dialects: onSQLite,
		Title: "a table is renamed out of the way to be built anew",
		Why: "RENAME TO also changes the foreign keys, triggers and views that name the table: they follow it to the old one, and point to nothing when that is" +
			" dropped. Since SQLite 3.26 even with foreign keys off.",
		Safe: "-- build the new one under another name, drop the old one, and rename the new one\nCREATE TABLE users_new (id integer PRIMARY KEY, email text NOT NULL);\n" +
			"INSERT INTO users_new (id, email) SELECT id, email FROM users;\nDROP TABLE users;\nALTER TABLE users_new RENAME TO users;",
	}, check: func(c *checker, s *stmt) {
		if s.verb != createTable || c.script.legacyAlter {
			return
		}
		for now, before := range c.script.renamed {
			if before == s.table.key() {
				c.report(s, s.table.token(), "foreign keys that named "+s.table.String()+" name "+now+" since its renaming", "")
				return
			}
		}
	}}

	sqliteRebuildLoses = rule{Rule: Rule{
		ID: "sqlite-rebuild-loses", Category: Destructive, Severity: Warning, Dialects: onSQLite,
		Title: "a table is rebuilt without its columns, indexes or triggers",
		Why: "DROP TABLE also drops the table's indexes and triggers. The new table has those that are created again, and the columns that are" +
			" copied, and nothing says what is missing.",
		Safe: "DROP TABLE users;\nALTER TABLE users_new RENAME TO users;\nCREATE INDEX users_email ON users (email);",
	}, check: func(c *checker, s *stmt) {
		if s.verb != drop || s.object != "table" {
			return
		}
		for _, n := range s.names {
			if t := c.catalog.table(n); t != nil && c.rebuilt(n) {
				c.script.lost[n.key()] = t
			}
		}
	}, end: func(c *checker) {
		for _, key := range slices.Sorted(maps.Keys(c.script.lost)) {
			if now := c.catalog.tables[key]; c.script.swapped != nil && now != nil {
				c.missing(key, c.script.lost[key], now)
			}
		}
	}}
)

// fkOff tells whether foreign keys are really off.
func (c *checker) fkOff() bool { return c.script.fkOff != nil && c.script.noTx }

// missing tells what an old table had and the new one hasn't.
func (c *checker) missing(key string, old, now *table) {
	s := c.script.swapped
	for _, column := range slices.Sorted(maps.Keys(old.columns)) {
		if _, ok := now.columns[column]; !ok && now.whole {
			c.report(s, s.first(), "the column "+column+" goes with the old table",
				"-- if that is meant: -- lint:allow sqlite-rebuild-loses and here why "+column+" isn't needed any more")
		}
	}
	for _, i := range old.indexes {
		if !i.implied && i.name != "" && !now.hasIndex(i) {
			c.report(s, s.first(), "the index "+i.name+" goes with the old table and isn't created again",
				"CREATE INDEX "+i.name+" ON "+key+" ("+strings.Join(i.columns, ", ")+");")
		}
	}
	for _, trigger := range slices.Sorted(maps.Keys(old.triggers)) {
		if !now.triggers[trigger] {
			c.report(s, s.first(), "the trigger "+trigger+" goes with the old table and isn't created again", "CREATE TRIGGER "+trigger+" …")
		}
	}
}

// hasIndex tells whether the table has an index of that name, or one on the same columns.
func (t *table) hasIndex(want index) bool {
	for _, i := range t.indexes {
		if i.name == want.name || !i.implied && strings.Join(i.columns, ",") == strings.Join(want.columns, ",") {
			return true
		}
	}
	return false
}

// followRebuild takes note of the steps by which a table is built anew. SQLite.
func (c *checker) followRebuild(s *stmt) {
	if c.dialect != dialect.SQLite {
		return
	}
	switch s.verb {
	case insert:
		if from := s.tokens.find("from"); s.query && from >= 0 && c.fresh(s.table) {
			at := &cursor{tokens: s.tokens, at: from + 1}
			if n, ok := at.name(); ok {
				c.script.copied = append(c.script.copied, n.key())
			}
		}
	case createTable:
		if from := s.tokens.find("from"); s.query && from >= 0 {
			at := &cursor{tokens: s.tokens, at: from + 1}
			if n, ok := at.name(); ok {
				c.script.copied = append(c.script.copied, n.key())
			}
		}
	case alterTable:
		for i := range s.actions {
			for _, copied := range c.script.copied {
				if a := &s.actions[i]; a.kind == "rename table" && a.to.key() == copied && c.fresh(s.table) {
					c.script.swapped = s
				}
			}
		}
	case pragma:
		c.script.fkChecked = c.script.fkChecked || s.setting == "foreign_key_check"
		c.script.legacyAlter = c.script.legacyAlter || s.setting == "legacy_alter_table" && !isOff(s.value)
	}
}

// rebuilt tells whether this script has copied the table and is about to put the copy in its place. SQLite has no other way.
func (c *checker) rebuilt(n name) bool {
	if c.dialect != dialect.SQLite {
		return false
	}
	for _, from := range c.script.copied {
		if from == n.key() {
			return true
		}
	}
	return false
}

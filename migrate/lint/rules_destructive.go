package lint

import (
	"strings"

	"github.com/buffkit/buffkit/migrate/dialect"
)

var (
	dropTable = rule{Rule: Rule{
		ID: "drop-table", Category: Destructive, Severity: Warning, Dialects: everywhere,
		Title: "DROP TABLE on a table that was there before",
		Why: "The rows are gone for good, and the release that still runs during the deploy fails at its next query. Undoing the" +
			" migration brings back an empty table at best.",
		Safe: "-- first a release that doesn't use it; then, reversibly:\nALTER TABLE orders RENAME TO orders_unused;\n" +
			"-- and weeks later, with a backup:\n-- lint:allow drop-table unused since release 12, in the backup of May 3\nDROP TABLE orders_unused;",
	}, check: func(c *checker, s *stmt) {
		if s.verb != drop || s.object != "table" {
			return
		}
		for _, n := range s.names {
			if c.busy(n) && !c.rebuilt(n) {
				c.report(s, n.token(), "DROP TABLE "+n.String()+" loses its rows for good",
					"ALTER TABLE "+n.String()+" RENAME TO "+n.suffixed("_unused")+"; -- when no release uses it\n-- in the next migration, weeks later, with a backup\n"+
						"-- lint:allow drop-table unused since release …\nDROP TABLE "+n.suffixed("_unused")+";")
			}
		}
	}}

	dropColumn = rule{Rule: Rule{
		ID: "drop-column", Category: Destructive, Severity: Warning, Dialects: everywhere,
		Title: "DROP COLUMN on a table that was there before",
		Why: "The values are gone for good, and the release that still runs fails: it names the column in its SELECT and INSERT, and ORMs" +
			" name all of them.",
		Safe: "-- first a release that neither reads nor writes it, then:\n-- lint:allow drop-column nothing reads it since release 12\n" +
			"ALTER TABLE users DROP COLUMN nickname;",
	}, check: func(c *checker, s *stmt) {
		for i := range s.actions {
			if a := &s.actions[i]; a.kind == "drop column" && c.busy(s.table) {
				c.report(s, a.column.token(), "dropping "+a.column.String()+" loses its values, and whoever still selects it fails",
					"-- when no release reads or writes it:\n-- lint:allow drop-column nothing has read it since release …\nALTER TABLE "+s.table.String()+
						" DROP COLUMN "+a.column.String()+";")
			}
		}
	}}

	dropSchema = rule{Rule: Rule{
		ID: "drop-schema", Category: Destructive, Severity: Error, Dialects: onServers,
		Title: "DROP DATABASE, DROP SCHEMA or DROP OWNED",
		Why:   "It loses everything in it at once. A migration that runs on the wrong database, or twice, can't be taken back.",
		Safe:  "-- drop what is meant, by name\nDROP TABLE reports.daily;\n-- PostgreSQL: then the schema too, if it is empty: DROP SCHEMA reports RESTRICT",
	}, check: func(c *checker, s *stmt) {
		if s.verb != drop || len(s.names) == 0 && s.object != "owned" {
			return
		}
		switch {
		case s.object == "database", s.object == "owned", s.object == "schema" && (c.mysql() || !s.tokens.has("restrict")):
			c.report(s, s.first(), "DROP "+strings.ToUpper(s.object)+" loses everything that is in it", "")
		}
	}}

	truncateTable = rule{Rule: Rule{
		ID: "truncate", Category: Destructive, Severity: Warning, Dialects: onServers,
		Title: "TRUNCATE, or DISCARD TABLESPACE, of a table that was there before",
		Why: "All rows are gone, no trigger for DELETE runs, and everybody waits for the lock. MySQL commits what was done before it. With" +
			" CASCADE PostgreSQL empties every table that refers to it as well, and doesn't say which.",
		Safe: "-- delete what is known to be wrong, by a condition\nDELETE FROM sessions WHERE expires_at < now();",
	}, check: func(c *checker, s *stmt) {
		for i := range s.actions {
			if a := &s.actions[i]; a.kind == "discard" && c.busy(s.table) {
				c.report(s, a.token, "DISCARD removes the file of "+s.table.String()+" and with it all its rows", "")
			}
		}
		if s.verb != truncate {
			return
		}
		for _, n := range s.names {
			if !c.busy(n) {
				continue
			}
			message := "TRUNCATE " + n.String() + " loses all its rows"
			if s.cascade {
				message += ", and by CASCADE those of every table that refers to it"
			}
			c.report(s, n.token(), message, "")
		}
	}}

	dropPartition = rule{Rule: Rule{
		ID: "drop-partition", Category: Destructive, Severity: Warning, Dialects: onMySQL,
		Title: "DROP PARTITION or TRUNCATE PARTITION",
		Why:   "The partition's rows are gone for good, without triggers and without a check of foreign keys.",
		Safe: "-- keep the rows in a table of their own first\nCREATE TABLE events_2023 LIKE events;\nALTER TABLE events_2023 REMOVE PARTITIONING;\n" +
			"ALTER TABLE events EXCHANGE PARTITION p2023 WITH TABLE events_2023;",
	}, check: func(c *checker, s *stmt) {
		for i := range s.actions {
			a := &s.actions[i]
			if (a.kind == "drop partition" || a.kind == "truncate partition") && c.busy(s.table) {
				c.report(s, a.token, strings.ToUpper(a.kind)+" "+a.column.String()+" loses the partition's rows for good", "")
			}
		}
	}}

	dropCascade = rule{Rule: Rule{
		ID: "drop-cascade", Category: Destructive, Severity: Warning, Dialects: onPostgres,
		Title: "DROP … CASCADE",
		Why: "CASCADE also drops views, foreign keys, defaults and functions that depend on it, whatever they are in production by then. Without" +
			" it PostgreSQL refuses and names them.",
		Safe: "-- name what has to go, and leave CASCADE away\nDROP VIEW active_users;\nALTER TABLE users DROP COLUMN active;",
	}, check: func(c *checker, s *stmt) {
		if s.verb == drop && s.cascade && !s.freshNames(c) {
			c.report(s, s.tokens.word("cascade"), "CASCADE drops everything that depends on it, which this script doesn't name", "")
		}
		for i := range s.actions {
			if a := &s.actions[i]; a.cascade && c.busy(s.table) {
				c.report(s, a.token, "CASCADE drops everything that depends on it, which this script doesn't name", "")
			}
		}
	}}

	deleteAll = rule{Rule: Rule{
		ID: "delete-without-where", Category: Destructive, Severity: Warning, Dialects: everywhere,
		Title: "DELETE without WHERE",
		Why:   "It deletes every row, one by one: slow, with all locks held to the end, and rarely what was meant.",
		Safe:  "DELETE FROM sessions WHERE expires_at < '2024-01-01';",
	}, check: func(c *checker, s *stmt) {
		if s.verb == deleteFrom && s.where == nil && s.from == 0 && !s.cut && c.busy(s.table) {
			c.report(s, s.first(), "DELETE without WHERE loses every row of "+s.table.String(), "")
		}
	}}

	updateAll = rule{Rule: Rule{
		ID: "update-without-where", Category: Destructive, Severity: Warning, Dialects: everywhere, Weighs: true,
		Title: "UPDATE without WHERE",
		Why: "It overwrites the column in every row, and what stood there is lost. All rows stay locked until the transaction ends, and in" +
			" PostgreSQL each gets a new version: the table doubles.",
		Safe: "-- only the rows that need it, in batches, until none is changed; in a migration with -- no-transaction\n" +
			"UPDATE users SET locale = 'en' WHERE id IN (SELECT id FROM users WHERE locale IS NULL LIMIT 5000);",
	}, check: func(c *checker, s *stmt) {
		if s.verb == update && s.where == nil && s.from <= 1 && !s.cut && c.busy(s.table) {
			c.on(s.table, s, s.first(), "UPDATE without WHERE rewrites every row of "+s.table.String(), "")
		}
	}}

	replaceInto = rule{Rule: Rule{
		ID: "replace-into", Category: Destructive, Severity: Warning, Dialects: []dialect.Dialect{dialect.MySQL, dialect.MariaDB, dialect.SQLite},
		Title: "REPLACE INTO or INSERT OR REPLACE",
		Why: "A row with the same key is deleted and inserted anew: columns that aren't named fall back to their defaults, and ON DELETE CASCADE" +
			" deletes the rows that refer to it.",
		Safe: "-- SQLite\nINSERT INTO settings (name, value) VALUES ('theme', 'dark') ON CONFLICT (name) DO UPDATE SET value = excluded.value;\n" +
			"-- MySQL\nINSERT INTO settings (name, value) VALUES ('theme', 'dark') AS new ON DUPLICATE KEY UPDATE value = new.value;",
	}, check: func(c *checker, s *stmt) {
		if s.verb == insert && s.replace && c.busy(s.table) {
			c.report(s, s.first(), "a row of "+s.table.String()+" with the same key is deleted, and with it what refers to it", "")
		}
	}}
)

var alterIgnore = rule{Rule: Rule{
	ID: "alter-ignore", Category: Destructive, Severity: Warning, Dialects: []dialect.Dialect{dialect.MariaDB},
	Title: "ALTER IGNORE TABLE",
	Why:   "Of the rows that are the same by a new unique index all but one are deleted, without a word; with other changes, values that don't fit are cut off.",
	Safe: "-- look for them, and delete what is known to be wrong\nSELECT email, count(*) FROM users GROUP BY email HAVING count(*) > 1;\n" +
		"ALTER TABLE users ADD UNIQUE users_email_key (email);",
}, check: func(c *checker, s *stmt) {
	if s.verb == alterTable && s.ignore && c.busy(s.table) {
		c.report(s, s.first(), "IGNORE deletes the rows of "+s.table.String()+" that are in the way", "")
	}
}}

// word returns the first token that is the word, outside of parentheses.
func (t tokens) word(word string) (found token) {
	if i := t.find(word); i >= 0 {
		return t[i]
	}
	return t.get(0)
}

// freshNames tells whether all that a statement names was created in this script.
func (s *stmt) freshNames(c *checker) bool {
	for _, n := range s.names {
		if !c.fresh(n) {
			return false
		}
	}
	return s.object == "table"
}

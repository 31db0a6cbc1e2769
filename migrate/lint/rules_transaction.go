package lint

import (
	"strconv"
	"strings"

	"github.com/buffkit/buffkit/migrate/dialect"
)

// Rules about what works in a transaction only, or only outside of one.
var (
	concurrentlyInTx = rule{Rule: Rule{
		ID: "concurrently-in-transaction", Category: Transaction, Severity: Error, Dialects: onPostgres, Down: true,
		Title: "CONCURRENTLY in a transaction",
		Why:   "PostgreSQL refuses it.",
		Safe:  "-- no-transaction\nCREATE INDEX CONCURRENTLY orders_user_id ON orders (user_id);",
	}, check: func(c *checker, s *stmt) {
		concurrent := s.concurrently && s.verb != refresh
		for i := range s.actions {
			concurrent = concurrent || s.actions[i].concurrent
		}
		if concurrent && c.script.inTx {
			c.report(s, s.tokens.word("concurrently"), "PostgreSQL refuses CONCURRENTLY in a transaction",
				"-- in a script of its own\n-- no-transaction\n"+s.again()+";")
		}
	}}

	concurrentlyPartitioned = rule{Rule: Rule{
		ID: "concurrently-partitioned", Category: Transaction, Severity: Error, Dialects: onPostgres, Down: true,
		Title: "CREATE INDEX CONCURRENTLY on a partitioned table",
		Why:   "PostgreSQL refuses it: only the partitions can be indexed so, one by one.",
		Safe: "CREATE INDEX events_at ON ONLY events (at); -- made valid by its last partition's\n-- in the next migration\n-- no-transaction\n" +
			"CREATE INDEX CONCURRENTLY events_2024_at ON events_2024 (at);\nALTER INDEX events_at ATTACH PARTITION events_2024_at;",
	}, check: func(c *checker, s *stmt) {
		t := c.catalog.table(s.table)
		if s.verb == createIndex && s.concurrently && t != nil && t.partitioned {
			c.report(s, s.tokens.word("concurrently"), s.table.String()+" is partitioned, so PostgreSQL refuses CONCURRENTLY on it", "")
		}
	}}

	concurrentlyExists = rule{Rule: Rule{
		ID: "concurrently-if-not-exists", Category: Transaction, Severity: Warning, Dialects: onPostgres, Down: true,
		Title: "CREATE INDEX CONCURRENTLY IF NOT EXISTS",
		Why: "When it fails or is cut off, CONCURRENTLY leaves an INVALID index that no query uses and every write keeps up. The next run finds the" +
			" name, does nothing and reports success.",
		Safe: "-- no-transaction\nDROP INDEX CONCURRENTLY IF EXISTS orders_user_id;\nCREATE INDEX CONCURRENTLY orders_user_id ON orders (user_id);",
	}, check: func(c *checker, s *stmt) {
		if s.verb == createIndex && s.concurrently && s.ifNotExists && !c.script.dropped[s.indexName().key()] {
			n := s.indexName().String()
			c.report(s, s.tokens.word("if"), "an INVALID "+n+" that a broken run has left passes for a good one",
				"DROP INDEX CONCURRENTLY IF EXISTS "+n+";\n"+strings.Replace(s.again(), "IF NOT EXISTS ", "", 1)+";")
		}
	}}

	concurrentlyTimeout = rule{Rule: Rule{
		ID: "concurrently-lock-timeout", Category: Transaction, Severity: Warning, Dialects: onPostgres, Down: true,
		Title: "CONCURRENTLY under a lock_timeout",
		Why: "CONCURRENTLY waits for old transactions to end, by locks. The timeout breaks it off and leaves an INVALID index. It blocks nobody while" +
			" it waits, so it needs no timeout.",
		Safe: "SET lock_timeout = 0;\nCREATE INDEX CONCURRENTLY orders_user_id ON orders (user_id);",
	}, check: func(c *checker, s *stmt) {
		if s.concurrently && s.verb != refresh && c.script.timeout {
			c.report(s, s.tokens.word("concurrently"), "lock_timeout breaks this off when an old transaction runs on, and leaves an INVALID index",
				"SET lock_timeout = 0;\n"+s.again()+";")
		}
	}}

	outsideTx = rule{Rule: Rule{
		ID: "not-in-transaction", Category: Transaction, Severity: Error, Dialects: []dialect.Dialect{dialect.Postgres, dialect.SQLite}, Down: true,
		Title: "a statement that doesn't run in a transaction",
		Why:   "The database refuses VACUUM, CREATE DATABASE, ALTER SYSTEM and the like in a transaction; SQLite refuses VACUUM.",
		Safe:  "-- no-transaction\nVACUUM (ANALYZE) events;",
	}, check: func(c *checker, s *stmt) {
		if !c.script.inTx {
			return
		}
		bad := s.verb == vacuum
		if c.dialect == dialect.Postgres {
			object := s.object == "database" || s.object == "tablespace" || s.object == "subscription"
			bad = bad || object && (s.verb == createOther || s.verb == drop) || s.verb == alterOther && s.object == "system" ||
				s.verb == reindex && (s.object == "database" || s.object == "system" || s.object == "schema")
		}
		if bad {
			c.report(s, s.first(), "the database refuses this in a transaction", "-- in a script of its own\n-- no-transaction\n"+s.again()+";")
		}
	}}

	transactionControl = rule{Rule: Rule{
		ID: "transaction-control", Category: Transaction, Severity: Error, Dialects: everywhere, Down: true,
		Title: "BEGIN, COMMIT or ROLLBACK in a script",
		Why: "The runner opens the transaction and writes into it that the script has run. A COMMIT in the script ends that transaction: what follows" +
			" can't be undone, and after a crash nobody knows where it stood. A script without transaction may use its own, if it ends them.",
		Safe: "-- leave BEGIN and COMMIT away: a script runs in a transaction; or, where it needs several,\n-- no-transaction",
	}, check: func(c *checker, s *stmt) {
		if s.verb != begin && s.verb != commit && s.verb != rollback {
			return
		}
		if c.script.noTx || c.mysql() && c.script.ownTx != nil {
			if s.verb == begin && c.script.ownTx != nil || s.verb != begin && c.script.ownTx == nil {
				c.report(s, s.first(), strings.ToUpper(s.first().Text)+" without its counterpart", "")
			}
			return
		}
		c.report(s, s.first(), strings.ToUpper(s.first().Text)+" breaks the runner's own transaction and its record", "")
	}, end: func(c *checker) {
		if open := c.script.ownTx; open != nil && c.script.noTx {
			c.report(open, open.first(), "this transaction isn't ended in the script: the connection goes back with it open", "-- add COMMIT;")
		}
	}}

	lockTimeout = rule{Rule: Rule{
		ID: lockTimeoutID, Category: Blocking, Severity: Warning, Dialects: onServers,
		Title: "a lock on a table that others use, without a limit on waiting for it",
		Why: "Waiting for a lock behind one long query, the statement makes all that come after it wait as well: the app stands still although nothing" +
			" is done. PostgreSQL waits for ever, MySQL for a year, MariaDB for a day. A runner that sets a limit and tries again spares the script this.",
		Safe: "SET LOCAL lock_timeout = '5s'; -- PostgreSQL\nSET SESSION lock_wait_timeout = 5; -- MySQL, MariaDB",
	}, check: func(c *checker, s *stmt) {
		if c.opts.Runner.LockTimeout || c.script.timeout || s.nowait {
			return
		}
		for _, n := range c.locked(s) {
			if !c.busy(n) {
				continue
			}
			fix := "SET SESSION lock_wait_timeout = 5; -- seconds"
			switch {
			case c.dialect == dialect.Postgres && c.script.inTx:
				fix = "SET LOCAL lock_timeout = '5s';"
			case c.dialect == dialect.Postgres:
				fix = "SET lock_timeout = '5s';"
			}
			c.once(s, s.first(), "while this waits for its lock on "+n.String()+", everything behind it waits too, without limit", fix)
		}
	}}

	enumInTx = rule{Rule: Rule{
		ID: "enum-value-in-transaction", Category: Transaction, Severity: Error, Dialects: onPostgres, Down: true,
		Title: "a new value of an enum, used in the transaction that adds it",
		Why: "Before PostgreSQL 12 ALTER TYPE … ADD VALUE is refused in a transaction. Since then it is allowed, but using the value before the commit" +
			" is not: \"unsafe use of new value\".",
		Safe: "ALTER TYPE status ADD VALUE 'archived';\n-- in the next migration\nUPDATE orders SET status = 'archived' WHERE closed_at < '2024-01-01';",
	}, check: func(c *checker, s *stmt) {
		if !c.script.inTx {
			return
		}
		if _, adds := addedValue(s); adds && s.verb == alterOther && s.object == "type" && !c.version.since(12) {
			c.report(s, s.first(), "before PostgreSQL 12 this is refused in a transaction", "-- no-transaction\n"+s.again()+";")
			return
		}
		if len(c.script.enums) == 0 || s.verb == alterOther {
			return
		}
		for _, t := range s.tokens {
			if by := c.script.enums[t.Text]; by != nil && t.Kind == stringKind {
				c.report(s, t, t.Text+" was added to its enum in this transaction (line "+itoa(by.Pos.Line)+") and can't be used before the commit",
					"-- in the next migration\n"+s.again()+";")
				return
			}
		}
	}}

	implicitCommit = rule{Rule: Rule{
		ID: "implicit-commit", Category: Transaction, Severity: Warning, Dialects: onMySQL,
		Title: "changes of rows and of the schema in one script",
		Why: "In MySQL and MariaDB each CREATE, ALTER and DROP commits what was done before it. When the script fails in the middle, the rows are changed" +
			" and stay so, and it doesn't run again from the start.",
		Safe: "ALTER TABLE users ADD COLUMN locale varchar(10);\n-- in the next migration: rows alone can be undone as a whole\n" +
			"UPDATE users SET locale = 'en' WHERE locale IS NULL;",
	}, check: func(c *checker, s *stmt) {
		switch {
		case s.verb.dml() && c.script.ddl != nil && c.busy(s.table):
			c.once(s, s.first(), "rows change in a script that also changes the schema (line "+itoa(c.script.ddl.Pos.Line)+"), which commits by itself", "")
		case s.verb.ddl() && !s.temporary && c.script.dml != nil:
			c.once(s, s.first(), "this commits the rows that were changed before it (line "+itoa(c.script.dml.Pos.Line)+"), so the script can't be undone as a whole", "")
		}
	}}

	foreignKeysOff = rule{Rule: Rule{
		ID: "foreign-keys-stay-off", Category: Transaction, Severity: Warning, Dialects: everywhere, Down: true,
		Title: "foreign keys switched off and not on again",
		Why: "The connection goes back to work without them, and rows that refer to nothing are let in. MySQL doesn't look at rows that came in" +
			" meanwhile, ever.",
		Safe: "SET foreign_key_checks = 0;\n-- …\nSET foreign_key_checks = 1; -- MySQL\nPRAGMA foreign_keys = ON; -- SQLite",
	}, end: func(c *checker) {
		if off := c.script.fkOff; off != nil && !off.local && !(c.dialect == dialect.SQLite && c.script.inTx) {
			c.report(off, off.first(), "foreign keys are off, and stay so when the script has ended", "")
		}
	}}

	sessionSet = rule{Rule: Rule{
		ID: "session-setting", Category: Transaction, Severity: Info, Dialects: onPostgres, Down: true,
		Title: "SET without LOCAL in a transaction",
		Why:   "The setting stays on the connection after the transaction, for the next migration or, in a pool, for the app.",
		Safe:  "SET LOCAL search_path = app, public;",
	}, check: func(c *checker, s *stmt) {
		if s.verb == set && !s.local && c.script.inTx && s.setting != "constraints" && s.setting != "transaction" {
			c.report(s, s.first(), "SET "+s.setting+" stays on the connection after this script", "SET LOCAL "+s.setting+" = "+s.value.sql()+";")
		}
	}}

	definerPath = rule{Rule: Rule{
		ID: "security-definer-path", Category: Compatible, Severity: Warning, Dialects: onPostgres,
		Title: "SECURITY DEFINER without a search_path",
		Why: "The function runs with its owner's rights, and finds tables and functions by the caller's search_path: whoever can create a table can have it" +
			" used in place of yours.",
		Safe: "CREATE FUNCTION close_order(id bigint) RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path = app, pg_temp AS $$ UPDATE orders SET open = false WHERE orders.id = $1 $$;",
	}, check: func(c *checker, s *stmt) {
		if s.verb == createOther && s.tokens.has("security", "definer") && !s.tokens.has("set", "search_path") {
			c.report(s, s.tokens[s.tokens.find("security", "definer")], "this function runs with its owner's rights, on the search_path of whoever calls it", "-- add SET search_path = app, pg_temp")
		}
	}}
)

func itoa(n int) string { return strconv.Itoa(n) }

// locked returns the tables that a statement takes a lock on for which all others wait.
func (c *checker) locked(s *stmt) (names []name) {
	if c.dialect == dialect.Postgres {
		return locked(s)
	}
	switch s.verb {
	case alterTable, createIndex, truncate, optimize:
		return []name{s.table}
	case drop:
		if s.object == "table" {
			return s.names
		}
		return []name{s.table}
	case renameTable:
		for i := range s.actions {
			names = append(names, s.actions[i].column)
		}
	}
	return names
}

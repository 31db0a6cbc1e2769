package lint

import (
	"strings"

	"github.com/buffkit/buffkit/migrate/dialect"
)

// Rules about how MySQL and MariaDB carry out ALTER TABLE.
var (
	algorithmCopy = rule{Rule: Rule{
		ID: "algorithm-copy", Category: Blocking, Severity: Warning, Dialects: onMySQL, Weighs: true,
		Title: "ALGORITHM=COPY, LOCK=SHARED or LOCK=EXCLUSIVE",
		Why:   "The table is copied row by row while nobody can write it; with EXCLUSIVE nobody can read it either. Replicas lag by the same time again.",
		Safe:  "ALTER TABLE orders ADD INDEX orders_user_id (user_id), ALGORITHM=INPLACE, LOCK=NONE; -- refused where it isn't possible",
	}, check: func(c *checker, s *stmt) {
		if (s.algorithm == "copy" || s.lock == "shared" || s.lock == "exclusive") && c.busy(s.table) {
			c.on(s.table, s, s.first(), "others can't write "+s.table.String()+" until this is done", "")
		}
	}}

	modifyColumn = rule{Rule: Rule{
		ID: "modify-column", Category: Blocking, Severity: Warning, Dialects: onMySQL, Weighs: true,
		Title: "MODIFY or CHANGE of a column's type",
		Why: "Most changes of a type copy the table while nobody can write it. What the statement doesn't repeat (NOT NULL, DEFAULT, COMMENT, AUTO_INCREMENT)" +
			" is lost, and values that don't fit fail, or are cut off without strict mode.",
		Safe: "-- ask for a way that lets others work; it is refused where there is none\nALTER TABLE users MODIFY name varchar(200) NOT NULL, ALGORITHM=INPLACE, LOCK=NONE;\n" +
			"-- otherwise gh-ost or pt-online-schema-change, or a new column that is filled in batches",
	}, check: func(c *checker, s *stmt) {
		for i := range s.actions {
			a := &s.actions[i]
			if a.kind != "modify column" || !c.busy(s.table) || s.online() || s.algorithm == "copy" {
				continue
			}
			old, ok := c.catalog.column(s.table, a.column)
			switch {
			case ok && c.sameColumn(old, a.def):
			case ok:
				c.on(s.table, s, a.token, "changing "+a.column.String()+" from "+old.typ.String()+" to "+a.def.typ.String()+" may copy "+s.table.String()+
					" while nobody can write it", onlineFix(s))
			default:
				c.on(s.table, s, a.token, "changing "+a.column.String()+" to "+a.def.typ.String()+" may copy "+s.table.String()+" while nobody can write it",
					onlineFix(s))
			}
		}
	}}

	columnPosition = rule{Rule: Rule{
		ID: "column-position", Category: Blocking, Severity: Warning, Dialects: onMySQL, Weighs: true,
		Title: "ADD COLUMN … FIRST or AFTER",
		Why: "Before MySQL 8.0.29 and MariaDB 10.4 only a column at the end is added instantly; at another place the whole table is rebuilt. The order" +
			" matters to nobody who names columns.",
		Safe: "ALTER TABLE users ADD COLUMN locale varchar(10), ALGORITHM=INSTANT;",
	}, check: func(c *checker, s *stmt) {
		instant := c.version.since(8, 0, 29)
		if c.dialect == dialect.MariaDB {
			instant = c.version.since(10, 4)
		}
		for i := range s.actions {
			a := &s.actions[i]
			if a.kind == "add column" && a.def.position.Text != "" && !instant && c.busy(s.table) && s.algorithm != "instant" {
				c.on(s.table, s, a.def.position, "a column that isn't the last one rebuilds "+s.table.String(), "")
			}
		}
	}}

	foreignKeyCopy = rule{Rule: Rule{
		ID: "foreign-key-copy", Category: Blocking, Severity: Warning, Dialects: onMySQL, Weighs: true,
		Title: "ADD FOREIGN KEY with foreign_key_checks on",
		Why:   "The table is copied, and every row checked, while nobody can write it. Without checks it is done in place, but nobody looks at old rows.",
		Safe: "-- look for rows that refer to nothing, then add it without the copy\n" +
			"SELECT count(*) FROM orders LEFT JOIN users ON users.id = orders.user_id WHERE orders.user_id IS NOT NULL AND users.id IS NULL;\n" +
			"SET SESSION foreign_key_checks = 0;\nALTER TABLE orders ADD CONSTRAINT orders_user_fk FOREIGN KEY (user_id) REFERENCES users (id), ALGORITHM=INPLACE, LOCK=NONE;\n" +
			"SET SESSION foreign_key_checks = 1;",
	}, check: func(c *checker, s *stmt) {
		for i := range s.actions {
			a := &s.actions[i]
			if a.kind == "add constraint" && a.constraint.kind == "foreign key" && c.busy(s.table) && !s.online() && c.script.fkOff == nil {
				c.on(s.table, s, a.constraint.token, "this foreign key copies "+s.table.String()+" while nobody can write it", "")
			}
		}
	}}

	convertCharset = rule{Rule: Rule{
		ID: "convert-charset", Category: Blocking, Severity: Warning, Dialects: onMySQL, Weighs: true,
		Title: "CONVERT TO CHARACTER SET",
		Why: "The table is copied while nobody can write it. TEXT columns silently become larger types, comparisons may change what is equal, and indexes may" +
			" become too long.",
		Safe: "-- gh-ost or pt-online-schema-change for large tables:\n-- pt-online-schema-change --alter \"CONVERT TO CHARACTER SET utf8mb4\" D=app,t=posts --execute",
	}, check: func(c *checker, s *stmt) {
		for i := range s.actions {
			if a := &s.actions[i]; a.kind == "convert charset" && c.busy(s.table) {
				c.on(s.table, s, a.token, "this copies "+s.table.String()+" while nobody can write it", "")
			}
		}
	}}

	primaryKeyCopy = rule{Rule: Rule{
		ID: "change-primary-key", Category: Blocking, Severity: Warning, Dialects: onMySQL, Weighs: true,
		Title: "ADD or DROP PRIMARY KEY",
		Why: "InnoDB keeps rows in the order of the primary key: all are written anew. Dropping it without adding one copies the table while nobody can" +
			" write it, and replicas then look through the whole table for each row.",
		Safe: "ALTER TABLE events DROP PRIMARY KEY, ADD PRIMARY KEY (tenant_id, id), ALGORITHM=INPLACE, LOCK=NONE;",
	}, check: func(c *checker, s *stmt) {
		if s.verb != alterTable || !c.busy(s.table) || s.online() {
			return
		}
		for i := range s.actions {
			a := &s.actions[i]
			if a.kind == "drop primary key" || a.kind == "add constraint" && a.constraint.kind == "primary key" {
				c.on(s.table, s, a.token, "every row of "+s.table.String()+" is written anew", onlineFix(s))
				return
			}
		}
	}}

	fulltextBlocking = rule{Rule: Rule{
		ID: "fulltext-index", Category: Blocking, Severity: Warning, Dialects: onMySQL, Weighs: true,
		Title: "a FULLTEXT or SPATIAL index on a table that was there before",
		Why:   "Nobody can write the table until the index is built, and the first FULLTEXT index of a table also rebuilds it.",
		Safe:  "-- gh-ost or pt-online-schema-change for large tables, or a new table that is filled in batches",
	}, check: func(c *checker, s *stmt) {
		if s.verb == createIndex && (s.method == "fulltext" || s.method == "spatial") && c.busy(s.table) {
			c.on(s.table, s, s.first(), "nobody can write "+s.table.String()+" until this index is built", "")
		}
		for i := range s.actions {
			a := &s.actions[i]
			if a.kind == "add constraint" && (a.constraint.kind == "fulltext" || a.constraint.kind == "spatial") && c.busy(s.table) {
				c.on(s.table, s, a.constraint.token, "nobody can write "+s.table.String()+" until this index is built", "")
			}
		}
	}}

	rebuildTable = rule{Rule: Rule{
		ID: "table-rebuild", Category: Blocking, Severity: Warning, Dialects: onMySQL, Weighs: true,
		Title: "ENGINE, ROW_FORMAT, ENCRYPTION, FORCE, ORDER BY, OPTIMIZE TABLE or partitioning",
		Why:   "The whole table is written anew. Another engine, ENCRYPTION, ORDER BY and PARTITION BY copy it while nobody can write; replicas lag by the same time again.",
		Safe:  "ALTER TABLE events ROW_FORMAT=DYNAMIC, ALGORITHM=INPLACE, LOCK=NONE; -- refused where it isn't possible",
	}, check: func(c *checker, s *stmt) {
		if s.verb == optimize && c.busy(s.table) {
			c.on(s.table, s, s.first(), "OPTIMIZE TABLE writes all of "+s.table.String()+" anew", "")
		}
		for i := range s.actions {
			switch a := &s.actions[i]; a.kind {
			case "rebuild", "engine", "row_format", "key_block_size", "encryption", "order by", "partition by", "rebuild partition":
				if c.busy(s.table) && !s.online() {
					fix := onlineFix(s)
					if strings.Contains(a.kind, "partition") || a.kind == "encryption" || a.kind == "order by" { // nothing but a copy is to be had
						fix = "-- gh-ost or pt-online-schema-change for large tables, or a new table that is filled in batches"
					}
					c.on(s.table, s, a.token, "this writes all of "+s.table.String()+" anew", fix)
					return
				}
			}
		}
	}}

	onlineUnstated = rule{Rule: Rule{
		ID: "algorithm-unstated", Category: Blocking, Severity: Info, Dialects: onMySQL,
		Title: "ALTER TABLE without ALGORITHM",
		Why: "The server silently falls back to copying the table where it knows no better way, and which one that is depends on its version. Asked for a" +
			" way, it refuses instead.",
		Safe: "ALTER TABLE users ADD COLUMN locale varchar(10), ALGORITHM=INSTANT;\nALTER TABLE users ADD INDEX users_locale (locale), ALGORITHM=INPLACE, LOCK=NONE;",
	}, check: func(c *checker, s *stmt) {
		if (s.verb == alterTable || s.verb == createIndex) && s.algorithm == "" && s.lock == "" && c.busy(s.table) && !onlyRenames(s) {
			c.report(s, s.first(), "the server may copy "+s.table.String()+" without saying so", onlineFix(s))
		}
	}}

	combineAlters = rule{Rule: Rule{
		ID: "combine-alters", Category: Blocking, Severity: Info, Dialects: onMySQL,
		Title: "several ALTER TABLE of one table",
		Why:   "Each may go through the whole table. In one statement it is done once, and as one it either happens or doesn't.",
		Safe:  "ALTER TABLE users ADD COLUMN locale varchar(10), ADD INDEX users_locale (locale);",
	}, check: func(c *checker, s *stmt) {
		if before := c.script.altered[s.table.key()]; s.verb == alterTable && before != nil && c.busy(s.table) && s.algorithm != "instant" && before.algorithm == s.algorithm {
			c.report(s, s.first(), s.table.String()+" was altered in line "+itoa(before.Pos.Line)+" already", "")
		}
	}}

	utf8mb3 = rule{Rule: Rule{
		ID: "utf8mb3", Category: Types, Severity: Warning, Dialects: onMySQL,
		Title: "the character set utf8 or utf8mb3",
		Why:   "It holds characters of up to three bytes: an emoji, or a rare Chinese character in a name, is an error when it is inserted. It is deprecated.",
		Safe:  "CREATE TABLE posts (id bigint PRIMARY KEY AUTO_INCREMENT, body text) DEFAULT CHARSET=utf8mb4;",
	}, check: func(c *checker, s *stmt) {
		if s.verb != createTable && s.verb != alterTable && s.object != "database" && s.object != "schema" {
			return
		}
		for i, t := range s.tokens {
			if !t.Is("utf8") && !t.Is("utf8mb3") {
				continue
			}
			before := s.tokens.get(i - 1)
			if before.Text == "=" {
				before = s.tokens.get(i - 2)
			}
			if before.Is("charset") || before.Is("set") {
				c.report(s, t, t.Text+" can't hold characters of four bytes", "-- write utf8mb4")
			}
		}
	}}

	engine = rule{Rule: Rule{
		ID: "engine", Category: Types, Severity: Warning, Dialects: onMySQL,
		Title: "an engine without transactions",
		Why: "MyISAM, Aria and MEMORY know no transactions and no foreign keys, and lock the whole table for each write. A crash damages MyISAM tables and empties" +
			" MEMORY ones.",
		Safe: "CREATE TABLE hits (id bigint PRIMARY KEY AUTO_INCREMENT) ENGINE=InnoDB;",
	}, check: func(c *checker, s *stmt) {
		if s.verb != createTable && s.verb != alterTable {
			return
		}
		for i, t := range s.tokens {
			if !t.Is("engine") || s.tokens.get(i+1).Text != "=" && s.tokens.get(i+1).Kind != wordKind {
				continue
			}
			value := s.tokens.get(i + 1)
			if value.Text == "=" {
				value = s.tokens.get(i + 2)
			}
			switch strings.ToLower(unquote(value)) {
			case "myisam", "aria", "memory", "heap", "merge", "csv", "archive", "blackhole":
				c.report(s, value, unquote(value)+" knows no transactions", "-- write ENGINE=InnoDB, or leave it away")
			}
		}
	}}

	timestamp2038 = rule{Rule: Rule{
		ID: "timestamp-2038", Category: Types, Severity: Info, Dialects: onMySQL,
		Title: "TIMESTAMP for a time that may be far off",
		Why:   "It ends on January 19, 2038 (MariaDB 11.5 on 64 bits: 2106). Expiry dates, birthdays and contracts get there sooner than tables are dropped.",
		Safe:  "CREATE TABLE contracts (id bigint PRIMARY KEY AUTO_INCREMENT, ends_at datetime(6) NOT NULL); -- in UTC, by the app",
	}, check: func(c *checker, s *stmt) {
		s.eachColumn(func(col *column) {
			if col.typ.name == "timestamp" {
				c.report(s, col.typ.token, "a TIMESTAMP ends in 2038", "-- write datetime(6), and keep UTC in it")
			}
		})
	}}

	displayWidth = rule{Rule: Rule{
		ID: "display-width", Category: Types, Severity: Info, Dialects: []dialect.Dialect{dialect.MySQL},
		Title: "int(11), and other widths of integers",
		Why:   "The number isn't a limit and means nothing since MySQL 8.0.17, which warns about it; SHOW CREATE TABLE leaves it out, so schemas differ without a reason.",
		Safe:  "CREATE TABLE hits (id bigint PRIMARY KEY AUTO_INCREMENT, n int NOT NULL);",
	}, check: func(c *checker, s *stmt) {
		s.eachColumn(func(col *column) {
			switch base := col.typ.base(); base {
			case "int", "bigint", "smallint", "mediumint", "tinyint":
				if len(col.typ.args) > 0 && !(base == "tinyint" && number(col.typ.args) == 1) {
					c.report(s, col.typ.token, col.typ.String()+" doesn't limit anything", "-- write "+col.typ.name)
				}
			}
		})
	}}
)

// sameColumn tells whether a new definition keeps the rows as they are.
func (c *checker) sameColumn(old, def column) bool {
	if old.notNull != def.notNull && !old.primary {
		return false
	}
	if old.typ.String() == def.typ.String() {
		return true
	}
	if def.typ.name == "enum" && old.typ.name == "enum" { // values added at the end
		before, after := old.typ.args.sql(), def.typ.args.sql()
		return strings.HasPrefix(after, before+",") && len(def.typ.args.commas()) <= 255
	}
	// A varchar keeps its form while its length in bytes fits into the same number of bytes: one up to 255. A character takes one to
	// four bytes, by a character set that isn't known here, so these are the lengths for which it makes no difference.
	if old.typ.name == "varchar" && def.typ.name == "varchar" {
		from, to := number(old.typ.args), number(def.typ.args)
		return to >= from && (to <= 63 || from > 255 || from > 85 && to <= 255)
	}
	return false
}

// onlineFix writes the statement again so that the server refuses rather than blocks.
func onlineFix(s *stmt) string {
	instant := s.verb == alterTable
	for i := range s.actions {
		d := &s.actions[i].def
		instant = instant && s.actions[i].kind == "add column" && !d.stored && !d.auto && d.position.Text == "" && len(d.checks) == 0
	}
	if instant {
		return s.again() + ", ALGORITHM=INSTANT;"
	}
	separator := ", "
	if s.verb == createIndex {
		separator = " "
	}
	return s.again() + separator + "ALGORITHM=INPLACE" + separator + "LOCK=NONE;"
}

func onlyRenames(s *stmt) bool {
	for i := range s.actions {
		switch s.actions[i].kind {
		case "rename table", "rename column", "rename constraint", "set default", "drop default", "drop constraint", "drop partition", "truncate partition", "option", "default charset":
		default:
			return false
		}
	}
	return s.verb == alterTable
}

// eachColumn calls f for the columns that a statement defines.
func (s *stmt) eachColumn(f func(*column)) {
	for i := range s.columns {
		f(&s.columns[i])
	}
	for i := range s.actions {
		if a := &s.actions[i]; a.kind == "add column" || a.kind == "modify column" || a.kind == "alter type" {
			if len(a.def.name.parts) == 0 {
				a.def.name = a.column
			}
			f(&a.def)
		}
	}
}

package lint

import (
	"strings"

	"github.com/buffkit/buffkit/migrate/dialect"
)

// Rules about clauses of ALTER TABLE in PostgreSQL, and those that are alike elsewhere.
var (
	changeType = rule{Rule: Rule{
		ID: "change-type", Category: Blocking, Severity: Warning, Dialects: onPostgres, Weighs: true,
		Title: "ALTER COLUMN … TYPE",
		Why: "Unless the values keep their bytes (varchar to a longer one or to text), PostgreSQL rewrites the table and its indexes while nobody" +
			" can read or write it. The release that still runs sends values of the old type.",
		Safe: "-- expand: a second column that a trigger keeps equal\nALTER TABLE orders ADD COLUMN total_new bigint;\n-- migrate: fill it in batches," +
			" in a script with -- no-transaction\nUPDATE orders SET total_new = total WHERE id BETWEEN 1 AND 5000;\n-- contract: in a later release, drop the old column and rename",
	}, check: func(c *checker, s *stmt) {
		for i := range s.actions {
			a := &s.actions[i]
			if a.kind != "alter type" || !c.busy(s.table) {
				continue
			}
			col, ok := c.catalog.column(s.table, a.column)
			switch {
			case ok && len(a.value) == 0 && widens(col.typ, a.def.typ):
			case ok && col.typ.String() != a.def.typ.String():
				c.on(s.table, s, a.token, "changing "+a.column.String()+" from "+col.typ.String()+" to "+a.def.typ.String()+
					" rewrites "+s.table.String()+" while nobody can read or write it", changeTypeFix(s, a))
			default:
				c.on(s.table, s, a.token, "changing the type of "+a.column.String()+" to "+a.def.typ.String()+" rewrites "+s.table.String()+
					" while nobody can read or write it, unless it only widens a varchar", changeTypeFix(s, a))
			}
		}
	}}

	addColumnDefault = rule{Rule: Rule{
		ID: "add-column-default", Category: Blocking, Severity: Warning, Dialects: onServers, Weighs: true,
		Title: "ADD COLUMN with a default that each row needs computed",
		Why: "A constant default is kept in the catalog: PostgreSQL since version 11, MariaDB since 10.3, MySQL since 8.0. One that differs from row to" +
			" row, like gen_random_uuid() or clock_timestamp(), has to be written into each of them while nobody can write, and in PostgreSQL not even read.",
		Safe: "ALTER TABLE users ADD COLUMN token uuid;\nALTER TABLE users ALTER COLUMN token SET DEFAULT gen_random_uuid(); -- for new rows\n" +
			"-- then fill the old ones in batches, in a script with -- no-transaction\nUPDATE users SET token = gen_random_uuid() WHERE token IS NULL AND id BETWEEN 1 AND 5000;",
	}, check: func(c *checker, s *stmt) {
		for i := range s.actions {
			a := &s.actions[i]
			if a.kind != "add column" || a.def.defaulted == nil || !c.busy(s.table) || s.online() {
				continue
			}
			if message := c.computed(a.def.defaulted); message != "" {
				c.on(s.table, s, a.def.defaulted.get(0), message, c.addColumnFix(s, a))
			}
		}
	}}

	addColumnRewrite = rule{Rule: Rule{
		ID: "add-column-rewrite", Category: Blocking, Severity: Warning, Dialects: onServers, Weighs: true,
		Title: "ADD COLUMN of a serial, identity, AUTO_INCREMENT or stored generated column, or of a domain with a constraint",
		Why:   "Each row needs its own value, so the table is rewritten while nobody can write, and in PostgreSQL not even read.",
		Safe: "ALTER TABLE orders ADD COLUMN total_cents bigint;\n-- a trigger fills it for new rows; the old ones in batches, in a script with -- no-transaction\n" +
			"UPDATE orders SET total_cents = price * 100 WHERE total_cents IS NULL AND id BETWEEN 1 AND 5000;",
	}, check: func(c *checker, s *stmt) {
		for i := range s.actions {
			a := &s.actions[i]
			if !c.busy(s.table) || s.online() || a.kind != "add column" && a.kind != "set expression" {
				continue
			}
			switch {
			case a.kind == "set expression":
				c.on(s.table, s, a.column.token(), "each value of "+a.column.String()+" is computed anew, which rewrites "+s.table.String(), "")
			case c.catalog.domains[a.def.typ.name]:
				c.on(s.table, s, a.column.token(), "the domain "+a.def.typ.name+" has a constraint, by which each row is checked, and "+s.table.String()+" rewritten", "")
			case a.def.auto:
				c.on(s.table, s, a.column.token(), "a number for each row of "+a.column.String()+" rewrites "+s.table.String(), "")
			case a.def.generated && (a.def.stored || c.dialect == dialect.Postgres && !c.version.since(18)):
				c.on(s.table, s, a.column.token(), "a stored generated column rewrites "+s.table.String(), "")
			}
		}
	}}

	setNotNull = rule{Rule: Rule{
		ID: "set-not-null", Category: Blocking, Severity: Warning, Dialects: onPostgres, Weighs: true,
		Title: "SET NOT NULL without a validated CHECK",
		Why: "PostgreSQL reads the whole table to look for NULL, while nobody can read or write it, and fails if it finds one. Since version 12 a" +
			" valid CHECK (column IS NOT NULL) spares it that.",
		Safe: "ALTER TABLE users ADD CONSTRAINT users_email_not_null CHECK (email IS NOT NULL) NOT VALID;\n-- in the next migration\n" +
			"ALTER TABLE users VALIDATE CONSTRAINT users_email_not_null;\nALTER TABLE users ALTER COLUMN email SET NOT NULL;\n" +
			"ALTER TABLE users DROP CONSTRAINT users_email_not_null;",
	}, check: func(c *checker, s *stmt) {
		for i := range s.actions {
			a := &s.actions[i]
			if a.kind != "set not null" || !c.busy(s.table) {
				continue
			}
			if t := c.catalog.table(s.table); t != nil && c.version.since(12) && t.provenNotNull(a.column.key()) {
				continue
			}
			check := s.table.last().Text + "_" + a.column.last().Text + "_not_null"
			if s.table.last().Kind != a.column.last().Kind || strings.ContainsAny(check, "\"") {
				check = "NAME"
			}
			c.on(s.table, s, a.token, "SET NOT NULL on "+a.column.String()+" reads all of "+s.table.String()+" while nobody can read or write it",
				"ALTER TABLE "+s.table.String()+" ADD CONSTRAINT "+check+" CHECK ("+a.column.String()+" IS NOT NULL) NOT VALID;\n"+
					"-- in the next migration\nALTER TABLE "+s.table.String()+" VALIDATE CONSTRAINT "+check+";\n"+
					"ALTER TABLE "+s.table.String()+" ALTER COLUMN "+a.column.String()+" SET NOT NULL;\n"+
					"ALTER TABLE "+s.table.String()+" DROP CONSTRAINT "+check+";")
		}
	}}

	foreignKeyBlocking = rule{Rule: Rule{
		ID: "foreign-key-not-valid", Category: Blocking, Severity: Warning, Dialects: onPostgres, Weighs: true,
		Title: "ADD FOREIGN KEY without NOT VALID",
		Why:   "PostgreSQL compares every row with the other table, and blocks writes to both until it is done.",
		Safe: "ALTER TABLE orders ADD CONSTRAINT orders_user_fk FOREIGN KEY (user_id) REFERENCES users (id) NOT VALID;\n" +
			"-- in the next migration: reads and writes go on meanwhile\nALTER TABLE orders VALIDATE CONSTRAINT orders_user_fk;",
	}, check: func(c *checker, s *stmt) {
		for i := range s.actions {
			a := &s.actions[i]
			k := &a.constraint
			switch {
			case !c.busy(s.table):
			case a.kind == "add constraint" && k.kind == "foreign key" && !k.notValid:
				c.on(s.table, s, k.token, "this foreign key blocks writes to "+s.table.String()+" and "+k.references.String()+
					" until every row is checked", notValidFix(s, a))
			case a.kind == "add column" && len(a.def.references.parts) > 0 && a.def.defaulted != nil && !a.def.defaulted.get(0).Is("null"):
				c.on(s.table, s, a.token, "a new column that refers to "+a.def.references.String()+" and has a default checks every row while"+
					" both tables can't be written", "")
			}
		}
	}}

	checkBlocking = rule{Rule: Rule{
		ID: "check-not-valid", Category: Blocking, Severity: Warning, Dialects: onServers, Weighs: true,
		Title: "ADD CHECK that reads all rows",
		Why: "Every row is checked while nobody can write; PostgreSQL doesn't let anybody read either, MySQL and MariaDB copy the table. It fails if a" +
			" row breaks the rule.",
		Safe: "ALTER TABLE orders ADD CONSTRAINT orders_total_positive CHECK (total >= 0) NOT VALID;\n-- in the next migration: reads and writes go on meanwhile\n" +
			"ALTER TABLE orders VALIDATE CONSTRAINT orders_total_positive;\n" +
			"-- MySQL: ADD CONSTRAINT … CHECK (…) NOT ENFORCED doesn't copy; enforcing it does, so do that with gh-ost or pt-online-schema-change",
	}, check: func(c *checker, s *stmt) {
		for i := range s.actions {
			a := &s.actions[i]
			reads := c.dialect != dialect.MariaDB // which adds such a column instantly: all rows have the same value in it
			if a.kind == "add column" && len(a.def.checks) > 0 && reads && c.busy(s.table) && !s.online() {
				c.on(s.table, s, a.token, "the CHECK of the new column reads every row of "+s.table.String()+" while others wait",
					"-- add the column without it, and the CHECK as a constraint of its own; PostgreSQL: NOT VALID first, then VALIDATE")
			}
			if a.kind != "add constraint" || a.constraint.kind != "check" && a.constraint.kind != "not null" || a.constraint.notValid ||
				!c.busy(s.table) || s.online() {
				continue
			}
			fix := "-- doesn't copy, and isn't checked:\n" + s.again() + " NOT ENFORCED;\n-- to check it, gh-ost or pt-online-schema-change"
			if c.dialect == dialect.MariaDB {
				fix = "-- where the table is large, gh-ost or pt-online-schema-change"
			}
			if c.dialect == dialect.Postgres {
				fix = notValidFix(s, a)
			}
			c.on(s.table, s, a.constraint.token, "every row of "+s.table.String()+" is checked while others wait", fix)
		}
	}}

	uniqueBlocking = rule{Rule: Rule{
		ID: "unique-not-concurrent", Category: Blocking, Severity: Warning, Dialects: onPostgres, Weighs: true,
		Title: "ADD UNIQUE or ADD PRIMARY KEY without USING INDEX",
		Why:   "The index is built while nobody can read or write the table. It can be built before, concurrently.",
		Safe: "-- no-transaction\nCREATE UNIQUE INDEX CONCURRENTLY users_email_key ON users (email);\nALTER TABLE users ADD CONSTRAINT users_email_key UNIQUE" +
			" USING INDEX users_email_key;",
	}, check: func(c *checker, s *stmt) {
		for i := range s.actions {
			a := &s.actions[i]
			k := &a.constraint
			switch {
			case !c.busy(s.table):
			case a.kind == "add column" && (a.def.unique || a.def.primary):
				c.on(s.table, s, a.token, "the index for the new column is built while nobody can read or write "+s.table.String(), "")
			case a.kind == "add constraint" && (k.kind == "unique" || k.kind == "primary key") && !k.usingIndex:
				c.on(s.table, s, k.token, "the index is built while nobody can read or write "+s.table.String(), usingIndexFix(s, k))
			}
		}
	}}

	excludeBlocking = rule{Rule: Rule{
		ID: "exclude-constraint", Category: Blocking, Severity: Warning, Dialects: onPostgres, Weighs: true,
		Title: "ADD EXCLUDE on a table that was there before",
		Why:   "Its index is built and every row checked while nobody can read or write, and there is no NOT VALID for it.",
		Safe: "-- create a new table with the constraint, copy in batches, and swap the names; or, if the table is small,\n" +
			"-- lint:allow exclude-constraint 2,000 rows\nALTER TABLE bookings ADD CONSTRAINT bookings_overlap EXCLUDE USING gist (room WITH =, during WITH &&);",
	}, check: func(c *checker, s *stmt) {
		for i := range s.actions {
			if a := &s.actions[i]; a.kind == "add constraint" && a.constraint.kind == "exclude" && c.busy(s.table) {
				c.on(s.table, s, a.constraint.token, "an exclusion constraint is built while nobody can read or write "+s.table.String(), "")
			}
		}
	}}

	validateSame = rule{Rule: Rule{
		ID: "validate-same-transaction", Category: Blocking, Severity: Warning, Dialects: onPostgres, Weighs: true,
		Title: "VALIDATE CONSTRAINT in the transaction that adds it",
		Why: "Validating lets others read and write, but the lock that adding the constraint took is held until the transaction ends: the point of" +
			" NOT VALID is lost.",
		Safe: "ALTER TABLE orders ADD CONSTRAINT orders_user_fk FOREIGN KEY (user_id) REFERENCES users (id) NOT VALID;\n" +
			"-- in the next migration\nALTER TABLE orders VALIDATE CONSTRAINT orders_user_fk;",
	}, check: func(c *checker, s *stmt) {
		for i := range s.actions {
			a := &s.actions[i]
			if a.kind == "validate" && c.script.inTx && c.script.notValid[a.constraint.name.key()] && c.busy(s.table) {
				c.on(s.table, s, a.token, a.constraint.name.String()+" was added in this transaction, whose lock keeps everybody off "+
					s.table.String()+" while it is validated", "-- in the next migration\n"+s.again()+";")
			}
		}
	}}
)

// constants are functions and words that have one value for a statement, so that PostgreSQL computes them once.
var constants = map[string]bool{
	"now": true, "current_timestamp": true, "current_date": true, "current_time": true, "localtime": true, "localtimestamp": true,
	"transaction_timestamp": true, "statement_timestamp": true, "current_user": true, "session_user": true, "user": true,
	"to_timestamp": true, "date_trunc": true, "timezone": true, "make_interval": true, "make_date": true, "to_date": true,
	"jsonb_build_object": true, "json_build_object": true, "jsonb_build_array": true, "json_build_array": true, "to_jsonb": true, "to_json": true, "lower": true,
	"upper": true, "concat": true, "coalesce": true, "md5": true, "encode": true, "decode": true, "to_char": true, "repeat": true,
	"array": true, "row": true, "cast": true, "numeric": true, "varchar": true, "char": true, "bit": true, "decimal": true, "timestamp": true,
	"int4range": true, "int8range": true, "tstzrange": true, "daterange": true, "numrange": true, "point": true, "extract": true,
	"current_setting": true, "current_schema": true, "interval": true, "time": true, "string_to_array": true, "array_fill": true,
	"hstore": true, "to_tsvector": true, "octet_length": true, "length": true, "round": true, "abs": true, "replace": true, "in": true,
}

// computed returns what is wrong with the default of a new column, "" if nothing.
func (c *checker) computed(value tokens) string {
	switch {
	case c.dialect == dialect.Postgres && !c.version.since(11) && !value.get(0).Is("null"):
		return "before PostgreSQL 11 a default for a new column rewrites the table"
	case c.mysql() && (!isPunct(value.get(0), "(") || c.dialect == dialect.MariaDB):
		if f := unstable(value, mysqlRandom); f != "" {
			return f + "() is computed for each row, so the table is copied"
		}
	case c.mysql():
		for i, t := range value {
			if t.Kind == wordKind && isPunct(value.get(i+1), "(") {
				return "a default that is an expression is computed for each row, so the table is copied"
			}
		}
	default:
		for i, t := range value {
			function := strings.ToLower(unquote(t))
			if isName(t) && t.Kind != stringKind && isPunct(value.get(i+1), "(") && !constants[function] {
				return function + "() is computed for each row, unless it is marked STABLE or IMMUTABLE, so the table is rewritten"
			}
		}
	}
	return ""
}

var mysqlRandom = []string{"uuid", "rand", "uuid_short", "random_bytes", "uuid_to_bin", "sys_guid", "nextval"}

// unstable returns the first function of the list that is called.
func unstable(value tokens, functions []string) string {
	for i, t := range value {
		for _, f := range functions {
			if t.Is(f) && isPunct(value.get(i+1), "(") {
				return f
			}
		}
	}
	return ""
}

func (c *checker) addColumnFix(s *stmt, a *action) string {
	t, col := s.table.String(), a.column.String()
	if c.mysql() {
		return "ALTER TABLE " + t + " ADD COLUMN " + col + " " + a.def.typ.String() + ", ALGORITHM=INSTANT;\nALTER TABLE " + t + " ALTER COLUMN " + col +
			" SET DEFAULT " + a.def.defaulted.sql() + "; -- for new rows\n-- then fill the old ones in batches, in another script"
	}
	return "ALTER TABLE " + t + " ADD COLUMN " + col + " " + a.def.typ.String() + ";\nALTER TABLE " + t + " ALTER COLUMN " + col + " SET DEFAULT " +
		a.def.defaulted.sql() + "; -- for new rows\n-- then fill the old ones in batches, in a script with -- no-transaction"
}

func changeTypeFix(s *stmt, a *action) string {
	t, old, wide := s.table.String(), a.column.String(), a.column.suffixed("_new")
	value := old
	if len(a.value) > 0 {
		value = a.value.sql()
	}
	return "ALTER TABLE " + t + " ADD COLUMN " + wide + " " + a.def.typ.String() + "; -- and a trigger that keeps it equal\n" +
		"-- in the next migration, in batches\n-- no-transaction\nUPDATE " + t + " SET " + wide + " = " + value + " WHERE id BETWEEN 1 AND 5000;\n" +
		"-- in a later release, when nothing reads " + old + ": drop it, and rename " + wide
}

// notValidFix writes the clause again with NOT VALID.
func notValidFix(s *stmt, a *action) string {
	if len(s.actions) != 1 {
		return ""
	}
	fix := s.again() + " NOT VALID;"
	if constraint := a.constraint.name.String(); constraint != "" {
		fix += "\n-- in the next migration: reads and writes go on meanwhile\nALTER TABLE " + s.table.String() + " VALIDATE CONSTRAINT " + constraint + ";"
	}
	return fix
}

func usingIndexFix(s *stmt, k *constraint) string {
	if len(k.columns) == 0 {
		return ""
	}
	constraint := k.name.String()
	if constraint == "" {
		constraint = s.table.suffixed("_key")
	}
	return "-- no-transaction\nCREATE UNIQUE INDEX CONCURRENTLY " + constraint + " ON " + s.table.String() + " (" + k.columns.sql() + ");\n" +
		"ALTER TABLE " + s.table.String() + " ADD CONSTRAINT " + constraint + " " + strings.ToUpper(k.kind) + " USING INDEX " + constraint + ";"
}

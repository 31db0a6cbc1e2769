package lint

import (
	"strings"

	"github.com/buffkit/buffkit/migrate/dialect"
)

// Rules about types of columns.
var (
	timestampZone = rule{Rule: Rule{
		ID: "timestamp-without-zone", Category: Types, Severity: Warning, Dialects: onPostgres,
		Title: "timestamp without time zone",
		Why: "It keeps what a clock on the wall shows, not a point in time: what it means depends on who wrote it, and an hour each autumn is ambiguous." +
			" timestamptz takes the same eight bytes.",
		Safe: "CREATE TABLE events (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, at timestamptz NOT NULL DEFAULT now());",
	}, check: func(c *checker, s *stmt) {
		s.eachColumn(func(col *column) {
			if col.typ.name == "timestamp" {
				c.report(s, col.typ.token, col.name.String()+" keeps a time on a wall's clock, not a point in time", "-- write timestamptz")
			}
		})
	}}

	timeZone = rule{Rule: Rule{
		ID: "time-with-zone", Category: Types, Severity: Info, Dialects: onPostgres,
		Title: "time with time zone",
		Why:   "A time of day without a date has no daylight saving time, so its offset means nothing.",
		Safe:  "CREATE TABLE shops (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, opens time NOT NULL, zone text NOT NULL);",
	}, check: func(c *checker, s *stmt) {
		s.eachColumn(func(col *column) {
			if col.typ.name == "time with time zone" {
				c.report(s, col.typ.token, "an offset without a date means nothing", "-- write time, and keep the zone's name beside it")
			}
		})
	}}

	serial = rule{Rule: Rule{
		ID: "serial", Category: Types, Severity: Info, Dialects: onPostgres,
		Title: "serial in place of an identity column",
		Why: "The sequence is an object of its own, with its own owner and rights, and any INSERT may write numbers of its own, which it collides with later." +
			" Identity columns are there since PostgreSQL 10.",
		Safe: "CREATE TABLE users (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY);",
	}, check: func(c *checker, s *stmt) {
		s.eachColumn(func(col *column) {
			if strings.HasSuffix(col.typ.name, "serial") && c.version.since(10) {
				c.report(s, col.typ.token, col.typ.name+" makes a sequence beside the column", "-- write bigint GENERATED ALWAYS AS IDENTITY")
			}
		})
	}}

	intKey = rule{Rule: Rule{
		ID: "int-primary-key", Category: Types, Severity: Warning, Dialects: onServers,
		Title: "a numbered primary key of four bytes or fewer",
		Why: "An int ends at 2,147,483,647, also counting numbers that were rolled back or skipped. On that day every INSERT fails, and changing the type rewrites the" +
			" table and all that refer to it.",
		Safe: "CREATE TABLE users (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY); -- MySQL: bigint PRIMARY KEY AUTO_INCREMENT",
	}, check: func(c *checker, s *stmt) {
		if s.verb != createTable {
			return
		}
		keyed := map[string]bool{}
		for i := range s.constraints {
			if columns := keys(s.constraints[i].columns); s.constraints[i].kind == "primary key" && len(columns) == 1 {
				keyed[columns[0]] = true
			}
		}
		for i := range s.columns {
			col := &s.columns[i]
			small := false
			switch col.typ.base() {
			case "int", "smallint", "mediumint", "serial", "smallserial":
				small = true
			}
			if small && col.auto && (col.primary || keyed[col.name.key()]) {
				c.report(s, col.typ.token, "numbers of "+col.name.String()+" run out at "+limits[col.typ.name], "-- write bigint")
			}
		}
	}}

	jsonType = rule{Rule: Rule{
		ID: "json-type", Category: Types, Severity: Info, Dialects: onPostgres,
		Title: "json in place of jsonb",
		Why:   "It is kept as text and parsed at every access, can't be indexed, and has no equality: SELECT DISTINCT and GROUP BY over it fail.",
		Safe:  "CREATE TABLE hooks (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, body jsonb NOT NULL);",
	}, check: func(c *checker, s *stmt) {
		s.eachColumn(func(col *column) {
			if col.typ.name == "json" {
				c.report(s, col.typ.token, "json is parsed at every access and has no equality", "-- write jsonb; json only to keep the text as it came, byte by byte")
			}
		})
	}}

	charType = rule{Rule: Rule{
		ID: "char-type", Category: Types, Severity: Warning, Dialects: onPostgres,
		Title: "char(n)",
		Why:   "Values are filled up with spaces, which take room and count in some comparisons but not in others. It isn't faster than text.",
		Safe:  "CREATE TABLE countries (code text PRIMARY KEY CHECK (length(code) = 2));",
	}, check: func(c *checker, s *stmt) {
		s.eachColumn(func(col *column) {
			if col.typ.name == "char" && col.typ.token.Kind == wordKind {
				c.report(s, col.typ.token, "values of "+col.name.String()+" are filled up with spaces", "-- write text, with CHECK (length("+col.name.String()+") = n) if it matters")
			}
		})
	}}

	varcharLimit = rule{Rule: Rule{
		ID: "varchar-limit", Category: Types, Severity: Info, Dialects: onPostgres,
		Title: "varchar(n)",
		Why: "The limit buys neither room nor speed in PostgreSQL. To raise it is quick; to lower it rewrites the table. A CHECK can be changed without a lock that" +
			" lasts.",
		Safe: "CREATE TABLE users (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL CHECK (length(name) <= 200));",
	}, check: func(c *checker, s *stmt) {
		s.eachColumn(func(col *column) {
			if col.typ.name == "varchar" && len(col.typ.args) > 0 {
				c.report(s, col.typ.token, "the limit of "+col.name.String()+" buys nothing", "-- write text, with CHECK (length("+col.name.String()+") <= "+col.typ.args.sql()+") if it matters")
			}
		})
	}}

	moneyType = rule{Rule: Rule{
		ID: "money-type", Category: Types, Severity: Warning, Dialects: onPostgres,
		Title: "the type money",
		Why:   "How many decimals it has and which currency it shows depend on a setting of the server, lc_monetary: the same bytes are another amount elsewhere.",
		Safe:  "CREATE TABLE orders (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, total numeric(12, 2) NOT NULL, currency text NOT NULL);",
	}, check: func(c *checker, s *stmt) {
		s.eachColumn(func(col *column) {
			if col.typ.name == "money" {
				c.report(s, col.typ.token, "what money means depends on the server's lc_monetary", "-- write numeric(12, 2), and keep the currency beside it")
			}
		})
	}}

	floatMoney = rule{Rule: Rule{
		ID: "float-money", Category: Types, Severity: Warning, Dialects: everywhere,
		Title: "an amount of money as a floating point number",
		Why:   "0.1 + 0.2 isn't 0.3: sums are off by cents, and equality fails.",
		Safe:  "CREATE TABLE orders (id bigint PRIMARY KEY, total numeric(12, 2) NOT NULL); -- SQLite: total_cents INTEGER NOT NULL",
	}, check: func(c *checker, s *stmt) {
		s.eachColumn(func(col *column) {
			switch col.typ.base() {
			case "real", "float", "double precision":
				if holdsMoney(col.name.key()) {
					fix := "-- write numeric(12, 2), or count cents in a bigint"
					if c.dialect == dialect.SQLite {
						fix = "-- write INTEGER, and count cents"
					}
					c.report(s, col.typ.token, "sums of "+col.name.String()+" are off by cents in "+col.typ.name, fix)
				}
			}
		})
	}}

	noPrimaryKey = rule{Rule: Rule{
		ID: "no-primary-key", Category: Types, Severity: Warning, Dialects: onServers,
		Title: "a table without a primary key",
		Why: "Its rows can't be told apart. Logical replication from PostgreSQL refuses UPDATE and DELETE on it; a MySQL replica looks through the whole table for each" +
			" row, and group replication refuses it.",
		Safe: "CREATE TABLE members (team_id bigint, user_id bigint, PRIMARY KEY (team_id, user_id));",
	}, check: func(c *checker, s *stmt) {
		if s.verb == createTable && !s.temporary && !s.query && !s.like && !s.partitionOf && len(s.columns) > 0 {
			c.keyless = append(c.keyless, deferred{c.script, s, nil, s.table})
		}
	}, end: func(c *checker) {
		for _, d := range c.keyless {
			if t := c.catalog.table(d.name); t != nil && !t.keyed() {
				c.report(d.stmt, d.name.token(), d.name.String()+" has no primary key", "")
			}
		}
		c.keyless = nil
	}}
)

// limits are what a column's numbers end at.
var limits = map[string]string{
	"int": "2,147,483,647", "serial": "2,147,483,647", "int unsigned": "4,294,967,295", "smallint": "32,767", "smallserial": "32,767",
	"smallint unsigned": "65,535", "mediumint": "8,388,607", "mediumint unsigned": "16,777,215",
}

// amounts are words in the names of columns that hold money.
var amounts = []string{
	"price", "amount", "total", "subtotal", "balance", "cost", "fee", "tax", "salary", "wage", "revenue", "discount", "refund",
	"payment", "deposit", "invoice", "vat", "budget", "credit", "debit",
}

func holdsMoney(column string) bool {
	for _, part := range strings.FieldsFunc(column, func(r rune) bool { return r == '_' || r == '.' || r == ' ' }) {
		for _, word := range amounts {
			if part == word || part == word+"s" {
				return true
			}
		}
	}
	return false
}

// keyed tells whether a table has a primary key, or an index that can stand in for one.
func (t *table) keyed() bool {
	for _, i := range t.indexes {
		if i.unique && !i.where {
			return true
		}
	}
	return false
}

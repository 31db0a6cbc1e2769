package lint

import (
	"strings"
	"unicode/utf8"

	"github.com/buffkit/buffkit/migrate/dialect"
	"github.com/buffkit/buffkit/migrate/lexer"
)

// Rules about names, about the way back, and about what hides mistakes.
var (
	longName = rule{Rule: Rule{
		ID: "name-too-long", Category: Naming, Severity: Error, Dialects: onServers, Down: true,
		Title: "a name that is too long",
		Why: "PostgreSQL cuts names at 63 bytes with a notice that nobody reads: two of them become the same, and DROP by the full name finds it by luck. MySQL refuses" +
			" more than 64 characters.",
		Safe: "CREATE INDEX subscriptions_customer_renewed ON subscriptions (customer_id, renewed_at);",
	}, check: func(c *checker, s *stmt) {
		for _, n := range s.newNames() {
			t := n.last()
			text := unquote(t)
			switch {
			case c.dialect == dialect.Postgres && len(text) > 63:
				c.report(s, t, "PostgreSQL cuts this name of "+itoa(len(text))+" bytes to "+shorten(text, 63), "-- give it a name of at most 63 bytes")
			case c.mysql() && utf8.RuneCountInString(text) > 64:
				c.report(s, t, "this name has "+itoa(utf8.RuneCountInString(text))+" characters, and 64 are allowed", "-- give it a name of at most 64 characters")
			}
		}
	}}

	mixedCase = rule{Rule: Rule{
		ID: "mixed-case-name", Category: Naming, Severity: Info, Dialects: onPostgres,
		Title: "a quoted name with capital letters",
		Why:   "Without quotes PostgreSQL folds names to lower case, so this one must be quoted in every query for ever.",
		Safe:  "CREATE TABLE user_accounts (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, first_name text);",
	}, check: func(c *checker, s *stmt) {
		for _, n := range s.newNames() {
			if t := n.last(); t.Kind == lexer.QuotedIdent && strings.ToLower(t.Text) != t.Text {
				c.report(s, t, t.Text+" must be quoted in every query", "-- write "+snake(unquote(t)))
			}
		}
	}}

	reservedName = rule{Rule: Rule{
		ID: "reserved-name", Category: Naming, Severity: Info, Dialects: everywhere,
		Title: "a reserved word as a name",
		Why:   "It must be quoted in every query for ever, by each dialect's own quotes; in PostgreSQL SELECT * FROM user without them is another thing altogether.",
		Safe:  "CREATE TABLE users (id bigint PRIMARY KEY, sort_order int);",
	}, check: func(c *checker, s *stmt) {
		for _, n := range s.newNames() {
			if t := n.last(); reserved[strings.ToLower(unquote(t))] && t.Kind == lexer.QuotedIdent {
				c.report(s, t, t.Text+" is a reserved word: it must be quoted in every query", "-- add a word to it, or write the plural")
			}
		}
	}}

	unnamed = rule{Rule: Rule{
		ID: "unnamed-constraint", Category: Naming, Severity: Info, Dialects: onServers,
		Title: "a constraint or an index without a name, added to a table",
		Why:   "The server makes one up, by rules that differ between versions and with what is there already. The script that drops it has to guess.",
		Safe:  "ALTER TABLE orders ADD CONSTRAINT orders_user_fk FOREIGN KEY (user_id) REFERENCES users (id);",
	}, check: func(c *checker, s *stmt) {
		if s.verb == createIndex && len(s.names) == 0 {
			c.report(s, s.first(), "this index gets a name that the server makes up", "")
		}
		for i := range s.actions {
			k := &s.actions[i].constraint
			if s.actions[i].kind == "add constraint" && k.kind != "primary key" && k.kind != "not null" && len(k.name.parts) == 0 && c.busy(s.table) {
				c.report(s, k.token, "this gets a name that the server makes up, which the script that drops it has to know", "")
			}
		}
	}}

	wrongQuotes = rule{Rule: Rule{
		ID: "wrong-quotes", Category: Naming, Severity: Error, Dialects: onServers, Down: true,
		Title: "quotes of another database around a name",
		Why: "PostgreSQL knows no `backticks`; for MySQL and MariaDB \"…\" is a string, unless sql_mode has ANSI_QUOTES. At best it is a syntax error; where a value" +
			" may stand too, as in CHECK (\"a\" > 0), it compares a constant.",
		Safe: "CREATE INDEX orders_user_id ON orders (user_id);",
	}, check: func(c *checker, s *stmt) {
		if c.dialect == dialect.Postgres {
			for _, t := range s.tokens {
				if t.Kind == lexer.Operator && strings.Contains(t.Text, "`") && s.verb != other {
					c.report(s, t, "PostgreSQL knows no backticks", `-- write the name without quotes, or in double ones`)
					return
				}
			}
			return
		}
		found := s.quotedNames()
		for i := range s.constraints {
			found = append(found, stringsIn(s.constraints[i].columns)...)
		}
		for _, t := range found {
			c.report(s, t, t.Text+" is a string here, not a name", "-- write `"+unquote(t)+"`, or no quotes")
			return
		}
	}}

	ifNotExists = rule{Rule: Rule{
		ID: "if-not-exists", Category: Naming, Severity: Info, Dialects: everywhere,
		Title: "IF NOT EXISTS in CREATE TABLE or ADD COLUMN",
		Why: "If something of that name is there, whatever it looks like, nothing happens and the migration counts as done. That the table is another one shows" +
			" later, in production. The runner knows what has run: the script needn't ask.",
		Safe: "CREATE TABLE teams (id bigint PRIMARY KEY, name varchar(200) NOT NULL);",
	}, check: func(c *checker, s *stmt) {
		if s.verb == createTable && s.ifNotExists && !s.temporary {
			c.report(s, s.tokens.word("if"), "a "+s.table.String()+" of another shape would pass for this one", "")
		}
		for i := range s.actions {
			if a := &s.actions[i]; a.kind == "add column" && a.ifExists {
				c.report(s, a.token, "a "+a.column.String()+" of another type would pass for this one", "")
			}
		}
	}}

	noDown = rule{Rule: Rule{
		ID: "no-down", Category: Irreversible, Severity: Warning, Dialects: everywhere,
		Title: "no script that undoes it",
		Why:   "When the release has to be taken back, so has its schema, at a time when nobody wants to write that script.",
		Safe:  "-- 0007_teams.down.sql, or the section -- migrate:down\nDROP TABLE teams;",
	}, end: func(c *checker) {
		if s := c.script; !s.hasUndo && !s.down && s.changes {
			c.reportAt(token{}, "there is no script that undoes this one", "")
		}
	}}

	downIncomplete = rule{Rule: Rule{
		ID: "down-incomplete", Category: Irreversible, Severity: Warning, Dialects: everywhere,
		Title: "a script that goes down leaves a table",
		Why:   "After down the table is still there, and going up again fails: it exists already.",
		Safe:  "-- migrate:down\nDROP TABLE teams;",
	}, pair: func(c *checker, up, down *script) {
		if down.count == 0 {
			return // a file of no statements says that nothing is to be undone
		}
		c.script = down
		for _, n := range up.created {
			if c.catalog.table(n) != nil && !down.mentions[strings.ToLower(unquote(n.last()))] {
				c.reportAt(down.first, n.String()+" is created by going up, and going down leaves it there", "DROP TABLE "+n.String()+";")
			}
		}
	}}
)

// newNames returns the names that a statement gives.
func (s *stmt) newNames() (all []name) {
	switch s.verb {
	case createTable, createIndex, createOther:
		if s.object != "extension" && s.object != "user" && s.object != "role" {
			all = append(all, s.names...)
		}
	}
	for i := range s.columns {
		all = append(all, s.columns[i].name)
	}
	for i := range s.constraints {
		all = append(all, s.constraints[i].name)
	}
	for i := range s.actions {
		switch a := &s.actions[i]; a.kind {
		case "add column":
			all = append(all, a.column)
		case "add constraint":
			all = append(all, a.constraint.name)
		case "rename table", "rename column", "rename constraint", "modify column":
			all = append(all, a.to)
		}
	}
	return all
}

// shorten cuts a text at a number of bytes, as far back as a character begins.
func shorten(text string, n int) string {
	for n > 0 && !utf8.RuneStart(text[n]) {
		n--
	}
	return text[:n]
}

// snake writes firstName as first_name.
func snake(text string) string {
	var b strings.Builder
	for i, r := range text {
		if 'A' <= r && r <= 'Z' {
			if i > 0 && text[i-1] != '_' && !('A' <= text[i-1] && text[i-1] <= 'Z') {
				b.WriteByte('_')
			}
			r += 'a' - 'A'
		}
		b.WriteRune(r)
	}
	return b.String()
}

func stringsIn(list tokens) (found []token) {
	for _, item := range list.commas() {
		if item.get(0).Kind == stringKind {
			found = append(found, item.get(0))
		}
	}
	return found
}

// IsReserved tells whether a word, in lower case, needs quotes as a name in one of the databases.
func IsReserved(word string) bool { return reserved[word] }

// reserved are words that at least PostgreSQL, or both of MySQL and SQLite, don't take for a name.
var reserved = func() map[string]bool {
	words := map[string]bool{}
	for _, word := range strings.Fields(`all analyse analyze and any array as asc both case cast check collate column constraint create
		current_date current_time current_timestamp current_user default deferrable desc distinct do else end except false fetch for foreign
		from grant group having in initially intersect into lateral leading limit localtime not null offset on only or order placing primary
		references returning select session_user some symmetric table then to trailing true union unique user using variadic when where
		window with key index values set update delete insert add alter drop between exists join like`) {
		words[word] = true
	}
	return words
}()

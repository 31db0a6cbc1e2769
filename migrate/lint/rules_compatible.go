package lint

import (
	"strings"

	"github.com/buffkit/buffkit/migrate/dialect"
)

// Rules about the app that runs while the migration does, and about rows that are there already.
var (
	renameTableRule = rule{Rule: Rule{
		ID: "rename-table", Category: Compatible, Severity: Warning, Dialects: everywhere,
		Title: "a table that others use gets another name",
		Why:   "Releases before and after the migration run at the same time during a deploy, and one of them doesn't find its table.",
		Safe: "ALTER TABLE customers RENAME TO clients;\nCREATE VIEW customers AS SELECT * FROM clients; -- in the same transaction: both names work\n" +
			"-- drop the view when no release uses it any more",
	}, check: func(c *checker, s *stmt) {
		for i := range s.actions {
			a := &s.actions[i]
			from := s.table
			if s.verb == renameTable {
				from = a.column
			}
			if a.kind != "rename table" || !c.busy(from) || c.swaps(s, a) {
				continue
			}
			c.renames = append(c.renames, deferred{c.script, s, a, from})
		}
		if s.verb == createOther && s.object == "view" && len(s.names) > 0 { // the old name stays
			for i := range c.renames {
				if r := &c.renames[i]; r.script == c.script && r.name.key() == s.names[0].key() {
					c.renames = append(c.renames[:i], c.renames[i+1:]...)
					break
				}
			}
		}
	}, end: func(c *checker) {
		for _, r := range c.renames {
			if r.script == c.script {
				c.report(r.stmt, r.action.token, r.name.String()+" isn't found any more by the release that still runs",
					strings.TrimSpace(r.stmt.again()+";\nCREATE VIEW "+r.name.String()+" AS SELECT * FROM "+r.action.to.String()+"; -- until no release uses it"))
			}
		}
		c.renames = nil
	}}

	renameColumn = rule{Rule: Rule{
		ID: "rename-column", Category: Compatible, Severity: Warning, Dialects: everywhere,
		Title: "a column that others use gets another name",
		Why:   "Releases before and after the migration run at the same time during a deploy, and one of them doesn't find its column.",
		Safe: "-- expand: add the new one, write both, fill in batches\nALTER TABLE users ADD COLUMN full_name text;\n" +
			"-- contract: when no release reads the old one\nALTER TABLE users DROP COLUMN name;",
	}, check: func(c *checker, s *stmt) {
		for i := range s.actions {
			a := &s.actions[i]
			renamed := a.kind == "rename column" || a.kind == "modify column" && a.to.key() != a.column.key()
			if renamed && c.busy(s.table) {
				c.report(s, a.token, a.column.String()+" isn't found any more by the release that still runs", "")
			}
		}
	}}

	addNotNull = rule{Rule: Rule{
		ID: "add-column-not-null", Category: Data, Severity: Error, Dialects: everywhere,
		Title: "ADD COLUMN … NOT NULL without a default",
		Why: "PostgreSQL and SQLite refuse it if the table has a row. MySQL invents a value: an empty string, 0. And the release that still runs" +
			" inserts without it, which fails.",
		Safe: "ALTER TABLE users ADD COLUMN locale varchar(10) NOT NULL DEFAULT 'en';\n-- or nullable first, filled in batches, and NOT NULL last",
	}, check: func(c *checker, s *stmt) {
		for i := range s.actions {
			a := &s.actions[i]
			d := &a.def
			if a.kind != "add column" || !d.notNull || d.auto || d.generated || !c.busy(s.table) {
				continue
			}
			if d.defaulted != nil && !d.defaulted.get(0).Is("null") || c.empty(s.table) {
				continue
			}
			message := "this fails as soon as " + s.table.String() + " has a row, for which " + a.column.String() + " would have no value"
			if c.mysql() {
				message = "old rows get a value for " + a.column.String() + " that the server invents, and the release that still runs can't insert without one"
			}
			c.report(s, a.column.token(), message, "ALTER TABLE "+s.table.String()+" ADD COLUMN "+a.column.String()+" "+d.typ.String()+
				" NOT NULL DEFAULT …;\n-- or without NOT NULL, filled in batches, and NOT NULL in a later migration")
		}
	}}

	renameEnum = rule{Rule: Rule{
		ID: "rename-enum-value", Category: Compatible, Severity: Warning, Dialects: onPostgres,
		Title: "a value of an enum gets another name",
		Why:   "The release that still runs writes the old one, which is refused, and doesn't know the new one that it reads.",
		Safe: "ALTER TYPE status ADD VALUE 'cancelled'; -- beside 'canceled'\n-- in the next migration, when every release knows both, in batches\n" +
			"-- no-transaction\nUPDATE orders SET status = 'cancelled' WHERE status = 'canceled' AND id BETWEEN 1 AND 5000;",
	}, check: func(c *checker, s *stmt) {
		if s.verb == alterOther && s.object == "type" && s.options.get(0).Is("rename") && s.options.get(1).Is("value") {
			c.report(s, s.options.get(2), s.options.get(2).Text+" isn't accepted any more from the release that still runs", "")
		}
	}}

	dropNotNull = rule{Rule: Rule{
		ID: "drop-not-null", Category: Compatible, Severity: Info, Dialects: onPostgres,
		Title: "DROP NOT NULL",
		Why:   "Whoever reads the column must expect NULL from then on; the release that still runs may not, and going back fails if there is one.",
		Safe:  "-- first a release that can read NULL, then:\n-- lint:allow drop-not-null release 13 reads NULL\nALTER TABLE users ALTER COLUMN phone DROP NOT NULL;",
	}, check: func(c *checker, s *stmt) {
		for i := range s.actions {
			if a := &s.actions[i]; a.kind == "drop not null" && c.busy(s.table) {
				c.report(s, a.token, "the release that still runs may not expect NULL in "+a.column.String(), "")
			}
		}
	}}

	uniqueData = rule{Rule: Rule{
		ID: "unique-existing-data", Category: Data, Severity: Info, Dialects: everywhere,
		Title: "uniqueness for rows that are there already",
		Why:   "It fails if two rows are alike. On the developer's machine none are.",
		Safe: "-- look first, in production\nSELECT email, count(*) FROM users GROUP BY email HAVING count(*) > 1;\n" +
			"-- and decide in an earlier migration which row stays",
	}, check: func(c *checker, s *stmt) {
		if s.verb == createIndex && s.unique && c.busy(s.table) {
			c.report(s, s.first(), "this fails if two rows of "+s.table.String()+" are alike", duplicatesFix(s.table, s.list))
		}
		for i := range s.actions {
			a := &s.actions[i]
			k := &a.constraint
			if a.kind == "add constraint" && k.kind == "unique" && !k.usingIndex && c.busy(s.table) {
				c.report(s, k.token, "this fails if two rows of "+s.table.String()+" are alike", duplicatesFix(s.table, k.columns))
			}
		}
	}}

	insertColumns = rule{Rule: Rule{
		ID: "insert-without-columns", Category: Data, Severity: Warning, Dialects: everywhere,
		Title: "INSERT without the names of the columns",
		Why:   "It means whatever the order of the columns is at that time. A column that an earlier migration adds next month breaks it, or shifts values.",
		Safe:  "INSERT INTO roles (id, name) VALUES (1, 'admin');",
	}, check: func(c *checker, s *stmt) {
		if s.verb == insert && !s.listed && len(s.table.parts) > 0 && !c.fresh(s.table) {
			c.report(s, s.first(), "the values go into the columns of "+s.table.String()+" by their order", "INSERT INTO "+s.table.String()+" (COLUMNS) …")
		}
	}}

	backfill = rule{Rule: Rule{
		ID: "backfill-holds-lock", Category: Data, Severity: Warning, Dialects: onPostgres, Weighs: true,
		Title: "rows changed in the transaction that locks a table",
		Why: "ALTER TABLE locks the table until the transaction ends. Rows changed after it in the same one make everybody wait for as long as" +
			" that takes.",
		Safe: "ALTER TABLE users ADD COLUMN locale text;\n-- in the next migration, in batches\n-- no-transaction\n" +
			"UPDATE users SET locale = 'en' WHERE locale IS NULL AND id BETWEEN 1 AND 5000;",
	}, check: func(c *checker, s *stmt) {
		if !s.verb.dml() || s.verb == insert && !s.query || !c.busy(s.table) || len(c.script.strong) == 0 {
			return
		}
		held := c.script.strong[0]
		c.on(s.table, s, s.first(), "everybody waits for "+held.table.String()+", locked since line "+itoa(held.by.Pos.Line)+
			", while rows of "+s.table.String()+" are changed", "")
	}}

	compareNull = rule{Rule: Rule{
		ID: "compare-with-null", Category: Data, Severity: Error, Dialects: everywhere, Down: true,
		Title: "= NULL or <> NULL",
		Why:   "It is never true, whatever stands on the other side: WHERE then takes no row, and CHECK lets all pass.",
		Safe:  "UPDATE users SET locale = 'en' WHERE locale IS NULL;",
	}, check: func(c *checker, s *stmt) {
		for _, condition := range s.conditions() {
			for i, t := range condition {
				if (t.Text == "=" || t.Text == "<>" || t.Text == "!=") && condition.get(i+1).Is("null") {
					right := map[bool]string{true: "IS NULL", false: "IS NOT NULL"}[t.Text == "="]
					c.report(s, t, t.Text+" NULL is never true", "-- write "+right)
				}
			}
		}
	}}

	foreignKeyIndex = rule{Rule: Rule{
		ID: "foreign-key-index", Category: Blocking, Severity: Info, Dialects: []dialect.Dialect{dialect.Postgres, dialect.SQLite},
		Title: "a foreign key whose columns have no index",
		Why: "To delete a row, or change its key, the database looks for those that refer to it: without an index it reads the whole table, each" +
			" time. MySQL makes the index by itself.",
		Safe: "CREATE INDEX orders_user_id ON orders (user_id);",
	}, done: func(c *checker) {
		for _, t := range c.catalog.tables {
			for _, f := range t.foreign {
				if f.script.applied || t.indexed(f.columns) || len(f.columns) == 0 || !t.whole && !t.has(f.columns) {
					continue
				}
				c.script = f.script
				list := strings.Join(f.columns, ", ")
				c.report(f.by, f.by.first(), "the foreign key on ("+list+") of "+f.by.table.String()+" has no index",
					"CREATE INDEX "+f.by.table.suffixed("_"+strings.Join(f.columns, "_"))+" ON "+f.by.table.String()+" ("+list+");")
			}
		}
	}}
)

// deferred is kept until the end of a script.
type deferred struct {
	script *script
	stmt   *stmt
	action *action
	name   name
}

// swaps tells whether a renaming takes part in putting another table in the place of one, which ends with the same names.
func (c *checker) swaps(s *stmt, a *action) bool {
	if s.verb == renameTable && len(s.actions) > 1 {
		for i := range s.actions {
			if s.actions[i].to.key() == a.column.key() || s.actions[i].column.key() == a.to.key() {
				return true
			}
		}
	}
	return false
}

// empty tells whether a table is known to have no rows.
func (c *checker) empty(n name) bool {
	return c.dialect != dialect.SQLite && c.rows(n.plain()) == 0
}

func duplicatesFix(table name, list tokens) string {
	columns := list.sql()
	return "-- look first, in production\nSELECT " + columns + ", count(*) FROM " + table.String() + " GROUP BY " + columns + " HAVING count(*) > 1;"
}

// conditions returns the parts of a statement that are true or not.
func (s *stmt) conditions() (all []tokens) {
	if s.verb.dml() || s.verb == createIndex {
		all = append(all, s.where)
	}
	for i := range s.columns {
		all = append(all, s.columns[i].checks...)
	}
	for i := range s.constraints {
		all = append(all, s.constraints[i].expression)
	}
	for i := range s.actions {
		all = append(all, s.actions[i].constraint.expression)
		all = append(all, s.actions[i].def.checks...)
	}
	return all
}

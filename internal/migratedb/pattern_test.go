package migratedb

import (
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/buffkit/buffkit/migrate"
	"github.com/buffkit/buffkit/migrate/dialect"
	"github.com/buffkit/buffkit/migrate/pattern"
)

// populated is what patterns work on: 1,200 rows.
func populated(t *testing.T, on target, db *sql.DB) {
	t.Helper()
	state := map[dialect.Dialect]string{dialect.Postgres: "order_state", dialect.SQLite: "text", dialect.MySQL: "enum('new', 'paid')", dialect.MariaDB: "enum('new', 'paid')"}[on.dialect]
	id := map[dialect.Dialect]string{dialect.Postgres: "bigint PRIMARY KEY", dialect.SQLite: "INTEGER PRIMARY KEY", dialect.MySQL: "bigint PRIMARY KEY", dialect.MariaDB: "bigint PRIMARY KEY"}[on.dialect]
	if on.dialect == dialect.Postgres {
		mustExec(t, db, "CREATE TYPE order_state AS ENUM ('new', 'paid')")
	}
	mustExec(t, db, "CREATE TABLE customers (id "+id+")", "INSERT INTO customers VALUES (1), (2), (3)",
		"CREATE TABLE orders (id "+id+", customer_id bigint, title varchar(80), body text, total int, state "+state+")")
	for from := 1; from <= 1200; from += 400 {
		var values []string
		for n := from; n < from+400; n++ {
			values = append(values, fmt.Sprintf("(%d, %d, 'title %d', %s, %d, 'paid')", 3*n, n%3+1, n, []string{"NULL", "'word'"}[n%2], n))
		}
		mustExec(t, db, "INSERT INTO orders (id, customer_id, title, body, total, state) VALUES "+strings.Join(values, ", "))
	}
}

// patternCase is right for each pattern, with what holds when it is applied: queries and what they return.
type patternCase struct {
	name   string
	params pattern.Params
	use    []string          // statements that work behind it
	holds  map[string]string // queries
	undo   []string          // before it goes down
	steps  int               // applied, before use; 0 are all
}

func col(text string) pattern.Column {
	c, err := pattern.ParseColumn(text)
	if err != nil {
		panic(err)
	}
	return c
}

func patternCases(on target) []patternCase {
	orders := func(columns ...string) pattern.Params {
		p := pattern.Params{Table: "orders", Batch: 100}
		for _, c := range columns {
			p.Columns = append(p.Columns, col(c))
		}
		return p
	}
	change := func(p pattern.Params, f func(*pattern.Params)) pattern.Params { f(&p); return p }
	return []patternCase{
		{name: "create-table", params: pattern.Params{Table: "invoices", Columns: []pattern.Column{col("number:int NOT NULL"), col("total:numeric(12, 2) NOT NULL DEFAULT 0")}},
			use:   []string{"INSERT INTO invoices (number) VALUES (7)"},
			holds: map[string]string{"SELECT count(*) FROM invoices WHERE id > 0 AND created_at IS NOT NULL AND total = 0": "1"}},
		{name: "add-column", params: change(orders("locale:varchar(10)"), func(p *pattern.Params) { p.Default = "'en'" }),
			holds: map[string]string{"SELECT count(*) FROM orders WHERE locale = 'en'": "1200"}},
		{name: "add-column", params: orders("locale:varchar(10)"), holds: map[string]string{"SELECT count(*) FROM orders WHERE locale IS NULL": "1200"}},
		{name: "rename-column", params: change(orders("title:varchar(80)"), func(p *pattern.Params) { p.To = "subject" }), steps: 2,
			use: []string{"UPDATE orders SET title = 'by the old release' WHERE id = 3", "UPDATE orders SET subject = 'by the new one' WHERE id = 6",
				"INSERT INTO orders (id, title, total) VALUES (9001, 'old', 1)", "INSERT INTO orders (id, subject, total) VALUES (9002, 'new', 1)"},
			holds: map[string]string{"SELECT count(*) FROM orders WHERE title = subject": "1202", "SELECT subject FROM orders WHERE id = 3": "by the old release",
				"SELECT title FROM orders WHERE id = 6": "by the new one", "SELECT subject FROM orders WHERE id = 9001": "old", "SELECT title FROM orders WHERE id = 9002": "new"},
			undo: []string{"DELETE FROM orders WHERE id > 9000"}},
		{name: "backfill", params: change(orders("body"), func(p *pattern.Params) { p.Set = "title" }), use: nil,
			holds: map[string]string{"SELECT count(*) FROM orders WHERE body IS NULL": "0", "SELECT count(*) FROM orders WHERE body = 'word'": "600"}},
		{name: "index", params: change(orders("customer_id", "id"), func(p *pattern.Params) { p.Unique = true })},
		{name: "enum-value", params: change(orders("state"), func(p *pattern.Params) {
			p.Enum, p.Values, p.Value = "order_state", []string{"new", "paid"}, "sent"
		}),
			use: []string{"UPDATE orders SET state = 'sent' WHERE id = 3"}, holds: map[string]string{"SELECT count(*) FROM orders WHERE state = 'sent'": "1"},
			undo: []string{"UPDATE orders SET state = 'paid' WHERE id = 3"}},
		{name: "partition", params: pattern.Params{Table: "events", Columns: []pattern.Column{col("happened_at"), col("note:text")}, From: "2026-11"},
			use:   []string{"INSERT INTO events (happened_at, note) VALUES ('2026-11-05 10:00:00', 'a'), ('2027-01-31 23:59:59', 'b'), ('2031-01-01 00:00:00', 'later')"},
			holds: map[string]string{"SELECT count(*) FROM events": "3", partitionCount(on): "4"}},
		{name: "updated-at", params: orders(), use: []string{"UPDATE orders SET updated_at = '2001-01-01 00:00:00' WHERE id IN (3, 6)", "UPDATE orders SET total = total + 1 WHERE id = 3",
			"INSERT INTO orders (id) VALUES (9001)"},
			holds: map[string]string{"SELECT count(*) FROM orders WHERE id = 3 AND updated_at > '2020-01-01 00:00:00'": "1", "SELECT count(*) FROM orders WHERE updated_at IS NULL": "0"},
			undo:  []string{"DELETE FROM orders WHERE id = 9001"}},
		{name: "fulltext", params: orders("title", "body"), use: []string{"UPDATE orders SET title = 'zebra' WHERE id = 3", "INSERT INTO orders (id, title) VALUES (9001, 'zebra')", "DELETE FROM orders WHERE id = 9001"},
			holds: map[string]string{search(on): "1"}, undo: []string{"UPDATE orders SET title = 'title 1' WHERE id = 3"}},
		{name: "foreign-key", params: change(orders("customer_id"), func(p *pattern.Params) { p.References = "customers" })},
		{name: "soft-delete", params: orders(), use: []string{"UPDATE orders SET deleted_at = '2026-01-01 00:00:00' WHERE id = 3"},
			holds: map[string]string{"SELECT count(*) FROM orders_live": "1199"}},
		{name: "rebuild", params: change(orders("id:INTEGER PRIMARY KEY", "title:text NOT NULL DEFAULT ''", "customer_id:integer REFERENCES customers (id)", "body:text", "total:integer", "state:text"), func(p *pattern.Params) {
			p.Was = []pattern.Column{col("id:INTEGER PRIMARY KEY"), col("customer_id:bigint"), col("title:varchar(80)"), col("body:text"), col("total:int"), col("state:text")}
		}), holds: map[string]string{"SELECT \"notnull\" FROM pragma_table_info('orders') WHERE name = 'title'": "1"}},
	}
}

func partitionCount(on target) string {
	if on.dialect == dialect.Postgres {
		return "SELECT count(*) FROM pg_inherits WHERE inhparent = 'events'::regclass"
	}
	return "SELECT count(*) FROM information_schema.partitions WHERE table_schema = DATABASE() AND table_name = 'events'"
}

func search(on target) string {
	switch on.dialect {
	case dialect.Postgres:
		return "SELECT count(*) FROM orders WHERE to_tsvector('simple', coalesce(title, '') || ' ' || coalesce(body, '')) @@ websearch_to_tsquery('simple', 'zebra')"
	case dialect.SQLite:
		return "SELECT count(*) FROM orders_search JOIN orders ON orders.id = orders_search.rowid WHERE orders_search MATCH 'zebra'"
	}
	return "SELECT count(*) FROM orders WHERE MATCH (title, body) AGAINST ('zebra' IN NATURAL LANGUAGE MODE)"
}

// Each pattern goes up on a populated table, works, goes down, and goes up again; no row is lost.
func TestEachPatternGoesUpDownAndUpAgainOnAPopulatedTable(t *testing.T) {
	everywhere(t, func(t *testing.T, on target) {
		tried := map[string]bool{}
		for i, c := range patternCases(on) {
			tried[c.name] = true
			t.Run(fmt.Sprintf("%s/%d", c.name, i), func(t *testing.T) {
				t.Parallel()
				files, err := pattern.Write(c.name, on.dialect, c.params)
				if errors.Is(err, pattern.ErrLacks) {
					t.Log(err)
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				db := on.open(t)
				populated(t, on, db)
				tryPattern(t, on, db, c, files)
			})
		}
		for _, p := range pattern.All() {
			if !tried[p.Name] {
				t.Errorf("%s isn't tried", p.Name)
			}
		}
	})
}

func tryPattern(t *testing.T, on target, db *sql.DB, c patternCase, written []pattern.File) {
	t.Helper()
	var pairs []string
	for i, f := range written {
		pairs = append(pairs, fmt.Sprintf("%d_%s.sql", i+1, f.Name), f.Text)
	}
	m := migrator(t, on, db, of(files(pairs...)))
	steps := c.steps
	if steps == 0 {
		steps = len(written)
	}
	for round := range 2 {
		if _, err := m.UpTo(t.Context(), migrate.Ref{Version: migrate.Version(fmt.Sprint(steps))}); err != nil {
			t.Fatalf("up, round %d: %v", round, err)
		}
		mustExec(t, db, c.use...)
		for query, want := range c.holds {
			if got := text(t, db, query); got != want {
				t.Errorf("round %d: %s: %s, want %s", round, query, got, want)
			}
		}
		mustExec(t, db, c.undo...)
		if _, err := m.Up(t.Context()); err != nil {
			t.Fatalf("the rest, round %d: %v", round, err)
		}
		if round == 1 {
			break
		}
		if res, err := m.Reset(t.Context()); err != nil || len(res.Steps) != len(written) {
			t.Fatalf("down: %+v, %v", res, err)
		}
		if n := number(t, db, "SELECT count(*) FROM orders"); n != 1200 {
			t.Errorf("%d rows of 1200 are left", n)
		}
		columns := slices.Sorted(slices.Values(columnsOf(t, db)))
		if got := strings.Join(columns, " "); got != "body customer_id id state title total" {
			t.Errorf("down leaves the columns %s", got)
		}
	}
}

func columnsOf(t *testing.T, db *sql.DB) []string {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), "SELECT * FROM orders WHERE id < 0")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	names, err := rows.Columns()
	if err != nil || rows.Err() != nil {
		t.Fatal(err, rows.Err())
	}
	return names
}

package pattern_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/buffkit/buffkit/migrate/dialect"
	"github.com/buffkit/buffkit/migrate/lint"
	"github.com/buffkit/buffkit/migrate/pattern"
	"github.com/buffkit/buffkit/migrate/source"
)

// base is a table that was there before.
const base = `CREATE TABLE customers (id bigint PRIMARY KEY);
CREATE TABLE orders (id bigint PRIMARY KEY, customer_id bigint, title varchar(80), body text, total int);
`

var orders = pattern.Params{Table: "orders"}

func with(p pattern.Params, columns ...string) pattern.Params {
	for _, c := range columns {
		column, err := pattern.ParseColumn(c)
		if err != nil {
			panic(err)
		}
		p.Columns = append(p.Columns, column)
	}
	return p
}

// params are right for each pattern.
func params(name string) pattern.Params {
	switch name {
	case "create-table":
		return with(pattern.Params{Table: "invoices"}, "number:int NOT NULL", "total:numeric(12, 2) NOT NULL DEFAULT 0")
	case "add-column":
		p := with(orders, "locale:varchar(10)")
		p.Default = "'en'"
		return p
	case "rename-column":
		p := with(orders, "title:varchar(80)")
		p.To = "subject"
		return p
	case "backfill":
		p := with(orders, "body")
		p.Set = "title"
		return p
	case "index":
		return with(orders, "customer_id", "total")
	case "enum-value":
		p := with(orders, "state")
		p.Values, p.Value, p.Enum = []string{"new", "paid"}, "sent", "order_state"
		return p
	case "partition":
		p := with(pattern.Params{Table: "events"}, "happened_at", "note:text")
		p.From = "2026-11"
		return p
	case "fulltext":
		return with(orders, "title", "body")
	case "foreign-key":
		p := with(orders, "customer_id")
		p.References = "customers"
		return p
	case "rebuild":
		p := with(orders, "id:INTEGER PRIMARY KEY", "title:text NOT NULL DEFAULT ''", "total:integer")
		p.Was = []pattern.Column{{Name: "id", Type: "bigint PRIMARY KEY"}, {Name: "customer_id", Type: "bigint"}, {Name: "title", Type: "varchar(80)"}, {Name: "body", Type: "text"}, {Name: "total", Type: "int"}}
		return p
	}
	return orders
}

func TestEachPatternIsReadAndPassesTheLinter(t *testing.T) {
	t.Parallel()
	for _, p := range pattern.All() {
		for _, d := range dialect.All() {
			t.Run(p.Name+"/"+d.String(), func(t *testing.T) {
				t.Parallel()
				files, err := pattern.Write(p.Name, d, params(p.Name))
				if p.Lacks[d] != "" {
					if !errors.Is(err, pattern.ErrLacks) || !strings.Contains(err.Error(), p.Lacks[d]) {
						t.Errorf("%v", err)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				fsys := fstest.MapFS{"1_base.up.sql": {Data: []byte(base)}}
				for i, f := range files {
					fsys[fmt.Sprintf("%d_%s.sql", i+2, f.Name)] = &fstest.MapFile{Data: []byte(f.Text)}
				}
				migrations, err := source.Load(fsys, d, nil)
				if err != nil || len(migrations) != len(files)+1 {
					t.Fatalf("%d migrations of %d files: %v", len(migrations), len(files), err)
				}
				var all []lint.Migration
				for i, m := range migrations {
					l := lint.Of(m, nil)
					if l.Applied = i == 0; !l.Applied && l.Down == nil {
						t.Errorf("%s has no way down", m.Name)
					}
					all = append(all, l)
				}
				findings, err := lint.Check(all, d, &lint.Options{Runner: lint.Runner{LockTimeout: true, ForeignKeysOff: true}})
				if err != nil {
					t.Fatal(err)
				}
				for _, f := range findings {
					if f.Severity >= lint.Warning || f.Rule == "allow-unused" {
						t.Errorf("%v: %v: %s [%s]", f.Pos, f.Severity, f.Message, f.Rule)
					}
				}
			})
		}
	}
}

func TestWhatMustWaitForAReleaseSaysSo(t *testing.T) {
	t.Parallel()
	for _, d := range dialect.All() {
		files, err := pattern.Write("rename-column", d, params("rename-column"))
		if err != nil || len(files) != 3 {
			t.Fatalf("%d files, %v", len(files), err)
		}
		if files[0].When != "" || files[1].When != "" || files[2].When != "no release reads or writes title any more" || files[2].Name != "rename_orders_title_3_contract" {
			t.Errorf("%s: %q, %q, %q of %s", d, files[0].When, files[1].When, files[2].When, files[2].Name)
		}
	}
}

func TestWrongParamsAreToldWithTheFlagToGive(t *testing.T) {
	t.Parallel()
	for _, p := range pattern.All() {
		d := dialect.Postgres
		if p.Lacks[d] != "" {
			d = dialect.SQLite
		}
		if _, err := pattern.Write(p.Name, d, pattern.Params{}); err == nil || !strings.Contains(err.Error(), "--table is missing") {
			t.Errorf("%s without a table: %v", p.Name, err)
		}
		for _, need := range p.Needs {
			if _, err := pattern.Write(p.Name, d, orders); err == nil || !strings.Contains(err.Error(), "--") {
				t.Errorf("%s without %s: %v", p.Name, need, err)
			}
		}
	}
	for _, tt := range []struct {
		name   string
		change func(p *pattern.Params)
		says   string
	}{
		{"another statement in a type", func(p *pattern.Params) { p.Columns[0].Type = "int; DROP TABLE users" }, "one line of SQL"},
		{"a comment in a default", func(p *pattern.Params) { p.Default = "0 -- x" }, "one line of SQL"},
		{"a name that needs quotes", func(p *pattern.Params) { p.Table = "My Orders" }, "plain name"},
		{"a reserved word", func(p *pattern.Params) { p.Table = "order" }, "reserved word"},
		{"a long name", func(p *pattern.Params) { p.Table = strings.Repeat("a", 41) }, "longer than 40"},
		{"two columns", func(p *pattern.Params) { p.Columns = append(p.Columns, p.Columns[0]) }, "one column"},
		{"no type", func(p *pattern.Params) { p.Columns[0].Type = "" }, "--column NAME:TYPE"},
	} {
		p := params("add-column")
		tt.change(&p)
		if _, err := pattern.Write("add-column", dialect.SQLite, p); err == nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	if _, err := pattern.Write("sideways", dialect.SQLite, orders); err == nil || !strings.Contains(err.Error(), "add-column") {
		t.Errorf("%v", err)
	}
}

func ExampleWrite() {
	files, err := pattern.Write("index", dialect.Postgres, pattern.Params{Table: "orders", Columns: []pattern.Column{{Name: "customer_id"}}})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(files[0].Name)
	fmt.Print(files[0].Text)
	// Output:
	// index_orders_customer_id
	// -- migrate:up
	// -- no-transaction
	// -- Others read and write meanwhile. If it is stopped half-way the next run drops the invalid index and builds it again.
	// CREATE INDEX CONCURRENTLY orders_customer_id ON orders (customer_id);
	//
	// -- migrate:down
	// -- no-transaction
	// DROP INDEX CONCURRENTLY orders_customer_id;
}

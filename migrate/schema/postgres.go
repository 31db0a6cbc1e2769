package schema

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
)

// pgKey is how PostgreSQL names anything: the catalog that it is in, and its number there.
type pgKey struct {
	catalog string
	oid     string
}

// pgObject is an object with its place in the order.
type pgObject struct {
	Object
	rank  int
	needs map[*pgObject]bool
}

// postgresReader reads PostgreSQL's catalogs. Texts come from the server's own pg_get_… functions, with all names qualified.
type postgresReader struct {
	ctx context.Context
	tx  *sql.Tx
	*Schema
	objects []*pgObject
	byKey   map[pgKey]*pgObject
}

func readPostgres(ctx context.Context, conn *sql.Conn, s *Schema, o Options) (err error) {
	tx, err := conn.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true})
	if err != nil {
		return err
	}
	defer tx.Rollback() // it has only read
	r := &postgresReader{ctx: ctx, tx: tx, Schema: s, byKey: map[pgKey]*pgObject{}}
	if err := r.settle(o.Ignore); err != nil {
		return err
	}
	for _, k := range pgKinds {
		if err := r.kind(k); err != nil {
			return err
		}
	}
	for _, read := range []func() error{r.tables, r.aliases, r.dependencies, r.comments, r.unknown} {
		if err := read(); err != nil {
			return err
		}
	}
	r.order()
	for _, o := range s.Objects {
		if o.Kind == "function" || o.Kind == "procedure" {
			s.before = []string{"SET check_function_bodies = false"} // a body may name what comes later
			s.after = []string{"RESET check_function_bodies"}
			break
		}
	}
	return nil
}

const oldestPostgres = 140000

// settle makes the server print in one way, until the end of the transaction: whatever isn't in pg_catalog gets its schema.
// The two temporary views of the queries would be simpler as tables, but the transaction only reads.
func (r *postgresReader) settle(ignore []string) error {
	var version int
	var schema sql.NullString
	if err := r.tx.QueryRowContext(r.ctx, "SELECT current_setting('server_version_num')::int, current_schema()").Scan(&version, &schema); err != nil {
		return err
	}
	if version < oldestPostgres {
		return fmt.Errorf("%w: PostgreSQL %d, and it must be 14 or later", ErrServer, version/10000)
	}
	var names []string
	for _, n := range ignore {
		names = append(names, quotePostgres(schema.String)+"."+quotePostgres(n))
		if of, plain, ok := strings.Cut(n, "."); ok {
			names = append(names, quotePostgres(of)+"."+quotePostgres(plain))
		}
	}
	_, err := table(r.ctx, r.tx, `SELECT set_config('buffkit.ignore', $1, true), set_config('search_path', '', true), set_config('TimeZone', 'UTC', true),
		set_config('DateStyle', 'ISO', true), set_config('IntervalStyle', 'postgres', true), set_config('extra_float_digits', '3', true),
		set_config('quote_all_identifiers', 'off', true), set_config('bytea_output', 'hex', true), set_config('xmloption', 'content', true)`, strings.Join(names, ","))
	return err
}

func quotePostgres(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// kind reads all objects of one kind: each row has oid, name and one or more statements.
func (r *postgresReader) kind(k pgKind) error {
	rows, err := table(r.ctx, r.tx, strings.NewReplacer("{mine}", pgMine, "{relation}", pgRelation).Replace(k.query))
	if err != nil {
		return err
	}
	for _, row := range rows {
		o := &pgObject{Object: Object{Kind: k.name, Name: row[1]}, rank: k.rank}
		for _, text := range row[2:] {
			if text != "" {
				o.SQL = append(o.SQL, text)
			}
		}
		r.put(pgKey{k.catalog, row[0]}, o)
	}
	return nil
}

func (r *postgresReader) put(key pgKey, o *pgObject) {
	o.needs = map[*pgObject]bool{}
	r.objects = append(r.objects, o)
	r.byKey[key] = o
}

// aliases are what is a part of an object, or belongs to it without a statement of its own: whoever needs it needs the object.
func (r *postgresReader) aliases() error {
	rows, err := table(r.ctx, r.tx, pgAliases)
	if err != nil {
		return err
	}
	for range 3 { // an array of a table's row is two steps away
		for _, row := range rows {
			part, whole := pgKey{row[0], row[1]}, pgKey{row[2], row[3]}
			if o := r.byKey[whole]; o != nil && r.byKey[part] == nil {
				r.byKey[part] = o
			}
		}
	}
	return nil
}

func (r *postgresReader) dependencies() error {
	rows, err := table(r.ctx, r.tx, "SELECT classid::regclass, objid, refclassid::regclass, refobjid FROM pg_depend WHERE deptype IN ('n', 'a', 'i', 'P', 'S')")
	if err != nil {
		return err
	}
	for _, row := range rows {
		o, needed := r.byKey[pgKey{row[0], row[1]}], r.byKey[pgKey{row[2], row[3]}]
		if o != nil && needed != nil && o != needed {
			o.needs[needed] = true
		}
	}
	rows, err = table(r.ctx, r.tx, pgMoreNeeds)
	for _, row := range rows {
		o, needed := r.byKey[pgKey{row[0], row[1]}], r.byKey[pgKey{row[2], row[3]}]
		if o != nil && needed != nil && o != needed {
			o.needs[needed] = true
		}
	}
	return err
}

// comments go to the object that they are about, or a part of it.
func (r *postgresReader) comments() error {
	rows, err := table(r.ctx, r.tx, pgComments)
	if err != nil {
		return err
	}
	for _, row := range rows {
		o := r.byKey[pgKey{row[0], row[1]}]
		if o == nil {
			continue // of what isn't written either, and that is told
		}
		on, ok := pgCommentOn[row[2]]
		if !ok {
			on = strings.ToUpper(row[2])
		}
		identity := row[3]
		if row[2] == "domain constraint" {
			identity = strings.Replace(identity, " on ", " ON DOMAIN ", 1)
		}
		o.SQL = append(o.SQL, "COMMENT ON "+on+" "+identity+" IS "+row[4])
	}
	return nil
}

// unknown names what is there and isn't written.
func (r *postgresReader) unknown() error {
	rows, err := table(r.ctx, r.tx, strings.NewReplacer("{mine}", pgMine, "{relation}", pgRelation).Replace(pgUnknown))
	for _, row := range rows {
		r.omit("%s %s", row[0], row[1])
	}
	return err
}

// order puts each object behind those that it needs; where that leaves a choice, the rank of its kind and its name decide.
func (r *postgresReader) order() {
	slices.SortFunc(r.objects, func(a, b *pgObject) int {
		if a.rank != b.rank {
			return a.rank - b.rank
		}
		return strings.Compare(a.Name, b.Name)
	})
	place := map[*pgObject]int{}
	for i, o := range r.objects {
		place[o] = i
	}
	state := map[*pgObject]int{}
	var visit func(o *pgObject)
	visit = func(o *pgObject) {
		if state[o] == 1 {
			r.omit("the order in which %s %s and what needs it can be made: they need each other", o.Kind, o.Name)
		}
		if state[o] != 0 {
			return
		}
		state[o] = 1
		var needs []*pgObject
		for n := range o.needs {
			needs = append(needs, n)
		}
		slices.SortFunc(needs, func(a, b *pgObject) int { return place[a] - place[b] })
		for _, n := range needs {
			visit(n)
		}
		state[o] = 2
		if len(o.SQL) > 0 { // the schema public is there before
			r.add(o.Object)
		}
	}
	for _, o := range r.objects {
		visit(o)
	}
}

// column is one of a table's.
type column struct {
	text, more string
}

// tables composes CREATE TABLE from the rows of the catalogs.
func (r *postgresReader) tables() error {
	replace := strings.NewReplacer("{mine}", pgMine, "{relation}", pgRelation).Replace
	heads, err := table(r.ctx, r.tx, replace(pgTables))
	if err != nil {
		return err
	}
	columns, err := r.grouped(replace(pgColumns))
	if err != nil {
		return err
	}
	constraints, err := r.grouped(replace(pgInline))
	if err != nil {
		return err
	}
	for _, h := range heads {
		oid, name, create, tail := h[0], h[1], h[2], h[3]
		var parts []string
		var more []string
		for _, c := range columns[oid] {
			if c.text != "" {
				parts = append(parts, "    "+c.text)
			}
			if c.more != "" {
				more = append(more, strings.Split(c.more, "\x01")...)
			}
		}
		for _, c := range constraints[oid] {
			parts = append(parts, "    "+c.text)
		}
		body := " (\n" + strings.Join(parts, ",\n") + "\n)"
		if len(parts) == 0 {
			body = " ()"
		}
		o := &pgObject{Object: Object{Kind: "table", Name: name, SQL: append([]string{create + " " + name + body + tail}, more...)}, rank: rankTable}
		for _, text := range h[4:] {
			if text != "" {
				o.SQL = append(o.SQL, text)
			}
		}
		r.put(pgKey{"pg_class", oid}, o)
	}
	return nil
}

// grouped reads rows of oid, text and more, by the oid.
func (r *postgresReader) grouped(query string) (map[string][]column, error) {
	rows, err := table(r.ctx, r.tx, query)
	all := map[string][]column{}
	for _, row := range rows {
		all[row[0]] = append(all[row[0]], column{text: row[1], more: row[2]})
	}
	return all, err
}

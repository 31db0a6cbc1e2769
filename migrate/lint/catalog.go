package lint

import (
	"slices"
	"strings"
)

// catalog is what the scripts so far have made. What was there before the first of them isn't known.
type catalog struct {
	tables   map[string]*table // by key of the name
	indexes  map[string]*table // the tables of indexes, by the index's key
	triggers map[string]*table // and of triggers
	domains  map[string]bool   // those with a constraint; PostgreSQL
}

func newCatalog() catalog {
	return catalog{map[string]*table{}, map[string]*table{}, map[string]*table{}, map[string]bool{}}
}

// table is what is known of one.
type table struct {
	born        *script // what has created it, nil if it was there before
	whole       bool    // all its columns and indexes are known, not only what was added
	columns     map[string]column
	indexes     []index
	foreign     []foreignKey
	checks      map[string]check // by name
	triggers    map[string]bool
	partitioned bool
}

// index is one, or what a primary key or unique constraint makes.
type index struct {
	name    string
	columns []string // "" for an expression
	unique  bool
	implied bool // by a constraint
	where   bool
}

// check is a CHECK, with its column if it says column IS NOT NULL.
type check struct {
	column string
	valid  bool
}

// foreignKey is kept until the end, when it is known whether its columns have an index.
type foreignKey struct {
	columns []string
	by      *stmt
	script  *script
}

func (c catalog) table(n name) *table { return c.tables[n.key()] }

// known returns what is known of a table, and begins to keep it for one that was there before.
func (c catalog) known(n name) *table {
	t := c.tables[n.key()]
	if t == nil {
		t = &table{columns: map[string]column{}, checks: map[string]check{}}
		c.tables[n.key()] = t
	}
	return t
}

// column returns what is known of a column.
func (c catalog) column(tableName, columnName name) (column, bool) {
	t := c.table(tableName)
	if t == nil {
		return column{}, false
	}
	col, ok := t.columns[columnName.key()]
	return col, ok
}

// index returns the table of an index, nil if it isn't known.
func (c catalog) index(n name) *table { return c.indexes[n.key()] }

// addIndex keeps an index that has a name of its own.
func (c catalog) addIndex(t *table, i index) {
	t.indexes = append(t.indexes, i)
	if i.name != "" {
		c.indexes[i.name] = t
	}
}

func (c catalog) apply(s *stmt, by *script) {
	switch s.verb {
	case createTable:
		c.create(s, by)
	case createIndex:
		if len(s.table.parts) > 0 {
			t := c.known(s.table)
			c.addIndex(t, index{name: s.indexName().key(), columns: keys(s.list), unique: s.unique, where: s.where != nil})
		}
	case createOther:
		if s.object == "trigger" && len(s.table.parts) > 0 && len(s.names) > 0 {
			t := c.known(s.table)
			if t.triggers == nil {
				t.triggers = map[string]bool{}
			}
			t.triggers[s.names[0].key()] = true
			c.triggers[s.names[0].key()] = t
		}
		if s.object == "materialized view" && len(s.names) > 0 {
			c.tables[s.names[0].key()] = &table{born: by, columns: map[string]column{}, checks: map[string]check{}}
		}
		c.domain(s)
	case alterOther:
		c.domain(s)
	case drop:
		c.drop(s)
	case alterTable, renameTable:
		for i := range s.actions {
			c.alter(s, &s.actions[i], by)
		}
	}
}

// domain keeps one that has a constraint.
func (c catalog) domain(s *stmt) {
	if s.object == "domain" && len(s.names) > 0 && (s.options.has("check") || s.options.has("not", "null") && !s.options.has("drop")) {
		c.domains[s.names[0].key()] = true
	}
}

// indexName returns the index's name, empty without one.
func (s *stmt) indexName() name {
	if s.verb == createIndex && len(s.names) > 0 {
		return s.names[0]
	}
	return name{}
}

func (c catalog) create(s *stmt, by *script) {
	key := s.table.key()
	if s.ifNotExists && c.tables[key] != nil {
		return
	}
	t := &table{born: by, columns: map[string]column{}, checks: map[string]check{}}
	t.whole = !s.query && !s.like && !s.partitionOf
	t.partitioned = s.options.has("partition", "by")
	c.tables[key] = t
	for _, col := range s.columns {
		t.addColumn(s, col, by)
	}
	for i := range s.constraints {
		c.addConstraint(t, s, &s.constraints[i], by)
	}
}

func (t *table) addColumn(s *stmt, col column, by *script) {
	key := col.name.key()
	t.columns[key] = col
	if col.primary || col.unique {
		t.indexes = append(t.indexes, index{columns: []string{key}, unique: true, implied: true})
	}
	if len(col.references.parts) > 0 {
		t.foreign = append(t.foreign, foreignKey{[]string{key}, s, by})
	}
}

func (c catalog) addConstraint(t *table, s *stmt, k *constraint, by *script) {
	switch k.kind {
	case "primary key", "unique":
		c.addIndex(t, index{name: k.name.key(), columns: keys(k.columns), unique: true, implied: true})
	case "index":
		c.addIndex(t, index{name: k.name.key(), columns: keys(k.columns)})
	case "foreign key":
		t.foreign = append(t.foreign, foreignKey{keys(k.columns), s, by})
	case "check":
		t.checks[k.name.key()] = check{notNullCheck(k.expression), !k.notValid}
	}
}

// notNullCheck returns the column of an expression that says column IS NOT NULL and no more.
func notNullCheck(expression tokens) string {
	c := &cursor{tokens: expression}
	if inside, ok := c.group(); ok && c.end() {
		c = &cursor{tokens: inside}
	}
	if n, ok := c.name(); ok && c.word("is", "not", "null") && c.end() {
		return n.key()
	}
	return ""
}

func (c catalog) drop(s *stmt) {
	for _, n := range s.names {
		switch s.object {
		case "table", "materialized view":
			delete(c.tables, n.key())
		case "index":
			c.dropIndex(n.key(), s.table)
		case "trigger":
			if t := c.triggers[n.key()]; t != nil {
				delete(t.triggers, n.key())
			}
		}
	}
}

// dropIndex drops an index by its name, in MySQL that of the table.
func (c catalog) dropIndex(key string, of name) {
	t := c.indexes[key]
	if len(of.parts) > 0 {
		t = c.table(of)
	}
	if t != nil {
		t.indexes = slices.DeleteFunc(t.indexes, func(i index) bool { return i.name == key && !i.implied })
	}
}

func (c catalog) alter(s *stmt, a *action, by *script) {
	if a.kind == "rename table" {
		from := s.table
		if s.verb == renameTable {
			from = a.column
		}
		if t := c.table(from); t != nil {
			delete(c.tables, from.key())
			c.tables[a.to.key()] = t
		}
		return
	}
	t := c.known(s.table)
	key := a.column.key()
	switch a.kind {
	case "add column":
		t.addColumn(s, a.def, by)
	case "drop column":
		delete(t.columns, key)
		t.indexes = slices.DeleteFunc(t.indexes, func(i index) bool { return slices.Contains(i.columns, key) })
		t.foreign = slices.DeleteFunc(t.foreign, func(f foreignKey) bool { return slices.Contains(f.columns, key) })
	case "alter type":
		if col, ok := t.columns[key]; ok {
			col.typ = a.def.typ
			t.columns[key] = col
		}
	case "set not null", "drop not null":
		if col, ok := t.columns[key]; ok {
			col.notNull = a.kind == "set not null"
			t.columns[key] = col
		}
	case "modify column":
		delete(t.columns, key)
		t.columns[a.to.key()] = a.def
		t.rename(key, a.to.key())
	case "rename column":
		if col, ok := t.columns[key]; ok {
			delete(t.columns, key)
			col.name = a.to
			t.columns[a.to.key()] = col
		}
		t.rename(key, a.to.key())
	case "add constraint":
		c.addConstraint(t, s, &a.constraint, by)
	case "validate":
		if k, ok := t.checks[a.constraint.name.key()]; ok {
			k.valid = true
			t.checks[a.constraint.name.key()] = k
		}
	case "drop constraint":
		delete(t.checks, a.constraint.name.key())
		t.indexes = slices.DeleteFunc(t.indexes, func(i index) bool { return i.name != "" && i.name == a.constraint.name.key() })
	case "drop index":
		t.indexes = slices.DeleteFunc(t.indexes, func(i index) bool { return i.name == key })
	}
}

// rename renames a column where it is listed.
func (t *table) rename(from, to string) {
	for _, i := range t.indexes {
		for j := range i.columns {
			if i.columns[j] == from {
				i.columns[j] = to
			}
		}
	}
}

// provenNotNull tells whether a valid CHECK says that a column has no NULL.
func (t *table) provenNotNull(column string) bool {
	for _, k := range t.checks {
		if k.valid && k.column == column {
			return true
		}
	}
	return false
}

// checked tells whether the table has a valid CHECK.
func (t *table) checked() bool {
	if t != nil {
		for _, k := range t.checks {
			if k.valid {
				return true
			}
		}
	}
	return false
}

// has tells whether all the columns are known.
func (t *table) has(columns []string) bool {
	for _, column := range columns {
		if _, ok := t.columns[column]; !ok {
			return false
		}
	}
	return true
}

// indexed tells whether an index begins with these columns, in any order.
func (t *table) indexed(columns []string) bool {
	for _, i := range t.indexes {
		if len(i.columns) < len(columns) {
			continue
		}
		begins := true
		for _, column := range i.columns[:len(columns)] {
			begins = begins && slices.Contains(columns, column)
		}
		if begins {
			return true
		}
	}
	return false
}

// uses returns what of the table's indexes, keys and constraints a column is part of, empty if nothing.
func (t *table) uses(column string) string {
	for _, i := range t.indexes {
		if slices.Contains(i.columns, column) {
			switch {
			case !i.implied:
				return "the index " + i.name
			default:
				return "a primary key or a unique constraint"
			}
		}
	}
	for _, f := range t.foreign {
		if slices.Contains(f.columns, column) {
			return "a foreign key"
		}
	}
	return ""
}

// widens tells whether PostgreSQL changes one type to another without reading a row: every value stays as it is, byte by byte.
// Tried on PostgreSQL 15, by whether the table got another file.
func widens(from, to typ) bool {
	switch {
	case from.String() == to.String(), from.String() == "cidr" && to.String() == "inet":
		return true
	case from.array || to.array:
		return false
	case to.String() == "text" || to.String() == "varchar":
		return from.name == "text" || from.name == "varchar"
	case from.name != to.name:
		return false
	}
	switch from.name {
	case "varchar", "varbit", "bit varying", "time", "interval", "timestamp", "timestamp with time zone":
		return len(to.args) == 0 || len(from.args) > 0 && number(to.args) >= number(from.args)
	case "numeric":
		return len(to.args) == 0 || len(from.args) > 0 && number(to.args) >= number(from.args) && scale(to) == scale(from)
	}
	return false
}

// scale returns that of a numeric, 0 if it says none.
func scale(t typ) int {
	if items := t.args.commas(); len(items) > 1 {
		return number(items[1])
	}
	return 0
}

// number reads the first number of a list, 0 without one.
func number(list tokens) (n int) {
	for _, digit := range strings.TrimSpace(list.get(0).Text) {
		if digit < '0' || digit > '9' || n > 1<<24 {
			return n
		}
		n = n*10 + int(digit-'0')
	}
	return n
}

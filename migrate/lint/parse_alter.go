package lint

import (
	"strings"

	"github.com/buffkit/buffkit/migrate/dialect"
	"github.com/buffkit/buffkit/migrate/lexer"
)

func (s *stmt) parseAlter(c *cursor) {
	for word := "first"; word != ""; word = c.oneOf("online", "ignore", "offline") {
		s.ignore = s.ignore || word == "ignore"
	}
	if !c.word("table") {
		s.verb = alterOther
		if s.object = c.kindOf(); s.object == "" {
			s.object = "other"
		}
		c.word("if", "exists")
		if n, ok := c.name(); ok {
			s.names = []name{n}
		}
		s.options = c.rest()
		return
	}
	s.verb, s.object = alterTable, "table"
	s.ifExists = c.word("if", "exists")
	c.word("only")
	s.table, _ = c.name()
	s.names = []name{s.table}
	c.punct("*")
	if c.word("nowait") { // MariaDB
		s.nowait = true
	} else if c.word("wait") {
		s.nowait = true
		c.next()
	}
	for _, item := range c.rest().commas() {
		a := &cursor{tokens: item}
		for i := 0; !a.end() && i < len(item); i++ {
			s.actions = append(s.actions, s.parseAction(a)...)
		}
	}
}

// parseAction takes one clause. MySQL's options may follow each other without commas, so a clause may leave some tokens.
func (s *stmt) parseAction(c *cursor) []action {
	a := action{token: c.peek()}
	switch {
	case c.word("add"):
		return a.parseAdd(c)
	case c.word("drop"):
		a.parseDrop(c)
	case c.word("alter"):
		a.parseAlterColumn(c, s.dialect)
	case c.word("modify"), c.word("change"):
		a.parseModify(c)
	case c.word("rename"):
		a.parseRename(c)
	case c.word("validate", "constraint"):
		a.kind = "validate"
		a.constraint.name, _ = c.name()
	case c.word("algorithm"):
		a.kind = "algorithm"
		c.punct("=")
		s.algorithm = strings.ToLower(c.next().Text)
	case c.word("lock"):
		a.kind = "lock"
		c.punct("=")
		s.lock = strings.ToLower(c.next().Text)
	default:
		a.parseOther(c)
	}
	if a.kind == "" {
		a.kind = "other"
		c.rest()
	}
	return []action{a}
}

func (a action) parseAdd(c *cursor) (all []action) {
	start := c.at
	c.word("if", "not", "exists")
	if c.word("partition") {
		a.kind = "add partition"
		if c.rest().get(0).Is("partitions") { // of HASH and KEY, whose rows are spread anew
			a.kind = "rebuild partition"
		}
		return []action{a}
	}
	if k, ok := parseConstraint(c); ok && !c.tokens.get(start).Is("column") {
		a.kind, a.constraint = "add constraint", k
		return []action{a}
	}
	c.at = start
	c.word("column")
	a.ifExists = c.word("if", "not", "exists")
	if list, ok := c.group(); ok { // MySQL: ADD COLUMN (a int, b int)
		for _, item := range list.commas() {
			sub := &cursor{tokens: item}
			all = append(all, a.addColumn(sub)...)
		}
		return all
	}
	return a.addColumn(c)
}

func (a action) addColumn(c *cursor) []action {
	col, ok := parseColumn(c)
	if !ok {
		c.rest()
		a.kind = "other"
		return []action{a}
	}
	a.kind, a.def, a.column = "add column", col, col.name
	return []action{a}
}

func (a *action) parseDrop(c *cursor) {
	switch {
	case c.word("primary", "key"):
		a.kind = "drop primary key"
	case c.word("foreign", "key"), c.word("constraint"), c.word("check"):
		a.kind = "drop constraint"
		a.ifExists = c.word("if", "exists")
		a.constraint.name, _ = c.name()
	case c.word("partition"):
		a.kind = "drop partition"
		a.ifExists = c.word("if", "exists")
		a.column, _ = c.name()
		c.rest()
	case c.seesOneOf("index", "key") && isName(c.get(c.at+1)):
		c.at++
		a.kind = "drop index"
		a.ifExists = c.word("if", "exists")
		a.column, _ = c.name()
	case c.word("system"), c.word("period"), c.word("expression"):
		a.kind = "other"
		c.rest()
	default:
		c.word("column")
		a.ifExists = c.word("if", "exists")
		a.kind = "drop column"
		a.column, _ = c.name()
	}
	a.cascade = c.oneOf("cascade", "restrict") == "cascade"
}

func (a *action) parseAlterColumn(c *cursor, d dialect.Dialect) {
	if c.seesOneOf("index", "constraint", "check") {
		a.kind = "other"
		c.rest()
		return
	}
	c.word("column")
	a.column, _ = c.name()
	switch {
	case c.word("type"), c.word("set", "data", "type"):
		a.kind = "alter type"
		a.def.typ = parseType(c)
		if i := c.tokens[min(c.at, len(c.tokens)):].find("using"); i >= 0 {
			a.value = c.tokens[c.at+i+1:]
		}
		c.rest()
	case c.word("set", "expression"):
		a.kind = "set expression"
		c.rest()
	case c.word("set", "not", "null"):
		a.kind = "set not null"
	case c.word("drop", "not", "null"):
		a.kind = "drop not null"
	case c.word("set", "default"):
		a.kind = "set default"
		a.value = c.rest()
	case c.word("drop", "default"):
		a.kind = "drop default"
	case c.word("add", "generated"):
		a.kind = "add identity"
		c.rest()
	case d == dialect.Postgres && c.word("set", "storage"), c.word("set", "statistics"), c.word("set", "compression"):
		a.kind = "other"
		c.rest()
	}
}

// parseModify takes MySQL's MODIFY name definition and CHANGE old new definition.
func (a *action) parseModify(c *cursor) {
	a.kind = "modify column"
	c.word("column")
	c.word("if", "exists")
	if a.token.Is("change") {
		a.column, _ = c.name()
		a.to = a.column
	}
	a.def, _ = parseColumn(c)
	if a.token.Is("change") {
		a.to = a.def.name
	} else {
		a.column, a.to = a.def.name, a.def.name
	}
}

func (a *action) parseRename(c *cursor) {
	switch {
	case c.seesOneOf("constraint", "index", "key") && !c.get(c.at+1).Is("to"):
		c.at++
		a.kind = "rename constraint"
		a.column, _ = c.name()
		c.word("to")
		a.to, _ = c.name()
	case c.word("to"), c.word("as"):
		a.kind = "rename table"
		a.to, _ = c.name()
	default:
		c.word("column")
		n, _ := c.name()
		if c.word("to") {
			a.kind, a.column = "rename column", n
			a.to, _ = c.name()
		} else { // MySQL: RENAME new_name
			a.kind, a.to = "rename table", n
		}
	}
}

// parseOther takes clauses that are about the table as a whole.
func (a *action) parseOther(c *cursor) {
	switch {
	case c.word("attach", "partition"):
		a.kind = "attach partition"
		a.to, _ = c.name()
		c.rest()
	case c.word("detach", "partition"):
		a.kind = "detach partition"
		a.to, _ = c.name()
		a.concurrent = c.rest().has("concurrently")
	case c.word("disable", "trigger"):
		a.kind = "disable trigger"
		a.column, _ = c.name()
	case c.word("set", "tablespace"), c.word("set", "logged"), c.word("set", "unlogged"), c.word("set", "access", "method"):
		a.kind = "set storage"
		c.rest()
	case c.word("convert", "to"):
		a.kind = "convert charset"
		a.value = c.rest()
	case c.word("partition", "by"), c.word("remove", "partitioning"):
		a.kind = "partition by"
		c.rest()
	case c.word("order", "by"):
		a.kind = "order by"
		c.rest()
	case c.word("discard"):
		a.kind = "discard"
		c.rest()
	case c.word("truncate", "partition"):
		a.kind = "truncate partition"
		a.column, _ = c.name()
		c.rest()
	case c.seesOneOf("reorganize", "coalesce", "rebuild", "optimize", "exchange") && c.get(c.at+1).Is("partition"):
		a.kind = "rebuild partition"
		c.rest()
	case c.word("force"):
		if !c.oneOfFollows("row") {
			a.kind = "rebuild"
		}
	case c.seesOneOf("engine", "row_format", "key_block_size", "encryption"):
		a.kind = strings.ToLower(c.next().Text)
		c.punct("=")
		a.value = tokens{c.next()}
	case c.word("default", "character", "set"), c.word("character", "set"), c.word("default", "charset"), c.word("charset"):
		a.kind = "default charset"
		c.punct("=")
		a.value = tokens{c.next()}
	case c.seesOneOf("auto_increment", "comment", "collate", "stats_persistent", "default") && c.get(c.at+1).Kind != 0:
		a.kind = "option"
		c.next()
		c.punct("=")
		c.next()
	case c.peek().Kind == lexer.Word && c.get(c.at+1).Text == "=":
		a.kind = "option"
		c.at += 3
	}
}

// oneOfFollows takes a word and what stands behind it: FORCE ROW LEVEL SECURITY.
func (c *cursor) oneOfFollows(word string) bool {
	if !c.word(word) {
		return false
	}
	c.rest()
	return true
}

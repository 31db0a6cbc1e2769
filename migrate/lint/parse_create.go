package lint

import (
	"github.com/buffkit/buffkit/migrate/dialect"
)

func (s *stmt) parseCreate(c *cursor) {
	s.replace = c.word("or", "replace")
	s.createModifiers(c)
	s.unique = c.word("unique")
	for _, method := range []string{"fulltext", "spatial"} {
		if c.word(method) {
			s.method = method
		}
	}
	c.oneOf("online", "offline", "clustered")
	switch {
	case c.word("table"):
		s.parseCreateTable(c)
	case c.word("index"):
		s.parseCreateIndex(c)
	default:
		s.parseCreateOther(c)
	}
}

// createModifiers takes what may stand between CREATE and the kind of an object.
func (s *stmt) createModifiers(c *cursor) {
	for !c.end() {
		switch {
		case c.oneOf("temporary", "temp") != "":
			s.temporary = true
		case c.oneOf("global", "local", "unlogged", "recursive", "constraint", "virtual", "trusted", "aggregate") != "":
		case c.word("definer"), c.word("sql", "security"), c.word("algorithm"):
			c.expr("sql", "algorithm", "definer", "view", "function", "procedure", "trigger", "event", "aggregate")
		default:
			return
		}
	}
}

func (s *stmt) parseCreateOther(c *cursor) {
	s.verb = createOther
	if s.object = c.kindOf(); s.object == "" {
		s.object = "other"
	}
	s.ifNotExists = c.word("if", "not", "exists")
	if n, ok := c.name(); ok {
		s.names = []name{n}
	}
	if s.object == "trigger" {
		if i := c.tokens[min(c.at, len(c.tokens)):].find("on"); i >= 0 {
			on := &cursor{tokens: c.tokens, at: c.at + i + 1}
			s.table, _ = on.name()
		}
	}
	s.options = c.rest()
}

func (s *stmt) parseCreateTable(c *cursor) {
	s.verb, s.object = createTable, "table"
	s.ifNotExists = c.word("if", "not", "exists")
	s.table, _ = c.name()
	s.names = []name{s.table}
	switch {
	case c.word("partition", "of"):
		s.partitionOf = true
	case c.word("of"), c.word("like"):
		s.like = true
	case c.seesOneOf("as", "select", "with"):
		s.query = true
	}
	if inside, ok := c.group(); ok && !s.partitionOf {
		if inside.get(0).Is("select") {
			s.query = true
		}
		s.defineTable(inside)
	}
	s.options = c.rest()
	s.like = s.like || s.options.has("inherits")
	s.query = s.query || s.options.has("select") || s.options.has("as")
}

// defineTable reads the columns and constraints of a table.
func (s *stmt) defineTable(list tokens) {
	for _, item := range list.commas() {
		c := &cursor{tokens: item}
		if c.word("like") {
			s.like = true
			continue
		}
		if k, ok := parseConstraint(c); ok {
			s.constraints = append(s.constraints, k)
		} else if col, ok := parseColumn(c); ok {
			s.columns = append(s.columns, col)
		}
	}
}

func (s *stmt) parseCreateIndex(c *cursor) {
	s.verb, s.object = createIndex, "index"
	s.concurrently = c.word("concurrently")
	s.ifNotExists = c.word("if", "not", "exists")
	if !c.sees("on") {
		if n, ok := c.name(); ok {
			s.names = []name{n}
		}
	}
	if c.word("using") { // MySQL, before ON
		c.next()
	}
	if !c.word("on") {
		return
	}
	s.only = c.word("only")
	s.table, _ = c.name()
	if c.word("using") {
		s.method = c.next().Text
	}
	s.list, _ = c.group()
	s.options = c.rest()
	s.algorithms(s.options)
	if i := s.options.find("where"); i >= 0 && s.dialect != dialect.MySQL {
		s.where = s.options[i+1:]
	}
}

// parseConstraint takes a table's constraint or index. It takes nothing if the item is a column.
func parseConstraint(c *cursor) (k constraint, ok bool) {
	start := c.at
	k.token = c.peek()
	if c.word("constraint") {
		if !c.seesOneOf("primary", "unique", "foreign", "check", "exclude", "not") || c.get(c.at+1).Is("primary") {
			k.name, _ = c.name()
		}
	}
	if k.kind = constraintKind(c); k.kind == "" {
		c.at = start
		return k, false
	}
	k.body(c)
	return k, true
}

func constraintKind(c *cursor) string {
	column := len(c.tokens) > c.at+1 && !isPunct(c.get(c.at+1), "(") // (key text, …) has a column named key
	switch {
	case c.word("primary", "key"):
		return "primary key"
	case c.word("unique"):
		c.oneOf("key", "index")
		return "unique"
	case c.word("foreign", "key"):
		return "foreign key"
	case c.word("check"):
		return "check"
	case c.word("exclude"):
		return "exclude"
	case c.word("not", "null"):
		return "not null"
	case c.seesOneOf("fulltext", "spatial") && column:
		word := c.oneOf("fulltext", "spatial")
		c.oneOf("key", "index")
		return word
	case c.seesOneOf("index", "key") && isIndexItem(c):
		c.at++
		return "index"
	}
	return ""
}

// isIndexItem tells INDEX name (columns) and INDEX (columns) from a column that is named index or key.
func isIndexItem(c *cursor) bool {
	try := &cursor{tokens: c.tokens, at: c.at + 1}
	if inside, ok := try.group(); ok {
		return len(inside) > 0
	}
	if try.word("if", "not", "exists") || try.seesOneOf("using") {
		return true
	}
	try.name()
	if try.word("using") {
		return true
	}
	inside, ok := try.group()
	return ok && len(inside) > 0 && inside.get(0).Kind != 0 && !isNumber(inside)
}

// isNumber tells a type's length from a list of columns: key varchar(20) is a column.
func isNumber(inside tokens) bool {
	t := inside.get(0).Text
	return t != "" && t[0] >= '0' && t[0] <= '9' || t != "" && t[0] == '\''
}

// body takes what follows the kind.
func (k *constraint) body(c *cursor) {
	c.word("if", "not", "exists")
	switch k.kind {
	case "check":
		k.expression, _ = c.group()
	case "exclude":
		if c.word("using") {
			c.next()
		}
		k.expression, _ = c.group()
	case "not null":
		if n, ok := c.name(); ok {
			k.columns = tokens(n.parts)
		}
	default:
		if c.word("nulls") {
			c.word("not")
			c.word("distinct")
		}
		k.usingIndex = c.word("using", "index")
		if !k.usingIndex && !c.sees("using") {
			if n, ok := c.name(); ok && len(k.name.parts) == 0 {
				k.name = n
			}
		}
		if c.word("using") {
			c.next()
		}
		k.columns, _ = c.group()
	}
	k.tail(c.rest())
}

func (k *constraint) tail(rest tokens) {
	c := &cursor{tokens: rest}
	if c.word("references") {
		k.references, _ = c.name()
	}
	k.notValid = rest.has("not", "valid") || rest.has("not", "enforced")
}

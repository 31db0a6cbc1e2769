package lint

import (
	"strings"

	"github.com/buffkit/buffkit/migrate/dialect"
	"github.com/buffkit/buffkit/migrate/lexer"
)

// parse recognizes what the statement does. What it doesn't know stays other.
func (s *stmt) parse() {
	c := &cursor{tokens: s.tokens}
	switch {
	case c.word("create"):
		s.parseCreate(c)
	case c.word("alter"):
		s.parseAlter(c)
	case c.word("drop"):
		s.parseDrop(c)
	case c.word("truncate"):
		s.parseTruncate(c)
	case c.word("rename", "table"), c.word("rename", "tables"):
		s.parseRename(c)
	case c.word("comment", "on"):
		s.verb = comment
	case c.word("do"), c.word("call"):
		s.verb = callOrDo
	default:
		if !s.parseRows(c) && !s.parseSession(c) {
			s.parseMaintenance(c)
		}
	}
}

// parseRows recognizes what reads and writes rows.
func (s *stmt) parseRows(c *cursor) bool {
	if c.word("with") {
		s.skipCTEs(c)
	}
	switch {
	case c.word("select"), c.word("values"):
		s.verb = selectFrom
		s.selectInto(c)
	case c.word("insert"), c.word("replace"):
		s.parseInsert(c)
	case c.word("update"):
		s.parseUpdate(c)
	case c.word("delete"):
		s.parseDelete(c)
	default:
		return false
	}
	return true
}

// skipCTEs goes behind WITH a AS (…), b AS (…).
func (s *stmt) skipCTEs(c *cursor) {
	for !c.end() && !c.seesOneOf("select", "insert", "replace", "update", "delete", "values", "merge") {
		c.skip()
	}
}

// selectInto recognizes PostgreSQL's SELECT … INTO table, which creates one.
func (s *stmt) selectInto(c *cursor) {
	i := c.tokens[min(c.at, len(c.tokens)):].find("into")
	if s.dialect != dialect.Postgres || i < 0 {
		return
	}
	into := &cursor{tokens: c.tokens, at: c.at + i + 1}
	s.temporary = into.oneOf("temporary", "temp") != ""
	into.oneOf("unlogged")
	into.word("table")
	if n, ok := into.name(); ok {
		s.verb, s.table, s.query = createTable, n, true
		s.names = []name{n}
	}
}

func (s *stmt) parseInsert(c *cursor) {
	s.verb = insert
	s.replace = s.first().Is("replace") || c.word("or", "replace")
	for c.oneOf("or", "abort", "fail", "ignore", "rollback", "low_priority", "delayed", "high_priority", "overwriting") != "" {
	}
	c.word("into")
	s.table, _ = c.name()
	if c.word("as") {
		c.name()
	}
	s.list, s.listed = c.group()
	if s.listed && s.list.get(0).Is("select") {
		s.list, s.listed, s.query = nil, false, true
	}
	rest := c.rest()
	s.query = s.query || rest.has("select") || rest.has("table")
	s.listed = s.listed || rest.get(0).Is("default") || rest.get(0).Is("set")
}

func (s *stmt) parseUpdate(c *cursor) {
	s.verb = update
	for c.oneOf("or", "abort", "fail", "ignore", "rollback", "replace", "low_priority", "only") != "" {
	}
	before := c.tokens[min(c.at, len(c.tokens)):]
	s.table, _ = c.name()
	if i := before.find("set"); i >= 0 {
		s.from = len(before[:i].commas())
		if before[:i].has("join") {
			s.from++
		}
		c.at = len(c.tokens) - len(before) + i
	}
	s.findWhere(c)
}

func (s *stmt) parseDelete(c *cursor) {
	s.verb = deleteFrom
	for c.oneOf("low_priority", "quick", "ignore") != "" {
	}
	c.word("from")
	c.word("only")
	s.table, _ = c.name()
	s.findWhere(c)
	if rest := c.tokens[min(c.at, len(c.tokens)):]; rest.has("using") || rest.has("join") {
		s.from = 2
	}
}

// findWhere keeps what follows WHERE, also that of a join, which limits rows as well.
func (s *stmt) findWhere(c *cursor) {
	rest := c.tokens[min(c.at, len(c.tokens)):]
	if i := rest.find("where"); i >= 0 {
		s.where = rest[i+1:]
	}
	if rest.has("limit") {
		s.where = append(s.where[:len(s.where):len(s.where)], rest[rest.find("limit"):]...)
	}
}

// parseSession recognizes transactions and settings.
func (s *stmt) parseSession(c *cursor) bool {
	switch {
	case c.word("begin", "not", "atomic"): // MariaDB's block
		s.verb = callOrDo
	case c.word("begin"), c.word("start", "transaction"):
		s.verb = begin
	case c.word("commit"), c.word("end"):
		s.verb = commit
	case c.word("rollback", "to"), c.word("savepoint"), c.word("release"):
	case c.word("rollback"), c.word("abort"):
		s.verb = rollback
	case c.word("set"):
		s.parseSet(c)
	case c.word("pragma"):
		s.parsePragma(c)
	default:
		return false
	}
	return true
}

func (s *stmt) parseSet(c *cursor) {
	s.verb = set
	s.local = c.word("local")
	c.oneOf("session", "global", "persist")
	t := c.next()
	s.setting = strings.ToLower(unquote(t))
	if t.Kind == lexer.Variable {
		s.setting = strings.TrimPrefix(strings.ToLower(t.Text), "@@")
		for _, scope := range []string{"session.", "global.", "local."} {
			s.setting = strings.TrimPrefix(s.setting, scope)
		}
	}
	for c.punct(".") {
		s.setting = strings.ToLower(unquote(c.next()))
	}
	if c.peek().Is("to") || strings.HasSuffix(c.peek().Text, "=") {
		c.next()
	}
	s.value = c.rest()
}

func (s *stmt) parsePragma(c *cursor) {
	s.verb = pragma
	n, _ := c.name()
	s.setting = strings.ToLower(unquote(n.last()))
	if inside, ok := c.group(); ok {
		s.value = inside
	} else if c.punct("=") {
		s.value = c.rest()
	}
}

// parseMaintenance recognizes what works on whole tables without changing them.
func (s *stmt) parseMaintenance(c *cursor) {
	switch {
	case c.word("vacuum"):
		s.verb = vacuum
		if inside, ok := c.group(); ok {
			s.full = inside.has("full")
		}
		for word := "x"; word != ""; word = c.oneOf("full", "freeze", "verbose", "analyze") {
			s.full = s.full || word == "full"
		}
		s.table, _ = c.name()
	case c.word("cluster"):
		s.verb = cluster
		c.group()
		c.word("verbose")
		s.table, _ = c.name()
		if c.word("on") { // CLUSTER index ON table, as it was
			s.table, _ = c.name()
		}
	case c.word("reindex"):
		s.parseReindex(c)
	case c.word("refresh", "materialized", "view"):
		s.verb = refresh
		s.concurrently = c.word("concurrently")
		s.table, _ = c.name()
		s.value = c.rest()
	case c.word("optimize"):
		s.verb = optimize
		c.oneOf("no_write_to_binlog", "local")
		c.oneOf("table", "tables")
		s.table, _ = c.name()
	case c.word("lock"):
		s.verb = lockTable
		c.oneOf("table", "tables")
		c.word("only")
		s.table, _ = c.name()
		s.value = c.rest()
		s.nowait = s.value.has("nowait")
	}
}

func (s *stmt) parseReindex(c *cursor) {
	s.verb = reindex
	inside, _ := c.group()
	s.object = c.oneOf("index", "table", "schema", "database", "system")
	s.concurrently = c.word("concurrently") || inside.has("concurrently")
	if n, ok := c.name(); ok {
		s.names = []name{n}
		if s.object == "table" {
			s.table = n
		}
	}
}

// objects are the kinds that CREATE, ALTER and DROP know, those of two words first.
var objects = [][]string{
	{"materialized", "view"}, {"foreign", "table"}, {"event", "trigger"}, {"foreign", "data", "wrapper"}, {"access", "method"},
	{"operator", "class"}, {"operator", "family"}, {"text", "search"}, {"user", "mapping"}, {"default", "privileges"},
	{"table"}, {"index"}, {"view"}, {"sequence"}, {"schema"}, {"database"}, {"type"}, {"domain"}, {"function"}, {"procedure"},
	{"routine"}, {"aggregate"}, {"trigger"}, {"rule"}, {"extension"}, {"role"}, {"user"}, {"group"}, {"policy"}, {"publication"},
	{"subscription"}, {"statistics"}, {"collation"}, {"conversion"}, {"cast"}, {"operator"}, {"language"}, {"tablespace"}, {"server"},
	{"event"}, {"owned"}, {"system"}, {"package"},
}

// kindOf takes the kind of an object.
func (c *cursor) kindOf() string {
	for _, words := range objects {
		if c.word(words...) {
			return strings.Join(words, " ")
		}
	}
	return ""
}

func (s *stmt) parseDrop(c *cursor) {
	s.verb = drop
	c.oneOf("temporary", "online")
	if s.object = c.kindOf(); s.object == "" {
		s.object = "other"
		return
	}
	s.concurrently = c.word("concurrently")
	s.ifExists = c.word("if", "exists")
	s.names = c.names()
	if s.object == "index" && c.word("on") { // MySQL
		s.table, _ = c.name()
	}
	if s.object == "table" && len(s.names) > 0 {
		s.table = s.names[0]
	}
	s.algorithms(c.tokens[min(c.at, len(c.tokens)):])
	s.cascade = c.rest().has("cascade")
}

func (s *stmt) parseTruncate(c *cursor) {
	s.verb = truncate
	c.word("table")
	c.word("only")
	s.names = c.names()
	if len(s.names) > 0 {
		s.table = s.names[0]
	}
	s.cascade = c.rest().has("cascade")
}

func (s *stmt) parseRename(c *cursor) {
	s.verb = renameTable
	for {
		c.word("if", "exists")
		from, ok := c.name()
		for !c.end() && !c.word("to") && !isPunct(c.peek(), ",") { // NOWAIT, WAIT n
			c.at++
		}
		to, ok2 := c.name()
		if !ok || !ok2 {
			return
		}
		s.actions = append(s.actions, action{kind: "rename table", column: from, to: to, token: from.token()})
		if !c.punct(",") {
			return
		}
	}
}

// algorithms finds MySQL's ALGORITHM = … and LOCK = … among options.
func (s *stmt) algorithms(options tokens) {
	c := &cursor{tokens: options}
	for !c.end() {
		switch {
		case c.word("algorithm"):
			c.punct("=")
			s.algorithm = strings.ToLower(c.next().Text)
		case c.word("lock"):
			c.punct("=")
			s.lock = strings.ToLower(c.next().Text)
		default:
			c.skip()
		}
	}
}

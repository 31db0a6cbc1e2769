package lint

import (
	"strings"

	"github.com/buffkit/buffkit/migrate/lexer"
)

// clauses are the words that follow a column's type.
var clauses = []string{
	"constraint", "not", "null", "default", "primary", "unique", "key", "check", "references", "generated", "as", "collate",
	"auto_increment", "autoincrement", "comment", "on", "first", "after", "invisible", "visible", "stored", "virtual", "persistent",
	"charset", "deferrable", "initially", "using", "storage", "compression", "column_format", "srid", "engine_attribute", "compressed",
}

// parseColumn takes the definition of a column.
func parseColumn(c *cursor) (col column, ok bool) {
	if col.name, ok = c.name(); !ok {
		return col, false
	}
	col.typ = parseType(c)
	col.parseClauses(c)
	if strings.HasSuffix(col.typ.name, "serial") && len(col.typ.name) <= len("bigserial") {
		col.auto = true
	}
	return col, true
}

// parseType takes words and lists in parentheses up to what can't belong to a type.
func parseType(c *cursor) (t typ) {
	t.token = c.peek()
	var words []string
	for first := true; !c.end(); first = false {
		token := c.peek()
		switch {
		case isPunct(token, "("):
			inside, _ := c.group()
			if t.args == nil {
				t.args = inside
			}
			continue
		case isPunct(token, "["):
			t.array = true
			c.at++
			continue
		case isPunct(token, "]"), isPunct(token, "."), token.Kind == lexer.Number && t.array:
			c.at++
			continue
		case c.sees("array"):
			t.array = true
			c.at++
			continue
		case token.Kind != lexer.Word && token.Kind != lexer.QuotedIdent, c.seesOneOf(clauses...),
			!first && c.sees("character", "set"), !first && c.sees("without", "system"), !first && c.sees("with", "system"):
			t.name = typeName(words)
			return t
		}
		words = append(words, strings.ToLower(unquote(c.next())))
	}
	t.name = typeName(words)
	return t
}

// synonyms are other names of types that rules ask for.
var synonyms = map[string]string{
	"character varying": "varchar", "character": "char", "bpchar": "char", "int4": "int", "integer": "int", "int8": "bigint", "int2": "smallint",
	"timestamp without time zone": "timestamp", "timestamptz": "timestamp with time zone", "time without time zone": "time",
	"timetz": "time with time zone", "float4": "real", "float8": "double precision", "double": "double precision", "decimal": "numeric",
	"dec": "numeric", "bool": "boolean", "serial4": "serial", "serial8": "bigserial", "serial2": "smallserial", "nchar": "char",
	"int unsigned": "int unsigned", "integer unsigned": "int unsigned", "national character varying": "varchar",
}

func typeName(words []string) string {
	name := strings.Join(words, " ")
	name = strings.TrimPrefix(name, "pg_catalog ")
	name = strings.TrimSuffix(name, " zerofill")
	if synonym, ok := synonyms[name]; ok {
		return synonym
	}
	return name
}

// String writes the type as it is compared and shown.
func (t typ) String() string {
	text, rest := t.name, ""
	for _, ending := range []string{" unsigned", " with time zone"} {
		if before, ok := strings.CutSuffix(t.name, ending); ok {
			text, rest = before, ending
		}
	}
	if len(t.args) > 0 {
		text += "(" + t.args.sql() + ")"
	}
	text += rest
	if t.array {
		text += "[]"
	}
	return text
}

// base is the type's name without unsigned.
func (t typ) base() string { return strings.TrimSuffix(t.name, " unsigned") }

// parseClauses takes what follows the type.
func (col *column) parseClauses(c *cursor) {
	for !c.end() {
		switch {
		case c.word("constraint"):
			c.name()
		case c.word("not", "null"):
			col.notNull = true
		case c.word("null"):
			col.null = true
		case c.word("default"):
			col.defaulted = c.expr(clauses...)
		case c.word("primary", "key"):
			col.primary = true
		case c.word("unique"):
			c.word("key")
			col.unique = true
		case c.word("auto_increment"):
			col.auto = true
		case c.word("autoincrement"):
			col.auto, col.autoincr = true, true
		case c.word("check"):
			inside, _ := c.group()
			col.checks = append(col.checks, inside)
		case c.word("references"):
			col.references, _ = c.name()
			c.group()
		case c.word("generated"), c.sees("as"):
			col.parseGenerated(c)
		case c.word("stored"), c.word("persistent"):
			col.stored = true
		case c.word("character", "set"), c.word("charset"):
			c.punct("=")
			col.charset = strings.ToLower(unquote(c.next()))
		case c.seesOneOf("first", "after"):
			col.position = c.next()
			if col.position.Is("after") {
				c.name()
			}
		case c.word("comment"), c.word("collate"):
			c.skip()
		default:
			c.skip()
		}
	}
}

// parseGenerated takes ALWAYS AS IDENTITY, BY DEFAULT AS IDENTITY, ALWAYS AS (…) and AS (…).
func (col *column) parseGenerated(c *cursor) {
	c.oneOf("always")
	c.word("by", "default")
	c.word("on", "null")
	if !c.word("as") {
		return
	}
	if c.word("identity") {
		col.auto = true
		c.group()
		return
	}
	if _, ok := c.group(); ok {
		col.generated = true
	}
}

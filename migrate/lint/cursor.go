package lint

import (
	"strings"

	"github.com/buffkit/buffkit/migrate/lexer"
)

// tokens are those that mean something to the server.
type (
	token  = lexer.Token
	tokens []token
)

// cursor goes through the tokens of a statement. Each of its methods either takes what it is asked for, or stays where it is.
type cursor struct {
	tokens
	at int
}

func (c *cursor) end() bool { return c.at >= len(c.tokens) }

// peek returns the next token, or the zero Token at the end.
func (c *cursor) peek() lexer.Token { return c.tokens.get(c.at) }

func (t tokens) get(i int) lexer.Token {
	if i < 0 || i >= len(t) {
		return lexer.Token{}
	}
	return t[i]
}

func (c *cursor) next() lexer.Token {
	t := c.peek()
	c.at++
	return t
}

// word takes all the words in their order, or none.
func (c *cursor) word(words ...string) bool {
	for i, w := range words {
		if !c.get(c.at + i).Is(w) {
			return false
		}
	}
	c.at += len(words)
	return true
}

// sees is word without taking them.
func (c *cursor) sees(words ...string) bool {
	if !c.word(words...) {
		return false
	}
	c.at -= len(words)
	return true
}

// oneOf takes one of the words and returns it as listed, "" if none is next.
func (c *cursor) oneOf(words ...string) string {
	for _, w := range words {
		if c.word(w) {
			return w
		}
	}
	return ""
}

// seesOneOf is oneOf without taking it.
func (c *cursor) seesOneOf(words ...string) bool {
	for _, w := range words {
		if c.peek().Is(w) {
			return true
		}
	}
	return false
}

// punct takes a parenthesis, a comma, a dot or an operator.
func (c *cursor) punct(text string) bool {
	if t := c.peek(); (t.Kind == lexer.Punct || t.Kind == lexer.Operator) && t.Text == text {
		c.at++
		return true
	}
	return false
}

// group takes a list in parentheses and returns what is within them. Without the closing one it goes to the end.
func (c *cursor) group() (inside tokens, ok bool) {
	if !c.punct("(") {
		return nil, false
	}
	start, depth := c.at, 1
	for !c.end() {
		switch t := c.next(); {
		case isPunct(t, "("):
			depth++
		case isPunct(t, ")"):
			if depth--; depth == 0 {
				return c.tokens[start : c.at-1], true
			}
		}
	}
	return c.tokens[start:], true
}

// skip takes one token, or a list in parentheses as a whole.
func (c *cursor) skip() {
	if _, ok := c.group(); !ok {
		c.at++
	}
}

// expr takes an expression: at least one token, and all up to one of the words outside of parentheses.
func (c *cursor) expr(stop ...string) tokens {
	start := c.at
	for first := true; !c.end() && (first || !c.seesOneOf(stop...)); first = false {
		c.skip()
	}
	return c.tokens[min(start, len(c.tokens)):min(c.at, len(c.tokens))]
}

// rest takes all that is left.
func (c *cursor) rest() tokens {
	start := min(c.at, len(c.tokens))
	c.at = len(c.tokens)
	return c.tokens[start:]
}

func isPunct(t lexer.Token, text string) bool { return t.Kind == lexer.Punct && t.Text == text }

// commas splits a list at the commas outside of parentheses.
func (t tokens) commas() (items []tokens) {
	start, depth := 0, 0
	for i, token := range t {
		switch {
		case isPunct(token, "("), isPunct(token, "["), isPunct(token, "{"):
			depth++
		case isPunct(token, ")"), isPunct(token, "]"), isPunct(token, "}"):
			depth--
		case isPunct(token, ",") && depth <= 0:
			items = append(items, t[start:i])
			start = i + 1
		}
	}
	if start < len(t) {
		items = append(items, t[start:])
	}
	return items
}

// has tells whether the words follow each other somewhere outside of parentheses.
func (t tokens) has(words ...string) bool { return t.find(words...) >= 0 }

// find returns where they do, -1 if nowhere.
func (t tokens) find(words ...string) int {
	c := cursor{tokens: t}
	for !c.end() {
		if c.sees(words...) {
			return c.at
		}
		c.skip()
	}
	return -1
}

// written returns the tokens as they stand in the file, with one space for white space and comments between them.
func (t tokens) written() string {
	var b strings.Builder
	for i, token := range t {
		if i > 0 && t[i-1].Pos.Offset+int64(len(t[i-1].Text)) != token.Pos.Offset {
			b.WriteByte(' ')
		}
		b.WriteString(token.Text)
	}
	return b.String()
}

// sql writes the tokens with spaces by rule, so that texts can be compared.
func (t tokens) sql() string {
	var b strings.Builder
	for i, token := range t {
		if i > 0 && !tight(t[i-1], token) {
			b.WriteByte(' ')
		}
		b.WriteString(token.Text)
	}
	return b.String()
}

// tight tells whether no space stands between two tokens.
func tight(left, right lexer.Token) bool {
	switch {
	case isPunct(left, "("), isPunct(left, "."), isPunct(left, "["), left.Text == "::":
		return true
	case isPunct(right, ")"), isPunct(right, ","), isPunct(right, "."), isPunct(right, "["), isPunct(right, "]"), right.Text == "::":
		return true
	}
	return isPunct(right, "(") && left.Kind == lexer.Word && left.Pos.Offset+int64(len(left.Text)) == right.Pos.Offset
}

// name is that of an object, perhaps qualified.
type name struct {
	parts []lexer.Token
}

func isName(t lexer.Token) bool {
	return t.Kind == lexer.Word || t.Kind == lexer.QuotedIdent || t.Kind == lexer.String
}

// name takes one. Strings are taken too: SQLite lets them pass for names, and in MySQL they are a mistake to be told.
func (c *cursor) name() (n name, ok bool) {
	if !isName(c.peek()) {
		return n, false
	}
	n.parts = append(n.parts, c.next())
	for isPunct(c.peek(), ".") && isName(c.get(c.at+1)) {
		c.at++
		n.parts = append(n.parts, c.next())
	}
	return n, true
}

// names takes a list of names.
func (c *cursor) names() (all []name) {
	for {
		n, ok := c.name()
		if !ok {
			return all
		}
		all = append(all, n)
		if !c.punct(",") {
			return all
		}
	}
}

// token returns the token to point at.
func (n name) token() lexer.Token {
	if len(n.parts) == 0 {
		return lexer.Token{}
	}
	return n.parts[0]
}

// last returns the token of the name itself, without its schema.
func (n name) last() lexer.Token {
	if len(n.parts) == 0 {
		return lexer.Token{}
	}
	return n.parts[len(n.parts)-1]
}

// String returns the name as it is written.
func (n name) String() string {
	texts := make([]string, len(n.parts))
	for i, part := range n.parts {
		texts[i] = part.Text
	}
	return strings.Join(texts, ".")
}

// plain returns the name without quotes.
func (n name) plain() string {
	texts := make([]string, len(n.parts))
	for i, part := range n.parts {
		texts[i] = unquote(part)
	}
	return strings.Join(texts, ".")
}

// key is what names are compared by: in lower case, without the schema that is the default one.
func (n name) key() string {
	key := strings.ToLower(n.plain())
	for _, schema := range []string{"public.", "main."} {
		key = strings.TrimPrefix(key, schema)
	}
	return key
}

// suffixed returns the name, without schema, with an ending inside of its quotes.
func (n name) suffixed(ending string) string {
	t := n.last()
	if t.Kind == lexer.QuotedIdent && len(t.Text) > 1 {
		return t.Text[:len(t.Text)-1] + ending + t.Text[len(t.Text)-1:]
	}
	return t.Text + ending
}

// unquote returns what a name or a string is called.
func unquote(t lexer.Token) string {
	text := t.Text
	if t.Kind == lexer.Word || len(text) < 2 {
		return text
	}
	quote := text[len(text)-1]
	start := strings.IndexAny(text, "'\"`[")
	if start < 0 || start >= len(text)-1 {
		return text
	}
	inside := text[start+1 : len(text)-1]
	if quote == ']' {
		return inside
	}
	return strings.ReplaceAll(inside, string([]byte{quote, quote}), string(quote))
}

// keys returns the plain names of columns in a list, in lower case: (a, b DESC, lower(c)) are a, b and nothing for the expression.
func keys(list tokens) (columns []string) {
	for _, item := range list.commas() {
		key := ""
		c := cursor{tokens: item}
		if n, ok := c.name(); ok && !isPunct(c.peek(), "(") || ok && isLength(c) {
			key = n.key()
		}
		columns = append(columns, key)
	}
	return columns
}

// isLength tells whether a number in parentheses comes next: the length of a prefix, which makes no function call.
func isLength(c cursor) bool {
	return c.get(c.at+1).Kind == lexer.Number && isPunct(c.get(c.at+2), ")")
}

// Kinds that rules ask for.
const (
	wordKind   = lexer.Word
	stringKind = lexer.String
)

package migrate

import (
	"strings"

	"github.com/buffkit/buffkit/migrate/dialect"
	"github.com/buffkit/buffkit/migrate/lexer"
)

// nature is how a statement goes along with transactions.
type nature uint8

const (
	inTx    nature = iota // it may be part of a transaction and is undone with it
	alone                 // it commits by itself, or refuses to be in a transaction
	session               // it changes the connection alone: SET, PREPARE
	begins                // BEGIN, START TRANSACTION
	commits               // COMMIT, END
	control               // any other command to the transaction: the runner's business
	pragma                // PRAGMA foreign_keys
)

// statement is what the runner must know of one besides its text.
type statement struct {
	nature  nature
	repeat  bool     // alone, and doing it twice is doing it once: VACUUM, GRANT
	objects []object // alone: what in the catalog shows whether it was executed; empty if nothing does
	concur  bool     // PostgreSQL: … CONCURRENTLY, which waits for locks by design
	temp    bool     // it makes or drops a temporary table, which ends with the connection
	fkOff   bool     // pragma: it turns them off
	kind    bool     // begins: a transaction that isn't like others
	drops   string   // SQLite: the table that it drops
	renames string   // SQLite: the name that it gives to a table
	sets    string   // session: what it sets, "" if that isn't known
	literal bool     // session: it does the same at any time
	loner   bool     // of some tables it can't be in a transaction: those with partitions
	code    bool     // it calls code that can have commits of its own: when it fails a part of it may stand
	why     string   // alone: a few words why it can't be in a transaction
}

// object is a thing of the catalog.
type object struct {
	Kind   string `json:"kind"`
	Schema string `json:"schema,omitempty"`
	Name   string `json:"name"`
}

// headTokens is how far classify looks: a column list can be long, but the words that matter come first.
const headTokens = 256

// head returns the first tokens of a statement that mean something.
func head(st lexer.Statement) []lexer.Token { return firstTokens(st, headTokens) }

// firstTokens returns at most so many of the tokens that mean something.
func firstTokens(st lexer.Statement, most int) []lexer.Token {
	var tokens []lexer.Token
	for t := range st.Tokens() {
		if t.Kind.Trivia() || t.Kind == lexer.CondOpen || t.Kind == lexer.CondClose {
			continue
		}
		if tokens = append(tokens, t); len(tokens) == most {
			break
		}
	}
	return tokens
}

func classify(st lexer.Statement, d dialect.Dialect) statement {
	words := phrase{tokens: head(st), dialect: d}
	if s, ok := transactionControl(words, d); ok {
		return s
	}
	var s statement
	switch d {
	case dialect.Postgres:
		s = classifyPostgres(words)
	case dialect.SQLite:
		s = classifySQLite(words)
	default:
		s = classifyMySQL(words)
	}
	if len(words.tokens) == headTokens {
		s.objects = nil // there may be more
	}
	return s
}

func transactionControl(p phrase, d dialect.Dialect) (statement, bool) {
	maria := d == dialect.MySQL || d == dialect.MariaDB
	switch {
	case p.has("begin", "not", "atomic"):
		return statement{}, false
	case p.has("begin"), p.has("start", "transaction"):
		return statement{nature: begins, kind: p.contains("isolation") || p.contains("read", "only") || p.contains("deferrable")}, true
	case p.has("commit", "prepared"), p.has("rollback", "prepared"), p.has("prepare", "transaction"):
		return statement{nature: control}, true
	case p.has("commit"), p.has("end") && !maria:
		return statement{nature: commits}, true
	case p.has("rollback"):
		if p.contains("to") {
			return statement{nature: inTx}, true
		}
		return statement{nature: control}, true
	case p.has("abort"), p.has("xa"):
		return statement{nature: control}, true
	case maria && (p.has("lock", "tables") || p.has("lock", "table") || p.has("unlock", "tables") || p.has("set", "autocommit") ||
		p.has("flush") && p.contains("read", "lock")):
		return statement{nature: control}, true
	case p.has("savepoint"), p.has("release"):
		return statement{nature: inTx}, true
	}
	return statement{}, false
}

// phrase is the beginning of a statement.
type phrase struct {
	tokens  []lexer.Token
	dialect dialect.Dialect
}

// has tells whether the phrase begins with these words.
func (p phrase) has(words ...string) bool {
	if len(p.tokens) < len(words) {
		return false
	}
	for i, w := range words {
		if !p.tokens[i].Is(w) {
			return false
		}
	}
	return true
}

// hasOne tells whether it begins with one of these words.
func (p phrase) hasOne(words ...string) bool {
	for _, w := range words {
		if p.has(w) {
			return true
		}
	}
	return false
}

// contains tells whether these words stand somewhere, next to each other.
func (p phrase) contains(words ...string) bool {
	for i := range p.tokens {
		if (phrase{tokens: p.tokens[i:]}).has(words...) {
			return true
		}
	}
	return false
}

// skip returns the phrase behind a word if it begins with it.
func (p phrase) skip(words ...string) phrase {
	if p.has(words...) {
		p.tokens = p.tokens[len(words):]
	}
	return p
}

// after returns the phrase behind the first occurrence of the words.
func (p phrase) after(words ...string) (phrase, bool) {
	for i := range p.tokens {
		if rest := (phrase{p.tokens[i:], p.dialect}); rest.has(words...) {
			return rest.skip(words...), true
		}
	}
	return phrase{}, false
}

func (p phrase) punct(text string) bool {
	return len(p.tokens) > 0 && p.tokens[0].Kind == lexer.Punct && p.tokens[0].Text == text
}

// name reads an identifier, perhaps with a schema in front, and returns what comes behind it.
func (p phrase) name(kind string) (object, phrase, bool) {
	p = p.skip("if", "not", "exists").skip("if", "exists")
	var parts []string
	for len(p.tokens) > 0 {
		part, ok := identifier(p.tokens[0], p.dialect)
		if !ok {
			return object{}, p, false
		}
		parts = append(parts, part)
		p.tokens = p.tokens[1:]
		if !p.punct(".") {
			break
		}
		p.tokens = p.tokens[1:]
	}
	switch len(parts) {
	case 1:
		return object{Kind: kind, Name: parts[0]}, p, true
	case 2:
		return object{kind, parts[0], parts[1]}, p, true
	}
	return object{}, p, false
}

// names reads a list of names with commas between them.
func (p phrase) names(kind string) []object {
	var all []object
	for {
		o, rest, ok := p.name(kind)
		if !ok {
			return nil
		}
		all = append(all, o)
		if !rest.punct(",") {
			return all
		}
		p = phrase{rest.tokens[1:], p.dialect}
	}
}

// identifier returns what a name means to the catalog.
func identifier(t lexer.Token, d dialect.Dialect) (string, bool) {
	switch {
	case t.Kind == lexer.Word && d == dialect.Postgres:
		return strings.ToLower(t.Text), true
	case t.Kind == lexer.Word:
		return t.Text, true
	case t.Kind != lexer.QuotedIdent && !(t.Kind == lexer.String && t.Text[0] == '"') || len(t.Text) < 2:
		return "", false
	case t.Text[0] == '[':
		return t.Text[1 : len(t.Text)-1], true
	case t.Text[0] != '"' && t.Text[0] != '`':
		return "", false // U&"…"
	}
	quote := t.Text[:1]
	return strings.ReplaceAll(t.Text[1:len(t.Text)-1], quote+quote, quote), true
}

func classifyPostgres(p phrase) statement {
	concurrently := p.contains("concurrently")
	switch {
	case p.has("create") && p.contains("index", "concurrently"):
		s := statement{nature: alone, concur: true, why: "CREATE INDEX CONCURRENTLY"}
		if rest, ok := p.after("concurrently"); ok && !rest.has("on") { // without a name the server makes one
			if o, _, ok := rest.name("index"); ok {
				if on, ok := p.after("on"); ok { // an index lives in its table's schema
					if table, _, ok := on.skip("only").name("table"); ok {
						o.Schema = table.Schema
					}
				}
				s.objects = []object{o}
			}
		}
		return s
	case p.has("drop", "index", "concurrently"):
		rest, _ := p.after("concurrently")
		return statement{nature: alone, concur: true, objects: rest.names("index"), why: "DROP INDEX CONCURRENTLY"}
	case p.has("reindex"):
		if concurrently || p.contains("database") || p.contains("system") || p.contains("schema") {
			return statement{nature: alone, concur: concurrently, repeat: true, why: "REINDEX"}
		}
		return statement{repeat: true, loner: true}
	case p.has("alter", "subscription"):
		return statement{loner: true}
	case p.has("alter", "table") && concurrently:
		return statement{nature: alone, concur: true, why: "DETACH PARTITION CONCURRENTLY"}
	case p.has("vacuum"):
		return statement{nature: alone, repeat: true, why: "VACUUM"}
	case p.has("cluster") && len(p.tokens) == 1:
		return statement{nature: alone, repeat: true, why: "CLUSTER"}
	case p.has("cluster"):
		return statement{repeat: true, loner: true}
	case p.has("alter", "system"):
		return statement{nature: alone, repeat: true, why: "ALTER SYSTEM"}
	case p.has("create", "database"), p.has("drop", "database"):
		return statement{nature: alone, objects: p.from(2).names("database"), why: "CREATE and DROP DATABASE"}
	case p.has("create", "tablespace"), p.has("drop", "tablespace"):
		return statement{nature: alone, objects: p.from(2).names("tablespace"), why: "CREATE and DROP TABLESPACE"}
	case p.has("alter", "database") && p.contains("tablespace"), p.has("create", "subscription"), p.has("drop", "subscription"):
		return statement{nature: alone, why: "it"}
	}
	return classifyPostgresRest(p)
}

// classifyPostgresRest is for what may be in a transaction. CALL and DO may, and may also commit where there is none: see needsNoTx.
func classifyPostgresRest(p phrase) statement {
	switch {
	case p.hasOne("call", "do", "execute"):
		return statement{nature: inTx, code: true}
	case p.configured() != "":
		return statement{nature: session, literal: true, sets: p.configured()}
	case p.hasOne("set", "reset", "discard", "prepare", "deallocate", "load", "listen", "unlisten"):
		return statement{nature: session, literal: true, sets: setting(p)}
	case p.has("create") && (p.contains("temp", "table") || p.contains("temporary", "table")):
		return statement{temp: true}
	}
	return statement{}
}

// configured names what SELECT set_config('name', 'value', false) sets if it is that alone, as pg_dump writes it: SET by another name. "" if it isn't.
func (p phrase) configured() string {
	rest := p.skip("select").skip("pg_catalog")
	if rest.punct(".") {
		rest = rest.from(1)
	}
	t := rest.tokens
	if !p.has("select") || !rest.has("set_config") || len(t) != 8 || t[2].Kind != lexer.String || t[4].Kind != lexer.String || !t[6].Is("false") {
		return ""
	}
	return "set " + strings.ToLower(strings.Trim(t[2].Text, "'"))
}

// from returns the phrase without its first words.
func (p phrase) from(n int) phrase { return phrase{p.tokens[min(n, len(p.tokens)):], p.dialect} }

// setting names what a session statement sets, so that of several the last one counts.
func setting(p phrase) string {
	switch {
	case len(p.tokens) < 2:
		return ""
	case p.has("use"):
		return "use"
	case p.has("deallocate"):
		return setting(phrase{append([]lexer.Token{{Kind: lexer.Word, Text: "prepare"}}, p.from(1).skip("prepare").tokens...), p.dialect})
	case !p.has("set"):
		return strings.ToLower(p.tokens[0].Text + " " + p.tokens[1].Text)
	}
	return strings.ToLower("set " + strings.Join(p.from(1).assigned(), " "))
}

// assigned are what SET sets, with SESSION and the like: in MySQL and MariaDB there can be several.
func (p phrase) assigned() (names []string) {
	target, depth := true, 0
	for _, t := range p.tokens {
		switch {
		case target:
			names = append(names, t.Text)
			target = t.Is("session") || t.Is("local") || t.Is("global") || t.Is("persist")
		case t.Kind == lexer.Punct && t.Text == "(":
			depth++
		case t.Kind == lexer.Punct && t.Text == ")":
			depth--
		case depth == 0 && t.Kind == lexer.Punct && t.Text == "," && p.dialect != dialect.Postgres:
			target = true
		}
	}
	return names
}

func classifySQLite(p phrase) statement {
	switch {
	case p.has("vacuum"):
		return statement{nature: alone, repeat: true, why: "VACUUM"}
	case p.has("attach"), p.has("detach"):
		return statement{nature: session, literal: true, why: "ATTACH and DETACH"}
	case p.has("pragma"):
		return classifyPragma(p)
	case p.has("drop", "table"):
		if o, _, ok := p.from(2).name("table"); ok {
			return statement{drops: strings.ToLower(o.Name)}
		}
	case p.has("alter", "table"):
		if rest, ok := p.after("rename", "to"); ok {
			if o, _, ok := rest.name("table"); ok {
				return statement{renames: strings.ToLower(o.Name)}
			}
		}
	case p.has("create", "table"): // a rebuild may also copy away, drop, and create anew under the name
		if o, _, ok := p.from(2).name("table"); ok {
			return statement{renames: strings.ToLower(o.Name)}
		}
	case p.has("create") && (p.contains("temp", "table") || p.contains("temporary", "table")):
		return statement{temp: true}
	}
	return statement{}
}

func classifyPragma(p phrase) statement {
	rest := p.from(1)
	if len(rest.tokens) > 2 && rest.tokens[1].Text == "." { // PRAGMA main.foreign_keys
		rest = rest.from(2)
	}
	if !rest.has("foreign_keys") {
		return statement{nature: session, literal: true, repeat: true, why: "PRAGMA"}
	}
	for _, t := range rest.tokens[1:] {
		switch strings.ToLower(strings.Trim(t.Text, `'"`)) {
		case "off", "0", "false", "no":
			return statement{nature: pragma, fkOff: true}
		}
	}
	return statement{nature: pragma}
}

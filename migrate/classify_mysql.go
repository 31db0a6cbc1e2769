package migrate

import (
	"strings"

	"github.com/buffkit/buffkit/migrate/lexer"
)

// classifyMySQL is for MySQL and MariaDB. What commits by itself is on the page "Statements That Cause an Implicit Commit" of both
// manuals; what isn't known is taken for such.
func classifyMySQL(p phrase) statement {
	switch {
	case p.has("analyze") && p.from(1).hasOne("insert", "update", "delete", "replace", "select", "with", "format"): // MariaDB's, which executes it
		return statement{}
	case p.hasOne("insert", "update", "delete", "replace", "select", "with", "do", "values", "table", "explain", "show", "describe", "desc"),
		p.has("load", "data"), p.has("load", "xml"), p.punct("("):
		return statement{}
	case p.hasOne("set", "prepare", "deallocate", "use"):
		return sessionMySQL(p)
	case p.hasOne("grant", "revoke", "analyze", "optimize", "repair", "check", "flush", "cache", "reset", "purge"):
		return statement{nature: alone, repeat: p.hasOne("grant", "analyze", "optimize", "repair", "check", "flush", "cache"), why: "it commits by itself"}
	}
	s := statement{nature: alone, why: "it commits by itself", code: p.hasOne("call", "execute", "begin")}
	s.temp = (p.has("create") || p.has("drop")) && p.contains("temporary")
	s.objects = objectsMySQL(p)
	return s
}

func sessionMySQL(p phrase) statement {
	if p.has("set", "password") || p.has("set", "default", "role") {
		return statement{nature: alone, repeat: true, why: "it commits by itself"}
	}
	s := statement{nature: session, sets: setting(p), literal: true}
	if p.has("prepare") {
		s.literal = false // what it prepares may stand in a variable
	}
	computed := false
	for _, t := range p.tokens {
		computed = computed || t.Kind == lexer.Punct && t.Text == "("
	}
	if computed && !p.ofSettings() {
		s.literal = false
	}
	return s
}

// ofSettings tells whether it computes settings of nothing but others, as in SET sql_mode = REPLACE(@@sql_mode, …): on a new connection that is the same.
func (p phrase) ofSettings() bool {
	for _, t := range p.tokens {
		if isUserVariable(t.Text) || t.Is("from") {
			return false
		}
	}
	return p.has("set")
}

func isUserVariable(name string) bool {
	return strings.HasPrefix(name, "@") && !strings.HasPrefix(name, "@@")
}

// objectsMySQL names what a DDL statement changes. Options between CREATE and the kind, a definer and the like, are passed over.
func objectsMySQL(p phrase) []object {
	switch {
	case p.has("rename", "table"):
		return renamedMySQL(p.from(2))
	case p.has("drop", "index"), p.has("create") && p.contains("index") && !p.contains("table"):
		if rest, ok := p.after("on"); ok {
			if o, _, ok := rest.name("table"); ok {
				return []object{o}
			}
		}
		return nil
	case p.has("truncate"):
		return nil // an empty table may have been empty before
	case !p.hasOne("create", "alter", "drop"):
		return nil
	}
	for i, t := range p.tokens {
		if i == 0 || t.Kind != lexer.Word {
			continue
		}
		kind := strings.ToLower(t.Text)
		rest := p.from(i + 1)
		switch kind {
		case "table", "view", "procedure", "function", "trigger", "event", "sequence", "database", "schema":
		default:
			continue
		}
		if p.has("drop") {
			return rest.names(kind)
		}
		o, behind, ok := rest.name(kind)
		if !ok {
			return nil
		}
		return alteredMySQL(p, o, behind)
	}
	return nil
}

// alteredMySQL adds what an ALTER TABLE renames its table to, and gives up on those that don't show in a table's definition.
func alteredMySQL(p phrase, o object, behind phrase) []object {
	if !p.has("alter") || o.Kind != "table" {
		return []object{o}
	}
	for _, hidden := range []string{"truncate", "exchange", "discard", "import"} { // of a partition or a tablespace: data, not definition
		if behind.contains(hidden) {
			return nil
		}
	}
	for _, words := range [][]string{{"rename", "to"}, {"rename", "as"}} {
		if rest, ok := behind.after(words...); ok {
			if to, _, ok := rest.name("table"); ok {
				return []object{o, to}
			}
		}
	}
	return []object{o}
}

func renamedMySQL(p phrase) []object {
	var all []object
	for {
		from, rest, ok := p.name("table")
		if !ok || !rest.has("to") {
			return nil
		}
		to, rest, ok := rest.from(1).name("table")
		if !ok {
			return nil
		}
		all = append(all, from, to)
		if !rest.punct(",") {
			return all
		}
		p = rest.from(1)
	}
}

package migrate

import (
	"context"
	"fmt"
	"strings"

	"github.com/buffkit/buffkit/migrate/dialect"
	"github.com/buffkit/buffkit/migrate/lexer"
)

// staysInside refuses migrations that name another database than the one that they run on: a scratch database may be on the server of the one that matters.
func (m *Migrator) staysInside(ctx context.Context) error {
	conn, err := m.connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	here, err := m.server.schema(ctx, conn)
	if err != nil {
		return err
	}
	for _, mig := range m.load().all {
		for st, err := range mig.up.statements() {
			if err != nil {
				return err
			}
			if found := reachesOut(firstTokens(st, headTokens), m.dialect, here); found != "" {
				return fmt.Errorf("%v: %s reaches out of the scratch database, where it would change what isn't to be changed: "+
					"verify on a server of its own with a file that doesn't name the database", st.Pos, found)
			}
		}
	}
	return nil
}

// reachesOut returns what in a statement is about another database than here, "" if nothing is.
func reachesOut(tokens []lexer.Token, d dialect.Dialect, here string) string {
	p := phrase{tokens: tokens, dialect: d}
	mysql := d == dialect.MySQL || d == dialect.MariaDB
	switch {
	case mysql && p.has("use"):
		return "USE"
	case d == dialect.SQLite && p.has("attach"):
		return "ATTACH"
	case d == dialect.SQLite || !p.hasOne("create", "drop", "alter", "insert", "replace", "update", "delete", "rename", "truncate", "load", "grant", "revoke"):
		return ""
	}
	for _, kind := range []string{"database", "role", "user", "tablespace"} {
		if len(tokens) > 1 && tokens[1].Is(kind) || mysql && kind == "database" && len(tokens) > 1 && tokens[1].Is("schema") {
			return strings.ToUpper(tokens[0].Text + " " + tokens[1].Text)
		}
	}
	if !mysql {
		return ""
	}
	return namedElsewhere(tokens, here)
}

// namedElsewhere returns the first DATABASE.NAME behind a word that a name of what is changed follows.
func namedElsewhere(tokens []lexer.Token, here string) string {
	for i := 0; i+2 < len(tokens); i++ {
		if tokens[i+1].Text != "." || !isName(tokens[i]) || !isName(tokens[i+2]) {
			continue
		}
		if before := behind(tokens[:i]); before.Kind != lexer.Word || !changedBehind[strings.ToLower(before.Text)] {
			continue
		}
		if name := strings.Trim(tokens[i].Text, "`\""); !strings.EqualFold(name, here) {
			return tokens[i].Text + "." + tokens[i+2].Text
		}
	}
	return ""
}

// changedBehind are the words that stand before the name of what a statement changes. What it only reads is behind FROM and JOIN.
var changedBehind = map[string]bool{
	"table": true, "into": true, "update": true, "view": true, "trigger": true, "procedure": true, "function": true, "event": true, "on": true, "to": true,
	"delete from": true, "truncate": true,
}

// behind returns the word before a name, without IF [NOT] EXISTS and the like.
func behind(tokens []lexer.Token) (last lexer.Token) {
	for i := len(tokens) - 1; i >= 0; i-- {
		switch t := tokens[i]; {
		case t.Is("if"), t.Is("not"), t.Is("exists"), t.Is("ignore"), t.Is("low_priority"):
		case t.Is("from") && i > 0 && tokens[i-1].Is("delete"):
			return lexer.Token{Kind: lexer.Word, Text: "delete from"}
		case t.Is("on") && !tokens[0].Is("create") && !tokens[0].Is("drop"): // of a join
			return last
		default:
			return t
		}
	}
	return last
}

func isName(t lexer.Token) bool { return t.Kind == lexer.Word || t.Kind == lexer.QuotedIdent }

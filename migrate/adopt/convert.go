package adopt

import (
	"regexp"
	"strings"

	"github.com/buffkit/buffkit/migrate/dialect"
	"github.com/buffkit/buffkit/migrate/lexer"
)

// markers show whose file it is. They stand at the beginning of a line.
var markers = map[Tool]*regexp.Regexp{
	Goose:      regexp.MustCompile(`(?im)^(?:\x{FEFF})?--\s*\+goose\s+`),
	SQLMigrate: regexp.MustCompile(`(?m)^(?:\x{FEFF})?-- \+migrate `),
	Dbmate:     regexp.MustCompile(`(?m)^(?:\x{FEFF})?--\s*migrate:(?:up|down)`),
	Tern:       regexp.MustCompile(`(?m)^---- (?:create above / drop below|tern: disable-tx) ----`),
	Bun:        regexp.MustCompile(`(?m)^--bun:split`),
}

// annotation is the rest of a line that one of goose's or sql-migrate's markers begins.
func annotation(t Tool, line string) (text string, ok bool) {
	line = strings.TrimPrefix(line, "\ufeff")
	at := markers[t].FindStringIndex(line)
	if at == nil || at[0] != 0 {
		return "", false
	}
	return strings.Join(strings.Fields(strings.ToLower(line[at[1]:])), " "), true
}

// eachLine calls f with each line without its end, and joins what it returns with the ends that were there.
func eachLine(text string, f func(line string) string) string {
	var b strings.Builder
	b.Grow(len(text) + 64)
	for line := range strings.Lines(text) {
		body := strings.TrimRight(line, "\r\n")
		b.WriteString(f(body))
		b.WriteString(line[len(body):])
	}
	return b.String()
}

// sections is a file whose annotations become sections: a line for a line.
type sections struct {
	path  string
	tool  Tool
	up    bool // there was one
	below bool // a section began
	begun bool // StatementBegin without its end
	err   error
}

func (s *sections) fail(msg, hint string) string {
	if s.err == nil {
		s.err = fault(s.path, msg, hint)
	}
	return ""
}

// begin is the line of a section.
func (s *sections) begin(direction string, transaction bool) string {
	s.up = s.up || direction == "up"
	s.below = true
	if !transaction {
		return "-- migrate:" + direction + " transaction:false"
	}
	return "-- migrate:" + direction
}

// statement is what becomes of StatementBegin and StatementEnd. The lexer knows by itself what a body is; but behind the end comes
// another statement even without a semicolon.
func (s *sections) statement(word string) string {
	s.begun = word == "statementbegin"
	if s.begun {
		return ""
	}
	return ";"
}

// done returns what is wrong with the whole.
func (s *sections) done(text, marker string) (string, error) {
	switch {
	case s.err != nil:
	case strings.TrimSpace(strings.TrimPrefix(text, "\ufeff")) == "":
	case !s.up:
		s.fail("there is no line "+marker+" in it", "add one above its first statement, or move the file elsewhere")
	case s.begun:
		s.fail("StatementBegin has no StatementEnd", "add one behind the statement")
	}
	return text, s.err
}

func gooseSections(path, text string) (string, error) {
	s := &sections{path: path, tool: Goose}
	transaction := true
	for line := range strings.Lines(text) {
		if word, ok := annotation(Goose, line); ok && word == "no transaction" {
			transaction = false
		}
	}
	text = eachLine(text, func(line string) string {
		word, ok := annotation(Goose, line)
		if !ok {
			return line
		}
		switch word {
		case "up", "down":
			return s.begin(word, transaction)
		case "statementbegin", "statementend":
			return s.statement(word)
		case "no transaction", "envsub off":
			return ""
		case "envsub on":
			return s.fail("it has ENVSUB, whose environment variables goose puts in when it runs", "write the values, or what they stand for, into the file")
		}
		return s.fail("goose has no annotation "+word, "use Up, Down, StatementBegin, StatementEnd or NO TRANSACTION")
	})
	return s.done(text, "-- +goose Up")
}

func sqlMigrateSections(path, text string) (string, error) {
	s := &sections{path: path, tool: SQLMigrate}
	text = eachLine(text, func(line string) string {
		word, ok := annotation(SQLMigrate, line)
		if !ok {
			return line
		}
		switch word {
		case "up", "down":
			return s.begin(word, true)
		case "up notransaction", "down notransaction":
			return s.begin(strings.TrimSuffix(word, " notransaction"), false)
		case "statementbegin", "statementend":
			return s.statement(word)
		}
		return s.fail("sql-migrate has no annotation "+word, "use Up, Down, StatementBegin, StatementEnd, and notransaction behind Up or Down")
	})
	return s.done(text, "-- +migrate Up")
}

const (
	ternSeparator = "---- create above / drop below ----"
	ternNoTx      = "---- tern: disable-tx ----"
)

// ternPart is one direction of tern's file, with empty lines for the other one above it.
func ternPart(path, text string, up bool) (string, error) {
	if _, err := noTemplate(path, text, Tern); err != nil {
		return "", err
	}
	above, below, _ := strings.Cut(text, ternSeparator)
	part := above
	if !up {
		part = strings.Repeat("\n", strings.Count(above, "\n")) + below
	}
	transaction := true
	part = eachLine(part, func(line string) string {
		if strings.TrimSpace(line) != ternNoTx {
			return line
		}
		transaction = false
		return ""
	})
	if !transaction {
		part = withoutTransaction(part)
	}
	return part, nil
}

// withoutTransaction adds the header, on the first line if that is empty.
func withoutTransaction(text string) string {
	text = strings.TrimPrefix(text, "\ufeff")
	const header = "-- no-transaction"
	if strings.HasPrefix(text, "\n") || strings.HasPrefix(text, "\r\n") {
		return header + text
	}
	return header + "\n" + text
}

// noTemplate refuses what the tool would have executed as a text/template.
func noTemplate(path, text string, t Tool) (string, error) {
	if !strings.Contains(text, "{{") {
		return text, nil
	}
	return "", fault(path, "it is a template, which "+string(t)+" fills in when it runs", "write what each {{ … }} stands for into the file")
}

// bunSplit ends a statement where bun ends what it sends at once.
func bunSplit(text string) string {
	return eachLine(text, func(line string) string {
		if strings.HasPrefix(line, "--bun:split") {
			return ";"
		}
		return line
	})
}

// suspects are the words without which every statement can be in a transaction.
var suspects = regexp.MustCompile(`(?i)\b(?:concurrently|vacuum|database|tablespace|system|attach|detach)\b`)

// alone returns a conversion for files that their tool runs in no transaction: those that can't be in one get the header.
func (d *Dir) alone() func(text string) (string, error) {
	return func(text string) (string, error) {
		if !suspects.MatchString(text) {
			return text, nil
		}
		for st, err := range lexer.Split(strings.NewReader(text), d.dialect, nil) {
			if err != nil {
				return text, nil // the runner says it, with its place
			}
			if d.standsAlone(st) {
				return withoutTransaction(text), nil
			}
		}
		return text, nil
	}
}

// standsAlone tells whether a statement refuses to be in a transaction.
func (d *Dir) standsAlone(st lexer.Statement) bool {
	var words []string
	for t := range st.Tokens() {
		if t.Kind.Trivia() {
			continue
		}
		if t.Is("concurrently") && d.dialect == dialect.Postgres {
			return true
		}
		if len(words) < 2 {
			words = append(words, strings.ToLower(t.Text))
		}
	}
	switch strings.Join(words, " ") {
	case "create database", "drop database", "create tablespace", "drop tablespace", "alter system", "reindex database", "reindex system":
		return d.dialect == dialect.Postgres
	}
	switch words[0] {
	case "vacuum":
		return d.dialect == dialect.Postgres || d.dialect == dialect.SQLite
	case "attach", "detach":
		return d.dialect == dialect.SQLite
	}
	return false
}

package lexer

import "github.com/buffkit/buffkit/migrate/dialect"

// body follows a statement to tell which of its semicolons are within it: in the body of a function, procedure, trigger, event or
// rule. It sees the tokens that aren't trivia. A body is taken apart only as far as it takes to find its end; whether it is right
// is for the server to say.
type body interface {
	// reset begins a statement.
	reset()
	// code takes a token other than a semicolon, which stands at an offset of the piece. It returns what can't be right.
	code(kind Kind, text []byte, at int) *fault
	// semicolon takes a semicolon, and tells whether it is within the statement, and what can't be right. delimited says that a DELIMITER
	// ends statements: then a semicolon is within all that has a body, or may have one.
	semicolon(delimited bool) (inside bool, f *fault)
	// open returns what is wrong if the text ends here: a block that isn't closed. nil if nothing is.
	open() *fault
}

// fault is what will be an Error.
type fault struct {
	at        int
	err       error
	msg, hint string
}

func newBody(d dialect.Dialect) body {
	switch d {
	case dialect.Postgres:
		return &postgresBody{}
	case dialect.SQLite:
		return &sqliteBody{}
	}
	return &mysqlBody{maria: d == dialect.MariaDB}
}

// keyword is a word in lower case if it is one that a body asks for.
type keyword string

// maxKeyword is the length of the longest word that is asked for.
const maxKeyword = len("deallocate")

// keywordOf returns "" for what isn't a word, and for a word that is too long to be asked for.
func keywordOf(kind Kind, text []byte) keyword {
	if kind != Word || len(text) > maxKeyword {
		return ""
	}
	var buf [maxKeyword]byte
	for i, c := range text {
		buf[i] = lower(c)
	}
	return known[string(buf[:len(text)])]
}

// known spares an allocation for each word.
var known = func() map[string]keyword {
	words := map[string]keyword{}
	for _, list := range [][]keyword{
		{"create", "or", "replace", "function", "procedure", "rule", "begin", "atomic", "end", "from", "stdin", "copy"},
		{"temp", "temporary", "trigger", "exists", "on", "of", "select", "insert", "update", "delete", "with", "values"},
		{"alter", "definer", "aggregate", "event", "each", "row", "follows", "precedes", "do", "if", "case", "loop", "repeat"},
		{"while", "for", "then", "else", "elseif", "elsif", "when", "until", "declare", "continue", "exit", "undo", "handler"},
		{"sqlstate", "value", "not", "set", "call", "return", "signal", "resignal", "truncate", "drop", "execute", "prepare"},
		{"deallocate", "commit", "rollback", "start", "lock", "and", "xor", "where", "by", "in", "like", "between", "is", "div"},
		{"mod", "character", "returns", "as", "having", "limit", "leave", "iterate", "open", "fetch", "close", "package"},
	} {
		for _, word := range list {
			words[string(word)] = word
		}
	}
	return words
}()

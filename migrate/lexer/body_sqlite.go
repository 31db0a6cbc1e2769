package lexer

import "fmt"

// sqliteBody knows the trigger, the one statement of SQLite that holds others. Its END is the one that follows a semicolon, which
// END of CASE never does: the rule of sqlite3_complete.
type sqliteBody struct {
	state sqliteState
	begin int // where BEGIN is
	prev  keyword
	comma bool // the last token was a dot or a comma
}

type sqliteState uint8

const (
	liteStart  sqliteState = iota
	litePlain              // nothing to follow
	liteCreate             // CREATE, CREATE TEMP
	liteHead               // CREATE TRIGGER, before BEGIN
	liteBody               // behind BEGIN
	liteFirst              // in there, at the beginning of a statement
	liteEnded              // behind END
)

func (b *sqliteBody) reset() { *b = sqliteBody{} }

func (b *sqliteBody) code(kind Kind, text []byte, at int) *fault {
	if b.state == litePlain {
		return nil
	}
	word := keywordOf(kind, text)
	f := b.follow(word, kind, text, at)
	b.prev, b.comma = word, kind == Punct && (text[0] == '.' || text[0] == ',')
	return f
}

func (b *sqliteBody) follow(word keyword, kind Kind, text []byte, at int) *fault {
	switch b.state {
	case liteStart:
		if b.state = litePlain; word == "create" {
			b.state = liteCreate
		}
	case liteCreate:
		switch word {
		case "temp", "temporary":
		case "trigger":
			b.state = liteHead
		default:
			b.state = litePlain
		}
	case liteHead:
		if word == "begin" && !b.comma && !b.namesNext() {
			b.state, b.begin = liteFirst, at
		}
	case liteFirst:
		b.state = liteBody
		switch word {
		case "end":
			b.state = liteEnded
		case "select", "insert", "update", "delete", "replace", "with", "values":
		default:
			if kind == Word {
				return &fault{at, ErrUnclosed, fmt.Sprintf("%.40s can't stand in the body of a trigger: is its END missing?", string(printable(text, true))),
					"close the body with END; each statement in it, the last one too, ends with ;"}
			}
		}
	}
	return nil
}

// namesNext tells whether the last word has a name after it, so that BEGIN is one.
func (b *sqliteBody) namesNext() bool {
	return b.prev == "trigger" || b.prev == "exists" || b.prev == "on" || b.prev == "of"
}

func (b *sqliteBody) semicolon(bool) (inside bool, f *fault) {
	if b.state != liteBody && b.state != liteFirst {
		return false, nil
	}
	b.state = liteFirst
	return true, nil
}

func (b *sqliteBody) open() *fault {
	if b.state != liteBody && b.state != liteFirst {
		return nil
	}
	return &fault{b.begin, ErrUnclosed, "this trigger's BEGIN has no END",
		"close the body with END; each statement in it, the last one too, ends with ;"}
}

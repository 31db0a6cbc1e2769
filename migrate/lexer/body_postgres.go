package lexer

// postgresBody knows the two statements of PostgreSQL that hold others without quoting them: the functions and procedures of
// the SQL standard, BEGIN ATOMIC …; …; END, and CREATE RULE … DO (…; …). All other bodies are strings.
type postgresBody struct {
	state  postgresState
	parens []int // the open ones
	begin  int   // where BEGIN is
	prev   keyword
	dotted bool // the last token was a dot: what follows is a name
}

type postgresState uint8

const (
	pgStart   postgresState = iota
	pgPlain                 // nothing to follow
	pgCreate                // CREATE, CREATE OR REPLACE
	pgRoutine               // CREATE FUNCTION, before BEGIN ATOMIC
	pgBody                  // behind BEGIN ATOMIC
	pgFirst                 // in there, at the beginning of a statement
	pgEnded                 // behind its END
	pgRule                  // CREATE RULE
	pgCopy                  // COPY
)

func (b *postgresBody) reset() { *b = postgresBody{parens: b.parens[:0]} }

func (b *postgresBody) code(kind Kind, text []byte, at int) *fault {
	if b.state == pgPlain {
		return nil
	}
	word := keywordOf(kind, text)
	if b.dotted {
		word = ""
	}
	if b.state == pgCopy && len(b.parens) == 0 && b.prev == "from" && word == "stdin" {
		return &fault{at, ErrCopyRows, "COPY … FROM stdin reads rows that only psql can send",
			"make them INSERT statements (pg_dump --inserts writes them so), or put them into a data file for a seed"}
	}
	b.paren(kind, text, at)
	b.follow(word, at)
	b.prev, b.dotted = word, kind == Punct && text[0] == '.'
	return nil
}

func (b *postgresBody) paren(kind Kind, text []byte, at int) {
	switch {
	case kind != Punct:
	case text[0] == '(':
		b.parens = append(b.parens, at)
	case text[0] == ')' && len(b.parens) > 0:
		b.parens = b.parens[:len(b.parens)-1]
	}
}

func (b *postgresBody) follow(word keyword, at int) {
	switch b.state {
	case pgStart:
		switch word {
		case "create":
			b.state = pgCreate
		case "copy":
			b.state = pgCopy
		default:
			b.state = pgPlain
		}
	case pgCreate:
		switch word {
		case "or", "replace":
		case "function", "procedure":
			b.state = pgRoutine
		case "rule":
			b.state = pgRule
		default:
			b.state = pgPlain
		}
	case pgRoutine:
		switch {
		case len(b.parens) > 0:
		case word == "begin":
			b.begin = at
		case word == "atomic" && b.prev == "begin":
			b.state = pgFirst
		}
	case pgFirst:
		if b.state = pgBody; word == "end" {
			b.state = pgEnded
		}
	}
}

func (b *postgresBody) semicolon(bool) (inside bool, f *fault) {
	switch b.state {
	case pgBody, pgFirst:
		b.state = pgFirst
		return true, nil
	case pgRule:
		return len(b.parens) > 0, nil
	}
	return false, nil
}

func (b *postgresBody) open() *fault {
	switch {
	case b.state == pgBody || b.state == pgFirst:
		return &fault{b.begin, ErrUnclosed, "this BEGIN ATOMIC has no END", "close the body with END; each statement in it, the last one too, ends with ;"}
	case b.state == pgRule && len(b.parens) > 0:
		return &fault{b.parens[len(b.parens)-1], ErrUnclosed, "this parenthesis around the rule's actions isn't closed", "close it with )"}
	}
	return nil
}

package lexer

import (
	"iter"
	"strings"

	"github.com/buffkit/buffkit/migrate/dialect"
)

// Kind is what a token is.
type Kind uint8

// The kinds of tokens. Which of them a dialect has is in dialect.Lexical.
const (
	BOM          Kind = iota + 1 // the byte order mark at the beginning of a file
	Space                        // white space, line ends included
	LineComment                  // -- or #, without its line end
	BlockComment                 // /* … */
	CondOpen                     // /*!40101 or /*M!100100: what follows, up to CondClose, is SQL for those versions
	CondClose                    // */ after a CondOpen

	Word        // a keyword or an identifier without quotes
	QuotedIdent // "…", `…`, […] or U&"…"
	Number      // 1, .5, 1e10, 0x1F
	Param       // $1, ?, ?1, :name and the like, where the dialect has them
	Variable    // @name, @@name

	String         // '…', and "…" in MySQL and MariaDB
	EscapeString   // E'…', and a '…' that continues it on another line
	DollarString   // $tag$ … $tag$
	UnicodeString  // U&'…'
	BitString      // B'…'
	HexString      // X'…'
	NationalString // N'…'

	Operator  // one operator, or a run of operator characters
	Punct     // one of ( ) [ ] { } , .
	Semicolon // ;
	Delimiter // what the DELIMITER directive has set

	Directive     // a line "DELIMITER …" of the mysql client, without its line end
	ClientCommand // \connect …, .read …, \G: a command to psql, sqlite3 or mysql that no server knows
	CopyData      // one line of the rows that follow COPY … FROM stdin, with its line end
	CopyEnd       // the line \. that ends them, with its line end
	Other         // a byte that begins nothing
)

var kindNames = [...]string{
	BOM: "BOM", Space: "Space", LineComment: "LineComment", BlockComment: "BlockComment", CondOpen: "CondOpen",
	CondClose: "CondClose", Word: "Word", QuotedIdent: "QuotedIdent", Number: "Number", Param: "Param", Variable: "Variable",
	String: "String", EscapeString: "EscapeString", DollarString: "DollarString", UnicodeString: "UnicodeString",
	BitString: "BitString", HexString: "HexString", NationalString: "NationalString", Operator: "Operator", Punct: "Punct",
	Semicolon: "Semicolon", Delimiter: "Delimiter", Directive: "Directive", ClientCommand: "ClientCommand",
	CopyData: "CopyData", CopyEnd: "CopyEnd", Other: "Other",
}

// String returns the kind's name.
func (k Kind) String() string {
	if k == 0 || int(k) >= len(kindNames) {
		return "unknown"
	}
	return kindNames[k]
}

// Trivia tells whether a token of the kind means nothing to the server: white space and comments.
func (k Kind) Trivia() bool { return k >= BOM && k <= BlockComment }

// IsString tells whether the kind is one of the strings.
func (k Kind) IsString() bool { return k >= String && k <= NationalString }

// Token is a piece of SQL. The texts of all tokens, joined, are the input.
type Token struct {
	Kind Kind
	Text string
	Pos  Position // of the first byte
	// Unterminated says that the input ended within the token: a string, a quoted identifier or a comment that isn't closed.
	Unterminated bool
}

// Is tells whether the token is a word without quotes, in any case: token.Is("CREATE").
func (t Token) Is(word string) bool { return t.Kind == Word && strings.EqualFold(t.Text, word) }

// Options of Tokens, Split and Pieces. The zero value, and nil, mean the defaults.
type Options struct {
	// File is the name that positions carry.
	File string
	// ANSIQuotes says that the servers' sql_mode has ANSI_QUOTES: "…" quotes an identifier. MySQL and MariaDB.
	ANSIQuotes bool
	// NoBackslashEscapes says that the servers' sql_mode has NO_BACKSLASH_ESCAPES: \ is an ordinary character in strings. MySQL
	// and MariaDB.
	NoBackslashEscapes bool
	// MaxStatementBytes bounds one statement, comments before it included. Default DefaultMaxStatementBytes, at
	// most 1 GiB, over which no server goes. Tokens has no use for it.
	MaxStatementBytes int
}

// Tokens returns the tokens of some SQL. It never fails: joined, their texts are the input whatever it is, and what can't be
// right shows in a token, as Other, ClientCommand or Unterminated. It takes time in proportion to the input, and memory for
// one token.
//
// The iterator may be used again and by several goroutines at once.
func Tokens(sql string, d dialect.Dialect, opts *Options) iter.Seq[Token] {
	o := orDefault(opts)
	return tokensFrom(sql, d, o, Position{File: o.File, Line: 1, Column: 1})
}

// tokensFrom takes the tokens of a text that stands at pos in its file.
func tokensFrom(sql string, d dialect.Dialect, opts Options, pos Position) iter.Seq[Token] {
	return func(yield func(Token) bool) {
		l := newLexer(d, opts)
		l.begun = pos.Offset > 0
		src, at := []byte(sql), pos
		for i := 0; i < len(src); {
			t := l.scan(src[i:])
			text := src[i : i+t.n]
			l.accept(t, text)
			if !yield(Token{t.kind, sql[i : i+t.n], at, t.open}) {
				return
			}
			at = at.after(text)
			i += t.n
		}
	}
}

func orDefault(opts *Options) Options {
	var o Options
	if opts != nil {
		o = *opts
	}
	if o.MaxStatementBytes <= 0 {
		o.MaxStatementBytes = DefaultMaxStatementBytes
	}
	o.MaxStatementBytes = min(o.MaxStatementBytes, 1<<30)
	return o
}

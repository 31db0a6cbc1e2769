package dialect

// Lexical is how a database tells the tokens of its SQL apart. What isn't a field is the same in all of them: '…' with a
// doubled quote is a string, -- starts a comment, X'…' is a hexadecimal string, a semicolon ends a statement.
type Lexical struct {
	NestedComments  bool // /* /* */ */ is one comment
	HashComments    bool // # starts a comment
	DashNeedsSpace  bool // -- is a comment only before a space or a control character: 1--1 is 2
	CRLineEnd       bool // a lone CR ends a line comment, not only LF
	Conditional     bool // /*! … */ holds SQL, with a version in front that says for whom
	ConditionalM    bool // and so does /*M! … */
	Backslash       bool // \ escapes in '…', unless the sql_mode NO_BACKSLASH_ESCAPES is on
	DoubleQuotes    bool // "…" is a string, unless the sql_mode ANSI_QUOTES is on; elsewhere it quotes an identifier
	Backticks       bool // `…` quotes an identifier
	Brackets        bool // […] quotes an identifier
	DollarQuotes    bool // $tag$ … $tag$ is a string
	DollarBodies    bool // so it is after AS alone: the body of a routine in JavaScript, since MySQL 9
	EscapeStrings   bool // E'…' is a string in which \ escapes
	UnicodeStrings  bool // U&'…' and U&"…"
	BitStrings      bool // B'…'
	NationalStrings bool // N'…'
	NestedBodies    bool // the bodies of routines are statements, with blocks of BEGIN, IF, LOOP and the like
	DigitWords      bool // an identifier may start with a digit: 2024_orders
	Variables       bool // @user and @@system variables

	// Client is the program that users feed files to by hand, with commands of its own in them.
	Client string
}

var (
	shared = Lexical{ // by MySQL and MariaDB
		HashComments: true, DashNeedsSpace: true, Conditional: true, Backslash: true, DoubleQuotes: true, Backticks: true,
		BitStrings: true, NationalStrings: true, NestedBodies: true, DigitWords: true, Variables: true,
	}
	lexicals = [...]Lexical{
		Postgres: {
			NestedComments: true, CRLineEnd: true, DollarQuotes: true, EscapeStrings: true, UnicodeStrings: true,
			BitStrings: true, NationalStrings: true, Client: "psql",
		},
		MySQL:   mysql(),
		MariaDB: mariadb(),
		SQLite:  {Backticks: true, Brackets: true, Client: "sqlite3"},
	}
)

func mysql() Lexical {
	l := shared
	l.DollarBodies, l.Client = true, "mysql"
	return l
}

func mariadb() Lexical {
	l := shared
	l.ConditionalM, l.Client = true, "mariadb"
	return l
}

// Lexical returns the facts for a dialect. It panics for a value that is no dialect: that is a mistake in the program.
func (d Dialect) Lexical() *Lexical {
	if !d.valid() {
		panic("dialect: Lexical of a value that is no dialect; see dialect.Parse")
	}
	l := lexicals[d]
	return &l
}

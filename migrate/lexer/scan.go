package lexer

import "bytes"

// scanned is a token that begins a text.
type scanned struct {
	kind Kind
	n    int  // its length, at least 1
	open bool // the text ended within it
	more bool // with more text it may turn out to be another one, however far its end is from the text's
}

// class is what a byte may be part of.
type class uint8

const (
	spaceByte class = 1 << iota
	wordStart
	wordByte
	digitByte
	operatorByte
	punctByte
)

// classesOf are the bytes' classes where a word may not start with a digit or a dollar sign, and where it may.
var classesOf = func() (both [2][256]class) {
	for i := range both {
		table := &both[i]
		for c := range 256 {
			switch c := byte(c); {
			case 'a' <= lower(c) && lower(c) <= 'z', c == '_', c >= 0x80:
				table[c] = wordStart | wordByte
			case '0' <= c && c <= '9':
				table[c] = wordByte | digitByte
			case c == '$':
				table[c] = wordByte
				if i == 1 {
					table[c] |= wordStart
				}
			case bytes.IndexByte([]byte(" \t\n\r\f\v"), c) >= 0:
				table[c] = spaceByte
			case bytes.IndexByte([]byte("~!@#^&|`?+-*/%<>=:"), c) >= 0:
				table[c] = operatorByte
			case bytes.IndexByte([]byte("()[]{},."), c) >= 0:
				table[c] = punctByte
			}
		}
	}
	return both
}()

// lookahead is how far behind the end of a token scan may look to tell where it ends: over a delimiter, or /*M!123456.
// A reader that has more to give must give that much.
const lookahead = 32

// scan returns the token that begins b, which isn't empty. What is called open ends with b.
func (l *lexer) scan(b []byte) scanned {
	if !l.begun && bytes.HasPrefix(b, []byte(bom)) {
		return scanned{kind: BOM, n: len(bom)}
	}
	if l.copy == copyRows {
		return copyRow(b)
	}
	if l.delimiter != "" && l.delimiterAt(b, 0) {
		return scanned{kind: Delimiter, n: len(l.delimiter)}
	}
	c := b[0]
	switch cl := l.classes[c]; {
	case cl&spaceByte != 0:
		return scanned{kind: Space, n: l.space(b)}
	case c == '$' && l.afterAs:
		return l.dollarBody(b)
	case cl&wordStart != 0:
		return l.word(b)
	case cl&digitByte != 0:
		return l.number(b)
	case c == ';':
		return scanned{kind: Semicolon, n: 1}
	case c == '\'':
		if l.escapes == afterLineEnd {
			return quoted(b, 0, true, EscapeString)
		}
		return quoted(b, 0, l.Backslash, String)
	case c == '"' && l.DoubleQuotes:
		return quoted(b, 0, l.Backslash, String)
	case c == '"', c == '`' && l.Backticks:
		return quoted(b, 0, false, QuotedIdent)
	case c == '[' && l.Brackets:
		return upTo(b, 1, "]", QuotedIdent)
	case cl&punctByte != 0:
		return l.punct(b)
	case c == '$':
		return l.dollar(b)
	case c == '\\':
		return l.backslash(b)
	case cl&operatorByte != 0:
		return l.operator(b)
	}
	return scanned{kind: Other, n: 1}
}

// space ends after its first line end if rows begin there.
func (l *lexer) space(b []byte) int {
	n := 1
	for n < len(b) && l.classes[b[n]]&spaceByte != 0 {
		n++
	}
	if l.copy == copyPending {
		if i := bytes.IndexByte(b[:n], '\n'); i >= 0 {
			return i + 1
		}
	}
	return n
}

// wordEnd returns where the word ends of which the first n bytes are known.
func (l *lexer) wordEnd(b []byte, n int) int {
	if l.delimiter == "" || l.wholeWord {
		for n < len(b) && l.classes[b[n]]&wordByte != 0 {
			n++
		}
		return n
	}
	for n < len(b) && l.classes[b[n]]&wordByte != 0 && !l.delimiterAt(b, n) { // END$$
		n++
	}
	return n
}

func (l *lexer) delimiterAt(b []byte, i int) bool {
	end := i + len(l.delimiter)
	if len(b) < end || string(b[i:end]) != l.delimiter {
		return false
	}
	return !l.wholeWord || end == len(b) || l.classes[b[end]]&wordByte == 0
}

func (l *lexer) word(b []byte) scanned {
	if len(b) > 1 && (b[1] == '\'' || b[1] == '&') {
		if t, ok := l.prefixed(b); ok {
			return t
		}
	}
	n := l.wordEnd(b, 1)
	if l.NestedBodies && l.atStart && !l.cond && isWord(b[:n], "delimiter") && (n == len(b) || l.classes[b[n]]&spaceByte != 0) {
		return scanned{kind: Directive, n: lineEnd(b)}
	}
	return scanned{kind: Word, n: n}
}

// prefixed scans a string with a letter before its quote, or U&"…".
func (l *lexer) prefixed(b []byte) (t scanned, ok bool) {
	quote := b[1] == '\''
	switch c := lower(b[0]); {
	case c == 'x' && quote:
		return quoted(b, 1, false, HexString), true
	case c == 'b' && quote && l.BitStrings:
		return quoted(b, 1, false, BitString), true
	case c == 'n' && quote && l.NationalStrings:
		return quoted(b, 1, l.Backslash, NationalString), true
	case c == 'e' && quote && l.EscapeStrings:
		return quoted(b, 1, true, EscapeString), true
	case c == 'u' && b[1] == '&' && l.UnicodeStrings && len(b) > 2 && b[2] == '\'':
		return quoted(b, 2, false, UnicodeString), true
	case c == 'u' && b[1] == '&' && l.UnicodeStrings && len(b) > 2 && b[2] == '"':
		return quoted(b, 2, false, QuotedIdent), true
	}
	return scanned{}, false
}

// number also scans what MySQL calls a word although it starts with a digit.
func (l *lexer) number(b []byte) scanned {
	n := l.digits(b, 0)
	switch {
	case n < len(b) && b[0] == '0' && n == 1 && bytes.IndexByte([]byte("xXoObB"), b[1]) >= 0:
		return scanned{kind: Number, n: l.wordEnd(b, 2)}
	case n < len(b) && lower(b[n]) == 'e':
		if end := l.exponent(b, n); end > n {
			return scanned{kind: Number, n: end}
		}
	}
	if l.DigitWords && n < len(b) && l.classes[b[n]]&wordByte != 0 && !(l.delimiter != "" && l.delimiterAt(b, n)) {
		return scanned{kind: Word, n: l.wordEnd(b, n+1)}
	}
	if n < len(b) && b[n] == '.' && (n+1 == len(b) || b[n+1] != '.') && !l.named { // 1..10 is a range
		n = l.digits(b, n+1)
	}
	return scanned{kind: Number, n: l.exponent(b, n)}
}

func (l *lexer) digits(b []byte, n int) int {
	for n < len(b) && (l.classes[b[n]]&digitByte != 0 || b[n] == '_' && !l.DigitWords) {
		n++
	}
	return n
}

// exponent returns the end of e10 or e-10 at n, or n.
func (l *lexer) exponent(b []byte, n int) int {
	if n == len(b) || lower(b[n]) != 'e' {
		return n
	}
	i := n + 1
	if i < len(b) && (b[i] == '-' || b[i] == '+') {
		i++
	}
	if i == len(b) || l.classes[b[i]]&digitByte == 0 {
		return n
	}
	return l.digits(b, i)
}

func (l *lexer) punct(b []byte) scanned {
	if b[0] != '.' || len(b) == 1 {
		return scanned{kind: Punct, n: 1}
	}
	switch next := l.classes[b[1]]; {
	case next&digitByte != 0 && !l.named:
		return scanned{kind: Number, n: l.exponent(b, l.digits(b, 1))}
	case l.sqlite && l.atStart && next&wordStart != 0: // no statement starts with a dot
		return scanned{kind: ClientCommand, n: lineEnd(b)}
	}
	return scanned{kind: Punct, n: 1}
}

// dollarBody scans $tag$…$tag$ for MySQL, or a word.
func (l *lexer) dollarBody(b []byte) scanned {
	n := 1
	for n < len(b) && b[n] != '$' && l.classes[b[n]]&wordByte != 0 {
		n++
	}
	if n < len(b) && b[n] == '$' {
		return upTo(b, n+1, string(b[:n+1]), DollarString)
	}
	t := l.word(b)
	t.more = n == len(b)
	return t
}

// dollar scans $tag$…$tag$ and $1 for PostgreSQL and $name for SQLite. In MySQL a word may start with it.
func (l *lexer) dollar(b []byte) scanned {
	n := 1
	for n < len(b) && b[n] != '$' && l.classes[b[n]]&wordByte != 0 {
		n++
	}
	switch {
	case l.DollarQuotes && n < len(b) && b[n] == '$' && (n == 1 || l.classes[b[1]]&digitByte == 0):
		return upTo(b, n+1, string(b[:n+1]), DollarString)
	case l.DollarQuotes && n == len(b) && (n == 1 || l.classes[b[1]]&digitByte == 0): // perhaps of a long tag
		return scanned{kind: Other, n: 1, more: true}
	case n == 1:
		return scanned{kind: Other, n: 1}
	case l.sqlite:
		return scanned{kind: Param, n: l.wordEnd(b, n)}
	case l.classes[b[1]]&digitByte != 0:
		return scanned{kind: Param, n: l.digits(b, 1)}
	}
	return scanned{kind: Other, n: 1}
}

// backslash scans \connect … for PostgreSQL, \G and the like for MySQL, whose \N is a word for NULL.
func (l *lexer) backslash(b []byte) scanned {
	switch {
	case l.postgres:
		return scanned{kind: ClientCommand, n: lineEnd(b)}
	case len(b) > 1 && l.NestedBodies && b[1] == 'N':
		return scanned{kind: Word, n: 2}
	case len(b) > 1 && l.NestedBodies && !l.cond && l.classes[b[1]]&wordStart != 0 && b[1] < 0x80:
		return scanned{kind: ClientCommand, n: 2}
	}
	return scanned{kind: Other, n: 1}
}

// operator also scans what starts like one: comments, variables, parameters.
func (l *lexer) operator(b []byte) scanned {
	if l.commentAt(b) {
		return l.comment(b)
	}
	var next class
	if len(b) > 1 {
		next = l.classes[b[1]]
	}
	switch c := b[0]; {
	case c == '*' && l.cond && len(b) > 1 && b[1] == '/':
		return scanned{kind: CondClose, n: 2}
	case c == ':' && !l.sqlite:
		return colon(b)
	case l.postgres:
		return scanned{kind: Operator, n: l.operatorEnd(b, "~!@#^&|`?+-*/%<>=")}
	case c == '@' && l.Variables:
		return l.variable(b)
	case (c == '@' || c == ':' || c == '#') && l.sqlite && next&wordByte != 0:
		return scanned{kind: Param, n: l.wordEnd(b, 1)}
	case c == '?' && l.sqlite:
		return scanned{kind: Param, n: l.digits(b, 1)}
	case c == '?':
		return scanned{kind: Param, n: 1}
	case c == ':':
		return colon(b)
	case c == '#', c == '@', c == '`':
		return scanned{kind: Other, n: 1}
	case bytes.IndexByte([]byte("<>=!&|"), c) >= 0:
		return scanned{kind: Operator, n: l.operatorEnd(b, "<>=!&|")}
	case c == '-' && len(b) > 1 && b[1] == '>': // -> and ->> take JSON apart
		if len(b) > 2 && b[2] == '>' {
			return scanned{kind: Operator, n: 3}
		}
		return scanned{kind: Operator, n: 2}
	}
	return scanned{kind: Operator, n: 1}
}

// operatorEnd ends the run where a comment or a delimiter begins, as servers and clients do.
func (l *lexer) operatorEnd(b []byte, of string) int {
	n := 1
	for n < len(b) && bytes.IndexByte([]byte(of), b[n]) >= 0 {
		if l.commentAt(b[n:]) || l.delimiter != "" && l.delimiterAt(b, n) {
			break
		}
		n++
	}
	return n
}

// colon keeps a single one apart: a label ends in it.
func colon(b []byte) scanned {
	if len(b) > 1 && (b[1] == ':' || b[1] == '=') {
		return scanned{kind: Operator, n: 2}
	}
	return scanned{kind: Operator, n: 1}
}

func (l *lexer) variable(b []byte) scanned {
	n := 1
	if n < len(b) && b[n] == '@' {
		n++
	}
	if n < len(b) && (b[n] == '`' || b[n] == '\'' || b[n] == '"') {
		return quoted(b, n, b[n] != '`' && l.Backslash, Variable)
	}
	for n < len(b) && (l.classes[b[n]]&wordByte != 0 || b[n] == '.') && !(l.delimiter != "" && l.delimiterAt(b, n)) {
		n++
	}
	return scanned{kind: Variable, n: n}
}

func (l *lexer) commentAt(b []byte) bool {
	switch {
	case b[0] == '#':
		return l.HashComments
	case len(b) < 2:
		return false
	case b[0] == '-' && b[1] == '-':
		return !l.DashNeedsSpace || len(b) == 2 || b[2] <= ' ' || b[2] == 0x7F
	}
	return b[0] == '/' && b[1] == '*'
}

// comment scans a text for which commentAt is true.
func (l *lexer) comment(b []byte) scanned {
	if b[0] != '/' {
		n := bytes.IndexByte(b, '\n')
		if n < 0 {
			n = len(b)
		}
		if i := bytes.IndexByte(b[:n], '\r'); i >= 0 && (l.CRLineEnd || i+1 == n) {
			n = i
		} else if n > 0 && b[n-1] == '\r' { // CRLF, with other CRs before it
			n--
		}
		return scanned{kind: LineComment, n: n}
	}
	if !l.cond {
		if n := l.condOpen(b); n > 0 {
			return scanned{kind: CondOpen, n: n}
		}
	}
	if !l.NestedComments {
		return upTo(b, 2, "*/", BlockComment)
	}
	depth := 1
	for n := 2; n < len(b); n++ {
		switch {
		case b[n] == '/' && n+1 < len(b) && b[n+1] == '*':
			depth++
			n++
		case b[n] == '*' && n+1 < len(b) && b[n+1] == '/':
			depth--
			n++
		}
		if depth == 0 {
			return scanned{kind: BlockComment, n: n + 1}
		}
	}
	return scanned{kind: BlockComment, n: len(b), open: true}
}

// condOpen returns the length of /*!40101, or 0 if a comment is an ordinary one.
func (l *lexer) condOpen(b []byte) int {
	n := 2
	if l.ConditionalM && n < len(b) && b[n] == 'M' {
		n++
	}
	if !l.Conditional || n == len(b) || b[n] != '!' {
		return 0
	}
	n++
	for end := min(len(b), n+6); n < end && l.classes[b[n]]&digitByte != 0; { // MySQL 8 writes versions of 5 or 6 digits
		n++
	}
	return n
}

// quoted scans what is quoted by the byte at b[i], which is doubled to stand for itself.
func quoted(b []byte, i int, backslash bool, kind Kind) scanned {
	quote := b[i]
	for i++; i < len(b); {
		switch {
		case backslash:
			for i < len(b) && b[i] != quote && b[i] != '\\' {
				i++
			}
			if i < len(b) && b[i] == '\\' {
				i += 2
				continue
			}
		default:
			next := bytes.IndexByte(b[i:], quote)
			if next < 0 {
				return scanned{kind: kind, n: len(b), open: true}
			}
			i += next
		}
		if i >= len(b) {
			break
		}
		if i++; i == len(b) || b[i] != quote {
			return scanned{kind: kind, n: i}
		}
		i++
	}
	return scanned{kind: kind, n: len(b), open: true}
}

// upTo scans a token that goes on to the first end at or after from.
func upTo(b []byte, from int, end string, kind Kind) scanned {
	if i := bytes.Index(b[from:], []byte(end)); i >= 0 {
		return scanned{kind: kind, n: from + i + len(end)}
	}
	return scanned{kind: kind, n: len(b), open: true}
}

// lineEnd returns the length of the first line without its line end.
func lineEnd(b []byte) int {
	if n := bytes.IndexByte(b, '\n'); n >= 0 {
		b = b[:n]
	}
	return len(bytes.TrimSuffix(b, []byte{'\r'}))
}

func copyRow(b []byte) scanned {
	n := bytes.IndexByte(b, '\n') + 1
	if n == 0 {
		n = len(b)
	}
	if string(bytes.TrimRight(b[:n], "\r\n")) == `\.` {
		return scanned{kind: CopyEnd, n: n}
	}
	return scanned{kind: CopyData, n: n}
}

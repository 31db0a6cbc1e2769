package lexer

import (
	"bytes"
	"errors"
	"io"
	"iter"

	"github.com/buffkit/buffkit/migrate/dialect"
)

// DefaultMaxStatementBytes is Options.MaxStatementBytes when it is 0.
const DefaultMaxStatementBytes = 64 << 20 // max_allowed_packet of MySQL 8 and 9: a larger one would not get there either

// Statement is one statement of a file and the text around it.
type Statement struct {
	// Text is all that belongs to it: what stands before it since the statement before, its terminator, and what follows on the
	// terminator's line if that is only comments. The Texts of all pieces, joined, are the file.
	Text string
	// SQL is what the server is sent: from the comments right before the statement to its last token, without the terminator. It is
	// "" for a piece that has nothing for the server: comments at the end of the file, an empty statement, a DELIMITER line.
	SQL string
	// Pos is the place of the statement's first token that isn't a comment; that of Text if SQL is "".
	Pos Position

	start   Position // of Text
	sql     int      // where SQL starts in Text
	before  string   // the line of the file before Text, as far as messages show it
	dialect dialect.Dialect
	opts    Options
}

// Split takes a file apart into its statements. It needs no annotations: it knows the strings and comments of the dialect
// and the bodies of functions, procedures, triggers and events.
//
// A statement is yielded as soon as the line of its terminator was read. The last one needs no terminator. When the text
// can't be taken apart, or the reader fails, the iteration ends with an error and a zero Statement; statements before the
// fault have been yielded by then, so look at all before you run one. The error is an *Error if it is the text's fault.
//
// Memory is bounded by about three times the longest statement, and that by Options.MaxStatementBytes. Split doesn't close the
// reader, and the iterator can be used once.
func Split(r io.Reader, d dialect.Dialect, opts *Options) iter.Seq2[Statement, error] {
	return func(yield func(Statement, error) bool) {
		for piece, err := range Pieces(r, d, opts) {
			if err == nil && piece.SQL == "" {
				continue
			}
			if !yield(piece, err) {
				return
			}
		}
	}
}

// Pieces is Split without loss: it also yields the text that belongs to no statement, with an empty SQL. The Texts of all
// pieces, joined, are the file; if the iteration ends with an error, they are its beginning.
func Pieces(r io.Reader, d dialect.Dialect, opts *Options) iter.Seq2[Statement, error] {
	return newSplitter(r, d, orDefault(opts)).pieces
}

// Tokens returns the tokens of SQL, with their positions in the file.
func (s Statement) Tokens() iter.Seq[Token] {
	return tokensFrom(s.SQL, s.dialect, s.opts, s.Locate(0))
}

// TextTokens returns the tokens of Text, with their positions in the file: those of SQL and of what stands around it. A delimiter
// that DELIMITER has set isn't known here.
func (s Statement) TextTokens() iter.Seq[Token] {
	return tokensFrom(s.Text, s.dialect, s.opts, s.start)
}

// Locate returns the position of a byte of SQL in the file, for what a server reports. PostgreSQL counts characters and from 1.
func (s Statement) Locate(offset int) Position {
	offset = min(max(offset, 0), len(s.SQL))
	return s.start.after([]byte(s.Text[:s.sql+offset]))
}

// Fault returns an error that shows the place of a byte of SQL in the file, for what a server or a linter has against it.
func (s Statement) Fault(offset int, msg, hint string, err error) *Error {
	offset = s.sql + min(max(offset, 0), len(s.SQL))
	line, column := excerpt([]byte(s.before+s.Text[:offset]), []byte(s.Text[offset:]))
	return &Error{Pos: s.Locate(offset - s.sql), Msg: msg, Hint: hint, Line: line, Column: column, Err: err}
}

// splitter takes piece after piece off its window. All ints are offsets in the window, that is, from the piece's start.
type splitter struct {
	window
	lex     *lexer
	body    body
	dialect dialect.Dialect
	opts    Options
	start   Position
	before  []byte // the line before the window, for messages

	pos  int // the next token
	sql  int // the first comment or token of the statement, -1 before
	code int // its first token that isn't trivia, -1 before
	end  int // behind its last token, semicolons at the end not counted
	cond int // the last conditional comment
}

func newSplitter(r io.Reader, d dialect.Dialect, opts Options) *splitter {
	return &splitter{
		window:  window{r: r, step: firstBytes, max: opts.MaxStatementBytes},
		lex:     newLexer(d, opts),
		body:    newBody(d),
		dialect: d,
		opts:    opts,
		start:   Position{File: opts.File, Line: 1, Column: 1},
	}
}

func (s *splitter) pieces(yield func(Statement, error) bool) {
	for {
		piece, err := s.next()
		switch {
		case errors.Is(err, io.EOF):
			return
		case err != nil:
			yield(Statement{}, err)
			return
		case !yield(piece, nil):
			return
		}
	}
}

// next returns the next piece, or io.EOF.
func (s *splitter) next() (Statement, error) {
	s.pos, s.sql, s.code, s.end = 0, -1, -1, 0
	s.body.reset()
	for {
		t, err := s.scan()
		if err != nil {
			if errors.Is(err, io.EOF) {
				return s.last()
			}
			return Statement{}, err
		}
		at, text := s.pos, s.buf[s.pos:s.pos+t.n]
		done, err := s.take(t, at, text)
		if err != nil {
			return Statement{}, err
		}
		s.lex.accept(t, text)
		s.pos += t.n
		if done {
			return s.piece(s.tail())
		}
	}
}

// scan returns the token at pos when the window shows for sure where it ends.
func (s *splitter) scan() (scanned, error) {
	for {
		// No more is looked at than shows that a statement is too large, so that it is alike however much was read.
		b := s.buf[s.pos:min(len(s.buf), s.max+2*lookahead)]
		whole := len(s.buf) >= s.max+2*lookahead
		var t scanned
		if len(b) > 0 {
			t = s.lex.scan(b)
		}
		if !whole && (t.more || t.n+lookahead > len(b)) {
			switch {
			case !s.eof():
				s.more(s.pos)
				continue
			case s.readErr() != nil:
				return t, s.readFault()
			case len(b) == 0:
				return t, io.EOF
			}
		}
		if s.pos+t.n > s.max {
			return t, s.tooLarge(t.kind)
		}
		return t, s.checkStart()
	}
}

// take takes a token into the piece. It returns true if the token ends it.
func (s *splitter) take(t scanned, at int, text []byte) (done bool, err error) {
	switch {
	case t.open:
		return false, s.unterminated(t, at)
	case t.kind == BOM, t.kind == Space:
		return false, nil
	case t.kind == LineComment, t.kind == BlockComment:
		if s.sql < 0 {
			s.sql = at
		}
		return false, nil
	case t.kind == Delimiter:
		return true, s.openCond()
	case t.kind == Semicolon:
		return s.semicolon()
	case t.kind == Directive:
		_, err := parseDelimiter(text)
		if err != nil {
			return false, s.fault(at, ErrDelimiter, err.Error(), "write it on a line of its own, as DELIMITER //")
		}
		return true, s.bodyFault(s.body.open())
	case t.kind == ClientCommand:
		return s.clientCommand(at, text)
	}
	if s.code < 0 {
		s.code = at
		if s.sql < 0 {
			s.sql = at
		}
	}
	s.end = at + t.n
	if t.kind == CondOpen {
		s.cond = at
	}
	return false, s.bodyFault(s.body.code(t.kind, text, at))
}

// semicolon tells whether a semicolon ends the piece. Under a DELIMITER it also does, unless the statement has a body: the
// mysql client sends the server several statements then, which we send one by one.
func (s *splitter) semicolon() (done bool, err error) {
	inside, f := s.body.semicolon(s.lex.delimiter != "")
	if s.lex.cond {
		return false, nil
	}
	return !inside, s.bodyFault(f)
}

// last returns what stands at the end of the file without a terminator.
func (s *splitter) last() (Statement, error) {
	if len(s.buf) == 0 {
		return Statement{}, io.EOF
	}
	if err := s.openCond(); err != nil {
		return Statement{}, err
	}
	if err := s.bodyFault(s.body.open()); err != nil {
		return Statement{}, err
	}
	return s.piece(s.pos)
}

// openCond returns what is wrong if the statement ends within a conditional comment.
func (s *splitter) openCond() error {
	if !s.lex.cond {
		return nil
	}
	return s.fault(s.cond, ErrUnterminated, "this conditional comment is never closed", "close it with */")
}

// bodyFault lets what a body says pass under a DELIMITER: there the text says itself where a statement ends.
func (s *splitter) bodyFault(f *fault) error {
	if f == nil || s.lex.delimiter != "" {
		return nil
	}
	return s.fault(f.at, f.err, f.msg, f.hint)
}

// piece takes the first n bytes off the window.
func (s *splitter) piece(n int) (Statement, error) {
	text := s.buf[:n]
	if i := bytes.IndexByte(text, 0); i >= 0 {
		return Statement{}, s.zeroByte(i)
	}
	p := Statement{Text: string(text), start: s.start, Pos: s.start, before: string(s.before), dialect: s.dialect, opts: s.opts}
	if s.code >= 0 {
		p.sql = s.sql
		p.SQL = p.Text[s.sql:s.end]
		p.Pos = s.start.after(text[:s.code])
	}
	s.start = s.start.after(text)
	s.keepLine(text)
	s.drop(n)
	return p, nil
}

// keepLine keeps the beginning of the line that goes on in the next piece.
func (s *splitter) keepLine(text []byte) {
	if i := bytes.LastIndexByte(text, '\n'); i >= 0 {
		s.before, text = s.before[:0], text[i+1:]
	}
	s.before = append(s.before, text[max(0, len(text)-excerptBytes):]...)
	if len(s.before) > excerptBytes {
		s.before = append(s.before[:0], s.before[len(s.before)-excerptBytes:]...)
	}
}

// tail returns the end of the piece whose terminator ends at pos: of the terminator's line, if only comments follow on it.
func (s *splitter) tail() int {
	for at := s.pos; ; {
		b := s.buf[at:]
		switch n, more, end := s.tailPart(b); {
		case !s.eof() && n+lookahead > len(b) && at+n <= s.max:
			s.more(at)
		case end:
			return at + n
		case !more || at+n > s.max:
			return s.pos
		default:
			at += n
		}
	}
}

// tailPart scans one token of the tail. end says that the line is over behind it, more that the line goes on.
func (s *splitter) tailPart(b []byte) (n int, more, end bool) {
	if len(b) == 0 {
		return 0, false, true
	}
	t := s.lex.scan(b)
	line := bytes.IndexByte(b[:t.n], '\n')
	switch {
	case t.kind == Space && line >= 0:
		return line + 1, false, true
	case t.kind == Space, t.kind == LineComment, t.kind == BlockComment && line < 0 && !t.open:
		return t.n, true, false
	}
	return t.n, false, false
}

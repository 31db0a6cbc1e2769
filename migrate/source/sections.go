package source

import (
	"bytes"
	"fmt"
	"io"
	"iter"
	"regexp"
	"strings"

	"github.com/buffkit/buffkit/migrate/lexer"
)

// marker is the line that begins a section; what may follow is dbmate's option.
var marker = regexp.MustCompile(`^--\s*migrate:(\S+)\s*(.*?)\s*$`)

// sections reads a file that holds both directions.
func (l *loader) sections(path string) (upScript, downScript *Script) {
	p := &parsing{loader: l, path: path, scripts: map[string]*Script{}}
	if !p.parse() {
		return nil, nil
	}
	if len(p.scripts) == 0 && l.opts.Plain {
		return l.script(path), nil
	}
	if p.scripts["up"] == nil && p.size > 0 {
		l.fail(path, "there is no line -- migrate:up in it",
			"add one, or rename it to "+upName(path))
		return nil, nil
	}
	if p.size == 0 { // a file of no bytes does nothing
		return l.script(path), nil
	}
	for _, s := range p.scripts {
		s.Header = p.shared.merge(s.Header)
		if _, err := s.read(); err != nil {
			l.errs = append(l.errs, fmt.Errorf("source: read %s: %w", path, err))
			return nil, nil
		}
	}
	return p.scripts["up"], p.scripts["down"]
}

func upName(path string) string { return strings.TrimSuffix(path, ".sql") + ".up.sql" }

// parsing goes through a file with sections.
type parsing struct {
	*loader
	path    string
	shared  Header // above the first section
	scripts map[string]*Script
	current *Script
	inHead  bool // only comments since the section's line
	size    int64
	bad     bool
	begun   bool // Plain: there is SQL that is in no section
}

func (p *parsing) parse() (ok bool) {
	file, err := p.fsys.Open(p.path)
	if err != nil {
		p.errs = append(p.errs, fmt.Errorf("source: read %s: %w", p.path, err))
		return false
	}
	defer file.Close()
	p.inHead = true
	for piece, err := range lexer.Pieces(file, p.dialect, p.lexerOptions(p.path)) {
		if err != nil {
			p.errs = append(p.errs, err)
			return false
		}
		for token := range piece.TextTokens() {
			p.token(token)
		}
		p.size += int64(len(piece.Text))
	}
	if p.current != nil {
		p.current.part.to = p.size
	}
	return !p.bad
}

func (p *parsing) token(token lexer.Token) {
	if token.Kind == lexer.LineComment && token.Pos.Column == 1 {
		if match := marker.FindStringSubmatch(token.Text); match != nil {
			p.begin(token, match[1], match[2])
			return
		}
	}
	switch {
	case !token.Kind.Trivia() && p.current == nil && p.opts.Plain:
		p.begun = true
	case !token.Kind.Trivia() && p.current == nil:
		p.fault(token, "this stands above the first section", "begin the file with -- migrate:up, or rename it to "+upName(p.path)+" if there are none")
		p.current = &Script{part: &section{}} // said once
	case !token.Kind.Trivia():
		p.inHead = false
	case p.inHead && p.current == nil:
		p.header(&p.shared, token)
	case p.inHead:
		p.header(&p.current.Header, token)
	}
}

func (p *parsing) fault(token lexer.Token, msg, hint string) {
	if p.bad {
		return
	}
	p.bad = true
	line, _, _ := strings.Cut(token.Text, "\n")
	p.errs = append(p.errs, &lexer.Error{Pos: token.Pos, Msg: msg, Hint: hint, Line: strings.TrimSpace(line), Column: 1, Err: ErrHeader})
}

// begin ends the section before.
func (p *parsing) begin(token lexer.Token, name, option string) {
	switch {
	case p.begun:
		p.fault(token, "there is SQL above this section", "put it into a section, or take the sections out")
	case name != "up" && name != "down":
		p.fault(token, "there is no section "+name, "write -- migrate:up or -- migrate:down")
	case p.scripts[name] != nil:
		p.fault(token, "this is the second section "+name, "put both into one, or into migrations of their own")
	case option != "" && option != "transaction:false" && option != "transaction:true":
		p.fault(token, "this section's line has an option that nobody knows: "+option, "write -- migrate:"+name+" alone, and headers below it")
	}
	if p.current != nil {
		p.current.part.to = token.Pos.Offset
	}
	p.current = &Script{Path: p.path, fsys: p.fsys, dialect: p.dialect, part: &section{from: token.Pos.Offset + int64(len(token.Text))}}
	p.current.Header.NoTransaction = option == "transaction:false"
	p.scripts[name], p.inHead = p.current, true
}

// Open returns the script's text as it stands in the file; of a small one, as it was when it was loaded. Where the file has sections it is as long as the file up to the section's
// end, with white space for what isn't the script's, so that positions are those of the file.
func (s *Script) Open() (io.ReadCloser, error) {
	if s.kept != nil {
		return io.NopCloser(bytes.NewReader(s.kept)), nil
	}
	file, err := s.fsys.Open(s.Path)
	if err != nil || s.part == nil {
		return file, err
	}
	return &sectionReader{Closer: file, r: io.LimitReader(file, s.part.to), blank: s.part.from}, nil
}

// sectionReader blanks what stands above a section.
type sectionReader struct {
	io.Closer
	r     io.Reader
	blank int64 // bytes left to blank
}

func (s *sectionReader) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	for i := range min(int64(n), s.blank) {
		if p[i] != '\n' {
			p[i] = ' '
		}
	}
	s.blank -= min(int64(n), s.blank)
	return n, err
}

// Statements takes the script apart: lexer.Split with the positions of the file. The error is the file system's, that of Split, or
// a *lexer.Error with ErrHeader: a header at the beginning of a line below the first statement, where it would have no effect.
func (s *Script) Statements(opts *Options) iter.Seq2[lexer.Statement, error] {
	return func(yield func(lexer.Statement, error) bool) {
		var o lexer.Options
		if opts != nil {
			o = opts.Lexer
		}
		o.File = s.Path
		r, err := s.Open()
		if err != nil {
			yield(lexer.Statement{}, fmt.Errorf("source: open %s: %w", s.Path, err))
			return
		}
		defer r.Close()
		begun := false
		for statement, err := range lexer.Split(r, s.dialect, &o) {
			if err == nil {
				err = late(statement, begun)
				begun = true
			}
			if err != nil {
				yield(lexer.Statement{}, err)
				return
			}
			if !yield(statement, nil) {
				return
			}
		}
	}
}

package source

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/buffkit/buffkit/migrate/dialect"
	"github.com/buffkit/buffkit/migrate/lexer"
)

// Migration is one version of a source.
type Migration struct {
	Version Version
	Name    string  // from the file's name
	Up      *Script // never nil
	Down    *Script // nil if there is none
}

// Script is the SQL of one direction.
type Script struct {
	Path     string
	Header   Header
	Checksum string // sha256:…, see the package comment
	Size     int64  // in bytes, of its section if the file has sections; 0 does nothing

	fsys    fs.FS
	dialect dialect.Dialect
	part    *section // what belongs to it; nil for the whole file
	kept    []byte   // the whole file, if it is small
}

// section is a part of a file in bytes, from behind the comment that names it to the next one.
type section struct{ from, to int64 }

// Options of Load. nil and the zero value mean the defaults.
type Options struct {
	// Lexer is how the files are read; its File is set by Load.
	Lexer lexer.Options
	// Plain takes a file without direction and without sections for one that goes up: seeds have no way down.
	Plain bool
}

// Load finds the migrations of a folder for one dialect, in the order of their versions. It reads every file once, to take its checksum
// and, where a file has sections, to find them; whether the SQL can be taken apart is for Statements to say.
//
// The error joins all that is wrong with the files: a *FileError for each that can't be a migration, a *lexer.Error for a
// header. With an error there are no migrations. A folder without files is no error.
func Load(fsys fs.FS, d dialect.Dialect, opts *Options) ([]Migration, error) {
	entries, err := fs.ReadDir(fsys, ".")
	if err != nil {
		return nil, fmt.Errorf("source: read the folder: %w", err)
	}
	l := loader{fsys: fsys, dialect: d, versions: map[string]*files{}}
	if opts != nil {
		l.opts = *opts
	}
	for _, entry := range entries {
		base := entry.Name()
		if entry.IsDir() || base[0] == '.' || !strings.EqualFold(path.Ext(base), ".sql") {
			continue
		}
		if kind(fsys, entry)&(fs.ModeNamedPipe|fs.ModeSocket|fs.ModeDevice) != 0 {
			l.fail(base, "it isn't a file, but a pipe, a socket or a device", "remove it") // to open a pipe would wait for ever
			continue
		}
		f, err := parseFilename(base)
		if err != nil {
			l.errs = append(l.errs, err)
			continue
		}
		l.take(base, f)
	}
	migrations := l.migrations()
	if len(l.errs) > 0 {
		return nil, errors.Join(l.errs...)
	}
	return migrations, nil
}

// kind is what an entry is, or what it links to. A link that leads nowhere is for whoever opens it.
func kind(fsys fs.FS, entry fs.DirEntry) fs.FileMode {
	if entry.Type()&fs.ModeSymlink != 0 {
		if info, err := fs.Stat(fsys, entry.Name()); err == nil {
			return info.Mode()
		}
	}
	return entry.Type()
}

type loader struct {
	fsys     fs.FS
	dialect  dialect.Dialect
	opts     Options
	versions map[string]*files // by the number, without leading zeros
	errs     []error
}

// files are those of one version.
type files struct {
	first    filename
	path     string                // of the first one
	chosen   [3]string             // by direction: the paths that this dialect takes
	rank     [3]int                // how well they fit
	byKind   map[filename]struct{} // to find two that are the same
	upExists bool                  // for any dialect
}

func (l *loader) fail(path, msg, hint string) {
	l.errs = append(l.errs, &FileError{path, msg, hint})
}

func (l *loader) take(base string, f filename) {
	key := strings.TrimLeft(string(f.version), "0")
	v := l.versions[key]
	if v == nil {
		v = &files{first: f, path: base, byKind: map[filename]struct{}{}}
		l.versions[key] = v
	}
	if f.name != v.first.name || f.version != v.first.version {
		l.fail(base, "its version is also that of "+v.path, "give one of them another version, or both the same version and name")
		return
	}
	if _, twice := v.byKind[f]; twice {
		l.fail(base, "another file is for the same version, database and direction", "keep one of them")
		return
	}
	v.byKind[f] = struct{}{}
	v.upExists = v.upExists || f.direction != down
	if rank := l.rank(f.dialect); rank > v.rank[f.direction] {
		v.chosen[f.direction], v.rank[f.direction] = base, rank
	}
}

// rank tells how well a file fits the dialect, 0 not at all.
func (l *loader) rank(d dialect.Dialect) int {
	switch {
	case d == l.dialect:
		return 3
	case d == dialect.MySQL && l.dialect == dialect.MariaDB:
		return 2
	case d == 0:
		return 1
	}
	return 0
}

func (l *loader) migrations() (all []Migration) {
	for _, v := range l.versions {
		if m, ok := l.migration(v); ok {
			all = append(all, m)
		}
	}
	slices.SortFunc(all, func(a, b Migration) int { return a.Version.Compare(b.Version) })
	slices.SortFunc(l.errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return all
}

// migration makes one of the files that fit best.
func (l *loader) migration(v *files) (m Migration, ok bool) {
	m = Migration{Version: v.first.version, Name: v.first.name}
	switch {
	case !v.upExists:
		l.fail(v.path, "there is no file to go up", "add "+string(m.Version)+"_"+m.Name+".up.sql, or remove it")
		return m, false
	case v.chosen[both] != "" && v.chosen[up]+v.chosen[down] != "":
		l.fail(v.chosen[both], "there is also "+v.chosen[up]+v.chosen[down], "keep one file with sections, or one for each direction")
		return m, false
	case v.chosen[both] != "":
		m.Up, m.Down = l.sections(v.chosen[both])
	case v.chosen[up] != "":
		m.Up = l.script(v.chosen[up])
		if v.chosen[down] != "" {
			m.Down = l.script(v.chosen[down])
		}
	}
	return m, m.Up != nil // nil if all its files are for other dialects, or bad
}

func (l *loader) lexerOptions(path string) *lexer.Options {
	o := l.opts.Lexer
	o.File = path
	return &o
}

// keepBytes is how large a file may be that is read once and kept. It is opened up to five times otherwise, which shows with
// thousands of them; 10,000 of this size are 40 MB.
const keepBytes = 4 << 10

// headBytes is how far headers are looked for.
const headBytes = 64 << 10

// script reads a file of one direction.
func (l *loader) script(path string) *Script {
	s := &Script{Path: path, fsys: l.fsys, dialect: l.dialect}
	head, err := s.read()
	if err != nil {
		l.errs = append(l.errs, fmt.Errorf("source: read %s: %w", path, err))
		return nil
	}
	for token := range lexer.Tokens(string(head), l.dialect, l.lexerOptions(path)) {
		if !token.Kind.Trivia() {
			break
		}
		l.header(&s.Header, token)
	}
	return s
}

func (l *loader) header(h *Header, token lexer.Token) {
	if token.Kind != lexer.LineComment {
		return
	}
	if msg, hint := h.add(token); msg != "" {
		l.errs = append(l.errs, &lexer.Error{Pos: token.Pos, Msg: msg, Hint: hint, Line: token.Text, Column: 1, Err: ErrHeader})
	}
}

// ErrHeader is in the *lexer.Error of a header or a section's line that can't be read.
var ErrHeader = errors.New("source: bad header")

// room is how much of a file is read at once: a small one as a whole, so that its end is seen too.
func room(r io.Reader) int64 {
	if f, ok := r.(fs.File); ok {
		if info, err := f.Stat(); err == nil {
			return min(info.Size()+1, headBytes)
		}
	}
	return headBytes
}

// read takes the checksum, and returns the beginning of the file.
func (s *Script) read() (head []byte, err error) {
	r, err := s.Open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	if s.part != nil {
		if _, err := io.CopyN(io.Discard, r, s.part.from); err != nil {
			return nil, err
		}
	}
	sum, buf := newChecksum(), make([]byte, room(r))
	for {
		n, err := io.ReadFull(r, buf)
		s.Size += int64(n)
		sum.add(buf[:n])
		head = append(head, buf[:min(n, headBytes-len(head))]...)
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			s.Checksum = sum.sum()
			if s.part == nil && s.Size <= keepBytes {
				s.kept = head
			}
			return head, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

package source

import (
	"io/fs"
	"strings"
	"time"

	"github.com/buffkit/buffkit/migrate/dialect"
)

// FromText makes a script of a text that is in no folder, with the headers at its top. The path is for messages only.
func FromText(path, text string, d dialect.Dialect, opts *Options) (*Script, error) {
	l := loader{fsys: textFS{text}, dialect: d}
	if opts != nil {
		l.opts = *opts
	}
	s := l.script(path)
	if len(l.errs) > 0 {
		return nil, l.errs[0]
	}
	return s, nil
}

// textFS has one file, under every name.
type textFS struct{ text string }

func (f textFS) Open(name string) (fs.File, error) {
	return textFile{strings.NewReader(f.text), name}, nil
}

type textFile struct {
	*strings.Reader
	name string
}

func (f textFile) Stat() (fs.FileInfo, error) { return f, nil }
func (f textFile) Close() error               { return nil }
func (f textFile) Name() string               { return f.name }
func (f textFile) Mode() fs.FileMode          { return 0o444 }
func (f textFile) ModTime() time.Time         { return time.Time{} }
func (f textFile) IsDir() bool                { return false }
func (f textFile) Sys() any                   { return nil }

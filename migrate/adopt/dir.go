package adopt

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/buffkit/buffkit/migrate/dialect"
	"github.com/buffkit/buffkit/migrate/source"
)

// Dir is a tool's folder as package source reads it. It is an fs.FS: the FS of a migrate.Source.
type Dir struct {
	tool    Tool
	dialect dialect.Dialect
	fsys    fs.FS
	files   map[string]*file // by the name they have here
	names   []string         // those, sorted
	left    []string
	stems   map[source.Version]string // of golang-migrate's pairs
}

// file is one of the tool's files as it appears in a Dir.
type file struct {
	path    string // in the tool's folder
	name    string // here
	version source.Version
	convert func(text string) (string, error) // nil: it is what it is
	info    fs.FileInfo
}

// Open reads the folder of a tool. The files are read again when they are used; a Dir doesn't notice new ones.
//
// The error joins a *source.FileError for each file that can't be read here, with what to write instead.
func Open(fsys fs.FS, tool Tool, d dialect.Dialect) (*Dir, error) {
	if _, err := ParseTool(string(tool)); err != nil {
		return nil, err
	}
	dir := &Dir{tool: tool, dialect: d, fsys: fsys, files: map[string]*file{}, stems: map[source.Version]string{}}
	paths, err := dir.list()
	if err != nil {
		return nil, fmt.Errorf("adopt: read the folder: %w", err)
	}
	var errs []error
	for _, p := range paths {
		if err := dir.add(p); err != nil {
			errs = append(errs, err)
		}
	}
	slices.Sort(dir.names)
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return dir, nil
}

// list returns the files of the folder; pop reads the folders within it too.
func (d *Dir) list() (paths []string, err error) {
	err = fs.WalkDir(d.fsys, ".", func(p string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && p != "." && d.tool != Pop:
			return fs.SkipDir
		case !entry.IsDir() && path.Base(p)[0] != '.':
			paths = append(paths, p)
		}
		return nil
	})
	return paths, err
}

// Tool returns whose folder it is.
func (d *Dir) Tool() Tool { return d.tool }

// Left returns the files that aren't migrations here, each with the reason: migrations in Go above all.
func (d *Dir) Left() []string { return slices.Clone(d.left) }

func (d *Dir) leave(path, why string) { d.left = append(d.left, path+": "+why) }

// add takes a file in.
func (d *Dir) add(p string) error {
	text, err := fs.ReadFile(d.fsys, p)
	if err != nil {
		return fmt.Errorf("adopt: read %s: %w", p, err)
	}
	all, err := d.take(p, string(text))
	if err != nil {
		return err
	}
	for _, f := range all {
		if other := d.files[f.name]; other != nil {
			return fault(p, "it is the same migration as "+other.path, "keep one of them, or give it another version")
		}
		if err := d.check(f, string(text)); err != nil {
			return err
		}
		d.files[f.name] = f
		d.names = append(d.names, f.name)
	}
	return nil
}

// check converts a file once, for its faults and its size.
func (d *Dir) check(f *file, text string) error {
	size, at := int64(len(text)), time.Time{}
	if f.convert != nil {
		converted, err := f.convert(text)
		if err != nil {
			return err
		}
		size = int64(len(converted))
	}
	if info, err := fs.Stat(d.fsys, f.path); err == nil {
		at = info.ModTime()
	}
	f.info = info{f.name, size, at}
	return nil
}

func fault(path, msg, hint string) error { return &source.FileError{Path: path, Msg: msg, Hint: hint} }

// versions are those of the migrations, in their order.
func (d *Dir) versions() (all []source.Version) {
	for _, f := range d.files {
		if !strings.HasSuffix(f.name, ".down.sql") {
			all = append(all, f.version)
		}
	}
	slices.SortFunc(all, source.Version.Compare)
	return slices.CompactFunc(all, func(a, b source.Version) bool { return a.Compare(b) == 0 })
}

// Open opens a file by the name that it has here, or "." for the folder.
func (d *Dir) Open(name string) (fs.File, error) {
	if name == "." {
		return &folder{dir: d}, nil
	}
	f := d.files[name]
	if f == nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	if f.convert == nil {
		opened, err := d.fsys.Open(f.path)
		return renamed{opened, f.info.Name()}, err
	}
	text, err := fs.ReadFile(d.fsys, f.path)
	if err != nil {
		return nil, err
	}
	converted, err := f.convert(string(text))
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return &memory{strings.NewReader(converted), info{f.name, int64(len(converted)), f.info.ModTime()}}, nil
}

// info is a file's.
type info struct {
	name string
	size int64
	at   time.Time
}

func (i info) Name() string       { return i.name }
func (i info) Size() int64        { return i.size }
func (i info) Mode() fs.FileMode  { return 0o444 }
func (i info) ModTime() time.Time { return i.at }
func (i info) IsDir() bool        { return false }
func (i info) Sys() any           { return nil }

// renamed is a file of the tool under the name that it has here.
type renamed struct {
	fs.File
	name string
}

// Stat returns the file's own size, which may have changed since Open.
func (r renamed) Stat() (fs.FileInfo, error) {
	i, err := r.File.Stat()
	if err != nil {
		return nil, err
	}
	return info{r.name, i.Size(), i.ModTime()}, nil
}

// memory is a converted file.
type memory struct {
	*strings.Reader
	info info
}

func (m *memory) Stat() (fs.FileInfo, error) { return m.info, nil }
func (m *memory) Close() error               { return nil }

// folder is the Dir itself, opened.
type folder struct {
	dir  *Dir
	next int
}

type folderInfo struct{ info }

func (folderInfo) Mode() fs.FileMode { return fs.ModeDir | 0o555 }
func (folderInfo) IsDir() bool       { return true }

func (f *folder) Stat() (fs.FileInfo, error) { return folderInfo{info{name: "."}}, nil }
func (f *folder) Close() error               { return nil }

func (f *folder) Read([]byte) (int, error) {
	return 0, &fs.PathError{Op: "read", Path: ".", Err: errors.New("it is a folder")}
}

func (f *folder) ReadDir(n int) (all []fs.DirEntry, err error) {
	for ; f.next < len(f.dir.names) && (n <= 0 || len(all) < n); f.next++ {
		all = append(all, fs.FileInfoToDirEntry(f.dir.files[f.dir.names[f.next]].info))
	}
	if n > 0 && len(all) == 0 {
		return nil, io.EOF
	}
	return all, nil
}

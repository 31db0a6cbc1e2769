package seed

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/buffkit/buffkit/migrate/dialect"
	"github.com/buffkit/buffkit/migrate/source"
)

// file is a seed: SQL, or data.
type file struct {
	path   string
	script source.Migration // of SQL
	data   *data            // nil for SQL
}

func (f *file) version() source.Version {
	if f.data != nil {
		return f.data.version
	}
	return f.script.Version
}

func (f *file) env() []string {
	if f.data != nil {
		return f.data.head.Env
	}
	return f.script.Up.Header.Env
}

func (f *file) depends() []source.Ref {
	if f.data != nil {
		return f.data.head.Depends
	}
	return f.script.Up.Header.Depends
}

func (f *file) setEnv(env []string) {
	if f.data != nil {
		f.data.head.Env = env
		return
	}
	f.script.Up.Header.Env = env
}

// load reads the folder, and its folders as environments.
func load(fsys fs.FS, d dialect.Dialect, o *Options) ([]*file, error) {
	entries, err := fs.ReadDir(fsys, ".")
	if err != nil {
		return nil, fmt.Errorf("seed: read the folder: %w", err)
	}
	all, err := loadFolder(fsys, ".", d, o)
	errs := []error{err}
	for _, e := range entries {
		folder, err := isFolder(fsys, ".", e)
		errs = append(errs, err)
		if !folder {
			continue
		}
		more, err := loadFolder(fsys, e.Name(), d, o)
		errs = append(errs, err, noFolders(fsys, e.Name()))
		for _, f := range more {
			if len(f.env()) > 0 && !slices.Contains(f.env(), e.Name()) {
				errs = append(errs, fmt.Errorf("seed: %s is in the folder of the environment %s, and says env: %s: take the header out, or move it",
					f.path, e.Name(), strings.Join(f.env(), ", ")))
			}
			f.setEnv([]string{e.Name()})
		}
		all = append(all, more...)
	}
	slices.SortStableFunc(all, func(a, b *file) int { return a.version().Compare(b.version()) })
	for i := 1; i < len(all); i++ {
		if all[i-1].version().Compare(all[i].version()) == 0 {
			errs = append(errs, fmt.Errorf("seed: %s and %s are the same version: give one of them another", all[i-1].path, all[i].path))
		}
	}
	return all, errors.Join(errs...)
}

// isFolder tells whether an entry is a folder, or a link to one, that isn't hidden.
func isFolder(fsys fs.FS, folder string, e fs.DirEntry) (bool, error) {
	if e.Name()[0] == '.' {
		return false, nil
	}
	k, err := kind(fsys, folder, e)
	return k.IsDir(), err
}

// kind is what an entry is, or what it links to.
func kind(fsys fs.FS, folder string, e fs.DirEntry) (fs.FileMode, error) {
	if e.Type()&fs.ModeSymlink == 0 {
		return e.Type(), nil
	}
	info, err := fs.Stat(fsys, path.Join(folder, e.Name()))
	if err != nil {
		return 0, fmt.Errorf("seed: follow the link %s: %w", path.Join(folder, e.Name()), err)
	}
	return info.Mode(), nil
}

// noFolders refuses folders in the one of an environment: what is in them would never run.
func noFolders(fsys fs.FS, env string) error {
	entries, err := fs.ReadDir(fsys, env)
	if err != nil {
		return nil // loadFolder says it
	}
	var errs []error
	for _, e := range entries {
		folder, err := isFolder(fsys, env, e)
		if errs = append(errs, err); folder {
			errs = append(errs, fmt.Errorf("seed: %s/%s is a folder in that of an environment, where seeds aren't looked for: move its files up into %[1]s",
				env, e.Name()))
		}
	}
	return errors.Join(errs...)
}

// loadFolder reads one folder.
func loadFolder(fsys fs.FS, folder string, d dialect.Dialect, o *Options) (all []*file, err error) {
	sub, err := fs.Sub(fsys, folder)
	if err != nil {
		return nil, fmt.Errorf("seed: read the folder %s: %w", folder, err)
	}
	scripts, err := source.Load(sub, d, &source.Options{Lexer: o.Migrate.Lexer, Plain: true})
	errs := []error{err}
	for _, m := range scripts {
		all = append(all, &file{path: path.Join(folder, m.Up.Path), script: m})
	}
	entries, err := fs.ReadDir(sub, ".")
	errs = append(errs, err)
	for _, e := range entries {
		name := e.Name()
		ext := strings.ToLower(path.Ext(name))
		format := formats[ext]
		if e.IsDir() || name[0] == '.' || format == nil {
			continue
		}
		if ext != path.Ext(name) {
			errs = append(errs, fmt.Errorf("seed: %s: the extension isn't %s in lower case: rename it", path.Join(folder, name), ext))
			continue
		}
		if k, err := kind(fsys, folder, e); err == nil && k&(fs.ModeNamedPipe|fs.ModeSocket|fs.ModeDevice) != 0 {
			errs = append(errs, fmt.Errorf("seed: %s: it isn't a file, but a pipe, a socket or a device: remove it", path.Join(folder, name)))
			continue // to open a pipe would wait for ever
		}
		if f, err := loadData(sub, folder, name, format); err != nil {
			errs = append(errs, err)
		} else {
			all = append(all, f)
		}
	}
	return all, errors.Join(errs...)
}

// loadData reads the name and the headers of a data file, and takes its checksum.
func loadData(fsys fs.FS, folder, name string, f format) (*file, error) {
	shown := path.Join(folder, name)
	stem := strings.TrimSuffix(name, path.Ext(name))
	digits, table, ok := strings.Cut(stem, "_")
	version, err := source.ParseVersion(digits)
	if err != nil || !ok || table == "" {
		return nil, fmt.Errorf("seed: %s: the name of a data file is VERSION_TABLE%s, and the version is digits", shown, path.Ext(name))
	}
	d := &data{fsys: fsys, name: name, path: shown, version: version, format: f, null: `\N`}
	if err := d.read(); err != nil {
		return nil, fmt.Errorf("seed: %s: %w", shown, err)
	}
	d.table = cmp.Or(d.table, table)
	return &file{path: shown, data: d}, nil
}

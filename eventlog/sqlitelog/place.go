package sqlitelog

import (
	"errors"
	"fmt"
	"os"
)

// ErrMoved is wrapped by the errors of appends after the file was deleted, moved or replaced: SQLite would go on in a file that nobody finds again.
var ErrMoved = errors.New("sqlitelog: the file isn't in its place any more")

// place is where the file was when it was opened.
type place struct {
	path string
	file os.FileInfo
}

func placeOf(path string) (place, error) {
	file, err := os.Stat(path)
	return place{path, file}, err
}

// check returns an error that wraps ErrMoved if another file is there now, or none.
func (p place) check() error {
	now, err := os.Stat(p.path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		err = errors.New("it was deleted or moved")
	case err == nil && !os.SameFile(p.file, now):
		err = errors.New("another file is there")
	}
	if err != nil {
		return fmt.Errorf("%w: %s: %w: put it back with those beside it (-wal, -shm), or restart to begin with what is there", ErrMoved, p.path, err)
	}
	return nil
}

package seed

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/buffkit/buffkit/migrate"
	"github.com/buffkit/buffkit/migrate/dialect"
	"github.com/buffkit/buffkit/migrate/source"
)

// data is a file of rows.
type data struct {
	fsys     fs.FS
	name     string
	path     string // with its folder
	version  source.Version
	format   format
	checksum string

	head   source.Header
	table  string
	key    []string // empty: the primary key
	null   string
	insert bool
	lines  int // of headers
}

// migration is the data as the runner takes it.
func (d *data) migration(on dialect.Dialect, batchRows int) migrate.GoMigration {
	return migrate.GoMigration{
		Version: d.version, Name: d.table, Path: d.path, Checksum: d.checksum, DataOnly: true, Env: d.head.Env, Depends: d.head.Depends,
		Repeatable: d.head.Repeatable, RequiresApp: d.head.RequiresApp,
		Up: func(ctx context.Context, db migrate.DB) error { return d.write(ctx, db, on, batchRows) },
	}
}

// read takes the headers and the checksum, line by line, so that CRLF makes no difference.
func (d *data) read() error {
	file, err := d.fsys.Open(d.name)
	if err != nil {
		return err
	}
	defer file.Close()
	r := bufio.NewReaderSize(file, 64<<10)
	sum, inHead := sha256.New(), true
	for number := 1; ; {
		part, err := r.ReadSlice('\n')
		line := strings.TrimSuffix(strings.TrimSuffix(string(part), "\n"), "\r")
		if inHead {
			if number == 1 {
				line = strings.TrimPrefix(line, "\ufeff")
			}
			if inHead = strings.HasPrefix(line, "#"); inHead {
				d.lines = number
				if err := d.header(strings.TrimSpace(line[1:])); err != nil {
					return fmt.Errorf("line %d: %w", number, err)
				}
			}
		}
		sum.Write([]byte(line))
		if err == nil {
			sum.Write([]byte("\n"))
			number++
		}
		switch err {
		case nil, bufio.ErrBufferFull:
		case io.EOF:
			d.checksum = "sha256:" + hex.EncodeToString(sum.Sum(nil))
			return nil
		default:
			return err
		}
	}
}

// header reads a line behind its #.
func (d *data) header(line string) error {
	word, value, valued := strings.Cut(line, ":")
	value = strings.TrimSpace(value)
	switch {
	case line == "insert":
		d.insert = true
	case valued && word == "table" && value != "":
		d.table = value
	case valued && word == "key" && value != "":
		d.key = strings.FieldsFunc(value, func(r rune) bool { return r == ',' || r == ' ' })
	case valued && word == "null":
		d.null = value
	default:
		known, err := d.head.Parse(line)
		if err != nil {
			return err
		}
		if !known {
			return fmt.Errorf("%q is no header: use table:, key:, null:, env:, depends:, requires-app:, insert or repeatable", line)
		}
	}
	return nil
}

// open returns the rows, without the headers.
func (d *data) open() (rows, io.Closer, error) {
	file, err := d.fsys.Open(d.name)
	if err != nil {
		return nil, nil, err
	}
	r := bufio.NewReaderSize(file, 64<<10)
	if mark, err := r.Peek(3); err == nil && string(mark) == "\ufeff" {
		_, _ = r.Discard(len(mark))
	}
	for range d.lines {
		for {
			_, err := r.ReadSlice('\n')
			if err == nil {
				break
			}
			if err != bufio.ErrBufferFull {
				return d.format(r, d), file, nil // a file of headers alone
			}
		}
	}
	return d.format(r, d), file, nil
}

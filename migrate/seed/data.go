package seed

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
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

// read takes the headers and the checksum, without keeping more than a line.
func (d *data) read() error {
	t, err := d.text()
	if err != nil {
		return err
	}
	defer t.Close()
	if err := d.readHead(t.Reader); err != nil {
		return err
	}
	empty := blank(t.Reader)
	if _, err := io.Copy(io.Discard, t); err != nil {
		return err
	}
	if empty {
		return errors.New("there are no rows in it: a CSV begins with a line of names, JSON lines have an object a line, a .json file is one list of objects; " +
			"fill it, or remove it")
	}
	d.checksum = t.sum.String()
	return nil
}

// readHead reads the lines at the top that begin with #.
func (d *data) readHead(r *bufio.Reader) error {
	for {
		if b, err := r.Peek(1); err != nil || b[0] != '#' {
			return nil // whoever reads on gets the error
		}
		line, err := r.ReadString('\n')
		d.lines++
		if err := d.header(strings.TrimSpace(line[1:])); err != nil {
			return fmt.Errorf("line %d: %w", d.lines, err)
		}
		if err != nil {
			return nil
		}
	}
}

// blank reads up to what isn't space, and tells whether there is nothing.
func blank(r *bufio.Reader) bool {
	for {
		b, err := r.ReadByte()
		if err != nil {
			return true
		}
		if !strings.ContainsRune(" \t\r\n", rune(b)) {
			return false
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

// open returns the text behind the headers.
func (d *data) open() (*text, error) {
	t, err := d.text()
	if err != nil {
		return nil, err
	}
	for range d.lines {
		if _, err := t.ReadString('\n'); err != nil {
			break // a file of headers alone
		}
	}
	return t, nil
}

// text is a data file behind its byte order mark. What is read of it goes into its checksum.
type text struct {
	*bufio.Reader
	io.Closer
	sum *checksum
}

func (d *data) text() (*text, error) {
	file, err := d.fsys.Open(d.name)
	if err != nil {
		return nil, err
	}
	r := bufio.NewReader(file)
	if mark, err := r.Peek(3); err == nil && string(mark) == "\ufeff" {
		_, _ = r.Discard(len(mark))
	}
	sum := &checksum{hash: sha256.New()}
	return &text{bufio.NewReaderSize(io.TeeReader(r, sum), 64<<10), file, sum}, nil
}

// checksum takes CRLF for LF, as checkouts differ in it.
type checksum struct {
	hash hash.Hash
	cr   bool // the last byte was CR, which isn't hashed yet
}

func (c *checksum) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		if c.cr && rest[0] != '\n' {
			c.hash.Write([]byte{'\r'})
		}
		n := bytes.IndexByte(rest, '\r')
		if c.cr = n >= 0; !c.cr {
			c.hash.Write(rest)
			break
		}
		c.hash.Write(rest[:n])
		rest = rest[n+1:]
	}
	return len(p), nil
}

// String returns sha256:… of what was written.
func (c *checksum) String() string { return "sha256:" + hex.EncodeToString(c.hash.Sum(nil)) }

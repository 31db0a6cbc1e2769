package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/buffkit/buffkit/eventlog"
)

// place is where a subscriber is, kept in a file if there is one.
type place struct {
	cursor string
	file   *os.File
}

// openPlace opens the state file. It starts at the cursor if there is no file.
func openPlace(name, cursor string) (*place, error) {
	if name == "" {
		return &place{cursor: cursor}, nil
	}
	file, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("--state: %w", err)
	}
	p := &place{file: file}
	if err := p.read(); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return p, nil
}

func (p *place) read() error {
	text, err := io.ReadAll(io.LimitReader(p.file, 2*eventlog.MaxCursorBytes))
	if err != nil {
		return fmt.Errorf("--state: %w", err)
	}
	line, rest, _ := bytes.Cut(text, []byte("\n"))
	if _, err := eventlog.ParseCursor(string(line)); err != nil || len(line) == 0 && len(rest) > 0 {
		return fmt.Errorf("--state: %s isn't a state file of subscribe: its first line is no cursor; name another, or delete it to start now",
			p.file.Name())
	}
	p.cursor = string(line)
	return nil
}

// keep notes the place. One small write replaces the line as a whole: a process that is killed has done it or not. What an
// older, longer line leaves behind stands after the line end, where nobody looks.
func (p *place) keep(cursor string) error {
	if p.file == nil || cursor == "" || cursor == p.cursor {
		return nil
	}
	if _, err := p.file.WriteAt([]byte(cursor+"\n"), 0); err != nil {
		return fmt.Errorf("--state: %w", err)
	}
	p.cursor = cursor
	return nil
}

func (p *place) close() {
	if p.file != nil {
		p.file.Close() // what was written is with the system already
	}
}

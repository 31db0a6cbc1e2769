package client

import (
	"strconv"
	"strings"
)

// place is where the client is in the stream.
type place struct {
	cursor string // the last id, to be sent as Last-Event-ID

	seen     cursor // what the id says, if it is a cursor
	known    bool   // it is
	trusted  bool   // the server is buffkit, whose cursors can be compared; anybody's "1.10" looks like one
	repeated bool   // the last id committed was not beyond seen
}

func (p *place) start(id string) {
	p.cursor = id
	p.seen, p.known = parseCursor(id)
}

// commit takes an id that the stream has set. A repeat doesn't move the place back: everything up to it was seen.
func (p *place) commit(id string) {
	at, ok := parseCursor(id)
	p.repeated = p.trusted && p.known && ok && !at.beyond(p.seen)
	if !p.repeated {
		p.cursor, p.seen, p.known = id, at, ok
	}
}

// lost takes in a gap. After one of these the log counts from elsewhere, maybe lower, so nothing of it is a repeat yet.
func (p *place) lost(gaps []Gap) {
	for _, gap := range gaps {
		switch gap.Reason {
		case "other_log", "rolled_back", "unreadable":
			p.known = false
		}
	}
}

// cursor is the text of docs/wire.md section 3, read to compare it.
type cursor struct {
	epoch     uint64
	positions []position // ascending by partition
}

type position struct{ partition, offset uint64 }

const (
	maxCursorBytes = 1024
	cursorBase     = 36
)

// parseCursor returns false for any text that isn't a cursor.
func parseCursor(text string) (cursor, bool) {
	if len(text) > maxCursorBytes {
		return cursor{}, false
	}
	head, tail, ok := strings.Cut(text, ".")
	epoch, isNumber := parseNumber(head)
	if !ok || !isNumber {
		return cursor{}, false
	}
	c := cursor{epoch: epoch}
	for part := range strings.SplitSeq(tail, ".") {
		var p position
		digits := part
		if name, rest, named := strings.Cut(part, "-"); named {
			digits = rest
			if p.partition, ok = parseNumber(name); !ok || p.partition == 0 {
				return cursor{}, false
			}
		}
		if p.offset, ok = parseNumber(digits); !ok {
			return cursor{}, false
		}
		if n := len(c.positions); n > 0 && p.partition <= c.positions[n-1].partition {
			return cursor{}, false
		}
		c.positions = append(c.positions, p)
	}
	return c, true
}

func parseNumber(digits string) (uint64, bool) {
	if digits == "" || digits[0] == '+' || digits[0] == '0' && len(digits) > 1 || strings.ToLower(digits) != digits {
		return 0, false
	}
	n, err := strconv.ParseUint(digits, cursorBase, 64)
	return n, err == nil
}

// beyond tells whether c is further than seen in some partition. Cursors of different epochs can't be compared; c then is.
func (c cursor) beyond(seen cursor) bool {
	if c.epoch != seen.epoch {
		return true
	}
	for _, p := range c.positions {
		if p.offset > seen.at(p.partition) {
			return true
		}
	}
	return false
}

func (c cursor) at(partition uint64) uint64 {
	for _, p := range c.positions {
		if p.partition == partition {
			return p.offset
		}
	}
	return 0
}

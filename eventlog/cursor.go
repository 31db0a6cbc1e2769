package eventlog

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// MaxCursorBytes bounds the text of a cursor.
const MaxCursorBytes = 1024 // the text travels in a header; 64 partitions of 15 bytes fit

const cursorBase = 36 // the shortest text that strconv writes: digits and lower-case letters

// Cursor is a place in a log: its epoch and one offset for each partition that was read. The zero Cursor is before
// everything and has no text. A Cursor is immutable; copies are cheap and share memory.
type Cursor struct {
	epoch uint64     // 0 for the zero Cursor only
	first Offset     // of partition 0
	rest  []position // of the other partitions with an offset beyond 0, ascending; empty where there is one partition
}

type position struct {
	partition uint32
	offset    Offset
}

// NewCursor returns the cursor of an offset in partition 0. A log's epoch is never 0: with that, it returns the zero Cursor.
func NewCursor(epoch uint64, offset Offset) Cursor { return Cursor{epoch: epoch}.With(0, offset) }

// Since returns the place in a log behind which a Read finds what was appended at a time or later, as Offset.Time tells it: to a microsecond, and
// by the clock that the log goes by. For a time later than the newest event that this node has it is the head, and what comes next is read though it be
// older. As after any cursor, Read tells a gap of a topic that has dropped events since then; but a log that was begun later, a Memory after a restart say,
// or one that lost its tail in a failover, knows nothing of what is gone, and tells no gap: a cursor from before does.
//
// Errors: those of Head.
func Since(ctx context.Context, log Log, t time.Time) (Cursor, error) {
	head, err := log.Head(ctx)
	if err != nil {
		return Cursor{}, err
	}
	before := max(offsetAt(t), 1) - 1
	place := head.With(0, min(head.first, before))
	for _, p := range head.rest {
		place = place.With(p.partition, min(p.offset, before))
	}
	return place, nil
}

// IsZero tells whether it is the zero Cursor.
func (c Cursor) IsZero() bool { return c.epoch == 0 }

// Epoch is the identity of the log it belongs to, 0 for the zero Cursor.
func (c Cursor) Epoch() uint64 { return c.epoch }

// At returns the offset in a partition, 0 if the cursor doesn't name the partition.
func (c Cursor) At(partition uint32) Offset {
	if partition == 0 {
		return c.first
	}
	if i, ok := c.find(partition); ok {
		return c.rest[i].offset
	}
	return 0
}

// With returns the cursor with the partition's offset replaced. The zero Cursor stays what it is: it is of no log.
func (c Cursor) With(partition uint32, offset Offset) Cursor {
	switch {
	case c.IsZero():
		return c
	case partition == 0:
		c.first = offset
		return c
	}
	i, named := c.find(partition)
	switch {
	case named && offset == 0:
		c.rest = slices.Concat(c.rest[:i], c.rest[i+1:])
	case named:
		c.rest = slices.Clone(c.rest)
		c.rest[i].offset = offset
	case offset > 0:
		c.rest = slices.Insert(slices.Clone(c.rest), i, position{partition, offset})
	}
	return c
}

func (c Cursor) find(partition uint32) (int, bool) {
	return slices.BinarySearchFunc(c.rest, partition, func(p position, want uint32) int {
		return cmp.Compare(p.partition, want)
	})
}

// Beyond tells whether c is further than seen in some partition, so that an event at c is no repeat for a reader at seen.
// Cursors of different epochs can't be compared; c then counts as beyond.
func (c Cursor) Beyond(seen Cursor) bool {
	if c.epoch != seen.epoch || c.first > seen.first {
		return true
	}
	for _, p := range c.rest {
		if p.offset > seen.At(p.partition) {
			return true
		}
	}
	return false
}

// Capped returns the cursor with no offset beyond that of limit, which is a cursor of the same log.
func (c Cursor) Capped(limit Cursor) Cursor {
	capped := c.With(0, min(c.first, limit.first))
	for _, p := range c.rest {
		if most := limit.At(p.partition); p.offset > most {
			capped = capped.With(p.partition, most)
		}
	}
	return capped
}

// String returns the text that goes into the id of an event, "" for the zero Cursor.
func (c Cursor) String() string { return string(c.AppendText(nil)) }

// AppendText appends the text form to dst.
func (c Cursor) AppendText(dst []byte) []byte {
	if c.IsZero() {
		return dst
	}
	dst = strconv.AppendUint(dst, c.epoch, cursorBase)
	if c.first > 0 || len(c.rest) == 0 {
		dst = append(dst, '.')
		dst = strconv.AppendUint(dst, uint64(c.first), cursorBase)
	}
	for _, p := range c.rest {
		dst = append(dst, '.')
		dst = strconv.AppendUint(dst, uint64(p.partition), cursorBase)
		dst = append(dst, '-')
		dst = strconv.AppendUint(dst, uint64(p.offset), cursorBase)
	}
	return dst
}

// ParseCursor reads the text form. "" is the zero Cursor. Any text that String doesn't write is refused with an error that
// wraps ErrBadCursor, and so is one of more than MaxCursorBytes. So a cursor has one text, and a text is one cursor.
func ParseCursor(text string) (Cursor, error) {
	if text == "" {
		return Cursor{}, nil
	}
	if len(text) > MaxCursorBytes {
		return Cursor{}, fmt.Errorf("%w: %d bytes, at most %d", ErrBadCursor, len(text), MaxCursorBytes)
	}
	head, tail, ok := strings.Cut(text, ".")
	if !ok {
		return Cursor{}, fmt.Errorf("%w: no offset", ErrBadCursor)
	}
	epoch, err := parseDigits(head)
	if err != nil || epoch == 0 {
		return Cursor{}, fmt.Errorf("%w: bad epoch", ErrBadCursor)
	}
	c := Cursor{epoch: epoch}
	if err := c.parsePositions(tail); err != nil {
		return Cursor{}, err
	}
	return c, nil
}

func (c *Cursor) parsePositions(text string) error {
	last := int64(-1)
	for part := range strings.SplitSeq(text, ".") {
		name, digits, named := strings.Cut(part, "-")
		if !named {
			name, digits = "0", part
		}
		partition, err1 := parseDigits(name)
		offset, err2 := parseDigits(digits)
		switch {
		case err1 != nil || err2 != nil || partition > math.MaxUint32:
			return fmt.Errorf("%w: bad position", ErrBadCursor)
		case named && partition == 0:
			return fmt.Errorf("%w: partition 0 is written without its number", ErrBadCursor)
		case int64(partition) <= last:
			return fmt.Errorf("%w: positions out of order", ErrBadCursor)
		case offset == 0 && text != "0":
			return fmt.Errorf("%w: a position of 0 is written if there is no other", ErrBadCursor)
		}
		last = int64(partition)
		if named {
			c.rest = append(c.rest, position{uint32(partition), Offset(offset)})
		} else {
			c.first = Offset(offset)
		}
	}
	return nil
}

// parseDigits is strconv.ParseUint, for just what AppendUint writes: no capital and no leading zero.
func parseDigits(s string) (uint64, error) {
	n, err := strconv.ParseUint(s, cursorBase, 64)
	if err != nil {
		return 0, err
	}
	if (s[0] == '0' && len(s) > 1) || strings.ToLower(s) != s {
		return 0, strconv.ErrSyntax
	}
	return n, nil
}

package eventlog_test

import (
	"context"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/buffkit/buffkit/eventlog"
)

func TestParseCursor(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, text string
		epoch      uint64
		at         map[uint32]eventlog.Offset
	}{
		{"the zero Cursor", "", 0, nil},
		{"one partition", "k3j9x2ab.dh2k3j4l5m", 1574979145427, map[uint32]eventlog.Offset{0: 1368438782616346}},
		{"before the first event", "1.0", 1, map[uint32]eventlog.Offset{0: 0, 1: 0}},
		{"several partitions", "z.10.1-11.z-12", 35, map[uint32]eventlog.Offset{0: 36, 1: 37, 35: 38, 2: 0}},
		{"without partition 0", "1.1-5", 1, map[uint32]eventlog.Offset{0: 0, 1: 5}},
		{
			"the largest numbers", "3w5e11264sgsf.3w5e11264sgsf.1z141z3-3w5e11264sgsf", math.MaxUint64,
			map[uint32]eventlog.Offset{0: math.MaxUint64, math.MaxUint32: math.MaxUint64},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c, err := eventlog.ParseCursor(tt.text)
			if err != nil {
				t.Fatal(err)
			}
			if c.Epoch() != tt.epoch || c.IsZero() != (tt.text == "") {
				t.Errorf("epoch %d, zero %v; want epoch %d", c.Epoch(), c.IsZero(), tt.epoch)
			}
			for partition, want := range tt.at {
				if got := c.At(partition); got != want {
					t.Errorf("partition %d is at %d, want %d", partition, got, want)
				}
			}
			if got := c.String(); got != tt.text {
				t.Errorf("written as %q, want %q", got, tt.text)
			}
		})
	}
}

// headAt is a log at a place.
type headAt struct {
	eventlog.Log
	cursor string
}

func (h headAt) Head(context.Context) (eventlog.Cursor, error) { return eventlog.ParseCursor(h.cursor) }

func TestSinceIsAPlaceInEachPartition(t *testing.T) {
	t.Parallel()
	log := headAt{cursor: "1.2s.1-2r.2-2"} // at 100 µs, 99 µs and 2 µs
	for microseconds, want := range map[int64]string{
		-5: "1.0", 0: "1.0", 1: "1.0", 2: "1.1.1-1.2-1", 3: "1.2.1-2.2-2", 100: "1.2r.1-2r.2-2", 101: log.cursor, 1 << 40: log.cursor,
	} {
		place, err := eventlog.Since(t.Context(), log, time.UnixMicro(microseconds))
		if err != nil || place.String() != want {
			t.Errorf("at %d µs: %v, %v; want %s", microseconds, place, err, want)
		}
	}
	if _, err := eventlog.Since(t.Context(), headAt{cursor: "?"}, time.Now()); !errors.Is(err, eventlog.ErrBadCursor) {
		t.Errorf("the head's error became %v", err)
	}
}

func TestParseCursorRefusesWhatStringDoesNotWrite(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"no offset":                "k",
		"empty offset":             "k.",
		"no epoch":                 ".5",
		"epoch 0":                  "0.5",
		"leading zero of an epoch": "01.5",
		"leading zero":             "1.05",
		"zero twice":               "1.00",
		"capital":                  "1.A",
		"capital epoch":            "K.5",
		"sign":                     "1.+5",
		"minus":                    "1.-5",
		"underscore":               "1.1_0",
		"space":                    "1. 5",
		"space at the end":         "1.5 ",
		"line end":                 "1.5\n",
		"NUL":                      "1.5\x00",
		"letter beyond ASCII":      "1.é",
		"digit beyond ASCII":       "1.٣",
		"not UTF-8":                "1.\xff",
		"partition 0 by number":    "1.0-5",
		"empty partition":          "1.5.-5",
		"partition without offset": "1.5.1-",
		"two dashes":               "1.5.1-2-3",
		"partition 0 last":         "1.1-5.5",
		"partition 0 twice":        "1.5.5",
		"partition twice":          "1.5.1-5.1-6",
		"partitions descending":    "1.5.2-5.1-6",
		"needless 0":               "1.0.1-5",
		"needless 0 of another":    "1.5.1-0",
		"0 of another alone":       "1.1-0",
		"empty position":           "1.5..1-6",
		"dot at the end":           "1.5.",
		"offset over 64 bits":      "1.3w5e11264sgsg",
		"epoch over 64 bits":       "3w5e11264sgsg.1",
		"partition over 32 bits":   "1.5.1z141z4-1",
		"too long":                 "1." + strings.Repeat("1", eventlog.MaxCursorBytes-1),
		"an EventSource's null":    "null",
		"undefined":                "undefined",
	} {
		if c, err := eventlog.ParseCursor(text); !errors.Is(err, eventlog.ErrBadCursor) || !c.IsZero() {
			t.Errorf("%s: %q is %v, %v; want ErrBadCursor and the zero Cursor", name, text, c, err)
		}
	}
}

func TestACursorOfTheLargestAllowedTextParses(t *testing.T) {
	t.Parallel()
	c := eventlog.NewCursor(1, 0)
	var fits eventlog.Cursor
	for p := uint32(1); len(c.String()) <= eventlog.MaxCursorBytes; p++ {
		fits, c = c, c.With(p, 1<<51)
	}
	if parsed, err := eventlog.ParseCursor(fits.String()); err != nil || parsed.String() != fits.String() {
		t.Errorf("a text of %d bytes: %v", len(fits.String()), err)
	}
	if _, err := eventlog.ParseCursor(c.String()); !errors.Is(err, eventlog.ErrBadCursor) {
		t.Errorf("a text of %d bytes: %v, want ErrBadCursor", len(c.String()), err)
	}
}

func TestCursorWithNeverChangesACopy(t *testing.T) {
	t.Parallel()
	c := eventlog.NewCursor(1, 5).With(2, 7).With(4, 9)
	text := c.String()
	for p := range uint32(6) {
		for _, offset := range []eventlog.Offset{0, 1, math.MaxUint64} {
			if got := c.With(p, offset).At(p); got != offset {
				t.Errorf("With(%d, %d).At is %d", p, offset, got)
			}
		}
	}
	if c.String() != text {
		t.Errorf("changed from %s to %s", text, c)
	}
}

func TestTheZeroCursorStaysZero(t *testing.T) {
	t.Parallel()
	var zero eventlog.Cursor
	for name, c := range map[string]eventlog.Cursor{
		"NewCursor with epoch 0": eventlog.NewCursor(0, 5),
		"With of partition 0":    zero.With(0, 5),
		"With of another":        zero.With(1, 5),
	} {
		if !c.IsZero() || c.At(0) != 0 || c.At(1) != 0 || c.String() != "" || c.Beyond(zero) {
			t.Errorf("%s: %+v isn't the zero Cursor", name, c)
		}
	}
}

func TestCursorBeyond(t *testing.T) {
	t.Parallel()
	at := eventlog.NewCursor
	for _, tt := range []struct {
		name    string
		c, seen eventlog.Cursor
		want    bool
	}{
		{"itself", at(1, 5), at(1, 5), false},
		{"an earlier one", at(1, 4), at(1, 5), false},
		{"a later one", at(1, 6), at(1, 5), true},
		{"another log", at(2, 4), at(1, 5), true},
		{"anything of the zero Cursor", at(1, 0), eventlog.Cursor{}, true},
		{"the zero Cursor of anything", eventlog.Cursor{}, at(1, 5), true},
		{"later in another partition", at(1, 5).With(3, 2), at(1, 5).With(3, 1), true},
		{"a partition that seen doesn't name", at(1, 5).With(3, 2), at(1, 9), true},
		{"a partition that it doesn't name", at(1, 5), at(1, 5).With(3, 2), false},
		{"later in one, earlier in another", at(1, 9).With(3, 1), at(1, 5).With(3, 2), true},
	} {
		if got := tt.c.Beyond(tt.seen); got != tt.want {
			t.Errorf("%s: (%s).Beyond(%s) is %v", tt.name, tt.c, tt.seen, got)
		}
	}
}

// FuzzCursor holds the laws of Cursor: a text is one cursor and a cursor one text; With and At agree; Beyond orders.
func FuzzCursor(f *testing.F) {
	for _, text := range []string{"", "1.0", "k3j9x2ab.dh2k3j4l5m", "z.10.1-11.z-12", "1.1-5", "1.5.1-0", "1.0.1-5", "3w5e11264sgsf.3w5e11264sgsf.1z141z3-3w5e11264sgsf"} {
		f.Add(text, "1.4.2-9", uint32(1), uint64(7))
	}
	f.Fuzz(func(t *testing.T, text, otherText string, partition uint32, offset uint64) {
		c, err := eventlog.ParseCursor(text)
		if err != nil {
			if !errors.Is(err, eventlog.ErrBadCursor) || !c.IsZero() {
				t.Fatalf("ParseCursor(%q) = %v, %v", text, c, err)
			}
			return
		}
		if c.String() != text {
			t.Fatalf("%q is written as %q", text, c)
		}
		if got := string(c.AppendText([]byte("id: "))); got != "id: "+text {
			t.Fatalf("AppendText wrote %q", got)
		}
		if c.Beyond(c) {
			t.Fatalf("%q is beyond itself", text)
		}
		checkWith(t, c, partition, eventlog.Offset(offset))
		if other, err := eventlog.ParseCursor(otherText); err == nil {
			checkBeyond(t, c, other)
		}
	})
}

func checkWith(t *testing.T, c eventlog.Cursor, partition uint32, offset eventlog.Offset) {
	before, neighbour := c.String(), c.At(partition+1)
	moved := c.With(partition, offset)
	if c.String() != before {
		t.Fatalf("With changed %q to %q", before, c)
	}
	if c.IsZero() {
		if !moved.IsZero() {
			t.Fatalf("With made %q of the zero Cursor", moved)
		}
		return
	}
	if moved.At(partition) != offset || moved.At(partition+1) != neighbour || moved.Epoch() != c.Epoch() {
		t.Fatalf("%q with %d at %d is %q", c, partition, offset, moved)
	}
	if back := moved.With(partition, c.At(partition)); back.String() != c.String() {
		t.Fatalf("%q, moved to %q and back, is %q", c, moved, back)
	}
	if got, want := moved.Beyond(c), offset > c.At(partition); got != want {
		t.Fatalf("%q.Beyond(%q) is %v", moved, c, got)
	}
	if again, err := eventlog.ParseCursor(moved.String()); len(moved.String()) <= eventlog.MaxCursorBytes && (err != nil || again.String() != moved.String()) {
		t.Fatalf("%q is read as %q, %v", moved, again, err)
	}
}

// checkBeyond: of two cursors that aren't the same, one is beyond the other, or both are.
func checkBeyond(t *testing.T, a, b eventlog.Cursor) {
	same := a.String() == b.String()
	if neither := !a.Beyond(b) && !b.Beyond(a); neither != same {
		t.Fatalf("%q and %q: beyond each other %v and %v", a, b, a.Beyond(b), b.Beyond(a))
	}
}

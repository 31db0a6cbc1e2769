package sqlitelog_test

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/buffkit/buffkit/eventlog"
	"github.com/buffkit/buffkit/eventlog/sqlitelog"
)

// somePack is of records as different as they come.
func somePack() []eventlog.Record {
	return []eventlog.Record{
		{Topic: "t", Offset: 1_800_000_000_000_000, Prev: 1_700_000_000_000_000, Chain: 1_799_999_999_999_999, Key: "k", Body: []byte("data: 1\n\n")},
		{Topic: "t", Offset: 1_800_000_000_000_001, Prev: 1_800_000_000_000_000, Chain: 1_800_000_000_000_000, Body: []byte{}},
		{Topic: "t", Offset: 1_800_000_000_000_900, Prev: 1_800_000_000_000_001, Chain: 1_800_000_000_000_007, Key: strings.Repeat("k", 255), Body: bytes.Repeat([]byte{0xff, 0}, 200)},
		{Topic: "t", Offset: math.MaxInt64, Prev: 1_800_000_000_000_900, Chain: math.MaxInt64 - 1, Body: []byte("\n")},
	}
}

func same(a, b eventlog.Record) bool {
	return a.Topic == b.Topic && a.Offset == b.Offset && a.Prev == b.Prev && a.Chain == b.Chain && a.Key == b.Key && bytes.Equal(a.Body, b.Body)
}

func TestAPackComesBackAsItWas(t *testing.T) {
	t.Parallel()
	all := somePack()
	first := eventlog.Record{Topic: "ever", Offset: 1, Body: []byte("x")}
	for name, records := range map[string][]eventlog.Record{
		"several":               all,
		"one":                   all[:1],
		"without one before it": {first, {Topic: "ever", Offset: 2, Prev: 1, Chain: 1, Body: []byte("y")}},
	} {
		got, err := sqlitelog.Pack(records).Unpack()
		if err != nil || !slices.EqualFunc(got, records, same) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

func TestADamagedPackIsAnErrorThatNamesTheOffset(t *testing.T) {
	t.Parallel()
	whole := sqlitelog.Pack(somePack())
	refused := func(what string, p sqlitelog.Packed) {
		t.Helper()
		records, err := p.Unpack()
		if !errors.Is(err, sqlitelog.ErrDamaged) || len(records) > 0 {
			t.Errorf("%s: %d records, %v, want ErrDamaged", what, len(records), err)
			return
		}
		for _, says := range []string{`topic "t"`, fmt.Sprint(p.First)} {
			if !strings.Contains(err.Error(), says) {
				t.Errorf("%s: %q doesn't say %q", what, err, says)
			}
		}
	}
	for i := range whole.Events {
		for bit := range 8 {
			p := whole
			p.Events = slices.Clone(whole.Events)
			p.Events[i] ^= 1 << bit
			refused(fmt.Sprintf("bit %d of byte %d is another", bit, i), p)
		}
		p := whole
		p.Events = whole.Events[:i]
		refused(fmt.Sprintf("only %d bytes are left", i), p)
	}
	payload := whole.Events[4:]
	for what, damage := range map[string]func(p *sqlitelog.Packed){
		"a byte more":       func(p *sqlitelog.Packed) { p.Events = sqlitelog.Sealed(append(slices.Clone(payload), 0)) },
		"a byte less":       func(p *sqlitelog.Packed) { p.Events = sqlitelog.Sealed(payload[:len(payload)-1]) },
		"an event more":     func(p *sqlitelog.Packed) { p.Count++ },
		"an event less":     func(p *sqlitelog.Packed) { p.Count-- },
		"no event":          func(p *sqlitelog.Packed) { p.Count = 0 },
		"fewer than none":   func(p *sqlitelog.Packed) { p.Count = -1 },
		"too many":          func(p *sqlitelog.Packed) { p.Count = math.MaxInt },
		"another last":      func(p *sqlitelog.Packed) { p.Last-- },
		"an early place":    func(p *sqlitelog.Packed) { p.First = 5 },
		"behind all places": func(p *sqlitelog.Packed) { p.First++ },
	} {
		p := whole
		damage(&p)
		refused(what, p)
	}
}

// FuzzUnpack takes any bytes for a pack whose checksum fits: it panics at none, and what it takes for records are those, and no others.
func FuzzUnpack(f *testing.F) {
	whole := sqlitelog.Pack(somePack())
	f.Add(whole.Events[4:], uint64(whole.First), uint64(whole.Last), whole.Count)
	f.Add([]byte{0, 0, 0, 0, 0}, uint64(7), uint64(7), 1)
	f.Add([]byte{3, 0, 1, 1, 'k', 1, 'b', 1, 1, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1}, uint64(7), uint64(8), 2)
	f.Fuzz(func(t *testing.T, payload []byte, first, last uint64, count int) {
		p := sqlitelog.Packed{Topic: "t", First: eventlog.Offset(first), Last: eventlog.Offset(last), Count: count, Events: sqlitelog.Sealed(payload)}
		records, err := p.Unpack()
		if err != nil {
			if !errors.Is(err, sqlitelog.ErrDamaged) || records != nil {
				t.Fatalf("%d records, %v", len(records), err)
			}
			return
		}
		if len(records) != count || records[0].Offset != p.First || records[count-1].Offset != p.Last {
			t.Fatalf("%d records from %d to %d, want %d from %d to %d", len(records), records[0].Offset, records[len(records)-1].Offset, count, first, last)
		}
		again, err := sqlitelog.Pack(records).Unpack()
		if err != nil || !slices.EqualFunc(again, records, same) {
			t.Fatalf("packed again: %v, %v", again, err)
		}
	})
}

// FuzzPack makes records of any bytes: they come back as they were.
func FuzzPack(f *testing.F) {
	f.Add([]byte("some bytes, of which keys, bodies and distances are made"), uint64(1_800_000_000_000_000))
	f.Fuzz(func(t *testing.T, bytes []byte, at uint64) {
		number := func() (n byte) {
			if len(bytes) > 0 {
				n, bytes = bytes[0], bytes[1:]
			}
			return n
		}
		text := func() []byte {
			n := min(int(number()), len(bytes))
			var part []byte
			part, bytes = bytes[:n:n], bytes[n:]
			return part
		}
		offset := eventlog.Offset(at%math.MaxInt32) + 1
		prev := offset - min(offset, 1+eventlog.Offset(number()))
		var records []eventlog.Record
		for ok := true; ok; ok = len(bytes) > 0 {
			chain := offset - min(offset, 1+eventlog.Offset(number()))
			records = append(records, eventlog.Record{Topic: "t", Offset: offset, Prev: prev, Chain: chain, Key: string(text()), Body: text()})
			prev, offset = offset, offset+1+eventlog.Offset(number())
		}
		got, err := sqlitelog.Pack(records).Unpack()
		if err != nil || !slices.EqualFunc(got, records, same) {
			t.Fatalf("%v, %v", got, err)
		}
	})
}

package sqlitelog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"

	"github.com/buffkit/buffkit/eventlog"
)

// ErrDamaged is in the error of whatever reads from a file that isn't as it was stored, where nobody can tell which events are lost: restore it from a
// backup, or begin with an empty one. Where a pack of events is damaged, and nothing else, there is no error: they are lost, readers
// of their topic are told a gap, and the logger and Check name the topic and the offset of the first.
var ErrDamaged = errors.New("sqlitelog: events in the file are damaged")

// packBytes of events are in a pack at most, or one event: a statement for each costs little then, and to rewrite one as well.
const packBytes = 64 << 10

// pack is a row of events. Its bytes are, with numbers as varints of encoding/binary:
//
//	checksum of what follows: CRC-32C, 4 bytes, little-endian
//	prev     from the offset before the first event in its topic to that event, 0 if it is the topic's first
//	for each event
//	  step   from the event before it in the pack, 0 for the first
//	  chain  from the offset before it in the log, 0 if it is the log's first
//	  length of the key, key
//	  length of the body, body
//
// Offsets are told by distance, so most take a byte.
type pack struct {
	topic       string
	first, last eventlog.Offset
	end         eventlog.Offset // of its group, where it is read
	count       int
	bytes       int64 // of keys and bodies
	events      []byte
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

const checksumBytes = 4

// newPack begins a pack with a record, in memory that nobody else uses, or nil.
func newPack(r *eventlog.Record, memory []byte) *pack {
	p := &pack{topic: r.Topic, first: r.Offset, last: r.Offset, events: append(memory, make([]byte, checksumBytes)...)}
	p.events = appendDistance(p.events, r.Prev, r.Offset)
	p.add(r)
	return p
}

// takes tells whether there is room for a record.
func (p *pack) takes(r *eventlog.Record) bool {
	return p.bytes+sizeOf(r) <= packBytes
}

// sizeOf is what counts for retention.
func sizeOf(r *eventlog.Record) int64 { return int64(len(r.Key) + len(r.Body)) }

func (p *pack) add(r *eventlog.Record) {
	p.events = binary.AppendUvarint(p.events, uint64(r.Offset-p.last))
	p.events = appendDistance(p.events, r.Chain, r.Offset)
	p.events = binary.AppendUvarint(p.events, uint64(len(r.Key)))
	p.events = append(p.events, r.Key...)
	p.events = binary.AppendUvarint(p.events, uint64(len(r.Body)))
	p.events = append(p.events, r.Body...)
	p.last = r.Offset
	p.count++
	p.bytes += sizeOf(r)
}

// appendDistance appends how far an offset before is, 0 if there is none.
func appendDistance(b []byte, from, to eventlog.Offset) []byte {
	if from == 0 {
		return append(b, 0)
	}
	return binary.AppendUvarint(b, uint64(to-from))
}

// sealed returns the bytes of a pack that gets no more records.
func (p *pack) sealed() []byte {
	binary.LittleEndian.PutUint32(p.events, crc32.Checksum(p.events[checksumBytes:], castagnoli))
	return p.events
}

// unpack returns the records of a pack, oldest first. Their bodies are parts of its bytes.
func (p *pack) unpack() ([]eventlog.Record, error) {
	records, err := p.read()
	if err != nil {
		return nil, fmt.Errorf("%w: topic %q, from offset %d on: %w", ErrDamaged, p.topic, p.first, err)
	}
	return records, nil
}

// errChecksum tells that a pack's bytes are damaged, and not what stands beside them in the row.
var errChecksum = errors.New("their checksum doesn't fit")

func (p *pack) read() ([]eventlog.Record, error) {
	if len(p.events) < checksumBytes {
		return nil, fmt.Errorf("%w: they are %d bytes", errChecksum, len(p.events))
	}
	b := packReader{rest: p.events[checksumBytes:]}
	if crc32.Checksum(b.rest, castagnoli) != binary.LittleEndian.Uint32(p.events) {
		return nil, errChecksum
	}
	if p.count < 1 || p.count > len(b.rest)/leastRecord {
		return nil, fmt.Errorf("%d events can't be in %d bytes", p.count, len(p.events))
	}
	records := make([]eventlog.Record, p.count)
	at := p.first
	prev := b.before(at)
	for i := range records {
		at = b.behind(at, i == 0)
		records[i] = eventlog.Record{Topic: p.topic, Offset: at, Prev: prev, Chain: b.before(at), Key: string(b.bytes()), Body: b.bytes()}
		prev = at
	}
	switch {
	case b.err != nil:
		return nil, b.err
	case len(b.rest) > 0:
		return nil, fmt.Errorf("%d bytes are left behind the last", len(b.rest))
	case at != p.last:
		return nil, fmt.Errorf("the last is %d, and should be %d", at, p.last)
	}
	return records, nil
}

const leastRecord = 4 // bytes: a step, a chain and two lengths

// packReader reads a pack's bytes until something is wrong.
type packReader struct {
	rest []byte
	err  error
}

var errCut = errors.New("they end too early")

func (b *packReader) number() uint64 {
	n, size := binary.Uvarint(b.rest)
	if size <= 0 {
		b.fail(errCut)
		return 0
	}
	b.rest = b.rest[size:]
	return n
}

func (b *packReader) fail(err error) {
	if b.err == nil {
		b.err, b.rest = err, nil
	}
}

// before returns the offset that lies so far before another, 0 if there is none.
func (b *packReader) before(at eventlog.Offset) eventlog.Offset {
	distance := b.number()
	if distance == 0 {
		return 0
	}
	if distance >= uint64(at) {
		b.fail(fmt.Errorf("one lies %d before offset %d", distance, at))
		return 0
	}
	return at - eventlog.Offset(distance)
}

// behind returns the offset that lies so far behind another: for the first, the same.
func (b *packReader) behind(at eventlog.Offset, first bool) eventlog.Offset {
	step := b.number()
	if first != (step == 0) || step > math.MaxInt64-min(uint64(at), math.MaxInt64) {
		b.fail(fmt.Errorf("one lies %d behind offset %d", step, at))
	}
	return at + eventlog.Offset(step)
}

// bytes returns a part that begins with its length.
func (b *packReader) bytes() []byte {
	n := b.number()
	if n > uint64(len(b.rest)) {
		b.fail(errCut)
		return nil
	}
	part := b.rest[:n:n]
	b.rest = b.rest[n:]
	return part
}

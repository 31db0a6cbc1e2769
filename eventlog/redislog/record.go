package redislog

import (
	"encoding/binary"
	"errors"
	"math"
	"strconv"
	"strings"
	"unsafe"

	"github.com/buffkit/buffkit/eventlog"
	"github.com/redis/rueidis"
)

var errDamaged = errors.New("redislog: an entry isn't one of this log: another program, or another version of this one, may use keys of this prefix; " +
	"choose another Options.Prefix")

// reader reads what packer has written. What is damaged sets the flag and reads as nothing.
type reader struct {
	left    []byte
	damaged bool
}

// number reads a number that is no larger than a limit.
func (r *reader) number(limit uint64) int {
	n, size := binary.Uvarint(r.left)
	if size <= 0 || n > limit {
		r.damaged, r.left = true, nil
		return 0
	}
	r.left = r.left[size:]
	return int(n)
}

// bytes reads so many, which stay where they are.
func (r *reader) bytes(n int) []byte {
	if n > len(r.left) {
		r.damaged, r.left = true, nil
		return nil
	}
	b := r.left[:n:n]
	r.left = r.left[n:]
	return b
}

// record reads a record and the number before it.
func (r *reader) record(limit uint64) (n int, record eventlog.Record) {
	n = r.number(limit)
	key, body := r.number(math.MaxInt32), r.number(math.MaxInt32)
	record.Key = string(r.bytes(key))
	record.Body = r.bytes(body)
	return n, record
}

// readBatch reads an entry of the tail, which is of one batch. Its id is the offset of its last record.
func readBatch(entry rueidis.XRangeSlice) (epoch uint64, records []eventlog.Record, err error) {
	last, err := parseID(entry.ID)
	if err != nil || len(entry.FieldValues) != 2 {
		return 0, nil, errDamaged
	}
	epoch, err1 := strconv.ParseUint(entry.FieldValues[0].Field, 10, 64)
	chain, err2 := parseOffset(entry.FieldValues[0].Value)
	if err1 != nil || err2 != nil {
		return 0, nil, errDamaged
	}
	records, ok := readPart(last, entry.FieldValues[1].Field, bytesOf(entry.FieldValues[1].Value))
	if !ok {
		return 0, nil, errDamaged
	}
	for i := range records {
		records[i].Chain, chain = chain, records[i].Offset
	}
	return epoch, records, nil
}

// readPart reads the records of an entry of the tail, given the offset of the last one, and of each topic that begins in it the offset before, as doubles.
func readPart(last eventlog.Offset, befores string, packed []byte) (records []eventlog.Record, ok bool) {
	r := reader{left: packed}
	size := uint64(len(packed))
	from, n, topics := r.number(math.MaxInt32), r.number(size), r.number(size)
	if n == 0 || uint64(from+n) > uint64(last)+1 {
		return nil, false
	}
	first := last - eventlog.Offset(from+n-1) // of the batch
	names, before := make([]string, topics), make([]eventlog.Offset, topics)
	for i := range names {
		switch behind := r.number(uint64(from)); {
		case behind > 0:
			before[i] = first + eventlog.Offset(behind-1)
		case len(befores) < 8:
			return nil, false
		default:
			before[i], befores = parseDouble(befores), befores[8:]
		}
		names[i] = string(r.bytes(r.number(size)))
	}
	records = make([]eventlog.Record, n)
	for i := range records {
		topic, record := r.record(size)
		if topic >= topics {
			return nil, false
		}
		record.Topic, record.Offset, record.Prev = names[topic], first+eventlog.Offset(from+i), before[topic]
		records[i], before[topic] = record, record.Offset
	}
	return records, !r.damaged && len(r.left) == 0
}

// readEntry adds the records of an entry of a topic.
func readEntry(records []eventlog.Record, topic string, entry rueidis.XRangeSlice) ([]eventlog.Record, error) {
	last, err := parseID(entry.ID)
	if err != nil || len(entry.FieldValues) != 1 || len(entry.FieldValues[0].Field) != 24 || entry.FieldValues[0].Value == "" {
		return nil, errDamaged
	}
	before, packed := parseDouble(entry.FieldValues[0].Field), bytesOf(entry.FieldValues[0].Value)
	r := reader{left: packed[1:]}
	for range packed[0] {
		back, record := r.record(uint64(last))
		record.Topic, record.Offset, record.Prev = topic, last-eventlog.Offset(back), before
		records, before = append(records, record), record.Offset
	}
	if r.damaged || len(r.left) > 0 {
		return nil, errDamaged
	}
	return records, nil
}

// bytesOf returns the bytes of an answer where they are. Nobody writes to them: a record's body is read, or replaced by what it is opened to.
func bytesOf(text string) []byte { return unsafe.Slice(unsafe.StringData(text), len(text)) }

// readHead reads what begins with the epoch and an offset, and goes on with entries.
func readHead(reply []rueidis.RedisMessage) (eventlog.Cursor, []rueidis.XRangeSlice, error) {
	if len(reply) < 3 {
		return eventlog.Cursor{}, nil, errDamaged
	}
	epoch, err1 := reply[0].AsUint64()
	offset, err2 := reply[1].AsUint64()
	entries, err3 := reply[2].AsXRangeSlices()
	if err1 != nil || err2 != nil || err3 != nil || epoch == 0 {
		return eventlog.Cursor{}, nil, errDamaged
	}
	return eventlog.NewCursor(epoch, eventlog.Offset(offset)), entries, nil
}

func parseID(id string) (eventlog.Offset, error) {
	offset, _, _ := strings.Cut(id, "-")
	return parseOffset(offset)
}

func parseOffset(text string) (eventlog.Offset, error) {
	n, err := strconv.ParseUint(text, 10, 64)
	return eventlog.Offset(n), err
}

func formatOffset(o eventlog.Offset) string { return strconv.FormatUint(uint64(o), 10) }

package redislog

import (
	"encoding/binary"
	"errors"
	"math"
	"strconv"
	"strings"

	"github.com/buffkit/buffkit/eventlog"
	"github.com/redis/rueidis"
)

// encode writes what a record holds besides its topic and position: the length of the key, the key, the body.
func encode(r *eventlog.Record) string {
	var b strings.Builder
	b.Grow(binary.MaxVarintLen64 + len(r.Key) + len(r.Body))
	var head [binary.MaxVarintLen64]byte
	b.Write(head[:binary.PutUvarint(head[:], uint64(len(r.Key)))])
	b.WriteString(r.Key)
	b.Write(r.Body)
	return b.String()
}

var errDamaged = errors.New("redislog: an entry isn't one of this log: another program may use keys of this prefix, choose another Options.Prefix")

// decode reads what encode has written. The body stays where it is.
func decode(r *eventlog.Record, text []byte) error {
	size, n := binary.Uvarint(text)
	if n <= 0 || size > uint64(len(text)-n) {
		return errDamaged
	}
	text = text[n:]
	r.Key = string(text[:size])
	r.Body = text[size:len(text):len(text)]
	return nil
}

// recordHead is what stands before each record of a batch: the offset before it in its topic, and the lengths of its topic's field and its bytes.
const recordHead = 16

// readBatch reads an entry of the tail. Its id is the offset of its last record.
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
	for left := []byte(entry.FieldValues[1].Value); len(left) > 0; {
		var r eventlog.Record
		if r, left, err = readRecord(left); err != nil {
			return 0, nil, err
		}
		records = append(records, r)
	}
	if n := len(records); n == 0 || uint64(n) > uint64(last) {
		return 0, nil, errDamaged
	}
	for i := range records {
		r := &records[i]
		r.Chain, r.Offset = chain, last-eventlog.Offset(len(records)-1-i)
		chain = r.Offset
	}
	return epoch, records, nil
}

// readRecord reads a record of a batch and returns what follows it.
func readRecord(text []byte) (r eventlog.Record, rest []byte, err error) {
	if len(text) < recordHead {
		return r, nil, errDamaged
	}
	prev := math.Float64frombits(binary.LittleEndian.Uint64(text))
	name, size := uint64(binary.LittleEndian.Uint32(text[8:])), uint64(binary.LittleEndian.Uint32(text[12:]))
	text = text[recordHead:]
	if name+size > uint64(len(text)) {
		return r, nil, errDamaged
	}
	topic, ok := strings.CutPrefix(string(text[:name]), "t:")
	if !ok {
		return r, nil, errDamaged
	}
	r.Topic, r.Prev = topic, eventlog.Offset(prev)
	return r, text[name+size:], decode(&r, text[name:name+size])
}

// readEntry reads an entry of a topic.
func readEntry(topic string, entry rueidis.XRangeSlice) (r eventlog.Record, err error) {
	offset, err := parseID(entry.ID)
	if err != nil || len(entry.FieldValues) != 1 {
		return r, errDamaged
	}
	r = eventlog.Record{Topic: topic, Offset: offset}
	if r.Prev, err = parseOffset(entry.FieldValues[0].Field); err != nil {
		return r, errDamaged
	}
	return r, decode(&r, []byte(entry.FieldValues[0].Value))
}

// readHead reads what begins with the epoch and an offset, and ends with entries.
func readHead(reply []rueidis.RedisMessage) (eventlog.Cursor, []rueidis.XRangeSlice, error) {
	if len(reply) != 3 {
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

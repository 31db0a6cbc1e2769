package redislog

import (
	"encoding/binary"
	"errors"
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

// decode reads what encode has written.
func decode(r *eventlog.Record, text string) error {
	size, n := uvarint(text)
	if n <= 0 || size > uint64(len(text)-n) {
		return errDamaged
	}
	r.Key = text[n : n+int(size)]
	r.Body = []byte(text[n+int(size):])
	return nil
}

func uvarint(text string) (uint64, int) {
	return binary.Uvarint([]byte(text[:min(len(text), binary.MaxVarintLen64)]))
}

// readBatch reads an entry of the tail. Its id is the offset of its last record.
func readBatch(entry rueidis.XRangeSlice) (epoch uint64, records []eventlog.Record, err error) {
	last, err := parseID(entry.ID)
	if n := len(entry.FieldValues); err != nil || n < 2 || uint64(n) > uint64(last) {
		return 0, nil, errDamaged
	}
	first, pairs := entry.FieldValues[0], entry.FieldValues[1:]
	epoch, err1 := strconv.ParseUint(first.Field, 10, 64)
	chain, err2 := parseOffset(first.Value)
	if err1 != nil || err2 != nil {
		return 0, nil, errDamaged
	}
	records = make([]eventlog.Record, len(pairs))
	for i, pair := range pairs {
		r := &records[i]
		prev, topic, ok := strings.Cut(pair.Field, "t:")
		if !ok {
			return 0, nil, errDamaged
		}
		r.Topic, r.Chain = topic, chain
		r.Offset = last - eventlog.Offset(len(pairs)-1-i)
		if r.Prev, err = parseOffset(prev); err != nil {
			return 0, nil, errDamaged
		}
		if err := decode(r, pair.Value); err != nil {
			return 0, nil, err
		}
		chain = r.Offset
	}
	return epoch, records, nil
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
	return r, decode(&r, entry.FieldValues[0].Value)
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

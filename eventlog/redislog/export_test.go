package redislog

import (
	"github.com/buffkit/buffkit/eventlog"
	"github.com/redis/rueidis"
)

// Pending is how many scripts are on their way, and how many appends wait for their turn.
func (s *Store) Pending() (sending, waiting int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.committers, len(s.queue)
}

// Part is records as an entry of the tail has them, and the offsets before them in their topics, all 0.
func Part(records []eventlog.Record) (part []byte, befores string) {
	p := packed(records)
	p.part(1, 0, len(records))
	return p.data, string(make([]byte, 8*len(p.topics)))
}

// Entry is records of one topic as an entry of its stream has them.
func Entry(records []eventlog.Record) string {
	p := packed(records)
	p.entry(0, topicEntryRecords, topicEntryBytes)
	return string(p.data)
}

func packed(records []eventlog.Record) *packer {
	var pointers []*eventlog.Record
	for i := range records {
		pointers = append(pointers, &records[i])
	}
	return &packer{batch: new(Store).newBatch(pointers)}
}

// ReadPart reads what Part returns.
func ReadPart(last eventlog.Offset, befores string, part []byte) ([]eventlog.Record, bool) {
	return readPart(last, befores, part)
}

// ReadEntry reads what Entry returns.
func ReadEntry(topic, id, before, packed string) ([]eventlog.Record, error) {
	return readEntry(nil, topic, rueidis.XRangeSlice{ID: id, FieldValues: []rueidis.XRangeFieldValue{{Field: before, Value: packed}}})
}

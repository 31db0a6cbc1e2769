package redislog

import (
	"encoding/binary"
	"math"

	"github.com/buffkit/buffkit/eventlog"
)

// batch is what one script stores. The offsets of its records follow one another: that of index i is the first and i. So only the first offset, and for each
// topic the offset before, are the server's to say; all else is packed here, and the script passes it on without a look inside.
type batch struct {
	records []*eventlog.Record
	topicOf []int // the number of each one's topic
	next    []int // the index of the next one of the same topic, or -1
	topics  []batchTopic
	classes []eventlog.Retention // those of the topics, each once
	keys    []batchKey
	twins   []twin
}

// batchTopic is a topic of a batch. Topics have numbers, in the order in which they appear.
type batchTopic struct {
	name        string
	class       int // the number of its retention
	first, last int // indexes of its records

	// While the tail is packed: the part it was in last, its number there, and the index behind its last record so far.
	part, number, behind int
}

// batchKey is an idempotency key, and the index of the record that has it.
type batchKey struct {
	name  string
	index int
}

// twin is a record that has the key of another one, before it in the batch.
type twin struct {
	record *eventlog.Record
	of     int
}

func (s *Store) newBatch(records []*eventlog.Record) *batch {
	n := len(records)
	b := &batch{records: make([]*eventlog.Record, 0, n), topicOf: make([]int, 0, n), next: make([]int, 0, n)}
	topics, keys, classes := make(map[string]int, n), map[string]int{}, map[eventlog.Retention]int{}
	for _, r := range records {
		index := len(b.records)
		if r.IdempotencyKey != "" {
			name := s.idempotencyKey(r.Topic, r.IdempotencyKey)
			if of, known := keys[name]; known {
				b.twins = append(b.twins, twin{r, of})
				continue
			}
			keys[name] = index
			b.keys = append(b.keys, batchKey{name, index})
		}
		topic, known := topics[r.Topic]
		if known {
			b.next[b.topics[topic].last] = index
		} else {
			topic = len(b.topics)
			topics[r.Topic] = topic
			b.topics = append(b.topics, batchTopic{name: r.Topic, class: b.class(classes, s.opts.retentionOf(r.Topic)), first: index})
		}
		b.topics[topic].last = index
		b.records, b.topicOf, b.next = append(b.records, r), append(b.topicOf, topic), append(b.next, -1)
	}
	return b
}

// class returns the number of a retention.
func (b *batch) class(known map[eventlog.Retention]int, r eventlog.Retention) int {
	class, ok := known[r]
	if !ok {
		class = len(b.classes)
		known[r] = class
		b.classes = append(b.classes, r)
	}
	return class
}

// fill writes the positions into the records, given the first offset, the one before it, and the ones before in each topic, as doubles. It returns the newest.
func (b *batch) fill(first, chain eventlog.Offset, befores string) (newest eventlog.Offset, err error) {
	if len(befores) != 8*len(b.topics) {
		return 0, errDamaged
	}
	before := make([]eventlog.Offset, len(b.topics))
	for i := range before {
		before[i] = parseDouble(befores[8*i:])
	}
	for i, r := range b.records {
		topic := b.topicOf[i]
		r.Partition, r.Offset, r.Prev, r.Chain = 0, first+eventlog.Offset(i), before[topic], chain
		before[topic], chain = r.Offset, r.Offset
	}
	for _, t := range b.twins {
		repeat(t.record, b.records[t.of].Offset)
	}
	return chain, nil
}

// parseDouble reads the offset that eight bytes begin with.
func parseDouble(text string) eventlog.Offset {
	return eventlog.Offset(math.Float64frombits(binary.LittleEndian.Uint64([]byte(text[:8]))))
}

package redislog

import (
	"encoding/binary"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/buffkit/buffkit/eventlog"
	"github.com/redis/rueidis"
)

// An entry of a topic is small, so that what it leaves over a limit, or brings too much into a range, is little. Those of the tail are such that a node
// reads no more than 16 MiB at once, unless an event is larger.
const (
	topicEntryRecords = 64       // a byte counts them
	topicEntryBytes   = 16 << 10 // unless it is one record
	tailEntryBytes    = 256 << 10
)

// entryLimits are how many records and bytes an entry of a topic has at most: no more than a sixteenth of what is kept.
func entryLimits(r eventlog.Retention) (records int, bytes int64) {
	return max(min(r.Count/16, topicEntryRecords), 1), min(r.Bytes/16, topicEntryBytes)
}

// packer writes the arguments of the script that appends, as it describes them.
type packer struct {
	*batch
	plan []byte
	data []byte // the entries, end to end
	ends []int  // of each
	here []int  // the topics of a part of the tail
}

// pack writes what the script is called with.
func (s *Store) pack(b *batch, seen seen) (keys, args []string) {
	p := &packer{batch: b, plan: make([]byte, 0, 128+12*len(b.topics)), data: make([]byte, 0, b.room())}
	parts := b.parts()
	p.doubles(float64(seen.offset), float64(seen.inAny), float64(s.opts.TailBytes), microseconds(s.opts.TailAge), float64(s.opts.IdempotencyWindow.Milliseconds()))
	p.numbers(len(b.topics), len(b.classes), len(parts))
	for _, r := range b.classes {
		p.retention(r)
	}
	for i := range b.topics {
		p.topic(&b.topics[i])
	}
	from := 0
	for i, to := range parts {
		p.part(i+1, from, to)
		from = to
	}
	for _, key := range b.keys {
		p.numbers(key.index)
	}
	return s.keys(b), p.args(seen)
}

func (s *Store) keys(b *batch) []string {
	keys := slices.Grow(s.logKeys(), len(b.topics)+len(b.keys))
	for i := range b.topics {
		keys = append(keys, s.topicKey(b.topics[i].name))
	}
	for _, key := range b.keys {
		keys = append(keys, key.name)
	}
	return keys
}

func (p *packer) args(seen seen) []string {
	args := make([]string, 0, 3+len(p.ends))
	args = append(args, newEpochText(), strconv.FormatUint(seen.epoch, 10), rueidis.BinaryString(p.plan))
	from := 0
	for _, end := range p.ends {
		args = append(args, rueidis.BinaryString(p.data[from:end]))
		from = end
	}
	return args
}

// room is about what all entries take.
func (b *batch) room() (bytes int) {
	for _, r := range b.records {
		bytes += 2*(len(r.Key)+len(r.Body)) + 16
	}
	for i := range b.topics {
		bytes += len(b.topics[i].name) + 8
	}
	return bytes
}

// parts returns where the entries of the tail end: the index behind each one's last record.
func (b *batch) parts() (ends []int) {
	bytes := 0
	for i, r := range b.records {
		size := len(r.Topic) + len(r.Key) + len(r.Body)
		if bytes > 0 && bytes+size > tailEntryBytes {
			ends, bytes = append(ends, i), 0
		}
		bytes += size
	}
	return append(ends, len(b.records))
}

func (p *packer) retention(r eventlog.Retention) {
	limited := 1.
	if r.Age.Microseconds() >= unlimited {
		limited = 0
	}
	p.doubles(bounded(int64(r.Count)), bounded(r.Bytes), microseconds(r.Age), limited)
}

// bounded returns a limit as a number that Lua can calculate with.
func bounded(limit int64) float64 { return float64(min(limit, unlimited)) }

func microseconds(d time.Duration) float64 { return bounded(max(d.Microseconds(), 1)) }

// topic packs the entries of a topic's stream.
func (p *packer) topic(t *batchTopic) {
	most, room := entryLimits(p.classes[t.class])
	at, entries := len(p.plan), 0
	p.numbers(t.class+1, 0) // Lua counts from 1
	for i := t.first; i >= 0; entries++ {
		i = p.entry(i, most, room)
	}
	binary.LittleEndian.PutUint32(p.plan[at+4:], uint32(entries))
}

// entry packs an entry of a topic's stream: how many records, and each of them with how far it is before the last one. It returns the index of the
// record that the next entry begins with, or -1.
func (p *packer) entry(from, most int, room int64) int {
	n, last, bytes := 1, from, p.size(from)
	for i := p.next[from]; i >= 0 && n < most; i = p.next[i] {
		if bytes += p.size(i); bytes > room {
			break
		}
		n, last = n+1, i
	}
	p.data = append(p.data, byte(n))
	for i := from; n > 0; n-- {
		p.data = appendRecord(p.data, last-i, p.records[i])
		i = p.next[i]
	}
	p.ends = append(p.ends, len(p.data))
	p.numbers(last)
	return p.next[last]
}

func (p *packer) size(i int) int64 { return int64(len(p.records[i].Key) + len(p.records[i].Body)) }

// part packs an entry of the tail, the n-th of the batch, of the records from an index up to another: the first index, how many records and topics; each
// topic's name, and the index behind the record before it in the batch, or 0 if there is none; and the records, each with its topic's number among these.
func (p *packer) part(n, from, to int) {
	p.here = p.here[:0]
	for i := from; i < to; i++ {
		if t := &p.topics[p.topicOf[i]]; t.part != n {
			t.part, t.number = n, len(p.here)
			p.here = append(p.here, p.topicOf[i])
		}
	}
	p.data = appendNumbers(p.data, from, to-from, len(p.here))
	fresh := 0
	for _, topic := range p.here {
		t := &p.topics[topic]
		if t.behind == 0 {
			fresh++
		}
		p.data = appendNumbers(p.data, t.behind, len(t.name))
		p.data = append(p.data, t.name...)
	}
	for i := from; i < to; i++ {
		t := &p.topics[p.topicOf[i]]
		p.data = appendRecord(p.data, t.number, p.records[i])
		t.behind = i + 1
	}
	p.ends = append(p.ends, len(p.data))
	p.numbers(to-1, fresh)
}

func (p *packer) doubles(numbers ...float64) {
	for _, n := range numbers {
		p.plan = binary.LittleEndian.AppendUint64(p.plan, math.Float64bits(n))
	}
}

func (p *packer) numbers(numbers ...int) {
	for _, n := range numbers {
		p.plan = binary.LittleEndian.AppendUint32(p.plan, uint32(n))
	}
}

// appendRecord packs what a record holds besides its topic and position, behind a number.
func appendRecord(dst []byte, n int, r *eventlog.Record) []byte {
	dst = appendNumbers(dst, n, len(r.Key), len(r.Body))
	dst = append(dst, r.Key...)
	return append(dst, r.Body...)
}

func appendNumbers(dst []byte, numbers ...int) []byte {
	for _, n := range numbers {
		dst = binary.AppendUvarint(dst, uint64(n))
	}
	return dst
}

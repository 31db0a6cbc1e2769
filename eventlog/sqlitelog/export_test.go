package sqlitelog

import (
	"context"
	"math"
	"time"

	"github.com/buffkit/buffkit/eventlog"
)

// WithPragma returns options whose connections all begin with a pragma more.
func WithPragma(o Options, pragma string) Options {
	o.pragmas = append(o.pragmas, pragma)
	return o
}

// StoreOf returns what is below a log.
func StoreOf(l *Log) *Store { return l.store }

// Age makes everything in the file older.
func (s *Store) Age(ctx context.Context, by time.Duration) error {
	conn, err := s.conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	return inTx(ctx, plain{conn}, func() error {
		now, err := readState(ctx, plain{conn})
		if err != nil {
			return err
		}
		if _, err := conn.ExecContext(ctx, "UPDATE buffkit_log SET head = ?, stored = ?", int64(now.head), now.stored); err != nil {
			return err
		}
		if _, err := conn.ExecContext(ctx, "UPDATE buffkit_trimmed SET position = position - ?", by.Microseconds()); err != nil {
			return err
		}
		_, err = conn.ExecContext(ctx, "UPDATE buffkit_packs SET position = position - ?", by.Microseconds()) // offsets within are told by distance
		return err
	})
}

// Count returns how many events of a topic are in the file, and the bytes of all, counted and by the books.
func (s *Store) Count(ctx context.Context, topic string) (events int, bytes, booked int64, err error) {
	conn, err := s.conn(ctx)
	if err != nil {
		return 0, 0, 0, err
	}
	defer conn.Close()
	now, err := readState(ctx, plain{conn})
	if err != nil {
		return 0, 0, 0, err
	}
	var dropped int64
	if err := conn.QueryRowContext(ctx, "SELECT dropped FROM buffkit_log").Scan(&dropped); err != nil {
		return 0, 0, 0, err
	}
	for after, more := eventlog.Offset(0), true; more; {
		var all []eventlog.Record
		if all, after, more, err = s.recordsBehind(ctx, conn, after); err != nil {
			return 0, 0, 0, err
		}
		for i := range all {
			bytes += sizeOf(&all[i])
			if all[i].Topic == topic {
				events++
			}
		}
	}
	return events, bytes, now.stored - dropped, nil
}

// RetainNow is Retain that doesn't wait until events are 10 seconds old, and looks at some topics whether they got something or not.
func (s *Store) RetainNow(ctx context.Context, topics ...string) error {
	for _, topic := range topics {
		s.dirty.add(eventlog.Record{Topic: topic})
	}
	err := s.retainAfter(ctx, math.MaxInt64)
	for err == nil && s.ages.round().topic != "" { // to the end of the round
		err = s.retainAfter(ctx, math.MaxInt64)
	}
	return err
}

// RetainAt is Retain at another time, which looks at a topic whether it got something or not.
func (s *Store) RetainAt(ctx context.Context, now time.Time, topic string) error {
	s.dirty.add(eventlog.Record{Topic: topic})
	return s.retainAt(ctx, now)
}

// TrimAll deletes all events of a topic.
func (s *Store) TrimAll(ctx context.Context, topic string) error {
	conn, err := s.conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	r := retainer{store: s, conn: conn, safe: math.MaxInt64, began: time.Now()}
	return r.trim(ctx, false, edge{topic, math.MaxInt64})
}

// OnDisk returns the bytes of a topic's events that are in the file.
func (s *Store) OnDisk(ctx context.Context, topic string) (bytes int64, err error) {
	err = s.db.QueryRowContext(ctx, "SELECT coalesce(sum(bytes), 0) FROM buffkit_packs WHERE topic = ?", topic).Scan(&bytes)
	return bytes, err
}

// Packs returns how many packs are in the file.
func (s *Store) Packs(ctx context.Context) (n int, err error) {
	err = s.db.QueryRowContext(ctx, "SELECT count(*) FROM buffkit_packs").Scan(&n)
	return n, err
}

// HasTurn tells whether nobody writes.
func (s *Store) HasTurn() bool { return len(s.turn) > 0 }

// Turn waits for the turn to write, and takes it until it is given back.
func (s *Store) Turn(ctx context.Context) (back func(), err error) {
	select {
	case <-s.turn:
		return func() { s.turn <- struct{}{} }, nil
	case <-ctx.Done():
		return func() {}, ctx.Err()
	}
}

// RoomAfter is how many packs a transaction of the retention may delete.
var RoomAfter = roomAfter

// MaxConns is how many connections a store has at most.
const MaxConns = maxConns

// PackBytes is how much of events a pack holds at most.
const PackBytes = packBytes

// Packed is a pack as a row has it.
type Packed struct {
	Topic       string
	First, Last eventlog.Offset
	Count       int
	Events      []byte
}

// Pack makes a pack of records of one topic.
func Pack(records []eventlog.Record) Packed {
	p := newPack(&records[0], nil)
	for i := range records[1:] {
		p.add(&records[i+1])
	}
	return Packed{p.topic, p.first, p.last, p.count, p.sealed()}
}

// Unpack returns the records of a pack.
func (p Packed) Unpack() ([]eventlog.Record, error) {
	return (&pack{topic: p.Topic, first: p.First, last: p.Last, count: p.Count, events: p.Events}).unpack()
}

// Sealed returns the bytes of a pack with a checksum that fits them.
func Sealed(payload []byte) []byte {
	return (&pack{events: append(make([]byte, checksumBytes), payload...)}).sealed()
}

// OfKind is what Check says of a file system.
var OfKind = ofKind

package eventlog

import (
	"context"
	"time"
)

// Log is an ordered, bounded record of events. Broker code calls it; all methods may be called at the same time.
//
// How to write one:
//
//  1. Assign offsets with the hybrid clock and make events visible in offset order, within a partition: a reader that has
//     seen an offset must never later find a smaller one. Mind SQL sequences, which commit out of order.
//  2. Keep, per topic, the newest offset that was dropped, so that Read can tell a trimmed topic from a quiet one.
//  3. Never change the bytes of a frame once it was returned.
//  4. Run logtest.Run against it.
type Log interface {
	// Append stores the events in their order, all of them or none, and returns one cursor an event: its position, whose
	// text is the event's SSE id. They are visible to Read, and as durable as the log promises, when it returns.
	//
	// An event whose IdempotencyKey was used before on its topic, within the log's window, isn't stored again; its cursor is
	// that of the first. Append doesn't keep or change the caller's Data.
	//
	// Errors: *EventError with ErrInvalid or ErrTooLarge (names the event), ErrFull, ErrClosed, the context's.
	Append(ctx context.Context, events ...Event) ([]Cursor, error)

	// Read returns what comes after the cursor on the topics, oldest first, at most max entries (max < 1 means 1).
	// The zero Cursor reads from the oldest event kept. It never waits for events to come.
	//
	// A topic that isn't whole after the cursor is named in Batch.Gaps and adds no entries to the batch.
	// A topic nobody ever published to is whole and empty; but a log that forgets topics, so as to stay within its bounds, can't
	// tell it from those that it forgot after the cursor. A topic that is asked for twice counts once.
	//
	// Errors: ErrClosed, the context's.
	Read(ctx context.Context, topics []string, after Cursor, max int) (Batch, error)

	// Head returns the cursor behind the newest event: a Read after it finds only what is appended later.
	// Errors: ErrClosed, the context's.
	Head(ctx context.Context) (Cursor, error)

	// Watch calls wake with the topic of what is appended, until the context ends or the log is closed. A Read that begins after
	// the call finds the event, and who has read an event, or one behind it, may rely on its wake having been called.
	// It calls wake("") when it begins to watch, and whenever it may have missed something: any topic may have news.
	// Calls of wake may overlap and may be spurious. It must not block, nor call the log. It isn't called any more when Watch has
	// returned the context's error or ErrClosed.
	Watch(ctx context.Context, wake func(topic string)) error

	// Close releases what the log holds and ends Watch. Calls after it, and a second Close, return ErrClosed.
	Close() error
}

// Event is what is published.
type Event struct {
	// Topic names the stream it goes to: 1 to MaxTopicBytes of UTF-8 without control characters.
	Topic string
	// Name is the event's type on the wire, "" for an unnamed event. UTF-8 without CR, LF, NUL.
	Name string
	// Data is the payload, UTF-8. CR and CRLF arrive as LF, because that is how the wire format treats lines.
	Data []byte
	// Key names the thing whose state this event tells: a reader that conflates needs only the newest of a key. Optional.
	Key string
	// IdempotencyKey makes publishing repeatable: the same key on the same topic is stored once, and what comes later with it is dropped,
	// whatever it says. Optional.
	IdempotencyKey string
}

// Entry is a stored event.
type Entry struct {
	Topic string
	// Offset is its place in its partition.
	Offset Offset
	// Prev is the offset before it in its topic, 0 for the first event ever. A log that has forgotten the topic since may
	// name a later offset, but none behind which the topic had an event before this one.
	Prev Offset
	// Key is the event's conflation key, or "".
	Key string
	// Partition is the one its topic is in, 0 in a log that has one.
	Partition uint32
	// Frame is the event on the wire, its id included. It is shared: never write to it.
	Frame []byte
}

// Batch is the answer to a Read.
type Batch struct {
	// Entries come in offset order within a partition.
	Entries []Entry
	// Next is where to read on. When nothing is left it is the head at the time of the read, so that the cursor of a reader
	// of quiet topics moves on too.
	Next Cursor
	// Behind counts all entries after the cursor at the time of the read, those in Entries included.
	Behind int
	// Gaps names the topics that aren't whole after the cursor, in the order they were asked for.
	Gaps []Gap
}

// Gap says that events of a topic after a cursor are gone, and why: ErrTrimmed, ErrOtherLog or ErrRolledBack.
type Gap struct {
	Topic string
	Err   error
}

// Offset is a position in a partition: a hybrid clock in microseconds since 1970, at least one more than the offset
// before it. 0 is before every event.
type Offset uint64

// Time is about when the event was appended: exact to a microsecond unless a partition took more than one event a microsecond.
func (o Offset) Time() time.Time { return time.UnixMicro(int64(o)) }

// offsetAt returns the offset of a time, 0 for one before 1970.
func offsetAt(t time.Time) Offset { return Offset(max(t.UnixMicro(), 0)) }

// Next returns the offset that follows o at the time now, as every log assigns them.
func (o Offset) Next(now time.Time) Offset { return max(o+1, offsetAt(now)) }

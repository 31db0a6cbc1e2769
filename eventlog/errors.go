package eventlog

import (
	"errors"
	"fmt"
)

var (
	// ErrClosed is returned by every call after Close.
	ErrClosed = errors.New("eventlog: log is closed")
	// ErrFull is returned by Append when the log can't make room, even by dropping the oldest events it may drop.
	ErrFull = errors.New("eventlog: log is full")
	// ErrTooLarge is in the EventError of an event over the log's size limit.
	ErrTooLarge = errors.New("eventlog: event too large")
	// ErrInvalid is in the EventError of an event that can't be put on the wire unchanged.
	ErrInvalid = errors.New("eventlog: invalid event")
	// ErrUnknownOutcome is returned by Append when the connection to where events are stored was lost before it answered, or its answer can't be
	// read: they may be stored or not. Append them again with their idempotency keys.
	ErrUnknownOutcome = errors.New("eventlog: unknown whether the events were stored")
	// ErrNotVisible is returned by Append of a Replica, beside the cursors, when the events are stored but the node couldn't follow its store as
	// far as to them in time. They will be delivered, or every reader is told a gap if the store has lost them: append them again only with idempotency keys.
	ErrNotVisible = errors.New("eventlog: stored, but not visible here yet")
	// ErrBadCursor is returned by ParseCursor.
	ErrBadCursor = errors.New("eventlog: not a cursor")

	// ErrTrimmed is in the Gap of a topic that has dropped events after the cursor.
	ErrTrimmed = errors.New("eventlog: position trimmed")
	// ErrOtherLog is in every Gap of a Read whose cursor has the epoch of another log.
	ErrOtherLog = errors.New("eventlog: cursor of another log")
	// ErrRolledBack is in every Gap of a Read whose cursor is ahead of the log.
	ErrRolledBack = errors.New("eventlog: cursor is ahead of the log")
)

// EventError says which event of an Append was refused. Nothing of that Append was stored.
type EventError struct {
	Index int    // its place in the call, from 0
	Topic string // its topic, shortened to 64 bytes
	Err   error  // wraps ErrInvalid or ErrTooLarge
}

func (e *EventError) Error() string {
	return fmt.Sprintf("event %d on topic %q: %v", e.Index, e.Topic, e.Err)
}

func (e *EventError) Unwrap() error { return e.Err }

package eventlog

import (
	"bytes"

	"github.com/buffkit/buffkit/sse"
)

// Event decodes the frame: the event that was published, its Data with LF for every line end. The idempotency key isn't kept.
func (e Entry) Event() Event {
	event := Event{Topic: e.Topic, Key: e.Key}
	for decoded, err := range sse.Scan(bytes.NewReader(e.Frame), &sse.ScanOptions{MaxEventBytes: 2 * len(e.Frame)}) {
		if err == nil {
			event.Name, event.Data = decoded.Name, decoded.Data
		}
	}
	return event
}

// At returns the position of the entry as a cursor of the log with the given epoch.
func (e Entry) At(epoch uint64) Cursor {
	return Cursor{epoch: epoch}.With(e.Partition, e.Offset)
}

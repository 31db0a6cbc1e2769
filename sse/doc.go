// Package sse turns events into the bytes of text/event-stream, and back.
//
//	Event ── AppendEvent ──> "id: 7\nevent: news\ndata: hello\n\n" ── Scan ──> Event
//
// It holds pure functions: no goroutines, no I/O but the reader given to Scan. The grammar is the one of the WHATWG HTML
// standard, section "Server-sent events". What is written follows docs/wire.md: LF only, one space after the colon, the
// fields in the order id, event, data. What is read is everything that a browser reads: any line ends, split anywhere.
//
// A frame has two halves, because a log encodes an event before it knows the event's id:
//
//	AppendID(dst, id) + AppendBody(dst, name, data) = AppendEvent(dst, Event{id, name, data})
//
// The pairs of files in testdata are read by the tests of this package and of the TypeScript client.
package sse

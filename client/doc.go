// Package client follows a stream of Server-Sent Events and resumes it whenever the network, the server or a deploy cuts it.
//
//	for event, err := range client.Events(ctx, "https://app.example/events?topic=orders", nil) {
//		if err != nil {
//			return err // final: the server refused for good
//		}
//		handle(event)
//	}
//
// Events remembers the id of the last event and sends it as Last-Event-ID when it reconnects:
//
//	connect ──> event, event, ping ──> cut ──> wait (retry, jitter) ──> connect with Last-Event-ID ──> …
//
// With a buffkit server (docs/wire.md) the client is told in-band whether everything was there: see Options.OnOpen and
// Options.OnGap. It drops repeats, and it notices a connection that has gone silent. Any other server that speaks
// text/event-stream works too, with what it offers.
//
// Everything runs on the goroutine that ranges: the package starts none.
package client

// Package push keeps pages live through lifts, tunnels, laptop lids and deploys.
//
// A Broker is an http.Handler that serves Server-Sent Events. What is published is encoded once and appended to an
// eventlog.Log; every connection reads the log from a cursor of its own. That one loop is both replay and live:
//
//	Publish ─> encode once ─> Log.Append ─> wake the topic's connections ─> each: Read(topics, cursor) ─> one write
//
// There is no queue for each connection, so a publisher never waits for a subscriber, and a slow subscriber costs a cursor.
//
// The cursor travels in the id of each event. A browser's EventSource sends it back by itself when its network returns,
// and the first event of every stream, buffkit.open, says what became of it: fresh, resumed (the missed events follow)
// or gap (events are gone; the Snapshot hook renders the current state). Delivery is at least once, per topic in
// publish order, inside the log's retention; beyond it the client is told.
//
// Who may read what is decided in one place, the AuthorizeFunc given to New.
package push

// Package hub is the HTTP surface of the buffkit binary: a push.Broker that any language can publish to and follow.
//
//	GET  /events?topic=a&topic=b     the stream (docs/wire.md)
//	POST /events?topic=a             publish one event, or a batch of NDJSON
//	GET  /history?topic=a&after=…    what the log keeps, by the page; &since=… from a time on
//	GET  /livez, /readyz             the process answers; events get through
//	GET  /metrics                    how many streams there are, and how the log does, for Prometheus
//
// Who may do what stands in access tokens (package access). Every error that the hub answers itself is a JSON object with
// code and message.
package hub

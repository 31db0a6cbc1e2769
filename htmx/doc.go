// Package htmx turns HTML fragments into events that an htmx page swaps in as they come.
//
//	row := htmx.Template(page, "row", order)
//	event, err := htmx.V4.Event(ctx, "orders", "row", htmx.Into("#orders", htmx.BeforeEnd, row))
//	if err == nil {
//		_, err = broker.Publish(ctx, event)
//	}
//
// A fragment is whatever renders itself: a templ component as it is, a template of html/template, an io.WriterTo, a
// string. If one fails there is no event, so nothing half-rendered is ever published.
//
// The two versions of htmx read a stream in opposite ways:
//
//	          HTML arrives in                     and lands in
//	htmx 2    a named event, sse-swap="row"       the element with that attribute, or out of band
//	htmx 4    an unnamed event                    the element with hx-sse:connect, an <hx-partial>, or out of band
//
// htmx 4 doesn't swap named events, it makes DOM events of them. That is what a Dialect knows; Into writes the form that
// each understands. Since an event is encoded once for everybody, an app that serves both publishes to a topic for each
// and grants them by DialectOf.
//
// Where no HTML is to be swapped, there is nothing to render, and an event with a name and no data does in both versions: it
// triggers a request (hx-trigger="sse:NAME" in 2, "NAME from:#stream" in 4) or ends the stream (sse-close="NAME" in 2,
// hx-sse:close="NAME" in 4).
package htmx

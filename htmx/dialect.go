package htmx

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/buffkit/buffkit/eventlog"
)

// Dialect is how a library in the page reads a stream.
type Dialect int

const (
	// V2 is htmx 2 with its sse extension.
	V2 Dialect = 2
	// V4 is htmx 4 with its hx-sse extension.
	V4 Dialect = 4
)

// String returns "htmx2" or "htmx4".
func (d Dialect) String() string { return fmt.Sprintf("htmx%d", int(d)) }

func (d Dialect) known() bool { return d == V2 || d == V4 }

// DialectOf tells which dialect the request for a stream speaks. htmx 4 fetches its streams and says HX-Request, as with
// every request of its own; htmx 2 opens an EventSource, which can't send a header. Anything else is taken for V2, whose
// named events every EventSource can listen to.
func DialectOf(r *http.Request) Dialect {
	if r.Header.Get("HX-Request") != "" {
		return V4
	}
	return V2
}

// Event renders the fragments, one after the other, into an event for the topic. It publishes nothing.
//
// The name is the one an htmx 2 page gives in sse-swap; "" is an unnamed event, which sse-swap knows as "message". V4 leaves it
// out, because htmx 4 swaps unnamed events only.
//
// An error says which fragment failed, and wraps that fragment's own.
func (d Dialect) Event(ctx context.Context, topic, name string, fragments ...Fragment) (eventlog.Event, error) {
	if d == V4 {
		name = ""
	}
	html, err := d.render(ctx, fragments)
	if err != nil {
		return eventlog.Event{}, fmt.Errorf("htmx: event for topic %q: %w", topic, err)
	}
	return eventlog.Event{Topic: topic, Name: name, Data: html}, nil
}

var errNoFragment = errors.New("no fragment; to trigger or to close, publish an event with a name alone")

func (d Dialect) render(ctx context.Context, fragments []Fragment) ([]byte, error) {
	switch {
	case !d.known():
		return nil, fmt.Errorf("unknown dialect %d; use V2 or V4", int(d))
	case len(fragments) == 0:
		return nil, errNoFragment
	}
	var html bytes.Buffer
	if err := renderAll(context.WithValue(ctx, dialectKey{}, d), &html, fragments); err != nil {
		return nil, err
	}
	return html.Bytes(), nil
}

// dialectKey is the context key by which Into finds out what to write, wherever in a component it stands.
type dialectKey struct{}

package push

import (
	"context"
	"net/http"

	"github.com/buffkit/buffkit/eventlog"
)

type cursorKey struct{}

// WithCursor is middleware for pages: it takes the cursor before the handler reads its data. A page that prints it,
//
//	<div hx-sse:connect="/events?cursor={{.Cursor}}">
//
// gets every event after what it shows, although some came while it was rendered. If the log can't be read, the page is served
// without a cursor, and the log says so.
func (b *Broker) WithCursor(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		at, err := b.Cursor(r.Context())
		if err != nil {
			b.logger().Warn("push: page without a cursor", "path", r.URL.Path, "error", err)
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), cursorKey{}, at)))
	})
}

// CursorFrom returns the cursor that WithCursor took, the zero Cursor if there is none. Its text is empty then, which
// a stream takes for none.
func CursorFrom(ctx context.Context) eventlog.Cursor {
	at, _ := ctx.Value(cursorKey{}).(eventlog.Cursor)
	return at
}

package hub

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/buffkit/buffkit/cmd/buffkit/internal/access"
	"github.com/buffkit/buffkit/eventlog"
	"github.com/buffkit/buffkit/push"
)

// problem is an error that the client is told.
type problem struct {
	status  int
	Code    string `json:"code"`           // for programs
	Message string `json:"message"`        // for people
	Line    int    `json:"line,omitempty"` // of a batch, from 1, if one line is to blame
	cause   error  // what only the server's log is told, if anything
}

func (p *problem) Error() string { return p.Code + ": " + p.Message }

func (p *problem) Unwrap() error { return p.cause }

func newProblem(status int, code, format string, args ...any) *problem {
	return &problem{status: status, Code: code, Message: fmt.Sprintf(format, args...)}
}

func badRequest(format string, args ...any) *problem {
	return newProblem(http.StatusBadRequest, "bad_request", format, args...)
}

// known gives errors their code and status, and those whose own text is for the server's log another one. The first that matches counts.
var known = []struct {
	err     error
	code    string
	status  int
	message string // "": the error's own
}{
	{push.ErrUnauthorized, "unauthorized", http.StatusUnauthorized, ""},
	{access.ErrExpired, "access_expired", http.StatusUnauthorized, ""},
	{access.ErrForeign, "access_foreign", http.StatusUnauthorized, ""},
	{access.ErrInvalid, "access_invalid", http.StatusUnauthorized, ""},
	{push.ErrForbidden, "forbidden", http.StatusForbidden, ""},
	{push.ErrBadTopic, "bad_request", http.StatusBadRequest, ""},
	{push.ErrTooManyTopics, "too_many_topics", http.StatusBadRequest, ""},
	{eventlog.ErrBadCursor, "bad_cursor", http.StatusBadRequest, ""},
	{eventlog.ErrTooLarge, "too_large", http.StatusRequestEntityTooLarge, ""},
	{eventlog.ErrInvalid, "invalid_event", http.StatusBadRequest, ""},
	{eventlog.ErrFull, "full", http.StatusServiceUnavailable,
		"the log has no room: nothing was stored; the server's log says what to do"},
	{eventlog.ErrUnknownOutcome, "unknown_outcome", http.StatusServiceUnavailable,
		"the log didn't answer, and nobody knows whether it was stored: publish it again with the same Idempotency-Key; without one it may be there twice"},
	{eventlog.ErrNotVisible, "not_visible", http.StatusServiceUnavailable,
		"it is stored, and comes to the streams as soon as this node can read it: don't publish it again, unless with the same Idempotency-Key"},
	{push.ErrDraining, "draining", http.StatusServiceUnavailable, ""},
	{push.ErrClosed, "closed", http.StatusServiceUnavailable, ""},
	{eventlog.ErrClosed, "closed", http.StatusServiceUnavailable, ""},
}

// told turns an error into what the client is told of it, nil if it is the server's own affair.
func told(err error) *problem {
	var p *problem
	if errors.As(err, &p) {
		return p
	}
	for _, k := range known {
		switch {
		case !errors.Is(err, k.err):
		case k.message == "":
			return newProblem(k.status, k.code, "%s", plain(err))
		default:
			return &problem{status: k.status, Code: k.code, Message: k.message, cause: err}
		}
	}
	return nil
}

// unavailable is an error of the log as a client is told of it: nobody's fault who asks.
func unavailable(err error, message string) *problem {
	if p := told(err); p != nil {
		return p
	}
	return &problem{status: http.StatusServiceUnavailable, Code: "unavailable", Message: message, cause: err}
}

// plain is an error's text without the name of the package that it comes from.
func plain(err error) string {
	text := err.Error()
	if pkg, rest, ok := strings.Cut(text, ": "); ok && (pkg == "push" || pkg == "eventlog" || pkg == "access") {
		return rest
	}
	return text
}

// handlerFunc is a handler whose error becomes the answer. It must not have written anything when it returns one.
type handlerFunc func(w http.ResponseWriter, r *http.Request) error

func (h *Hub) answer(next handlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		err := next(w, r)
		if err == nil || errors.Is(err, context.Canceled) && r.Context().Err() != nil {
			return // or nobody is there to be told
		}
		p := told(err)
		if p == nil {
			p = &problem{status: http.StatusInternalServerError, Code: "error", Message: "the server is at fault; its log says why", cause: err}
		}
		if p.cause != nil {
			h.opts.Logger.ErrorContext(r.Context(), "request failed", "method", r.Method, "path", r.URL.Path, "code", p.Code, "error", p.cause)
		}
		switch p.status {
		case http.StatusUnauthorized:
			w.Header().Set("WWW-Authenticate", "Bearer")
		case http.StatusServiceUnavailable:
			w.Header().Set("Retry-After", "1")
		}
		writeJSON(w, p.status, p)
	})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false) // the data is often HTML, and the answer never is
	_ = enc.Encode(v)        // the client has gone
}

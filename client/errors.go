package client

import (
	"errors"
	"fmt"
	"net/http"
)

var (
	// ErrNotStream is wrapped by the final error when the server answered 200 with something else than text/event-stream.
	ErrNotStream = errors.New("client: not an event stream")
	// ErrBadRequest is wrapped by the final error when no request can be made of the URL, the headers or the cursor.
	ErrBadRequest = errors.New("client: bad request")
	// ErrSilent is wrapped by the error that OnDisconnect is told when the server stopped sending, or never answered.
	ErrSilent = errors.New("client: the server is silent")
	// ErrEnded is the error that OnDisconnect is told when the server ended the stream without a word.
	ErrEnded = errors.New("client: the server ended the stream")
)

// StatusError is a refusal by HTTP status. It is final for any status that isn't 408, 425, 429 or 5xx; those are told to OnDisconnect.
type StatusError struct {
	Status  int    // of the answer
	Code    string // why, as docs/wire.md section 6 lists; "" if the server isn't buffkit
	Message string // for people; "" if there was none
}

func (e *StatusError) Error() string {
	text := fmt.Sprintf("client: the server answered %d %s", e.Status, http.StatusText(e.Status))
	if e.Code != "" {
		text += ", " + e.Code
	}
	if e.Message != "" {
		text += ": " + e.Message
	}
	return text
}

// ByeError is what OnDisconnect is told when the server said buffkit.bye. It is never final: if the server means it for good, it
// refuses the next connection by status.
type ByeError struct {
	Code    string // why, as docs/wire.md section 6 lists
	Message string // for people
}

func (e *ByeError) Error() string {
	return fmt.Sprintf("client: the server said goodbye, %s: %s", e.Code, e.Message)
}

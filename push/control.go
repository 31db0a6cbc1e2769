package push

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"

	"github.com/buffkit/buffkit/eventlog"
	"github.com/buffkit/buffkit/sse"
)

// The control events of docs/wire.md, section 4.
const (
	nameOpen = "buffkit.open"
	nameGap  = "buffkit.gap"
	namePing = "buffkit.ping"
	nameBye  = "buffkit.bye"
)

// reservedNames is how the names of control events start.
const reservedNames = "buffkit."

// checkName keeps the app from telling clients what only the broker knows.
func checkName(name string) error {
	if strings.HasPrefix(name, reservedNames) {
		return fmt.Errorf("%w: %.64q: names that start with %q are control events", ErrBadName, name, reservedNames)
	}
	return nil
}

// openData is told first on every stream.
type openData struct {
	State     State  `json:"state"`
	Replay    int    `json:"replay"`
	Gaps      []Gap  `json:"gaps,omitempty"`
	Session   string `json:"session"`
	Heartbeat int64  `json:"heartbeat"` // milliseconds
}

type gapData struct {
	Gaps []Gap `json:"gaps"`
}

// byeData is told last, and is the body of a refusal.
type byeData struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Retry   int64  `json:"retry"` // milliseconds
}

// appendControl appends a control event.
func appendControl(dst []byte, id, name string, data any) []byte {
	encoded, err := json.Marshal(data)
	if err != nil {
		panic("push: control event: " + err.Error()) // the types above can't fail
	}
	return appendEvent(dst, id, name, encoded)
}

// appendPing appends a heartbeat that moves the client's cursor on.
func appendPing(dst []byte, at eventlog.Cursor) []byte {
	return appendEvent(dst, at.String(), namePing, nil)
}

// appendPlace appends an id without an event: the client's cursor moves on, and nothing happens.
func appendPlace(dst []byte, at eventlog.Cursor) []byte {
	dst, err := sse.AppendID(dst, at.String())
	if err != nil {
		panic("push: cursor: " + err.Error()) // a cursor's text is a valid id
	}
	return append(dst, '\n')
}

// appendSnapshot appends an event of the app's without an id.
func appendSnapshot(dst []byte, event Event) ([]byte, error) {
	if err := checkName(event.Name); err != nil {
		return dst, err
	}
	return sse.AppendBody(dst, event.Name, event.Data)
}

// appendEvent appends an event of our own making.
func appendEvent(dst []byte, id, name string, data []byte) []byte {
	dst, err := sse.AppendEvent(dst, sse.Event{ID: id, Name: name, Data: data})
	if err != nil {
		panic("push: control event: " + err.Error()) // names and JSON are valid
	}
	return dst
}

func appendRetry(dst []byte, d time.Duration) []byte { return sse.AppendRetry(dst, d) }

// appendBye appends the goodbye for a cause.
func appendBye(dst []byte, bye byeData) []byte {
	dst = appendRetry(dst, time.Duration(bye.Retry)*time.Millisecond)
	return appendControl(dst, "", nameBye, bye)
}

// byeFor returns what a client is told of the error that refuses or ends its stream, and the status for those who can
// read it. Errors of other kinds are not told: they may say what is nobody's business.
func (b *Broker) byeFor(err error) (bye byeData, status int) {
	var own *Refusal
	if errors.As(err, &own) {
		retry := own.Retry
		if retry <= 0 {
			retry = b.jitter(b.opts.Retry)
		}
		status = own.Status
		if status < 400 || status > 599 {
			status = http.StatusForbidden
		}
		return byeData{own.Code, own.Message, retry.Milliseconds()}, status
	}
	for _, r := range refusals {
		if errors.Is(err, r.err) {
			return byeData{r.code, r.message, b.retryAfter(r.err).Milliseconds()}, r.status
		}
	}
	return byeData{"error", "the server is at fault; its log says why", b.jitter(slowRetries * b.opts.Retry).Milliseconds()},
		http.StatusInternalServerError
}

// slowRetries is how many times longer a client waits that will be refused again unless somebody acts.
const slowRetries = 5

// retryAfter spreads the return of clients: those of a drain over its window, those that were refused for a reason that lasts
// later than those that just lost a stream.
func (b *Broker) retryAfter(err error) time.Duration {
	switch err {
	case ErrDraining, ErrClosed, eventlog.ErrClosed:
		return b.opts.Retry/2 + rand.N(b.opts.DrainWindow)
	case ErrUnauthorized, ErrForbidden, ErrBadTopic, ErrTooManyTopics, ErrTooManyConnections:
		return b.jitter(slowRetries * b.opts.Retry)
	}
	return b.jitter(b.opts.Retry)
}

// jitter returns between half and one and a half of d.
func (b *Broker) jitter(d time.Duration) time.Duration { return d/2 + rand.N(d+1) }

package hub

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/buffkit/buffkit/cmd/buffkit/internal/access"
	"github.com/buffkit/buffkit/eventlog"
	"github.com/buffkit/buffkit/push"
)

const typeNDJSON = "application/x-ndjson"

// publish answers POST /events.
func (h *Hub) publish(w http.ResponseWriter, r *http.Request) error {
	grant, err := h.grant(r)
	if err != nil {
		return err
	}
	about, err := eventOf(r)
	if err != nil {
		return err
	}
	batch, err := isBatch(r.Header)
	if err != nil {
		return err
	}
	if batch {
		return h.publishBatch(w, r, grant, about)
	}
	if about.Topic == "" {
		return newProblem(http.StatusBadRequest, "no_topic", "name the topic, as in /events?topic=news")
	}
	if err := mayPublish(grant, about.Topic); err != nil {
		return err
	}
	if about.Data, err = h.body(w, r, h.opts.MaxEventBytes, "--max-event-bytes"); err != nil {
		return err
	}
	cursor, err := h.broker.Publish(r.Context(), about)
	if err != nil {
		return h.refused(err, nil)
	}
	writeJSON(w, http.StatusOK, struct {
		ID string `json:"id"`
	}{cursor.String()})
	return nil
}

// publishBatch publishes a line an event, all of them or none.
func (h *Hub) publishBatch(w http.ResponseWriter, r *http.Request, grant access.Grant, about push.Event) error {
	if about.Topic != "" {
		if err := mayPublish(grant, about.Topic); err != nil {
			return err
		}
	}
	body, err := h.body(w, r, h.opts.MaxBatchBytes, "--max-batch-bytes")
	if err != nil {
		return err
	}
	b, err := parseBatch(body, about)
	if err != nil {
		return err
	}
	asked := make(map[string]bool)
	for i, event := range b.events {
		if asked[event.Topic] {
			continue
		}
		asked[event.Topic] = true
		if err := mayPublish(grant, event.Topic); err != nil {
			return b.at(i, told(err))
		}
	}
	cursors, err := h.broker.PublishAll(r.Context(), b.events...)
	if err != nil {
		return h.refused(err, b)
	}
	ids := make([]string, len(cursors))
	for i, cursor := range cursors {
		ids[i] = cursor.String()
	}
	writeJSON(w, http.StatusOK, struct {
		IDs []string `json:"ids"`
	}{ids})
	return nil
}

// eventOf reads what a request says of its event besides the data; of a batch, what its lines leave out.
func eventOf(r *http.Request) (push.Event, error) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return push.Event{}, badRequest("the query can't be read: %v", err)
	}
	if err := once(query, "topic", "event", "key"); err != nil {
		return push.Event{}, err
	}
	if err := checkName(query.Get("event")); err != nil {
		return push.Event{}, newProblem(http.StatusBadRequest, "invalid_event", "%v", err)
	}
	return push.Event{
		Topic:          query.Get("topic"),
		Name:           query.Get("event"),
		Key:            query.Get("key"),
		IdempotencyKey: r.Header.Get("Idempotency-Key"),
	}, nil
}

// once refuses a query that has one of the names twice: nobody can know which of them is meant.
func once(query url.Values, names ...string) error {
	for _, name := range names {
		if len(query[name]) > 1 {
			return badRequest("give ?%s= once", name)
		}
	}
	return nil
}

// checkName keeps publishers from speaking to clients in the hub's name (docs/wire.md, section 2).
func checkName(name string) error {
	if strings.HasPrefix(name, "buffkit.") {
		return fmt.Errorf(`event %.64q: names that start with "buffkit." are reserved`, name)
	}
	return nil
}

// isBatch tells whether the body is a batch, or else the data of one event. What can't be meant as either is refused.
func isBatch(header http.Header) (bool, error) {
	if encoding := header.Get("Content-Encoding"); encoding != "" && encoding != "identity" {
		return false, unsupported("Content-Encoding %.64q isn't supported: send the body as it is", encoding)
	}
	text := header.Get("Content-Type")
	if text == "" {
		return false, nil
	}
	kind, params, err := mime.ParseMediaType(text)
	if err != nil {
		return false, unsupported("Content-Type %.64q can't be read: %v", text, err)
	}
	charset := strings.ToLower(params["charset"])
	switch {
	case charset != "" && charset != "utf-8" && charset != "us-ascii":
		return false, unsupported("charset %.64q isn't supported: send UTF-8", charset)
	case kind == typeNDJSON:
		return true, nil
	case strings.HasPrefix(kind, "text/"), strings.HasSuffix(kind, "+json"), strings.HasSuffix(kind, "+xml"):
		return false, nil
	}
	switch kind {
	case "application/json", "application/xml", "application/javascript",
		"application/octet-stream",          // "some bytes", of tools that don't know
		"application/x-www-form-urlencoded": // what curl -d says whatever the body is
		return false, nil
	}
	return false, unsupported("Content-Type %.64q isn't supported: send the data of one event as text, or a batch as %s",
		kind, typeNDJSON)
}

func unsupported(format string, args ...any) *problem {
	return newProblem(http.StatusUnsupportedMediaType, "unsupported_type", format, args...)
}

// body reads the body within its limits of size, and of the time that ServeHTTP has set.
func (h *Hub) body(w http.ResponseWriter, r *http.Request, most int, flag string) ([]byte, error) {
	tooLarge := newProblem(http.StatusRequestEntityTooLarge, "too_large",
		"the body has more than %d bytes: send less, or raise serve %s", most, flag)
	if r.ContentLength > int64(most) {
		w.Header().Set("Connection", "close") // rather than read what nobody wants
		return nil, tooLarge
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, int64(most)))
	var over *http.MaxBytesError
	switch {
	case errors.As(err, &over):
		return nil, tooLarge
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, newProblem(http.StatusRequestTimeout, "timeout", "the body took longer than %v", h.opts.BodyTimeout)
	case err != nil:
		return nil, badRequest("the body ended early: %v", err)
	}
	_ = http.NewResponseController(w).SetReadDeadline(time.Time{}) // else it would end the request when the log takes long
	return body, nil
}

// refused says in the words of the binary why the log refused events: its flags, and the line of a batch.
func (h *Hub) refused(err error, b *batch) error {
	p := unavailable(err, "the log can't be reached or refuses to store: nothing was stored; publish it again in a moment, and see the server's log")
	if errors.Is(err, eventlog.ErrTooLarge) {
		p.Message = fmt.Sprintf("the event has more than %d bytes on the wire: publish a link to it, or raise serve --max-event-bytes",
			h.opts.MaxEventBytes)
	}
	var event *eventlog.EventError
	if !errors.As(err, &event) {
		return p
	}
	if p.Code == "invalid_event" {
		p.Message = plain(event.Err)
	}
	if b != nil {
		return b.at(event.Index, p)
	}
	return p
}

package hub

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/buffkit/buffkit/eventlog"
	"github.com/buffkit/buffkit/push"
	"github.com/buffkit/buffkit/sse"
)

const (
	defaultHistory = 100     // events of a page: a screen or two
	maxHistory     = 1000    // events
	historyBytes   = 1 << 20 // a page ends with the read that passes it
	historyRead    = 16      // events; so that a page of the largest ones stays within historyBytes and 16 of them

	unread = "the log can't be read: ask again in a moment, and see the server's log"
)

// historyPage is the answer to GET /history.
type historyPage struct {
	Events []historyEvent `json:"events"`
	Next   string         `json:"next"`           // the cursor to read on from
	Gaps   []push.Gap     `json:"gaps,omitempty"` // topics that aren't whole after the cursor, and not in Events
}

type historyEvent struct {
	ID    string    `json:"id"`
	Topic string    `json:"topic"`
	Event string    `json:"event,omitempty"`
	Data  string    `json:"data"`
	Key   string    `json:"key,omitempty"`
	Time  time.Time `json:"time"`
}

// history answers GET /history: what the log keeps of the topics after a cursor, or since a time, or from the oldest event on.
// A topic that isn't whole from there on is named and left out of the page; next leads on for all.
func (h *Hub) history(w http.ResponseWriter, r *http.Request) error {
	_, topics, err := h.mayRead(r)
	if err != nil {
		return err
	}
	if most := or(h.opts.Push.Limits.MaxTopics, push.DefaultMaxTopics); most > 0 && len(topics) > most {
		return fmt.Errorf("%w: %d, at most %d", push.ErrTooManyTopics, len(topics), most)
	}
	query := r.URL.Query()
	if err := once(query, "after", "since", "limit"); err != nil {
		return err
	}
	if query.Has("cursor") { // it would begin elsewhere than was meant
		return badRequest("history takes ?after=; ?cursor= is for streams")
	}
	limit, err := limitOf(query.Get("limit"))
	if err != nil {
		return err
	}
	after, err := h.placeOf(r.Context(), query)
	if err != nil {
		return err
	}
	page := historyPage{Events: []historyEvent{}}
	for size := 0; ; {
		b, err := h.log.Read(r.Context(), topics, after, min(historyRead, limit-len(page.Events)))
		if err != nil {
			return unavailable(err, unread)
		}
		after = b.Next
		if page.Gaps == nil {
			page.Gaps = gapsOf(b.Gaps)
		}
		for _, entry := range b.Entries {
			event, err := eventOfEntry(entry)
			if err != nil {
				return err
			}
			page.Events = append(page.Events, event)
			size += len(entry.Frame)
		}
		if len(b.Entries) == b.Behind || len(page.Events) == limit || size > historyBytes || page.Gaps != nil {
			break
		}
	}
	page.Next = after.String()
	writeJSON(w, http.StatusOK, page)
	return nil
}

// placeOf returns where a page begins: behind ?after=, or at ?since=, or else at the oldest event that is kept.
func (h *Hub) placeOf(ctx context.Context, query url.Values) (eventlog.Cursor, error) {
	since := query.Get("since")
	if !query.Has("since") {
		after, err := eventlog.ParseCursor(query.Get("after"))
		if err != nil {
			err = fmt.Errorf("%w; give the id of an event or the next of a page, or leave ?after= out", err)
		}
		return after, err
	}
	if query.Get("after") != "" {
		return eventlog.Cursor{}, badRequest("give ?after= or ?since=, not both: since is for the first page, and next for the others")
	}
	t, err := time.Parse(time.RFC3339, since)
	if err != nil {
		return eventlog.Cursor{}, badRequest("?since=%.64s: give a time as in 2006-01-02T15:04:05Z; in a URL, + is written %%2B", since)
	}
	place, err := eventlog.Since(ctx, h.log, t)
	if err != nil {
		return place, unavailable(err, unread)
	}
	return place, nil
}

func limitOf(text string) (int, error) {
	if text == "" {
		return defaultHistory, nil
	}
	limit, err := strconv.Atoi(text)
	if err != nil || limit < 1 || limit > maxHistory {
		return 0, badRequest("?limit=%.32s: give a number from 1 to %d", text, maxHistory)
	}
	return limit, nil
}

// eventOfEntry reads an event back from the bytes that streams are sent.
func eventOfEntry(entry eventlog.Entry) (historyEvent, error) {
	for frame, err := range sse.Scan(bytes.NewReader(entry.Frame), &sse.ScanOptions{MaxEventBytes: len(entry.Frame)}) {
		if err != nil {
			return historyEvent{}, fmt.Errorf("entry %d of %q: %w", entry.Offset, entry.Topic, err)
		}
		return historyEvent{
			ID:    frame.ID,
			Topic: entry.Topic,
			Event: frame.Name,
			Data:  string(frame.Data),
			Key:   entry.Key,
			Time:  entry.Offset.Time().UTC(),
		}, nil
	}
	return historyEvent{}, fmt.Errorf("entry %d of %q: no event in its frame", entry.Offset, entry.Topic)
}

func gapsOf(gaps []eventlog.Gap) []push.Gap {
	var all []push.Gap
	for _, gap := range gaps {
		reason := push.ReasonTrimmed
		switch {
		case errors.Is(gap.Err, eventlog.ErrOtherLog):
			reason = push.ReasonOtherLog
		case errors.Is(gap.Err, eventlog.ErrRolledBack):
			reason = push.ReasonRolledBack
		}
		all = append(all, push.Gap{Topic: gap.Topic, Reason: reason})
	}
	return all
}

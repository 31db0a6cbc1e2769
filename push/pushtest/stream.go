package pushtest

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/buffkit/buffkit/client"
	"github.com/buffkit/buffkit/sse"
)

// StreamOptions of Open. The zero value, and nil, mean a fresh stream by http.DefaultClient.
type StreamOptions struct {
	HTTP   *http.Client
	Cursor string      // sent as Last-Event-ID
	Header http.Header // sent too. With Buffkit-Client the server refuses by status
}

// Stream is one open stream, without a reconnect. It is read as far as Next was called and a buffer's length further, so one
// whose Next isn't called is a client that doesn't read. Close it.
type Stream struct {
	// Response is the answer; its body belongs to the stream.
	Response *http.Response

	cancel context.CancelFunc
	events chan Event
	done   chan struct{} // closed when nothing more comes
	err    error         // why; not changed after done is closed
}

// Event is one event of a stream, of the app's or a control event.
type Event struct {
	ID    string // its own id, "" if it has none
	Name  string
	Data  []byte
	Retry time.Duration // told since the event before, 0 if it wasn't

	// What a control event tells; all are nil for other events, and for buffkit.ping.
	Open *client.Open
	Gaps []client.Gap // of buffkit.gap; those of buffkit.open are in Open
	Bye  *client.ByeError

	place string // an id that came without an event since the event before: the place after a gap
}

// RefusedError is returned by Open for an answer that isn't a stream.
type RefusedError struct {
	Status     int
	RetryAfter string // the header
	Body       string // its first kilobyte; JSON if the server is buffkit
}

func (e *RefusedError) Error() string {
	return fmt.Sprintf("pushtest: no stream: status %d: %s", e.Status, e.Body)
}

// Open asks for a stream as an EventSource does. It ends with the context, if it isn't closed before. Errors: *RefusedError, and
// those of the HTTP client.
func Open(ctx context.Context, url string, opts *StreamOptions) (*Stream, error) {
	var o StreamOptions
	if opts != nil {
		o = *opts
	}
	if o.HTTP == nil {
		o.HTTP = http.DefaultClient
	}
	ctx, cancel := context.WithCancel(ctx)
	resp, err := request(ctx, url, o)
	if err != nil {
		cancel()
		return nil, err
	}
	s := &Stream{Response: resp, cancel: cancel, events: make(chan Event), done: make(chan struct{})}
	go s.read(ctx)
	return s, nil
}

func request(ctx context.Context, url string, o StreamOptions) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, fmt.Errorf("pushtest: open: %w", err)
	}
	for name, values := range o.Header {
		req.Header[name] = values
	}
	req.Header.Set("Accept", "text/event-stream")
	if o.Cursor != "" {
		req.Header.Set("Last-Event-ID", o.Cursor)
	}
	resp, err := o.HTTP.Do(req)
	if err != nil {
		return nil, fmt.Errorf("pushtest: open: %w", err)
	}
	kind := resp.Header.Get("Content-Type")
	if resp.StatusCode != http.StatusOK || !strings.HasPrefix(kind, "text/event-stream") {
		defer resp.Body.Close()
		body, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
		return nil, &RefusedError{resp.StatusCode, resp.Header.Get("Retry-After"), string(body)}
	}
	return resp, nil
}

// Next returns the next event. It returns io.EOF when the server has ended the stream, the network's error when that has, and
// the context's when nothing came before it ended: then Next can be called again. An ID without an event isn't returned.
func (s *Stream) Next(ctx context.Context) (Event, error) {
	select {
	case e := <-s.events:
		return e, nil
	case <-s.done:
		return Event{}, s.err
	case <-ctx.Done():
		return Event{}, ctx.Err()
	}
}

// Close ends the stream as a client does that goes away, and waits until its goroutine is gone.
func (s *Stream) Close() {
	s.cancel()
	<-s.done
}

// read ends when the stream does.
func (s *Stream) read(ctx context.Context) {
	defer s.cancel()
	defer close(s.done)
	defer s.Response.Body.Close()
	s.err = io.EOF
	var pending Event    // what came before the empty line that makes an event
	var places [2]string // the last ids that were committed since the event before, the newest first
	for scanned, err := range sse.Scan(s.Response.Body, &sse.ScanOptions{
		OnRetry: func(d time.Duration) { pending.Retry = d },
		OnID:    func(id string) { places = [2]string{id, places[0]} },
	}) {
		event := pending
		event.Name, event.Data, event.place = scanned.Name, scanned.Data, places[0]
		if scanned.ID != "" && !scanned.Inherited {
			event.ID, event.place = scanned.ID, places[1]
		}
		pending, places = Event{}, [2]string{}
		if err == nil {
			err = event.decode()
		}
		if err != nil {
			s.err = err
			return
		}
		select {
		case s.events <- event:
		case <-ctx.Done():
			s.err = ctx.Err()
			return
		}
	}
}

// decode reads a control event.
func (e *Event) decode() (err error) {
	switch e.Name {
	case "buffkit.open":
		var told struct {
			State     client.State
			Replay    int
			Gaps      []client.Gap
			Session   string
			Heartbeat int64 // milliseconds
		}
		err = json.Unmarshal(e.Data, &told)
		e.Open = &client.Open{
			State: told.State, Replay: told.Replay, Gaps: told.Gaps, Session: told.Session,
			Heartbeat: time.Duration(told.Heartbeat) * time.Millisecond,
		}
	case "buffkit.gap":
		var told struct{ Gaps []client.Gap }
		err = json.Unmarshal(e.Data, &told)
		e.Gaps = told.Gaps
	case "buffkit.bye":
		e.Bye = &client.ByeError{}
		err = json.Unmarshal(e.Data, e.Bye)
	}
	if err != nil {
		return fmt.Errorf("pushtest: %s with data %.200q: %w", e.Name, e.Data, err)
	}
	return nil
}

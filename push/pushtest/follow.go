package pushtest

import (
	"context"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/buffkit/buffkit/client"
	"github.com/buffkit/buffkit/eventlog"
)

// Follow follows a URL with package client until the context ends, and records. It returns the client's final error. Of opts, the
// functions OnOpen, OnGap and OnCursor are its own.
func (s *Subscriber) Follow(ctx context.Context, url string, opts *client.Options) error {
	var o client.Options
	if opts != nil {
		o = *opts
	}
	if o.HTTP == nil {
		o.HTTP = http.DefaultClient
	}
	recording := *o.HTTP
	recording.Transport = &recorder{s, o.HTTP.Transport}
	o.HTTP = &recording
	var fresh *client.Open // OnCursor tells its place
	o.OnOpen = func(open client.Open) {
		if open.State == client.Fresh {
			fresh = &open
			return
		}
		s.Told("", open)
	}
	o.OnCursor = func(cursor string) {
		if fresh != nil {
			s.Told(cursor, *fresh)
			fresh = nil
			return
		}
		s.Moved(cursor)
	}
	o.OnGap = s.ToldGap
	for e, err := range client.Events(ctx, url, &o) {
		if err != nil {
			return err
		}
		s.Received(e.ID, e.Data)
	}
	return nil
}

// recorder sees the cursor of each request.
type recorder struct {
	subscriber *Subscriber
	next       http.RoundTripper // nil for the default
}

// RoundTrip implements http.RoundTripper.
func (r *recorder) RoundTrip(req *http.Request) (*http.Response, error) {
	r.subscriber.Asks(req.Header.Get("Last-Event-ID"))
	if r.next == nil {
		return http.DefaultTransport.RoundTrip(req)
	}
	return r.next.RoundTrip(req)
}

// FollowStreams follows a URL with one Stream after the other until the context ends, as an EventSource would: with the id of
// the last event, and no session. It records all that stands on the wire, the place after a gap too, and so judges more sharply than
// Follow. It drops repeats by their cursors. Between two streams it waits as long as a goodbye says, without one up to pause.
func (s *Subscriber) FollowStreams(ctx context.Context, url string, opts *StreamOptions, pause time.Duration) {
	var o StreamOptions
	if opts != nil {
		o = *opts
	}
	f := follower{subscriber: s, cursor: o.Cursor}
	f.seen, _ = eventlog.ParseCursor(o.Cursor)
	for ctx.Err() == nil {
		f.wait = rand.N(max(pause, 1))
		o.Cursor = f.cursor
		s.Asks(f.cursor)
		if stream, err := Open(ctx, url, &o); err == nil {
			f.follow(ctx, stream)
			stream.Close()
		}
		timer := time.NewTimer(f.wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		}
	}
}

// follower is what outlives a stream.
type follower struct {
	subscriber *Subscriber
	cursor     string          // the last id
	seen       eventlog.Cursor // the same, for comparison; zero if nothing is a repeat
	wait       time.Duration
}

// follow records a stream until it ends.
func (f *follower) follow(ctx context.Context, stream *Stream) {
	for {
		e, err := stream.Next(ctx)
		if err != nil {
			return
		}
		if e.place != "" && f.moves(e.place) {
			f.subscriber.Moved(e.place)
		}
		switch {
		case e.Open != nil:
			f.subscriber.Told(e.ID, *e.Open)
			f.lost(e.Open.Gaps)
			f.moves(e.ID)
		case e.Gaps != nil:
			f.subscriber.ToldGap(e.Gaps)
			f.lost(e.Gaps)
		case e.Bye != nil:
			f.wait = e.Retry
		case e.ID == "" || !f.moves(e.ID): // a snapshot, or a repeat
		case e.Name == "buffkit.ping":
			f.subscriber.Moved(e.ID)
		default:
			f.subscriber.Received(e.ID, e.Data)
		}
	}
}

// moves takes an id, and tells whether it is no repeat.
func (f *follower) moves(id string) bool {
	if id == "" {
		return false
	}
	at, _ := eventlog.ParseCursor(id)
	if !f.seen.IsZero() && !at.Beyond(f.seen) {
		return false
	}
	f.cursor, f.seen = id, at
	return true
}

func (f *follower) lost(gaps []client.Gap) {
	for _, g := range gaps {
		if resets(g.Reason) {
			f.seen = eventlog.Cursor{}
		}
	}
}

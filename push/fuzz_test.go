package push_test

import (
	"bytes"
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/buffkit/buffkit/eventlog"
	"github.com/buffkit/buffkit/push"
)

// briefly is a client that leaves once it knows what became of its cursor.
type briefly struct {
	*sink
	leave context.CancelFunc
}

func (w briefly) FlushError() error {
	err := w.sink.FlushError()
	frames, _ := parseFrames(w.text())
	if len(frames) > 1 && (frames[1].control().State != "gap" || frames[len(frames)-1].String() == "place") {
		w.leave()
	}
	return err
}

// Whatever is asked for, the answer is a well-formed stream or refusal, a reserved topic is never granted, and what was sent to
// somebody else never leaves.
func FuzzRequest(f *testing.F) {
	const secret = "for the victim alone"
	b := newBroker(f, func(r *http.Request) (push.Grant, error) {
		return push.Grant{Topics: push.RequestedTopics(r)}, nil // a trusting app
	}, push.Options{Logger: quiet(), Keys: []push.Key{key1}, SessionCookie: "live", SessionTTL: time.Millisecond})
	begin, err := b.Cursor(f.Context())
	if err != nil {
		f.Fatal(err)
	}
	if _, err := b.SendUser(f.Context(), "victim", push.Event{Data: []byte(secret)}); err != nil {
		f.Fatal(err)
	}
	publish(f, b, "a:1")
	ring := push.NewKeyring([]push.Key{key1}, 100*365*24*time.Hour)
	token, _ := ring.Mint("", 0, begin)
	foreign, _ := ring.Mint("victim", 0, begin)

	f.Add("topic=a&topic=b", "", "", "", "text/event-stream")
	f.Add("topic=~user/victim", begin.String(), "", "", "text/event-stream")
	f.Add("topic=a&cursor="+begin.String(), "", "live="+token, "", "")
	f.Add("topic=a", "garbage", "live="+foreign, token, "*/*")
	f.Add("topic=&topic=%ff&topic=a%0a", "1.z.3-4", "live=\"x\"; live", "x", "text/event-stream")
	f.Add("topic=%7eall;cursor=%zz", eventlog.NewCursor(7, 1<<63).String(), "live=", foreign, "TEXT/event-stream")
	f.Fuzz(func(t *testing.T, query, lastEventID, cookie, session, accept string) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		r := (&http.Request{Method: http.MethodGet, URL: &url.URL{Path: "/", RawQuery: query}, RemoteAddr: "192.0.2.1:1", Header: http.Header{
			"Last-Event-Id": {lastEventID}, "Cookie": {cookie}, "Buffkit-Session": {session}, "Accept": {accept},
		}}).WithContext(ctx)
		w := newSink()
		b.ServeHTTP(briefly{w, cancel}, r)

		if bytes.Contains(w.buf, []byte(secret)) {
			t.Fatalf("the secret leaves: %q", w.buf)
		}
		reserved := slices.ContainsFunc(r.URL.Query()["topic"], func(topic string) bool { return strings.HasPrefix(topic, "~") })
		switch kind := w.sent.Get("Content-Type"); kind {
		case "application/json":
			if bye := (frame{data: string(w.buf)}).control(); w.status < 400 || w.status == 500 || bye.Code == "" || bye.Retry <= 0 {
				t.Errorf("refused with %d %q", w.status, w.buf)
			}
		case "text/event-stream":
			frames, err := parseFrames(string(w.buf))
			if err != nil || w.status != 200 || len(frames) == 0 {
				t.Fatalf("status %d, %v: %q", w.status, err, w.buf)
			}
			if frames[0].comment == "ok" {
				if reserved || frames[1].name != "buffkit.open" {
					t.Errorf("asked for %q, got %q", query, w.buf)
				}
			} else if bye := frames[0]; len(frames) != 1 || bye.name != "buffkit.bye" || bye.control().Code == "error" {
				t.Errorf("refused with %q", w.buf)
			}
		default:
			t.Errorf("status %d, Content-Type %q: %q", w.status, kind, w.buf)
		}
	})
}

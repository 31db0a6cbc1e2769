package pushtest_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"github.com/buffkit/buffkit/client"
	"github.com/buffkit/buffkit/push/pushtest"
)

// says answers with a text as a stream, and ends it.
func says(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		io.WriteString(w, text)
	}
}

func TestStreamDecodes(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, text string
		want       []pushtest.Event
	}{
		{"an event", "id: k.1\nevent: x\ndata: a\ndata: b\n\n", []pushtest.Event{{ID: "k.1", Name: "x", Data: []byte("a\nb")}}},
		{"its own id only", "id: k.1\ndata: a\n\ndata: b\n\n", []pushtest.Event{{ID: "k.1", Data: []byte("a")}, {Data: []byte("b")}}},
		{"an id without an event", "id: k.1\n\ndata: b\n\n", []pushtest.Event{{Data: []byte("b")}}},
		{"retry", "retry: 7\n\ndata: a\n\nretry: 9\ndata: b\n\ndata: c\n\n", []pushtest.Event{
			{Data: []byte("a"), Retry: 7 * time.Millisecond}, {Data: []byte("b"), Retry: 9 * time.Millisecond}, {Data: []byte("c")},
		}},
		{"open", "event: buffkit.open\ndata: {\"state\":\"gap\",\"replay\":3,\"session\":\"s\",\"heartbeat\":2000,\"x\":1," +
			"\"gaps\":[{\"topic\":\"a\",\"reason\":\"trimmed\"}]}\n\n", []pushtest.Event{{Name: "buffkit.open", Open: &client.Open{
			State: client.Gapped, Replay: 3, Session: "s", Heartbeat: 2 * time.Second, Gaps: []client.Gap{{Topic: "a", Reason: "trimmed"}},
		}}}},
		{"gap", "event: buffkit.gap\ndata: {\"gaps\":[{\"topic\":\"a\",\"reason\":\"slow\"}]}\n\n",
			[]pushtest.Event{{Name: "buffkit.gap", Gaps: []client.Gap{{Topic: "a", Reason: "slow"}}}}},
		{"ping", "id: k.1\nevent: buffkit.ping\ndata: \n\n", []pushtest.Event{{ID: "k.1", Name: "buffkit.ping", Data: []byte{}}}},
		{"bye", "retry: 5\nevent: buffkit.bye\ndata: {\"code\":\"draining\",\"message\":\"m\",\"retry\":5}\n\n", []pushtest.Event{
			{Name: "buffkit.bye", Retry: 5 * time.Millisecond, Bye: &client.ByeError{Code: "draining", Message: "m"}},
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := pushtest.NewServer(t, says(tt.text))
				stream, err := s.Open(t.Context(), "/", nil)
				if err != nil {
					t.Fatal(err)
				}
				for _, want := range tt.want {
					got, err := stream.Next(t.Context())
					if want.Data == nil {
						got.Data = nil
					}
					if err != nil || !reflect.DeepEqual(exported(got), want) {
						t.Errorf("got %+v, %v, want %+v", got, err, want)
					}
				}
				if e, err := stream.Next(t.Context()); err != io.EOF {
					t.Errorf("at the end came %+v, %v", e, err)
				}
			})
		})
	}
}

// exported is an event without what only the oracle sees.
func exported(e pushtest.Event) pushtest.Event {
	return pushtest.Event{ID: e.ID, Name: e.Name, Data: e.Data, Retry: e.Retry, Open: e.Open, Gaps: e.Gaps, Bye: e.Bye}
}

func TestStreamRefusesWhatItCannotDecode(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := pushtest.NewServer(t, says("event: buffkit.gap\ndata: oops\n\n"))
		stream, err := s.Open(t.Context(), "/", nil)
		if err != nil {
			t.Fatal(err)
		}
		if e, err := stream.Next(t.Context()); err == nil || err == io.EOF {
			t.Errorf("got %+v, %v", e, err)
		}
	})
}

func TestOpenSendsWhatItIsGiven(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var got *http.Request
		s := pushtest.NewServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { got = r; says("")(w, r) }))
		header := http.Header{"X-Test": {"1"}}
		stream, err := s.Open(t.Context(), "/events?topic=a", &pushtest.StreamOptions{Cursor: "k.1", Header: header})
		if err != nil {
			t.Fatal(err)
		}
		stream.Close()
		if got.RequestURI != "/events?topic=a" || got.Header.Get("Last-Event-ID") != "k.1" || got.Header.Get("X-Test") != "1" ||
			got.Header.Get("Accept") != "text/event-stream" {
			t.Errorf("the server got %s with %v", got.RequestURI, got.Header)
		}
		if len(header) != 1 {
			t.Errorf("the caller's header became %v", header)
		}
	})
}

func TestOpenTellsARefusal(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		handler http.HandlerFunc
		want    pushtest.RefusedError
	}{
		{"a status", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "3")
			http.Error(w, "busy", http.StatusServiceUnavailable)
		}, pushtest.RefusedError{Status: http.StatusServiceUnavailable, RetryAfter: "3", Body: "busy\n"}},
		{"a page", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "<html>") },
			pushtest.RefusedError{Status: http.StatusOK, Body: "<html>"}},
		{"the end for ever", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) },
			pushtest.RefusedError{Status: http.StatusNoContent}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := pushtest.NewServer(t, tt.handler)
				_, err := s.Open(t.Context(), "/", nil)
				var refused *pushtest.RefusedError
				if !errors.As(err, &refused) || *refused != tt.want {
					t.Errorf("got %v, want %v", err, &tt.want)
				}
			})
		})
	}
}

func TestStreamCloseIsSeenByTheServer(t *testing.T) {
	t.Parallel()
	inBubble(t, newTicker(), func(t *testing.T, s *pushtest.Server, stream *pushtest.Stream) {
		next(t, stream, "0")
		stream.Close()
		synctest.Wait()
		if n := len(s.Conns()); stream.Response.ProtoMajor == 1 && n > 0 { // HTTP/2 keeps its connection
			t.Errorf("%d connections are left", n)
		}
		if _, err := stream.Next(t.Context()); !errors.Is(err, context.Canceled) {
			t.Errorf("a closed stream says %v", err)
		}
		stream.Close()
	})
}

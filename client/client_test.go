package client_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/buffkit/buffkit/client"
	"github.com/buffkit/buffkit/sse"
)

func TestRequestSaysWhatItWants(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := serve(t)
		header := http.Header{"Authorization": {"Bearer x"}, "Accept": {"*/*"}}
		if _, err := follow(t.Context(), s, client.Options{Header: header}); err != nil {
			t.Fatal(err)
		}
		want := map[string]string{
			"Accept": "text/event-stream", "Cache-Control": "no-cache", "Buffkit-Client": "go/0.1",
			"Authorization": "Bearer x", "Last-Event-Id": "-", "Buffkit-Session": "-",
		}
		for name, value := range want {
			if got := s.headers(name); !slices.Equal(got, []string{value}) {
				t.Errorf("%s: %q, want %q", name, got, value)
			}
		}
		if len(header) != 2 || header.Get("Accept") != "*/*" {
			t.Errorf("the caller's header became %v", header)
		}
	})
}

func TestEventsResumesBehindTheLastID(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		cursor  string
		streams []string
		data    []string
		sent    []string // Last-Event-ID of each request
	}{
		{"an event's id", "", []string{event("k.1", "a") + event("k.2", "b"), event("k.3", "c")},
			[]string{"a", "b", "c"}, []string{"-", "k.2", "k.3"}},
		{"the first cursor", "k.5", []string{event("k.6", "a")}, []string{"a"}, []string{"k.5", "k.6"}},
		{"an id without an event", "", []string{event("k.1", "a") + "id: k.4\n\n"}, []string{"a"}, []string{"-", "k.4"}},
		{"a ping", "", []string{opened + "event: buffkit.ping\nid: k.9\ndata: \n\n"}, nil, []string{"-", "k.9"}},
		{"a fresh open", "", []string{"id: k.7\nevent: buffkit.open\ndata: {\"state\":\"fresh\"}\n\n"}, nil, []string{"-", "k.7"}},
		{"no ids", "", []string{"data: a\n\n", "data: b\n\n"}, []string{"a", "b"}, []string{"-", "-", "-"}},
		{"an id that is taken back", "k.1", []string{"id\ndata: a\n\n"}, []string{"a"}, []string{"k.1", "-"}},
		{"a half event doesn't count", "", []string{event("k.1", "a") + "id: k.2\ndata: b\n"}, []string{"a"}, []string{"-", "k.1"}},
		{"foreign ids", "", []string{event("x y", "a"), event("…", "b")}, []string{"a", "b"}, []string{"-", "x y", "…"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var scripts []script
				for _, text := range test.streams {
					scripts = append(scripts, sends(text))
				}
				s := serve(t, scripts...)
				data, err := follow(t.Context(), s, client.Options{Cursor: test.cursor})
				if err != nil || !slices.Equal(data, test.data) {
					t.Errorf("got %q, %v, want %q", data, err, test.data)
				}
				if sent := s.headers("Last-Event-Id"); !slices.Equal(sent, test.sent) {
					t.Errorf("asked for %q, want %q", sent, test.sent)
				}
			})
		})
	}
}

func TestRepeatsAreDropped(t *testing.T) {
	t.Parallel()
	gap := func(reason string) string {
		return "event: buffkit.gap\ndata: {\"gaps\":[{\"topic\":\"a\",\"reason\":\"" + reason + "\"}]}\n\n"
	}
	tests := []struct {
		name   string
		cursor string
		stream string
		data   []string
		next   string // what is asked for afterwards
	}{
		{"up to the cursor", "k.5", opened + event("k.4", "a") + event("k.5", "b") + event("k.6", "c"), []string{"c"}, "k.6"},
		{"compared as numbers", "k.z", opened + event("k.y", "a") + event("k.10", "b"), []string{"b"}, "k.10"},
		{"in any partition", "k.5.1-5", opened + event("k.5.1-5", "a") + event("k.4.1-6", "b"), []string{"b"}, "k.4.1-6"},
		{"a new partition", "k.5", opened + event("k.5.2-1", "a"), []string{"a"}, "k.5.2-1"},
		{"not of another epoch", "k.5", opened + event("m.1", "a") + event("m.1", "b"), []string{"a"}, "m.1"},
		{"not without an id, as a snapshot", "k.5", opened + event("k.4", "a") + "data: b\n\n", []string{"b"}, "k.5"},
		{"not without an id, after a ping", "k.5", opened + "event: buffkit.ping\nid: k.5\ndata: \n\ndata: b\n\n", []string{"b"}, "k.5"},
		{"a ping behind moves nothing", "k.5", opened + "id: k.3\n\n" + event("k.4", "a"), nil, "k.5"},
		{"not of ids that aren't cursors", "", opened + event("7", "a") + event("7", "b"), []string{"a", "b"}, "7"},
		{"not of other servers", "1.10", event("1.9", "a") + event("1.9", "b"), []string{"a", "b"}, "1.9"},
		{"not after a rollback", "k.9", opened + gap("rolled_back") + event("k.4", "a") + event("k.4", "b"), []string{"a"}, "k.4"},
		{"after another gap", "k.9", opened + gap("slow") + event("k.9", "a") + event("k.b", "b"), []string{"b"}, "k.b"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := serve(t, sends(test.stream))
				data, err := follow(t.Context(), s, client.Options{Cursor: test.cursor})
				if err != nil || !slices.Equal(data, test.data) {
					t.Errorf("got %q, %v, want %q", data, err, test.data)
				}
				if sent := s.headers("Last-Event-Id"); sent[len(sent)-1] != test.next {
					t.Errorf("then asks for %q, want %q", sent[len(sent)-1], test.next)
				}
			})
		})
	}
}

func TestRepeatsAreDroppedOverConnections(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := serve(t,
			sends(opened, event("k.1", "a"), event("k.2", "b")),
			sends(opened, event("k.1", "a"), event("k.2", "b"), event("k.3", "c")),
			sends(opened, event("k.3", "c"), event("k.4", "d")))
		data, err := follow(t.Context(), s, client.Options{})
		if want := []string{"a", "b", "c", "d"}; err != nil || !slices.Equal(data, want) {
			t.Errorf("got %q, %v, want %q", data, err, want)
		}
	})
}

// A load balancer may lead to another server than before, whose ids mean something else.
func TestRepeatsAreDroppedOnlyAfterAnOpenOnThatConnection(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := serve(t, sends(opened, event("1.9", "a")), sends(event("1.9", "b")))
		data, err := follow(t.Context(), s, client.Options{})
		if want := []string{"a", "b"}; err != nil || !slices.Equal(data, want) {
			t.Errorf("got %q, %v, want %q", data, err, want)
		}
	})
}

func TestEventIDIsTheCursorToGoOnFrom(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := serve(t, sends(opened, "event: x\ndata: 1\n\n", event("k.6", "2"), "id: k.7\n\n", "data: 3\n\n", "id: k.2\n\n", "data: 4\n\n"))
		var got []client.Event
		for e, err := range client.Events(t.Context(), url, &client.Options{HTTP: s.http, Cursor: "k.5"}) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, e)
		}
		want := []client.Event{{"k.5", "x", []byte("1")}, {"k.6", "", []byte("2")}, {"k.7", "", []byte("3")}, {"k.7", "", []byte("4")}}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

func TestControlEventsAreToldNotYielded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := serve(t, sends(
			"event: buffkit.open\ndata: {\"state\":\"gap\",\"replay\":3,\"session\":\"Jk2\",\"heartbeat\":15000,\"new\":1,"+
				"\"gaps\":[{\"topic\":\"a\",\"reason\":\"trimmed\"}]}\n\n",
			"event: buffkit.gap\ndata: {\"gaps\":[{\"topic\":\"b\",\"reason\":\"slow\"}]}\n\n",
			"event: buffkit.later\ndata: ?\n\n", "event: buffkit.gap\ndata: not JSON\n\n", "event: buffkit.open\ndata: not JSON\n\n",
			"data: a\n\n"))
		var opens []client.Open
		var gaps [][]client.Gap
		data, err := follow(t.Context(), s, client.Options{
			OnOpen: func(o client.Open) { opens = append(opens, o) },
			OnGap:  func(g []client.Gap) { gaps = append(gaps, g) },
		})
		if err != nil || !slices.Equal(data, []string{"a"}) {
			t.Errorf("got %q, %v", data, err)
		}
		wantOpens := []client.Open{{client.Gapped, 3, []client.Gap{{"a", "trimmed"}}, "Jk2", 15 * time.Second}}
		if !reflect.DeepEqual(opens, wantOpens) {
			t.Errorf("opens %+v, want %+v", opens, wantOpens)
		}
		if want := [][]client.Gap{{{"b", "slow"}}}; !reflect.DeepEqual(gaps, want) {
			t.Errorf("gaps %+v, want %+v", gaps, want)
		}
	})
}

func TestACursorThatMovesWithoutAnEventIsTold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ping := func(id string) string { return "event: buffkit.ping\nid: " + id + "\ndata: \n\n" }
		s := serve(t,
			sends("id: k.1\nevent: buffkit.open\ndata: {\"state\":\"fresh\"}\n\n", event("k.2", "a"), ping("k.3"), ping("k.3"),
				"event: buffkit.ping\ndata: \n\n"),
			sends(opened, ping("k.2"), ping("k.4")))
		var told []string
		data, err := follow(t.Context(), s, client.Options{OnCursor: func(cursor string) { told = append(told, cursor) }})
		if err != nil || !slices.Equal(data, []string{"a"}) {
			t.Fatalf("got %q, %v", data, err)
		}
		if want := []string{"k.1", "k.3", "k.4"}; !slices.Equal(told, want) {
			t.Errorf("told %q, want %q", told, want)
		}
	})
}

func TestFinalAnswers(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		script script
		want   error
	}{
		{"401", refuses(401, `{"code":"unauthorized","message":"sign in"}`), &client.StatusError{401, "unauthorized", "sign in"}},
		{"403", refuses(403, `{"code":"forbidden","message":"topic a"}`), &client.StatusError{403, "forbidden", "topic a"}},
		{"400", refuses(400, `{"code":"too_many_topics"}`), &client.StatusError{400, "too_many_topics", ""}},
		{"404 of another server", func(w *stream, r *http.Request) { http.NotFound(w, r) }, &client.StatusError{404, "", "404 page not found"}},
		{"a refused token that wasn't sent", refuses(401, `{"code":"token_expired"}`), &client.StatusError{401, "token_expired", ""}},
		{"205", refuses(205, ""), &client.StatusError{205, "", ""}},
		{"410", refuses(410, "<html>"), &client.StatusError{410, "", ""}},
		{"another content type", refuses(200, "{}"), client.ErrNotStream},
		{"an event over the limit", sends("data: 123456789012345678901234567890\n\n"), sse.ErrTooLarge},
		{"an id that no header can carry", sends(event("a\x01", "x")), client.ErrBadRequest},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := serve(t, test.script)
				_, err := follow(t.Context(), s, client.Options{MaxEventBytes: 20})
				var status *client.StatusError
				if errors.As(err, &status) {
					if !reflect.DeepEqual(status, test.want) {
						t.Errorf("got %#v, want %#v", status, test.want)
					}
				} else if !errors.Is(err, test.want) {
					t.Errorf("got %v, want %v", err, test.want)
				}
				if n := len(s.headers("Accept")); n != 1 {
					t.Errorf("%d requests", n)
				}
			})
		})
	}
}

func TestFinalBeforeTheFirstRequest(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, url string
		opts      client.Options
	}{
		{"no URL", "", client.Options{}},
		{"no scheme", "localhost:8080/events", client.Options{}},
		{"another scheme", "ws://localhost/events", client.Options{}},
		{"no host", "http:///events", client.Options{}},
		{"a broken URL", "http://a b/\n", client.Options{}},
		{"a cursor with a line end", "http://server.test", client.Options{Cursor: "a\nb"}},
		{"a header with a line end", "http://server.test", client.Options{Header: http.Header{"X": {"a\r\nb"}}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			n := 0
			for _, err := range client.Events(t.Context(), test.url, &test.opts) {
				if n++; !errors.Is(err, client.ErrBadRequest) {
					t.Errorf("got %v", err)
				}
			}
			if n != 1 {
				t.Errorf("%d pairs", n)
			}
		})
	}
}

func TestContentTypeMayHaveParameters(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"text/event-stream", "Text/Event-Stream; charset=utf-8", "text/event-stream ;bogus", "text/event-stream;"} {
		synctest.Test(t, func(t *testing.T) {
			s := serve(t, func(w *stream, _ *http.Request) {
				w.Header().Set("Content-Type", kind)
				w.send("data: a\n\n")
			})
			if data, err := follow(t.Context(), s, client.Options{}); err != nil || len(data) != 1 {
				t.Errorf("%s: got %q, %v", kind, data, err)
			}
		})
	}
}

func TestSessionTokenIsKeptAndRotated(t *testing.T) {
	t.Parallel()
	gives := func(token string) script {
		return func(w *stream, _ *http.Request) {
			w.Header().Set("Buffkit-Session", token)
			w.send("data: a\n\n")
		}
	}
	synctest.Test(t, func(t *testing.T) {
		s := serve(t, gives("t1"), gives("t2"), sends("data: b\n\n"))
		if _, err := follow(t.Context(), s, client.Options{Header: http.Header{"Buffkit-Session": {"t0"}}}); err != nil {
			t.Fatal(err)
		}
		if got, want := s.headers("Buffkit-Session"), []string{"t0", "t1", "t2", "t2"}; !slices.Equal(got, want) {
			t.Errorf("sent %q, want %q", got, want)
		}
	})
}

func TestRefusedTokenIsDroppedOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		refused := refuses(401, `{"code":"token_replayed"}`)
		s := serve(t, func(w *stream, _ *http.Request) {
			w.Header().Set("Buffkit-Session", "t1")
			w.send(event("k.1", "a"))
		}, refused, refused)
		_, err := follow(t.Context(), s, client.Options{})
		var status *client.StatusError
		if !errors.As(err, &status) || status.Code != "token_replayed" {
			t.Errorf("got %v", err)
		}
		if got, want := s.headers("Buffkit-Session"), []string{"-", "t1", "-"}; !slices.Equal(got, want) {
			t.Errorf("sent %q, want %q", got, want)
		}
		if got, want := s.headers("Last-Event-Id"), []string{"-", "k.1", "k.1"}; !slices.Equal(got, want) {
			t.Errorf("asked for %q, want %q", got, want)
		}
	})
}

// The status says 401, which is final but for a token; the network breaks before the body says which.
func TestARefusalThatWasCutOffIsNotFinal(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := serve(t, func(w *stream, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			w.WriteHeader(http.StatusUnauthorized)
			w.send(`{"code":"tok`)
			panic(http.ErrAbortHandler)
		}, sends(event("k.1", "a")))
		var d disconnects
		data, err := follow(t.Context(), s, client.Options{OnDisconnect: d.record})
		if err != nil || !slices.Equal(data, []string{"a"}) {
			t.Errorf("got %q, %v", data, err)
		}
		if len(d.errs) != 2 || !errors.Is(d.errs[0], io.ErrUnexpectedEOF) || !strings.Contains(d.errs[0].Error(), "401") {
			t.Errorf("told %v, want a cut-off 401", d.errs)
		}
	})
}

func TestTokenRefusedByByeIsDropped(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := serve(t, sends("event: buffkit.bye\ndata: {\"code\":\"token_foreign\",\"retry\":1}\n\n"))
		if _, err := follow(t.Context(), s, client.Options{Header: http.Header{"Buffkit-Session": {"t0"}}}); err != nil {
			t.Fatal(err)
		}
		if got, want := s.headers("Buffkit-Session"), []string{"t0", "-"}; !slices.Equal(got, want) {
			t.Errorf("sent %q, want %q", got, want)
		}
	})
}

func TestTokenStaysWithItsHost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		redirect := func(to string) script {
			return func(w *stream, r *http.Request) { http.Redirect(w, r, to, http.StatusTemporaryRedirect) }
		}
		s := serve(t, redirect("/elsewhere"), redirect("http://other.test/events"), sends("data: a\n\n"))
		data, err := follow(t.Context(), s, client.Options{Header: http.Header{"Buffkit-Session": {"t0"}}})
		if err != nil || len(data) != 1 {
			t.Errorf("got %q, %v", data, err)
		}
		if got, want := s.headers("Buffkit-Session"), []string{"t0", "t0", "-", "t0"}; !slices.Equal(got, want) {
			t.Errorf("sent %q, want %q", got, want)
		}
	})
}

func TestBreakClosesTheConnection(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		gone := make(chan struct{})
		s := serve(t, func(w *stream, r *http.Request) {
			w.send("data: a\n\n")
			<-r.Context().Done()
			close(gone)
		})
		for range client.Events(t.Context(), url, &client.Options{HTTP: s.http}) {
			break
		}
		<-gone
	})
}

func TestContextEndsTheIteration(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		script script
	}{
		{"while it reads", func(w *stream, r *http.Request) { w.send(": ok\n\n"); <-r.Context().Done() }},
		{"while it connects", func(_ *stream, r *http.Request) { <-r.Context().Done() }},
		{"while it waits", refuses(503, "", "Retry-After", "3600")},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()
				start := time.Now()
				if data, err := follow(ctx, serve(t, test.script), client.Options{}); len(data) > 0 || err != nil {
					t.Errorf("got %q, %v", data, err)
				}
				if took := time.Since(start); took != 10*time.Second {
					t.Errorf("took %v", took)
				}
			})
		})
	}
}

func TestEachRangeStartsAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := serve(t, sends(event("k.6", "a")), refuses(204, ""), sends(event("k.6", "a")))
		events := client.Events(t.Context(), url, &client.Options{HTTP: s.http, Cursor: "k.5"})
		for range 2 {
			for e, err := range events {
				if err != nil || e.ID != "k.6" {
					t.Errorf("got %v, %v", e, err)
				}
			}
		}
		if got, want := s.headers("Last-Event-Id"), []string{"k.5", "k.6", "k.5", "k.6"}; !slices.Equal(got, want) {
			t.Errorf("asked for %q, want %q", got, want)
		}
	})
}

func TestFailedDialIsTriedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := serve(t, sends("data: a\n\n"))
		transport := s.http.Transport.(*http.Transport)
		dial, failures := transport.DialContext, 3
		transport.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
			if failures--; failures >= 0 {
				return nil, errors.New("no route")
			}
			return dial(ctx, network, addr)
		}
		var told []string
		data, err := follow(t.Context(), s, client.Options{
			OnDisconnect: func(err error, _ time.Duration) { told = append(told, err.Error()) },
		})
		if err != nil || !slices.Equal(data, []string{"a"}) {
			t.Errorf("got %q, %v", data, err)
		}
		if len(told) != 4 || !strings.Contains(told[2], "no route") || told[3] != client.ErrEnded.Error() {
			t.Errorf("told %q", told)
		}
	})
}

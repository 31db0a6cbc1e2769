package push_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/buffkit/buffkit/eventlog"
	"github.com/buffkit/buffkit/push"
)

func TestStreamBegins(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := newBroker(t, push.Public("a"), push.Options{Heartbeat: 20 * time.Second, Retry: time.Second})
		s := connect(t, b, "/")
		if want := ": ok\n\nretry: "; s.w.status != 200 || !strings.HasPrefix(s.w.text(), want) {
			t.Errorf("status %d, first bytes %q, want %q", s.w.status, s.w.text(), want)
		}
		for name, want := range map[string]string{
			"Content-Type": "text/event-stream", "Cache-Control": "no-cache, no-transform", "X-Accel-Buffering": "no",
			"Buffkit-Session": "", "Set-Cookie": "", "Content-Length": "", "Connection": "",
		} {
			if got := s.w.sent.Get(name); got != want {
				t.Errorf("%s: %q, want %q", name, got, want)
			}
		}
		head, err := b.Cursor(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		open := s.frames()[0]
		if open.id != head.String() {
			t.Errorf("fresh has the id %q, want the cursor of now, %q", open.id, head)
		}
		if retry, err := strconv.Atoi(open.retry); err != nil || retry < 500 || retry > 1500 {
			t.Errorf("retry %q, want between half and one and a half of Options.Retry", open.retry)
		}
		if c := open.control(); c.Heartbeat != 20_000 || len(c.Session) != 22 {
			t.Errorf("told %+v", c)
		}
	})
}

func TestHeadersOfOuterMiddlewareAreKept(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := newBroker(t, push.Public("a"), push.Options{SessionCookie: "s"})
		outer := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Access-Control-Allow-Origin", "https://a.example")
			w.Header().Set("Vary", "Origin")
			w.Header().Set("Content-Length", "5")
			http.SetCookie(w, &http.Cookie{Name: "theirs", Value: "x"})
			b.ServeHTTP(w, r)
		})
		for _, s := range []*stream{connect(t, outer, "/"), connect(t, outer, "/?topic=x")} {
			h := s.w.sent
			if h.Get("Access-Control-Allow-Origin") != "https://a.example" || h.Get("Vary") != "Origin" || h.Values("Set-Cookie")[0] != "theirs=x" {
				t.Errorf("got %v", h)
			}
			if s.w.status != 200 || h.Get("Content-Type") != "text/event-stream" {
				t.Errorf("got %d %v", s.w.status, h)
			}
		}
		if s := connect(t, outer, "/"); s.w.sent.Get("Content-Length") != "" {
			t.Error("a stream with a Content-Length")
		}
	})
}

// An EventSource that sees any status but 200 gives up for good; everybody else gets the status.
func TestRefusals(t *testing.T) {
	t.Parallel()
	const retry = 10 * time.Second
	tests := []struct {
		name     string
		err      error
		status   int // 200: a stream
		code     string
		message  string
		min, max time.Duration // of the retry
	}{
		{"not signed in", push.ErrUnauthorized, 401, "unauthorized", "sign in to read this", 25 * time.Second, 75 * time.Second},
		{"forbidden, with a reason", fmt.Errorf("secret: %w", push.ErrForbidden), 403, "forbidden", "a topic that you may not read", 25 * time.Second, 75 * time.Second},
		{"an error of the app", errors.New("dial tcp 10.0.0.7: password=hunter2"), 500, "error", "the server is at fault; its log says why", 25 * time.Second, 75 * time.Second},
		{"a refusal of the app", &push.Refusal{Code: "pay", Message: "your plan\nhas ended", Status: 402, Retry: time.Hour}, 402, "pay", "your plan\nhas ended", time.Hour, time.Hour},
		{"a refusal, wrapped", fmt.Errorf("secret: %w", &push.Refusal{Code: "pay", Status: 599}), 599, "pay", "", 5 * time.Second, 15 * time.Second},
		{"a refusal without a status", &push.Refusal{Code: "no"}, 403, "no", "", 5 * time.Second, 15 * time.Second},
		{"a refusal with a status that is none", &push.Refusal{Code: "no", Status: 200}, 403, "no", "", 5 * time.Second, 15 * time.Second},
		{"a refusal that would inject", &push.Refusal{Code: "a\n\ndata: x", Message: "</script>\r\nid: 7"}, 403, "a\n\ndata: x", "</script>\r\nid: 7", 5 * time.Second, 15 * time.Second},
		{"closed meanwhile", push.ErrClosed, 503, "closed", "the server has stopped", 5 * time.Second, 15 * time.Second},
	}
	clients := []struct {
		name        string
		headers     []string
		readsStatus bool
	}{
		{"EventSource", nil, false},
		{"fetch", []string{"Accept", "application/json, text/event-stream;q=0.9"}, false},
		{"a client that named itself", []string{"Buffkit-Client", "go/0.1"}, true},
		{"curl", []string{"Accept", "*/*"}, true},
		{"no Accept", []string{"Accept", ""}, true},
	}
	for _, test := range tests {
		for _, client := range clients {
			t.Run(test.name+"/"+client.name, func(t *testing.T) {
				inBubble(t, func(t *testing.T) {
					var logged record
					var told error
					b := newBroker(t, func(*http.Request) (push.Grant, error) { return push.Grant{}, test.err }, push.Options{
						Retry: retry, DrainWindow: 10 * time.Second, Logger: logged.logger(),
						Hooks: push.Hooks{Refused: func(_ string, err error) { told = err }},
					})
					s := connect(t, b, "/", client.headers...)
					if !s.ended() {
						t.Fatal("not refused")
					}
					h, body := s.w.sent, string(s.w.buf)
					var bye control
					if client.readsStatus {
						bye = frame{data: body}.control()
						seconds, err := strconv.ParseInt(h.Get("Retry-After"), 10, 64)
						if s.w.status != test.status || h.Get("Content-Type") != "application/json" || err != nil || seconds != (bye.Retry+999)/1000 {
							t.Errorf("got %d %v %q", s.w.status, h, body)
						}
					} else {
						all, err := parseFrames(body)
						if err != nil || len(all) != 1 || all[0].name != "buffkit.bye" || all[0].id != "" {
							t.Fatalf("got %q, %v", body, err)
						}
						bye = all[0].control()
						if s.w.status != 200 || h.Get("Content-Type") != "text/event-stream" || all[0].retry != fmt.Sprint(bye.Retry) {
							t.Errorf("got %d %v %q", s.w.status, h, body)
						}
					}
					if h.Get("Cache-Control") != "no-cache, no-transform" {
						t.Errorf("a cache may keep the refusal: %v", h)
					}
					if d := time.Duration(bye.Retry) * time.Millisecond; bye.Code != test.code || bye.Message != test.message || d < test.min || d > test.max {
						t.Errorf("told %+v, want %+v", bye, test)
					}
					if strings.Contains(body, "secret") || strings.Contains(body, "hunter2") {
						t.Errorf("%q tells what is nobody's business", body)
					}
					if !errors.Is(told, test.err) {
						t.Errorf("the hook was told %v", told)
					}
					if isLogged := strings.Contains(logged.String(), "level=ERROR"); isLogged != (test.code == "error") {
						t.Errorf("logged %q", logged.String())
					}
				})
			})
		}
	}
}

func TestStopAnswers204(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := newBroker(t, func(*http.Request) (push.Grant, error) { return push.Grant{}, fmt.Errorf("over: %w", push.ErrStop) }, push.Options{})
		for _, headers := range [][]string{nil, {"Accept", "*/*"}, {"Buffkit-Client", "go/0.1"}} {
			if s := connect(t, b, "/", headers...); !s.ended() || s.w.status != 204 || len(s.w.buf) > 0 {
				t.Errorf("%q: %d %q", headers, s.w.status, s.w.buf)
			}
		}
	})
}

func TestPanickingAuthorizeFuncIsRefused(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		var logged record
		b := newBroker(t, func(r *http.Request) (push.Grant, error) {
			if r.URL.Query().Has("abort") {
				panic(http.ErrAbortHandler)
			}
			panic("password=hunter2")
		}, push.Options{Logger: logged.logger()})
		s := connect(t, b, "/")
		if got := s.refusal(); got != "200 error" || strings.Contains(s.w.text(), "hunter2") {
			t.Errorf("got %s %q", got, s.w.buf)
		}
		if !strings.Contains(logged.String(), "hunter2") || !strings.Contains(logged.String(), "serve_test.go") {
			t.Errorf("the log doesn't say what panicked and where: %s", logged.String())
		}
		func() {
			defer func() {
				if p := recover(); p != http.ErrAbortHandler {
					t.Errorf("net/http's own panic became %v", p)
				}
			}()
			b.ServeHTTP(newSink(), httptest.NewRequest(http.MethodGet, "/?abort", nil))
		}()
		if n := b.Stats(); n != (push.Stats{}) {
			t.Errorf("%+v", n)
		}
	})
}

// A client that leaves while it is authorized isn't a fault of the server.
func TestClientThatLeavesEarlyIsNotLogged(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := newBroker(t, func(r *http.Request) (push.Grant, error) {
			<-r.Context().Done()
			return push.Grant{}, r.Context().Err()
		}, push.Options{})
		s := connect(t, b, "/")
		if n := b.Stats().Connections; n != 0 {
			t.Errorf("%d streams while one is being authorized", n)
		}
		s.close()
	})
}

func TestWhatIsNotAStream(t *testing.T) {
	t.Parallel()
	b := newBroker(t, push.Public("a"), push.Options{})
	tests := []struct {
		name, method, body string
		want               int
	}{
		{"HEAD", http.MethodHead, "", 200},
		{"POST", http.MethodPost, "", 405},
		{"OPTIONS", http.MethodOptions, "", 405},
		{"a body", http.MethodGet, "x", 400},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w := httptest.NewRecorder()
			b.ServeHTTP(w, httptest.NewRequest(test.method, "/", strings.NewReader(test.body)))
			if w.Code != test.want {
				t.Errorf("got %d %s", w.Code, w.Body)
			}
			if allow := w.Header().Get("Allow"); (allow == "GET, HEAD") != (test.want == 405) {
				t.Errorf("Allow: %q", allow)
			}
		})
	}
}

func TestGrantIsHeldAgainstTheRules(t *testing.T) {
	t.Parallel()
	many := make([]string, 65)
	for i := range many {
		many[i] = fmt.Sprint("t", i)
	}
	tests := []struct {
		name  string
		grant push.Grant
		want  string // "" for a stream
	}{
		{"nothing at all", push.Grant{}, ""},
		{"as many topics as may be", push.Grant{Topics: many[:64]}, ""},
		{"the same ones again don't count", push.Grant{Topics: append(many[:64:64], many[:64]...)}, ""},
		{"one more", push.Grant{Topics: many}, "400 too_many_topics"},
		{"a reserved topic", push.Grant{Topics: []string{"a", "~user/ada"}}, "400 bad_request"},
		{"the topic of all", push.Grant{Topics: []string{"~all"}}, "400 bad_request"},
		{"an empty topic", push.Grant{Topics: []string{""}}, "400 bad_request"},
		{"a topic with a line end", push.Grant{Topics: []string{"a\nb"}}, "400 bad_request"},
		{"a topic that isn't UTF-8", push.Grant{Topics: []string{"\xff"}}, "400 bad_request"},
		{"a long topic", push.Grant{Topics: []string{strings.Repeat("x", 256)}}, "400 bad_request"},
		{"a long user", push.Grant{User: strings.Repeat("x", 250)}, "500 error"},
		{"a user with a line end", push.Grant{User: "a\nb"}, "500 error"},
		{"a user that isn't UTF-8", push.Grant{User: "\xff"}, "500 error"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				var logged record
				b := newBroker(t, func(*http.Request) (push.Grant, error) { return test.grant, nil }, push.Options{Logger: logged.logger()})
				s := connect(t, b, "/", "Buffkit-Client", "test/1")
				if test.want == "" {
					s.want("open:fresh")
				} else if got := s.refusal(); got != test.want {
					t.Errorf("got %s, want %s", got, test.want)
				}
			})
		})
	}
}

func TestPublicGrantsWhatIsAskedFor(t *testing.T) {
	t.Parallel()
	tests := []struct {
		query string
		want  []string // nil: forbidden
	}{
		{"", []string{"a", "b"}},
		{"?topic=b", []string{"b"}},
		{"?topic=b&topic=a&topic=b", []string{"b", "a"}},
		{"?topic=c", nil},
		{"?topic=a&topic=c", nil},
		{"?topic=", nil},
		{"?topic=~all", nil},
		{"?topic=~user/ada", nil},
		{"?topic=A", nil},
		{"?topic=a%00", nil},
	}
	for _, test := range tests {
		grant, err := push.Public("a", "b")(httptest.NewRequest(http.MethodGet, "/"+test.query, nil))
		if !slices.Equal(grant.Topics, test.want) || errors.Is(err, push.ErrForbidden) != (test.want == nil) {
			t.Errorf("%q: %q, %v, want %q", test.query, grant.Topics, err, test.want)
		}
	}
}

// Where a stream begins: the client's own word comes before the page's, and that before the session's.
func TestCursorSources(t *testing.T) {
	t.Parallel()
	// Three events; the session proved to have the first. "0" to "3" name the place behind so many events.
	tests := []struct {
		name                string
		lastEventID, cursor string
		session             bool
		want                []string
	}{
		{"none", "", "", false, []string{"open:fresh"}},
		{"the id", "2", "", false, []string{"open:resumed:1", "e3"}},
		{"the id before the URL", "2", "1", false, []string{"open:resumed:1", "e3"}},
		{"the id before all", "2", "3", true, []string{"open:resumed:1", "e3"}},
		{"the URL", "", "0", false, []string{"open:resumed:3", "e1", "e2", "e3"}},
		{"the URL before the session", "", "2", true, []string{"open:resumed:1", "e3"}},
		{"the session", "", "", true, []string{"open:resumed:2", "e2", "e3"}},
		{"nothing new", "3", "", false, []string{"open:resumed:0"}},
		{"an id that isn't a cursor", "garbage", "", false, []string{"open:gap:0:a=unreadable", "place"}},
		{"the same with a good URL", "garbage", "1", true, []string{"open:gap:0:a=unreadable", "place"}},
		{"a URL that isn't a cursor", "", "garbage", true, []string{"open:gap:0:a=unreadable", "place"}},
		{"a long id", strings.Repeat("1", 5000), "", false, []string{"open:gap:0:a=unreadable", "place"}},
		{"an id with control characters", "a\tb", "", false, []string{"open:gap:0:a=unreadable", "place"}},
		{"a number, as other servers send", "17", "", false, []string{"open:gap:0:a=unreadable", "place"}},
		{"of another log", "other", "", false, []string{"open:gap:0:a=other_log", "place"}},
		{"of the future", "future", "", false, []string{"open:gap:0:a=rolled_back", "place"}},
		{"of a partition that isn't", "partition", "", false, []string{"open:resumed:2", "e2", "e3"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				b := newBroker(t, asUser, push.Options{})
				first := resume(t, b, "ada", "")
				zero := first.lastID()
				at := map[string]string{"0": zero, "1": publish(t, b, "a:e1").String()}
				proof := resume(t, b, "ada", "", "Last-Event-ID", at["1"])
				at["2"], at["3"] = publish(t, b, "a:e2").String(), publish(t, b, "a:e3").String()
				epoch, offset, _ := strings.Cut(at["3"], ".")
				at["other"] = "1" + epoch[1:] + "." + offset
				if epoch[0] == '1' {
					at["other"] = "2" + epoch[1:] + "." + offset
				}
				at["future"] = epoch + ".z" + offset
				at["partition"] = at["1"] + ".5-7"
				named := func(text string) string {
					if known, ok := at[text]; ok {
						return known
					}
					return text
				}
				headers := []string{"User", "ada"}
				if test.lastEventID != "" {
					headers = append(headers, "Last-Event-ID", named(test.lastEventID))
				}
				if test.session {
					headers = append(headers, "Buffkit-Session", proof.token())
				}
				proof.close()
				s := connect(t, b, "/?cursor="+named(test.cursor), headers...)
				s.want(test.want...)
				publish(t, b, "a:live")
				s.want("live")
				// Who was told resumed or gap keeps its place until something has come.
				again := connect(t, b, "/", "User", "ada", "Last-Event-ID", s.lastID())
				again.want("open:resumed:0")
			})
		})
	}
}

func TestOpenWithoutAnIDKeepsTheClientsPlace(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := newBroker(t, push.Public("a"), push.Options{Log: newLog(t, eventlog.Retention{Count: 1})})
		s := connect(t, b, "/")
		at := s.lastID()
		publish(t, b, "a:1")
		if open := connect(t, b, "/", "Last-Event-ID", at).frames()[0]; open.String() != "open:resumed:1" || open.id != "" {
			t.Errorf("%v with the id %q", open, open.id)
		}
		publish(t, b, "a:2")
		if open := connect(t, b, "/", "Last-Event-ID", at).frames()[0]; open.String() != "open:gap:0:a=trimmed" || open.id != "" {
			t.Errorf("%v with the id %q", open, open.id)
		}
	})
}

func TestSessionCookie(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := newBroker(t, asUser, push.Options{SessionCookie: "live", TokenTTL: 20 * time.Minute})
		cookie := func(s *stream) *http.Cookie {
			t.Helper()
			synctest.Wait()
			cookies := (&http.Response{Header: s.w.sent}).Cookies()
			if len(cookies) != 1 || cookies[0].Name != "live" {
				t.Fatalf("cookies %v", cookies)
			}
			return cookies[0]
		}
		first := connect(t, b, "/", "User", "ada")
		first.want("open:fresh")
		c := cookie(first)
		if !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.MaxAge != 1200 || c.Secure || c.Domain != "" {
			t.Errorf("cookie %+v", c)
		}
		if first.w.sent.Get("Buffkit-Session") != "" {
			t.Error("a token in a header that nobody reads")
		}
		publish(t, b, "a:1")
		first.close()

		// A reload: no Last-Event-ID, but the cookie.
		again := connect(t, b, "/", "User", "ada", "Cookie", "x=y; live="+c.Value)
		again.want("open:resumed:1", "1")
		if again.session() != first.session() || cookie(again).Value == c.Value {
			t.Error("another session, or the same token")
		}

		for name, value := range map[string]string{
			"token_invalid": "garbage", "token_foreign": cookie(connect(t, b, "/", "User", "bea")).Value,
		} {
			refused := connect(t, b, "/", "User", "ada", "Cookie", "live="+value)
			if got := refused.refusal(); got != "200 "+name {
				t.Errorf("%s: %s", name, got)
			}
			if c := cookie(refused); c.MaxAge != -1 || c.Value != "" || c.Path != "/" {
				t.Errorf("%s: the cookie wasn't cleared: %+v", name, c)
			}
		}
		<-time.After(30 * time.Minute)
		expired := connect(t, b, "/", "User", "ada", "Cookie", "live="+cookie(again).Value)
		if got := expired.refusal(); got != "200 token_expired" || cookie(expired).MaxAge != -1 {
			t.Errorf("expired: %s", got)
		}
		// The header comes first, and a token without the name of a cookie is none.
		if s := connect(t, b, "/", "User", "ada", "Cookie", "live=garbage", "Buffkit-Session", ""); s.refusal() != "200 token_invalid" {
			t.Error("an empty header hides the cookie")
		}
		connect(t, b, "/", "User", "ada", "Cookie", "alive=garbage").want("open:fresh")
	})
}

func TestSessionCookieIsSecure(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		option bool
		tls    *tls.ConnectionState
		want   bool
	}{
		{"over TLS", false, &tls.ConnectionState{}, true},
		{"where TLS ends before", true, nil, true},
		{"not over plain HTTP, which would lose it", false, nil, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				b := newBroker(t, asUser, push.Options{SessionCookie: "live", SessionCookieSecure: test.option})
				s := connect(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					r.TLS = test.tls
					b.ServeHTTP(w, r)
				}), "/")
				if c := (&http.Response{Header: s.w.sent}).Cookies()[0]; c.Secure != test.want {
					t.Errorf("%+v", c)
				}
			})
		})
	}
}

func TestConnectionLimits(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		limits push.Limits
		user   string
		others []string // refused for each: whether another stream of that user is
		want   []bool
	}{
		{"in all", push.Limits{MaxConnections: 2}, "ada", []string{"ada", "bea", ""}, []bool{true, true, true}},
		{"of a user", push.Limits{MaxConnectionsPerUser: 2}, "ada", []string{"ada", "bea", ""}, []bool{true, false, false}},
		{"of nobody in particular", push.Limits{MaxConnectionsPerUser: 2}, "", []string{"", "bea"}, []bool{false, false}},
		{"none", push.Limits{MaxConnections: -1}, "ada", []string{"ada"}, []bool{false}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				b := newBroker(t, asUser, push.Options{Limits: test.limits})
				first := resume(t, b, test.user, "")
				resume(t, b, test.user, "")
				sessions := b.Stats().Sessions
				for i, other := range test.others {
					s := resume(t, b, other, "")
					if s.ended() != test.want[i] {
						t.Errorf("%q refused: %v, want %v", other, s.ended(), test.want[i])
					}
					if s.ended() && s.refusal() != "429 limit" {
						t.Errorf("%q: %s", other, s.refusal())
					}
					if s.ended() && b.Stats().Sessions != sessions {
						t.Error("a refused stream left a session")
					}
					s.close()
					sessions = b.Stats().Sessions
				}
				first.close()
				if s := resume(t, b, test.user, ""); s.ended() {
					t.Errorf("refused after one has left: %s", s.refusal())
				}
			})
		})
	}
}

func TestConnectionLimitOfASession(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := newBroker(t, asUser, push.Options{Limits: push.Limits{MaxConnectionsPerSession: 2}})
		first := resume(t, b, "ada", "")
		second := resume(t, b, "ada", first.token())
		// To be refused for long must not spoil the token: it isn't changed then.
		for range 5 {
			if got := resume(t, b, "ada", second.token()).refusal(); got != "429 limit" {
				t.Errorf("the third: %s", got)
			}
			<-time.After(push.DefaultTokenGrace)
		}
		if s := resume(t, b, "ada", ""); s.ended() {
			t.Error("another session is refused")
		}
		first.close()
		if third := resume(t, b, "ada", second.token()); third.ended() || third.session() != second.session() {
			t.Errorf("refused after one has left")
		}
	})
}

// Of those that race for the last places exactly so many win.
func TestConnectionLimitsAreExact(t *testing.T) {
	t.Parallel()
	for _, limits := range []push.Limits{{MaxConnections: 5}, {MaxConnectionsPerUser: 5}} {
		t.Run(fmt.Sprintf("%+v", limits), func(t *testing.T) {
			t.Parallel()
			for range 20 {
				var refused, connected sync.WaitGroup
				refused.Add(15)
				connected.Add(5)
				b := newBroker(t, asUser, push.Options{Limits: limits, Hooks: push.Hooks{
					Connected: func(push.Connection, push.Opened) { connected.Done() },
					Refused:   func(string, error) { refused.Done() },
				}})
				ctx, leave := context.WithCancel(t.Context())
				var all sync.WaitGroup
				for range 20 {
					all.Go(func() {
						r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/", nil)
						r.Header.Set("User", "ada")
						b.ServeHTTP(nowhere{header: http.Header{}}, r)
					})
				}
				refused.Wait() // a sixteenth refusal, or a sixth stream, panics
				connected.Wait()
				leave()
				all.Wait()
				if n := b.Stats().Connections; n != 0 {
					t.Fatalf("%d streams", n)
				}
			}
		})
	}
}

// A page takes its cursor before it reads what it shows: what changes meanwhile comes by the stream.
func TestNothingFallsBetweenRenderAndSubscribe(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := newBroker(t, push.Public("a"), push.Options{})
		publish(t, b, "a:shown")
		page := b.WithCursor(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			publish(t, b, "a:while it was rendered")
			fmt.Fprint(w, push.CursorFrom(r.Context()))
		}))
		w := httptest.NewRecorder()
		page.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/page", nil))
		publish(t, b, "a:before it subscribed")
		s := connect(t, b, "/?cursor="+w.Body.String())
		s.want("open:resumed:2", "while it was rendered", "before it subscribed")

		// Without a cursor the page is served all the same, and its stream starts with now.
		if at := push.CursorFrom(t.Context()); !at.IsZero() {
			t.Errorf("without the middleware: %v", at)
		}
	})
}

func TestPageWithoutALogIsServed(t *testing.T) {
	t.Parallel()
	var logged record
	b := newBroker(t, push.Public("a"), push.Options{Logger: logged.logger()})
	b.Close()
	w := httptest.NewRecorder()
	b.WithCursor(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "cursor=%s", push.CursorFrom(r.Context()))
	})).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/page", nil))
	if w.Body.String() != "cursor=" || !strings.Contains(logged.String(), "page without a cursor") {
		t.Errorf("got %q, logged %q", w.Body, logged.String())
	}
}

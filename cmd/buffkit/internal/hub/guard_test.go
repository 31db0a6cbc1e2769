package hub_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/buffkit/buffkit/cmd/buffkit/internal/hub"
	"github.com/buffkit/buffkit/eventlog"
)

func TestEveryPathAsksForAToken(t *testing.T) {
	t.Parallel()
	b := start(t, true, nil, nil)
	other := start(t, true, nil, nil)
	b.publish("news", "x", "Authorization", "Bearer "+b.token("", "news"))

	tests := []struct {
		name, method, path, body string
		allowed                  string // a token that does it
		denied                   string // one that is as good, for something else
	}{
		{"read a stream", "HEAD", "/events?topic=news", "", b.token("news", ""), b.token("orders/*", "*")},
		{"read the history", "GET", "/history?topic=news", "", b.token("new,news", ""), b.token("news/*", "*")},
		{"publish", "POST", "/events?topic=news", "x", b.token("", "*"), b.token("*", "news/*")},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for name, headers := range map[string][]string{
				"header":                 {"Authorization", "Bearer " + tt.allowed},
				"cookie":                 {"Cookie", "buffkit_access=" + tt.allowed},
				"header, not the cookie": {"Authorization", "Bearer " + tt.allowed, "Cookie", "buffkit_access=garbage"},
			} {
				if a := b.do(tt.method, tt.path, tt.body, headers...); a.status != 200 {
					t.Errorf("by %s: %d %s", name, a.status, a.body)
				}
			}
			if a := b.do(tt.method, tt.path+"&access_token="+tt.allowed, tt.body); a.status != 200 {
				t.Errorf("by the query: %d %s", a.status, a.body)
			}
			for name, refused := range map[string]struct {
				token  string
				status int
			}{
				"none":             {"", 401},
				"garbage":          {"garbage", 401},
				"of another hub":   {other.token("*", "*"), 401},
				"for other topics": {tt.denied, 403},
			} {
				var headers []string
				if refused.token != "" {
					headers = []string{"Authorization", "Bearer " + refused.token}
				}
				a := b.do(tt.method, tt.path, tt.body, headers...)
				if a.status != refused.status {
					t.Errorf("token %s: %d, want %d", name, a.status, refused.status)
				}
				if tt.method == "HEAD" {
					continue
				}
				a.problem(t)
				if a.status == 401 && a.header.Get("WWW-Authenticate") != "Bearer" {
					t.Errorf("token %s: no WWW-Authenticate", name)
				}
			}
		})
	}
	if got := b.history("topic=news", "Authorization", "Bearer "+b.token("*", "")); len(got.Events) != 5 {
		t.Errorf("%d events were published, want the 5 allowed", len(got.Events))
	}
}

func TestABatchIsHeldAgainstTheGrantLineByLine(t *testing.T) {
	t.Parallel()
	b := start(t, true, nil, nil)
	token := "Bearer " + b.token("*", "orders/*")
	lines := []string{`{"data":"a","topic":"orders/1"}`, `{"data":"b","topic":"orders/2"}`, `{"data":"c","topic":"news"}`}
	b.do("POST", "/events", strings.Join(lines, "\n"), "Content-Type", ndjson, "Authorization", token).
		want(t, 403, "forbidden", `line 3: the access token doesn't name topic "news" under publish`)
	b.do("POST", "/events?topic=news", lines[0], "Content-Type", ndjson, "Authorization", token).want(t, 403, "forbidden", "news")
	if a := b.do("POST", "/events", strings.Join(lines[:2], "\n"), "Content-Type", ndjson, "Authorization", token); a.status != 200 {
		t.Errorf("%d %s", a.status, a.body)
	}
	if got := b.history("topic=orders/1&topic=orders/2&topic=news", "Authorization", token); len(got.Events) != 2 {
		t.Errorf("kept %q", got.data())
	}
}

func TestForeignPagesCannotPublishOrRead(t *testing.T) {
	t.Parallel()
	const app, foreign = "https://app.example.com", "https://evil.example"
	b := start(t, false, &hub.Options{AllowOrigins: []string{app}}, nil)

	b.do("POST", "/events?topic=a", "x", "Origin", foreign, "Sec-Fetch-Site", "cross-site").want(t, 403, "cross_origin", foreign)
	b.do("POST", "/events?topic=a", "x", "Origin", foreign).want(t, 403, "cross_origin", foreign) // an old browser
	for _, own := range [][]string{{}, {"Sec-Fetch-Site", "same-origin"}, {"Origin", app, "Sec-Fetch-Site", "cross-site"}} {
		if a := b.do("POST", "/events?topic=a", "x", own...); a.status != 200 {
			t.Errorf("%q: %d %s", own, a.status, a.body)
		}
	}

	a := b.do("GET", "/history?topic=a", "", "Origin", app)
	if a.header.Get("Access-Control-Allow-Origin") != app || a.header.Get("Access-Control-Allow-Credentials") != "true" {
		t.Errorf("the app's pages can't read: %v", a.header)
	}
	a = b.do("GET", "/history?topic=a", "", "Origin", foreign)
	if a.header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("foreign pages can read: %v", a.header)
	}
	a = b.do("OPTIONS", "/events?topic=a", "", "Origin", app, "Access-Control-Request-Method", "POST",
		"Access-Control-Request-Headers", "authorization,content-type,idempotency-key")
	if a.status/100 != 2 || a.header.Get("Access-Control-Allow-Origin") != app {
		t.Errorf("preflight: %d %v", a.status, a.header)
	}
	a = b.do("OPTIONS", "/events?topic=a", "", "Origin", foreign, "Access-Control-Request-Method", "POST")
	if a.header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("preflight of a foreign page: %d %v", a.status, a.header)
	}
}

func TestAnOriginThatNoBrowserSendsIsRefused(t *testing.T) {
	t.Parallel()
	log := eventlog.NewMemory(nil)
	defer log.Close()
	for _, origin := range []string{"*", "app.example.com", "https://*.example.com", "https://app.example.com/", "https://App.example.com",
		"null", "", "ftp://x", "https://", "https://u@app.example.com"} {
		if h, err := hub.NewInsecure(log, &hub.Options{AllowOrigins: []string{origin}}); err == nil {
			h.Close()
			t.Errorf("%q is accepted", origin)
		}
	}
}

func TestAnInsecureHubAnswersToLoopbackNamesOnly(t *testing.T) {
	t.Parallel()
	b := start(t, false, nil, nil)
	for _, host := range []string{"localhost", "localhost:8080", "LOCALHOST.", "app.localhost:1", "127.0.0.1:8080", "127.9.9.9", "[::1]:8080", "[::1]"} {
		if a := b.do("GET", "/livez", "", "Host", host); a.status != 200 {
			t.Errorf("Host %q: %d %s", host, a.status, a.body)
		}
	}
	// A page whose own name was made to lead here is the same origin to a browser.
	for _, host := range []string{"evil.example", "evil.example:8080", "localhost.evil.example", "192.168.1.1", "[::2]:80", "127.0.0.1.evil.example"} {
		b.do("GET", "/history?topic=a", "", "Host", host).want(t, http.StatusMisdirectedRequest, "misdirected", "--insecure")
		b.do("POST", "/events?topic=a", "x", "Host", host).want(t, http.StatusMisdirectedRequest, "misdirected", "--insecure")
	}
	secure := start(t, true, nil, nil)
	if a := secure.do("GET", "/livez", "", "Host", "push.example.com"); a.status != 200 {
		t.Errorf("with tokens any name will do: %d", a.status)
	}
}

func TestWhatIsNotThereIsSaidInJSON(t *testing.T) {
	t.Parallel()
	b := start(t, false, nil, nil)
	b.do("GET", "/", "").want(t, 404, "not_found", "/events")
	b.do("GET", "/event", "").want(t, 404, "not_found", "/events")
	for path, allow := range map[string]string{"/events": "GET, POST", "/history": "GET", "/livez": "GET", "/readyz": "GET", "/metrics": "GET"} {
		a := b.do("DELETE", path, "")
		a.want(t, 405, "method_not_allowed", path)
		if a.header.Get("Allow") != allow {
			t.Errorf("%s: Allow %q", path, a.header.Get("Allow"))
		}
	}
}

package cli_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func numbered(n int) (all []string) {
	for i := range n {
		all = append(all, fmt.Sprint("event ", i+1))
	}
	return all
}

func TestEachArgumentIsAnEvent(t *testing.T) {
	t.Parallel()
	target, _ := newHub(t, nil)
	r := run(t, "not read\n", "publish", "--url", target, "--topic", "news", "one", "two\nlines", "-")
	r.want(t, 0)
	if got := kept(t, target); !slices.Equal(got, []string{"one", "two\nlines", "-"}) || len(r.lines()) != 3 || r.stderr != "" {
		t.Errorf("kept %q, %+v", got, r)
	}
	r = run(t, "", "publish", "--url", target, "--topic", "news", "--json", "four")
	var said struct{ ID string }
	if err := json.Unmarshal([]byte(r.stdout), &said); err != nil || said.ID == "" {
		t.Errorf("%+v", r)
	}
	if r := run(t, "", "publish", "--url", target, "--topic", "news", "-q", "five"); r.stdout != "" || r.code != 0 {
		t.Errorf("%+v", r)
	}
}

func TestEachLineIsAnEvent(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, stdin string
		want        []string
	}{
		{"nothing", "", nil},
		{"a line", "a\n", []string{"a"}},
		{"no end to the last", "a\nb", []string{"a", "b"}},
		{"of Windows", "a\r\nb\r\n", []string{"a", "b"}},
		{"empty ones", "\n\na\n", []string{"", "", "a"}},
		{"HTML and quotes", "<b class=\"x\">&amp;</b>\u2028\n", []string{"<b class=\"x\">&amp;</b>\u2028"}},
		{"one that is longer than any buffer", strings.Repeat("x", 300_000) + "\nb\n", []string{strings.Repeat("x", 300_000), "b"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			target, _ := newHub(t, nil)
			r := run(t, tt.stdin, "publish", "--url", target, "--topic", "news")
			r.want(t, 0)
			if got := kept(t, target); !slices.Equal(got, tt.want) {
				t.Errorf("kept %.100q", got)
			}
		})
	}
}

func TestLinesThatComeFastGoTogether(t *testing.T) {
	t.Parallel()
	var requests atomic.Int64
	target, _ := newHub(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPost {
				requests.Add(1)
			}
			next.ServeHTTP(w, r)
		})
	})
	want := numbered(5_000)
	r := run(t, strings.Join(want, "\n"), "publish", "--url", target, "--topic", "news")
	r.want(t, 0)
	if got := kept(t, target); !slices.Equal(got, want) || len(r.lines()) != len(want) {
		t.Errorf("%d kept, %d ids", len(got), len(r.lines()))
	}
	if n := requests.Load(); n > 1000 {
		t.Errorf("%d requests", n)
	}
}

func TestALineIsSentAsSoonAsItComes(t *testing.T) {
	t.Parallel()
	target, _ := newHub(t, nil)
	reader, writer := io.Pipe()
	p := begin(t, reader, "publish", "--url", target, "--topic", "news")
	for i, line := range []string{"a\n", "b\n"} {
		if _, err := io.WriteString(writer, line); err != nil {
			t.Fatal(err)
		}
		p.stdout.awaitLines(t, i+1)
	}
	writer.Close()
	p.wait().want(t, 0)
}

// lossy does the first n requests to publish and hangs up without an answer.
func lossy(n int64) func(http.Handler) http.Handler {
	var seen atomic.Int64
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPost && seen.Add(1) <= n {
				next.ServeHTTP(httptest.NewRecorder(), r)
				panic(http.ErrAbortHandler)
			}
			next.ServeHTTP(w, r)
		})
	}
}

func TestARepetitionNeverDoubles(t *testing.T) {
	t.Parallel()
	target, _ := newHub(t, lossy(1))
	want := numbered(50)
	r := run(t, strings.Join(want, "\n"), "publish", "--url", target, "--topic", "news")
	r.want(t, 0, "trying for 30s")
	if got := kept(t, target); !slices.Equal(got, want) || len(r.lines()) != len(want) {
		t.Errorf("kept %q, printed %d ids", got, len(r.lines()))
	}
}

// A request into a network that has gone takes as long as all tries may; the next one finds another way.
func TestARequestThatHungIsRepeated(t *testing.T) {
	t.Parallel()
	var seen atomic.Int64
	target, _ := newHub(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPost && seen.Add(1) == 1 {
				<-time.After(1100 * time.Millisecond)
				panic(http.ErrAbortHandler)
			}
			next.ServeHTTP(w, r)
		})
	})
	run(t, "", "publish", "--url", target, "--topic", "news", "--retry-for", "1s", "a").want(t, 0, "trying for 1s")
	if got := kept(t, target); !slices.Equal(got, []string{"a"}) {
		t.Errorf("kept %q", got)
	}
}

func TestWhatMayHaveBeenStoredIsSaid(t *testing.T) {
	t.Parallel()
	target, _ := newHub(t, lossy(1))
	run(t, "", "publish", "--url", target, "--topic", "news", "--retry-for", "0", "a").
		want(t, 1, "nothing was stored", "events 1 to 1 may be stored too")
}

func TestAHubThatIsBusyIsAskedAgain(t *testing.T) {
	t.Parallel()
	var seen atomic.Int64
	target, _ := newHub(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if seen.Add(1) == 1 {
				w.Header().Set("Retry-After", "1")
				w.WriteHeader(http.StatusServiceUnavailable)
				fmt.Fprint(w, `{"code":"full","message":"come back later"}`)
				return
			}
			next.ServeHTTP(w, r)
		})
	})
	run(t, "", "publish", "--url", target, "--topic", "news", "a").want(t, 0, "full: come back later")
	if got := kept(t, target); !slices.Equal(got, []string{"a"}) {
		t.Errorf("kept %q", got)
	}
}

func TestItStopsAtTheEventThatCannotBe(t *testing.T) {
	t.Parallel()
	for name, bad := range map[string]string{"not UTF-8": "a\xffb", "too large": strings.Repeat("x", 2<<20)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			target, _ := newHub(t, nil)
			want := numbered(700)
			stdin := strings.Join(want, "\n") + "\n" + bad + "\nnever\n"
			r := run(t, stdin, "publish", "--url", target, "--topic", "news")
			r.want(t, 1, "the first 700 events were stored", "event 701: ")
			if strings.Contains(r.stderr, "line ") {
				t.Errorf("it says %q: the lines of a request are nobody's business", r.stderr)
			}
			if got := kept(t, target); !slices.Equal(got, want) || len(r.lines()) != len(want) {
				t.Errorf("%d kept, %d ids", len(got), len(r.lines()))
			}
		})
	}
	t.Run("endless", func(t *testing.T) {
		t.Parallel()
		target, _ := newHub(t, nil)
		stdin := io.MultiReader(strings.NewReader("a\n"), bytes.NewReader(make([]byte, 9<<20)))
		begin(t, stdin, "publish", "--url", target, "--topic", "news").wait().want(t, 1, "the first event was stored", "event 2: the line has more than")
	})
}

func TestNobodyAnswersAsAHub(t *testing.T) {
	t.Parallel()
	answers := func(status int, kind, body string) string {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", kind)
			w.Header().Set("Location", "https://elsewhere.example/events")
			w.WriteHeader(status)
			fmt.Fprint(w, body)
		}))
		t.Cleanup(server.Close)
		return server.URL
	}
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	for _, tt := range []struct{ name, url, want string }{
		{"nobody", gone.URL, "connection refused"},
		{"another server", answers(404, "text/html", "<h1>404"), "404 Not Found, and not as a hub does: check --url"},
		{"a page", answers(200, "text/html", "<h1>Welcome"), "not as a hub does: check --url"},
		{"too few ids", answers(200, "application/json", `{"ids":[]}`), "not as a hub does"},
		{"a redirect", answers(301, "text/html", ""), "https://elsewhere.example/events"},
		{"a proxy without a hub behind it", answers(502, "text/html", "Bad Gateway"), "502 Bad Gateway, and not as a hub does: check --url (events 1 to 1 may be stored too)"},
		{"a hub that can't know", answers(503, "application/json", `{"code":"unknown_outcome","message":"nobody knows"}`), "nobody knows (events 1 to 1 may be stored too)"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := run(t, "", "publish", "--url", tt.url, "--topic", "news", "--retry-for", "0", "a")
			r.want(t, 1, "nothing was stored; ", tt.want)
			if r.stdout != "" || strings.Count(r.stderr, "\n") != 1 {
				t.Errorf("printed %q, said %q", r.stdout, r.stderr)
			}
		})
	}
}

func TestPublishIsInterrupted(t *testing.T) {
	t.Parallel()
	target, _ := newHub(t, nil)
	reader, writer := io.Pipe()
	defer writer.Close()
	p := begin(t, reader, "publish", "--url", target, "--topic", "news")
	fmt.Fprint(writer, "a\nb\n")
	p.stdout.awaitLines(t, 2)
	p.interrupt().want(t, 1, "the first 2 events were stored; stopped")
}

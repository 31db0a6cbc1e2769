package hub_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/buffkit/buffkit/cmd/buffkit/internal/hub"
	"github.com/buffkit/buffkit/eventlog"
)

const ndjson = "application/x-ndjson"

func TestWhatIsPublishedIsStreamedWithItsID(t *testing.T) {
	t.Parallel()
	b := start(t, false, nil, nil)
	s := b.stream("topic=news&topic=other")
	s.open("fresh")
	a := b.do("POST", "/events?topic=news&event=headline&key=k", "first line\nsecond")
	var said struct{ ID string }
	if err := json.Unmarshal([]byte(a.body), &said); err != nil || a.status != 200 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	e := s.event()
	if e.ID != said.ID || e.Name != "headline" || string(e.Data) != "first line\nsecond" {
		t.Errorf("got %+v, published as %s", e, said.ID)
	}
}

func TestABatchIsAllOrNothing(t *testing.T) {
	t.Parallel()
	b := start(t, false, nil, nil)
	body := "{\"data\":\"a\"}\n{\"data\":\"b\",\"topic\":\"other\"}\n\n{\"data\":\"c\",\"event\":\"e\"}\n"
	a := b.do("POST", "/events?topic=news", body, "Content-Type", ndjson)
	var said struct{ IDs []string }
	if err := json.Unmarshal([]byte(a.body), &said); err != nil || a.status != 200 || len(said.IDs) != 3 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	p := b.history("topic=news&topic=other")
	if got := p.data(); !slices.Equal(got, []string{"a", "b", "c"}) || p.Events[2].ID != said.IDs[2] || p.Events[1].Topic != "other" {
		t.Errorf("kept %+v, told %q", p, said.IDs)
	}

	for line, want := range map[string]string{
		"nonsense":                           "isn't a JSON object",
		`{"data":"x","topic":"~all"}`:        "reserved",
		`{"data":"x","event":"a\nb"}`:        "LF",
		`{"data":"x","event":"buffkit.bye"}`: "reserved",
	} {
		a := b.do("POST", "/events?topic=news", `{"data":"x"}`+"\n"+line, "Content-Type", ndjson)
		_, message := a.problem(t)
		if a.status != http.StatusBadRequest || !strings.HasPrefix(message, "line 2: ") || !strings.Contains(message, want) {
			t.Errorf("%s: got %d %q, want line 2 and %q", line, a.status, message, want)
		}
	}
	if got := b.history("topic=news&topic=other").data(); len(got) != 3 {
		t.Errorf("a refused batch left something: %q", got)
	}
}

func TestPublishingAgainWithAKeyStoresOnce(t *testing.T) {
	t.Parallel()
	b := start(t, false, nil, nil)
	first := b.publish("news", "a", "Idempotency-Key", "7")
	if again := b.publish("news", "a", "Idempotency-Key", "7"); again != first {
		t.Errorf("got %s, then %s", first, again)
	}
	if other := b.publish("other", "a", "Idempotency-Key", "7"); other == first {
		t.Error("a key counts for its topic only")
	}
	batch := func() string {
		return b.do("POST", "/events?topic=news", "{\"data\":\"b\"}\n{\"data\":\"c\"}", "Content-Type", ndjson, "Idempotency-Key", "8").body
	}
	if first, again := batch(), batch(); first != again {
		t.Errorf("got %s, then %s", first, again)
	}
	if got := b.history("topic=news").data(); !slices.Equal(got, []string{"a", "b", "c"}) {
		t.Errorf("kept %q", got)
	}
}

func TestABatchsKeyIsNoOtherEventsKey(t *testing.T) {
	t.Parallel()
	b := start(t, false, nil, nil)
	batch := func(body string, headers ...string) {
		t.Helper()
		if a := b.do("POST", "/events?topic=news", body, append(headers, "Content-Type", ndjson)...); a.status != 200 {
			t.Fatalf("%d %s", a.status, a.body)
		}
	}
	var want []string
	for i, separator := range []string{"/", " ", "\t", ":", "\u00a0", "\xff"} { // whatever a header can have
		key := fmt.Sprint("k", i)
		single, first, second := key+" alone", key+" first", key+" second"
		b.publish("news", single, "Idempotency-Key", key+separator+"1")
		batch(fmt.Sprintf("{\"data\":%q}\n{\"data\":%q}", first, second), "Idempotency-Key", key)
		want = append(want, single, first, second)
	}
	batch(`{"data":"line","idempotency_key":"9/1"}`)
	batch(`{"data":"batch"}`, "Idempotency-Key", "9")
	if got := b.history("topic=news").data(); !slices.Equal(got, append(want, "line", "batch")) {
		t.Errorf("kept %q", got)
	}
	// What would make the hub's own separator is refused before it gets here.
	conn := dial(t, b)
	fmt.Fprint(conn, "POST /events?topic=news HTTP/1.1\r\nHost: localhost\r\nIdempotency-Key: 9\x1f1\r\nContent-Length: 1\r\n\r\nx")
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusBadRequest {
		t.Errorf("a control character in the header: %s", resp.Status)
	}
	batch(`{"data":"x"}`, "Idempotency-Key", strings.Repeat("k", eventlog.MaxTopicBytes-2))
	b.do("POST", "/events?topic=news", `{"data":"x"}`, "Content-Type", ndjson, "Idempotency-Key", strings.Repeat("k", eventlog.MaxTopicBytes-1)).
		want(t, 400, "invalid_event", "line 1")
}

func TestWhatABodyMayBe(t *testing.T) {
	t.Parallel()
	b := start(t, false, nil, nil)
	for _, kind := range []string{
		"", "text/plain", "text/html; charset=UTF-8", "application/json", "application/vnd.api+json", "image/svg+xml",
		"application/octet-stream", "application/x-www-form-urlencoded",
	} {
		if a := b.do("POST", "/events?topic=news", "hello", "Content-Type", kind); a.status != 200 {
			t.Errorf("%q: %d %s", kind, a.status, a.body)
		}
	}
	for _, refused := range [][2]string{
		{"Content-Type", "multipart/form-data; boundary=x"}, {"Content-Type", "image/png"}, {"Content-Type", "application/jsonl"},
		{"Content-Type", "text/plain; charset=latin1"}, {"Content-Type", "application/x-ndjson; charset=utf-16"},
		{"Content-Type", "text/"}, {"Content-Encoding", "gzip"},
	} {
		b.do("POST", "/events?topic=news", "hello", refused[0], refused[1]).want(t, http.StatusUnsupportedMediaType, "unsupported_type", "")
	}
	if got := b.history("topic=news").data(); len(got) != 8 || slices.ContainsFunc(got, func(s string) bool { return s != "hello" }) {
		t.Errorf("kept %q", got)
	}
}

func TestAnEventThatCannotBeIsRefused(t *testing.T) {
	t.Parallel()
	b := start(t, false, &hub.Options{MaxEventBytes: 2000, MaxBatchBytes: 5000}, &eventlog.MemoryOptions{MaxEventBytes: 2000})
	long := strings.Repeat("a", 256)
	tests := []struct {
		name, query, body, kind string
		status                  int
		code, text              string
	}{
		{"no topic", "", "x", "", 400, "no_topic", "/events?topic=news"},
		{"empty topic", "topic=", "x", "", 400, "no_topic", ""},
		{"two topics", "topic=a&topic=b", "x", "", 400, "bad_request", "?topic= once"},
		{"reserved topic", "topic=~all", "x", "", 400, "bad_request", "reserved"},
		{"topic with a control character", "topic=a%00", "x", "", 400, "bad_request", "control character"},
		{"topic that isn't UTF-8", "topic=%ff", "x", "", 400, "bad_request", "UTF-8"},
		{"endless topic", "topic=" + long, "x", "", 400, "bad_request", "255"},
		{"query that isn't one", "topic=a&event=%zz", "x", "", 400, "bad_request", "%zz"},
		{"name of two lines", "topic=a&event=b%0Ac", "x", "", 400, "invalid_event", "LF"},
		{"reserved name", "topic=a&event=buffkit.open", "x", "", 400, "invalid_event", "reserved"},
		{"endless key", "topic=a&key=" + long, "x", "", 400, "invalid_event", "key"},
		{"data that isn't UTF-8", "topic=a", "\xff\xfe", "", 400, "invalid_event", "UTF-8"},
		{"batch line that isn't UTF-8", "topic=a", "{\"data\":\"\xff\"}", ndjson, 400, "bad_request", "line 1: isn't UTF-8"},
		{"empty batch", "topic=a", "\n\n", ndjson, 400, "bad_request", "empty"},
		{"body over the limit", "topic=a", strings.Repeat("x", 2001), "", 413, "too_large", "--max-event-bytes"},
		{"event over the limit on the wire", "topic=a", strings.Repeat("\n", 1999), "", 413, "too_large", "--max-event-bytes"},
		{"batch over the limit", "topic=a", strings.Repeat("x", 5001), ndjson, 413, "too_large", "--max-batch-bytes"},
		{"event of a batch over the limit", "topic=a", "{\"data\":\"\"}\n{\"data\":\"" + strings.Repeat("x", 2001) + "\"}", ndjson,
			413, "too_large", "line 2: "},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b.do("POST", "/events?"+tt.query, tt.body, "Content-Type", tt.kind).want(t, tt.status, tt.code, tt.text)
		})
	}
	t.Run("body over the limit that doesn't say its length", func(t *testing.T) {
		t.Parallel()
		req, err := http.NewRequestWithContext(t.Context(), "POST", b.url+"/events?topic=a", io.MultiReader(strings.NewReader(strings.Repeat("x", 2001))))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := b.http.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if text, _ := io.ReadAll(resp.Body); resp.StatusCode != 413 || !bytes.Contains(text, []byte("--max-event-bytes")) {
			t.Errorf("%d %s", resp.StatusCode, text)
		}
	})
}

func TestABodyThatNeverEndsIsCut(t *testing.T) {
	t.Parallel()
	b := start(t, false, &hub.Options{BodyTimeout: 50 * time.Millisecond}, nil)
	reader, writer := io.Pipe()
	defer writer.Close()
	go fmt.Fprint(writer, "a byte or two, and then nothing")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "POST", b.url+"/events?topic=a", reader)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := b.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	answer{resp.StatusCode, resp.Header, string(text)}.want(t, http.StatusRequestTimeout, "timeout", "50ms")
	if err != nil {
		t.Error(err)
	}
	b.publish("a", "everybody else goes on")
}

func TestABatchThatIsCutStoresNothing(t *testing.T) {
	t.Parallel()
	b := start(t, false, nil, nil)
	const line = `{"data":"whole"}` + "\n"
	for name, body := range map[string]string{
		"behind a line":    "Transfer-Encoding: chunked\r\n\r\n11\r\n" + line + "\r\n",
		"within a chunk":   "Transfer-Encoding: chunked\r\n\r\n22\r\n" + line,
		"within its bytes": "Content-Length: 34\r\n\r\n" + line,
	} {
		conn := dial(t, b)
		fmt.Fprint(conn, "POST /events?topic=news HTTP/1.1\r\nHost: localhost\r\nContent-Type: "+ndjson+"\r\n"+body)
		if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		answer, err := io.ReadAll(conn)
		if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 400") || !strings.Contains(string(answer), "ended early") {
			t.Errorf("%s: %q, %v", name, answer, err)
		}
	}
	if got := b.history("topic=news").data(); len(got) > 0 {
		t.Errorf("kept %q", got)
	}
}

func TestABodyThatNobodyWantsIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	b := start(t, true, &hub.Options{BodyTimeout: 50 * time.Millisecond}, nil)
	for request, want := range map[string]string{
		"POST /events?topic=news": "401 Unauthorized",
		"GET /events?topic=news":  "400 Bad Request",
		"PUT /events":             "405 Method Not Allowed",
		"GET /livez":              "200 OK",
		"POST /nowhere":           "404 Not Found",
	} {
		conn := dial(t, b)
		fmt.Fprintf(conn, "%s HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\na byte or two", request)
		answer, err := io.ReadAll(conn) // to the end of the connection
		if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 "+want) {
			t.Errorf("%s: %q, %v; want %s", request, answer, err, want)
		}
	}
}

func TestALogThatIsFullSaysSo(t *testing.T) {
	t.Parallel()
	b := start(t, false, nil, &eventlog.MemoryOptions{MaxTopics: 1})
	b.publish("one", "x")
	a := b.do("POST", "/events?topic=two", "x")
	a.want(t, http.StatusServiceUnavailable, "full", "")
	if a.header.Get("Retry-After") == "" {
		t.Error("it doesn't say when to come back")
	}
}

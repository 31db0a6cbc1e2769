package integration

import (
	"bufio"
	"bytes"
	"fmt"
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/buffkit/buffkit/eventlog"
	"github.com/buffkit/buffkit/push"
)

// curl is a run of the program. Its frames come as they are printed: the first is the status line with the headers, the
// others are what stands between empty lines.
type curl struct {
	tape[string]
	cmd    *exec.Cmd
	exited chan error
}

func startCurl(t *testing.T, args ...string) *curl {
	t.Helper()
	c := &curl{cmd: exec.Command("curl", append([]string{"-sS", "-N", "-i"}, args...)...), exited: make(chan error, 1)}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	c.cmd.Stderr = t.Output()
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		scanner := bufio.NewScanner(out)
		scanner.Split(splitFrames)
		for scanner.Scan() {
			c.add(scanner.Text())
		}
		c.exited <- c.cmd.Wait()
	}()
	t.Cleanup(c.kill)
	return c
}

// splitFrames cuts behind the headers, whose lines end in CRLF, and then behind each empty line.
func splitFrames(data []byte, atEOF bool) (int, []byte, error) {
	for _, end := range []string{"\r\n\r\n", "\n\n"} {
		if i := bytes.Index(data, []byte(end)); i >= 0 {
			return i + len(end), data[:i], nil
		}
	}
	if atEOF && len(data) > 0 {
		return len(data), data, nil
	}
	return 0, nil, nil
}

func (c *curl) kill() {
	c.cmd.Process.Kill()
	c.wait()
}

// wait returns how the program ended.
func (c *curl) wait() error {
	err := <-c.exited
	c.exited <- err
	return err
}

// awaitFrames waits for n frames and returns them.
func (c *curl) awaitFrames(t *testing.T, n int) []string {
	t.Helper()
	return c.await(t, fmt.Sprintf("%d frames", n), func(frames []string) bool { return len(frames) >= n })
}

// field returns the value of a field of a frame.
func field(frame, name string) string {
	for line := range strings.SplitSeq(frame, "\n") {
		if value, ok := strings.CutPrefix(line, name+": "); ok {
			return value
		}
	}
	return ""
}

// curlProtocols are the ways that curl reaches a site.
var curlProtocols = []struct {
	name   string
	tls    bool
	args   func(*site) []string
	status string
}{
	{"HTTP 1.0", false, func(*site) []string { return []string{"--http1.0"} }, "HTTP/1.0 200 OK"},
	{"HTTP 1.1", false, func(*site) []string { return nil }, "HTTP/1.1 200 OK"},
	{"HTTP 2 cleartext", false, func(*site) []string { return []string{"--http2-prior-knowledge"} }, "HTTP/2 200"},
	{"HTTP 1.1 TLS", true, func(s *site) []string { return []string{"--http1.1", "--cacert", s.cert} }, "HTTP/1.1 200 OK"},
	{"HTTP 2 TLS", true, func(s *site) []string { return []string{"--cacert", s.cert} }, "HTTP/2 200"},
}

func TestCurlGetsEventsAsTheyHappenAndResumes(t *testing.T) {
	t.Parallel()
	for _, tt := range curlProtocols {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			s.TLS = tt.tls
			s.start(nil)
			url := s.url("/events")

			// Nothing was published: the headers, ": ok" and the first event come at once.
			c := startCurl(t, append(tt.args(s), url)...)
			first := c.awaitFrames(t, 3)
			if !strings.HasPrefix(first[0], tt.status) {
				t.Errorf("status line of %q, want %q", first[0], tt.status)
			}
			headers := strings.ToLower(first[0])
			for _, want := range []string{"content-type: text/event-stream", "cache-control: no-cache, no-transform", "x-accel-buffering: no"} {
				if !strings.Contains(headers, want) {
					t.Errorf("no %q in\n%s", want, first[0])
				}
			}
			if first[1] != ": ok" || field(first[2], "event") != "buffkit.open" || field(first[2], "retry") == "" {
				t.Errorf("the stream begins with %q", first[1:])
			}
			if o := parse[opened](t, field(first[2], "data")); o.State != "fresh" {
				t.Errorf("state %q, want fresh", o.State)
			}

			// Each event arrives before the next is published.
			ids := []string{field(first[2], "id")}
			for n := 1; n <= 3; n++ {
				ids = append(ids, s.send(push.Event{Name: "n", Data: fmt.Appendf(nil, "event\n%d", n)}))
				want := fmt.Sprintf("id: %s\nevent: n\ndata: event\ndata: %d", ids[n], n)
				if got := c.awaitFrames(t, 3+n)[2+n]; got != want {
					t.Errorf("frame %q, want %q", got, want)
				}
			}
			c.kill()

			for from, id := range ids {
				c := startCurl(t, append(tt.args(s), "-H", "Last-Event-ID: "+id, url)...)
				missed := ids[from+1:]
				frames := c.awaitFrames(t, 3+len(missed))
				if o := parse[opened](t, field(frames[2], "data")); o.State != "resumed" || o.Replay != len(missed) {
					t.Errorf("after %d: %+v, want resumed with %d", from, o, len(missed))
				}
				for i, frame := range frames[3:] {
					if field(frame, "id") != missed[i] {
						t.Errorf("after %d: %q, want %q", from, field(frame, "id"), missed[i])
					}
				}
				next := s.send(push.Event{Data: []byte("live")})
				if live := c.awaitFrames(t, 4+len(missed))[3+len(missed)]; field(live, "id") != next {
					t.Errorf("after the replay: %q, want %q", live, next)
				}
				ids = append(ids, next)
				c.kill()
			}
		})
	}
}

func TestCurlOutlivesTheServersTimeouts(t *testing.T) {
	t.Parallel()
	for _, tt := range curlProtocols {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			s.TLS = tt.tls
			s.Timeout = time.Second
			s.Options.WriteTimeout = s.Timeout
			s.Options.Heartbeat = 2 * s.Timeout // longer than both: nothing but the broker's own doing keeps the stream
			s.start(nil)
			c := startCurl(t, append(tt.args(s), s.url("/events"))...)
			c.await(t, "the second heartbeat", func(frames []string) bool {
				return strings.Count(strings.Join(frames, "\n"), "event: buffkit.ping") == 2
			})
		})
	}
}

func TestCurlIsRefusedWithARealStatus(t *testing.T) {
	t.Parallel()
	refuseWith := func(err error) func(*site) {
		return func(s *site) { s.Grant = func(*http.Request) (push.Grant, error) { return push.Grant{}, err } }
	}
	tests := []struct {
		name   string
		setup  func(*site)
		args   []string
		path   string
		status int
		code   string
	}{
		{"not signed in", refuseWith(push.ErrUnauthorized), nil, "/events", 401, "unauthorized"},
		{"a topic not granted", nil, nil, "/events?topic=secret", 403, "forbidden"},
		{"a reserved topic", func(s *site) { s.Grant = push.Public("~all") }, nil, "/events", 400, "bad_request"},
		{"too many topics", func(s *site) { s.Grant = push.Public("a", "b"); s.Options.Limits.MaxTopics = 1 }, nil, "/events", 400, "too_many_topics"},
		{"a forged token", nil, []string{"-H", "Buffkit-Session: forged"}, "/events", 401, "token_invalid"},
		{"the app's own words", refuseWith(&push.Refusal{Code: "unpaid", Status: 402}), nil, "/events", 402, "unpaid"},
		{"an error nobody may know", refuseWith(fmt.Errorf("db password is wrong")), nil, "/events", 500, "error"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			if tt.setup != nil {
				tt.setup(s)
			}
			s.start(nil)

			frames := finish(t, startCurl(t, append(tt.args, s.url(tt.path))...))
			if want := fmt.Sprintf("HTTP/1.1 %d ", tt.status); !strings.HasPrefix(frames[0], want) {
				t.Errorf("got %q, want %q", frames[0], want)
			}
			if !strings.Contains(frames[0], "Retry-After: 1") {
				t.Errorf("no Retry-After: %q", frames[0])
			}
			if bye := parse[goodbye](t, frames[1]); bye.Code != tt.code || strings.Contains(frames[1], "password") {
				t.Errorf("got %s, want code %q", frames[1], tt.code)
			}

			// The same refusal for what looks like an EventSource: 200, the reason in-band, the end.
			frames = finish(t, startCurl(t, append(tt.args, "-H", "Accept: text/event-stream", s.url(tt.path))...))
			if !strings.HasPrefix(frames[0], "HTTP/1.1 200 ") || len(frames) != 2 || field(frames[1], "event") != "buffkit.bye" {
				t.Fatalf("got %q, want 200 and a goodbye", frames)
			}
			bye := parse[goodbye](t, field(frames[1], "data"))
			if bye.Code != tt.code || fmt.Sprint(bye.Retry) != field(frames[1], "retry") {
				t.Errorf("got %q, want code %q and the same retry twice", frames[1], tt.code)
			}
		})
	}
}

// goodbye is the data of buffkit.bye.
type goodbye struct {
	Code  string
	Retry int
}

// finish waits for the end of a curl that ends by itself.
func finish(t *testing.T, c *curl) []string {
	t.Helper()
	if err := c.wait(); err != nil {
		t.Fatalf("curl: %v; it got %q", err, c.all())
	}
	return c.awaitFrames(t, 2)
}

func TestCurlIsStoppedForEverWith204(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.Grant = func(*http.Request) (push.Grant, error) { return push.Grant{}, push.ErrStop }
	s.start(nil)
	c := startCurl(t, s.url("/events"))
	if err := c.wait(); err != nil {
		t.Fatal(err)
	}
	if got := c.all(); len(got) != 1 || !strings.HasPrefix(got[0], "HTTP/1.1 204 ") {
		t.Errorf("got %q", got)
	}
}

func TestCurlIsToldAGap(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.Options.Snapshot = s.snapshot
	s.start(nil)
	s.publish(5)
	lost := s.send(push.Event{Data: []byte("old")})
	other := eventlog.NewMemory(nil)
	t.Cleanup(func() { other.Close() })
	s.crash()
	s.start(other)
	last := s.send(push.Event{Data: []byte("new")})

	tests := []struct{ name, id, reason string }{
		{"of another log", lost, "other_log"},
		{"ahead of the log", eventlog.NewCursor(mustCursor(t, last).Epoch(), mustCursor(t, last).At(0)+1000).String(), "rolled_back"},
		{"not a cursor", "42", "unreadable"},
		{"not even ASCII", "\xff;ä:\"", "unreadable"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := startCurl(t, "-H", "Last-Event-ID: "+tt.id, s.url("/events"))
			frames := c.awaitFrames(t, 5)
			o := parse[opened](t, field(frames[2], "data"))
			if o.State != "gap" || o.Gaps[0].Topic != topic || string(o.Gaps[0].Reason) != tt.reason {
				t.Errorf("got %+v, want a gap: %s", o, tt.reason)
			}
			if frames[3] != "event: snapshot\ndata: "+topic {
				t.Errorf("got %q, want the snapshot, without an id", frames[3])
			}
			if frames[4] != "id: "+last {
				t.Errorf("got %q, want the id of the head", frames[4])
			}
		})
	}
}

func mustCursor(t *testing.T, text string) eventlog.Cursor {
	t.Helper()
	c, err := eventlog.ParseCursor(text)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestCurlHearsTheServerGoDown(t *testing.T) {
	t.Parallel()
	for _, tt := range curlProtocols {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			s.TLS = tt.tls
			s.start(nil)
			c := startCurl(t, append(tt.args(s), s.url("/events"))...)
			c.awaitFrames(t, 3)
			s.stop()
			if err := c.wait(); err != nil {
				t.Errorf("curl: %v, want the clean end of the body", err)
			}
			frames := c.all()
			last := frames[len(frames)-1]
			if bye := parse[goodbye](t, field(last, "data")); field(last, "event") != "buffkit.bye" || bye.Code != "draining" || bye.Retry == 0 {
				t.Errorf("the last frame is %q", last)
			}
		})
	}
}

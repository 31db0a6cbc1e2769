package cli_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/buffkit/buffkit/cmd/buffkit/internal/cli"
	"github.com/buffkit/buffkit/eventlog"
	"github.com/buffkit/buffkit/internal/servers"
)

func get(t *testing.T, url string, headers ...string) (status int, body string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// connect opens a connection for what net/http's client wouldn't send.
func connect(t *testing.T, target string) net.Conn {
	t.Helper()
	u, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", u.Host)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return conn
}

func TestServeSaysWhereAndDrains(t *testing.T) {
	t.Parallel()
	p := begin(t, strings.NewReader(""), "serve", "--insecure", "--addr", "127.0.0.1:0", "--drain-window", "20ms", "--log", "memory")
	p.stdout.await(t, "\n")
	target := strings.TrimSpace(strings.TrimPrefix(p.stdout.String(), "buffkit serves "))
	p.stderr.await(t, "insecure")
	if status, body := get(t, target+"/readyz"); status != 200 {
		t.Errorf("readyz: %d %s", status, body)
	}
	resp, err := http.Get(target + "/events?topic=news")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	r := p.interrupt()
	r.want(t, 0, "events are kept", "log=memory", "draining", "drained")
	if text, err := io.ReadAll(resp.Body); err != nil || !strings.Contains(string(text), `"code":"draining"`) {
		t.Errorf("the stream ended with %q, %v", text, err)
	}
	if r.stdout != "buffkit serves "+target+"\n" {
		t.Errorf("it printed %q", r.stdout)
	}
}

func TestAStuckRequestDoesNotHoldTheEnd(t *testing.T) {
	t.Parallel()
	p, target := serve(t, "--insecure")
	conn := connect(t, target)
	if _, err := io.WriteString(conn, "POST /events?topic=a HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(conn).ReadString('\n'); err != nil || !strings.Contains(line, "100 Continue") {
		t.Fatalf("%q, %v", line, err) // the hub waits for its body now
	}
	p.interrupt().want(t, 0, "draining", "cut what didn't end in time")
}

func TestServeInJSON(t *testing.T) {
	t.Parallel()
	p, _ := serve(t, "--insecure")
	r := p.interrupt()
	r.want(t, 0)
	for line := range strings.Lines(r.stdout + r.stderr) {
		if !json.Valid([]byte(line)) {
			t.Errorf("not JSON: %q", line)
		}
	}
}

func TestAPortThatIsTaken(t *testing.T) {
	t.Parallel()
	_, target := serve(t, "--insecure")
	u, _ := url.Parse(target)
	r := run(t, "", "serve", "--insecure", "--addr", u.Host, "--log", "memory")
	r.want(t, 1, "port "+u.Port()+" is taken", "--addr")
	if strings.Count(r.stderr, "\n") != 1 {
		t.Errorf("it says %q", r.stderr)
	}
}

func TestServeListensToItsFlags(t *testing.T) {
	t.Parallel()
	_, target := serve(t, "--insecure", "--retain-events", "2", "--max-event-bytes", "1KiB", "--max-topics", "1", "--max-connections", "1")
	for _, data := range []string{"1", "2", "3"} {
		run(t, "", "publish", "--url", target, "--topic", "news", data).want(t, 0)
	}
	if got := kept(t, target); strings.Join(got, " ") != "2 3" {
		t.Errorf("kept %q", got)
	}
	run(t, "", "publish", "--url", target, "--topic", "news", strings.Repeat("x", 2000)).want(t, 1, "--max-event-bytes", "1024")
	if status, body := get(t, target+"/events?topic=a&topic=b"); status != 400 || !strings.Contains(body, "too_many_topics") {
		t.Errorf("%d %s", status, body)
	}
	resp, err := http.Get(target + "/events?topic=a")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if status, body := get(t, target+"/events?topic=a"); status != 429 || !strings.Contains(body, `"limit"`) {
		t.Errorf("%d %s", status, body)
	}
}

func TestServeVerboseTellsOfStreams(t *testing.T) {
	t.Parallel()
	p, target := serve(t, "--insecure", "--verbose")
	run(t, "", "publish", "--url", target, "--topic", "news", "x").want(t, 0)
	resp, err := http.Get(target + "/events?topic=news&cursor=garbage")
	if err != nil {
		t.Fatal(err)
	}
	p.stderr.await(t, "stream begins")
	p.stderr.await(t, "unreadable")
	resp.Body.Close()
	p.stderr.await(t, "stream ends")
	get(t, target+"/events?topic=~all&access_token=hush")
	p.stderr.await(t, "refused")
	if r := p.interrupt(); strings.Contains(r.stderr, "hush") {
		t.Error("the log has a token")
	}
}

// raw sends bytes and returns the status line of the answer.
func raw(t *testing.T, target, request string) string {
	t.Helper()
	conn := connect(t, target)
	if _, err := io.WriteString(conn, request); err != nil {
		return err.Error() // it hung up on us, as it may
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(line)
}

func TestGarbageIsTurnedAway(t *testing.T) {
	t.Parallel()
	_, target := serve(t, "--insecure")
	huge := strings.Repeat("x", 100<<10)
	for _, tt := range []struct{ name, request, want string }{
		{"noise", "\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", "400"},
		{"another protocol", "EHLO example.com\r\n\r\n", "400"},
		{"no host", "GET /livez HTTP/1.1\r\n\r\n", "400"},
		{"oversized header", "GET /livez HTTP/1.1\r\nHost: localhost\r\nX: " + huge + "\r\n\r\n", "431"},
		{"oversized Last-Event-ID", "GET /events?topic=a HTTP/1.1\r\nHost: localhost\r\nLast-Event-ID: " + huge + "\r\n\r\n", "431"},
		{"oversized URL", "GET /events?topic=" + huge + " HTTP/1.1\r\nHost: localhost\r\n\r\n", "431"},
		{"line break in a header", "GET /events?topic=a HTTP/1.1\r\nHost: localhost\r\nLast-Event-ID: a\x00b\r\n\r\n", "400"},
		{"a length that is a lie", "POST /events?topic=a HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n", "400"},
		{"more than it says", "POST /events?topic=a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\n\r\n", "413"},
	} {
		if got := raw(t, target, tt.request); !strings.Contains(got, tt.want) {
			t.Errorf("%s: got %q, want %s", tt.name, got, tt.want)
		}
	}
	run(t, "", "publish", "--url", target, "--topic", "news", "still here").want(t, 0)
}

func TestAClientThatDripsIsCut(t *testing.T) {
	t.Parallel()
	_, target := serve(t, "--insecure", "--header-timeout", "100ms")
	conn := connect(t, target)
	if _, err := io.WriteString(conn, "GET /events?topic=news HTTP/1.1\r\nHost: loc"); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { // a byte now and then, always too late for the header's end
		defer close(ended)
		for tick := time.NewTicker(10 * time.Millisecond); ; <-tick.C {
			if _, err := io.WriteString(conn, "a"); err != nil {
				return
			}
		}
	}()
	run(t, "", "publish", "--url", target, "--topic", "news", "nobody else feels it").want(t, 0)
	if text, err := io.ReadAll(conn); err == nil && strings.Contains(string(text), "200") {
		t.Errorf("it got %q", text)
	}
	conn.Close()
	<-ended
}

func TestServeWithTokens(t *testing.T) {
	t.Parallel()
	file := secretFile(t)
	_, target := serve(t, "--secret-file", file)
	publish := token(t, "--secret-file", file, "--publish", "news")
	read := token(t, "--secret-file", file, "--user", "ann", "--subscribe", "news")

	run(t, "", "publish", "--url", target, "--topic", "news", "x").want(t, 1, "unauthorized", "buffkit token")
	run(t, "", "publish", "--url", target, "--topic", "news", "--token", read, "x").want(t, 1, "forbidden", `"news" under publish`)
	run(t, "", "publish", "--url", target, "--topic", "news", "--token", publish, "x").want(t, 0)
	run(t, "", "subscribe", "--url", target, "--topic", "news").want(t, 1, "401", "buffkit token")
	run(t, "", "subscribe", "--url", target, "--topic", "news", "--token", publish).want(t, 1, "403", "forbidden", "--subscribe")
	p := begin(t, strings.NewReader(""), "subscribe", "--url", target, "--topic", "news", "--token", read)
	p.stderr.await(t, "starts now")
	p.interrupt().want(t, 0)
}

func TestServeGoesOnAfterARestart(t *testing.T) {
	t.Parallel()
	logs := map[string]func(t *testing.T) string{
		"sqlite": func(t *testing.T) string { return "sqlite:" + filepath.Join(t.TempDir(), "data") },
		"redis": func(t *testing.T) string {
			server, err := servers.Redis()
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = server.Stop() })
			return "redis://" + server.Addr
		},
		"postgres": func(t *testing.T) string {
			server, err := servers.Postgres()
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = server.Stop() })
			return server.URL("postgres")
		},
	}
	for name, start := range logs {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			log := start(t)
			p, target := serve(t, "--insecure", "--log", log)
			publishTo(t, target, "before")
			p.interrupt().want(t, 0)
			_, target = serve(t, "--insecure", "--log", log)
			publishTo(t, target, "after")
			status, body := get(t, target+"/history?topic=news")
			if status != 200 || !strings.Contains(body, "before") || !strings.Contains(body, "after") {
				t.Errorf("history: %d %s", status, body)
			}
		})
	}
}

// Redis keeps five events, and the archive all: who was away for longer gets them, also from a node that has just started.
func TestServeReadsFromTheArchiveWhatRedisHasDropped(t *testing.T) {
	t.Parallel()
	server, err := servers.Redis()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Stop() })
	args := []string{"--insecure", "--log", "redis://" + server.Addr, "--retain-events", "5", "--archive", "sqlite:" + filepath.Join(t.TempDir(), "archive.db")}
	p, target := serve(t, args...)
	const events = 40
	for i := range events {
		publishTo(t, target, fmt.Sprint("event ", i))
	}
	whole := func(target string) {
		t.Helper()
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for deadline := time.Now().Add(20 * time.Second); ; <-tick.C {
			status, body := get(t, target+"/history?topic=news&limit=1000")
			if status == 200 && strings.Count(body, "event ") == events && !strings.Contains(body, `"gap`) {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("history: %d %s", status, body)
			}
		}
	}
	whole(target)
	p.interrupt().want(t, 0)
	_, target = serve(t, args...)
	whole(target)
}

func TestServeRefusesAnArchiveThatItCantUse(t *testing.T) {
	t.Parallel()
	run(t, "", "serve", "--log", "memory", "--insecure", "--archive", "sqlite:a.db").want(t, 2, "--archive", "redis://")
	run(t, "", "serve", "--log", "redis://localhost:1", "--insecure", "--archive", "mongodb://localhost").want(t, 2, "--archive", "mongodb")
	run(t, "", "serve", "--log", "redis://localhost:1", "--insecure", "--archive", "sqlite:a.db", "--archive-age", "-1s").want(t, 2, "--archive-age")
	run(t, "", "serve", "--log", "redis://localhost:1", "--insecure", "--archive-age", "24h").want(t, 2, "--archive-age is about --archive", "--retain-age")
}

func TestWhatTheURLOfRedisDoesNotSayIsLeftToTheFlags(t *testing.T) {
	t.Parallel()
	flags := eventlog.Retention{Count: 5, Bytes: -1, Age: time.Minute}
	for url, want := range map[string]eventlog.Retention{
		"redis://localhost":                   flags,
		"redis://localhost?age=2h":            {Count: 5, Bytes: -1, Age: 2 * time.Hour},
		"redis://localhost?count=-1":          {Count: -1, Bytes: -1, Age: time.Minute},
		"redis://localhost?count=100&age=24h": {Count: 100, Bytes: -1, Age: 24 * time.Hour},
	} {
		if got, err := cli.RedisRetention(url, flags); err != nil || got != want {
			t.Errorf("%s: %+v, %v; want %+v", url, got, err, want)
		}
	}
}

func TestServeRefusesAFlagThatIsEmpty(t *testing.T) {
	t.Parallel()
	for _, flag := range []string{"--archive", "--sessions", "--secret-file", "--log"} {
		run(t, "", "serve", "--insecure", "--log", "redis://localhost:1", flag, "").want(t, 2, flag)
	}
}

// The folder is in the working directory, so this test runs alone.
func TestServeKeepsItsEventsInAFolderByDefault(t *testing.T) {
	folder := t.TempDir()
	t.Chdir(folder)
	serve := func() (*process, string) {
		p := begin(t, strings.NewReader(""), "serve", "--insecure", "--addr", "127.0.0.1:0", "--drain-window", "20ms")
		p.stdout.await(t, "\n")
		return p, strings.TrimSpace(strings.TrimPrefix(p.stdout.String(), "buffkit serves "))
	}
	p, target := serve()
	publishTo(t, target, "before")
	p.interrupt().want(t, 0, "events are kept", "sqlite:", "buffkit-data")
	data := filepath.Join(folder, "buffkit-data")
	if text := readFile(t, filepath.Join(data, ".gitignore")); text != "*\n" {
		t.Errorf("a repository would take it up: %q", text)
	}
	if err := os.WriteFile(filepath.Join(data, ".gitignore"), []byte("# ours\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, target = serve()
	if status, body := get(t, target+"/history?topic=news"); status != 200 || !strings.Contains(body, "before") {
		t.Errorf("history: %d %s", status, body)
	}
	if info, err := os.Stat(data); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v: others may look into the folder", info, err)
	}
	if text := readFile(t, filepath.Join(data, ".gitignore")); text != "# ours\n" {
		t.Errorf("the file that was there is overwritten: %q", text)
	}
}

func TestTwoHubsOnOneFolderShareTheirEvents(t *testing.T) {
	t.Parallel()
	log := "sqlite:" + filepath.Join(t.TempDir(), "data")
	_, one := serve(t, "--insecure", "--log", log)
	_, other := serve(t, "--insecure", "--log", log)
	sub := begin(t, strings.NewReader(""), "subscribe", "--url", other, "--topic", "news", "-n", "2")
	sub.stderr.await(t, "starts now")
	publishTo(t, one, "from one")
	sub.stdout.await(t, "from one")
	publishTo(t, other, "from the other")
	if r := sub.wait(); r.code != 0 || r.stdout != "from one\nfrom the other\n" {
		t.Errorf("%+v", r)
	}
}

func TestAFolderThatCannotBeMade(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, "", "serve", "--insecure", "--addr", "localhost:0", "--log", "sqlite:"+filepath.Join(file, "data")).want(t, 1, file, "--log sqlite:DIR", "--log memory")
}

func TestALogThatCannotBeOpenedLeadsToTheDoctor(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "log.db"), []byte(strings.Repeat("no database ", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, "", "serve", "--insecure", "--addr", "localhost:0", "--log", "sqlite:"+folder).want(t, 1, "file is not a database", "buffkit doctor")
	run(t, "", "doctor", "--log", "sqlite:"+folder).want(t, 1)
}

// Two nodes count a user's streams together, by the server of their log or by one of their own.
func TestServersShareSessions(t *testing.T) {
	t.Parallel()
	stores := map[string]func(t *testing.T) []string{
		"redis, by the log": func(t *testing.T) []string {
			server, err := servers.Redis()
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = server.Stop() })
			return []string{"--log", "redis://" + server.Addr + "?count=100"}
		},
		"postgres, by the log": func(t *testing.T) []string {
			server, err := servers.Postgres()
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = server.Stop() })
			return []string{"--log", server.URL("postgres")}
		},
		"sqlite": func(t *testing.T) []string {
			return []string{"--sessions", "sqlite:" + filepath.Join(t.TempDir(), "sessions.db")}
		},
	}
	for name, start := range stores {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := secretFile(t)
			args := append(start(t), "--secret-file", file, "--max-connections-per-user", "1")
			read := token(t, "--secret-file", file, "--user", "ann", "--subscribe", "news")
			_, one := serve(t, args...)
			other, two := serve(t, args...)
			stream := follow(t, one, read)
			if status, body := get(t, two+"/events?topic=news", "Authorization", "Bearer "+read); status != 429 {
				t.Errorf("a second stream, at the other node: %d %s", status, body)
			}
			stream.Close()
			awaitRoom(t, two, read).Close()
			other.interrupt().want(t, 0, "drained")
			awaitRoom(t, one, read).Close()
		})
	}
}

// follow opens a stream.
func follow(t *testing.T, target, token string) io.Closer {
	t.Helper()
	status, stream := tryFollow(t, target, token)
	if status != 200 {
		t.Fatalf("a stream: %d", status)
	}
	return stream
}

func tryFollow(t *testing.T, target, token string) (status int, stream io.Closer) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, target+"/events?topic=news", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	return resp.StatusCode, resp.Body
}

// awaitRoom opens a stream when the user may have another.
func awaitRoom(t *testing.T, target, token string) io.Closer {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); ; <-tick.C {
		status, stream := tryFollow(t, target, token)
		if status == 200 {
			return stream
		}
		stream.Close()
		if time.Now().After(deadline) {
			t.Fatalf("who has left is still counted: %d", status)
		}
	}
}

func TestSessionsNeedASecretAndAStoreThatThereIs(t *testing.T) {
	t.Parallel()
	run(t, "", "serve", "--log", "memory", "--insecure", "--sessions", "redis://localhost").want(t, 2, "--sessions", "--secret-file")
	file := secretFile(t)
	run(t, "", "serve", "--log", "memory", "--secret-file", file, "--sessions", "mongodb://localhost").want(t, 2, "--sessions", "redis://", "postgres://")
	run(t, "", "serve", "--log", "memory", "--secret-file", file, "--sessions", "redis://localhost?flavour=x").want(t, 2, "--sessions", "flavour")
}

func publishTo(t *testing.T, target, data string) {
	t.Helper()
	resp, err := http.Post(target+"/events?topic=news", "text/plain", strings.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if text, _ := io.ReadAll(resp.Body); resp.StatusCode/100 != 2 {
		t.Fatalf("publish: %d %s", resp.StatusCode, text)
	}
}

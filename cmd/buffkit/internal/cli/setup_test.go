package cli_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/buffkit/buffkit/cmd/buffkit/internal/cli"
	"github.com/buffkit/buffkit/cmd/buffkit/internal/hub"
	"github.com/buffkit/buffkit/eventlog"
	"github.com/buffkit/buffkit/push"
)

// patience is how long a test waits for what must come. Nothing is judged by how quickly it does.
const patience = time.Minute

// result is what a command left behind.
type result struct {
	code           int
	stdout, stderr string
}

// want fails unless the command ended with the code and its standard error has the texts.
func (r result) want(t *testing.T, code int, texts ...string) {
	t.Helper()
	if r.code != code {
		t.Errorf("exit code %d, want %d; it said %q", r.code, code, r.stderr)
	}
	for _, text := range texts {
		if !strings.Contains(r.stderr, text) {
			t.Errorf("it said %q, want %q", r.stderr, text)
		}
	}
}

func (r result) lines() []string { return strings.Split(strings.TrimSuffix(r.stdout, "\n"), "\n") }

// run runs a command to its end.
func run(t *testing.T, stdin string, args ...string) result {
	t.Helper()
	return begin(t, strings.NewReader(stdin), args...).wait()
}

// process is a command that runs.
type process struct {
	t              *testing.T
	stop           context.CancelFunc
	stdout, stderr *output
	done           chan int
}

func begin(t *testing.T, stdin io.Reader, args ...string) *process {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	p := &process{t: t, stop: stop, stdout: newOutput(), stderr: newOutput(), done: make(chan int, 1)}
	go func() {
		p.done <- cli.Run(ctx, args, stdin, p.stdout, p.stderr)
		close(p.done)
	}()
	t.Cleanup(func() { stop(); <-p.done })
	return p
}

// wait waits for the end.
func (p *process) wait() result {
	p.t.Helper()
	select {
	case code := <-p.done:
		return result{code, p.stdout.String(), p.stderr.String()}
	case <-time.After(patience):
		p.t.Fatalf("it doesn't end; it printed %q and said %q", p.stdout, p.stderr)
		return result{}
	}
}

// interrupt is Ctrl-C.
func (p *process) interrupt() result {
	p.t.Helper()
	p.stop()
	return p.wait()
}

// output is a writer that can be waited for.
type output struct {
	mu      sync.Mutex // protects what follows
	text    bytes.Buffer
	changed chan struct{}
}

func newOutput() *output { return &output{changed: make(chan struct{})} }

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	close(o.changed)
	o.changed = make(chan struct{})
	return o.text.Write(p)
}

func (o *output) String() string {
	text, _ := o.now()
	return text
}

func (o *output) now() (string, <-chan struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String(), o.changed
}

// await waits until the output has the text.
func (o *output) await(t *testing.T, want string) {
	t.Helper()
	o.until(t, want, func(text string) bool { return strings.Contains(text, want) })
}

// awaitLines waits until the output has so many lines.
func (o *output) awaitLines(t *testing.T, n int) {
	t.Helper()
	o.until(t, fmt.Sprintf("%d lines", n), func(text string) bool { return strings.Count(text, "\n") >= n })
}

func (o *output) until(t *testing.T, want string, done func(text string) bool) {
	t.Helper()
	deadline := time.After(patience)
	for {
		text, changed := o.now()
		if done(text) {
			return
		}
		select {
		case <-changed:
		case <-deadline:
			t.Fatalf("waited for %q, got %q", want, text)
		}
	}
}

// serve runs the serve command, with its events in memory unless the arguments say otherwise, and returns the URL that it prints.
func serve(t *testing.T, args ...string) (*process, string) {
	t.Helper()
	p := begin(t, strings.NewReader(""), append([]string{"serve", "--json", "--addr", "localhost:0", "--drain-window", "20ms", "--log", "memory"}, args...)...)
	p.stdout.await(t, "\n")
	var said struct{ URL string }
	if err := json.Unmarshal([]byte(p.stdout.String()), &said); err != nil || said.URL == "" {
		t.Fatalf("serve printed %q", p.stdout)
	}
	return p, said.URL
}

// newHub runs an insecure hub in this process, with something in front of it if the test wants to.
func newHub(t *testing.T, before func(http.Handler) http.Handler) (url string, log *eventlog.Memory) {
	t.Helper()
	log = eventlog.NewMemory(nil)
	h, err := hub.NewInsecure(log, &hub.Options{
		Logger: slog.New(slog.DiscardHandler),
		Push:   push.Options{Retry: 10 * time.Millisecond},
	})
	if err != nil {
		t.Fatal(err)
	}
	var handler http.Handler = h
	if before != nil {
		handler = before(h)
	}
	server := httptest.NewServer(handler)
	t.Cleanup(func() {
		_ = h.Close()
		server.Close()
		_ = log.Close()
	})
	return server.URL, log
}

// kept returns what the log has of the topic news, by the command line's own way to read it.
func kept(t *testing.T, url string) (data []string) {
	t.Helper()
	after := ""
	for {
		resp, err := http.Get(url + "/history?topic=news&limit=1000&after=" + after)
		if err != nil {
			t.Fatal(err)
		}
		var page struct {
			Events []struct{ Data string }
			Next   string
		}
		err = json.NewDecoder(resp.Body).Decode(&page)
		resp.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		if len(page.Events) == 0 {
			return data
		}
		for _, event := range page.Events {
			data = append(data, event.Data)
		}
		after = page.Next
	}
}

// secretFile returns a file with a new secret.
func secretFile(t *testing.T) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "secret")
	run(t, "", "token", "--new-secret", "--secret-file", name).want(t, 0)
	return name
}

func token(t *testing.T, args ...string) string {
	t.Helper()
	r := run(t, "", append([]string{"token"}, args...)...)
	r.want(t, 0)
	return strings.TrimSpace(r.stdout)
}

func readFile(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// firstLines cuts a text for a message.
func firstLines(text string, n int) string {
	var b strings.Builder
	for s := bufio.NewScanner(strings.NewReader(text)); n > 0 && s.Scan(); n-- {
		b.WriteString(s.Text() + "\n")
	}
	return b.String()
}

// wire is a network between a client and a hub that can be cut.
type wire struct {
	url string

	mu    sync.Mutex // protects conns
	conns []net.Conn
}

func newWire(t *testing.T, target string) *wire {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{url: "http://" + listener.Addr().String()}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			near, err := listener.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", strings.TrimPrefix(target, "http://"))
			if err != nil {
				near.Close()
				continue
			}
			w.mu.Lock()
			w.conns = append(w.conns, near, far)
			w.mu.Unlock()
			for _, ends := range [][2]net.Conn{{near, far}, {far, near}} {
				running.Go(func() {
					_, _ = io.Copy(ends[0], ends[1])
					ends[0].Close()
					ends[1].Close()
				})
			}
		}
	})
	t.Cleanup(func() {
		listener.Close()
		w.cut()
		running.Wait()
	})
	return w
}

// cut ends all connections. New ones are let through.
func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, conn := range w.conns {
		conn.Close()
	}
	w.conns = nil
}

// until asks again and again, and fails when the patience is over.
func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("it never came: " + what)
		}
	}
}

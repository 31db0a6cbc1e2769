package integration

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"text/template"
	"time"

	"github.com/buffkit/buffkit/push"
)

// startNginx starts an nginx that nobody has tuned, in front of a site.
func startNginx(t *testing.T, s *site) *proxy {
	t.Helper()
	p := &proxy{name: "nginx", addr: freeAddr(t), folder: t.TempDir(), file: "nginx.conf"}
	var conf bytes.Buffer
	err := template.Must(template.ParseFiles("testdata/nginx.conf")).Execute(&conf, struct {
		Root     bool
		Addr, To string
	}{os.Geteuid() == 0, p.addr, s.addr})
	if err != nil {
		t.Fatal(err)
	}
	p.command = []string{"nginx", "-p", p.folder, "-c", p.file, "-e", "stderr"}
	p.reload = func(t *testing.T) { p.signal(t, syscall.SIGHUP) } // as "nginx -s reload" does
	p.launch(t, conf.String())
	return p
}

func TestBehindNginxEventsArriveAtOnce(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, path string
		args       []string
		header     string
	}{
		{"with its defaults", "/events", nil, "content-type: text/event-stream"},
		{"with gzip", "/events/packed", []string{"--compressed"}, "content-encoding: gzip"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := startSite(t)
			n := startNginx(t, s)
			c := startCurl(t, append(tt.args, "http://"+n.addr+tt.path)...)
			if first := c.awaitFrames(t, 3); !strings.Contains(strings.ToLower(first[0]), tt.header) {
				t.Fatalf("no %q in\n%s", tt.header, first[0])
			}
			for i := range 5 { // each arrives before the next is published
				s.publish(1)
				frame := c.awaitFrames(t, 4+i)[3+i]
				if field(frame, "data") != fmt.Sprint(i+1) {
					t.Errorf("got %q, want event %d", frame, i+1)
				}
			}
			if r := s.requests.all()[0]; r.Proto != "HTTP/1.0" {
				t.Errorf("nginx asked by %s: this should be the case that is hard", r.Proto)
			}
		})
	}
}

func TestBehindNginxHeartbeatsKeepAQuietStream(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.Options.Heartbeat = 250 * time.Millisecond // proxy_read_timeout is 2 s
	s.start(nil)
	n := startNginx(t, s)
	p := openPage(t, following(s, n.addr, "/events"))
	p.awaitNth(t, "buffkit.ping", 11) // over 2.5 s
	s.publish(1)
	p.awaitLast(t, 1, 1)
	if opens := opens(t, p.all()); len(opens) != 1 {
		t.Errorf("nginx cut the stream: %q", opens)
	}
}

func TestBehindNginxAnEventSourceResumes(t *testing.T) {
	t.Parallel()
	s := startSite(t)
	n := startNginx(t, s)
	p := openPage(t, following(s, n.addr, "/events"))
	p.awaitNth(t, "buffkit.open", 1)
	s.publish(2)
	p.awaitLast(t, 1, 2)

	n.reload(t)
	p.awaitNth(t, "buffkit.open", 2)
	s.publish(2)
	p.awaitLast(t, 1, 4)

	n.kill()
	s.publish(2)
	n.start(t)
	p.awaitLast(t, 1, 6)
	s.publish(1)
	p.awaitLast(t, 1, 7)
	if opens := opens(t, p.all()); !slices.Equal(opens, []string{"fresh", "resumed 0", "resumed 2"}) {
		t.Errorf("told %q", opens)
	}
}

func TestBehindNginxAnEventSourceOutlivesARestartOfTheServer(t *testing.T) {
	t.Parallel()
	s := startSite(t)
	n := startNginx(t, s)
	p := openPage(t, following(s, n.addr, "/events/kept"))
	p.awaitNth(t, "buffkit.open", 1)
	s.publish(2)
	p.awaitLast(t, 1, 2)
	s.crash()
	s.publish(2)
	p.awaitNth(t, "error", 3) // nginx has answered for the server, at least once
	s.start(nil)
	s.publish(2)
	p.awaitLast(t, 1, 6)

	// Without error_page in nginx, the 502 is the end: this is why it stands in docs/troubleshooting.md.
	p = openPage(t, following(s, n.addr, "/events"))
	p.awaitNth(t, "buffkit.open", 1)
	s.crash()
	p.await(t, "the end of the EventSource", func(notes []note) bool { return notes[len(notes)-1].State == closed })
}

// The same for a client that isn't a browser, with another end of the connection cut: nginx tells a server that has gone as a
// clean end of the stream, since HTTP/1.0 has no other.
func TestBehindNginxForeignClientsResume(t *testing.T) {
	t.Parallel()
	for _, client := range foreignClients {
		t.Run(client.name, func(t *testing.T) {
			t.Parallel()
			s := startSite(t)
			n := startNginx(t, s)
			got := &events{}
			followWith(t, client.follow, "http://"+n.addr+"/events/kept", got)
			got.awaitNth(t, "buffkit.open", 1)
			s.publish(2)
			got.awaitLast(t, 1, 2)
			s.crash()
			s.publish(1)
			s.start(nil)
			s.publish(1)
			got.awaitLast(t, 1, 4)
			n.kill()
			s.send(push.Event{Data: []byte("5")})
			n.start(t)
			got.awaitLast(t, 1, 5)
		})
	}
}

package integration

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/buffkit/buffkit/push"
)

// tunedProxies are those that docs/tuning.md shows how to set up, with the lines that it shows.
var tunedProxies = []struct {
	name  string
	start func(t *testing.T, s *site, changes ...string) *proxy
}{
	{"nginx", startTunedNginx},
	{"HAProxy", startTunedHAProxy},
	{"Caddy", startTunedCaddy},
}

// tuned returns the block of docs/tuning.md in a language, changed where it must be: old and new in turns. Each old text must be there.
func tuned(t *testing.T, language string, changes ...string) string {
	t.Helper()
	const page = "../../docs/tuning.md"
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	_, block, begun := strings.Cut(string(text), "\n```"+language+"\n")
	block, _, ended := strings.Cut(block, "\n```\n")
	if !begun || !ended {
		t.Fatalf("%s has no block of %s", page, language)
	}
	for i := 0; i < len(changes); i += 2 {
		if !strings.Contains(block, changes[i]) {
			t.Fatalf("the block of %s in %s has no %q", language, page, changes[i])
		}
		block = strings.ReplaceAll(block, changes[i], changes[i+1])
	}
	return block + "\n"
}

const grace = "200ms" // that old processes get after a reload

func startTunedNginx(t *testing.T, s *site, changes ...string) *proxy {
	t.Helper()
	p := &proxy{name: "nginx", addr: freeAddr(t), folder: t.TempDir(), file: "nginx.conf"}
	globals := "daemon off; pid nginx.pid;"
	if os.Geteuid() == 0 {
		globals += " user root;"
	}
	p.command = []string{"nginx", "-p", p.folder, "-c", p.file, "-e", "stderr", "-g", globals}
	p.reload = func(t *testing.T) { p.signal(t, syscall.SIGHUP) } // as "nginx -s reload" does
	folders := "\n\taccess_log off;"
	for _, name := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		folders += "\n\t" + name + "_temp_path " + name + ";"
	}
	p.launch(t, tuned(t, "nginx", append(changes,
		"\nhttp {", "\nhttp {"+folders,
		"listen 80;", "listen "+p.addr+";",
		"127.0.0.1:8080", s.addr,
		"worker_processes auto;", "worker_processes 2;",
		"worker_rlimit_nofile 131072;", "",
		"worker_connections 65536;", "worker_connections 256;",
		"worker_shutdown_timeout 30s;", "worker_shutdown_timeout "+grace+";",
		"retry: 2000", "retry: 50")...))
	return p
}

func startTunedHAProxy(t *testing.T, s *site, changes ...string) *proxy {
	t.Helper()
	p := &proxy{name: "HAProxy", addr: freeAddr(t), folder: t.TempDir(), file: "haproxy.cfg"}
	p.command = []string{"haproxy", "-W", "-f", p.file}
	p.reload = func(t *testing.T) { p.signal(t, syscall.SIGUSR2) } // as "systemctl reload haproxy" does
	p.write(t, "restarting.http", tuned(t, "http", "retry: 2000", "retry: 50"))
	p.launch(t, tuned(t, "haproxy", append(changes,
		"bind :80", "bind "+p.addr,
		"127.0.0.1:8080", s.addr,
		"maxconn 50000", "maxconn 256",
		"hard-stop-after 30s", "hard-stop-after "+grace,
		"/etc/haproxy/restarting.http", "restarting.http")...))
	return p
}

func startTunedCaddy(t *testing.T, s *site, changes ...string) *proxy {
	t.Helper()
	return startCaddy(t, s, "http", changes...)
}

func startCaddy(t *testing.T, s *site, scheme string, changes ...string) *proxy {
	t.Helper()
	p := &proxy{name: "Caddy", addr: freeAddr(t), folder: t.TempDir(), file: "Caddyfile"}
	admin := freeAddr(t)
	host, _, _ := net.SplitHostPort(p.addr)
	p.command = []string{"caddy", "run", "--config", p.file}
	p.reload = func(t *testing.T) {
		t.Helper()
		// It isn't asked to do anything if nothing has changed.
		if err := p.run(t, "caddy", "reload", "--config", p.file, "--address", admin, "--force").Run(); err != nil {
			t.Fatalf("caddy reload: %v", err)
		}
	}
	p.launch(t, tuned(t, "caddyfile", append(changes,
		"example.com {", scheme+"://"+p.addr+" {\n\tbind "+host, // the address alone isn't what it listens on
		"127.0.0.1:8080", s.addr,
		"grace_period 30s", "grace_period "+grace+"\n\tadmin "+admin,
		"retry: 2000", "retry: 50")...))
	return p
}

// behindTuned runs a test behind each of the proxies.
func behindTuned(t *testing.T, setup func(*site), test func(t *testing.T, s *site, p *proxy)) {
	t.Parallel()
	for _, tt := range tunedProxies {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			if setup != nil {
				setup(s)
			}
			s.start(nil)
			test(t, s, tt.start(t, s))
		})
	}
}

// awaitParked waits until the broker has n open streams, none of them with a goroutine.
func (s *site) awaitParked(n int) {
	s.t.Helper()
	poll(s.t, fmt.Sprintf("%d parked streams", n), func() bool {
		stats := s.broker.Stats()
		return stats.Connections == n && stats.Parked == n
	})
}

func TestBehindTunedProxiesEventsArriveAtOnce(t *testing.T) {
	behindTuned(t, nil, func(t *testing.T, s *site, p *proxy) {
		c := startCurl(t, "http://"+p.addr+"/events")
		c.awaitFrames(t, 3) // nothing was published
		s.awaitParked(1)
		for i := range 5 { // each arrives before the next is published
			s.publish(1)
			frame := c.awaitFrames(t, 4+i)[3+i]
			if field(frame, "data") != fmt.Sprint(i+1) {
				t.Errorf("got %q, want event %d", frame, i+1)
			}
		}
		s.awaitParked(1) // still
	})
}

// Who leaves is noticed by his leaving: there is no heartbeat within the time that the test waits.
func TestBehindTunedProxiesLeavingReachesTheBroker(t *testing.T) {
	behindTuned(t, func(s *site) { s.Options.Heartbeat = 10 * patience }, func(t *testing.T, s *site, p *proxy) {
		var all []*curl
		for range 3 {
			c := startCurl(t, "http://"+p.addr+"/events")
			c.awaitFrames(t, 3)
			all = append(all, c)
		}
		s.awaitParked(3)
		all[0].kill()
		s.awaitParked(2)
		all[1].kill()
		all[2].kill()
		s.awaitParked(0)
	})
}

// HTTP/2 to the browser, HTTP/1.1 to the broker: many streams on one connection there, and none holds a goroutine here.
func TestStreamsOfHTTP2AreParkedBehindAProxy(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.Options.Heartbeat = 10 * patience
	s.start(nil)
	p := startCaddy(t, s, "https",
		"{\n\tgrace_period", "{\n\tskip_install_trust\n\tauto_https disable_redirects\n\tgrace_period", // no other port, no trace on the machine
		"\treverse_proxy", "\ttls internal\n\treverse_proxy")
	trust := &tls.Config{InsecureSkipVerify: true} // Caddy has made an authority of its own
	poll(t, "a certificate", func() bool {
		conn, err := tls.Dial("tcp", p.addr, trust)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	var dials atomic.Int64
	transport := &http.Transport{
		ForceAttemptHTTP2: true,
		TLSClientConfig:   trust,
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			dials.Add(1)
			return new(net.Dialer).DialContext(ctx, network, addr)
		},
	}
	defer transport.CloseIdleConnections()
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	const streams = 8 // more than a browser has connections
	var all []*bufio.Scanner
	for range streams {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+p.addr+"/events", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := (&http.Client{Transport: transport}).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		all = append(all, bufio.NewScanner(resp.Body))
	}
	if dials.Load() != 1 {
		t.Errorf("%d connections to the proxy, want one for all", dials.Load())
	}
	s.awaitParked(streams)
	s.publish(1)
	for _, lines := range all {
		for lines.Scan() && lines.Text() != "data: 1" {
		}
		if err := lines.Err(); err != nil {
			t.Error(err)
		}
	}
	leave()
	s.awaitParked(0)
}

func TestBehindTunedProxiesACursorResumes(t *testing.T) {
	behindTuned(t, nil, func(t *testing.T, s *site, p *proxy) {
		url := "http://" + p.addr + "/events"
		seen := s.send(push.Event{Data: []byte("seen")})
		missed := s.send(push.Event{Data: []byte("missed")})
		for name, c := range map[string]*curl{
			"Last-Event-ID": startCurl(t, "-H", "Last-Event-ID: "+seen, url),
			"?cursor=":      startCurl(t, url+"?cursor="+seen),
		} {
			frames := c.awaitFrames(t, 4)
			if o := parse[opened](t, field(frames[2], "data")); o.State != "resumed" || o.Replay != 1 {
				t.Errorf("by %s: %+v, want resumed with 1", name, o)
			}
			if field(frames[3], "id") != missed {
				t.Errorf("by %s: got %q, want %q", name, frames[3], missed)
			}
		}
		s.awaitParked(2)
	})
}

func TestBehindTunedProxiesHeartbeatsKeepAQuietStream(t *testing.T) {
	changes := map[string][]string{ // of the time that a stream may be silent, to 3 s
		"nginx":   {"proxy_read_timeout 60s;", "proxy_read_timeout 3s;"},
		"HAProxy": {"timeout server 60s", "timeout server 3s", "timeout client 60s", "timeout client 3s"},
	}
	t.Parallel()
	for _, tt := range tunedProxies {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			s.Options.Heartbeat = 300 * time.Millisecond
			s.start(nil)
			p := tt.start(t, s, changes[tt.name]...)
			got := &events{}
			followWith(t, followTmaxmax, "http://"+p.addr+"/events", got)
			got.awaitNth(t, "buffkit.ping", 13) // over 3.6 s
			s.publish(1)
			got.awaitLast(t, 1, 1)
			if opens := opens(t, got.all()); len(opens) != 1 {
				t.Errorf("%s cut the stream: %q", p.name, opens)
			}
			s.awaitParked(1)
		})
	}
}

func TestBehindTunedProxiesAReloadOrRestartLosesNothing(t *testing.T) {
	behindTuned(t, nil, func(t *testing.T, s *site, p *proxy) {
		page := openPage(t, following(s, p.addr, "/events"))
		page.awaitNth(t, "buffkit.open", 1)
		s.publish(2)
		page.awaitLast(t, 1, 2)

		p.reload(t)
		s.publish(2) // to the old process, the new one, or nobody
		page.awaitLast(t, 1, 4)
		if p.name != "Caddy" { // whose streams go on under the old configuration
			page.awaitNth(t, "buffkit.open", 2)
		}
		s.publish(2)
		page.awaitLast(t, 1, 6)

		p.stop(t)
		s.publish(2)
		p.start(t)
		page.awaitLast(t, 1, 8)
		s.publish(1)
		page.awaitLast(t, 1, 9)
		if opens := opens(t, page.all()); len(opens) < 2 || slices.ContainsFunc(opens[1:], notResumed) {
			t.Errorf("told %q", opens)
		}
		s.awaitParked(1)
	})
}

func notResumed(open string) bool { return !strings.HasPrefix(open, "resumed ") }

func TestBehindTunedProxiesAnEventSourceOutlivesARestartOfTheServer(t *testing.T) {
	behindTuned(t, nil, func(t *testing.T, s *site, p *proxy) {
		page := openPage(t, following(s, p.addr, "/events"))
		page.awaitNth(t, "buffkit.open", 1)
		s.publish(2)
		page.awaitLast(t, 1, 2)
		s.crash()
		s.publish(2)
		page.awaitNth(t, "error", 2) // the proxy has answered for the server
		s.start(nil)
		s.publish(2)
		page.awaitLast(t, 1, 6)

		s.stop()
		page.await(t, "the goodbye", func(notes []note) bool {
			return strings.Contains(strings.Join(of("buffkit.bye", notes), ""), `"draining"`)
		})
		s.start(nil)
		s.publish(1)
		page.awaitLast(t, 1, 7)
		s.awaitParked(1)
	})
}

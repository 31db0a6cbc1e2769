package hub_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/buffkit/buffkit/cmd/buffkit/internal/access"
	"github.com/buffkit/buffkit/cmd/buffkit/internal/hub"
	"github.com/buffkit/buffkit/eventlog"
	"github.com/buffkit/buffkit/eventlog/pglog"
	"github.com/buffkit/buffkit/eventlog/redislog"
	"github.com/buffkit/buffkit/eventlog/sqlitelog"
	"github.com/buffkit/buffkit/internal/servers"
	"github.com/buffkit/buffkit/push"
	"github.com/buffkit/buffkit/sessionstore"
	"github.com/buffkit/buffkit/sessionstore/redisstore"
)

// mortal is a server that a test kills.
type mortal interface {
	Kill() error
	Start() error
	Stop() error
}

// outages are logs that are kept on a server, and sessions where it can keep them too.
var outages = []struct {
	name  string
	start func(t *testing.T) (mortal, eventlog.Log, sessionstore.Store)
}{
	{"redis", func(t *testing.T) (mortal, eventlog.Log, sessionstore.Store) {
		server, err := servers.Redis("--appendonly", "yes", "--appendfsync", "always")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { stopped(t, server) })
		log, err := redislog.Open(t.Context(), &redislog.Options{Addrs: []string{server.Addr}, Timeout: 200 * time.Millisecond,
			Replica: &eventlog.ReplicaOptions{Logger: slog.New(slog.DiscardHandler)}})
		opened(t, log, err)
		sessions, err := redisstore.Open(t.Context(), &redisstore.Options{Addrs: []string{server.Addr}, Timeout: 200 * time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = sessions.Close() })
		return server, log, sessions
	}},
	{"postgres", func(t *testing.T) (mortal, eventlog.Log, sessionstore.Store) {
		server, err := servers.PostgresWith()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { stopped(t, server) })
		log, err := pglog.Open(t.Context(), server.URL(""), &pglog.Options{Migrate: true, Logger: slog.New(slog.DiscardHandler),
			Replica: eventlog.ReplicaOptions{Logger: slog.New(slog.DiscardHandler)}})
		return server, opened(t, log, err), nil
	}},
}

func TestWhileItsServerIsDownTheHubSaysSo(t *testing.T) {
	t.Parallel()
	for _, tt := range outages {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			server, log, sessions := tt.start(t)
			var logged lines
			b := startWith(t, log, &hub.Options{Push: push.Options{Sessions: sessions}, Logger: slog.New(slog.NewTextHandler(&logged, nil))})
			auth := []string{"Authorization", "Bearer " + b.token("news", "*")}
			b.publish("news", "before", auth...)
			b.awaitMetric("buffkit_log_down 0", auth)

			if err := server.Kill(); err != nil {
				t.Fatal(err)
			}
			b.awaitMetric("buffkit_log_down 1", auth)
			if sessions != nil {
				b.awaitMetric("buffkit_sessions_down 1", auth)
			}
			keyed := append(slices.Clone(auth), "Idempotency-Key", "k")
			for _, a := range []answer{
				b.do("POST", "/events?topic=news", "x", keyed...),
				b.do("POST", "/events?topic=news", `{"data":"x"}`, append(slices.Clone(auth), "Content-Type", ndjson)...),
				b.do("GET", "/history?topic=news&after=1.1", "", auth...),
			} {
				code, message := a.problem(t)
				if a.status != 503 || a.header.Get("Retry-After") == "" || code != "unavailable" && code != "unknown_outcome" {
					t.Errorf("%d %v %s", a.status, a.header, a.body)
				}
				if strings.Contains(message, "127.0.0.1") || strings.Contains(message, "dial") {
					t.Errorf("it tells strangers %q", message)
				}
			}
			if got := b.history("topic=news", auth...).data(); !slices.Equal(got, []string{"before"}) {
				t.Errorf("what is in memory: %q", got)
			}
			b.do("GET", "/readyz", "").want(t, 503, "not_ready", "")
			if !strings.Contains(logged.String(), "connection refused") {
				t.Errorf("the server's log has %s", logged.String())
			}

			if err := server.Start(); err != nil {
				t.Fatal(err)
			}
			b.awaitMetric("buffkit_log_down 0", auth)
			first := b.publish("news", "x", keyed...)
			if again := b.publish("news", "x", keyed...); again != first {
				t.Errorf("got %s, then %s", first, again)
			}
			if got := b.history("topic=news", auth...).data(); slices.Index(got, "before") != 0 || !slices.Contains(got, "x") {
				t.Errorf("afterwards there is %q", got)
			}
			if sessions != nil {
				b.awaitMetric("buffkit_sessions_down 0", auth)
			}
		})
	}
}

// lines is what a logger has written.
type lines struct {
	mu   sync.Mutex // guards text
	text strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// startWith starts a hub with access tokens on a log of the test's own.
func startWith(t *testing.T, log eventlog.Log, opts *hub.Options) *bundle {
	t.Helper()
	keys, err := access.ParseKeys(access.NewSecret())
	if err != nil {
		t.Fatal(err)
	}
	h, err := hub.New(log, keys, opts)
	if err != nil {
		t.Fatal(err)
	}
	b := &bundle{t: t, hub: h, log: log, keys: keys}
	b.serve()
	return b
}

// refusing is a log whose answer to an append is an error.
type refusing struct {
	eventlog.Log
	err error
}

func (l refusing) Append(context.Context, ...eventlog.Event) ([]eventlog.Cursor, error) {
	return nil, l.err
}

func TestAPublisherIsToldWhatBecameOfItsEvents(t *testing.T) {
	t.Parallel()
	secret := errors.New("dial tcp 10.0.0.7:5432: password of ann is wrong")
	for _, tt := range []struct {
		name       string
		err        error
		code, text string
	}{
		{"anything that goes wrong at the log", secret, "unavailable", "nothing was stored"},
		{"a log without room", fmt.Errorf("%w: %w", eventlog.ErrFull, secret), "full", "nothing was stored"},
		{"an answer that was lost", fmt.Errorf("%w: %w", eventlog.ErrUnknownOutcome, secret), "unknown_outcome", "the same Idempotency-Key"},
		{"an answer that was lost when the hub ended", fmt.Errorf("%w: %w", eventlog.ErrClosed, eventlog.ErrUnknownOutcome), "unknown_outcome", ""},
		{"a node that can't see it yet", fmt.Errorf("%w: %w", eventlog.ErrNotVisible, secret), "not_visible", "it is stored"},
		{"a log that is closed", eventlog.ErrClosed, "closed", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := startOn(t, refusing{eventlog.NewMemory(nil), tt.err}, &hub.Options{})
			for _, a := range []answer{
				b.do("POST", "/events?topic=news", "x"),
				b.do("POST", "/events?topic=news", `{"data":"x"}`, "Content-Type", ndjson),
			} {
				a.want(t, 503, tt.code, tt.text)
				if a.header.Get("Retry-After") == "" || strings.Contains(a.body, "10.0.0.7") {
					t.Errorf("%v %s", a.header, a.body)
				}
			}
		})
	}
}

func TestAFileThatWasDeletedIsTold(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	log, err := sqlitelog.Open(t.Context(), filepath.Join(folder, "log.db"), &sqlitelog.Options{
		Replica: eventlog.ReplicaOptions{Logger: slog.New(slog.DiscardHandler)}})
	var logged lines
	b := startWith(t, opened(t, log, err), &hub.Options{CheckInterval: time.Nanosecond, Logger: slog.New(slog.NewTextHandler(&logged, nil))})
	auth := []string{"Authorization", "Bearer " + b.token("news", "*")}
	b.publish("news", "before", auth...)
	if a := b.do("GET", "/readyz", ""); a.status != 200 {
		t.Errorf("before: %d %s", a.status, a.body)
	}
	if err := os.RemoveAll(folder); err != nil {
		t.Fatal(err)
	}
	a := b.do("POST", "/events?topic=news", "lost", auth...)
	a.want(t, 503, "unavailable", "see the server's log")
	if a.header.Get("Retry-After") == "" || strings.Contains(a.body, folder) {
		t.Errorf("%v %s", a.header, a.body)
	}
	b.do("GET", "/readyz", "").want(t, 503, "not_ready", "")
	for _, line := range []string{"request failed", "not ready"} {
		if !slices.ContainsFunc(strings.Split(logged.String(), "\n"), func(l string) bool {
			return strings.Contains(l, line) && strings.Contains(l, "deleted or moved")
		}) {
			t.Errorf("the server's log has no %q that says why: %s", line, logged.String())
		}
	}
	if got := b.history("topic=news", auth...).data(); !slices.Equal(got, []string{"before"}) {
		t.Errorf("kept %q", got)
	}
}

func TestAFullDiskIsToldAndLosesNothing(t *testing.T) {
	t.Parallel()
	disk, err := servers.NewSmallDisk(4 << 20)
	if errors.Is(err, servers.ErrNoMount) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := disk.Remove(); err != nil {
			t.Error(err)
		}
	})
	log, err := sqlitelog.Open(t.Context(), filepath.Join(disk.Dir, "log.db"), &sqlitelog.Options{
		Replica: eventlog.ReplicaOptions{Logger: slog.New(slog.DiscardHandler)}})
	b := startOn(t, opened(t, log, err), &hub.Options{})
	b.publish("news", "before")
	if err := disk.Fill(); err != nil {
		t.Fatal(err)
	}
	large := strings.Repeat("x", 500_000)
	a := b.do("POST", "/events?topic=news", large, "Idempotency-Key", "k")
	if code, _ := a.problem(t); a.status != 503 || code != "full" || a.header.Get("Retry-After") == "" {
		t.Errorf("%d %v %s", a.status, a.header, a.body)
	}
	if err := disk.MakeRoom(); err != nil {
		t.Fatal(err)
	}
	b.publish("news", large, "Idempotency-Key", "k")
	if got := b.history("topic=news").data(); len(got) != 2 || got[0] != "before" || got[1] != large {
		t.Errorf("%d events are kept", len(got))
	}
}

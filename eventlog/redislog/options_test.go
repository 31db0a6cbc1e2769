package redislog_test

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/buffkit/buffkit/eventlog"
	"github.com/buffkit/buffkit/eventlog/redislog"
	"github.com/buffkit/buffkit/internal/servers"
)

func TestParseURL(t *testing.T) {
	t.Parallel()
	tests := []struct {
		url  string
		want redislog.Options
	}{
		{"redis://localhost", redislog.Options{Addrs: []string{"localhost:6379"}}},
		{"redis://user:p%40ss@h:1234/2?prefix=app&connections=4", redislog.Options{Addrs: []string{"h:1234"}, Username: "user", Password: "p@ss", DB: 2,
			Prefix: "app", Connections: 4}},
		{"redis://:secret@[::1]", redislog.Options{Addrs: []string{"[::1]:6379"}, Password: "secret"}},
		{"valkey://a,b:7000,c", redislog.Options{Addrs: []string{"a:6379", "b:7000", "c:6379"}}},
		{"redis://s1,s2:5/?sentinel=events&timeout=3s&count=50&age=-1s", redislog.Options{Addrs: []string{"s1:26379", "s2:5"}, Sentinel: "events",
			Timeout: 3 * time.Second, Retention: eventlog.Retention{Count: 50, Age: -time.Second}}},
	}
	for _, tt := range tests {
		t.Run(tt.url, func(t *testing.T) {
			got, err := redislog.ParseURL(tt.url)
			if err != nil || !reflect.DeepEqual(*got, tt.want) {
				t.Errorf("got %+v, %v; want %+v", got, err, tt.want)
			}
		})
	}
	if o, err := redislog.ParseURL("rediss://h"); err != nil || o.TLS == nil {
		t.Errorf("rediss: %+v, %v; want TLS", o, err)
	}
}

func TestBadURLsAreExplained(t *testing.T) {
	t.Parallel()
	tests := []struct{ url, want string }{
		{"http://h", "rediss"},
		{"redis://", "no host"},
		{"redis://h/zero", "number of the database"},
		{"redis://h?prefx=a", "prefix"},
		{"redis://h?timeout=5", "timeout"},
		{"redis://h?prefix=a&prefix=b", "once"},
		{"redis://u:se cret%zz@h", "escape"},
	}
	for _, tt := range tests {
		t.Run(tt.url, func(t *testing.T) {
			_, err := redislog.ParseURL(tt.url)
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "cret") {
				t.Errorf("error %v, want one that says %q and no password", err, tt.want)
			}
		})
	}
}

func TestBadOptionsAreRefused(t *testing.T) {
	t.Parallel()
	tests := []struct {
		want string
		opts redislog.Options
	}{
		{"Prefix", redislog.Options{Prefix: "{a}"}},
		{"Connections", redislog.Options{Connections: 3}},
		{"host:port", redislog.Options{Addrs: []string{"localhost"}}},
		{"IdempotencyWindow", redislog.Options{IdempotencyWindow: -1}},
		{"does Redis run", redislog.Options{Addrs: []string{"127.0.0.1:1"}, Timeout: time.Second}},
	}
	for _, tt := range tests {
		if _, err := redislog.OpenStore(t.Context(), &tt.opts); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("error %v, want one that says %q", err, tt.want)
		}
	}
}

func TestCheckFindsWhatLosesEvents(t *testing.T) {
	t.Parallel()
	good := []string{"--appendonly", "yes", "--appendfsync", "always", "--maxmemory", "100mb"}
	tests := []struct {
		name string
		args []string
		want map[redislog.Level][]string // a word of each finding that isn't fine
	}{
		{"a careful server", good, nil},
		{"the default", nil, map[redislog.Level][]string{redislog.Warning: {"appendonly", "maxmemory isn't set"}}},
		{"everysec and eviction", append(good[:len(good):len(good)], "--appendfsync", "everysec", "--maxmemory-policy", "allkeys-lru"),
			map[redislog.Level][]string{redislog.Warning: {"appendfsync"}, redislog.Problem: {"maxmemory-policy"}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			server := own(t, servers.Redis, tt.args...)
			wantFindings(t, server.Addr, tt.want)
		})
	}
	t.Run("a replica that nobody waits for", func(t *testing.T) {
		t.Parallel()
		p := startPair(t)
		wantFindings(t, p.master.Addr, map[redislog.Level][]string{redislog.Warning: {"appendonly", "maxmemory isn't set", "min-replicas-to-write"}})
	})
}

func wantFindings(t *testing.T, addr string, want map[redislog.Level][]string) {
	t.Helper()
	found, err := redislog.Check(t.Context(), &redislog.Options{Addrs: []string{addr}})
	if err != nil {
		t.Fatal(err)
	}
	got := map[redislog.Level][]string{}
	for _, f := range found {
		if (f.Level == redislog.Fine) != (f.Change == "") {
			t.Errorf("%+v: what isn't fine has something to change", f)
		}
		if f.Level != redislog.Fine {
			got[f.Level] = append(got[f.Level], f.What)
		}
	}
	for _, level := range []redislog.Level{redislog.Problem, redislog.Warning} {
		if len(got[level]) != len(want[level]) {
			t.Errorf("%s: found %q, want %q", level, got[level], want[level])
			continue
		}
		for i := range want[level] {
			if !strings.Contains(got[level][i], want[level][i]) {
				t.Errorf("%s: found %q, want %q", level, got[level][i], want[level][i])
			}
		}
	}
}

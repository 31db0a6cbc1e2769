package redislog_test

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/buffkit/buffkit/eventlog"
	"github.com/buffkit/buffkit/eventlog/redislog"
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

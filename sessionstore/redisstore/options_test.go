package redisstore_test

import (
	"strings"
	"testing"
	"time"

	"github.com/buffkit/buffkit/sessionstore/redisstore"
)

func TestParseURL(t *testing.T) {
	t.Parallel()
	o, err := redisstore.ParseURL("rediss://ada:secret@one,two:7000/3?prefix=app&sentinel=main&sentinel_password=other&connections=4&timeout=2s&dial_timeout=1s")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Join(o.Addrs, " ") != "one:26379 two:7000" || o.Username != "ada" || o.Password != "secret" || o.DB != 3 || o.TLS == nil || o.Prefix != "app" ||
		o.Sentinel != "main" || o.SentinelPassword != "other" || o.Connections != 4 || o.Timeout != 2*time.Second || o.DialTimeout != time.Second {
		t.Errorf("it was read as %+v", o)
	}
	for url, want := range map[string]string{
		"redis://host?age=1h":       "leave them out",
		"redis://host?max_bytes=10": "leave them out",
		"redis://host?nonsense=1":   "nonsense",
		"mysql://host":              "must be redis",
	} {
		if _, err := redisstore.ParseURL(url); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want an error that says %q", url, err, want)
		}
	}
}

func TestBadOptionsAreExplained(t *testing.T) {
	t.Parallel()
	for want, o := range map[string]redisstore.Options{
		"hash tag":        {Prefix: "a{b}"},
		"power of two":    {Connections: 3},
		"a second":        {Keep: time.Millisecond},
		"host:port":       {Addrs: []string{"localhost"}},
		"does Redis run?": {Addrs: []string{"127.0.0.1:1"}, Timeout: 100 * time.Millisecond},
	} {
		if _, err := redisstore.Open(t.Context(), &o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want an error that says %q", o, err, want)
		}
	}
}

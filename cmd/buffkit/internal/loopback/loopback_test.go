package loopback_test

import (
	"net"
	"testing"

	"github.com/buffkit/buffkit/cmd/buffkit/internal/loopback"
)

func TestNamesOfThisMachine(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]bool{
		"localhost": true, "localhost:8080": true, "LOCALHOST.": true, "app.localhost:1": true, "127.0.0.1:8080": true,
		"127.9.9.9": true, "[::1]:8080": true, "[::1]": true, "::1": true, "[::ffff:127.0.0.1]:80": true,
		"": false, ":8080": false, "evil.example": false, "evil.example:8080": false, "localhost.evil.example": false,
		"notlocalhost": false, "192.168.1.1": false, "[::2]:80": false, "0.0.0.0": false, "127.0.0.1.evil.example": false,
	} {
		if got := loopback.IsName(name); got != want {
			t.Errorf("%q: %v", name, got)
		}
	}
}

func TestListenersOfThisMachine(t *testing.T) {
	t.Parallel()
	for addr, want := range map[string]bool{"127.0.0.1:0": true, ":0": false} {
		ln, err := net.Listen("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		if got := loopback.Listens(ln); got != want {
			t.Errorf("%s: %v", ln.Addr(), got)
		}
	}
}

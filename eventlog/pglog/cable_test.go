package pglog_test

import (
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/buffkit/buffkit/internal/servers"
)

// cable is a TCP proxy that can be cut, can refuse, can go dead (what is sent then arrives nowhere, and nobody is told), and can lead elsewhere.
type cable struct {
	net.Listener
	dead, refuse atomic.Bool

	mu    sync.Mutex // guards what follows
	to    string
	conns []net.Conn
	all   sync.WaitGroup
}

func newCable(t *testing.T, to string) *cable {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cable{Listener: l, to: to}
	c.all.Go(c.accept)
	t.Cleanup(func() {
		_ = l.Close()
		c.cut()
		c.all.Wait()
	})
	return c
}

func (c *cable) accept() {
	for {
		in, err := c.Accept()
		if err != nil {
			return
		}
		if c.refuse.Load() {
			_ = in.Close()
			continue
		}
		c.mu.Lock()
		to := c.to
		c.mu.Unlock()
		out, err := net.Dial("tcp", to)
		if err != nil {
			_ = in.Close()
			continue
		}
		c.mu.Lock()
		c.conns = append(c.conns, in, out)
		c.mu.Unlock()
		c.all.Go(func() { c.copy(in, out) })
		c.all.Go(func() { c.copy(out, in) })
	}
}

func (c *cable) copy(from, to net.Conn) {
	defer to.Close()
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		if c.dead.Load() {
			_, _ = io.Copy(io.Discard, from)
			return
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}

// cut ends all connections, which both ends notice.
func (c *cable) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range c.conns {
		_ = conn.Close()
	}
	c.conns = nil
}

// redirect leads new connections to another server.
func (c *cable) redirect(to string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.to = to
}

// requirePasswords makes a server ask for them.
func requirePasswords(t *testing.T, server *servers.PostgresDB) {
	t.Helper()
	rule := "host all postgres 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\n"
	if err := os.WriteFile(filepath.Join(server.Dir, "data", "pg_hba.conf"), []byte(rule), 0o644); err != nil {
		t.Fatal(err)
	}
	exec(t, server.URL(""), "SELECT pg_reload_conf()")
	until(t, "the server to ask", func() bool {
		return strings.Contains(server.Log(), "reloading configuration files")
	})
}

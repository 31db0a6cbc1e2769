package sqlsessions

import (
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/go-sql-driver/mysql"
)

// cable is a TCP proxy. It can be cut at once, or when something comes back that an answer was sent for.
type cable struct {
	net.Listener
	to   string
	deaf atomic.Bool // an answer isn't delivered: the cable is cut instead

	mu    sync.Mutex // guards what follows
	conns []net.Conn
	all   sync.WaitGroup
}

// overCable lets a connection string go through a cable.
func overCable(t *testing.T, driver, dsn string) (c *cable, through string) {
	t.Helper()
	if driver == "mysql" {
		config, err := mysql.ParseDSN(dsn)
		if err != nil {
			t.Fatal(err)
		}
		c = newCable(t, config.Addr)
		config.Addr = c.Addr().String()
		return c, config.FormatDSN()
	}
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	c = newCable(t, u.Host)
	u.Host = c.Addr().String()
	return c, u.String()
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
		out, err := net.Dial("tcp", c.to)
		if err != nil {
			_ = in.Close()
			continue
		}
		c.mu.Lock()
		c.conns = append(c.conns, in, out)
		c.mu.Unlock()
		c.all.Go(func() { c.copy(in, out, nil) })
		c.all.Go(func() { c.copy(out, in, &c.deaf) })
	}
}

func (c *cable) copy(from, to net.Conn, deaf *atomic.Bool) {
	defer to.Close()
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		if deaf != nil && deaf.Load() {
			c.cut()
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

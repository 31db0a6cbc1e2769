package sqlsessions

import (
	"math"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/go-sql-driver/mysql"
)

// cable is a TCP proxy that can be cut when an answer comes back.
type cable struct {
	net.Listener
	to   string
	left atomic.Int64 // answers that are delivered before it is cut

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
	c.heal()
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
		c.all.Go(func() { c.copy(in, out, false) })
		c.all.Go(func() { c.copy(out, in, true) })
	}
}

// cutAfter lets some answers through, and then ends all connections instead of delivering one.
func (c *cable) cutAfter(answers int64) { c.left.Store(answers) }

// answers is how many have come through since it was healed.
func (c *cable) answers() int64 { return math.MaxInt64 - c.left.Load() }

func (c *cable) heal() { c.left.Store(math.MaxInt64) }

func (c *cable) copy(from, to net.Conn, answers bool) {
	defer to.Close()
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		if answers && c.left.Add(-1) == -1 {
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

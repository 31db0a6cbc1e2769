package pushtest_test

import (
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/buffkit/buffkit/push/pushtest"
)

// wire is a client and a server, connected through a proxy.
type wire struct {
	proxy          *pushtest.Proxy
	client, server *net.TCPConn
}

func connect(t *testing.T) *wire {
	t.Helper()
	listener := listen(t)
	w := &wire{proxy: pushtest.NewProxy(t, listener.Addr().String())}
	w.client = dial(t, w.proxy)
	w.server = accept(t, listener)
	return w
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	return listener
}

func dial(t *testing.T, proxy *pushtest.Proxy) *net.TCPConn {
	t.Helper()
	conn, err := net.Dial("tcp", proxy.Addr)
	if err != nil {
		t.Fatal(err)
	}
	return ready(t, conn)
}

func accept(t *testing.T, listener net.Listener) *net.TCPConn {
	t.Helper()
	conn, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return ready(t, conn)
}

// ready gives up after a time in which even a slow machine would have got further.
func ready(t *testing.T, conn net.Conn) *net.TCPConn {
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(30 * time.Second))
	return conn.(*net.TCPConn)
}

func write(t *testing.T, to net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(to, text); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, from net.Conn, want string) {
	t.Helper()
	buf := make([]byte, len(want))
	if _, err := io.ReadFull(from, buf); err != nil || string(buf) != want {
		t.Fatalf("read %q, %v, want %q", buf, err, want)
	}
}

// readError wants no more bytes, but an error.
func readError(t *testing.T, from net.Conn, want error) {
	t.Helper()
	if n, err := from.Read(make([]byte, 1)); n > 0 || !errors.Is(err, want) {
		t.Errorf("read %d bytes and %v, want %v", n, err, want)
	}
}

// silence wants nothing to come for a moment.
func silence(t *testing.T, from net.Conn) {
	t.Helper()
	from.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	readError(t, from, os.ErrDeadlineExceeded)
	from.SetReadDeadline(time.Now().Add(30 * time.Second))
}

func TestProxyPassesBytesBothWays(t *testing.T) {
	t.Parallel()
	w := connect(t)
	write(t, w.client, "hello")
	read(t, w.server, "hello")
	write(t, w.server, "world")
	read(t, w.client, "world")
	w.server.Close()
	readError(t, w.client, io.EOF)
	w.client.Close()
	eventually(t, "no connections are left", func() bool { return len(w.proxy.Conns()) == 0 })
}

// eventually waits for what nobody tells.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(30 * time.Second); !holds(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

func TestProxyCutResetsBothEnds(t *testing.T) {
	t.Parallel()
	w := connect(t)
	if n := w.proxy.Cut(); n != 1 {
		t.Errorf("cut %d connections, want 1", n)
	}
	readError(t, w.client, syscall.ECONNRESET)
	readError(t, w.server, syscall.ECONNRESET)
	eventually(t, "no connections are left", func() bool { return len(w.proxy.Conns()) == 0 })
}

func TestProxyCutsOneConnection(t *testing.T) {
	t.Parallel()
	listener := listen(t)
	proxy := pushtest.NewProxy(t, listener.Addr().String())
	one, two := dial(t, proxy), dial(t, proxy)
	served := []*net.TCPConn{accept(t, listener), accept(t, listener)}
	i := slices.IndexFunc(proxy.Conns(), func(c *pushtest.Conn) bool { return c.Number() == 1 })
	proxy.Conns()[i].Cut()
	readError(t, one, syscall.ECONNRESET)
	write(t, two, "still there")
	for _, server := range served {
		text, err := io.ReadAll(io.LimitReader(server, int64(len("still there"))))
		if err == nil && string(text) != "still there" || err != nil && !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("a server read %q, %v", text, err)
		}
	}
	if proxy.Opened() != 2 {
		t.Errorf("%d connections were opened, want 2", proxy.Opened())
	}
}

func TestProxyStallIsABlackHole(t *testing.T) {
	t.Parallel()
	w := connect(t)
	w.proxy.Stall()
	write(t, w.client, "hello")
	write(t, w.server, "world")
	w.server.CloseWrite()
	silence(t, w.client)
	silence(t, w.server)
	w.proxy.Restore()
	read(t, w.server, "hello")
	read(t, w.client, "world")
	readError(t, w.client, io.EOF)
}

func TestProxyStallsNewConnectionsToo(t *testing.T) {
	t.Parallel()
	listener := listen(t)
	proxy := pushtest.NewProxy(t, listener.Addr().String())
	proxy.Stall()
	client := dial(t, proxy) // by the kernel, which knows nothing of it
	write(t, client, "hello")
	listener.(*net.TCPListener).SetDeadline(time.Now().Add(50 * time.Millisecond))
	if conn, err := listener.Accept(); err == nil {
		conn.Close()
		t.Error("a connection came through a black hole")
	}
	listener.(*net.TCPListener).SetDeadline(time.Time{})
	proxy.Restore()
	read(t, accept(t, listener), "hello")
}

func TestProxyCutsAStalledConnection(t *testing.T) {
	t.Parallel()
	w := connect(t)
	w.proxy.Stall()
	write(t, w.client, "hello")
	w.proxy.Cut()
	readError(t, w.server, syscall.ECONNRESET)
}

func TestProxyHalfClose(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name      string
		direction pushtest.Direction
		ends      func(w *wire) (reader, writer *net.TCPConn) // of the direction that is closed
	}{
		{"to the client", pushtest.ToClient, func(w *wire) (_, _ *net.TCPConn) { return w.client, w.server }},
		{"to the server", pushtest.ToServer, func(w *wire) (_, _ *net.TCPConn) { return w.server, w.client }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := connect(t)
			reader, writer := tt.ends(w)
			eventually(t, "the connection is through", func() bool { return len(w.proxy.Conns()) == 1 })
			w.proxy.Conns()[0].HalfClose(tt.direction)
			readError(t, reader, io.EOF)
			write(t, writer, "into the void")
			write(t, writer, "again")
			write(t, reader, "the other way")
			read(t, writer, "the other way")
		})
	}
}

func TestProxyThrottles(t *testing.T) {
	t.Parallel()
	w := connect(t)
	w.proxy.Throttle(10_000)
	began := time.Now()
	text := string(make([]byte, 3_000))
	write(t, w.client, text)
	read(t, w.server, text)
	if took := time.Since(began); took < 300*time.Millisecond { // a slow machine takes longer
		t.Errorf("3,000 bytes at 10,000 a second took %v", took)
	}
	w.proxy.Restore()
	began = time.Now()
	text = string(make([]byte, 1_000_000)) // 100 s when throttled
	go io.WriteString(w.client, text)
	read(t, w.server, text)
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("a million bytes without a limit took %v", took)
	}
}

func TestProxyRefuses(t *testing.T) {
	t.Parallel()
	w := connect(t)
	w.proxy.Refuse()
	isReset(t, w.proxy)
	write(t, w.client, "open ones stay")
	read(t, w.server, "open ones stay")
	w.proxy.Restore()
	write(t, dial(t, w.proxy), "x")
	eventually(t, "a new one is through", func() bool { return w.proxy.Opened() == 2 })
}

func TestProxyLeadsToAnotherTarget(t *testing.T) {
	t.Parallel()
	w := connect(t)
	other := listen(t)
	w.proxy.SetTarget(other.Addr().String())
	write(t, dial(t, w.proxy), "new")
	read(t, accept(t, other), "new")
	write(t, w.client, "old")
	read(t, w.server, "old")

	other.Close()
	isReset(t, w.proxy)
}

// isReset wants a new connection to be reset, which its client may see at once or when it reads.
func isReset(t *testing.T, proxy *pushtest.Proxy) {
	t.Helper()
	conn, err := net.Dial("tcp", proxy.Addr)
	if err == nil {
		readError(t, ready(t, conn), syscall.ECONNRESET)
	} else if !errors.Is(err, syscall.ECONNRESET) {
		t.Error(err)
	}
}

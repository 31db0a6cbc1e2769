package client_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/buffkit/buffkit/client"
)

// deaf is a connection whose network can be taken away without a word: what is written vanishes, and nothing comes.
type deaf struct {
	net.Conn
	gone   chan struct{} // closed when the network is away
	closed chan struct{}
	once   sync.Once
}

func (d *deaf) away() bool {
	select {
	case <-d.gone:
		return true
	default:
		return false
	}
}

func (d *deaf) Read(p []byte) (int, error) {
	n, err := d.Conn.Read(p)
	if d.away() {
		<-d.closed
		return 0, net.ErrClosed
	}
	return n, err
}

func (d *deaf) Write(p []byte) (int, error) {
	if d.away() {
		return len(p), nil
	}
	return d.Conn.Write(p)
}

func (d *deaf) Close() error {
	d.once.Do(func() { close(d.closed) })
	return d.Conn.Close()
}

// By HTTP/2 all requests to a host share a connection: one that is dead would be asked again and again.
func TestADeadConnectionIsNotAskedAgain(t *testing.T) {
	t.Parallel()
	for name, path := range map[string]string{"directly": "/events", "behind a redirect": "/moved"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/moved" {
					http.Redirect(w, r, "/events", http.StatusTemporaryRedirect)
					return
				}
				if r.ProtoMajor != 2 {
					t.Errorf("asked by %s", r.Proto)
				}
				w.Header().Set("Content-Type", "text/event-stream")
				io.WriteString(w, "data: a\n\n")
				http.NewResponseController(w).Flush()
				<-r.Context().Done()
			}))
			srv.EnableHTTP2 = true
			srv.StartTLS()
			t.Cleanup(func() { srv.CloseClientConnections(); srv.Close() })

			gone := make(chan struct{}) // for the connections of before
			transport := srv.Client().Transport.(*http.Transport)
			transport.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
				conn, err := new(net.Dialer).DialContext(ctx, network, addr)
				d := &deaf{Conn: conn, gone: gone, closed: make(chan struct{})}
				if d.away() {
					return conn, err
				}
				return d, err
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			cuts := 0
			opts := &client.Options{
				HTTP: srv.Client(), Watchdog: time.Second, OpenTimeout: 2 * time.Second, MinRetry: time.Millisecond, MaxRetry: time.Millisecond,
				OnDisconnect: func(error, time.Duration) {
					if cuts++; cuts > 3 {
						cancel()
					}
				},
			}
			var data []string
			for e, err := range client.Events(ctx, srv.URL+path, opts) {
				if err != nil {
					t.Fatal(err)
				}
				if data = append(data, string(e.Data)); len(data) == 2 {
					break
				}
				close(gone)
			}
			if !slices.Equal(data, []string{"a", "a"}) {
				t.Errorf("%d events after %d cuts, want the second after one", len(data), cuts)
			}
		})
	}
}

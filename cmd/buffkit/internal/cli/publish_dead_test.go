package cli_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/buffkit/buffkit/cmd/buffkit/internal/cli"
)

// pipes is a network in memory. What is written to a connection that was made before it was cut vanishes.
type pipes struct {
	conns chan net.Conn
	cuts  atomic.Int64
}

func (p *pipes) dial(context.Context, string, string) (net.Conn, error) {
	near, far := net.Pipe()
	p.conns <- far
	return &pipe{near, p, p.cuts.Load()}, nil
}

func (p *pipes) Accept() (net.Conn, error) {
	if conn, ok := <-p.conns; ok {
		return conn, nil
	}
	return nil, net.ErrClosed
}

func (p *pipes) Close() error   { close(p.conns); return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }

type pipe struct {
	net.Conn
	network *pipes
	made    int64
}

func (p *pipe) Write(b []byte) (int, error) {
	if p.network.cuts.Load() > p.made {
		return len(b), nil
	}
	return p.Conn.Write(b)
}

// By HTTP/2 all requests share a connection, and a request that times out doesn't end it.
func TestADeadConnectionIsGivenUp(t *testing.T) {
	t.Parallel()
	named := httptest.NewTLSServer(nil) // for its certificate
	named.Close()
	synctest.Test(t, func(t *testing.T) {
		network := &pipes{conns: make(chan net.Conn)}
		hub := &http.Server{
			ErrorLog:  log.New(io.Discard, "", 0),
			TLSConfig: &tls.Config{Certificates: named.TLS.Certificates},
			Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.ProtoMajor != 2 {
					t.Errorf("asked by %s", r.Proto)
				}
				fmt.Fprint(w, `{"ids":["k.1"]}`)
			}),
		}
		done := make(chan error)
		go func() { done <- hub.ServeTLS(network, "", "") }()
		post, end := cli.Poster("https://example.com/events", func(transport *http.Transport) {
			roots := x509.NewCertPool()
			roots.AddCert(named.Certificate())
			transport.DialContext, transport.TLSClientConfig = network.dial, &tls.Config{RootCAs: roots}
		})
		if err := post(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		network.cuts.Add(1)
		if err := post(t.Context(), 2); err != nil {
			t.Error(err)
		}
		end()
		hub.Close()
		<-done
	})
}

func TestPublishTriesForAsLongAsItSays(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		network := &pipes{conns: make(chan net.Conn)}
		began := time.Now()
		hub := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if time.Since(began) < 29900*time.Millisecond {
				w.WriteHeader(http.StatusBadGateway)
			}
			fmt.Fprint(w, `{"ids":["k.1"]}`)
		})}
		done := make(chan error)
		go func() { done <- hub.Serve(network) }()
		post, end := cli.Poster("http://example.com/events", func(transport *http.Transport) { transport.DialContext = network.dial })
		if err := post(t.Context(), 1); err != nil || time.Since(began) != 30*time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		end()
		hub.Close()
		<-done
	})
}

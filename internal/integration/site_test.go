package integration

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/buffkit/buffkit/eventlog"
	"github.com/buffkit/buffkit/push"
)

// retry is short, so that a test with many reconnects is quick. Clients are told half to one and a half of it.
const retry = 40 * time.Millisecond

// topic is what the tests publish on.
const topic = "news"

// site is a broker behind net/http. Its address, and its own log, stay when it is restarted. What is exported may be set
// before start.
type site struct {
	Options push.Options
	Grant   push.AuthorizeFunc              // default: push.Public(topic)
	Wrap    func(*push.Broker) http.Handler // what answers. Default: the broker at /events, and the test page
	TLS     bool                            // with HTTP/2
	Timeout time.Duration                   // the server's ReadTimeout and WriteTimeout. Default: none

	t        *testing.T
	addr     string
	cert     string // file
	broker   *push.Broker
	server   *http.Server
	served   chan error
	log      eventlog.Log // that of the running broker
	ownLog   *eventlog.Memory
	count    atomic.Int64 // events published
	requests tape[*http.Request]
}

// newSite returns a site that start brings up.
func newSite(t *testing.T) *site {
	s := &site{t: t, Grant: push.Public(topic)}
	s.Options.Retry = retry
	s.Options.DrainWindow = retry
	s.Options.Logger = slog.New(slog.NewTextHandler(t.Output(), nil))
	s.ownLog = eventlog.NewMemory(nil)
	t.Cleanup(func() { s.ownLog.Close() })
	return s
}

// startSite returns a site that is up, with the defaults.
func startSite(t *testing.T) *site {
	s := newSite(t)
	s.start(nil)
	return s
}

// start brings the site up, with a log of the test's, or with its own.
func (s *site) start(log eventlog.Log) {
	s.t.Helper()
	if log == nil {
		log = s.ownLog
	}
	s.log = log
	s.Options.Log = log
	if s.addr == "" {
		s.addr = net.JoinHostPort(ownHost(), "0")
	}
	var listener net.Listener
	poll(s.t, "listen on "+s.addr, func() bool { // a program that is just being started holds the old listener until its exec
		var err error
		listener, err = net.Listen("tcp", s.addr)
		return err == nil
	})
	s.addr = listener.Addr().String()
	broker, err := push.New(s.Grant, &s.Options)
	if err != nil {
		s.t.Fatal(err)
	}
	s.broker = broker
	s.server = &http.Server{
		Handler:     s.handler(),
		ReadTimeout: s.Timeout, WriteTimeout: s.Timeout,
		ErrorLog: slog.NewLogLogger(s.Options.Logger.Handler(), slog.LevelDebug),
	}
	s.server.Protocols = new(http.Protocols)
	s.server.Protocols.SetHTTP1(true)
	s.server.Protocols.SetHTTP2(s.TLS)
	s.server.Protocols.SetUnencryptedHTTP2(!s.TLS)
	served := make(chan error, 1)
	s.served = served
	if s.TLS {
		s.server.TLSConfig = &tls.Config{Certificates: []tls.Certificate{s.certificate()}}
		go func() { served <- s.server.ServeTLS(listener, "", "") }()
	} else {
		go func() { served <- s.server.Serve(listener) }()
	}
	s.t.Cleanup(s.crash)
}

func (s *site) handler() http.Handler {
	var app http.Handler
	if s.Wrap != nil {
		app = s.Wrap(s.broker)
	} else {
		mux := http.NewServeMux()
		mux.Handle("/events", s.broker)
		mux.Handle("/events/", s.broker) // for what a proxy tells apart
		mux.Handle("/", http.FileServer(http.Dir("testdata")))
		app = mux
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/events") {
			s.requests.add(r.Clone(context.Background()))
		}
		app.ServeHTTP(w, r)
	})
}

// crash cuts everything without a goodbye, as kill -9 does.
func (s *site) crash() {
	if s.broker == nil {
		return
	}
	s.cut()
	s.server.Close()
	<-s.served
	s.broker.Close()
	s.broker = nil
}

// cut cuts every connection that was accepted, also those that the server doesn't know any more because they are parked.
func (s *site) cut() {
	_, port, _ := net.SplitHostPort(s.addr)
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		s.t.Fatal(err)
	}
	for _, entry := range open {
		fd, _ := strconv.Atoi(entry.Name())
		own, err := syscall.Getsockname(fd)
		if err != nil {
			continue
		}
		if a, ok := own.(*syscall.SockaddrInet4); ok && strconv.Itoa(a.Port) == port {
			syscall.Shutdown(fd, syscall.SHUT_RDWR)
		}
	}
}

// stop goes down as a deploy does: goodbyes, then the end.
func (s *site) stop() {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := s.broker.Drain(ctx); err != nil {
		s.t.Errorf("drain: %v", err)
	}
	if err := s.server.Shutdown(ctx); err != nil {
		s.t.Errorf("shutdown: %v", err)
	}
	<-s.served
	s.broker.Close()
	s.broker = nil
}

// publish publishes the next n numbered events, one by one.
func (s *site) publish(n int) {
	s.t.Helper()
	for range n {
		s.send(push.Event{Data: strconv.AppendInt(nil, s.count.Add(1), 10)})
	}
}

// send publishes an event on topic, also while the site is down: the log is still there.
func (s *site) send(event push.Event) (id string) {
	s.t.Helper()
	if event.Topic == "" {
		event.Topic = topic
	}
	cursors, err := s.log.Append(context.Background(), event)
	if err != nil {
		s.t.Error(err) // not Fatal: handlers send, too
		return ""
	}
	return cursors[0].String()
}

func (s *site) url(path string) string { return s.urlAt(s.addr, path) }

// urlAt is for a proxy's address.
func (s *site) urlAt(addr, path string) string {
	if s.TLS {
		return "https://" + addr + path
	}
	return "http://" + addr + path
}

// lastEventIDs returns the Last-Event-ID of each request so far, "-" where there was none.
func (s *site) lastEventIDs() (ids []string) {
	for _, r := range s.requests.all() {
		if r.Header["Last-Event-Id"] == nil {
			ids = append(ids, "-")
			continue
		}
		ids = append(ids, r.Header.Get("Last-Event-ID"))
	}
	return ids
}

// awaitStreams waits until the broker has n open streams.
func (s *site) awaitStreams(n int) {
	s.t.Helper()
	poll(s.t, fmt.Sprintf("%d open streams", n), func() bool { return s.broker.Stats().Connections == n })
}

// snapshot is a SnapshotFunc: an event for each topic.
func (s *site) snapshot(_ context.Context, lost push.Lost) (all []push.Event, err error) {
	for _, topic := range lost.Topics() {
		all = append(all, push.Event{Name: "snapshot", Data: []byte(topic)})
	}
	return all, nil
}

// opened is the data of buffkit.open.
type opened struct {
	State   string
	Replay  int
	Session string
	Gaps    []push.Gap
}

// opens returns what became of the cursor on each connect, short: "fresh", "resumed 3", "gap other_log".
func opens(t *testing.T, notes []note) (all []string) {
	t.Helper()
	for _, data := range of("buffkit.open", notes) {
		o := parse[opened](t, data)
		switch o.State {
		case "resumed":
			all = append(all, fmt.Sprintf("resumed %d", o.Replay))
		case "gap":
			all = append(all, fmt.Sprintf("gap %s", o.Gaps[0].Reason))
		default:
			all = append(all, o.State)
		}
	}
	return all
}

func parse[T any](t *testing.T, data string) (v T) {
	t.Helper()
	if err := json.Unmarshal([]byte(data), &v); err != nil {
		t.Fatalf("%q: %v", data, err)
	}
	return v
}

// poll waits for what nobody tells. The condition is asked on the test's goroutine.
func poll(t *testing.T, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); !holds(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %v", what, patience)
		}
	}
}

var hosts atomic.Int64

// ownHost returns a loopback address that nothing else here listens on, so that a port which is free for a moment is still
// free at the restart.
func ownHost() string {
	if runtime.GOOS != "linux" {
		return "127.0.0.1" // others have no more
	}
	n := hosts.Add(1)
	return fmt.Sprintf("127.%d.%d.%d", 1+os.Getpid()%250, n/250, 1+n%250)
}

// certificate signs one for the site's address, and writes it to a file for clients to trust.
func (s *site) certificate() tls.Certificate {
	s.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		s.t.Fatal(err)
	}
	host, _, _ := net.SplitHostPort(s.addr)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "the site of a test"}, // OpenSSL wants one
		NotAfter:     time.Now().Add(time.Hour),
		IPAddresses:  []net.IP{net.ParseIP(host)},
		IsCA:         true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		s.t.Fatal(err)
	}
	s.cert = filepath.Join(s.t.TempDir(), "cert.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	if err := os.WriteFile(s.cert, text, 0o600); err != nil {
		s.t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// lines prints the last notes, one a line.
func lines[T any](notes []T) string {
	const most = 60
	var b strings.Builder
	if left := len(notes) - most; left > 0 {
		fmt.Fprintf(&b, "    (%d before)\n", left)
		notes = notes[left:]
	}
	for _, n := range notes {
		fmt.Fprintf(&b, "    %+v\n", n)
	}
	return b.String()
}

package oracle

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/buffkit/buffkit/client"
	"github.com/buffkit/buffkit/sse"
)

// swarm is all clients. Each goes to another node whenever it connects.
type swarm struct {
	fleet     *fleet
	ledger    *ledger
	nap       time.Duration // the longest that a client stays away
	transport *http.Transport
	running   sync.WaitGroup

	mu    sync.Mutex // guards what follows
	conns map[*wire]struct{}
}

// wire is a client's connection, which can be cut.
type wire struct {
	*net.TCPConn
	swarm *swarm
}

// Close forgets it.
func (w *wire) Close() error {
	w.swarm.mu.Lock()
	delete(w.swarm.conns, w)
	w.swarm.mu.Unlock()
	return w.TCPConn.Close()
}

func newSwarm(f *fleet, l *ledger, nap time.Duration) *swarm {
	s := &swarm{fleet: f, ledger: l, nap: nap, conns: map[*wire]struct{}{}}
	s.transport = &http.Transport{DialContext: s.dial, DisableKeepAlives: true, DisableCompression: true, ReadBufferSize: 2 << 10, WriteBufferSize: 1 << 10}
	return s
}

func (s *swarm) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	w := &wire{conn.(*net.TCPConn), s}
	s.mu.Lock()
	s.conns[w] = struct{}{}
	s.mu.Unlock()
	return w, nil
}

// cut resets a part of the connections, in the middle of whatever they carry, and returns how many.
func (s *swarm) cut(part float64) (n int) {
	s.mu.Lock()
	var some []*wire
	for w := range s.conns {
		if rand.Float64() < part {
			some = append(some, w)
		}
	}
	s.mu.Unlock()
	for _, w := range some {
		_ = w.SetLinger(0)
		_ = w.Close()
	}
	return len(some)
}

// target is the URL of a client's stream. Its host is replaced at each request.
func target(topics []string) string {
	return "http://fleet/events?" + url.Values{"topic": topics}.Encode()
}

// start lets a client follow until the context ends.
func (s *swarm) start(ctx context.Context, f *follower) {
	s.running.Go(func() {
		r := &roamer{swarm: s, follower: f, last: rand.N(len(s.fleet.members))}
		if f.raw {
			r.followRaw(ctx)
		} else {
			r.follow(ctx)
		}
	})
}

// wait returns when all clients have ended.
func (s *swarm) wait() {
	s.running.Wait()
	s.transport.CloseIdleConnections()
}

// roamer sends each request of a client to another node than the last, and records what it asks for.
type roamer struct {
	swarm    *swarm
	follower *follower
	last     int
}

const napOdds = 40 // one reconnect of so many comes after a nap

// RoundTrip implements http.RoundTripper.
func (r *roamer) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx := req.Context()
	if rand.N(napOdds) == 0 && !sleep(ctx, rand.N(r.swarm.nap)) { // a lift, a lid
		return nil, ctx.Err()
	}
	nodes := r.swarm.fleet.members
	r.last = (r.last + 1 + rand.N(len(nodes)-1)) % len(nodes)
	r.follower.asks(req.Header.Get("Last-Event-ID"))
	own := req.Clone(ctx)
	own.URL.Host, own.Host = nodes[r.last].addr, ""
	return r.swarm.transport.RoundTrip(own)
}

// sleep returns false if the context ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// follow follows with package client. Only the end of the context may end it.
func (r *roamer) follow(ctx context.Context) {
	f := r.follower
	fresh := false // OnCursor tells its place
	opts := &client.Options{
		HTTP: &http.Client{Transport: r}, MinRetry: nodeRetry / 2, MaxRetry: 2 * time.Second,
		OnOpen: func(open client.Open) {
			if fresh = open.State == client.Fresh; !fresh {
				f.opened("", open.State, open.Gaps)
			}
		},
		OnCursor: func(cursor string) {
			if fresh {
				f.opened(cursor, client.Fresh, nil)
			} else {
				f.moved(cursor)
			}
			fresh = false
		},
		OnGap: f.toldGap,
	}
	for e, err := range client.Events(ctx, target(f.topics), opts) {
		if err != nil {
			f.blame("ended", "package client gives up: %v", err)
			return
		}
		f.got(e.ID, e.Data)
	}
	if ctx.Err() == nil {
		f.blame("ended", "package client ends without an error")
	}
}

// followRaw follows as an EventSource: with the id that came last, and nothing else.
func (r *roamer) followRaw(ctx context.Context) {
	s := rawStream{follower: r.follower}
	for ctx.Err() == nil {
		if err := s.connect(ctx, r); err != nil && ctx.Err() == nil {
			var refused *refusedError
			if errors.As(err, &refused) {
				r.follower.blame("ended", "an EventSource gives up: %v", err)
				return
			}
		}
		sleep(ctx, rand.N(2*nodeRetry))
	}
}

// rawStream is what an EventSource knows between two connections.
type rawStream struct {
	follower *follower
	id       string
}

// refusedError is an answer after which an EventSource doesn't come back.
type refusedError struct{ status string }

func (e *refusedError) Error() string { return "the answer is " + e.status }

func (s *rawStream) connect(ctx context.Context, r *roamer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target(s.follower.topics), nil)
	if err != nil {
		return err
	}
	req.Header.Set("Accept", "text/event-stream")
	if s.id != "" {
		req.Header.Set("Last-Event-ID", s.id)
	}
	resp, err := r.RoundTrip(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return &refusedError{resp.Status}
	}
	// A browser waits for a node that hangs until TCP gives up. This one has less time.
	silent := time.AfterFunc(3*nodeHeartbeat, cancel)
	defer silent.Stop()
	return s.read(&alarmed{resp.Body, silent})
}

// alarmed puts an alarm off whenever something comes.
type alarmed struct {
	io.Reader
	alarm *time.Timer
}

// Read implements io.Reader.
func (a *alarmed) Read(p []byte) (int, error) {
	n, err := a.Reader.Read(p)
	a.alarm.Reset(3 * nodeHeartbeat)
	return n, err
}

// read records a stream until it ends. An id that comes without an event is a place, too.
func (s *rawStream) read(body io.Reader) error {
	bare := ""
	settle := func() {
		if bare != "" {
			s.follower.moved(bare)
		}
		bare = ""
	}
	defer settle()
	opts := &sse.ScanOptions{LastEventID: s.id, OnID: func(id string) {
		settle()
		bare, s.id = id, id
	}}
	for e, err := range sse.Scan(body, opts) {
		if err != nil {
			return err
		}
		id := ""
		if e.ID != "" && !e.Inherited {
			id, bare = e.ID, ""
		}
		settle()
		if err := s.take(e, id); err != nil {
			return err
		}
	}
	return nil
}

// take records an event with the id of its own, if it has one.
func (s *rawStream) take(e sse.Event, id string) (err error) {
	f := s.follower
	var said struct {
		State client.State
		Gaps  []client.Gap
	}
	switch e.Name {
	case "buffkit.open":
		err = json.Unmarshal(e.Data, &said)
		f.opened(id, said.State, said.Gaps)
	case "buffkit.gap":
		err = json.Unmarshal(e.Data, &said)
		f.toldGap(said.Gaps)
	case "buffkit.ping":
		f.moved(id)
	case "buffkit.bye":
	default:
		f.got(id, e.Data)
	}
	if err != nil {
		f.blame("damaged", "%s with the data %.200q: %v", e.Name, e.Data, err)
	}
	return err
}

// has waits until all clients have got the last events of the topics that they follow, or were told gaps that cover them.
func (s *swarm) has(ctx context.Context, last map[string]*event) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for _, f := range s.ledger.followers {
		for _, topic := range f.topics {
			for !f.hasCome(last[topic]) {
				select {
				case <-tick.C:
				case <-ctx.Done():
					return fmt.Errorf("%s waits for event %d of %s", f.name, last[topic].number, topic)
				}
			}
		}
	}
	return nil
}

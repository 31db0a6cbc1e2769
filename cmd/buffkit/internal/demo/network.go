package demo

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"
)

// network stands between the tabs and the server, and can be cut for one tab: its open stream is reset, and so is each new
// connection that asks for it, without an answer. To the browser that is a network that failed, and its own
// machinery has to deal with it.
type network struct {
	mu   sync.Mutex
	tabs map[string]*tab // guarded by mu
}

// tab is what the network knows of a tab that has a stream or is cut.
type tab struct {
	lines   map[*line]bool
	cut     bool
	refused int       // attempts dropped since the cut
	seen    time.Time // when it last asked for anything
}

const (
	tabForgotten = time.Minute // after a cut tab was closed; an open one asks for /head twice a second
	maxTabs      = 10_000      // a bound on what visitors can make the demo keep
	maxTabID     = 64          // bytes; ours have 26
)

var errNoTab = errors.New("not a tab of this demo, or too many of them")

func newNetwork() *network { return &network{tabs: make(map[string]*tab)} }

// through passes the requests for a stream that the network lets through, and drops the others without an answer.
func (n *network) through(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		l, _ := r.Context().Value(lineKey{}).(*line)
		if l == nil { // a client without a tab, or a server that isn't ours
			next.ServeHTTP(w, r)
			return
		}
		if !n.join(r.URL.Query().Get("tab"), l) {
			l.reset()
			panic(http.ErrAbortHandler) // no answer, and no stack in the log
		}
		next.ServeHTTP(w, r)
		if _, err := w.Write(nil); !errors.Is(err, http.ErrHijacked) {
			n.leave(l) // the stream is over, and the connection may serve something else
		}
	})
}

// join enters the line of a tab's stream, and tells whether the network lets it through.
func (n *network) join(id string, l *line) bool {
	if id == "" {
		return true
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	t, err := n.tab(id)
	if err != nil {
		return false
	}
	if t.cut {
		t.refused++
		return false
	}
	l.tab = id
	t.lines[l] = true
	return true
}

// leave is told of every line that no longer carries a stream.
func (n *network) leave(l *line) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if t := n.tabs[l.tab]; t != nil {
		delete(t.lines, l)
		n.forget(l.tab, t)
	}
	l.tab = ""
}

// cut resets the tab's stream and lets no new one through, until restore.
func (n *network) cut(id string) error {
	n.mu.Lock()
	t, err := n.tab(id)
	if err != nil {
		n.mu.Unlock()
		return err
	}
	if !t.cut {
		t.cut, t.refused = true, 0
	}
	lines := t.lines
	t.lines = make(map[*line]bool)
	n.mu.Unlock()
	for l := range lines {
		l.reset()
	}
	return nil
}

func (n *network) restore(id string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if t := n.tabs[id]; t != nil {
		t.cut = false
		n.forget(id, t)
	}
}

// status tells whether a tab is cut, and how many attempts of it were dropped.
func (n *network) status(id string) (cut bool, refused int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	t := n.tabs[id]
	if t == nil {
		return false, 0
	}
	t.seen = time.Now()
	return t.cut, t.refused
}

// tab returns the tab, made if need be. The caller holds mu.
func (n *network) tab(id string) (*tab, error) {
	t := n.tabs[id]
	if t == nil {
		for other, o := range n.tabs {
			if time.Since(o.seen) > tabForgotten && len(o.lines) == 0 {
				delete(n.tabs, other)
			}
		}
		if id == "" || len(id) > maxTabID || len(n.tabs) >= maxTabs {
			return nil, errNoTab
		}
		t = &tab{lines: make(map[*line]bool)}
		n.tabs[id] = t
	}
	t.seen = time.Now()
	return t, nil
}

// forget drops a tab about which there is nothing to know. The caller holds mu.
func (n *network) forget(id string, t *tab) {
	if len(t.lines) == 0 && !t.cut {
		delete(n.tabs, id)
	}
}

// line is a connection that the network can reset. It shows nobody the descriptor beneath, so whoever takes it over from
// net/http goes on writing through it.
type line struct {
	net.Conn
	network *network
	tab     string // whose stream it carries, or ""; guarded by network.mu
}

// Close closes the connection.
func (l *line) Close() error {
	l.network.leave(l)
	return l.Conn.Close()
}

// reset closes the connection as a network that fails does: what is on its way is lost, and the peer gets a TCP reset.
func (l *line) reset() {
	if tcp, ok := l.Conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // it may be closed already
	}
	_ = l.Conn.Close()
}

// lines makes lines of what a listener accepts.
type lines struct {
	net.Listener
	network *network
}

// Accept waits for the next line.
func (ls lines) Accept() (net.Conn, error) {
	conn, err := ls.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &line{Conn: conn, network: ls.network}, nil
}

type lineKey struct{}

// withLine is the ConnContext of the demo's http.Server.
func withLine(ctx context.Context, conn net.Conn) context.Context {
	return context.WithValue(ctx, lineKey{}, conn)
}

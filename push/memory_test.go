package push_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"testing"
	"time"

	"github.com/buffkit/buffkit/push"
)

// nowhere is a ResponseWriter that keeps nothing. Its client leaves with the first bytes, if it has leave.
type nowhere struct {
	header http.Header
	leave  context.CancelFunc
}

func (w nowhere) Header() http.Header { return w.header }
func (w nowhere) WriteHeader(int) {
	if w.leave != nil {
		w.leave()
	}
}
func (nowhere) Write(p []byte) (int, error)       { return len(p), nil }
func (nowhere) FlushError() error                 { return nil }
func (nowhere) SetWriteDeadline(time.Time) error  { return nil }
func (nowhere) SetReadDeadline(d time.Time) error { return nil }

// comeAndGo begins and ends a session.
func comeAndGo(b *push.Broker, headers ...string) {
	ctx, cancel := context.WithCancel(context.Background())
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/", nil)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	b.ServeHTTP(nowhere{http.Header{}, cancel}, r)
}

func heap() uint64 {
	runtime.GC()
	runtime.GC() // what sync.Pool held
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// What a client costs that is away: 100,000 of them, their users' names and the map included. Not parallel: it reads the
// heap of the process.
func TestDetachedSessionTakesAtMost400Bytes(t *testing.T) {
	if testing.Short() {
		t.Skip("makes 100,000 sessions")
	}
	const sessions, most = 100_000, 400
	b := newBroker(t, asUser, push.Options{})
	comeAndGo(b)
	before := heap()
	for i := range sessions {
		user := fmt.Sprintf("user-%07d", i)
		if i%100 == 0 {
			comeAndGo(b, "User", user) // with all that belongs to a stream, of which nothing may stay
		} else {
			b.AbandonSession(user)
		}
	}
	after := heap()
	if n := b.Stats().Sessions; n != sessions+1 {
		t.Fatalf("%d sessions", n)
	}
	each := float64(after-before) / sessions
	t.Logf("%.0f bytes each", each)
	if each > most {
		t.Errorf("%.0f bytes for a detached session, at most %d", each, most)
	}
	runtime.KeepAlive(b)
}

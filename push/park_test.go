package push_test

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/buffkit/buffkit/push"
)

func TestParkSmoke(t *testing.T) {
	b, err := push.New(push.Public("a", "b"), &push.Options{Heartbeat: 200 * time.Millisecond, DrainWindow: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(b)
	defer srv.Close()
	const n = 50
	lines := make([]chan string, n)
	for i := range n {
		resp, err := http.Get(srv.URL)
		if err != nil {
			t.Fatal(err)
		}
		lines[i] = make(chan string, 10000)
		go func() {
			sc := bufio.NewScanner(resp.Body)
			for sc.Scan() {
				lines[i] <- sc.Text()
			}
			close(lines[i])
		}()
	}
	for deadline := time.Now().Add(5 * time.Second); b.Stats().Parked < n && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	t.Logf("%+v", b.Stats())
	for i := range 1000 {
		b.Publish(context.Background(), push.Event{Topic: []string{"a", "b"}[i%2], Data: fmt.Append(nil, i)})
		if i%50 == 0 {
			for s := range b.Sessions() {
				b.SendSession(context.Background(), s.ID, push.Event{Data: fmt.Appendf(nil, "own %d", i)})
			}
		}
	}
	time.Sleep(500 * time.Millisecond)
	b.Drain(context.Background())
	b.Close()
	for i := range n {
		next, own, pings, last := 0, 0, 0, ""
		for l := range lines[i] {
			if id, ok := strings.CutPrefix(l, "id: "); ok {
				if id < last && !strings.HasSuffix(last, ".0") {
					t.Errorf("id %s after %s", id, last)
				}
				last = id
			}
			if strings.Contains(l, "buffkit.ping") {
				pings++
			}
			if strings.HasPrefix(l, "data: own") {
				own++
			} else if l == fmt.Sprintf("data: %d", next) {
				next++
			}
		}
		if next != 1000 || own != 20 || pings < 2 {
			t.Errorf("stream %d: %d events, %d own, %d pings", i, next, own, pings)
		}
	}
}

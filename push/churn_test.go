package push_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/buffkit/buffkit/push"
	"github.com/buffkit/buffkit/push/pushtest"
)

// Thousands of clients come and go at every stage of a stream while events are published. Nothing of them is left.
func TestClientsThatComeAndGoLeaveNothing(t *testing.T) {
	t.Parallel()
	clients := 2000
	if testing.Short() {
		clients = 200
	}
	for name, clientOf := range map[string]func(*pushtest.Server) *http.Client{
		"HTTP/1.1": (*pushtest.Server).Client,
		"HTTP/2":   (*pushtest.Server).ClientHTTP2,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				authorize := func(r *http.Request) (push.Grant, error) {
					return push.Grant{User: r.URL.Query().Get("user"), Topics: push.RequestedTopics(r)}, nil
				}
				b, err := push.New(authorize, nil)
				if err != nil {
					t.Fatal(err)
				}
				s := pushtest.NewServer(t, b)
				publishing, stop := context.WithCancel(t.Context())
				var running sync.WaitGroup
				running.Go(func() {
					for n := 0; publishing.Err() == nil; n++ {
						if _, err := b.Publish(t.Context(), push.Event{Topic: fmt.Sprint("topic/", n%10), Data: []byte("x")}); err != nil {
							t.Error(err)
						}
						time.Sleep(time.Millisecond)
					}
				})

				var visits sync.WaitGroup
				for n := range 20 {
					visits.Go(func() {
						rng := rand.New(rand.NewPCG(1, uint64(n)))
						for range clients / 20 {
							visit(t.Context(), s, clientOf(s), rng)
						}
					})
				}
				visits.Wait()
				stop()
				running.Wait()

				clientOf(s).CloseIdleConnections()
				synctest.Wait()
				if n := b.Stats().Connections; n > 0 {
					t.Errorf("%d streams are left", n)
				}
				if n := b.Followed(); n > 0 {
					t.Errorf("%d places are left in the index", n)
				}
				if n := len(s.Conns()); n > 0 {
					t.Errorf("%d connections are left", n)
				}
				if n := b.Stats().Sessions; n == 0 || n > clients {
					t.Errorf("%d sessions of %d clients can resume", n, clients)
				}
				time.Sleep(push.DefaultSessionTTL + 2*time.Second) // and the sweep
				if n := b.Stats().Sessions; n > 0 {
					t.Errorf("%d sessions are left", n)
				}
				for info := range b.Sessions() {
					t.Errorf("session %s is left", info.ID)
				}
				if err := b.Close(); err != nil { // what has started a goroutine waits for it, or the bubble doesn't end
					t.Error(err)
				}
			})
		})
	}
}

// visit is a client that goes before it is answered, once it is, or some events later; politely, or with its network.
func visit(ctx context.Context, s *pushtest.Server, c *http.Client, rng *rand.Rand) {
	ctx, leave := context.WithCancel(ctx)
	defer leave()
	if rng.IntN(3) == 0 {
		timer := time.AfterFunc(time.Duration(rng.IntN(3))*time.Millisecond, leave)
		defer timer.Stop()
	}
	path := fmt.Sprintf("/?topic=topic/%d&topic=topic/%d&user=%d", rng.IntN(10), rng.IntN(10), rng.IntN(5))
	stream, err := s.Open(ctx, path, &pushtest.StreamOptions{HTTP: c})
	if err != nil {
		return // it has gone
	}
	defer stream.Close()
	for range rng.IntN(4) {
		if _, err := stream.Next(ctx); err != nil {
			return
		}
	}
	if rng.IntN(20) == 0 {
		s.Cut()
	}
}

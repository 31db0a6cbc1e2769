package push_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/buffkit/buffkit/push"
)

// A ResponseWriter belongs to its handler: afterwards it, or its connection, serves another request, which a deadline in the
// past would break (HTTP/1.1), or is nil inside, which would end the process (HTTP/2).
func TestEndedStreamIsNotAborted(t *testing.T) {
	ends := map[string]func(*push.Broker){
		"by Close": func(b *push.Broker) { b.Close() },
		"by Drain": func(b *push.Broker) {
			ctx, cancel := context.WithTimeout(context.Background(), push.DefaultDrainWindow+time.Second)
			defer cancel()
			if err := b.Drain(ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("Drain: %v", err)
			}
		},
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				b := newBroker(t, push.Public("a"), push.Options{WriteTimeout: time.Hour})
				healthy, stuck := connect(t, b, "/"), connect(t, b, "/")
				stuck.w.stall()
				publish(t, b, "a:1")
				synctest.Wait()
				go func() {
					<-healthy.done
					healthy.w.mu.Lock()
					defer healthy.w.mu.Unlock()
					healthy.w.armed = nil
				}()
				end(b)
				if !healthy.ended() || !stuck.ended() {
					t.Errorf("healthy ended: %v, stuck ended: %v", healthy.ended(), stuck.ended())
				}
				healthy.w.mu.Lock()
				defer healthy.w.mu.Unlock()
				if len(healthy.w.armed) > 0 {
					t.Errorf("deadlines set after the handler returned: %v", healthy.w.armed)
				}
			})
		})
	}
}

package push_test

import (
	"context"
	"testing"
	"time"

	"github.com/buffkit/buffkit/push"
)

func TestAStreamLivesWhileItsSnapshotIsRendered(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := newBroker(t, asUser, push.Options{
			Heartbeat: time.Second,
			Snapshot: func(context.Context, push.Lost) ([]push.Event, error) {
				<-time.After(3500 * time.Millisecond)
				return []push.Event{{Data: []byte("state")}}, nil
			},
		})
		s := resume(t, b, "ada", "", "Last-Event-ID", "not a cursor")
		pass(4900 * time.Millisecond) // the first heartbeat comes half a second to a second after the snapshot
		s.want("open:gap:0:a=unreadable", "ping", "ping", "ping", "~state", "place", "ping")
	})
}

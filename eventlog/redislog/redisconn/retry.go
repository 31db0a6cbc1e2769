package redisconn

import (
	"context"
	"time"
)

// How long to wait before a command that the server has refused is sent again: a failover takes seconds, a slot moves in milliseconds.
const (
	firstWait = 5 * time.Millisecond
	lastWait  = 250 * time.Millisecond
)

// Retry sends a command, and sends it again as long as the server refuses it for now (see Refused), until ctx or closed ends.
func Retry[T any](ctx context.Context, closed context.Context, send func() (T, error)) (T, error) {
	for wait := firstWait; ; wait = min(2*wait, lastWait) {
		reply, err := send()
		if err == nil || !Refused(err) || !Pause(ctx, closed, wait) {
			return reply, err
		}
	}
}

// Pause waits, and tells whether both contexts still go on.
func Pause(ctx, closed context.Context, wait time.Duration) bool {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
	case <-closed.Done():
	}
	return false
}

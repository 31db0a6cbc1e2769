package client

import (
	"math/rand/v2"
	"time"
)

// backoff chooses waits: exponential with full jitter, which spreads a herd of clients best
// (M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015).
type backoff struct {
	base, max time.Duration
	failures  int // attempts since the last success
}

// next returns the wait before the next attempt. What the server asked for is kept, and to the point after a success: it may
// be this client's own slot. A server that asks for little and never lets us in is backed off from all the same.
func (b *backoff) next(told time.Duration) time.Duration {
	ceiling := b.ceiling()
	b.failures++
	if told > 0 && b.failures == 1 {
		return told
	}
	return max(told, rand.N(ceiling+1))
}

func (b *backoff) ceiling() time.Duration {
	limit := max(b.max, b.base)
	if b.failures > 30 || b.base > limit>>b.failures {
		return limit
	}
	return b.base << b.failures
}

func (b *backoff) success() { b.failures = 0 }

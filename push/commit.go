package push

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/buffkit/buffkit/eventlog"
)

// committer appends to the log for whoever publishes. While an append is on its way, the events of others gather, and go with the next: under
// load a log that needs a round trip or a sync takes many at once, and nobody has asked for it. Without load an append begins at once.
type committer struct {
	log eventlog.Log

	mu      sync.Mutex // guards what follows
	busy    bool
	waiting []*commit
}

// commit is what one call publishes.
type commit struct {
	ctx     context.Context
	events  []Event
	cursors []eventlog.Cursor
	err     error
	turn    chan bool // true: append for all that wait; false: it is done
}

const maxCommitEvents = 1024 // of one append for several callers: more saves nothing

// append stores the events of a call, all or none. The order is that in which calls come.
func (c *committer) append(ctx context.Context, events []Event) ([]eventlog.Cursor, error) {
	c.mu.Lock()
	if !c.busy {
		c.busy = true
		c.mu.Unlock()
		defer c.pass()
		return c.log.Append(ctx, events...)
	}
	own := &commit{ctx: ctx, events: events, turn: make(chan bool, 1)}
	c.waiting = append(c.waiting, own)
	c.mu.Unlock()
	select {
	case lead := <-own.turn:
		if lead {
			c.lead(ctx, own)
		}
		return own.cursors, own.err
	case <-ctx.Done():
		return c.leave(ctx, own)
	}
}

// leave takes back what nobody has begun to store; else its outcome counts.
func (c *committer) leave(ctx context.Context, own *commit) ([]eventlog.Cursor, error) {
	c.mu.Lock()
	for i, other := range c.waiting {
		if other == own {
			c.waiting = append(c.waiting[:i], c.waiting[i+1:]...)
			c.mu.Unlock()
			return nil, ctx.Err()
		}
	}
	c.mu.Unlock()
	if <-own.turn {
		own.err = ctx.Err()
		c.pass()
	}
	return own.cursors, own.err
}

// pass lets the one that waits for longest append for all who wait.
func (c *committer) pass() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.waiting) == 0 {
		c.busy = false
		return
	}
	first := c.waiting[0]
	c.waiting = c.waiting[1:]
	first.turn <- true
}

// lead appends what a call and those that wait have, and gives each its part.
func (c *committer) lead(ctx context.Context, own *commit) {
	defer c.pass()
	group := c.gather(own)
	if len(group) == 1 {
		own.cursors, own.err = c.log.Append(ctx, own.events...)
		return
	}
	var events []Event
	for _, one := range group {
		one.err = errLogPanicked // unless it comes to something else
		events = append(events, one.events...)
	}
	defer func() {
		for _, one := range group {
			if one != own {
				one.turn <- false
			}
		}
	}()
	ctx, cancel := contextOf(ctx, group)
	defer cancel()
	cursors, err := c.log.Append(ctx, events...)
	for _, one := range group {
		switch {
		case err == nil:
			one.cursors, one.err, cursors = cursors[:len(one.events):len(one.events)], nil, cursors[len(one.events):]
		case isOfOneCall(err):
			one.cursors, one.err = c.log.Append(ctx, one.events...)
		default: // to try again might store twice what was stored, though its answer was lost
			one.err = err
		}
	}
}

// isOfOneCall tells whether a log has refused all because of what one call had.
func isOfOneCall(err error) bool {
	var bad *eventlog.EventError
	return errors.As(err, &bad) || errors.Is(err, eventlog.ErrFull)
}

// contextOf returns the context of what several calls share. The end of one call's context is nobody else's business: it ends with the last.
func contextOf(ctx context.Context, group []*commit) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var left atomic.Int64
	left.Store(int64(len(group)))
	stops := make([]func() bool, len(group))
	for i, one := range group {
		stops[i] = context.AfterFunc(one.ctx, func() {
			if left.Add(-1) == 0 {
				cancel()
			}
		})
	}
	return ctx, func() {
		for _, stop := range stops {
			stop()
		}
		cancel()
	}
}

var errLogPanicked = fmt.Errorf("push: the log panicked while it stored the events of several calls: %w", eventlog.ErrUnknownOutcome)

// gather takes those that wait, as many as go together.
func (c *committer) gather(own *commit) []*commit {
	c.mu.Lock()
	defer c.mu.Unlock()
	group, events := []*commit{own}, len(own.events)
	for len(c.waiting) > 0 && events+len(c.waiting[0].events) <= maxCommitEvents {
		group, events = append(group, c.waiting[0]), events+len(c.waiting[0].events)
		c.waiting = c.waiting[1:]
	}
	if len(c.waiting) == 0 {
		c.waiting = nil // its memory was walked through
	}
	return group
}

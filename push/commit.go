package push

import (
	"context"
	"errors"
	"sync"

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
	own := &commit{events: events, turn: make(chan bool, 1)}
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
	// The end of one call's context is nobody else's business.
	cursors, err := c.log.Append(context.WithoutCancel(ctx), events...)
	for _, one := range group {
		switch {
		case err == nil:
			one.cursors, one.err, cursors = cursors[:len(one.events):len(one.events)], nil, cursors[len(one.events):]
		case errors.Is(err, eventlog.ErrClosed):
			one.err = err
		default: // whosever fault it is
			one.cursors, one.err = c.log.Append(context.WithoutCancel(ctx), one.events...)
		}
	}
}

var errLogPanicked = errors.New("push: the log panicked while it stored the events of several calls")

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

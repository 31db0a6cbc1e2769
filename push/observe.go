package push

import (
	"fmt"
	"net/http"
	"runtime/debug"
)

// The methods here call the hooks. A hook that panics is the app's fault and must not harm a stream.

func (b *Broker) recoverHook(name string) {
	if p := recover(); p != nil {
		b.logger().Error("push: hook panicked", "hook", name, "panic", p, "stack", string(debug.Stack()))
	}
}

// recoverTo turns a panic of a function of the app into an error. net/http's own panic goes on.
func (b *Broker) recoverTo(err *error, name string) {
	p := recover()
	if p == nil {
		return
	}
	if p == http.ErrAbortHandler {
		panic(p)
	}
	b.logger().Error("push: "+name+" panicked", "panic", p, "stack", string(debug.Stack()))
	*err = fmt.Errorf("push: %s panicked: %v", name, p)
}

func (b *Broker) connected(c *connection, opened Opened) {
	if hook := b.opts.Hooks.Connected; hook != nil {
		defer b.recoverHook("Connected")
		hook(c.info, opened)
	}
}

func (b *Broker) disconnected(c Connection, cause error) {
	if hook := b.opts.Hooks.Disconnected; hook != nil {
		defer b.recoverHook("Disconnected")
		hook(c, cause)
	}
}

func (b *Broker) refused(remote string, err error) {
	if hook := b.opts.Hooks.Refused; hook != nil {
		defer b.recoverHook("Refused")
		hook(remote, err)
	}
}

func (b *Broker) published(event *Event) {
	if hook := b.opts.Hooks.Published; hook != nil {
		defer b.recoverHook("Published")
		hook(event.Topic, len(event.Data))
	}
}

func (b *Broker) delivered(c Connection, events, bytes int) {
	if hook := b.opts.Hooks.Delivered; hook != nil {
		defer b.recoverHook("Delivered")
		hook(c, events, bytes)
	}
}

func (b *Broker) gap(c *connection, lost Lost) {
	if hook := b.opts.Hooks.Gap; hook != nil {
		defer b.recoverHook("Gap")
		hook(c.info, lost)
	}
}

func (b *Broker) sessionEnded(s SessionInfo, cause error) {
	if hook := b.opts.Hooks.SessionEnded; hook != nil {
		defer b.recoverHook("SessionEnded")
		hook(s, cause)
	}
}

func (b *Broker) sessionsDown(err error) {
	if hook := b.opts.Hooks.SessionsDown; hook != nil {
		defer b.recoverHook("SessionsDown")
		hook(err)
	}
}

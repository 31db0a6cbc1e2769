package push

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/buffkit/buffkit/eventlog"
)

// heal leads a client over a gap. It is told which topics are not whole, gets the app's Snapshot of those, then
// the stored events of the others up to the head, and goes on from the head, which was taken before the snapshot: so nothing falls
// between. The client's cursor moves with the replay only after the snapshot: one that is cut before asks again from where it was.
func (c *connection) heal(gaps []Gap, tell func([]Gap) error) error {
	head, err := c.broker.log.Head(c.ctx)
	if err != nil {
		return fmt.Errorf("read the log: %w", err)
	}
	whole := c.topics
	for len(gaps) > 0 {
		if err := tell(gaps); err != nil {
			return err
		}
		if err := c.snapshot(gaps); err != nil {
			return err
		}
		whole = without(whole, gaps)
		if gaps, err = c.replay(whole, head); err != nil {
			return err
		}
		tell = c.tellGap // what was trimmed since
	}
	c.at = head
	buf := getBuffer()
	defer buf.release()
	buf.bytes = appendPlace(buf.bytes, head)
	return c.write(buf.bytes)
}

func (c *connection) tellGap(gaps []Gap) error {
	buf := getBuffer()
	defer buf.release()
	buf.bytes = appendControl(buf.bytes, "", nameGap, gapData{gaps})
	return c.write(buf.bytes)
}

// snapshot sends the app's state of the topics of the gaps.
func (c *connection) snapshot(gaps []Gap) (err error) {
	lost := Lost{Session: c.info.Session, User: c.info.User, Gaps: gaps}
	c.broker.gap(c, lost)
	if c.broker.opts.Snapshot == nil {
		return nil
	}
	events, err := c.awaitSnapshot(lost)
	if err != nil {
		return err
	}
	frames := make([]eventlog.Entry, len(events))
	for i, event := range events {
		if frames[i].Frame, err = appendSnapshot(nil, event); err != nil {
			return fmt.Errorf("push: snapshot: %w", err)
		}
	}
	return c.send(frames)
}

// awaitSnapshot keeps the stream alive while the app renders: a client, or a proxy, that hears nothing for too long would hang up and
// ask again, for ever.
func (c *connection) awaitSnapshot(lost Lost) (events []Event, err error) {
	ctx, cancel := context.WithCancel(c.ctx)
	defer cancel()
	if raw, ok := c.transport.(*rawTransport); ok && !c.watched { // net/http doesn't look any more whether the client is there
		defer raw.watchWhile(c.cancel)()
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() {
			if p := recover(); p != nil { // http.ErrAbortHandler, which goes on where a handler's goroutine is
				err = fmt.Errorf("push: SnapshotFunc panicked: %v", p)
			}
		}()
		events, err = c.broker.takeSnapshot(ctx, lost)
	}()
	beat := time.NewTicker(c.broker.opts.Heartbeat)
	defer beat.Stop()
	for {
		select {
		case <-done:
			return events, err
		case <-beat.C:
			if broken := c.write(appendEvent(nil, "", namePing, nil)); broken != nil {
				cancel()
				<-done
				return nil, broken
			}
		}
	}
}

func (b *Broker) takeSnapshot(ctx context.Context, lost Lost) (events []Event, err error) {
	defer b.recoverTo(&err, "SnapshotFunc")
	events, err = b.opts.Snapshot(ctx, lost)
	if err != nil {
		return nil, fmt.Errorf("push: snapshot of %q: %w", lost.Topics(), err)
	}
	return events, nil
}

// replay sends the stored events of topics up to the head. It stops at new gaps and returns them.
func (c *connection) replay(topics []string, head eventlog.Cursor) ([]Gap, error) {
	if len(topics) == 0 {
		return nil, nil
	}
	for head.Beyond(c.at) {
		b, err := c.read(topics, c.at, readEntries)
		if err != nil {
			return nil, err
		}
		if len(b.Gaps) > 0 {
			return gapsOf(b.Gaps), nil
		}
		due := slices.DeleteFunc(b.Entries, func(e eventlog.Entry) bool { return e.Offset > head.At(e.Partition) })
		if c.slow == Conflate {
			due = conflate(due)
		}
		if err := c.send(due); err != nil {
			return nil, err
		}
		c.at = b.Next
	}
	return nil, nil
}

func without(topics []string, gaps []Gap) []string {
	return slices.DeleteFunc(slices.Clone(topics), func(topic string) bool {
		return slices.ContainsFunc(gaps, func(g Gap) bool { return g.Topic == topic })
	})
}

func (c *connection) gapsOfAll(reason Reason) []Gap {
	gaps := make([]Gap, len(c.topics))
	for i, topic := range c.topics {
		gaps[i] = Gap{topic, reason}
	}
	return gaps
}

// gapsOf translates the log's gaps.
func gapsOf(gaps []eventlog.Gap) []Gap {
	if len(gaps) == 0 {
		return nil
	}
	told := make([]Gap, len(gaps))
	for i, gap := range gaps {
		told[i] = Gap{gap.Topic, reasonOf(gap.Err)}
	}
	return told
}

func reasonOf(err error) Reason {
	switch {
	case errors.Is(err, eventlog.ErrOtherLog):
		return ReasonOtherLog
	case errors.Is(err, eventlog.ErrRolledBack):
		return ReasonRolledBack
	}
	return ReasonTrimmed
}

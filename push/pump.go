package push

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/buffkit/buffkit/eventlog"
)

// connection is one open stream. Its handler's goroutine runs it; others only wake, end and abort it.
type connection struct {
	broker    *Broker
	info      Connection
	session   *session
	audience  *audience
	place     int // in the audience, guarded by it
	topics    []string
	slow      SlowPolicy
	mu        sync.Mutex // guards transport against abort
	transport transport
	woken     chan struct{} // one, if there may be news

	ctx    context.Context
	cancel context.CancelCauseFunc
	expire context.CancelFunc // of the grant's end, nil without one

	heir    atomic.Pointer[parked] // what it was parked as
	expires time.Time              // of the grant

	at      eventlog.Cursor // everything before it was sent
	told    bool            // what became of its cursor
	stays   bool            // with its goroutine: parking failed
	odd     bool            // its cursor names what the log doesn't have
	watched bool            // somebody else reads from its connection
}

const (
	readEntries     = 64   // of one read: enough to fill a write with small events, little enough for ten thousand readers at once
	conflateEntries = 1024 // what Conflate looks at together
)

// endError is what a stream's context ends with when the broker ends it. Anything else came with the request's context.
type endError struct{ error }

// end makes run return the cause, after what it is doing. The first cause counts.
func (c *connection) end(cause error) {
	c.cancel(endError{cause})
	if heir := c.heir.Load(); heir != nil {
		heir.end(cause)
	}
}

func (c *connection) wakeOwn() { signal(c.woken) }

// errIdle ends the pump of a stream that can be parked: it needs nothing more that may take time.
var errIdle = errors.New("push: nothing to do")

// run is the life of a stream: tell the client what became of its cursor, then read from the log and write, until the
// end. There is no other path for events, live or not. It returns nil when the client left.
func (c *connection) run(from start) error {
	err := c.transport.open(c.firstBytes())
	if err == nil {
		err = c.tellOpen(from)
	}
	if err == nil && c.parks() && !c.odd {
		err = errIdle // what it missed is read, and joined, with what others missed
	}
	if err == nil {
		err = c.pump()
	}
	return c.cause(err)
}

// pump never returns nil.
func (c *connection) pump() error {
	beat := time.NewTimer(c.broker.firstBeat())
	defer beat.Stop()
	due := false // a heartbeat
	for {
		sent, err := c.forward()
		if err == nil && due && !sent {
			err = c.ping()
		}
		if err != nil {
			return err
		}
		if sent || due {
			beat.Reset(c.broker.opts.Heartbeat)
			due = false
		}
		if sent {
			continue
		}
		if c.parks() {
			return errIdle
		}
		select {
		case <-c.woken:
		case <-beat.C:
			due = true
		case <-c.ctx.Done():
			return c.ctx.Err()
		}
	}
}

// parks tells whether the stream may go on without its goroutine.
func (c *connection) parks() bool {
	_, raw := c.transport.(*rawTransport)
	return raw && !c.stays
}

// cause returns why a stream ended: what it was ended with comes before the error that this led to.
func (c *connection) cause(err error) error {
	ended, ours := context.Cause(c.ctx).(endError)
	switch {
	case ours:
		return ended.error
	case err == errIdle:
		return err
	case !errors.Is(c.ctx.Err(), context.Canceled): // also of middleware that gave the request a deadline
		return err
	case errors.Is(err, ErrSlow): // HTTP/2 cancels a request whose write deadline is over
		return err
	}
	return nil // the client left
}

// tellOpen sends buffkit.open, and heals what it has to tell.
func (c *connection) tellOpen(from start) error {
	c.at = from.at
	switch from.state {
	case Fresh:
		return c.opened(c.at.String(), openData{State: Fresh})
	case Gapped:
		return c.tellOpenGap("", 0, c.gapsOfAll(ReasonUnreadable))
	}
	id := ""
	if from.unknown { // by the time the client comes back, another stream of the session may have moved its place
		id = c.at.String()
	}
	b, err := c.read(c.topics, c.at, 1)
	if err != nil {
		return err
	}
	c.odd = c.at.Beyond(b.Next)
	gaps := gapsOf(b.Gaps)
	if len(gaps) == 0 && c.tooFarBehind(b) {
		gaps, b.Behind = c.gapsOfAll(ReasonSlow), 0
	}
	if len(gaps) > 0 {
		return c.tellOpenGap(id, b.Behind, gaps)
	}
	return c.opened(id, openData{State: Resumed, Replay: b.Behind})
}

func (c *connection) tellOpenGap(id string, replay int, gaps []Gap) error {
	return c.heal(gaps, func(gaps []Gap) error {
		return c.opened(id, openData{State: Gapped, Replay: replay, Gaps: gaps})
	})
}

func (c *connection) opened(id string, data openData) error {
	b := c.broker
	data.Session, data.Heartbeat = c.info.Session, b.opts.Heartbeat.Milliseconds()
	buf := getBuffer()
	defer buf.release()
	buf.bytes = appendRetry(buf.bytes, b.jitter(b.opts.Retry))
	buf.bytes = appendControl(buf.bytes, id, nameOpen, data)
	if err := c.write(buf.bytes); err != nil {
		return err
	}
	c.told = true
	b.connected(c, Opened{State: data.State, Replay: data.Replay})
	return nil
}

// forward reads once and sends what is due. It returns false when there was nothing.
func (c *connection) forward() (sent bool, err error) {
	most := readEntries
	if c.slow == Conflate {
		most = conflateEntries
	}
	b, err := c.read(c.topics, c.at, most)
	if err != nil {
		return false, err
	}
	gaps := gapsOf(b.Gaps)
	if len(gaps) == 0 && c.tooFarBehind(b) {
		gaps = c.gapsOfAll(ReasonSlow)
	}
	if len(gaps) > 0 {
		return true, c.heal(gaps, c.tellGap)
	}
	if c.slow == Conflate {
		b.Entries = conflate(b.Entries)
	}
	if err := c.send(b.Entries); err != nil {
		return false, err
	}
	c.at = b.Next
	return len(b.Entries) > 0, nil
}

func (c *connection) tooFarBehind(b eventlog.Batch) bool {
	return c.slow == SkipToLatest && b.Behind > c.broker.opts.Limits.MaxBehind
}

// read reads the log, unless the stream has ended.
func (c *connection) read(topics []string, after eventlog.Cursor, most int) (eventlog.Batch, error) {
	if err := c.ctx.Err(); err != nil {
		return eventlog.Batch{}, err
	}
	b, err := c.broker.log.Read(c.ctx, topics, after, most)
	if err != nil {
		return b, fmt.Errorf("read the log: %w", err)
	}
	return b, nil
}

// send writes entries, as many as fit together in each write.
func (c *connection) send(entries []eventlog.Entry) error {
	for len(entries) > 0 {
		n, err := c.sendSome(entries)
		if err != nil {
			return err
		}
		entries = entries[n:]
		if err := c.ctx.Err(); err != nil {
			return err
		}
	}
	return nil
}

func (c *connection) sendSome(entries []eventlog.Entry) (n int, err error) {
	if len(entries) == 1 || len(entries[0].Frame) >= c.broker.opts.Limits.MaxBatchBytes {
		return 1, c.deliver(entries[:1], entries[0].Frame)
	}
	buf := getBuffer()
	defer buf.release()
	for n < len(entries) && (n == 0 || len(buf.bytes)+len(entries[n].Frame) <= c.broker.opts.Limits.MaxBatchBytes) {
		buf.bytes = append(buf.bytes, entries[n].Frame...)
		n++
	}
	return n, c.deliver(entries[:n], buf.bytes)
}

// deliver writes the joined frames of entries.
func (c *connection) deliver(entries []eventlog.Entry, joined []byte) (err error) {
	if c.audience.gzip && !anyPrivate(entries) {
		joined = c.audience.block(joined)
		err = c.transport.write(joined)
	} else {
		err = c.write(joined)
	}
	if err != nil {
		return err
	}
	c.broker.delivered(c.info, len(entries), len(joined))
	return nil
}

// ping tells a quiet client that the stream lives, and how far it has come.
func (c *connection) ping() error {
	buf := getBuffer()
	defer buf.release()
	buf.bytes = appendPing(buf.bytes, c.at)
	return c.write(buf.bytes)
}

// setTransport gives the stream what it writes to; abort may already have come.
func (c *connection) setTransport(t transport) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.transport = t
}

// abort cuts the stream in the middle of a write.
func (c *connection) abort() {
	c.mu.Lock()
	t := c.transport
	c.mu.Unlock()
	if t != nil {
		t.abort()
	}
}

// close frees what the stream held. Others may still have it in a list of streams to end: abort does nothing from here on, since
// the ResponseWriter, or its connection, may by then serve another request.
func (c *connection) close() {
	if c.expire != nil {
		c.expire()
	}
	c.cancel(nil)
	if c.transport != nil {
		c.transport.close()
	}
}

// retire frees what the stream held when it was parked.
func (c *connection) retire() {
	if c.expire != nil {
		c.expire()
	}
	c.cancel(nil)
}

// goodbye tells the client why the server ends its stream, if it can still be told.
func (c *connection) goodbye(cause error) {
	if word := c.broker.lastWord(c.info, cause); word != nil {
		c.write(word) // nobody is left to tell of an error
	}
}

// lastWord returns what a client is told when its stream ends, nil if it can't be told.
func (b *Broker) lastWord(c Connection, cause error) []byte {
	var broken *brokenError
	if cause == nil || errors.As(cause, &broken) {
		return nil
	}
	bye, status := b.byeFor(cause)
	if status == http.StatusInternalServerError {
		b.logger().Error("push: ended a stream", "connection", c.ID, "session", c.Session, "error", cause)
	}
	return appendBye(nil, bye)
}

// conflate keeps of the entries with the same topic and key the newest, in place.
func conflate(entries []eventlog.Entry) []eventlog.Entry {
	if len(entries) < 2 {
		return entries
	}
	type key struct{ topic, key string }
	newest := make(map[key]eventlog.Offset, len(entries))
	for _, e := range entries {
		newest[key{e.Topic, e.Key}] = e.Offset
	}
	return slices.DeleteFunc(entries, func(e eventlog.Entry) bool {
		return e.Key != "" && newest[key{e.Topic, e.Key}] != e.Offset
	})
}

// buffer joins what leaves in one write.
type buffer struct{ bytes []byte }

var buffers = sync.Pool{New: func() any { return new(buffer) }}

func getBuffer() *buffer { return buffers.Get().(*buffer) }

const maxPooledBuffer = 2 * DefaultMaxBatchBytes

func (b *buffer) release() {
	if cap(b.bytes) <= maxPooledBuffer {
		b.bytes = b.bytes[:0]
		buffers.Put(b)
	}
}

// firstBeat spreads the first heartbeats of streams that began together.
func (b *Broker) firstBeat() time.Duration {
	return b.opts.Heartbeat/2 + rand.N(b.opts.Heartbeat/2+1)
}

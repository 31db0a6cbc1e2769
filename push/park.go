package push

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/buffkit/buffkit/eventlog"
)

// Parking says whether streams may go on without a goroutine.
type Parking int

const (
	// ParkAuto parks every stream that can be: HTTP/1.x, with or without TLS, on Linux, macOS and the BSDs, on a TCP connection that
	// nothing is wrapped around.
	ParkAuto Parking = iota
	// ParkNever leaves every stream its handler's goroutine.
	ParkNever
	// ParkAlways refuses streams that can't be parked, with an error in the log that says why.
	ParkAlways
)

// parked is a stream that holds no goroutine, no buffer and no net.Conn: a handle and a cursor. Its shard alone
// touches it, but for end and wakeOwn.
type parked struct {
	crowd   *crowd
	session *session
	at      eventlog.Cursor // everything before it was sent, or is in the backlog; its crowd's counts if it is in step
	backlog *backlog        // nil if its socket takes more
	heir    atomic.Pointer[connection]
	remote  string
	id      uint64
	since   int64 // nanoseconds since 1970, as are sent and expires
	sent    int64 // the last write
	expires int64 // 0 if it doesn't
	handle  int32
	place   int32 // among those of its crowd that are in step, -1 if it isn't
	seat    int32 // in its slot of the clock's wheel, -1 while that is dealt with
	turn    int32 // in the clock's expiries
	slot    uint8
	listed  bool
	late    bool // it catches up with others
	alone   bool // it is in shard.alone, or will be after its backlog
	gone    bool
	limited bool // it expires because a middleware has given its request so long, not because its grant ends
}

// backlog is what keeps a stream from getting more.
type backlog struct {
	rest  []byte // of an event that was begun; shared with the log
	since time.Time
	end   error // why the stream ends when that is gone, nil if it doesn't
}

// tag tells the medium's news of this stream from those of another with the same handle.
func (p *parked) tag() int32 { return int32(p.id) }

func (p *parked) wakeOwn() { p.crowd.shard.postOwn(p) }

func (p *parked) end(cause error) {
	p.crowd.shard.post(func(in *inbox) { in.ends = append(in.ends, ending{p: p, cause: cause}) })
}

func (p *parked) info() Connection {
	return Connection{
		ID: p.id, Session: p.session.id.String(), User: p.session.user, Remote: p.remote, Since: time.Unix(0, p.since),
	}
}

func (p *parked) expiryCause() error {
	if p.limited {
		return context.DeadlineExceeded
	}
	return ErrExpired
}

// appendTopics appends all topics of the stream: its audience's and its own.
func (p *parked) appendTopics(topics []string) []string {
	return appendOwnTopics(append(topics, p.crowd.audience.topics...), p.session)
}

// appendOwnTopics appends the topics that a stream doesn't share with its audience.
func appendOwnTopics(topics []string, s *session) []string {
	topics = append(topics, topicSession+s.id.String())
	if s.user != "" {
		topics = append(topics, topicUser+s.user)
	}
	return topics
}

// mayPark tells whether the stream of a request may be parked: nothing stands between us and its TCP connection.
func (b *Broker) mayPark(w http.ResponseWriter, r *http.Request) bool {
	if b.opts.Parking == ParkNever || r.ProtoMajor != 1 || r.TLS != nil && !canPoll {
		return false
	}
	if w.Header().Get("Content-Encoding") != "" { // somebody is about to encode what we write
		return false
	}
	_, tcp := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	return tcp
}

// lot returns the shard that can take a connection, nil if there is none.
func (b *Broker) lot(conn net.Conn, id uint64) *shard {
	switch c := conn.(type) {
	case *net.TCPConn:
		if canPoll {
			return b.shards.tcp[id%uint64(len(b.shards.tcp))]
		}
	case *tls.Conn:
		if _, tcp := c.NetConn().(*net.TCPConn); tcp && canPoll {
			return b.shards.tls
		}
	case nonblocking:
		return b.shards.pipes
	}
	return nil
}

// park gives a stream to a shard. It returns false if that can't be done; the stream then stays where it is.
func (b *Broker) park(c *connection) bool {
	conn := c.transport.(*rawTransport).conn
	shard := b.lot(conn, c.info.ID)
	err := shard.start()
	var handle int32
	if err == nil {
		handle, err = shard.medium.detach(conn)
	}
	if err != nil {
		b.logger().Warn("push: can't park a stream; it keeps its goroutine", "connection", c.info.ID, "error", err)
		return false
	}
	p := &parked{
		crowd: c.audience.crowd(shard), session: c.session, at: c.at,
		remote: c.info.Remote, id: c.info.ID, since: c.info.Since.UnixNano(), handle: handle, place: -1,
	}
	if end, limited := c.ctx.Deadline(); limited {
		p.expires, p.limited = end.UnixNano(), !end.Equal(c.expires)
	}
	c.heir.Store(p) // before it is replaced: who ends the one ends the other
	b.replace(c.session, c, p)
	shard.post(func(in *inbox) { in.arrivals = append(in.arrivals, p) })
	c.audience.remove(c)                                      // when it is at its shard: who ends all asks here first, and there then
	if ended, ours := context.Cause(c.ctx).(endError); ours { // before it had an heir
		p.end(ended.error)
	}
	c.retire()
	return true
}

// replace puts a stream in another's place in the lists of its session and its user.
func (b *Broker) replace(s *session, old, by stream) {
	s.replace(old, by)
	if s.user != "" {
		b.streams.replaceUser(s.user, old, by)
	}
}

// unparked ends what a stream held that its shard has closed.
func (b *Broker) unparked(p *parked, cause error) {
	b.replace(p.session, p, nil)
	b.streams.leave(p.crowd.audience)
	b.sessions.detach(p.session)
	b.disconnected(p.info(), cause)
	b.leave()
}

// deliveredTo tells the hook of a write to a parked stream.
func (b *Broker) deliveredTo(p *parked, events, bytes int) {
	if b.opts.Hooks.Delivered != nil {
		b.delivered(p.info(), events, bytes)
	}
}

// resumeRunning gives a stream that left its shard a goroutine, until it can be parked again.
func (b *Broker) resumeRunning(p *parked, conn net.Conn) {
	a := p.crowd.audience
	c := &connection{
		broker: b, info: p.info(), session: p.session, audience: a, topics: p.appendTopics(nil), slow: a.slow,
		woken: make(chan struct{}, 1), at: p.at, told: true,
	}
	c.ctx, c.cancel = context.WithCancelCause(context.Background())
	if p.expires != 0 {
		end := time.Unix(0, p.expires)
		if !p.limited {
			c.expires = end
		}
		c.ctx, c.expire = context.WithDeadlineCause(c.ctx, end, endError{p.expiryCause()})
	}
	c.setTransport(newRaw(conn, b.opts.WriteTimeout))
	a.add(c)
	p.heir.Store(c)
	b.replace(p.session, p, c)
	if ending := b.ending.Load(); ending != nil { // who ends all may have looked here before, and asks the shard too late
		c.end(ending.error)
	}
	go func() { b.afterRun(c, c.cause(c.pump())) }()
}

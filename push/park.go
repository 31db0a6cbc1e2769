package push

import (
	"context"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/buffkit/buffkit/eventlog"
)

// Parking says whether streams may go on without a goroutine.
type Parking int

const (
	// ParkAuto parks every stream that can be: HTTP/1.1 without TLS, on Linux, on a TCP connection that nothing is wrapped around.
	ParkAuto Parking = iota
	// ParkNever leaves every stream its handler's goroutine.
	ParkNever
)

// parked is a stream that holds no goroutine, no buffer and no net.Conn: a descriptor and a cursor. Its shard alone
// touches it, but for end and wakeOwn.
type parked struct {
	shard    *shard
	audience *audience
	session  *session
	at       eventlog.Cursor // everything before it was sent, or is in the backlog
	backlog  *backlog        // what the socket didn't take, nil if nothing
	expiry   *time.Timer     // of the grant's end, nil without one
	heir     atomic.Pointer[connection]
	remote   string
	id       uint64
	since    int64 // nanoseconds since 1970, as sent is
	sent     int64 // the last write
	fd       int32
	place    int32 // in its crowd
	seat     int32 // in its slot
	slot     uint8 // of the shard's heartbeats
	listed   bool
	alone    bool // it is in shard.alone
	gone     bool
}

type backlog struct {
	bytes []byte
	since time.Time
}

// tag tells the poller's news of this stream from those of another with the same descriptor.
func (p *parked) tag() int32 { return int32(p.id) }

func (p *parked) wakeOwn() { p.shard.postOwn(p) }

func (p *parked) end(cause error) {
	p.shard.post(func(in *inbox) { in.ends = append(in.ends, ending{p: p, cause: cause}) })
}

func (p *parked) info() Connection {
	return Connection{
		ID: p.id, Session: p.session.id.String(), User: p.session.user, Remote: p.remote, Since: time.Unix(0, p.since),
	}
}

// appendTopics appends all topics of the stream: its audience's and its own.
func (p *parked) appendTopics(topics []string) []string {
	return appendOwnTopics(append(topics, p.audience.topics...), p.session)
}

// appendOwnTopics appends the topics that a stream doesn't share with its audience.
func appendOwnTopics(topics []string, s *session) []string {
	topics = append(topics, topicSession+s.id.String())
	if s.user != "" {
		topics = append(topics, topicUser+s.user)
	}
	return topics
}

// canPark tells whether the stream of a request may be parked: nothing stands between us and its TCP connection.
func (b *Broker) canPark(r *http.Request) bool {
	if !canPoll || b.opts.Parking == ParkNever || r.ProtoMajor != 1 || r.TLS != nil {
		return false
	}
	_, tcp := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	return tcp
}

// park takes the descriptor out of Go's poller and gives the stream to a shard. It returns false if that can't be done; the stream
// then stays where it is.
func (b *Broker) park(c *connection) bool {
	conn := c.transport.(*rawTransport).plain()
	shard := b.shards[c.info.ID%uint64(len(b.shards))]
	err := shard.start()
	var fd int
	if err == nil {
		fd, err = duplicate(conn)
	}
	if err != nil {
		b.logger().Warn("push: can't park a stream", "connection", c.info.ID, "error", err)
		return false
	}
	p := &parked{
		shard: shard, audience: c.audience, session: c.session, at: c.at,
		remote: c.info.Remote, id: c.info.ID, since: c.info.Since.UnixNano(), fd: int32(fd),
	}
	conn.Close() // the duplicate stays
	if p.expiry = c.expiry; p.expiry == nil && !c.expires.IsZero() {
		p.expiry = time.AfterFunc(time.Until(c.expires), func() { p.end(ErrExpired) })
	}
	c.heir.Store(p) // before it is replaced: who ends the one ends the other
	b.replace(c.session, c, p)
	c.audience.remove(c)
	p.shard.post(func(in *inbox) { in.arrivals = append(in.arrivals, p) })
	if ended, ours := context.Cause(c.ctx).(endError); ours { // before it had an heir
		p.end(ended.error)
	}
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
	if p.expiry != nil {
		p.expiry.Stop()
	}
	b.replace(p.session, p, nil)
	b.streams.leave(p.audience)
	b.sessions.detach(p.session)
	b.disconnected(p.info(), cause)
	b.leave()
}

// deliveredTo tells the hook of a write to a parked stream.
func (b *Broker) deliveredTo(p *parked, events, bytes int) {
	if b.opts.Hooks.Delivered != nil && events > 0 {
		b.delivered(p.info(), events, bytes)
	}
}

// resumeRunning gives a stream that left its shard a goroutine, until it can be parked again.
func (b *Broker) resumeRunning(p *parked) {
	c := &connection{
		broker: b, info: p.info(), session: p.session, audience: p.audience, topics: p.appendTopics(nil), slow: p.audience.slow,
		woken: make(chan struct{}, 1), at: p.at, told: true, expiry: p.expiry,
	}
	c.ctx, c.cancel = context.WithCancelCause(context.Background())
	conn, err := adopt(int(p.fd))
	if err != nil {
		conn, _ = net.Pipe()
		conn.Close()
	}
	c.setTransport(newRaw(conn, b.opts.WriteTimeout))
	c.audience.add(c)
	p.heir.Store(c)
	b.replace(p.session, p, c)
	go func() {
		if err == nil {
			err = c.pump()
		}
		b.afterRun(c, c.cause(err))
	}()
}

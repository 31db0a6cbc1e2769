package push

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/buffkit/buffkit/eventlog"
)

// Headers of docs/wire.md, section 1.
const (
	headerClient  = "Buffkit-Client"
	headerSession = "Buffkit-Session"
)

// ServeHTTP serves a stream until its client leaves, or a goodbye. See docs/wire.md.
func (b *Broker) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "a stream is read with GET", http.StatusMethodNotAllowed)
		return
	}
	if r.ContentLength != 0 { // net/http reads it before it answers, for as long as the client likes, unless it can't
		http.NewResponseController(w).SetReadDeadline(time.Now())
		w.Header().Set("Connection", "close")
		http.Error(w, "a request for a stream has no body", http.StatusBadRequest)
		return
	}
	if err := b.serve(w, r); err != nil {
		b.refuse(w, r, err)
	}
}

// serve returns an error if the stream wasn't begun.
func (b *Broker) serve(w http.ResponseWriter, r *http.Request) error {
	if err := b.hasRoom(); err != nil { // before the app is troubled
		return err
	}
	grant, err := b.grant(r)
	if err != nil {
		return err
	}
	if err := b.checkWriter(w); err != nil {
		return err
	}
	if r.Method == http.MethodHead {
		w.Header().Set("Content-Type", "text/event-stream")
		return nil
	}
	if b.crowded(grant.User, b.streams.userStreams(grant.User)) {
		return ErrTooManyConnections
	}
	if err := b.enter(); err != nil {
		return err
	}
	s, from, err := b.session(w, r, grant)
	if err != nil {
		b.leave()
		return err
	}
	c := b.newConnection(r, grant, s, b.compresses(w, r))
	err = b.follow(c)
	if err == nil {
		err = b.connect(c, w, r)
	}
	if err != nil {
		b.release(c)
		return err
	}
	b.afterRun(c, c.run(from))
	return nil
}

// compresses tells whether a stream is compressed.
func (b *Broker) compresses(w http.ResponseWriter, r *http.Request) bool {
	if !b.opts.Compress || w.Header().Get("Content-Encoding") != "" { // or somebody else is about to encode it
		return false
	}
	w.Header().Add("Vary", "Accept-Encoding")
	return acceptsGzip(r)
}

// connect gives a stream its transport.
func (b *Broker) connect(c *connection, w http.ResponseWriter, r *http.Request) error {
	if b.mayPark(w, r) {
		raw, err := hijack(w, r, &b.opts, c.audience.gzip)
		if err == nil {
			if c.stays = b.lot(raw.conn, c.info.ID) == nil; c.stays {
				c.watched = true
				go raw.watchGone(c.cancel)
			}
			c.setTransport(raw)
			if c.stays && b.opts.Parking == ParkAlways { // net/http's answer can't be had any more
				c.end(cantPark(r, raw.conn))
			}
			return nil
		}
		if !errors.Is(err, http.ErrNotSupported) {
			return fmt.Errorf("push: take over the connection: %w", err)
		}
	}
	if b.opts.Parking == ParkAlways {
		return cantPark(r, w)
	}
	c.setTransport(newSSE(w, b.opts.WriteTimeout, c.audience.gzip))
	return nil
}

// cantPark names what stands between a stream and its TCP connection.
func cantPark(r *http.Request, between any) error {
	if c, ok := between.(*tls.Conn); ok {
		between = c.NetConn()
	}
	return fmt.Errorf("push: Options.Parking is ParkAlways, and the stream of a %s request can't be parked: %T isn't, or doesn't let go of, "+
		"a TCP connection of HTTP/1 on a system with epoll or kqueue", r.Proto, between)
}

// afterRun parks a stream that is idle, and ends one that is over.
func (b *Broker) afterRun(c *connection, cause error) {
	for cause == errIdle {
		if b.park(c) {
			return
		}
		c.stays, c.watched = true, true
		go c.transport.(*rawTransport).watchGone(c.cancel)
		cause = c.cause(c.pump())
	}
	c.goodbye(cause)
	if c.told {
		b.disconnected(c.info, cause)
	}
	b.release(c)
}

// release gives back all that a stream held.
func (b *Broker) release(c *connection) {
	c.close()
	b.replace(c.session, c, nil)
	c.audience.remove(c)
	b.streams.leave(c.audience)
	b.sessions.detach(c.session)
	b.leave()
}

// grant asks the app, and holds its answer against the limits.
func (b *Broker) grant(r *http.Request) (g Grant, err error) {
	defer b.recoverTo(&err, "AuthorizeFunc")
	g, err = b.authorize(r)
	if err != nil {
		return g, err
	}
	return g, g.check(b.opts.Limits)
}

// checkWriter refuses a ResponseWriter that can't stream, and says what hides it; a missing deadline is only a pity.
func (b *Broker) checkWriter(w http.ResponseWriter) error {
	flush, deadline := canStream(w)
	if !flush {
		return fmt.Errorf("push: %T can't flush: a middleware hides the server's ResponseWriter; give its wrapper an Unwrap method, "+
			"and don't put http.TimeoutHandler around streams", w)
	}
	if !deadline {
		if _, told := b.warned.LoadOrStore(fmt.Sprintf("%T", w), true); !told {
			b.logger().Warn("push: no write deadlines: a client that doesn't read holds its stream until its connection breaks, and the "+
				"server's WriteTimeout ends streams; give the wrapper an Unwrap method", "wrapper", fmt.Sprintf("%T", w))
		}
	}
	return nil
}

// start is where a stream begins: Fresh at the head, Resumed at what the client says, or Gapped if what it says isn't a cursor.
type start struct {
	at      eventlog.Cursor
	state   State
	unknown bool // to the client: the place is the session's
}

// startOf reads the cursor of a request. The newest source comes first: Last-Event-ID, which the client moves on, before the
// cursor in the URL, which a page was rendered with, before that of the session, which it last proved to have.
func startOf(r *http.Request, session eventlog.Cursor) start {
	var at eventlog.Cursor
	var err error
	if text := r.Header.Get("Last-Event-ID"); text != "" {
		at, err = eventlog.ParseCursor(text)
	} else {
		var query url.Values
		if query, err = url.ParseQuery(r.URL.RawQuery); err == nil { // else what was left out may have been the cursor
			at, err = eventlog.ParseCursor(query.Get("cursor"))
		}
	}
	switch {
	case err != nil:
		return start{at: session, state: Gapped}
	case !at.IsZero():
		return start{at: at, state: Resumed}
	case !session.IsZero():
		return start{at: session, state: Resumed, unknown: true}
	}
	return start{state: Fresh}
}

// session connects to the session that the request's token names, or to a new one, gives the client its next token, and says where
// the stream begins.
func (b *Broker) session(w http.ResponseWriter, r *http.Request, grant Grant) (s *session, from start, err error) {
	s, generation, err := b.joinSession(r, grant.User)
	if err != nil {
		return nil, from, err
	}
	if from = startOf(r, s.place()); from.at.IsZero() {
		from.at, err = b.log.Head(r.Context())
	}
	if err == nil {
		s.proved(from.at)
		err = b.giveToken(w, r, s, generation)
	}
	if err != nil {
		b.sessions.detach(s)
	}
	return s, from, err
}

// joinSession connects to a session, and returns the generation of its next token.
func (b *Broker) joinSession(r *http.Request, user string) (*session, uint32, error) {
	token := b.tokenOf(r)
	switch {
	case token == "" && b.fleet == nil:
		return b.sessions.start(user), 0, nil
	case token == "":
		return b.fleet.start(r.Context(), user)
	}
	t, err := b.keys.open(token)
	if err != nil {
		return nil, 0, err
	}
	if t.user != user {
		return nil, 0, ErrTokenForeign
	}
	if b.fleet != nil {
		return b.fleet.resume(r.Context(), t)
	}
	return b.resumeAlone(t)
}

// resumeAlone connects to the session of a ticket by what this process knows.
func (b *Broker) resumeAlone(t ticket) (*session, uint32, error) {
	s, generation, err := b.sessions.resume(t)
	if errors.Is(err, ErrTokenReplayed) {
		b.revoked(s, err)
	}
	return s, generation, err
}

func (b *Broker) tokenOf(r *http.Request) string {
	if token := r.Header.Get(headerSession); token != "" {
		return token
	}
	if b.opts.SessionCookie == "" {
		return ""
	}
	cookie, err := r.Cookie(b.opts.SessionCookie)
	if err != nil {
		return ""
	}
	return cookie.Value
}

// giveToken sets the headers that carry a session's token, where somebody will read them.
func (b *Broker) giveToken(w http.ResponseWriter, r *http.Request, s *session, generation uint32) error {
	named := r.Header.Get(headerClient) != ""
	if !named && b.opts.SessionCookie == "" {
		return nil
	}
	token, err := b.keys.mint(s.id, s.user, generation, s.place())
	if err != nil {
		return fmt.Errorf("push: sign a session token: %w", err)
	}
	if named {
		w.Header().Set(headerSession, token)
	}
	if b.opts.SessionCookie != "" {
		b.setCookie(w, r, token, int(b.opts.TokenTTL/time.Second))
	}
	return nil
}

func (b *Broker) setCookie(w http.ResponseWriter, r *http.Request, value string, maxAge int) {
	http.SetCookie(w, &http.Cookie{
		Name: b.opts.SessionCookie, Value: value, Path: "/", MaxAge: maxAge,
		HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: r.TLS != nil || b.opts.SessionCookieSecure,
	})
}

// crowded tells whether the user of so many streams may have no more.
func (b *Broker) crowded(user string, streams int) bool {
	return user != "" && streams >= b.opts.Limits.MaxConnectionsPerUser
}

// follow puts a connection into the index. From here on it is woken.
func (b *Broker) follow(c *connection) error {
	c.audience.add(c)
	c.session.add(c)
	if c.info.User != "" && b.crowded(c.info.User, b.streams.joinUser(c.info.User, c)) {
		return ErrTooManyConnections // of several that came at the same time, those that found room before it stay
	}
	if !c.session.live() { // who revoked it before has missed this stream
		return ErrRevoked
	}
	return b.goingDown() // the same
}

// refuse answers a request that gets no stream, so that an EventSource comes back instead of giving up.
func (b *Broker) refuse(w http.ResponseWriter, r *http.Request, err error) {
	b.refused(r.RemoteAddr, err)
	if errors.Is(err, ErrStop) {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	bye, status := b.byeFor(err)
	if status == http.StatusInternalServerError && r.Context().Err() == nil { // else the client left, and the app says so
		b.logger().Error("push: refused a stream", "remote", r.RemoteAddr, "error", err)
	}
	if isTokenError(err) && b.opts.SessionCookie != "" {
		b.setCookie(w, r, "", -1)
	}
	h := w.Header()
	h.Set("Cache-Control", "no-cache, no-transform")
	if readsStatus(r) {
		h.Set("Content-Type", "application/json")
		h.Set("Retry-After", strconv.FormatInt((bye.Retry+999)/1000, 10))
		w.WriteHeader(status)
		json.NewEncoder(w).Encode(bye)
		return
	}
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no")
	w.WriteHeader(http.StatusOK)
	w.Write(appendBye(nil, bye))
}

// readsStatus tells whether the client sees a status: an EventSource doesn't, and gives up for good.
func readsStatus(r *http.Request) bool {
	return r.Header.Get(headerClient) != "" || !strings.Contains(r.Header.Get("Accept"), "text/event-stream")
}

func isTokenError(err error) bool {
	for _, e := range []error{ErrTokenInvalid, ErrTokenExpired, ErrTokenForeign, ErrTokenReplayed, ErrRevoked} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// newConnection makes the record of a stream. Its context ends with the request, at the grant's end, or by end.
func (b *Broker) newConnection(r *http.Request, grant Grant, s *session, gzip bool) *connection {
	c := &connection{
		broker:   b,
		info:     Connection{ID: b.ids.Add(1), Session: s.id.String(), User: grant.User, Remote: r.RemoteAddr, Since: time.Now()},
		session:  s,
		audience: b.streams.join(append(slices.Clone(grant.Topics), topicAll), grant.Slow, gzip),
		slow:     grant.Slow,
		woken:    make(chan struct{}, 1),
		expires:  grant.Expires,
	}
	c.topics = appendOwnTopics(slices.Clone(c.audience.topics), s)
	c.ctx, c.cancel = context.WithCancelCause(r.Context())
	if !grant.Expires.IsZero() {
		c.ctx, c.expire = context.WithDeadlineCause(c.ctx, grant.Expires, endError{ErrExpired})
	}
	return c
}

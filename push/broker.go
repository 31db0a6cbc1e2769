package push

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/buffkit/buffkit/eventlog"
)

// Event is what is published.
type Event = eventlog.Event

// Broker serves streams and wakes them when there is news. All its methods may be called at the same time.
type Broker struct {
	authorize AuthorizeFunc
	opts      Options
	log       eventlog.Log
	ownsLog   bool
	keys      *keyring
	sessions  *sessions
	fleet     *fleet // nil without Options.Sessions
	wakes     *dispatcher
	streams   index
	shards    shards
	commits   committer
	logInto   logInto      // nil if the log isn't one
	logAll    logAll       // nil if the log isn't one
	open      atomic.Int64 // streams; raised under mu
	ids       atomic.Uint64
	warned    sync.Map // types of ResponseWriter that were complained about

	ctx     context.Context // ends with Close
	cancel  context.CancelFunc
	running sync.WaitGroup // the broker's own goroutines

	ending atomic.Pointer[endError] // why all streams end; set before they are looked for

	mu       sync.Mutex // guards what follows
	draining bool
	closed   bool
	handlers sync.WaitGroup // open streams; added to under mu and only while not closed
}

// New returns a broker that lets authorize decide who may read what. Close ends it. It returns an error if an option is
// wrong.
func New(authorize AuthorizeFunc, opts *Options) (*Broker, error) {
	if authorize == nil {
		return nil, errors.New("push: New needs an AuthorizeFunc: it decides who may read what; Public(topics...) opens topics to everybody")
	}
	o, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	b := &Broker{authorize: authorize, opts: o, log: o.Log, wakes: newDispatcher()}
	if b.log == nil {
		b.log, b.ownsLog = eventlog.NewMemory(nil), true
	}
	b.commits.log = b.log
	b.logInto, _ = b.log.(logInto)
	b.logAll, _ = b.log.(logAll)
	b.keys = newKeyring(o.Keys, o.TokenTTL)
	b.sessions = newSessions(&b.opts)
	b.ctx, b.cancel = context.WithCancel(context.Background())
	b.streams.init()
	b.shards = newShards(b)
	if o.Sessions != nil {
		b.fleet = newFleet(b)
		b.sessions.fleet = b.fleet
		b.fleet.begin()
	}
	b.running.Go(b.watch)
	b.running.Go(b.dispatch)
	b.running.Go(b.sweepSessions)
	return b, nil
}

// Publish stores an event and returns its cursor, which is its id on the wire. It doesn't wait for any client.
//
// Errors: ErrBadTopic, ErrBadName, ErrClosed, the context's, and those of the log's Append: *eventlog.EventError, eventlog.ErrFull, eventlog.ErrClosed
// if the log was closed before the broker, and eventlog.ErrUnknownOutcome and ErrNotVisible of logs that outlive a process. If the broker was closed
// while the log was at it, the error wraps both ErrClosed and the log's.
func (b *Broker) Publish(ctx context.Context, event Event) (eventlog.Cursor, error) {
	return one(b.PublishAll(ctx, event))
}

// PublishAll stores the events in their order, all of them or none, and returns a cursor for each. Errors: those of Publish.
func (b *Broker) PublishAll(ctx context.Context, events ...Event) ([]eventlog.Cursor, error) {
	for i := range events {
		if err := checkTopic(events[i].Topic); err != nil {
			return nil, fmt.Errorf("publish event %d: %w", i, err)
		}
	}
	return b.append(ctx, events)
}

// SendAll sends an event to every stream, whatever topics it follows. The event's Topic must be empty. Errors: those of Publish.
func (b *Broker) SendAll(ctx context.Context, event Event) (eventlog.Cursor, error) {
	return b.send(ctx, topicAll, event)
}

// SendUser sends an event to all streams of a Grant.User, those that are away and resume included. The event's Topic must be
// empty. Errors: those of Publish.
func (b *Broker) SendUser(ctx context.Context, user string, event Event) (eventlog.Cursor, error) {
	if user == "" {
		return eventlog.Cursor{}, fmt.Errorf("%w: send to a user without a name", ErrBadTopic)
	}
	return b.send(ctx, topicUser+user, event)
}

// SendSession sends an event to a session: now, or when it resumes; with Options.Sessions at whatever node. While that store
// doesn't answer, any id may be a session. The event's Topic must be empty.
// Errors: ErrNoSession, and those of Publish.
func (b *Broker) SendSession(ctx context.Context, session string, event Event) (eventlog.Cursor, error) {
	known := b.sessions.has(session)
	if !known && b.fleet != nil {
		known = b.fleet.has(ctx, session)
	}
	if !known {
		return eventlog.Cursor{}, fmt.Errorf("send to %.64q: %w", session, ErrNoSession)
	}
	return b.send(ctx, topicSession+session, event)
}

func (b *Broker) send(ctx context.Context, topic string, event Event) (eventlog.Cursor, error) {
	if event.Topic != "" {
		return eventlog.Cursor{}, fmt.Errorf("%w: an event that is sent has no topic, this one has %.64q", ErrBadTopic, event.Topic)
	}
	event.Topic = topic
	return one(b.append(ctx, []Event{event}))
}

func one(cursors []eventlog.Cursor, err error) (eventlog.Cursor, error) {
	if err != nil {
		return eventlog.Cursor{}, err
	}
	return cursors[0], nil
}

func (b *Broker) append(ctx context.Context, events []Event) ([]eventlog.Cursor, error) {
	if b.ctx.Err() != nil {
		return nil, fmt.Errorf("publish: %w", ErrClosed)
	}
	for i := range events {
		if err := checkName(events[i].Name); err != nil {
			return nil, fmt.Errorf("publish event %d: %w", i, err)
		}
	}
	cursors, err := b.commits.append(ctx, events)
	if err != nil && b.ctx.Err() != nil {
		err = fmt.Errorf("%w: %w", ErrClosed, err) // meanwhile; the events may be stored all the same, which err says
	}
	if err != nil {
		return nil, fmt.Errorf("publish: %w", err)
	}
	for i := range events {
		b.published(&events[i])
	}
	return cursors, nil
}

// Cursor returns the place of now: a stream that starts there gets what is published after the call.
func (b *Broker) Cursor(ctx context.Context) (eventlog.Cursor, error) {
	if b.ctx.Err() != nil {
		return eventlog.Cursor{}, ErrClosed
	}
	return b.log.Head(ctx)
}

// Stats is what a broker has now.
type Stats struct {
	Connections int // open streams
	Parked      int // of these, those without a goroutine
	Sessions    int // connected or not, as in Broker.Sessions
	// SessionsDown says that the store of Options.Sessions doesn't answer.
	SessionsDown bool
}

// Stats returns what the broker has now. It is cheap.
func (b *Broker) Stats() Stats {
	stats := Stats{Connections: int(b.open.Load()), Sessions: int(b.sessions.count.Load())}
	b.shards.each(func(s *shard) { stats.Parked += int(s.parked.Load()) })
	stats.SessionsDown = b.fleet != nil && b.fleet.isDown()
	return stats
}

// Check publishes a canary and waits until it woke this broker: that proves the way of an event from the log to the streams.
// It returns the error of the log, or the context's when the canary doesn't come: give it a deadline.
func (b *Broker) Check(ctx context.Context) error {
	sung := b.wakes.awaitCanary()
	if b.ctx.Err() != nil {
		return ErrClosed
	}
	if _, err := b.log.Append(ctx, Event{Topic: topicCanary}); err != nil {
		return fmt.Errorf("push: canary: %w", err)
	}
	select {
	case <-sung:
		return nil
	case <-b.ctx.Done():
		return ErrClosed
	case <-ctx.Done():
		return fmt.Errorf("push: the log took a canary but didn't wake the streams: %w", ctx.Err())
	}
}

// Close ends all streams with a goodbye and stops the broker. Streams that take no goodbye are cut after closeGrace. It returns
// when everything has stopped; a second Close returns ErrClosed.
func (b *Broker) Close() error {
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return ErrClosed
	}
	b.closed = true
	b.mu.Unlock()

	b.endStreams(ErrClosed)
	b.cancel()
	b.running.Wait()
	if b.ownsLog {
		return b.log.Close()
	}
	return nil
}

// closeGrace is what Close waits for goodbyes to be taken.
const closeGrace = time.Second

func (b *Broker) endStreams(cause error) {
	b.endAll(cause)
	cut := time.AfterFunc(closeGrace, b.abortAll)
	b.handlers.Wait()
	cut.Stop()
}

// endAll ends every stream. One that moves between its goroutine and a shard meanwhile passes its end on.
func (b *Broker) endAll(cause error) {
	b.ending.CompareAndSwap(nil, &endError{cause})
	for _, c := range b.streams.running() {
		c.end(cause)
	}
	b.shards.post(func(in *inbox) { in.ends = append(in.ends, ending{cause: cause, of: 1}) })
}

// abortAll cuts the streams that are in the middle of a write.
func (b *Broker) abortAll() {
	b.shards.post(func(in *inbox) { in.ends = append(in.ends, ending{cause: ErrSlow, of: 1, cut: true}) })
	for _, c := range b.streams.running() {
		c.abort()
	}
}

// enter counts a stream in, unless the broker is going down or full.
func (b *Broker) enter() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.hasRoomLocked(); err != nil {
		return err
	}
	b.handlers.Add(1)
	b.open.Add(1)
	return nil
}

// hasRoom is what enter will say, unless things change.
func (b *Broker) hasRoom() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.hasRoomLocked()
}

func (b *Broker) hasRoomLocked() error {
	if err := b.goingDownLocked(); err != nil {
		return err
	}
	if b.open.Load() >= int64(b.opts.Limits.MaxConnections) {
		return ErrTooManyConnections
	}
	return nil
}

func (b *Broker) goingDown() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.goingDownLocked()
}

func (b *Broker) goingDownLocked() error {
	switch {
	case b.closed:
		return ErrClosed
	case b.draining:
		return ErrDraining
	}
	return nil
}

func (b *Broker) leave() {
	b.open.Add(-1)
	b.handlers.Done()
}

func (b *Broker) logger() *slog.Logger { return b.opts.Logger }

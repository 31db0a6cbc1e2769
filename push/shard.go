package push

import (
	"context"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/buffkit/buffkit/eventlog"
)

// shard is one writer for many parked streams. Its goroutine alone touches them; everybody else leaves notes in its inbox.
// It never waits for a client: what a socket doesn't take now goes out when the medium says so.
//
// A round takes the inbox and serves the crowds that have news: one read for all who are in step, then one write for each. What
// a stream's own topics have, its session's and its user's, is for it alone. Events of either kind must leave in the
// order of their offsets, so before a crowd's bytes go out, the inbox is asked again: the log wakes before an event can be read, so news
// of a member's own that stand before what was read for the crowd are in the inbox by then, and that member is served alone.
//
// Those that catch up are served between rounds, some at a time, so that a thousand that came back don't hold up those that are here.
type shard struct {
	broker *Broker
	open   func() (medium, error)
	news   chan struct{} // one, if there is something in the inbox

	starting sync.Once
	failed   error // why it can't start
	started  atomic.Bool
	medium   medium
	parked   atomic.Int64 // streams

	mu    sync.Mutex // guards inbox
	inbox inbox

	// Its goroutine alone touches what follows.

	taken    inbox // the notes of this round; its memory is that of the round before the last
	byHandle []*parked
	late     []*crowd  // that have members to catch up
	alone    []*parked // that are to be served alone
	clock    clock
	now      time.Time
	window   window // of the crowd, or the stream, that is served
	glance   window // of one of many crowds that are served
	asks     []eventlog.Ask
	lateness window   // of those that catch up: kept, since many come back at the same place
	latest   *crowd   // whose it is
	lateRead bool     // it was read in this turn of theirs
	topics   []string // scratch, as are those that follow
	buf      []byte
	stored   []byte
	scratch  []eventlog.Entry
	seen     int
}

// inbox is notes for a shard.
type inbox struct {
	arrivals []*parked
	crowds   []*crowd
	own      []*parked // have news of their own
	ready    []readiness
	ends     []ending
	all      bool // all may have news of their own
}

type ending struct {
	p        *parked // nil: those whose id leaves rest when divided by of
	cause    error
	rest, of uint64
	cut      bool // without a word
}

// newShards returns a writer for each processor. What streams write to is opened with the first of them: a broker that has none costs
// no descriptor, and can be tested in a bubble whose time stands still while something waits in the kernel.
func newShards(b *Broker) (all shards) {
	for range runtime.GOMAXPROCS(0) {
		all.tcp = append(all.tcp, newShard(b, func() (medium, error) { return newKernel() }))
	}
	all.pipes = newShard(b, func() (medium, error) { return newPipes(), nil })
	tls := newShard(b, nil)
	tls.open = func() (medium, error) { return newTLSMedium(&b.opts, tls.postReady) }
	all.tls = tls
	return all
}

type shards struct {
	tcp   []*shard
	tls   *shard // one: its workers do what takes time
	pipes *shard
}

func (s *shards) each(f func(*shard)) {
	for _, shard := range s.tcp {
		f(shard)
	}
	f(s.tls)
	f(s.pipes)
}

// post leaves a note for all of them.
func (s *shards) post(add func(*inbox)) {
	s.each(func(one *shard) { one.post(add) })
}

func newShard(b *Broker, open func() (medium, error)) *shard {
	return &shard{broker: b, open: open, news: make(chan struct{}, 1)}
}

// start begins to serve.
func (s *shard) start() error {
	s.starting.Do(func() {
		if s.medium, s.failed = s.open(); s.failed != nil {
			return
		}
		s.started.Store(true)
		s.broker.running.Go(s.run)
		s.broker.running.Go(s.poll) // ends when run stops the medium
	})
	return s.failed
}

// post leaves a note; add is called under the inbox's lock. A shard that hasn't started has nobody to whom it would matter.
func (s *shard) post(add func(*inbox)) {
	if !s.started.Load() {
		return
	}
	s.mu.Lock()
	add(&s.inbox)
	s.mu.Unlock()
	signal(s.news)
}

// postNews says that the topics of these crowds, which are the shard's, may have news. It doesn't block.
func (s *shard) postNews(crowds []*crowd) {
	s.mu.Lock()
	for _, c := range crowds {
		if !c.news.Swap(true) {
			s.inbox.crowds = append(s.inbox.crowds, c)
		}
	}
	s.mu.Unlock()
	signal(s.news)
}

func (s *shard) postOwn(p *parked) {
	s.mu.Lock()
	s.inbox.own = append(s.inbox.own, p)
	s.mu.Unlock()
	signal(s.news)
}

// postReady leaves what was seen of a handle.
func (s *shard) postReady(r readiness) {
	s.mu.Lock()
	s.inbox.ready = append(s.inbox.ready, r)
	s.mu.Unlock()
	signal(s.news)
}

// poll passes on what the medium sees, until it is stopped.
func (s *shard) poll() {
	var seen []readiness
	for {
		var err error
		if seen, err = s.medium.wait(seen[:0]); err != nil {
			if s.broker.ctx.Err() == nil {
				s.broker.logger().Error("push: the poller stopped; goodbyes of parked streams are noticed at the next write", "error", err)
			}
			return
		}
		s.mu.Lock()
		s.inbox.ready = append(s.inbox.ready, seen...)
		s.mu.Unlock()
		signal(s.news)
	}
}

// run serves until the broker ends. By then its streams are gone.
func (s *shard) run() {
	defer s.medium.stop()
	s.clock.init(s.broker.opts)
	defer s.clock.stop()
	for {
		if s.hasLate() {
			select {
			case <-s.broker.ctx.Done():
				return
			default:
			}
		} else {
			select {
			case <-s.news:
			case <-s.clock.C():
			case <-s.broker.ctx.Done():
				return
			}
		}
		s.now = time.Now()
		s.tick()
		s.round()
		s.catchUp()
		s.clock.set(s)
	}
}

// round does what the inbox asks for.
func (s *shard) round() {
	s.take()
	in := &s.taken
	for _, p := range in.arrivals {
		s.admit(p)
	}
	for _, r := range in.ready {
		s.ready(r)
	}
	for _, p := range in.own {
		s.beAlone(p)
	}
	if in.all {
		s.allAlone()
	}
	for some := range slices.Chunk(in.crowds, together) {
		s.serveCrowds(some)
	}
	for _, e := range in.ends { // after what was published before
		s.endThose(e)
	}
}

// lookAt brings what it takes to serve these crowds into the cache, all of it at once. See rousing.
func (s *shard) lookAt(crowds []*crowd) {
	for _, c := range crowds {
		s.seen += len(c.step)
	}
	for _, c := range crowds {
		if len(c.step) > 0 {
			s.seen += int(c.step[0].handle)
		}
		s.seen += len(c.audience.topics)
	}
}

// take empties the inbox into taken.
func (s *shard) take() {
	old := s.taken
	clear(old.arrivals)
	clear(old.crowds)
	clear(old.own)
	clear(old.ends)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.taken = s.inbox
	s.inbox = inbox{
		arrivals: old.arrivals[:0], crowds: old.crowds[:0], own: old.own[:0], ready: old.ready[:0], ends: old.ends[:0],
	}
}

// takeOwn takes only the notes about streams' own topics.
func (s *shard) takeOwn() {
	s.mu.Lock()
	own, all := s.inbox.own, s.inbox.all
	s.inbox.own, s.inbox.all = nil, false
	s.mu.Unlock()
	if all {
		s.allAlone()
	}
	for _, p := range own {
		s.beAlone(p)
	}
}

// allAlone is for when all may have news of their own. It doesn't ask the clock, which may have some of them in hand.
func (s *shard) allAlone() {
	for _, p := range s.byHandle {
		if p != nil {
			s.beAlone(p)
		}
	}
}

// admit lists a stream that was parked, and lets it catch up: with others, or, if it has missed something of its own, alone.
func (s *shard) admit(p *parked) {
	if p.gone { // it was ended on its way, and its handle may by now be another's
		return
	}
	if err := s.medium.add(p.handle, p.tag()); err != nil {
		s.drop(p, &brokenError{err})
		return
	}
	for int(p.handle) >= len(s.byHandle) {
		s.byHandle = append(s.byHandle, make([]*parked, len(s.byHandle)+64)...)
	}
	s.byHandle[p.handle] = p
	p.listed = true
	first := s.now.Add(s.broker.firstBeat()) // those that came together don't beat together
	p.sent = first.Add(-s.broker.opts.Heartbeat).UnixNano()
	s.clock.add(p, s.now, first)
	s.parked.Add(1)
	if ended := p.backlog; ended != nil {
		p.backlog = nil
		s.sayGoodbye(p, ended.end)
		return
	}
	if ending := s.broker.ending.Load(); ending != nil { // who ends all may have looked where it wasn't yet, or no more
		s.sayGoodbye(p, ending.error)
		return
	}

	s.topics = appendOwnTopics(s.topics[:0], p.session)
	own, err := s.broker.readInto(context.Background(), s.scratch[:0], s.topics, p.at, 1)
	switch {
	case err != nil:
		s.sayGoodbye(p, err)
	case own.Behind == 0 && len(own.Gaps) == 0:
		s.beLate(p)
	default:
		s.beAlone(p)
	}
	s.scratch = own.Entries
}

// unlist is the reverse of admit.
func (s *shard) unlist(p *parked) {
	p.gone = true
	if !p.listed {
		return
	}
	p.listed = false
	s.byHandle[p.handle] = nil
	p.crowd.leave(p)
	s.clock.remove(p)
	s.parked.Add(-1)
}

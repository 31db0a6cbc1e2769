package push

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/buffkit/buffkit/eventlog"
)

// shard is one writer for many parked streams. Its goroutine alone touches them; everybody else leaves notes in its inbox.
// It never waits for a client: what a socket doesn't take now is kept, and goes out when the poller says so.
//
// A round takes the inbox and serves the crowds that have news: one read for all of a crowd, then one write for each member. What
// a stream's own topics have, its session's and its user's, is for it alone. Events of either kind must leave in the
// order of their offsets, so before a crowd's bytes go out, the inbox is asked again: the log wakes before an event can be read, so news
// of a member's own that stand before what was read for the crowd are in the inbox by then, and that member is served alone.
type shard struct {
	broker *Broker
	number int           // its place in Broker.shards and audience.crowds
	news   chan struct{} // one, if there is something in the inbox

	starting sync.Once
	failed   error // why it can't start
	started  atomic.Bool
	poller   *poller
	parked   atomic.Int64 // streams

	mu    sync.Mutex // guards inbox
	inbox inbox

	taken   inbox     // the notes of this round; its memory is that of the round before the last
	byFD    []*parked // by descriptor
	slots   [beatSlots][]*parked
	slot    int       // whose turn it is
	alone   []*parked // that are to be served alone
	waiting []*parked // whose socket took not all, the longest waiting first; some may be done or gone
	window  window
	topics  []string
	buf     []byte
	now     time.Time
}

// inbox is notes for a shard.
type inbox struct {
	arrivals []*parked
	crowds   []*crowd
	own      []*parked
	ready    []readiness
	ends     []ending
	all      bool // all may have news of their own
}

type ending struct {
	p        *parked // nil: those whose id leaves rest when divided by of
	cause    error
	rest, of uint64
}

const (
	beatSlots     = 8   // heartbeats come in so many groups, each of which is looked at twice in a heartbeat's time
	windowEntries = 256 // of one read for a crowd
)

func newShard(b *Broker, number int) *shard {
	return &shard{broker: b, number: number, news: make(chan struct{}, 1)}
}

// start begins to serve, with the first stream to be parked. A broker that has none costs no descriptor, and can be tested in a bubble
// whose time stands still while something waits in the kernel.
func (s *shard) start() error {
	s.starting.Do(func() {
		if s.poller, s.failed = newPoller(); s.failed != nil {
			return
		}
		s.started.Store(true)
		s.broker.running.Go(s.run)
		s.broker.running.Go(s.poll) // ends when run closes the poller
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

func (s *shard) postNews(c *crowd) {
	if !s.started.Load() {
		c.news.Store(false)
		return
	}
	s.mu.Lock()
	s.inbox.crowds = append(s.inbox.crowds, c)
	s.mu.Unlock()
	signal(s.news)
}

func (s *shard) postOwn(p *parked) {
	s.mu.Lock()
	s.inbox.own = append(s.inbox.own, p)
	s.mu.Unlock()
	signal(s.news)
}

// poll passes on what the poller sees, until it is closed.
func (s *shard) poll() {
	for {
		seen, err := s.poller.wait(nil)
		if err != nil {
			if s.broker.ctx.Err() == nil {
				s.broker.logger().Error("push: the poller stopped; goodbyes of parked streams are noticed at the next write", "error", err)
			}
			return
		}
		s.post(func(in *inbox) { in.ready = append(in.ready, seen...) })
	}
}

// run serves until the broker ends. By then its streams are gone.
func (s *shard) run() {
	defer s.poller.close()
	tick := time.NewTicker(max(s.broker.opts.Heartbeat/(2*beatSlots), time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case <-s.news:
			s.now = time.Now()
			s.round()
		case s.now = <-tick.C:
			s.beat()
			s.round()
		case <-s.broker.ctx.Done():
			return
		}
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
		for _, p := range s.byFD {
			if p != nil {
				s.beAlone(p)
			}
		}
	}
	for _, c := range in.crowds {
		c.news.Store(false) // before the read: what comes from here on asks for another
		s.serveCrowd(c)
	}
	s.serveAlone()
	for _, e := range in.ends { // last, so that they have got what was published before
		s.endThose(e)
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
	own := s.inbox.own
	s.inbox.own = nil
	s.mu.Unlock()
	for _, p := range own {
		s.beAlone(p)
	}
}

// admit lists a stream that was parked. It may have missed news while it was on its way.
func (s *shard) admit(p *parked) {
	if p.gone {
		return
	}
	if err := s.poller.add(p.fd, p.tag()); err != nil {
		s.drop(p, &brokenError{err})
		return
	}
	for int(p.fd) >= len(s.byFD) {
		s.byFD = append(s.byFD, make([]*parked, len(s.byFD)+64)...)
	}
	s.byFD[p.fd] = p
	c := &p.audience.crowds[s.number]
	p.place = int32(len(c.members))
	c.members = append(c.members, p)
	p.slot = uint8(uint64(p.id) % beatSlots)
	p.seat = int32(len(s.slots[p.slot]))
	s.slots[p.slot] = append(s.slots[p.slot], p)
	p.listed, p.sent = true, s.now.UnixNano()
	s.parked.Add(1)
	s.beAlone(p)
}

// unlist is the reverse of admit.
func (s *shard) unlist(p *parked) {
	if !p.listed {
		return
	}
	p.listed = false
	s.byFD[p.fd] = nil
	c := &p.audience.crowds[s.number]
	c.members = swapOut(c.members, p.place)
	if int(p.place) < len(c.members) {
		c.members[p.place].place = p.place
	}
	s.slots[p.slot] = swapOut(s.slots[p.slot], p.seat)
	if int(p.seat) < len(s.slots[p.slot]) {
		s.slots[p.slot][p.seat].seat = p.seat
	}
	s.parked.Add(-1)
}

// swapOut removes an element by putting the last one in its place.
func swapOut(list []*parked, i int32) []*parked {
	last := len(list) - 1
	list[i] = list[last]
	list[last] = nil
	return list[:last]
}

func (s *shard) beAlone(p *parked) {
	if !p.alone && !p.gone {
		p.alone = true
		s.alone = append(s.alone, p)
	}
}

// serveCrowd reads once for all members of a crowd and writes to each what stands after its place.
func (s *shard) serveCrowd(c *crowd) {
	from, any := c.lowest()
	if !any {
		return
	}
	w := &s.window
	if err := w.read(s.broker, c.audience, c.audience.topics, from); err != nil {
		s.broker.logger().Error("push: a crowd of streams can't read the log", "error", err)
		s.endCrowd(c, err)
		return
	}
	s.takeOwn()
	for i := len(c.members) - 1; i >= 0; i-- { // backwards: one that goes is replaced by the last
		p := c.members[i]
		switch {
		case p.alone || p.backlog != nil:
		case w.gap || w.farBehind:
			s.beAlone(p)
		default:
			s.give(p, w)
		}
	}
	if !w.whole && !c.news.Swap(true) {
		s.postNews(c)
	}
}

// lowest returns the place of the member that is furthest behind.
func (c *crowd) lowest() (at eventlog.Cursor, any bool) {
	for _, p := range c.members {
		if p.alone || p.backlog != nil {
			continue
		}
		if !any || at.Beyond(p.at) {
			at, any = p.at, true
		}
	}
	return at, any
}

// give writes what of the window stands after the place of p, and moves it on.
func (s *shard) give(p *parked, w *window) {
	if w.next.Epoch() != p.at.Epoch() {
		s.beAlone(p)
		return
	}
	if !w.next.Beyond(p.at) {
		return
	}
	due, events := w.after(p.at)
	p.at = w.next
	if events > 0 {
		s.write(p, due, events)
	}
}

// serveAlone serves the streams that have news of their own, or were held up, until they stand where others do.
func (s *shard) serveAlone() {
	for len(s.alone) > 0 {
		alone := s.alone
		s.alone = nil
		for _, p := range alone {
			p.alone = false
			if !p.gone && p.backlog == nil {
				s.serveOne(p)
			}
		}
	}
}

func (s *shard) serveOne(p *parked) {
	w := &s.window
	s.topics = p.appendTopics(s.topics[:0])
	err := w.read(s.broker, p.audience, s.topics, p.at)
	switch {
	case err != nil:
		s.drop(p, err)
	case w.gap || w.farBehind:
		s.unpark(p)
	default:
		s.give(p, w)
		if !w.whole {
			s.beAlone(p)
		}
	}
}

// write sends bytes, as many as the socket takes; the rest waits.
func (s *shard) write(p *parked, b []byte, events int) {
	n, err := writeFD(p.fd, b)
	if err != nil && !isAgain(err) {
		s.drop(p, &brokenError{err})
		return
	}
	p.sent = s.now.UnixNano()
	s.broker.deliveredTo(p, events, len(b))
	if n < len(b) {
		s.holdBack(p, b[n:])
	}
}

// holdBack keeps what a socket doesn't take. Until it does, the stream gets nothing else.
func (s *shard) holdBack(p *parked, rest []byte) {
	p.backlog = &backlog{bytes: slices.Clone(rest), since: s.now}
	s.waiting = append(s.waiting, p)
	if err := s.poller.wantWrite(p.fd, p.tag(), true); err != nil {
		s.drop(p, &brokenError{err})
	}
}

// ready deals with what the poller has seen.
func (s *shard) ready(r readiness) {
	if int(r.fd) >= len(s.byFD) {
		return
	}
	p := s.byFD[r.fd]
	switch {
	case p == nil || p.tag() != r.tag: // of a stream that had the number before
	case r.gone:
		s.drop(p, nil)
	case r.writable && p.backlog != nil:
		s.flush(p)
	}
}

// flush sends more of what was held back, and what has come meanwhile when all of it is gone.
func (s *shard) flush(p *parked) {
	n, err := writeFD(p.fd, p.backlog.bytes)
	switch {
	case err != nil && !isAgain(err):
		s.drop(p, &brokenError{err})
		return
	case n < len(p.backlog.bytes):
		p.backlog.bytes = p.backlog.bytes[n:]
		return
	}
	p.backlog, p.sent = nil, s.now.UnixNano()
	if err := s.poller.wantWrite(p.fd, p.tag(), false); err != nil {
		s.drop(p, &brokenError{err})
		return
	}
	s.beAlone(p)
}

// beat looks after one group: those that were quiet get a heartbeat. Whoever didn't read for too long is cut.
func (s *shard) beat() {
	limit := s.now.Add(-s.broker.opts.WriteTimeout)
	for len(s.waiting) > 0 {
		p := s.waiting[0]
		if p.backlog != nil && !p.gone {
			if p.backlog.since.After(limit) {
				break
			}
			s.drop(p, &brokenError{ErrSlow})
		}
		s.waiting = s.waiting[1:]
	}
	quiet := s.now.Add(-s.broker.opts.Heartbeat / 2).UnixNano()
	list := s.slots[s.slot]
	for i := len(list) - 1; i >= 0; i-- {
		if p := list[i]; p.sent <= quiet && p.backlog == nil {
			s.ping(p)
		}
	}
	s.slot = (s.slot + 1) % beatSlots
}

// ping moves a stream on to the head, and its client with it, if nothing is due to it.
func (s *shard) ping(p *parked) {
	sent := p.sent
	s.serveOne(p)
	if p.gone || p.backlog != nil || p.sent != sent || p.alone {
		return
	}
	s.buf = appendPing(s.buf[:0], p.at)
	s.write(p, s.buf, 0)
}

// endThose says goodbye to the streams that a note names.
func (s *shard) endThose(e ending) {
	if e.p != nil {
		if heir := e.p.heir.Load(); e.p.gone && heir != nil {
			heir.end(e.cause)
			return
		}
		s.sayGoodbye(e.p, e.cause)
		return
	}
	for _, p := range s.byFD {
		if p != nil && p.id%e.of == e.rest {
			s.sayGoodbye(p, e.cause)
		}
	}
}

func (s *shard) endCrowd(c *crowd, cause error) {
	for len(c.members) > 0 {
		s.sayGoodbye(c.members[len(c.members)-1], cause)
	}
}

// sayGoodbye ends a stream with a last word, unless it is in the middle of another.
func (s *shard) sayGoodbye(p *parked, cause error) {
	if p.gone {
		return
	}
	if p.backlog == nil {
		bye, _ := s.broker.byeFor(cause)
		writeFD(p.fd, appendBye(nil, bye))
	}
	s.drop(p, cause)
}

// drop closes a stream.
func (s *shard) drop(p *parked, cause error) {
	if p.gone {
		return
	}
	p.gone = true
	s.unlist(p)
	closeFD(p.fd)
	p.backlog = nil
	s.broker.unparked(p, cause)
}

// unpark gives a stream a goroutine again: it needs what may take time.
func (s *shard) unpark(p *parked) {
	p.gone = true // for this shard
	s.unlist(p)
	s.poller.remove(p.fd)
	s.broker.resumeRunning(p)
}

// window is what a read found for a crowd, joined.
type window struct {
	bytes     []byte
	offsets   []eventlog.Offset // of each event
	starts    []int             // of each event in bytes
	next      eventlog.Cursor
	whole     bool // nothing is left behind it
	gap       bool
	farBehind bool // SkipToLatest has to act
}

func (w *window) read(b *Broker, a *audience, topics []string, after eventlog.Cursor) error {
	most := windowEntries
	if a.slow == Conflate {
		most = conflateEntries
	}
	batch, err := b.log.Read(context.Background(), topics, after, most)
	if err != nil {
		return err
	}
	w.gap = len(batch.Gaps) > 0
	w.farBehind = a.slow == SkipToLatest && batch.Behind > b.opts.Limits.MaxBehind
	w.whole = len(batch.Entries) == batch.Behind
	w.next = batch.Next
	if a.slow == Conflate {
		batch.Entries = conflate(batch.Entries)
	}
	w.join(batch.Entries, b.opts.Limits.MaxBatchBytes)
	return nil
}

// join copies the frames behind each other, as many as may leave together.
func (w *window) join(entries []eventlog.Entry, maxBytes int) {
	w.bytes, w.offsets, w.starts = w.bytes[:0], w.offsets[:0], w.starts[:0]
	for i, e := range entries {
		if i > 0 && len(w.bytes)+len(e.Frame) > maxBytes {
			w.whole = false
			w.next = w.next.With(entries[i-1].Partition, entries[i-1].Offset)
			return
		}
		w.starts = append(w.starts, len(w.bytes))
		w.offsets = append(w.offsets, e.Offset)
		w.bytes = append(w.bytes, e.Frame...)
	}
}

// after returns the bytes of the events beyond a place, and their number.
func (w *window) after(at eventlog.Cursor) ([]byte, int) {
	i, _ := slices.BinarySearch(w.offsets, at.At(0)+1)
	if i == len(w.offsets) {
		return nil, 0
	}
	return w.bytes[w.starts[i]:], len(w.offsets) - i
}

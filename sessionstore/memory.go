package sessionstore

import (
	"cmp"
	"container/list"
	"context"
	"slices"
	"strconv"
	"sync"
	"time"
)

// Bounds of what one call returns or keeps, for every store here.
const (
	sweepPage   = 1000    // of sessions that a Sweep removes
	revokedPage = 10_000  // of sessions that Revoked returns: 160 KB
	MaxReplays  = 1 << 16 // sessions that are remembered because a token was used again, which anybody can do to a session of his own
)

// Memory is a Store for brokers in one process, and for tests. It forgets everything when the process ends.
type Memory struct {
	began time.Time

	mu        sync.Mutex // guards what follows
	closed    bool
	sessions  map[ID]*memorySession
	users     map[string]int // connections
	nodes     map[string]*memoryNode
	abandoned *list.List // of *memorySession, in the order in which they were
	feed      []revocation
	revoked   uint64 // how many ever were
	replays   int    // in the feed
	longest   Longest
}

type memorySession struct {
	Record
	id     ID
	listed *list.Element // in abandoned
}

type memoryNode struct {
	until int64
	held  map[ID]int // connections
}

type revocation struct {
	id    ID
	n     uint64 // counts from 1
	at    int64
	cause error
}

var _ Store = (*Memory)(nil)

// NewMemory returns an empty store.
func NewMemory() *Memory {
	return &Memory{began: time.Now(), sessions: map[ID]*memorySession{}, users: map[string]int{}, nodes: map[string]*memoryNode{}, abandoned: list.New()}
}

// now isn't moved by a clock that is set.
func (m *Memory) now() int64 { return m.began.UnixMicro() + time.Since(m.began).Microseconds() }

// begin locks the store. The caller unlocks it, also after an error.
func (m *Memory) begin(ctx context.Context) (now int64, err error) {
	m.mu.Lock()
	if m.closed {
		return 0, ErrClosed
	}
	return m.now(), ctx.Err()
}

// Connect implements Store.
func (m *Memory) Connect(ctx context.Context, node string, claims []Claim) ([]Outcome, error) {
	now, err := m.begin(ctx)
	defer m.mu.Unlock()
	if err != nil {
		return nil, err
	}
	outcomes := make([]Outcome, len(claims))
	for i, c := range claims {
		outcomes[i] = m.connect(node, c, now)
	}
	return outcomes, nil
}

func (m *Memory) connect(node string, c Claim, now int64) Outcome {
	s, known := m.sessions[c.Session]
	if !known {
		s = &memorySession{Record: NewRecord(c, now), id: c.Session}
	}
	outcome := s.Record.Connect(c, now, m.users[s.User])
	switch outcome.Err {
	case nil:
		m.sessions[s.id] = s
		m.hold(m.node(node), s, 1)
	case ErrReplayed:
		m.announce(s)
	}
	return outcome
}

// node returns one that is known, or one whose time is over.
func (m *Memory) node(name string) *memoryNode {
	n, known := m.nodes[name]
	if !known {
		n = &memoryNode{held: map[ID]int{}}
		m.nodes[name] = n
	}
	return n
}

// hold notes connections that are in the session's record.
func (m *Memory) hold(n *memoryNode, s *memorySession, connections int) {
	n.held[s.id] += connections
	if s.User != "" {
		m.users[s.User] += connections
	}
	m.unlist(s)
}

// drop takes connections of a node back.
func (m *Memory) drop(n *memoryNode, s *memorySession, connections int, now int64) {
	if n.held[s.id] -= connections; n.held[s.id] == 0 {
		delete(n.held, s.id)
	}
	if s.User != "" {
		if m.users[s.User] -= connections; m.users[s.User] == 0 {
			delete(m.users, s.User)
		}
	}
	if s.Record.Leave(connections, now); s.Connections == 0 && s.Revoked == nil {
		s.listed = m.abandoned.PushBack(s)
	}
}

func (m *Memory) unlist(s *memorySession) {
	if s.listed != nil {
		m.abandoned.Remove(s.listed)
		s.listed = nil
	}
}

// Leave implements Store.
func (m *Memory) Leave(ctx context.Context, node string, leaves []Leave) error {
	now, err := m.begin(ctx)
	defer m.mu.Unlock()
	if err != nil {
		return err
	}
	n, known := m.nodes[node]
	for _, l := range leaves {
		s, found := m.sessions[l.Session]
		if !found {
			continue
		}
		s.Prove(l.Cursor)
		if known && n.held[l.Session] > 0 {
			m.drop(n, s, 1, now)
		}
	}
	return nil
}

// Get implements Store.
func (m *Memory) Get(ctx context.Context, session ID) (Info, error) {
	now, err := m.begin(ctx)
	defer m.mu.Unlock()
	if err != nil {
		return Info{}, err
	}
	s, found := m.sessions[session]
	if !found || s.Revoked != nil {
		return Info{}, ErrNoSession
	}
	return s.Info(session, now), nil
}

// List implements Store.
func (m *Memory) List(ctx context.Context, each func(Info) bool) error {
	infos, err := m.infos(ctx)
	for _, info := range infos {
		if !each(info) {
			break
		}
	}
	return err
}

func (m *Memory) infos(ctx context.Context) ([]Info, error) {
	now, err := m.begin(ctx)
	defer m.mu.Unlock()
	if err != nil {
		return nil, err
	}
	infos := make([]Info, 0, len(m.sessions))
	for id, s := range m.sessions {
		if s.Revoked == nil {
			infos = append(infos, s.Info(id, now))
		}
	}
	return infos, nil
}

// Revoke implements Store.
func (m *Memory) Revoke(ctx context.Context, session ID, cause error) (bool, error) {
	now, err := m.begin(ctx)
	defer m.mu.Unlock()
	if err != nil {
		return false, err
	}
	s, known := m.sessions[session]
	if !known {
		s = &memorySession{Record: Record{Created: now}, id: session}
		m.sessions[session] = s
	}
	if s.Revoked != nil {
		return false, nil
	}
	s.Record.Revoke(cause, now)
	m.announce(s)
	return true, nil
}

// announce puts a session that was revoked into the feed.
func (m *Memory) announce(s *memorySession) {
	m.unlist(s)
	m.revoked++
	m.feed = append(m.feed, revocation{s.id, m.revoked, s.Seen, s.Revoked})
	if s.Revoked == ErrReplayed {
		m.replays++
	}
}

// Revoked implements Store.
func (m *Memory) Revoked(ctx context.Context, after string) (revoked []Revocation, mark string, err error) {
	_, err = m.begin(ctx)
	defer m.mu.Unlock()
	if err != nil {
		return nil, after, err
	}
	seen, err := ParseMark(after)
	if err != nil {
		return nil, after, err
	}
	from, _ := slices.BinarySearchFunc(m.feed, seen+1, func(r revocation, n uint64) int { return cmp.Compare(r.n, n) })
	for _, r := range m.feed[from:min(len(m.feed), from+revokedPage)] {
		revoked, after = append(revoked, Revocation{r.id, r.cause}), strconv.FormatUint(r.n, 10)
	}
	return revoked, after, nil
}

// Beat implements Store.
func (m *Memory) Beat(ctx context.Context, node string, ttl time.Duration) error {
	now, err := m.begin(ctx)
	defer m.mu.Unlock()
	if err != nil {
		return err
	}
	n, known := m.nodes[node]
	if !known || n.until <= now {
		return ErrNodeLost
	}
	n.until = now + ttl.Microseconds()
	return nil
}

// Restore implements Store.
func (m *Memory) Restore(ctx context.Context, node string, ttl time.Duration, held []Held) error {
	now, err := m.begin(ctx)
	defer m.mu.Unlock()
	if err != nil {
		return err
	}
	n := m.node(node)
	if ttl > 0 {
		n.until = now + ttl.Microseconds()
	}
	for _, h := range held {
		m.restore(n, h, now)
	}
	return nil
}

func (m *Memory) restore(n *memoryNode, h Held, now int64) {
	s, known := m.sessions[h.Session]
	if has := n.held[h.Session]; has > 0 {
		m.drop(n, s, has, now)
	}
	if h.Connections <= 0 || known && s.Revoked != nil {
		return
	}
	if !known {
		s = &memorySession{Record: NewHeldRecord(h, now), id: h.Session}
		m.sessions[h.Session] = s
	}
	s.Hold(h)
	m.hold(n, s, h.Connections)
}

// Forget implements Store.
func (m *Memory) Forget(ctx context.Context, node string) error {
	now, err := m.begin(ctx)
	defer m.mu.Unlock()
	if err != nil {
		return err
	}
	m.forget(node, now)
	return nil
}

func (m *Memory) forget(node string, now int64) {
	n, known := m.nodes[node]
	if !known {
		return
	}
	for id, connections := range n.held {
		if s, found := m.sessions[id]; found {
			m.drop(n, s, connections, now)
		}
	}
	delete(m.nodes, node)
}

// Sweep implements Store.
func (m *Memory) Sweep(ctx context.Context, abandoned, revoked time.Duration, most int) (ended []Info, more bool, err error) {
	now, err := m.begin(ctx)
	defer m.mu.Unlock()
	if err != nil {
		return nil, false, err
	}
	for name, n := range m.nodes {
		if n.until <= now {
			m.forget(name, now)
		}
	}
	m.longest.Say(revoked.Microseconds(), now)
	m.sweepRevoked(now - m.longest.Keep)
	for len(ended) < sweepPage {
		first := m.abandoned.Front()
		if first == nil {
			return ended, false, nil
		}
		s := first.Value.(*memorySession)
		tooMany := most > 0 && len(m.sessions)-len(m.feed) > most
		if !tooMany && now-s.Seen <= abandoned.Microseconds() {
			return ended, false, nil
		}
		m.unlist(s)
		delete(m.sessions, s.id)
		ended = append(ended, s.Info(s.id, now))
	}
	return ended, true, nil
}

// sweepRevoked forgets those that were revoked before, and the oldest of too many replays.
func (m *Memory) sweepRevoked(before int64) {
	kept := m.feed[:0]
	for _, r := range m.feed {
		tooMany := r.cause == ErrReplayed && m.replays > MaxReplays
		if r.at >= before && !tooMany {
			kept = append(kept, r)
			continue
		}
		if r.cause == ErrReplayed {
			m.replays--
		}
		m.remove(r.id)
	}
	clear(m.feed[len(kept):])
	m.feed = kept
}

// remove drops a revoked session, and what nodes still count of it.
func (m *Memory) remove(id ID) {
	s := m.sessions[id]
	for _, n := range m.nodes {
		if connections := n.held[id]; connections > 0 {
			m.drop(n, s, connections, s.Seen)
		}
	}
	delete(m.sessions, id)
}

// Check implements Store.
func (m *Memory) Check(ctx context.Context) error {
	_, err := m.begin(ctx)
	defer m.mu.Unlock()
	return err
}

// Close implements Store.
func (m *Memory) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return ErrClosed
	}
	m.closed = true
	return nil
}

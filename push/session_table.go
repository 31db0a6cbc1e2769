package push

import (
	"iter"
	"maps"
	"slices"
	"sync"
)

// sessionTable finds sessions by their ids. It is maps with a lock each, so that those who come at the same time seldom meet: in a sync.Map each session
// would take a hundred bytes more.
type sessionTable struct {
	parts [64]sessionPart
}

type sessionPart struct {
	mu   sync.RWMutex // guards what follows; nothing else is locked meanwhile
	byID map[sessionID]*session
	peak int // the most that byID had
}

const minTablePart = 64 // below, a map isn't worth being made anew

// part is where an id belongs; ids are random.
func (t *sessionTable) part(id sessionID) *sessionPart { return &t.parts[int(id[0])%len(t.parts)] }

func (t *sessionTable) get(id sessionID) (*session, bool) {
	p := t.part(id)
	p.mu.RLock()
	defer p.mu.RUnlock()
	s, ok := p.byID[id]
	return s, ok
}

// add puts a session in, unless there is one of its id. It returns the one that is in, and whether it was added.
func (t *sessionTable) add(s *session) (*session, bool) {
	p := t.part(s.id)
	p.mu.Lock()
	defer p.mu.Unlock()
	if other, ok := p.byID[s.id]; ok {
		return other, false
	}
	if p.byID == nil {
		p.byID = make(map[sessionID]*session)
	}
	p.byID[s.id] = s
	p.peak = max(p.peak, len(p.byID))
	return s, true
}

// remove forgets an id. What is left of many goes into a new map: a map keeps the memory of all it ever had.
func (t *sessionTable) remove(id sessionID) {
	p := t.part(id)
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.byID, id)
	if p.peak > minTablePart && len(p.byID) < p.peak/4 {
		left := make(map[sessionID]*session, len(p.byID))
		maps.Copy(left, p.byID)
		p.byID, p.peak = left, len(left)
	}
}

// all enumerates the sessions, and holds no lock while one is looked at.
func (t *sessionTable) all() iter.Seq[*session] {
	return func(yield func(*session) bool) {
		var some []*session
		for i := range t.parts {
			p := &t.parts[i]
			p.mu.RLock()
			some = slices.AppendSeq(some[:0], maps.Values(p.byID))
			p.mu.RUnlock()
			for _, s := range some {
				if !yield(s) {
					return
				}
			}
		}
	}
}

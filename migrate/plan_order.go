package migrate

import (
	"fmt"
	"strings"
)

// sort puts all migrations in an order in which each comes behind those it depends on, and behind the one before it in its own
// source. Where that leaves a choice, the first source's go first.
func (p *planner) sort() {
	s := sorter{planner: p, state: map[*migration]visit{}, before: map[*migration]*migration{}}
	var last *migration
	for _, mig := range p.files.all {
		if last != nil && last.ref.Source == mig.ref.Source {
			s.before[mig] = last
		}
		last = mig
	}
	for _, mig := range p.files.all {
		s.visit(mig)
	}
	p.order = s.order
}

type visit uint8

const (
	unseen visit = iota
	onPath
	placed
)

type sorter struct {
	*planner
	state  map[*migration]visit
	before map[*migration]*migration // in the same source
	path   []*migration
	order  []*migration
	cyclic bool
}

func (s *sorter) visit(mig *migration) {
	switch s.state[mig] {
	case placed:
		return
	case onPath:
		s.cycle(mig)
		return
	}
	s.state[mig] = onPath
	s.path = append(s.path, mig)
	if prev := s.before[mig]; prev != nil {
		s.visit(prev)
	}
	for _, ref := range mig.depends {
		if dep := s.files.get(ref); dep != nil {
			s.visit(dep)
			continue
		}
		if !s.book.has(ref) {
			s.nowhere(mig, ref)
		}
	}
	s.path = s.path[:len(s.path)-1]
	s.state[mig] = placed
	s.order = append(s.order, mig)
}

// nowhere tells of a reference to what is neither applied nor in a source.
func (s *sorter) nowhere(mig *migration, ref Ref) {
	if s.ours(ref) {
		s.fail(ErrDepends, mig.ref, mig.path, fmt.Sprintf("it depends on %s, which no source has", ref),
			"correct the version in its header depends:, or add the migration")
		return
	}
	var names []string
	for _, src := range s.m.opts.Sources {
		names = append(names, src.Name)
	}
	s.fail(ErrDepends, mig.ref, mig.path, fmt.Sprintf("it depends on %s, which isn't applied", ref), fmt.Sprintf(
		"run buffkit migrate up with the source %s first; there is no source %[1]s here, the sources are %s", ref.Source, strings.Join(names, ", ")))
}

// cycle names the way around.
func (s *sorter) cycle(mig *migration) {
	if s.cyclic {
		return // one at a time: the next is most likely the same
	}
	s.cyclic = true
	at := 0
	for i, m := range s.path {
		if m == mig {
			at = i
		}
	}
	way := append(s.path[at:len(s.path):len(s.path)], mig)
	var b strings.Builder
	for i, m := range way {
		if i > 0 {
			if s.before[way[i-1]] == m {
				b.WriteString(" comes behind ")
			} else {
				b.WriteString(" depends on ")
			}
			if i > 1 {
				// "a depends on b, which depends on c"
				text := b.String()
				cut := strings.LastIndex(text, way[i-1].ref.String()) + len(way[i-1].ref.String())
				b.Reset()
				b.WriteString(text[:cut] + ", which" + text[cut:])
			}
		}
		b.WriteString(m.ref.String())
	}
	s.fail(ErrCycle, mig.ref, mig.path, "dependencies go in a circle: "+b.String(), "take one of the headers depends: out")
}

package oracle

import (
	"context"
	"slices"
	"sync"
	"syscall"
	"time"
)

// fault is one way to break something. do returns when it is mended again.
type fault struct {
	name   string
	weight int
	do     func() error
}

// nodeFaults hit a node, its network, or the clients'. They come beside those of the server.
func (r *run) nodeFaults() []fault {
	return []fault{
		{"a node is killed", 6, func() error { return r.onNode(r.killed) }},
		{"a node is killed while it replays", 4, func() error { return r.onNode(r.killedInReplay) }},
		{"a node is restarted in order", 3, func() error { return r.onNode(r.restarted) }},
		{"a node hangs", 3, func() error { return r.onNode(r.hung) }},
		{"a node is cut from the server", 6, func() error { return r.onNode(r.cutOff) }},
		{"a node's network swallows all", 3, func() error { return r.onNode(r.swallowed) }},
		{"clients are cut", 8, r.clientsCut},
		{"a node's clock jumps", 2, r.clockJumps},
	}
}

// onNode breaks a node that nobody else is breaking.
func (r *run) onNode(do func(m *member) error) error {
	r.calm.RLock()
	defer r.calm.RUnlock()
	for range 2 * nodes {
		m := r.fleet.members[r.n(nodes)]
		if m.busy.TryLock() {
			defer m.busy.Unlock()
			return do(m)
		}
	}
	return nil
}

// pause waits for a time from the seed.
func (r *run) pause(least, most time.Duration) { sleep(context.Background(), r.between(least, most)) }

func (r *run) killed(m *member) error {
	defer r.ledger.happens("a node is killed: %s", m.name)()
	if err := m.end(syscall.SIGKILL); err != nil {
		return err
	}
	r.pause(0, 2*time.Second)
	return m.start()
}

// killedInReplay lets all clients come back at once, and kills a node while it serves them.
func (r *run) killedInReplay(m *member) error {
	defer r.ledger.happens("a node is killed while it replays: %s", m.name)()
	r.swarm.cut(1)
	r.pause(0, 300*time.Millisecond)
	if err := m.end(syscall.SIGKILL); err != nil {
		return err
	}
	r.pause(0, time.Second)
	return m.start()
}

func (r *run) restarted(m *member) error {
	defer r.ledger.happens("a node is restarted in order: %s", m.name)()
	if err := m.end(syscall.SIGTERM); err != nil {
		return err
	}
	return m.start()
}

func (r *run) hung(m *member) error {
	defer r.ledger.happens("a node hangs: %s", m.name)()
	if err := m.signal(syscall.SIGSTOP); err != nil {
		return err
	}
	r.pause(300*time.Millisecond, 3*nodeHeartbeat)
	return m.signal(syscall.SIGCONT)
}

// clockJumps sets the clock of the last node right for a while, if the node is there, and behind again.
func (r *run) clockJumps() error {
	m := r.fleet.members[nodes-1]
	if m.config.Behind == 0 || r.fleet.setClock(m, 0) != nil {
		return nil
	}
	defer r.ledger.happens("a node's clock jumps: %s, by %v and back", m.name, m.config.Behind)()
	r.pause(100*time.Millisecond, 2*time.Second)
	_ = r.fleet.setClock(m, m.config.Behind) // who was killed meanwhile has it so anyway
	return nil
}

// outage is how long a network is away: once, and at most, half a minute, and mostly a moment. In a short run it is short.
func (r *run) outage() time.Duration {
	switch odds := r.n(20); {
	case r.size.length == 0:
		return 2 * time.Second
	case r.size.length >= longRun && r.longest.CompareAndSwap(false, true):
		return 30 * time.Second
	case odds == 0:
		return r.between(20*time.Second, 30*time.Second)
	case odds < 5:
		return r.between(3*time.Second, 10*time.Second)
	}
	return r.between(100*time.Millisecond, 3*time.Second)
}

func (r *run) cutOff(m *member) error {
	d := r.outage()
	defer r.ledger.happens("a node is cut from the server: %s, for %v", m.name, d)()
	m.proxy.Refuse()
	m.proxy.Cut()
	sleep(context.Background(), d)
	m.proxy.Restore()
	return nil
}

// swallowed lets nothing through and tells nobody. What was on its way arrives late, or never.
func (r *run) swallowed(m *member) error {
	d, late := r.outage(), r.n(2) == 0
	defer r.ledger.happens("a node's network swallows all: %s, for %v, and what was on its way comes late: %v", m.name, d, late)()
	m.proxy.Stall()
	sleep(context.Background(), d)
	if !late {
		m.proxy.Cut()
	}
	m.proxy.Restore()
	return nil
}

func (r *run) clientsCut() error {
	part := float64(1+r.n(10)) / 10
	over := r.ledger.happens("clients are cut: %.0f %% of them", 100*part)
	r.swarm.cut(part)
	over()
	return nil
}

// allRestarted kills every node at once.
func (r *run) allRestarted() error {
	r.calm.Lock()
	defer r.calm.Unlock()
	defer r.ledger.happens("all nodes are killed")()
	for _, m := range r.fleet.members {
		if err := m.signal(syscall.SIGKILL); err != nil {
			return err
		}
	}
	for _, m := range r.fleet.members {
		if err := m.end(syscall.SIGKILL); err != nil {
			return err
		}
	}
	r.pause(0, 2*time.Second)
	for _, m := range r.fleet.members {
		if err := m.start(); err != nil {
			return err
		}
	}
	return nil
}

// fleetFaults hit all nodes at once. They come in turn with those of the server.
func (r *run) fleetFaults() []fault {
	return []fault{{"all nodes are killed", 2, r.allRestarted}}
}

// inTwo is a network that falls in two, for a while: one node stays with the server, the others get its successor, and both take events. Those of the
// server are lost, and its node is the only one that has seen any of them: the others are away when the successor is promoted.
func (r *run) inTwo(successor string, promote func() error) error {
	alone := r.n(nodes)
	others := slices.Delete(slices.Clone(r.fleet.members), alone, alone+1)
	for _, m := range others {
		m.proxy.Refuse()
		m.proxy.Cut()
	}
	if err := promote(); err != nil {
		return err
	}
	leadTo(successor, others...)
	for _, m := range others {
		m.proxy.Restore()
	}
	r.pause(300*time.Millisecond, 3*time.Second)
	return nil
}

// breakThings lets faults come at random, or in a short run each once. Those of the nodes and those of the server overlap.
func (r *run) breakThings() {
	server := append(r.backend.faults(r), r.fleetFaults()...)
	var both sync.WaitGroup
	both.Go(func() { r.inTurn(r.nodeFaults(), time.Second, 4*time.Second) })
	both.Go(func() { r.inTurn(server, 2*time.Second, 8*time.Second) })
	both.Wait()
}

// inTurn lets one fault after the other happen, with pauses between.
func (r *run) inTurn(faults []fault, least, most time.Duration) {
	if r.size.length == 0 {
		for _, f := range faults {
			r.pause(least/2, least)
			r.happen(f)
		}
		r.pause(least, least)
		return
	}
	for end := time.Now().Add(r.size.length); time.Now().Before(end); {
		r.pause(least, most)
		r.happen(r.choose(faults))
	}
}

func (r *run) happen(f fault) {
	if err := f.do(); err != nil {
		r.t.Errorf("%s: %v", f.name, err)
	}
}

// choose takes one by its weight.
func (r *run) choose(faults []fault) fault {
	sum := 0
	for _, f := range faults {
		sum += f.weight
	}
	n := r.n(sum)
	for _, f := range faults {
		if n -= f.weight; n < 0 {
			return f
		}
	}
	panic("the weights have changed")
}

package oracle

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/buffkit/buffkit/internal/servers"
)

func TestNothingIsLostSilentlyOnRedis(t *testing.T) {
	t.Parallel()
	runOn(t, startRedis(t))
}

// A fleet in which one node of three leaves out a few events is what the judge is for.
func TestAFewEventsThatOneNodeLeavesOutAreNoticed(t *testing.T) {
	t.Parallel()
	s := size{clients: 60, publishers: 4, pause: 20 * time.Millisecond, nap: time.Second}
	const dropped = 200
	r := newRun(t, startRedis(t), s, func(i int, c *nodeConfig) {
		if i == 0 {
			c.Drops = dropped
		}
	})
	j := r.play(func() {
		r.pause(time.Second, time.Second)
		r.swarm.cut(1)
		r.pause(time.Second, time.Second)
		for r.ledger.count() < dropped && t.Context().Err() == nil { // the last event of a topic must not be one of them: clients wait for it
			r.pause(100*time.Millisecond, 100*time.Millisecond)
		}
	})
	silent := 0
	for _, v := range j.violated {
		if v.rule != "silent" {
			t.Errorf("blamed: %v", v)
		}
		silent++
	}
	if silent == 0 {
		t.Error("nothing was noticed")
	}
}

// redisPair is a master that syncs every append, and a replica that is to become the master. Its fields change during faults alone, of which there is
// one at a time.
type redisPair struct {
	master, replica *servers.RedisServer
}

func startRedis(t *testing.T) *redisPair {
	t.Helper()
	p := &redisPair{}
	for _, s := range []**servers.RedisServer{&p.master, &p.replica} {
		server, err := servers.Redis("--appendonly", "yes", "--appendfsync", "always")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := server.Stop(); err != nil {
				t.Error(err)
			}
		})
		*s = server
	}
	if err := p.follow(); err != nil {
		t.Fatal(err)
	}
	return p
}

// follow lets the replica follow the master.
func (p *redisPair) follow() error {
	_, err := p.replica.Do("REPLICAOF", "127.0.0.1", strconv.Itoa(p.master.Port))
	return err
}

func (p *redisPair) target() string               { return p.master.Addr }
func (p *redisPair) node(proxy string) nodeConfig { return nodeConfig{Redis: proxy} }
func (p *redisPair) transactions() bool           { return false }

func (p *redisPair) faults(r *run) []fault {
	return []fault{
		{"Redis is killed", 4, func() error { return p.killed(r) }},
		p.failover("Redis fails over and loses the tail", 3, r, p.goesOnAlone),
		p.failover("Redis is two for a while", 2, r, p.split),
		{"Redis is out of memory", 3, func() error { return p.filled(r) }},
		{"FLUSHALL", 2, func() error { return p.flushed(r) }},
		{"Redis is restarted without its data", 2, func() error { return p.emptied(r) }},
	}
}

// episode is a time in which the master and the replica both take events. It promotes the replica when it begins.
type episode func(r *run, lost *loss, promote func() error) error

func (p *redisPair) failover(name string, weight int, r *run, both episode) fault {
	return fault{name, weight, func() error { return p.failedOver(r, name, both) }}
}

// killed loses nothing: every append is synced.
func (p *redisPair) killed(r *run) error {
	defer r.ledger.happens("Redis is killed, and has its AOF")()
	if err := p.master.Kill(); err != nil {
		return err
	}
	r.pause(0, time.Second)
	return p.master.Start()
}

// emptied is a restart of a server that keeps nothing.
func (p *redisPair) emptied(r *run) error {
	defer r.ledger.happens("Redis is restarted without its data")()
	_, over := r.ledger.loses()
	defer over()
	if err := p.master.Kill(); err != nil {
		return err
	}
	if err := os.RemoveAll(filepath.Join(p.master.Dir, "appendonlydir")); err != nil {
		return err
	}
	return p.master.Start()
}

func (p *redisPair) flushed(r *run) error {
	defer r.ledger.happens("FLUSHALL")()
	_, over := r.ledger.loses()
	defer over()
	_, err := p.master.Do("FLUSHALL")
	return err
}

// filled refuses what is appended, with a definite error.
func (p *redisPair) filled(r *run) error {
	defer r.ledger.happens("Redis is out of memory")()
	if _, err := p.master.Do("CONFIG", "SET", "maxmemory", "1mb"); err != nil {
		return err
	}
	r.pause(500*time.Millisecond, 4*time.Second)
	_, err := p.master.Do("CONFIG", "SET", "maxmemory", "0")
	return err
}

// failedOver puts the replica in the master's stead, on the addresses that the nodes know, after both were masters. All nodes are whole meanwhile: when
// every one that has seen the lost end is gone, nobody can know of it.
func (p *redisPair) failedOver(r *run, name string, both episode) error {
	r.calm.Lock()
	defer r.calm.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), settleWithin)
	defer cancel()
	if err := r.fleet.settled(ctx); err != nil {
		return err
	}
	defer r.ledger.happens("%s", name)()
	lost, over := r.ledger.loses()
	defer over()
	err := both(r, lost, func() error {
		if err := p.inSync(ctx); err != nil {
			return err
		}
		_, err := p.replica.Do("REPLICAOF", "NO", "ONE")
		return err
	})
	if err != nil {
		return err
	}
	leadTo(p.replica.Addr, r.fleet.members...)
	if err := p.master.Kill(); err != nil {
		return err
	}
	p.master, p.replica = p.replica, p.master
	r.pause(2*time.Second, 2*time.Second) // a node that hasn't noticed yet is healthy, too
	if err := r.fleet.settled(ctx); err != nil {
		return err
	}
	if err := p.replica.Start(); err != nil {
		return err
	}
	return p.follow()
}

// goesOnAlone lets the master acknowledge what the replica never gets.
func (p *redisPair) goesOnAlone(r *run, lost *loss, promote func() error) error {
	if err := promote(); err != nil {
		return err
	}
	lost.sure.from = r.ledger.now()
	r.pause(300*time.Millisecond, 1500*time.Millisecond)
	r.swarm.cut(0.5) // these miss what comes last
	r.pause(100*time.Millisecond, 300*time.Millisecond)
	lost.sure.to = r.ledger.now()
	return nil
}

// split lets one node go on with the master, and the others with the replica.
func (p *redisPair) split(r *run, lost *loss, promote func() error) error {
	lost.sure = span{} // nobody notes which node an event was published by
	return r.inTwo(p.replica.Addr, promote)
}

// inSync waits until the replica has all that the master had a moment before.
func (p *redisPair) inSync(ctx context.Context) error {
	return again(ctx, func() error {
		master, err := p.master.Info("INFO", "replication")
		if err != nil {
			return err
		}
		replica, err := p.replica.Info("INFO", "replication")
		if err != nil {
			return err
		}
		had, err1 := strconv.ParseInt(master["master_repl_offset"], 10, 64)
		has, err2 := strconv.ParseInt(replica["slave_repl_offset"], 10, 64)
		if err1 != nil || err2 != nil || replica["master_link_status"] != "up" || has < had {
			return fmt.Errorf("the replica isn't in sync: %v after %v", replica, master)
		}
		return nil
	})
}

func (p *redisPair) healed(ctx context.Context) error {
	return again(ctx, func() error {
		_, err := p.master.Do("PING")
		return err
	})
}

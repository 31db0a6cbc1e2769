package redislog_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/buffkit/buffkit/eventlog"
	"github.com/buffkit/buffkit/eventlog/redislog"
	"github.com/buffkit/buffkit/internal/servers"
	"github.com/buffkit/buffkit/push/pushtest"
)

// servers of each kind, for tests that break them.
var starts = []struct {
	name  string
	start func(...string) (*servers.RedisServer, error)
}{
	{"Redis 7", servers.Redis},
	{"Valkey 9", servers.Valkey},
}

func head(t testing.TB, log eventlog.Log) eventlog.Cursor {
	t.Helper()
	head, err := log.Head(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return head
}

func TestAKilledServerWithAOFLosesNothingConfirmed(t *testing.T) {
	t.Parallel()
	for _, kind := range starts {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			server := own(t, kind.start, "--appendonly", "yes", "--appendfsync", "always")
			opts := redislog.Options{Addrs: []string{server.Addr}}
			near, far := openLog(t, opts), openLog(t, opts)
			f := follow(t, far, head(t, far), "a", "b", "c")
			p := startPublishers(t, near, 8, "a", "b", "c")
			for range 3 {
				p.more(t, 200)
				if err := server.Kill(); err != nil {
					t.Fatal(err)
				}
				if err := server.Start(); err != nil {
					t.Fatal(err)
				}
			}
			p.more(t, 200)
			confirmed := p.end()
			for data := range confirmed {
				f.wait(t, data)
			}
			f.wantExactly(t, confirmed)
			f.wantNoGap(t)
			t.Logf("%d events, failures: %v", len(confirmed), p.failures)
			fresh := follow(t, openLog(t, opts), eventlog.Cursor{}, "a", "b", "c")
			for data := range confirmed {
				fresh.wait(t, data)
			}
			fresh.wantExactly(t, confirmed)
		})
	}
}

func TestARestartWithoutPersistenceIsTold(t *testing.T) {
	t.Parallel()
	server := own(t, servers.Redis)
	opts := redislog.Options{Addrs: []string{server.Addr}}
	log := openLog(t, opts)
	old := publish(t, log, "a", "before/1")
	f := follow(t, log, old, "a")
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	f.told(t)
	publish(t, log, "a", "after/1")
	f.wait(t, "after/1")
	wantGap(t, openLog(t, opts), old, "a", eventlog.ErrOtherLog)
}

// wantGap reads a topic with a cursor and wants a gap, and none of its events.
func wantGap(t testing.TB, log eventlog.Log, after eventlog.Cursor, topic string, why error) {
	t.Helper()
	b, err := log.Read(context.Background(), []string{topic}, after, 100)
	if err != nil {
		t.Fatal(err)
	}
	if len(b.Gaps) != 1 || !errors.Is(b.Gaps[0].Err, why) || len(b.Entries) > 0 {
		t.Errorf("read %d entries and the gaps %v, want none and %v", len(b.Entries), b.Gaps, why)
	}
}

func TestFlushallIsTold(t *testing.T) {
	t.Parallel()
	for _, kind := range starts {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			server := own(t, kind.start)
			log := openLog(t, redislog.Options{Addrs: []string{server.Addr}})
			old := publish(t, log, "a", "before/1")
			idle, busy := follow(t, log, old, "a"), follow(t, log, old, "b")
			mustDo(t, server, "FLUSHALL")
			idle.told(t) // though nobody publishes
			now := publish(t, log, "b", "after/1")
			busy.told(t)
			busy.wait(t, "after/1")
			if now.Epoch() == old.Epoch() || now.At(0) <= old.At(0) {
				t.Errorf("after FLUSHALL an event is at %v, before at %v: want another epoch, and an offset beyond", now, old)
			}
			wantGap(t, log, old, "a", eventlog.ErrOtherLog)
		})
	}
}

// An append right after FLUSHALL, before any node has looked, must not continue the old epoch.
func TestAnAppendAfterFlushallIsOfAnotherEpoch(t *testing.T) {
	t.Parallel()
	server := own(t, servers.Redis)
	store := openStore(t, redislog.Options{Addrs: []string{server.Addr}})
	before := []eventlog.Record{record("a", "1")}
	old := mustAppend(t, store, before...)
	mustDo(t, server, "FLUSHALL")
	after := []eventlog.Record{record("a", "2")}
	if epoch := mustAppend(t, store, after...); epoch == old || after[0].Offset <= before[0].Offset || after[0].Prev != 0 || after[0].Chain != 0 {
		t.Errorf("epoch %d, then %d; the records %+v, then %+v", old, epoch, before[0], after[0])
	}
}

func mustDo(t testing.TB, server *servers.RedisServer, words ...string) string {
	t.Helper()
	answer, err := server.Do(words...)
	if err != nil {
		t.Fatalf("%v: %v", words, err)
	}
	return answer
}

// pair is a master with a replica, behind a proxy that can lead to either.
type pair struct {
	master, replica *servers.RedisServer
	proxy           *pushtest.Proxy
}

func startPair(t testing.TB) *pair {
	t.Helper()
	p := &pair{master: own(t, servers.Redis)}
	p.replica = own(t, servers.Redis, "--replicaof", "127.0.0.1 "+port(p.master))
	p.proxy = pushtest.NewProxy(t, p.master.Addr)
	p.inSync(t)
	return p
}

func port(s *servers.RedisServer) string { return s.Addr[strings.LastIndex(s.Addr, ":")+1:] }

// inSync waits until the replica has all that the master has.
func (p *pair) inSync(t testing.TB) {
	t.Helper()
	eventually(t, "the replica is in sync", func() bool {
		master, err1 := p.master.Info("INFO", "replication")
		replica, err2 := p.replica.Info("INFO", "replication")
		return err1 == nil && err2 == nil && replica["master_link_status"] == "up" && master["master_repl_offset"] == replica["slave_repl_offset"]
	})
}

// detach makes a master of the replica, while the old one goes on answering.
func (p *pair) detach(t testing.TB) { mustDo(t, p.replica, "REPLICAOF", "NO", "ONE") }

// failOver leads all connections to what was the replica.
func (p *pair) failOver(t testing.TB) {
	t.Helper()
	p.proxy.SetTarget(p.replica.Addr)
	if err := p.master.Kill(); err != nil {
		t.Fatal(err)
	}
}

// The case in which a position of epoch and offset lies: the master confirms what the replica never gets, fails, and the replica goes on.
func TestALostTailIsTold(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		ahead time.Duration
	}{
		{"clocks that agree", 0},
		{"the new master's clock is behind", 10 * time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := startPair(t)
			opts := redislog.Options{Addrs: []string{p.proxy.Addr}}
			setAhead(t, p.master, opts, tt.ahead)
			near, far := openLog(t, opts), openLog(t, opts)
			publish(t, near, "a", "kept/1")
			start := publish(t, near, "a", "kept/2")
			p.inSync(t)
			p.detach(t)
			lost := publish(t, near, "a", "lost/1")
			follower, quiet := follow(t, far, start, "a"), follow(t, far, lost, "b")
			follower.wait(t, "lost/1")
			p.failOver(t)
			follower.told(t)
			quiet.told(t)
			now := publish(t, near, "a", "new/1")
			follower.wait(t, "new/1")
			if now.At(0) <= lost.At(0) {
				t.Errorf("the new event is at %v, the lost one was at %v", now, lost)
			}
			for name, log := range map[string]eventlog.Log{"the publisher's node": near, "the other node": far, "a new node": openLog(t, opts)} {
				t.Run(name, func(t *testing.T) {
					wantGap(t, log, lost, "a", eventlog.ErrOtherLog)
					wantGap(t, log, start, "a", eventlog.ErrOtherLog)
				})
			}
		})
	}
}

// Who publishes first after the failover finds it, even if no node has followed the log since.
func TestAnAppendFindsALostTail(t *testing.T) {
	t.Parallel()
	p := startPair(t)
	store := openStore(t, redislog.Options{Addrs: []string{p.proxy.Addr}})
	old := mustAppend(t, store, record("a", "kept"))
	p.inSync(t)
	p.detach(t)
	lost := []eventlog.Record{record("a", "lost")}
	mustAppend(t, store, lost...)
	p.failOver(t)
	var epoch uint64
	records := []eventlog.Record{record("a", "new")}
	eventually(t, "the new master answers", func() (ok bool) {
		var err error
		epoch, err = store.Append(context.Background(), records)
		return err == nil
	})
	if epoch == old || records[0].Offset <= lost[0].Offset {
		t.Errorf("epoch %d, then %d; the lost record is at %d, the new one at %d", old, epoch, lost[0].Offset, records[0].Offset)
	}
}

// setAhead makes an empty log whose offsets are as if the server's clock had been ahead of everybody else's so far.
func setAhead(t testing.TB, server *servers.RedisServer, opts redislog.Options, ahead time.Duration) {
	t.Helper()
	mustAppend(t, openStore(t, opts), record("first", "1"))
	mustDo(t, server, "HSET", "{buffkit}:m", "l", strconv.FormatInt(time.Now().Add(ahead).UnixMicro(), 10))
}

func TestANodeWhoseClockIsBehindPublishesInOrder(t *testing.T) {
	t.Parallel()
	server := own(t, servers.Redis)
	opts := redislog.Options{Addrs: []string{server.Addr}}
	setAhead(t, server, opts, 10*time.Second)
	near, far := openLog(t, opts), openLog(t, opts)
	f := follow(t, far, head(t, far), "a")
	var last eventlog.Cursor
	for i := range 20 {
		log := []*redislog.Log{near, far}[i%2]
		at := publish(t, log, "a", fmt.Sprintf("p/%d", i))
		if at.At(0) <= last.At(0) || at.At(0).Time().Before(time.Now()) {
			t.Errorf("event %d is at %v, behind %v, of the clock that is ahead", i, at, last)
		}
		last = at
	}
	f.wait(t, "p/19")
	f.wantNoGap(t)
}

func TestACutNetworkLosesNothing(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		cut  func(p *pushtest.Proxy)
	}{
		{"connections reset", func(p *pushtest.Proxy) { p.Refuse(); p.Cut() }},
		{"a black hole", func(p *pushtest.Proxy) { p.Stall() }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			server := own(t, servers.Redis)
			proxy := pushtest.NewProxy(t, server.Addr)
			near := openLog(t, redislog.Options{Addrs: []string{proxy.Addr}, Timeout: time.Second})
			other := openLog(t, redislog.Options{Addrs: []string{server.Addr}})
			f := follow(t, near, head(t, near), "a", "b")
			p, q := startPublishers(t, near, 4, "a"), startPublishers(t, other, 1, "b")
			p.more(t, 100)
			tt.cut(proxy)
			q.more(t, 100)
			eventually(t, "the node notices", func() bool { return near.Health() != nil })
			<-time.After(2 * time.Second) // the length of the cut
			proxy.Cut()
			proxy.Restore()
			p.more(t, 100)
			confirmed := p.end()
			t.Logf("%d events through the proxy, failures: %v", len(confirmed), p.failures)
			q.end()
			for data := range confirmed {
				f.wait(t, data)
			}
			f.wantNoGap(t)
			got, _ := f.seen()
			count := map[string]int{}
			for _, data := range got {
				count[data]++
			}
			for data := range confirmed {
				if count[data] < 1 {
					t.Errorf("%s didn't come", data)
				}
			}
		})
	}
}

// Whatever is wrong with the answer, the script has run.
func TestAnAnswerThatCannotBeReadLeavesTheOutcomeUnknown(t *testing.T) {
	t.Parallel()
	server := own(t, servers.Redis)
	store := openStore(t, redislog.Options{Addrs: []string{server.Addr}})
	mustAppend(t, store, record("a", "1"))
	mustDo(t, server, "HSET", "{buffkit}:m", "e", "another program's")
	if _, err := store.Append(t.Context(), []eventlog.Record{record("a", "2")}); !errors.Is(err, eventlog.ErrUnknownOutcome) {
		t.Errorf("Append: %v, want ErrUnknownOutcome", err)
	}
	if n := mustDo(t, server, "XLEN", "{buffkit}:t:a"); n != ":2" {
		t.Errorf("%s events are stored, want both", n)
	}
}

func TestAServerOutOfMemoryRefusesAndIsRead(t *testing.T) {
	t.Parallel()
	server := own(t, servers.Redis)
	log := openLog(t, redislog.Options{Addrs: []string{server.Addr}})
	first := publish(t, log, "a", "before/1")
	f := follow(t, log, first, "a")
	mustDo(t, server, "CONFIG", "SET", "maxmemory", "1mb")
	_, err := log.Append(t.Context(), eventlog.Event{Topic: "a", Data: []byte("refused/1")}, eventlog.Event{Topic: "new", Data: []byte("refused/2")})
	if !errors.Is(err, eventlog.ErrFull) || !strings.Contains(err.Error(), "maxmemory") {
		t.Errorf("Append: %v, want ErrFull and what to do", err)
	}
	b, err := log.Read(t.Context(), []string{"a"}, eventlog.Cursor{}, 10)
	if err != nil || len(b.Entries) != 1 {
		t.Errorf("read %d entries, %v; want the one that is stored", len(b.Entries), err)
	}
	mustDo(t, server, "CONFIG", "SET", "maxmemory", "0")
	publish(t, log, "a", "after/1")
	f.wait(t, "after/1")
	f.wantNoGap(t)
	if got, _ := f.seen(); !slices.Equal(got, []string{"after/1"}) {
		t.Errorf("got %q, want nothing of what was refused", got)
	}
}

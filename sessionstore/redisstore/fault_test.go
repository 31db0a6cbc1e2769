package redisstore_test

import (
	"context"
	"crypto/rand"
	"errors"
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/buffkit/buffkit/internal/cable"
	"github.com/buffkit/buffkit/internal/servers"
	"github.com/buffkit/buffkit/sessionstore"
	"github.com/buffkit/buffkit/sessionstore/redisstore"
	"github.com/redis/rueidis"
)

// starts are servers of each kind, for tests that break them.
var starts = []struct {
	name  string
	start func(...string) (*servers.RedisServer, error)
}{
	{"Redis 7", servers.Redis},
	{"Valkey 9", servers.Valkey},
}

func newID() (id sessionstore.ID) {
	_, _ = rand.Read(id[:])
	return id
}

func mustDo(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// connect lets a user connect to a session once.
func connect(ctx context.Context, store *redisstore.Store, id sessionstore.ID) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	outcomes, err := store.Connect(ctx, "a", []sessionstore.Claim{{Session: id, User: "ada", Fresh: true, Grace: time.Hour}})
	if err == nil {
		err = outcomes[0].Err
	}
	return err
}

func counted(t testing.TB, store *redisstore.Store, id sessionstore.ID) int {
	t.Helper()
	info, err := store.Get(t.Context(), id)
	if errors.Is(err, sessionstore.ErrNoSession) {
		return 0
	}
	mustDo(t, err)
	return info.Connections
}

// ofUser finds out how many connections a user has.
func ofUser(t testing.TB, store *redisstore.Store, user string) int {
	t.Helper()
	for n := 1; ; n++ {
		claim := sessionstore.Claim{Session: newID(), User: user, Fresh: true, MaxPerUser: n}
		outcomes, err := store.Connect(t.Context(), "counter", []sessionstore.Claim{claim})
		mustDo(t, err)
		if outcomes[0].Err == nil {
			mustDo(t, store.Leave(t.Context(), "counter", []sessionstore.Leave{{Session: claim.Session, User: user}}))
			return n - 1
		}
	}
}

// tells says whether a session is among what was revoked.
func tells(news []sessionstore.Revocation, id sessionstore.ID) bool {
	return slices.ContainsFunc(news, func(r sessionstore.Revocation) bool { return r.Session == id })
}

// eventually asks until it is so.
func eventually(t testing.TB, what string, so func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(30 * time.Second); !so(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatal("too late: ", what)
		}
	}
}

func restart(t testing.TB, server *servers.RedisServer) {
	t.Helper()
	mustDo(t, server.Kill())
	mustDo(t, server.Start())
}

func TestAKilledServerWithAOFLosesNothingConfirmed(t *testing.T) {
	t.Parallel()
	for _, kind := range starts {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			server := own(t, kind.start, "--appendonly", "yes", "--appendfsync", "always")
			store := openStore(t, redisstore.Options{Addrs: []string{server.Addr}})
			mustDo(t, store.Restore(t.Context(), "a", time.Hour, nil))
			id, confirmed, unknown := newID(), 0, 0
			try := func() bool {
				err := connect(t.Context(), store, id)
				if err == nil {
					confirmed++
				} else {
					unknown++
				}
				return err == nil
			}
			for range 3 {
				for range 20 {
					try()
				}
				done := make(chan error)
				go func() { done <- errors.Join(server.Kill(), server.Start()) }()
				for restarting := true; restarting; {
					try()
					select {
					case err := <-done:
						mustDo(t, err)
						restarting = false
					case <-time.After(10 * time.Millisecond):
					}
				}
				eventually(t, "the store works again", try)
			}
			n := counted(t, store, id)
			t.Logf("%d connections were confirmed, %d calls failed, %d are counted", confirmed, unknown, n)
			if n < confirmed || n > confirmed+unknown {
				t.Errorf("%d connections are counted, %d were confirmed and %d unknown", n, confirmed, unknown)
			}
			mustDo(t, store.Restore(t.Context(), "a", time.Hour, []sessionstore.Held{{Session: id, User: "ada", Connections: confirmed}}))
			if n, u := counted(t, store, id), ofUser(t, store, "ada"); n != confirmed || u != confirmed {
				t.Errorf("%d connections are counted after Restore, and %d of the user, want %d", n, u, confirmed)
			}
		})
	}
}

// A server without persistence forgets everything, as does FLUSHALL.
func TestWhatAServerForgetsIsBroughtBackByRestore(t *testing.T) {
	t.Parallel()
	for name, forget := range map[string]func(testing.TB, *servers.RedisServer){
		"a restart": restart,
		"FLUSHALL": func(t testing.TB, server *servers.RedisServer) {
			_, err := server.Do("FLUSHALL")
			mustDo(t, err)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := own(t, servers.Redis)
			store := openStore(t, redisstore.Options{Addrs: []string{server.Addr}})
			mustDo(t, store.Restore(t.Context(), "a", time.Hour, nil))
			id, before, after := newID(), newID(), newID()
			mustDo(t, connect(t.Context(), store, id))
			_, err := store.Revoke(t.Context(), before, sessionstore.ErrRevoked)
			mustDo(t, err)
			_, mark, err := store.Revoked(t.Context(), "")
			mustDo(t, err)

			forget(t, server)
			eventually(t, "the node is told that it is lost", func() bool {
				return errors.Is(store.Beat(t.Context(), "a", time.Hour), sessionstore.ErrNodeLost)
			})
			held := sessionstore.Held{Session: id, User: "ada", Generation: 3, Connections: 2}
			mustDo(t, store.Restore(t.Context(), "a", time.Hour, []sessionstore.Held{held}))
			if n, u := counted(t, store, id), ofUser(t, store, "ada"); n != 2 || u != 2 {
				t.Errorf("%d connections are counted, %d of the user, want 2", n, u)
			}
			outcomes, err := store.Connect(t.Context(), "a", []sessionstore.Claim{{Session: id, Generation: 1, Grace: time.Hour}})
			mustDo(t, err)
			if outcomes[0].Err != sessionstore.ErrReplayed {
				t.Errorf("an old token: %v, want ErrReplayed", outcomes[0].Err)
			}
			// Who follows the feed goes on with the mark from before.
			_, err = store.Revoke(t.Context(), after, sessionstore.ErrRevoked)
			mustDo(t, err)
			news, _, err := store.Revoked(t.Context(), mark)
			mustDo(t, err)
			if !tells(news, after) || !tells(news, id) {
				t.Errorf("after the mark there are %v, want %x and %x", news, id, after)
			}
		})
	}
}

// A server that comes back with an old file counts who has left since, under the name of a node that goes on.
func TestAnOldFileCountsNothingForANodeWithANewName(t *testing.T) {
	t.Parallel()
	server := own(t, servers.Redis)
	store := openStore(t, redisstore.Options{Addrs: []string{server.Addr}})
	mustDo(t, store.Restore(t.Context(), "a", time.Hour, nil))
	stays, left := newID(), newID()
	mustDo(t, connect(t.Context(), store, stays))
	mustDo(t, connect(t.Context(), store, left))
	_, err := server.Do("SAVE")
	mustDo(t, err)
	mustDo(t, store.Leave(t.Context(), "a", []sessionstore.Leave{{Session: left, User: "ada"}}))
	restart(t, server)
	eventually(t, "the store works again", func() bool { return store.Restore(t.Context(), "b", time.Hour, nil) == nil })
	if n := counted(t, store, left); n != 1 {
		t.Fatalf("%d connections are counted: the server has lost nothing", n)
	}
	mustDo(t, store.Forget(t.Context(), "a"))
	mustDo(t, store.Restore(t.Context(), "b", 0, []sessionstore.Held{{Session: stays, User: "ada", Connections: 1}}))
	if n, m, u := counted(t, store, stays), counted(t, store, left), ofUser(t, store, "ada"); n != 1 || m != 0 || u != 1 {
		t.Errorf("%d connections are counted of who stays, %d of who has left, %d of the user", n, m, u)
	}
}

func TestAnUnknownOutcomeIsHealedByRestore(t *testing.T) {
	t.Parallel()
	server := sharedRedis(t)
	opts := redisstore.Options{Addrs: []string{server.Addr}, Prefix: prefix()}
	direct := openStore(t, opts)
	c := cable.New(t, server.Addr)
	opts.Addrs = []string{c.Addr()}
	store := openStore(t, opts)
	mustDo(t, store.Restore(t.Context(), "a", time.Hour, nil))
	id, has, twice := newID(), 0, 0
	mustDo(t, connect(t.Context(), direct, id)) // from now on the server knows the script
	mustDo(t, direct.Restore(t.Context(), "a", 0, []sessionstore.Held{{Session: id}}))
	for range 5 {
		c.Deaf.Store(true)
		if err := connect(t.Context(), store, id); err == nil {
			t.Fatal("a call whose answer is lost has worked")
		}
		c.Deaf.Store(false)
		c.Cut()
		eventually(t, "the store works again", func() bool { return connect(t.Context(), store, id) == nil })
		has++
		n := counted(t, direct, id)
		if n != has && n != has+1 {
			t.Errorf("%d connections are counted, want %d, and perhaps the one whose answer was lost", n, has)
		}
		twice += n - has
		mustDo(t, store.Restore(t.Context(), "a", time.Hour, []sessionstore.Held{{Session: id, User: "ada", Connections: has}}))
		if n, u := counted(t, direct, id), ofUser(t, direct, "ada"); n != has || u != has {
			t.Errorf("%d connections are counted after Restore, %d of the user, want %d", n, u, has)
		}
	}
	if twice == 0 {
		t.Error("no call whose answer was lost has counted: they never arrived")
	}
}

// Every node asks several times a second what was revoked.
func TestAQuietFeedCostsNothing(t *testing.T) {
	t.Parallel()
	c := cable.New(t, sharedRedis(t).Addr)
	store := openStore(t, redisstore.Options{Addrs: []string{c.Addr()}, Prefix: prefix()})
	const revoked, polls = 5000, 20
	var claims []sessionstore.Claim
	for range revoked {
		id := newID()
		claims = append(claims, sessionstore.Claim{Session: id, Generation: 2}, sessionstore.Claim{Session: id, Generation: 1, Grace: -1})
	}
	_, err := store.Connect(t.Context(), "a", claims)
	mustDo(t, err)
	news, mark, err := store.Revoked(t.Context(), "")
	mustDo(t, err)
	if len(news) != revoked {
		t.Fatalf("%d of %d are told", len(news), revoked)
	}
	before := c.Bytes()
	for range polls {
		news, _, err := store.Revoked(t.Context(), mark)
		mustDo(t, err)
		if len(news) > 0 {
			t.Errorf("%d are told a second time", len(news))
		}
	}
	if took := (c.Bytes() - before) / polls; took > 200 {
		t.Errorf("a poll without news takes %d bytes", took)
	} else {
		t.Logf("a poll without news takes %d bytes", took)
	}
}

// A failover loses what the new master hadn't got yet, and its clock may be behind: it numbers lower than what nodes have seen.
func TestARevocationThatANewMasterNumbersLowIsTold(t *testing.T) {
	t.Parallel()
	server, opts := sharedRedis(t), redisstore.Options{Addrs: []string{sharedRedis(t).Addr}, Prefix: prefix()}
	store, base := openStore(t, opts), "{"+opts.Prefix+"-sessions}:"
	client, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{server.Addr}, DisableCache: true})
	mustDo(t, err)
	defer client.Close()
	do := func(args ...string) {
		t.Helper()
		mustDo(t, client.Do(t.Context(), client.B().Arbitrary(args...).Build()).Error())
	}
	revoke := func(id sessionstore.ID) {
		t.Helper()
		_, err := store.Revoke(t.Context(), id, sessionstore.ErrRevoked)
		mustDo(t, err)
	}
	kept, lost, late, last := newID(), newID(), newID(), newID()
	revoke(kept)
	revoke(lost)
	ahead := func(by time.Duration) string { return strconv.FormatInt(time.Now().Add(by).UnixMicro(), 10) }
	first := ahead(time.Minute) // the old master's clock was ahead
	do("ZADD", base+"revoked", first, string(kept[:]))
	do("ZADD", base+"revoked", ahead(time.Minute+3*time.Second), string(lost[:]))
	_, mark, err := store.Revoked(t.Context(), "")
	mustDo(t, err)
	do("ZREM", base+"revoked", string(lost[:]))
	do("SET", base+"newest", first)
	for _, id := range []sessionstore.ID{late, last} {
		revoke(id)
		var news []sessionstore.Revocation
		news, mark, err = store.Revoked(t.Context(), mark)
		if mustDo(t, err); !tells(news, id) {
			t.Errorf("after the mark there are %v, want %x", news, id)
		}
	}
	if news, next, err := store.Revoked(t.Context(), mark); err != nil || len(news) > 0 || next != mark {
		t.Errorf("without news there are %v, %v", news, err)
	}
}

func TestAStoreThatNobodySweepsGoesByItself(t *testing.T) {
	t.Parallel()
	server := own(t, servers.Redis)
	store := openStore(t, redisstore.Options{Addrs: []string{server.Addr}, Keep: time.Second})
	mustDo(t, store.Restore(t.Context(), "a", time.Hour, nil))
	id, revoked := newID(), newID()
	mustDo(t, connect(t.Context(), store, id))
	mustDo(t, store.Leave(t.Context(), "a", []sessionstore.Leave{{Session: id, User: "ada"}}))
	mustDo(t, connect(t.Context(), store, newID()))
	_, err := store.Revoke(t.Context(), revoked, sessionstore.ErrRevoked)
	mustDo(t, err)
	client, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{server.Addr}, DisableCache: true})
	mustDo(t, err)
	defer client.Close()
	keys := func() []string {
		all, err := client.Do(t.Context(), client.B().Keys().Pattern("*").Build()).AsStrSlice()
		mustDo(t, err)
		return all
	}
	found := keys()
	if len(found) < 8 {
		t.Errorf("the keys are %q", found)
	}
	for _, key := range found {
		if !strings.HasPrefix(key, "{buffkit-sessions}:") {
			t.Errorf("the key %q is out of the prefix", key)
		}
	}
	eventually(t, "all keys expire", func() bool { return len(keys()) == 0 })
}

// A stream may be older than Keep: what its node gives back then must not be counted for ever.
func TestASessionThatHasExpiredIsGivenBack(t *testing.T) {
	t.Parallel()
	server := own(t, servers.Redis)
	store := openStore(t, redisstore.Options{Addrs: []string{server.Addr}})
	mustDo(t, store.Restore(t.Context(), "a", time.Hour, nil))
	left, dropped := newID(), newID()
	mustDo(t, connect(t.Context(), store, left))
	mustDo(t, connect(t.Context(), store, dropped))
	client, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{server.Addr}, DisableCache: true})
	mustDo(t, err)
	defer client.Close()
	for _, id := range []sessionstore.ID{left, dropped} {
		mustDo(t, client.Do(t.Context(), client.B().Del().Key("{buffkit-sessions}:s:"+string(id[:])).Build()).Error())
	}
	mustDo(t, store.Leave(t.Context(), "a", []sessionstore.Leave{{Session: left, User: "ada"}}))
	if n := ofUser(t, store, "ada"); n != 1 {
		t.Errorf("%d connections of the user are counted, want 1", n)
	}
	mustDo(t, store.Forget(t.Context(), "a"))
	if n := ofUser(t, store, "ada"); n != 0 {
		t.Errorf("%d connections of the user are counted, want none", n)
	}
	live, err := client.Do(t.Context(), client.B().Zcard().Key("{buffkit-sessions}:live").Build()).AsInt64()
	mustDo(t, err)
	if counters := int64(3); live > counters { // what ofUser has made
		t.Errorf("%d sessions are listed, want %d", live, counters)
	}
}

// A session costs an attacker nothing to replay: the memory of it must be bounded.
func TestTheOldestOfTooManyReplaysAreForgotten(t *testing.T) {
	t.Parallel()
	const extra = 700 // more than a page
	store := openStore(t, redisstore.Options{Addrs: []string{sharedRedis(t).Addr}, Prefix: prefix()})
	ids := make([]sessionstore.ID, sessionstore.MaxReplays+extra)
	for some := range slices.Chunk(ids, 5000) {
		var claims []sessionstore.Claim
		for i := range some {
			some[i] = newID()
			claims = append(claims, sessionstore.Claim{Session: some[i], Generation: 2}, sessionstore.Claim{Session: some[i], Generation: 1, Grace: -1})
		}
		_, err := store.Connect(t.Context(), "a", claims)
		mustDo(t, err)
	}
	for more := true; more; {
		var err error
		_, more, err = store.Sweep(t.Context(), time.Hour, time.Hour, 0)
		mustDo(t, err)
	}
	claims := []sessionstore.Claim{{Session: ids[extra-1], Generation: 5}, {Session: ids[extra], Generation: 5}}
	outcomes, err := store.Connect(t.Context(), "a", claims)
	mustDo(t, err)
	if outcomes[0].Err != nil || outcomes[1].Err != sessionstore.ErrRevoked {
		t.Errorf("the last that must be forgotten: %v; the first that mustn't: %v", outcomes[0].Err, outcomes[1].Err)
	}
}

// Sentinel promotes a replica: calls wait for it, or fail, and work again.
func TestAFailoverBySentinel(t *testing.T) {
	t.Parallel()
	master := own(t, servers.Redis)
	host, port, err := net.SplitHostPort(master.Addr)
	mustDo(t, err)
	replica := own(t, servers.Redis, "--replicaof", host, port)
	eventually(t, "the replica follows", func() bool {
		info, err := replica.Info("INFO", "replication")
		return err == nil && info["master_link_status"] == "up"
	})
	sentinel, err := servers.RedisSentinel("main", master)
	mustDo(t, err)
	t.Cleanup(func() { mustDo(t, sentinel.Stop()) })
	eventually(t, "Sentinel knows the replica", func() bool {
		info, err := sentinel.Info("INFO", "sentinel")
		return err == nil && strings.Contains(info["master0"], "slaves=1")
	})
	store := openStore(t, redisstore.Options{Addrs: []string{sentinel.Addr}, Sentinel: "main"})
	mustDo(t, store.Restore(t.Context(), "a", time.Hour, nil))
	id := newID()
	mustDo(t, connect(t.Context(), store, id))
	_, mark, err := store.Revoked(t.Context(), "")
	mustDo(t, err)
	eventually(t, "the replica has it", func() bool {
		a, err1 := master.Info("INFO", "replication")
		b, err2 := replica.Info("INFO", "replication")
		return err1 == nil && err2 == nil && a["master_repl_offset"] == b["slave_repl_offset"]
	})
	mustDo(t, master.Kill())
	eventually(t, "the new master counts", func() bool { return connect(t.Context(), store, id) == nil })
	if n := counted(t, store, id); n < 2 {
		t.Errorf("%d connections are counted, want that before the failover and that after it", n)
	}
	mustDo(t, store.Restore(t.Context(), "a", time.Hour, []sessionstore.Held{{Session: id, User: "ada", Connections: 2}}))
	if n := counted(t, store, id); n != 2 {
		t.Errorf("%d connections are counted after Restore, want 2", n)
	}
	_, err = store.Revoke(t.Context(), id, sessionstore.ErrRevoked)
	mustDo(t, err)
	if news, _, err := store.Revoked(t.Context(), mark); err != nil || !tells(news, id) {
		t.Errorf("after the mark there are %v, %v; want %x", news, err, id)
	}
}

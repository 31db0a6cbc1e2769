package redislog_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/buffkit/buffkit/eventlog"
	"github.com/buffkit/buffkit/eventlog/redislog"
	"github.com/buffkit/buffkit/internal/servers"
	"github.com/redis/rueidis"
)

// admin is a connection of the test's own.
func admin(t testing.TB, addr string) rueidis.Client {
	t.Helper()
	c, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{addr}, DisableCache: true, ForceSingleClient: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func do(t testing.TB, c rueidis.Client, words ...string) rueidis.RedisResult {
	t.Helper()
	r := c.Do(context.Background(), c.B().Arbitrary(words...).Build())
	if err := r.Error(); err != nil && !rueidis.IsRedisNil(err) {
		t.Fatalf("%v: %v", words, err)
	}
	return r
}

// calls is how often the server has run a command.
func calls(t testing.TB, server *servers.RedisServer, command string) int {
	t.Helper()
	stats, err := server.Info("INFO", "commandstats")
	if err != nil {
		t.Fatal(err)
	}
	var n int
	if line := stats["cmdstat_"+command]; line != "" {
		if _, err := fmt.Sscanf(line, "calls=%d,", &n); err != nil {
			t.Fatal(err)
		}
	}
	return n
}

func TestTenThousandClientsOnAnEmptyNodeReadEachTopicOnce(t *testing.T) {
	t.Parallel()
	server := own(t, servers.Redis)
	opts := redislog.Options{Addrs: []string{server.Addr}}
	first := openLog(t, opts)
	start := publish(t, first, "a", "0")
	for i := range 20 {
		publish(t, first, []string{"a", "b"}[i%2], strconv.Itoa(i))
	}
	opts.Replica = &eventlog.ReplicaOptions{Preload: -1} // an empty node
	node := openLog(t, opts)
	mustDo(t, server, "CONFIG", "RESETSTAT")
	var clients sync.WaitGroup
	failed := make(chan string, 1)
	for range 10_000 {
		clients.Go(func() {
			b, err := node.Read(context.Background(), []string{"a", "b"}, start, 100)
			if err != nil || len(b.Entries) != 20 || len(b.Gaps) > 0 {
				select {
				case failed <- fmt.Sprintf("read %d entries, gaps %v, %v; want 20", len(b.Entries), b.Gaps, err):
				default:
				}
			}
		})
	}
	clients.Wait()
	select {
	case what := <-failed:
		t.Error(what)
	default:
	}
	if ranges := node.Stats().Ranges; ranges != 2 {
		t.Errorf("%d ranges were read, want one for each of 2 topics", ranges)
	}
	if n := calls(t, server, "xrevrange"); n != 2 {
		t.Errorf("Redis read %d ranges, want one for each of 2 topics", n)
	}
}

func TestAppendsAtTheSameTimeShareAScript(t *testing.T) {
	t.Parallel()
	server := own(t, servers.Redis)
	store := openStore(t, redislog.Options{Addrs: []string{server.Addr}})
	mustAppend(t, store, record("a", "first"))
	before := calls(t, server, "evalsha")
	const n = 2000
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { mustAppend(t, store, record("t"+strconv.Itoa(i%7), strconv.Itoa(i))) })
	}
	all.Wait()
	scripts := calls(t, server, "evalsha") - before
	t.Logf("%d appends, %d scripts", n, scripts)
	if scripts > n/4 {
		t.Errorf("%d appends took %d scripts", n, scripts)
	}
}

func TestAWithdrawnAppendIsNotStored(t *testing.T) {
	t.Parallel()
	server := own(t, servers.Redis)
	store := openStore(t, redislog.Options{Addrs: []string{server.Addr}})
	mustDo(t, server, "CLIENT", "PAUSE", "60000", "WRITE") // scripts count as writes
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	outcomes := make([]error, 10)
	for i := range outcomes {
		all.Go(func() { _, outcomes[i] = store.Append(ctx, []eventlog.Record{record("a", strconv.Itoa(i))}) })
		eventually(t, "the append is on its way, or waits", func() bool {
			sending, waiting := store.Pending()
			return sending == 1 && waiting == i
		})
	}
	cancel()
	all.Wait()
	mustDo(t, server, "CLIENT", "UNPAUSE")
	unknown := 0
	for _, err := range outcomes {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("Append: %v, want the context's error", err)
		}
		if errors.Is(err, eventlog.ErrUnknownOutcome) {
			unknown++
		}
	}
	if unknown != 1 {
		t.Errorf("%d of %d appends have an unknown outcome, want the one that was sent", unknown, len(outcomes))
	}
	mustAppend(t, store, record("a", "last"))
	h, err := store.History(t.Context(), eventlog.Range{Topic: "a", Max: 100})
	if err != nil || len(h.Records) > 2 {
		t.Errorf("%d records are stored (%v), want at most what was sent and the last", len(h.Records), err)
	}
}

func TestASlotMovesUnderLoad(t *testing.T) {
	t.Parallel()
	cluster, err := servers.NewRedisCluster()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cluster.Stop() })
	opts := redislog.Options{Addrs: cluster.Addrs()}
	near, far := openLog(t, opts), openLog(t, opts)
	topics := []string{"a", "b", "c"}
	f := follow(t, far, head(t, far), topics...)
	p := startPublishers(t, near, 6, topics...)
	p.more(t, 100)
	for range 2 {
		moveSlot(t, cluster, "{buffkit}:m")
		p.more(t, 100)
	}
	confirmed := p.end()
	for data := range confirmed {
		f.wait(t, data)
	}
	f.wantExactly(t, confirmed)
	f.wantNoGap(t)
	t.Logf("%d events, failures: %v", len(confirmed), p.failures)
}

// moveSlot moves the slot of a key to another node, key after key, as redis-cli --cluster reshard does.
func moveSlot(t testing.TB, cluster *servers.RedisCluster, key string) {
	t.Helper()
	var nodes []rueidis.Client
	var ids []string
	for _, addr := range cluster.Addrs() {
		c := admin(t, addr)
		id, err := do(t, c, "CLUSTER", "MYID").ToString()
		if err != nil {
			t.Fatal(err)
		}
		nodes, ids = append(nodes, c), append(ids, id)
	}
	n, err := do(t, nodes[0], "CLUSTER", "KEYSLOT", key).AsInt64()
	if err != nil {
		t.Fatal(err)
	}
	slot := strconv.FormatInt(n, 10)
	from := slices.IndexFunc(nodes, func(c rueidis.Client) bool {
		n, err := do(t, c, "CLUSTER", "COUNTKEYSINSLOT", slot).AsInt64()
		return err == nil && n > 0
	})
	if from < 0 {
		t.Fatalf("no node has keys of the slot %s", slot)
	}
	to := (from + 1) % len(nodes)
	do(t, nodes[to], "CLUSTER", "SETSLOT", slot, "IMPORTING", ids[from])
	do(t, nodes[from], "CLUSTER", "SETSLOT", slot, "MIGRATING", ids[to])
	host, port, _ := strings.Cut(cluster.Addrs()[to], ":")
	for {
		keys, err := do(t, nodes[from], "CLUSTER", "GETKEYSINSLOT", slot, "2").AsStrSlice()
		if err != nil {
			t.Fatal(err)
		}
		if len(keys) == 0 {
			break
		}
		do(t, nodes[from], append([]string{"MIGRATE", host, port, "", "0", "5000", "KEYS"}, keys...)...)
	}
	for _, i := range []int{to, from, (to + 1) % 3} {
		do(t, nodes[i], "CLUSTER", "SETSLOT", slot, "NODE", ids[to])
	}
}

func TestSentinelFailsOverUnderLoad(t *testing.T) {
	t.Parallel()
	p := startPair(t)
	sentinel, err := servers.RedisSentinel("events", p.master)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sentinel.Stop() })
	eventually(t, "the Sentinel knows of the replica", func() bool {
		info, err := sentinel.Info("INFO", "sentinel")
		return err == nil && strings.Contains(info["master0"], "slaves=1")
	})
	opts := redislog.Options{Addrs: []string{sentinel.Addr}, Sentinel: "events"}
	near, far := openLog(t, opts), openLog(t, opts)
	f := follow(t, far, head(t, far), "a", "b")
	publishing := startPublishers(t, near, 4, "a", "b")
	publishing.more(t, 200)
	if err := p.master.Kill(); err != nil {
		t.Fatal(err)
	}
	publishing.more(t, 200)
	confirmed := publishing.end()
	n := 0
	eventually(t, "an event comes that is published now", func() bool { // the first may be within a gap
		n++
		publish(t, near, "a", fmt.Sprintf("end/%d", n))
		got, _ := f.seen()
		return slices.ContainsFunc(got, func(data string) bool { return strings.HasPrefix(data, "end/") })
	})
	got, gaps := f.seen()
	missing := 0
	for data := range confirmed {
		if !slices.Contains(got, data) {
			missing++
		}
	}
	t.Logf("%d events, failures %v, %d missing, gaps %v", len(confirmed), publishing.failures, missing, gaps)
	if missing > 0 && len(gaps) == 0 {
		t.Errorf("%d confirmed events didn't come and no gap was told", missing)
	}
}

func TestWhoMayNotIsToldWhatToDo(t *testing.T) {
	t.Parallel()
	server := own(t, servers.Redis)
	c := admin(t, server.Addr)
	do(t, c, "ACL", "SETUSER", "other", "on", ">secret", "~other:*", "+@all")
	do(t, c, "ACL", "SETUSER", "reader", "on", ">secret", "~*", "+@read", "+@connection", "+@scripting", "+time")
	do(t, c, "ACL", "SETUSER", "buffkit", "on", ">secret", "~{buffkit}:*", "+@read", "+@write", "+@scripting", "+@connection", "+time", "+info")
	tests := []struct{ name, user, password, want string }{
		{"a wrong password", "buffkit", "wrong", "Password"},
		{"an unknown user", "nobody", "secret", "Username"},
		{"a user of other keys", "other", "secret", "~{buffkit}:*"},
		{"a user who may not write", "reader", "secret", "+@write"},
		{"the user that the message asks for", "buffkit", "secret", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			store, err := redislog.OpenStore(t.Context(), &redislog.Options{Addrs: []string{server.Addr}, Username: tt.user, Password: tt.password})
			if err == nil {
				defer store.Close()
				_, err = store.Append(t.Context(), []eventlog.Record{{Topic: "a", Body: []byte("data: 1\n\n"), IdempotencyKey: "k"}})
			}
			switch {
			case tt.want == "" && err != nil:
				t.Errorf("Append: %v", err)
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want) || errors.Is(err, eventlog.ErrUnknownOutcome)):
				t.Errorf("error %v, want one that says %q", err, tt.want)
			}
		})
	}
}

// A user that lacks one of the rights makes a script fail when it has already stored something.
func TestARefusalInTheMiddleLeavesNothing(t *testing.T) {
	t.Parallel()
	server := own(t, servers.Redis)
	c := admin(t, server.Addr)
	store := openStore(t, redislog.Options{Addrs: []string{server.Addr}})
	mustAppend(t, store, record("a", "1"))
	for _, command := range []string{"set", "pexpire", "hset"} {
		do(t, c, "ACL", "SETUSER", "default", "-"+command)
		_, err := store.Append(t.Context(), []eventlog.Record{record("a", "2"), {Topic: "new", IdempotencyKey: "k", Body: []byte("data: 3\n\n")}})
		if err == nil || !strings.Contains(err.Error(), "ACL") {
			t.Errorf("without %s: %v, want an error that speaks of the ACL", command, err)
		}
		do(t, c, "ACL", "SETUSER", "default", "+"+command)
		for topic, want := range map[string]int{"a": 1, "new": 0} {
			h, err := store.History(t.Context(), eventlog.Range{Topic: topic, Max: 10})
			if err != nil || len(h.Records) != want {
				t.Errorf("without %s: %d records of %q, %v; want %d", command, len(h.Records), topic, err, want)
			}
		}
	}
	again := []eventlog.Record{{Topic: "new", IdempotencyKey: "k", Body: []byte("data: 3\n\n")}}
	if mustAppend(t, store, again...); again[0].Repeated {
		t.Error("the key of what was refused is remembered")
	}
}

func TestAReplicaIsRefused(t *testing.T) {
	t.Parallel()
	p := startPair(t)
	_, err := redislog.OpenStore(t.Context(), &redislog.Options{Addrs: []string{p.replica.Addr}})
	if err == nil || !strings.Contains(err.Error(), "replica") {
		t.Errorf("OpenStore: %v, want an error that says that it is a replica", err)
	}
}

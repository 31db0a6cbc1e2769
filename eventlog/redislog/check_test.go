package redislog_test

import (
	"context"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/buffkit/buffkit/eventlog"
	"github.com/buffkit/buffkit/eventlog/redislog"
	"github.com/buffkit/buffkit/internal/servers"
)

// careful are the arguments of a server about which there is nothing to say.
var careful = []string{"--appendonly", "yes", "--appendfsync", "always", "--maxmemory", "100mb"}

func TestCheckFindsWhatLosesEvents(t *testing.T) {
	t.Parallel()
	server := own(t, servers.Redis, careful...)
	addr := redislog.Options{Addrs: []string{server.Addr}}
	wantFindings(t, addr)
	tests := []struct {
		name       string
		set, reset []string // CONFIG SET
		level      eventlog.Level
		what       string
	}{
		{"a sync each second", []string{"appendfsync", "everysec"}, []string{"appendfsync", "always"}, eventlog.LevelWarning, "about the last second"},
		{"no sync", []string{"appendfsync", "no"}, []string{"appendfsync", "always"}, eventlog.LevelWarning, "appendfsync is no"},
		{"no sync while it rewrites", []string{"no-appendfsync-on-rewrite", "yes"}, []string{"no-appendfsync-on-rewrite", "no"},
			eventlog.LevelWarning, "no-appendfsync-on-rewrite"},
		{"eviction", []string{"maxmemory-policy", "allkeys-lru"}, []string{"maxmemory-policy", "noeviction"}, eventlog.LevelError, "maxmemory-policy is allkeys-lru"},
		{"no bound of its memory", []string{"maxmemory", "0"}, []string{"maxmemory", "100mb"}, eventlog.LevelWarning, "maxmemory isn't set"},
		{"its memory is full", []string{"maxmemory", "1mb"}, []string{"maxmemory", "100mb"}, eventlog.LevelWarning, "of maxmemory, which is 1 MiB, are used"},
		{"nobody who follows", []string{"min-replicas-to-write", "1"}, []string{"min-replicas-to-write", "0"}, eventlog.LevelError, "min-replicas-to-write is 1, and 0 replicas"},
	}
	for _, tt := range tests { // in turn: they share the server
		mustDo(t, server, "CONFIG", "SET", tt.set[0], tt.set[1])
		t.Run(tt.name, func(t *testing.T) { wantFindings(t, addr, string(tt.level)+": "+tt.what) })
		mustDo(t, server, "CONFIG", "SET", tt.reset[0], tt.reset[1])
	}
	wantFindings(t, addr)
}

func TestCheckFindsThatARestartLosesEvents(t *testing.T) {
	t.Parallel()
	server := own(t, servers.Redis, "--maxmemory", "100mb")
	opts := redislog.Options{Addrs: []string{server.Addr}}
	wantFindings(t, opts, "warning: a restart of the server loses all events")
	mustDo(t, server, "CONFIG", "SET", "save", "3600 1")
	wantFindings(t, opts, "warning: after its last snapshot (save 3600 1)")
}

func TestCheckFindsASnapshotThatFails(t *testing.T) {
	t.Parallel()
	server := own(t, servers.Redis, "--maxmemory", "100mb", "--save", "3600 1")
	if err := os.Chmod(server.Dir, 0o500); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Chmod(server.Dir, 0o700) }) // it saves when it ends
	mustDo(t, server, "SET", "a", "1")
	mustDo(t, server, "BGSAVE")
	eventually(t, "the snapshot fails", func() bool {
		info, err := server.Info("INFO", "persistence")
		return err == nil && info["rdb_last_bgsave_status"] == "err"
	})
	wantFindings(t, redislog.Options{Addrs: []string{server.Addr}}, "warning: appendonly is off", "error: the last snapshot failed")
}

func TestCheckFindsWhatAFailoverLoses(t *testing.T) {
	t.Parallel()
	p := startPair(t)
	for _, s := range []*servers.RedisServer{p.master, p.replica} {
		mustDo(t, s, "CONFIG", "SET", "maxmemory", "100mb")
	}
	of := func(s *servers.RedisServer) redislog.Options { return redislog.Options{Addrs: []string{s.Addr}} }
	wantFindings(t, of(p.replica), "error: the server is a replica")
	wantFindings(t, of(p.master), "warning: appendonly", "warning: 1 replicas, and min-replicas-to-write is 0")
	mustDo(t, p.master, "CONFIG", "SET", "min-replicas-to-write", "1")
	eventually(t, "the master has counted its replica", func() bool {
		info, err := p.master.Info("INFO", "replication")
		return err == nil && info["min_slaves_good_slaves"] == "1"
	})
	wantFindings(t, of(p.master), "warning: appendonly")

	sentinel, err := servers.RedisSentinel("events", p.master)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sentinel.Stop() })
	wantFindings(t, of(sentinel), "error: this is a Sentinel")
	through := redislog.Options{Addrs: []string{sentinel.Addr, "127.0.0.1:1"}, Sentinel: "events"}
	wantFindings(t, through, "warning: appendonly", "warning: the Sentinel at 127.0.0.1:1 can't be asked", "warning: 1 Sentinels watch events")

	silent, err := net.Listen("tcp", "127.0.0.1:0") // nobody accepts
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	through.Addrs = []string{sentinel.Addr, silent.Addr().String(), sentinel.Addr}
	through.Timeout, through.DialTimeout = time.Hour, time.Hour
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	wantFindingsWithin(ctx, t, through, "warning: appendonly", "warning: the Sentinel at "+silent.Addr().String()+" can't be asked", "warning: 1 Sentinels watch events")
}

func TestCheckFindsAClusterThatIsNotWhole(t *testing.T) {
	t.Parallel()
	cluster, err := servers.NewRedisCluster()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cluster.Stop() })
	for _, node := range cluster.Nodes {
		mustDo(t, node, "CONFIG", "SET", "maxmemory", "100mb")
	}
	opts := redislog.Options{Addrs: cluster.Addrs()[:1]}
	wantFindings(t, opts, "warning: appendonly is off", "warning: appendonly is off", "warning: appendonly is off")
	mustDo(t, cluster.Nodes[0], "CLUSTER", "DELSLOTS", "0")
	eventually(t, "the node knows", func() bool {
		info, err := cluster.Nodes[0].Info("CLUSTER", "INFO")
		return err == nil && info["cluster_state"] == "fail"
	})
	found, err := redislog.Check(t.Context(), &opts)
	if err != nil || !slices.ContainsFunc(found, func(f eventlog.Finding) bool {
		return f.Level == eventlog.LevelError && strings.HasPrefix(f.What, cluster.Nodes[0].Addr+": ") && strings.Contains(f.What, "the state fail")
	}) {
		t.Errorf("%+v, %v", found, err)
	}
}

func TestCheckSaysWhatItCouldNotRead(t *testing.T) {
	t.Parallel()
	server := own(t, servers.Redis, careful...)
	mustDo(t, server, "ACL", "SETUSER", "buffkit", "on", ">secret", "~{buffkit}:*", "+@read", "+@write", "+@scripting", "+@connection", "+time", "+info")
	mustDo(t, server, "ACL", "SETUSER", "blind", "on", ">secret", "~*", "+@connection")
	opts := redislog.Options{Addrs: []string{server.Addr}, Username: "buffkit", Password: "secret"}
	wantFindings(t, opts, "warning: appendfsync can't be read")
	opts.Username = "blind"
	if found, err := redislog.Check(t.Context(), &opts); err == nil || !strings.Contains(err.Error(), "+info") {
		t.Errorf("%+v, %v; want an error that says what is lacking", found, err)
	}
}

func TestCheckTellsTheServersApart(t *testing.T) {
	t.Parallel()
	for _, kind := range kinds[:3] {
		found, err := redislog.Check(t.Context(), &redislog.Options{Addrs: kind.addrs(t)})
		if err != nil || found[0].Level != eventlog.LevelOK || !strings.HasPrefix(found[0].What, kind.name+".") {
			t.Errorf("%s: %+v, %v", kind.name, found, err)
		}
	}
	valkey := own(t, servers.Valkey, append([]string{"--min-replicas-to-write", "1"}, careful...)...)
	wantFindings(t, redislog.Options{Addrs: []string{valkey.Addr}}, "error: min-replicas-to-write is 1, and 0 replicas")
}

// wantFindings checks that these, in their order, are all that isn't fine, each "level: a part of its text".
func wantFindings(t *testing.T, opts redislog.Options, want ...string) {
	t.Helper()
	wantFindingsWithin(t.Context(), t, opts, want...)
}

func wantFindingsWithin(ctx context.Context, t *testing.T, opts redislog.Options, want ...string) {
	t.Helper()
	found, err := redislog.Check(ctx, &opts)
	if err != nil {
		t.Error(err)
		return
	}
	var got []string
	for _, f := range found {
		if (f.Level == eventlog.LevelOK) != (f.Do == "") {
			t.Errorf("%+v: what isn't fine has something to do", f)
		}
		if f.Level != eventlog.LevelOK {
			got = append(got, string(f.Level)+": "+f.What)
		}
	}
	if !slices.EqualFunc(got, want, func(got, want string) bool {
		level, part, _ := strings.Cut(want, ": ")
		return strings.HasPrefix(got, level+": ") && strings.Contains(got, part)
	}) {
		t.Errorf("found %q, want %q", got, want)
	}
}

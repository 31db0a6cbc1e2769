package redislog

import (
	"context"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/buffkit/buffkit/eventlog"
	"github.com/buffkit/buffkit/eventlog/redislog/redisconn"
	"github.com/redis/rueidis"
)

const (
	oldest  = 7   // the major version that the tests begin with
	crowded = 0.9 // of maxmemory
	quorum  = 3   // Sentinels: two are no majority when one of them is gone
)

// Check looks at the servers for what loses events or stops the log, and says what to change. It writes nothing. With a Cluster it looks at every
// node, with Sentinels at the master and at them. An error means that the server can't be reached or refuses the user. The end of the context ends
// its tries to connect, too.
func Check(ctx context.Context, opts *Options) ([]eventlog.Finding, error) {
	o, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	client, err := o.connect(ctx)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	found, err := o.checkNodes(ctx, client.Nodes())
	if err != nil {
		return nil, err
	}
	if o.Sentinel != "" {
		found = append(found, checkSentinels(ctx, &o)...)
	}
	if has, err := o.hasLog(ctx, client); err == nil && !has {
		found = append(found, eventlog.FoundOK(fmt.Sprintf("there is no log %q yet: the first node that opens it begins it", o.Prefix)))
	}
	return found, nil
}

// HasLog tells whether Open would find a log, or begin one. It writes nothing.
func HasLog(ctx context.Context, opts *Options) (bool, error) {
	o, err := opts.withDefaults()
	if err != nil {
		return false, err
	}
	client, err := o.connect(ctx)
	if err != nil {
		return false, err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	has, err := o.hasLog(ctx, client)
	if err != nil {
		return false, fmt.Errorf("look for the log %q in Redis at %v: %w", o.Prefix, o.Addrs, o.explain(err))
	}
	return has, nil
}

func (o *Options) hasLog(ctx context.Context, client rueidis.Client) (bool, error) {
	key := (&Store{base: o.base()}).metaKey()
	return client.Do(ctx, client.B().Hexists().Key(key).Field("e").Build()).AsBool()
}

// connect connects, and tries no longer than the context lasts.
func (o *Options) connect(ctx context.Context) (rueidis.Client, error) {
	client, err := rueidis.NewClient(o.clientWithin(ctx))
	if err == nil {
		return client, nil
	}
	if end, ok := ctx.Deadline(); ok && !time.Now().Before(end) {
		err = fmt.Errorf("%w: %w", context.DeadlineExceeded, err)
	}
	return nil, fmt.Errorf("connect to Redis at %v: %w", o.Addrs, o.explain(err))
}

// clientWithin returns the options of a client that tries to connect no longer than the context lasts. What it connects to later has no longer either.
func (o *Options) clientWithin(ctx context.Context) rueidis.ClientOption {
	opts := o.conn().Client()
	if end, ok := ctx.Deadline(); ok {
		for _, dialer := range []*net.Dialer{&opts.Dialer, &opts.Sentinel.Dialer} {
			dialer.Deadline = end                                                       // of all addresses together
			dialer.Timeout = max(min(o.DialTimeout, time.Until(end)), time.Millisecond) // the library waits as long for the greeting
		}
	}
	return opts
}

func (o *Options) checkNodes(ctx context.Context, nodes map[string]rueidis.Client) (all []eventlog.Finding, err error) {
	masters := 0
	for _, name := range slices.Sorted(maps.Keys(nodes)) {
		s, err := ask(ctx, nodes[name])
		if err != nil {
			return nil, fmt.Errorf("check Redis at %s: %w", name, o.explain(err))
		}
		if s.info["role"] == "slave" { // what counts is its master
			continue
		}
		masters++
		for _, f := range s.findings() {
			if len(nodes) > 1 {
				f.What = name + ": " + f.What
			}
			all = append(all, f)
		}
	}
	if masters == 0 {
		all = append(all, eventlog.FoundError("the server is a replica: it takes no events", "connect to the master, best through Sentinel or Cluster"))
	}
	return all, nil
}

// server is what one server says of itself.
type server struct {
	info, cluster, config map[string]string
	noConfig              error
	clock                 eventlog.Finding
}

// settings are those that INFO doesn't tell.
var settings = []string{"appendfsync", "no-appendfsync-on-rewrite", "save", "stop-writes-on-bgsave-error", "min-replicas-to-write"}

func ask(ctx context.Context, c rueidis.Client) (*server, error) {
	info, err := c.Do(ctx, c.B().Info().Build()).ToString()
	if err != nil {
		return nil, err
	}
	s := &server{info: parseInfo(info)}
	if s.info["redis_mode"] == "sentinel" {
		return s, nil
	}
	if s.info["cluster_enabled"] == "1" {
		text, err := c.Do(ctx, c.B().ClusterInfo().Build()).ToString()
		if err != nil {
			return nil, err
		}
		s.cluster = parseInfo(text)
	}
	s.config, s.noConfig = c.Do(ctx, c.B().ConfigGet().Parameter(settings...).Build()).AsStrMap()
	asked := time.Now()
	now, err := c.Do(ctx, c.B().Time().Build()).AsStrSlice()
	if err != nil {
		return nil, err
	}
	s.clock = eventlog.CheckClock(parseTime(now), asked, time.Now())
	return s, nil
}

func parseInfo(text string) map[string]string {
	info := map[string]string{}
	for line := range strings.Lines(strings.TrimPrefix(text, "txt:")) { // what RESP3 puts before a text
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			info[name] = value
		}
	}
	return info
}

// parseTime reads seconds and microseconds.
func parseTime(words []string) time.Time {
	var n [2]int64
	for i := range min(len(words), 2) {
		n[i], _ = strconv.ParseInt(words[i], 10, 64)
	}
	return time.Unix(n[0], n[1]*1000)
}

// number returns a field of INFO, 0 if it isn't there.
func (s *server) number(name string) int64 {
	n, _ := strconv.ParseInt(s.info[name], 10, 64)
	return n
}

func (s *server) findings() []eventlog.Finding {
	if s.info["redis_mode"] == "sentinel" {
		return []eventlog.Finding{eventlog.FoundError("this is a Sentinel: it keeps no events", "name the master that it watches: ?sentinel=MASTER in the URL, or Options.Sentinel")}
	}
	return slices.Concat([]eventlog.Finding{s.version()}, s.ofCluster(), s.persistence(), s.snapshots(), s.memory(), []eventlog.Finding{s.replication(), s.clock})
}

func (s *server) version() eventlog.Finding {
	name, version := "Redis", s.info["redis_version"]
	if v := s.info["valkey_version"]; v != "" {
		name, version = "Valkey", v
	}
	major, _, _ := strings.Cut(version, ".")
	if n, _ := strconv.Atoi(major); n < oldest {
		return eventlog.FoundError(name+" "+version, "use Redis 7 or later, or Valkey")
	}
	return eventlog.FoundOK(name + " " + version)
}

func (s *server) ofCluster() []eventlog.Finding {
	if state := s.cluster["cluster_state"]; s.cluster != nil && state != "ok" {
		return []eventlog.Finding{eventlog.FoundError("the Cluster is in the state "+state+": it takes no events", "give each slot a master: CLUSTER INFO and CLUSTER NODES say which has none")}
	}
	return nil
}

const lookYourself = "allow the user +config|get for this check, or look at it yourself"

func (s *server) persistence() []eventlog.Finding {
	if s.info["aof_enabled"] != "1" {
		return []eventlog.Finding{s.withoutFile()}
	}
	if status := s.info["aof_last_write_status"]; status != "ok" {
		return []eventlog.Finding{eventlog.FoundError("the server can't write its append-only file: it takes no events", "look into its log: most often the disk is full")}
	}
	if s.noConfig != nil {
		return []eventlog.Finding{eventlog.FoundWarning("appendfsync can't be read: "+s.noConfig.Error(), lookYourself)}
	}
	found := []eventlog.Finding{eventlog.FoundOK("appendonly with appendfsync always")}
	switch fsync := s.config["appendfsync"]; fsync {
	case "always":
	case "everysec":
		found[0] = eventlog.FoundWarning("appendfsync is everysec: a crash of the machine loses about the last second of what Append has confirmed", "set appendfsync always, if that must not be")
	default:
		found[0] = eventlog.FoundWarning("appendfsync is "+fsync+": a crash of the machine loses what its system had not yet written, half a minute or so",
			"set appendfsync always, or everysec if the last second may be lost")
	}
	if s.config["no-appendfsync-on-rewrite"] == "yes" {
		found = append(found, eventlog.FoundWarning("no-appendfsync-on-rewrite is yes: while the file is rewritten nothing is synced, as with appendfsync no",
			"set no-appendfsync-on-rewrite no"))
	}
	return found
}

// withoutFile is about a server without an append-only file.
func (s *server) withoutFile() eventlog.Finding {
	const do = "set appendonly yes and appendfsync always, or everysec if the last second may be lost"
	switch save := s.config["save"]; {
	case s.noConfig != nil:
		return eventlog.FoundWarning("appendonly is off: a restart of the server loses events, or all of them; every reader is told a gap then", do)
	case save == "":
		return eventlog.FoundWarning("appendonly is off, and save names no snapshots: a restart of the server loses all events; every reader is told a gap then", do)
	default:
		return eventlog.FoundWarning("appendonly is off: a crash of the server loses what came after its last snapshot (save "+save+"); every reader is told a gap then", do)
	}
}

// snapshots is about those that fail and let the server refuse to write.
func (s *server) snapshots() []eventlog.Finding {
	if s.info["rdb_last_bgsave_status"] == "ok" || s.config["save"] == "" || s.config["stop-writes-on-bgsave-error"] != "yes" {
		return nil
	}
	return []eventlog.Finding{eventlog.FoundError("the last snapshot failed: the server takes no events until one succeeds (MISCONF)", "look into its log: most often the disk is full, or its folder can't be written to")}
}

func (s *server) memory() []eventlog.Finding {
	found := []eventlog.Finding{eventlog.FoundOK("maxmemory-policy noeviction")}
	if policy := s.info["maxmemory_policy"]; policy != "noeviction" {
		found[0] = eventlog.FoundError("maxmemory-policy is "+policy+": the server may throw away events and idempotency keys when its memory is full",
			"set maxmemory-policy noeviction: Append then returns ErrFull, and Options.MaxBytes (max_bytes in the URL) keeps it from coming to that")
	}
	used, most := s.number("used_memory"), s.number("maxmemory")
	switch {
	case most == 0:
		found = append(found, eventlog.FoundWarning("maxmemory isn't set: a server that takes all memory is killed by the system",
			"set maxmemory to less than the machine has, and at least twice Options.MaxBytes (max_bytes in the URL)"))
	case float64(used) > crowded*float64(most):
		found = append(found, eventlog.FoundWarning(fmt.Sprintf("%d MiB of maxmemory, which is %d MiB, are used: at its end Append returns ErrFull", used>>20, most>>20),
			"raise maxmemory, or keep less: Options.Retention and MaxBytes"))
	}
	return found
}

func (s *server) replication() eventlog.Finding {
	replicas, good := s.number("connected_slaves"), s.number("min_slaves_good_slaves")
	_, told := s.info["min_slaves_good_slaves"] // where min-replicas-to-write is set
	least, _ := strconv.ParseInt(s.config["min-replicas-to-write"], 10, 64)
	switch least = max(least, 1); {
	case told && good < least:
		return eventlog.FoundError(fmt.Sprintf("min-replicas-to-write is %d, and %d replicas follow closely: the server takes no events", least, good), redisconn.TooFewReplicas)
	case told:
		return eventlog.FoundOK(fmt.Sprintf("min-replicas-to-write is set, and %d replicas follow closely", good))
	case replicas == 0:
		return eventlog.FoundOK("no replicas: there is no failover, and none that loses events")
	}
	return eventlog.FoundWarning(fmt.Sprintf("%d replicas, and min-replicas-to-write is 0: a master that is cut off goes on confirming events that a failover loses; readers are told a gap then", replicas),
		"set min-replicas-to-write 1 and min-replicas-max-lag 10 or less: that bounds what can be lost")
}

// checkSentinels asks each of those that the options name: a failover takes most of all there are.
func checkSentinels(ctx context.Context, o *Options) (found []eventlog.Finding) {
	known, errs := make([]int, len(o.Addrs)), make([]error, len(o.Addrs))
	var asked sync.WaitGroup
	for i, addr := range o.Addrs { // at the same time: one that is silent takes nothing of the others' time
		asked.Go(func() { known[i], errs[i] = askSentinel(ctx, o, addr) })
	}
	asked.Wait()
	for i, addr := range o.Addrs {
		if err := errs[i]; err != nil {
			found = append(found, eventlog.FoundWarning(fmt.Sprintf("the Sentinel at %s can't be asked: %v", addr, o.explain(err)), "start it, or take it out of the URL"))
		}
	}
	most := slices.Max(known)
	what := fmt.Sprintf("%d Sentinels watch %s", most, o.Sentinel)
	switch {
	case most == 0:
	case most < quorum:
		found = append(found, eventlog.FoundWarning(what+": when one of them is gone there is no majority, and no failover", "run three, on different machines, and name them all in the URL"))
	default:
		found = append(found, eventlog.FoundOK(what))
	}
	return found
}

// askSentinel returns how many Sentinels one knows of, itself included.
func askSentinel(ctx context.Context, o *Options, addr string) (int, error) {
	opts := o.clientWithin(ctx)
	opts.InitAddress, opts.ForceSingleClient, opts.Sentinel, opts.SelectDB = []string{addr}, true, rueidis.SentinelOption{}, 0
	opts.Username, opts.Password = o.SentinelUsername, o.SentinelPassword
	client, err := rueidis.NewClient(opts)
	if err != nil {
		return 0, err
	}
	defer client.Close()
	master, err := client.Do(ctx, client.B().Arbitrary("SENTINEL", "MASTER", o.Sentinel).Build()).AsStrMap()
	if err != nil {
		return 0, err
	}
	others, err := strconv.Atoi(master["num-other-sentinels"])
	return others + 1, err
}

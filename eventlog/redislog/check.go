package redislog

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/rueidis"
)

// Level is how bad a Finding is.
type Level string

// The levels, from bad to good.
const (
	Problem Level = "problem" // events can be lost, or the log doesn't work
	Warning Level = "warning" // events can be lost when something fails
	Fine    Level = "ok"
)

// Finding is what Check has to say about one thing.
type Finding struct {
	Level  Level
	What   string // what was found
	Change string // what to do about it, "" if nothing
}

const (
	clockNear = 100 * time.Millisecond // nobody will notice
	clockFar  = 5 * time.Second        // the ages of events are visibly wrong
	oldest    = 7                      // the major version that the tests begin with
)

// Check looks at the server for what loses events, and says what to change. It writes nothing. An error means that the server can't be reached
// or refuses the user.
func Check(ctx context.Context, opts *Options) ([]Finding, error) {
	o, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	client, err := rueidis.NewClient(o.client())
	if err != nil {
		return nil, fmt.Errorf("connect to Redis at %v: %w", o.Addrs, explain(err))
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	nodes := client.Nodes()
	var names []string
	for name := range nodes {
		names = append(names, name)
	}
	slices.Sort(names)
	var all []Finding
	for _, name := range names {
		found, err := checkNode(ctx, nodes[name])
		if err != nil {
			return nil, fmt.Errorf("check Redis at %s: %w", name, explain(err))
		}
		for _, f := range found {
			if len(names) > 1 {
				f.What = name + ": " + f.What
			}
			all = append(all, f)
		}
	}
	return all, nil
}

// server is what one server says of itself.
type server struct {
	info, config map[string]string
	noConfig     error
	distance     time.Duration
}

func checkNode(ctx context.Context, c rueidis.Client) ([]Finding, error) {
	var s server
	info, err := c.Do(ctx, c.B().Info().Build()).ToString()
	if err != nil {
		return nil, err
	}
	s.info = parseInfo(info)
	s.config = map[string]string{}
	for _, name := range []string{"appendfsync", "min-replicas-to-write", "min-replicas-max-lag"} {
		values, err := c.Do(ctx, c.B().ConfigGet().Parameter(name).Build()).AsStrMap()
		if err != nil {
			s.noConfig = err
			break
		}
		s.config[name] = values[name]
	}
	before := time.Now()
	now, err := c.Do(ctx, c.B().Time().Build()).AsStrSlice()
	if err != nil || len(now) != 2 {
		return nil, err
	}
	half := time.Since(before) / 2
	s.distance = parseTime(now).Sub(before.Add(half))
	if s.info["role"] != "master" {
		return nil, nil // a replica: what counts is its master
	}
	return slices.Concat(s.version(), s.persistence(), s.memory(), s.replication(), s.clock()), nil
}

func parseInfo(text string) map[string]string {
	info := map[string]string{}
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			info[name] = value
		}
	}
	return info
}

func parseTime(words []string) time.Time {
	seconds, _ := strconv.ParseInt(words[0], 10, 64)
	micros, _ := strconv.ParseInt(words[1], 10, 64)
	return time.Unix(seconds, micros*1000)
}

func (s *server) version() []Finding {
	name, version := "Redis", s.info["redis_version"]
	if v := s.info["valkey_version"]; v != "" {
		name, version = "Valkey", v
	}
	major, _, _ := strings.Cut(version, ".")
	if n, _ := strconv.Atoi(major); n < oldest {
		return []Finding{{Problem, name + " " + version, "use Redis 7 or later, or Valkey"}}
	}
	return []Finding{{Fine, name + " " + version, ""}}
}

func (s *server) persistence() []Finding {
	switch {
	case s.info["aof_enabled"] != "1":
		return []Finding{{Warning, "appendonly is off: a restart of the server loses events, or all of them; every reader is told a gap then",
			"set appendonly yes and appendfsync always, or everysec if the last second may be lost"}}
	case s.noConfig != nil:
		return []Finding{{Warning, "appendfsync can't be read: " + s.noConfig.Error(), "allow the user +config|get for this check, or look at it yourself"}}
	case s.config["appendfsync"] != "always":
		return []Finding{{Warning, "appendfsync is " + s.config["appendfsync"] + ": a crash of the machine loses about the last second of what Append has confirmed",
			"set appendfsync always, if that must not be"}}
	}
	return []Finding{{Fine, "appendonly with appendfsync always", ""}}
}

func (s *server) memory() []Finding {
	found := []Finding{{Fine, "maxmemory-policy noeviction", ""}}
	if policy := s.info["maxmemory_policy"]; policy != "noeviction" {
		found[0] = Finding{Problem, "maxmemory-policy is " + policy + ": the server may throw away events and idempotency keys when its memory is full",
			"set maxmemory-policy noeviction: Append then returns ErrFull, and Options.MaxBytes keeps it from coming to that"}
	}
	if s.info["maxmemory"] == "0" {
		found = append(found, Finding{Warning, "maxmemory isn't set: a server that takes all memory is killed by the system",
			"set maxmemory to less than the machine has, and at least twice Options.MaxBytes"})
	}
	return found
}

func (s *server) replication() []Finding {
	replicas, _ := strconv.Atoi(s.info["connected_slaves"])
	switch {
	case replicas == 0 && (s.config["min-replicas-to-write"] == "0" || s.noConfig != nil):
		return []Finding{{Fine, "no replicas: there is no failover, and none that loses events", ""}}
	case s.noConfig != nil:
		return []Finding{{Warning, "min-replicas-to-write can't be read: " + s.noConfig.Error(), "allow the user +config|get for this check, or look at it yourself"}}
	case s.config["min-replicas-to-write"] == "0":
		return []Finding{{Warning, fmt.Sprintf("%d replicas, and min-replicas-to-write is 0: a master that is cut off goes on confirming events that a failover loses; readers are told a gap then", replicas),
			"set min-replicas-to-write 1 and min-replicas-max-lag 10 or less: that bounds what can be lost"}}
	}
	return []Finding{{Fine, "min-replicas-to-write " + s.config["min-replicas-to-write"], ""}}
}

func (s *server) clock() []Finding {
	d := s.distance.Abs().Round(time.Millisecond)
	switch {
	case d > clockFar:
		return []Finding{{Problem, fmt.Sprintf("the server's clock and this machine's are %v apart: the ages of events are wrong", d), "run NTP on both"}}
	case d > clockNear:
		return []Finding{{Warning, fmt.Sprintf("the server's clock and this machine's are %v apart", d), "run NTP on both"}}
	}
	return []Finding{{Fine, "the clocks agree", ""}}
}

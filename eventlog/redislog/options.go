package redislog

import (
	"crypto/tls"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/buffkit/buffkit/eventlog"
	"github.com/buffkit/buffkit/eventlog/redislog/redisconn"
)

// Defaults of Options.
const (
	DefaultAddr        = "127.0.0.1:6379"
	DefaultPrefix      = "buffkit"
	DefaultTimeout     = 5 * time.Second        // of an append, failover of a connection included; an operator's patience is longer, a request's shorter
	DefaultDialTimeout = 2 * time.Second        // of one try
	DefaultMaxBytes    = 1 << 30                // 1 GiB of bodies: about 2 GiB of Redis's memory with 200-byte events
	DefaultTailBytes   = 16 << 20               // 16 MiB: what a node may be behind before it asks for each topic
	DefaultTailAge     = 5 * time.Minute        // a node's restart, a short cut of the network
	DefaultForget      = 7 * 24 * time.Hour     // a topic costs about 100 bytes until then
	maxBatchRecords    = 1024                   // of one script: 2 ms of Redis's time in 100 topics, four times that if each has its own
	maxBatchBytes      = 1 << 20                // of one script, unless one Append has more
	inFlight           = 2                      // scripts: while one runs the next is on its way,
	fullBatch          = 128                    // if it has so many records; fewer wait for the one that runs, and for more
	blockTime          = 900 * time.Millisecond // Tail owes a page a second
	pageEntries        = 64                     // batches that Tail reads at once: 16 MiB at most
	unlimited          = 1 << 52                // fits a Lua number, with room to calculate
)

// Options of Open. The zero value, and nil, mean the defaults: a server on this machine.
type Options struct {
	// Addrs are the servers, host:port: one server, some of a Cluster (which is found out by itself), or the Sentinels. Default DefaultAddr.
	Addrs []string
	// Sentinel is the name of the master that the Sentinels at Addrs watch. "": they are servers.
	Sentinel string
	// Username and Password of the ACL user, and those at the Sentinels. A password without a name is that of the default user.
	Username, Password                 string
	SentinelUsername, SentinelPassword string
	// DB is the database number, 0 with a Cluster.
	DB int
	// TLS, if set, is used for all connections.
	TLS *tls.Config

	// Prefix begins all keys, as "{prefix}:…": nodes that share a log share it, and a Cluster keeps them together. Default DefaultPrefix.
	Prefix string
	// Connections is how many connections to a server carry appends and reads of history, a power of two up to 256; each Tail has one of its own.
	// Default 1.
	Connections int
	// DialTimeout bounds one try to connect. Default DefaultDialTimeout.
	DialTimeout time.Duration
	// Timeout bounds an Append or History at the server, all tries included. Default DefaultTimeout.
	Timeout time.Duration

	// Retention of every topic; zero fields mean eventlog's defaults, negative ones no limit. Redis holds an eighth more of a topic at times: events that
	// were appended together lie and go together, as many as a sixteenth of the limits, and 64 or 16 KiB, at most.
	Retention eventlog.Retention
	// RetentionOf, if set, gives the retention of a topic; zero fields then mean those of Retention. It is called at each Append, and may
	// be called at the same time. All nodes should agree.
	RetentionOf func(topic string) eventlog.Retention
	// MaxBytes bounds the bodies and keys of all topics. Over it, the largest of some topics that are looked at lose their older half, within
	// seconds: Redis's own maxmemory, with the policy noeviction, is the hard limit. Default DefaultMaxBytes; negative: no limit.
	MaxBytes int64
	// IdempotencyWindow is how long an idempotency key is remembered. Default eventlog.DefaultIdempotency.
	IdempotencyWindow time.Duration
	// TailBytes and TailAge are what is kept of all topics together, for nodes to follow. A node that was away for longer forgets what it has in memory,
	// and reads the past topic by topic. Defaults DefaultTailBytes, DefaultTailAge.
	TailBytes int64
	TailAge   time.Duration
	// Forget is when a topic that has no events left is forgotten. A reader who comes to it with a cursor from before is told a gap.
	// Default DefaultForget.
	Forget time.Duration

	// Archive, if set, keeps what Redis drops, and history is read from there then: see eventlog.NewTier. Closing the log closes it. OpenStore doesn't
	// use it.
	Archive eventlog.Archive
	// Replica is about this node: its memory, the keys that seal events, its logger. Its Retention and RetentionOf are those above if they are unset.
	// OpenStore doesn't use it.
	Replica *eventlog.ReplicaOptions
}

func (o *Options) withDefaults() (Options, error) {
	var c Options
	if o != nil {
		c = *o
	}
	if len(c.Addrs) == 0 {
		c.Addrs = []string{DefaultAddr}
	}
	c.Prefix = or(c.Prefix, DefaultPrefix)
	c.Connections = or(c.Connections, 1)
	c.DialTimeout = or(c.DialTimeout, DefaultDialTimeout)
	c.Timeout = or(c.Timeout, DefaultTimeout)
	c.Retention = retentionOr(c.Retention, eventlog.Retention{
		Count: eventlog.DefaultRetentionCount, Bytes: eventlog.DefaultRetentionBytes, Age: eventlog.DefaultRetentionAge,
	})
	c.MaxBytes = or(c.MaxBytes, DefaultMaxBytes)
	c.IdempotencyWindow = or(c.IdempotencyWindow, eventlog.DefaultIdempotency)
	c.TailBytes = or(c.TailBytes, DefaultTailBytes)
	c.TailAge = or(c.TailAge, DefaultTailAge)
	c.Forget = or(c.Forget, DefaultForget)
	return c, c.check()
}

func (o *Options) check() error {
	if err := o.conn().Check(); err != nil {
		return fmt.Errorf("redislog: %w", err)
	}
	if o.IdempotencyWindow < time.Millisecond || o.TailBytes < 0 || o.TailAge < 0 || o.Forget < 0 {
		return errors.New("redislog: IdempotencyWindow, TailBytes, TailAge and Forget of Options must be positive")
	}
	return nil
}

// conn returns how to reach the servers.
func (o *Options) conn() *redisconn.Options {
	return &redisconn.Options{
		Name: "buffkit", Addrs: o.Addrs, Sentinel: o.Sentinel, Username: o.Username, Password: o.Password,
		SentinelUsername: o.SentinelUsername, SentinelPassword: o.SentinelPassword, DB: o.DB, TLS: o.TLS,
		Prefix: o.Prefix, Connections: o.Connections, DialTimeout: o.DialTimeout, Timeout: o.Timeout,
	}
}

// retentionOf returns the topic's retention, without limits that are negative.
func (o *Options) retentionOf(topic string) eventlog.Retention {
	r := o.Retention
	if o.RetentionOf != nil {
		r = retentionOr(o.RetentionOf(topic), r)
	}
	return eventlog.Retention{Count: limit(r.Count), Bytes: limit(r.Bytes), Age: limit(r.Age)}
}

func retentionOr(r, def eventlog.Retention) eventlog.Retention {
	return eventlog.Retention{Count: or(r.Count, def.Count), Bytes: or(r.Bytes, def.Bytes), Age: or(r.Age, def.Age)}
}

func or[T comparable](value, def T) T {
	var zero T
	if value == zero {
		return def
	}
	return value
}

// limit returns a limit, none for a negative one.
func limit[T int | int64 | time.Duration](l T) T {
	if l < 0 {
		return T(min(math.MaxInt64, uint64(math.MaxInt)))
	}
	return l
}

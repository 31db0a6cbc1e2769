package redisstore

import (
	"crypto/tls"
	"errors"
	"fmt"
	"math/bits"
	"net"
	"strings"
	"time"

	"github.com/buffkit/buffkit/eventlog/redislog"
	"github.com/redis/rueidis"
)

// Defaults of Options.
const (
	DefaultAddr        = redislog.DefaultAddr
	DefaultPrefix      = redislog.DefaultPrefix
	DefaultTimeout     = redislog.DefaultTimeout
	DefaultDialTimeout = redislog.DefaultDialTimeout
	DefaultKeep        = 30 * 24 * time.Hour // far beyond any token, and any stream
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

	// Prefix begins all keys, as "{prefix-sessions}:…": nodes that share sessions share it. It may be the one of a log. Default DefaultPrefix.
	Prefix string
	// Connections is how many connections to a server carry calls, a power of two up to 256. Default 1.
	Connections int
	// DialTimeout bounds one try to connect. Default DefaultDialTimeout.
	DialTimeout time.Duration
	// Timeout bounds each script of a call, all tries included. Default DefaultTimeout.
	Timeout time.Duration
	// Keep is how long a key stays that nothing writes to and nobody sweeps. It must be longer than the times that Sweep is called with, and than a stream
	// may be open: what is older counts no more. Default DefaultKeep.
	Keep time.Duration
}

// ParseURL reads redis://user:password@host:port/db, as redislog.ParseURL does. Parameters: prefix, sentinel, sentinel_username, sentinel_password, connections,
// timeout, dial_timeout.
func ParseURL(text string) (*Options, error) {
	o, err := redislog.ParseURL(text)
	if err != nil {
		return nil, err
	}
	if o.MaxBytes != 0 || o.Retention.Count != 0 || o.Retention.Age != 0 {
		return nil, errors.New("redisstore: the URL has max_bytes, count or age: they are for a log, leave them out for sessions")
	}
	return &Options{
		Addrs: o.Addrs, Sentinel: o.Sentinel, Username: o.Username, Password: o.Password,
		SentinelUsername: o.SentinelUsername, SentinelPassword: o.SentinelPassword, DB: o.DB, TLS: o.TLS,
		Prefix: o.Prefix, Connections: o.Connections, DialTimeout: o.DialTimeout, Timeout: o.Timeout,
	}, nil
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
	c.Keep = or(c.Keep, DefaultKeep)
	return c, c.check()
}

func (o *Options) check() error {
	switch {
	case strings.ContainsAny(o.Prefix, "{}"):
		return errors.New("redisstore: Options.Prefix must not contain { or }: the keys' hash tag is made of it")
	case o.Connections < 1 || o.Connections > 256 || bits.OnesCount(uint(o.Connections)) != 1:
		return fmt.Errorf("redisstore: Options.Connections is %d, it must be a power of two up to 256", o.Connections)
	case o.Timeout < 0 || o.DialTimeout < 0 || o.Keep < time.Second:
		return errors.New("redisstore: Timeout and DialTimeout of Options must be positive, and Keep a second at least")
	}
	for _, addr := range o.Addrs {
		if _, _, err := net.SplitHostPort(addr); err != nil {
			return fmt.Errorf("redisstore: Options.Addrs has %q: write it as host:port", addr)
		}
	}
	return nil
}

// client returns the options of the library. Retries are off: a batch that was lost on its way must not be sent again.
func (o *Options) client() rueidis.ClientOption {
	return rueidis.ClientOption{
		InitAddress: o.Addrs,
		Username:    o.Username, Password: o.Password, SelectDB: o.DB, TLSConfig: o.TLS, ClientName: "buffkit-sessions",
		Sentinel: rueidis.SentinelOption{
			MasterSet: o.Sentinel, Username: o.SentinelUsername, Password: o.SentinelPassword, TLSConfig: o.TLS,
			TopologyRefreshInterval: sentinelRefresh(o.Sentinel),
		},
		Dialer:             net.Dialer{Timeout: o.DialTimeout},
		ConnWriteTimeout:   o.Timeout,
		PipelineMultiplex:  bits.TrailingZeros(uint(o.Connections)),
		RingScaleEachConn:  8, // 256 commands: batches are few and large
		ReadBufferEachConn: 64 << 10, WriteBufferEachConn: 64 << 10,
		DisableRetry: true, DisableCache: true, AlwaysPipelining: true,
	}
}

// sentinelRefresh lets the client notice a failover of which it wasn't told.
func sentinelRefresh(master string) time.Duration {
	if master == "" {
		return 0
	}
	return 2 * time.Second
}

func or[T comparable](value, def T) T {
	var zero T
	if value == zero {
		return def
	}
	return value
}

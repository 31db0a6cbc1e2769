package redisstore

import (
	"crypto/tls"
	"errors"
	"fmt"
	"time"

	"github.com/buffkit/buffkit/eventlog/redislog"
	"github.com/buffkit/buffkit/eventlog/redislog/redisconn"
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
	if err := o.conn().Check(); err != nil {
		return fmt.Errorf("redisstore: %w", err)
	}
	if o.Keep < time.Second {
		return errors.New("redisstore: Options.Keep must be a second at least")
	}
	return nil
}

// conn returns how to reach the servers.
func (o *Options) conn() *redisconn.Options {
	return &redisconn.Options{
		Name: "buffkit-sessions", Addrs: o.Addrs, Sentinel: o.Sentinel, Username: o.Username, Password: o.Password,
		SentinelUsername: o.SentinelUsername, SentinelPassword: o.SentinelPassword, DB: o.DB, TLS: o.TLS,
		Prefix: o.Prefix, Connections: o.Connections, DialTimeout: o.DialTimeout, Timeout: o.Timeout,
	}
}

func or[T comparable](value, def T) T {
	var zero T
	if value == zero {
		return def
	}
	return value
}

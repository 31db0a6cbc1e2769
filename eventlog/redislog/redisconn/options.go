package redisconn

import (
	"crypto/tls"
	"errors"
	"fmt"
	"math/bits"
	"net"
	"strings"
	"time"

	"github.com/redis/rueidis"
)

// Options say how to reach the servers. None of the fields has a default here: their owners fill them in.
type Options struct {
	Name     string   // of the client, as CLIENT LIST shows it
	Addrs    []string // host:port, of servers or Sentinels
	Sentinel string   // the name of the master, "" without Sentinels

	Username, Password                 string
	SentinelUsername, SentinelPassword string

	DB          int
	TLS         *tls.Config
	Prefix      string
	Connections int // that carry commands, a power of two up to 256
	DialTimeout time.Duration
	Timeout     time.Duration // of a write to a connection that doesn't move
}

// Check returns an error that says which field of its owner's Options is wrong, and what it must be.
func (o *Options) Check() error {
	switch {
	case strings.ContainsAny(o.Prefix, "{}"):
		return errors.New("Options.Prefix must not contain { or }: the keys' hash tag is made of it")
	case o.Connections < 1 || o.Connections > 256 || bits.OnesCount(uint(o.Connections)) != 1:
		return fmt.Errorf("Options.Connections is %d, it must be a power of two up to 256", o.Connections)
	case o.Timeout < 0 || o.DialTimeout < 0:
		return errors.New("Options.Timeout and DialTimeout must be positive")
	}
	for _, addr := range o.Addrs {
		if _, _, err := net.SplitHostPort(addr); err != nil {
			return fmt.Errorf("Options.Addrs has %q: write it as host:port", addr)
		}
	}
	return nil
}

// Client returns the options of the library. Retries are off: what was lost on its way must not be sent again.
func (o *Options) Client() rueidis.ClientOption {
	return rueidis.ClientOption{
		InitAddress: o.Addrs,
		Username:    o.Username, Password: o.Password, SelectDB: o.DB, TLSConfig: o.TLS, ClientName: o.Name,
		Sentinel: rueidis.SentinelOption{
			MasterSet: o.Sentinel, Username: o.SentinelUsername, Password: o.SentinelPassword, TLSConfig: o.TLS,
			TopologyRefreshInterval: sentinelRefresh(o.Sentinel), Dialer: net.Dialer{Timeout: o.DialTimeout},
		},
		Dialer:             net.Dialer{Timeout: o.DialTimeout},
		ConnWriteTimeout:   o.Timeout,
		PipelineMultiplex:  bits.TrailingZeros(uint(o.Connections)),
		RingScaleEachConn:  8, // 256 commands: they are few and large
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

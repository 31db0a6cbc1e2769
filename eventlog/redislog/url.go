package redislog

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

const defaultPort = "6379"

// parameters are what the query of a URL may say.
var parameters = map[string]func(o *Options, value string) error{
	"prefix":            func(o *Options, v string) error { o.Prefix = v; return nil },
	"sentinel":          func(o *Options, v string) error { o.Sentinel = v; return nil },
	"sentinel_username": func(o *Options, v string) error { o.SentinelUsername = v; return nil },
	"sentinel_password": func(o *Options, v string) error { o.SentinelPassword = v; return nil },
	"connections":       func(o *Options, v string) (err error) { o.Connections, err = strconv.Atoi(v); return err },
	"timeout":           func(o *Options, v string) (err error) { o.Timeout, err = time.ParseDuration(v); return err },
	"dial_timeout":      func(o *Options, v string) (err error) { o.DialTimeout, err = time.ParseDuration(v); return err },
	"max_bytes":         func(o *Options, v string) (err error) { o.MaxBytes, err = strconv.ParseInt(v, 10, 64); return err },
	"count":             func(o *Options, v string) (err error) { o.Retention.Count, err = strconv.Atoi(v); return err },
	"age":               func(o *Options, v string) (err error) { o.Retention.Age, err = time.ParseDuration(v); return err },
}

// ParseURL reads redis://user:password@host:port/db, or rediss:// for TLS. The host may be several, with commas: nodes of a Cluster, or the Sentinels
// with ?sentinel=MASTER. Other parameters: prefix, sentinel_username, sentinel_password, connections, timeout, dial_timeout (5s), max_bytes, and count and
// age, the retention of each topic. The port is 6379, and with Sentinels 26379, if the URL has none.
func ParseURL(text string) (*Options, error) {
	scheme, rest, _ := strings.Cut(text, "://")
	end := strings.IndexAny(rest, "/?")
	if end < 0 {
		end = len(rest)
	}
	user, hosts := cutLast(rest[:end], "@")
	u, err := url.Parse(scheme + "://" + user + "@host" + rest[end:]) // net/url knows no list of hosts
	if err != nil {                                                   // its text may have a password
		return nil, fmt.Errorf("redislog: bad URL: write it as redis://user:password@host:port/0, and escape special characters of the password")
	}
	o := &Options{}
	switch u.Scheme {
	case "redis", "valkey":
	case "rediss", "valkeys":
		o.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	default:
		return nil, fmt.Errorf("redislog: URL of the scheme %q: it must be redis, or rediss for TLS", u.Scheme)
	}
	o.Username = u.User.Username()
	o.Password, _ = u.User.Password()
	if db := strings.Trim(u.Path, "/"); db != "" {
		if o.DB, err = strconv.Atoi(db); err != nil || o.DB < 0 {
			return nil, fmt.Errorf("redislog: the URL's path is %q: it is the number of the database, /0", u.Path)
		}
	}
	if err := o.parseQuery(u.Query()); err != nil {
		return nil, err
	}
	return o, o.parseHosts(hosts)
}

// cutLast returns what is before the last separator, "" without one, and the rest.
func cutLast(text, sep string) (before, after string) {
	i := strings.LastIndex(text, sep)
	if i < 0 {
		return "", text
	}
	return text[:i], text[i+len(sep):]
}

func (o *Options) parseQuery(query url.Values) error {
	for name, values := range query {
		set, known := parameters[name]
		if !known {
			return fmt.Errorf("redislog: the URL has the parameter %q: there are %s", name, strings.Join(parameterNames(), ", "))
		}
		if len(values) != 1 {
			return fmt.Errorf("redislog: the URL has the parameter %q %d times: once is enough", name, len(values))
		}
		if err := set(o, values[0]); err != nil {
			return fmt.Errorf("redislog: the URL's parameter %s is %q: %w", name, values[0], err)
		}
	}
	return nil
}

func parameterNames() []string {
	var names []string
	for name := range parameters {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func (o *Options) parseHosts(hosts string) error {
	port := defaultPort
	if o.Sentinel != "" {
		port = "2" + defaultPort
	}
	for host := range strings.SplitSeq(hosts, ",") {
		switch {
		case host == "" || strings.HasPrefix(host, ":"):
			return fmt.Errorf("redislog: the URL has no host: write it as redis://host:%s", port)
		case strings.HasSuffix(host, "]") || !strings.Contains(host, ":"):
			host = net.JoinHostPort(strings.Trim(host, "[]"), port)
		}
		o.Addrs = append(o.Addrs, host)
	}
	return nil
}

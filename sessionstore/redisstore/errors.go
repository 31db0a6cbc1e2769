package redisstore

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/buffkit/buffkit/sessionstore"
	"github.com/redis/rueidis"
)

// advice says what to do about an error of the server, by its first word.
var advice = map[string]string{
	"OOM":         "Redis has reached its maxmemory: raise it",
	"READONLY":    "this server is a replica: connect to the master, best through Sentinel or Cluster",
	"LOADING":     "Redis is loading its data from disk: wait until it has",
	"MASTERDOWN":  "the server is a replica without a master: look after the failover",
	"CLUSTERDOWN": "the Cluster has no master for this slot: look at CLUSTER INFO",
	"TRYAGAIN":    "the slot of these sessions is moving: wait until the migration is over",
	"MOVED":       "the slot has moved, and the client can't follow: name the nodes by addresses that this machine can reach",
	"NOREPLICAS":  "too few replicas are connected for min-replicas-to-write: bring them back, or lower it",
	"MISCONF":     "Redis can't save its data to disk and refuses to write: look into its log",
	"BUSY":        "another script blocks Redis: look at SLOWLOG GET, and end it with SCRIPT KILL",
	"NOAUTH":      "the server wants a password: set Options.Password, or write it into the URL",
	"WRONGPASS":   "wrong name or password: check Options.Username and Password, or the URL",
	"NOPERM":      "the ACL user lacks rights: it needs ~{PREFIX-sessions}:* and +@read +@write +@scripting +@connection +time +info",
	"WRONGTYPE":   "another program uses keys of this prefix: choose another Options.Prefix",
}

// passing are the refusals that end by themselves: nothing was done, and the same command may be sent again.
var passing = map[string]bool{"LOADING": true, "MASTERDOWN": true, "CLUSTERDOWN": true, "TRYAGAIN": true, "READONLY": true}

// code is the first word of a server's error, "" if the error isn't one. The library leaves out the ERR of those that have no word of their own.
func code(err error) string {
	reply, ok := rueidis.IsRedisErr(err)
	if !ok {
		return ""
	}
	text := reply.Error()
	switch {
	case strings.Contains(text, "invalid password"):
		return "WRONGPASS"
	case strings.Contains(text, "user executing the script"): // and may not
		return "NOPERM"
	}
	word, _, _ := strings.Cut(text, " ")
	return word
}

// refused tells whether the command wasn't run, and may be soon.
func refused(err error) bool { return passing[code(err)] || unsent(err) }

// unsent tells whether the command never left: there was no connection.
func unsent(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}

// explain adds to an error what to do about it. It is ErrClosed, or the context's error, if that is why a call has failed.
func (s *Store) explain(ctx context.Context, err error) error {
	word := code(err)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case s.ctx.Err() != nil:
		return sessionstore.ErrClosed
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("no answer from Redis within %v: look whether it is reachable and not blocked by a slow command (SLOWLOG GET): %w", s.opts.Timeout, err)
	case advice[word] != "":
		return fmt.Errorf("%s: %w", advice[word], err)
	case unsent(err):
		return fmt.Errorf("can't connect: is the address right, and does Redis run?: %w", err)
	}
	return err
}

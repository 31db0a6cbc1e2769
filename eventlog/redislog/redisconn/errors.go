package redisconn

import (
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/redis/rueidis"
)

// OutOfMemory is the Code of a server that has reached its maxmemory.
const OutOfMemory = "OOM"

// TooFewReplicas is the advice for a master that takes no writes without them.
const TooFewReplicas = "too few replicas are connected for min-replicas-to-write: bring them back, or lower it"

// advice says what to do about an error of the server, by its first word.
var advice = map[string]string{
	OutOfMemory:   "Redis has reached its maxmemory: raise it, or keep less",
	"READONLY":    "this server is a replica: connect to the master, best through Sentinel or Cluster",
	"LOADING":     "Redis is loading its data from disk: wait until it has",
	"MASTERDOWN":  "the server is a replica without a master: look after the failover",
	"CLUSTERDOWN": "the Cluster has no master for this slot: look at CLUSTER INFO",
	"TRYAGAIN":    "the slot of these keys is moving: wait until the migration is over",
	"MOVED":       "the slot has moved, and the client can't follow: name the nodes by addresses that this machine can reach",
	"NOREPLICAS":  TooFewReplicas,
	"MISCONF":     "Redis can't save its data to disk and refuses to write: look into its log",
	"BUSY":        "another script blocks Redis: look at SLOWLOG GET, and end it with SCRIPT KILL",
	"NOAUTH":      "the server wants a password: set Options.Password, or write it into the URL",
	"WRONGPASS":   "wrong name or password: check Options.Username and Password, or the URL",
	"WRONGTYPE":   "another program uses keys of this prefix: choose another Options.Prefix",
}

// passing are the refusals that end by themselves: nothing was done, and the same command may be sent again.
var passing = map[string]bool{"LOADING": true, "MASTERDOWN": true, "CLUSTERDOWN": true, "TRYAGAIN": true, "READONLY": true}

// Code is the first word of a server's error, "" if the error isn't one. The library leaves out the ERR of those that have no word of their own.
func Code(err error) string {
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

// Refused tells whether the command wasn't run, and may be soon.
func Refused(err error) bool { return passing[Code(err)] || Unsent(err) }

// Unsent tells whether the command never left: there was no connection.
func Unsent(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}

// Explain adds to an error of the server or the network what to do about it. keys is the pattern of the owner's keys, for whoever must let an ACL user at them.
func Explain(err error, keys string) error {
	word := Code(err)
	switch {
	case word == "NOPERM":
		return fmt.Errorf("the ACL user lacks rights: it needs ~%s and +@read +@write +@scripting +@connection +time +info: %w", keys, err)
	case advice[word] != "":
		return fmt.Errorf("%s: %w", advice[word], err)
	case Unsent(err):
		return fmt.Errorf("can't connect: is the address right, and does Redis run?: %w", err)
	}
	return err
}

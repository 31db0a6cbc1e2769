// Package redislog is an eventlog.Log on Redis 7 and 8, or Valkey: one server, Sentinel or Cluster. Nodes that open the same prefix share the log.
//
//	Append ── batch of what waits, packed ──► one script ─► a stream for each topic   history, an entry for the topic's part of the batch
//	                                                      ├► the tail                  what nodes follow, short, an entry for the batch
//	                                                      └► a hash                    epoch, newest offset, state of each topic
//	Tail   ◄── XREAD BLOCK, and a look at the head each second ── the tail
//	History ◄── XRANGE in a script ── a topic's stream
//
// There is no Pub/Sub: a node that was cut off goes on in the tail where it was, and whatever it missed is there, or shows.
//
// # What is promised
//
// When Append returns, the events are in the memory of the master, and as durable as its configuration makes that: with appendonly and
// appendfsync always on its disk, with everysec within a second, and on replicas soon after. What a server loses is told, never silent: every record
// names the one before it, every node remembers how far it has seen, and each append says so. A server that has lost something gets another epoch, and
// every reader, connected or not, is told a gap. This needs one node that has seen what was lost: if all nodes stop, and a failover loses events before
// any is back, nobody knows.
//
// An Append whose connection is lost before the answer returns ErrUnknownOutcome; it is never sent twice. What the server refuses for a while (a failover, a
// slot that moves, data being loaded) is sent again within Options.Timeout.
//
// Offsets come from the server's clock, with a floor in what the node has seen. The clocks of nodes play no role in them.
//
// # What to configure
//
// Redis's maxmemory-policy must be noeviction: anything else throws events away. They are told as trimmed even so, but a forgotten idempotency key isn't
// noticed. Check looks at this and at the rest. Options.MaxBytes bounds what topics hold of bodies and keys, within seconds and without the overhead of Redis,
// which for events of 200 bytes is about as much again; maxmemory is the hard bound, at which Append returns ErrFull and reading goes on.
//
// A user of the log needs
//
//	ACL SETUSER buffkit on >PASSWORD ~{PREFIX}:* +@read +@write +@scripting +@connection +time +info
//
// All keys of a log have one hash tag, so that a Cluster keeps them on one node: one log is as fast as one server.
package redislog

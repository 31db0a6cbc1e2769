// Package redisstore is a sessionstore.Store in Redis 7 and 8, or Valkey: one server, Sentinel or Cluster. Nodes that open the same prefix share it.
//
//	Connect ─ a batch ─► one script ─► s:<session>   a hash for each session, which expires
//	                                 ├► held:<node>   the connections that each node counts, with their users
//	                                 ├► users         the connections of each user
//	                                 └► revoked       by a number that is a time: the feed
//
// # What is promised
//
// A batch is decided by one script, so limits are exact, also against claims of other nodes. When a call returns, what it has changed is in the memory of the
// master, and as durable as its configuration makes that. What a failover or a restart loses is healed where that is possible: a node whose row is gone is told
// ErrNodeLost, and its Restore brings back its sessions and their generations. A revocation that the server loses is lost: nodes that were told of it
// remember it while they run.
//
// A call whose connection is lost before the answer has an unknown outcome, and is not sent again: connections may be counted that aren't there until the
// node's Restore. What the server refuses for a while (a failover, a slot that moves, data being loaded) is sent again within Options.Timeout.
//
// Revocations are numbered by the server's clock, in microseconds, and rise. If the newest that a node knows isn't there any more, it gets those of the last seconds before it
// again, so that one isn't passed which a new master, that had lost some, numbers by a clock that is behind.
//
// # What to configure
//
// Redis's maxmemory-policy should be noeviction: a session that is thrown away begins anew with the next claim, without its count and without being revoked. A
// session takes about 550 bytes. All keys expire Options.Keep after they were last written, so a store that nobody uses any more goes by itself.
//
// A user of the store needs
//
//	ACL SETUSER buffkit on >PASSWORD ~{PREFIX-sessions}:* +@read +@write +@scripting +@connection +time +info
//
// All keys have one hash tag, so that a Cluster keeps them on one node: one store is as fast as one server.
package redisstore

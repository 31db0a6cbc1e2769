// Package oracle counts every event at every client of a fleet while everything around it fails: three nodes, each a process of its own, share a log on
// Redis or on PostgreSQL, hundreds of clients move between them at each reconnect, and from a seed that is printed, nodes are killed, networks cut, and
// servers restarted, emptied, filled and failed over. One node's clock is 10 s behind all the time. docs/faults.md has the faults in a table. It is a module of
// its own, so that no driver ends up in the go.sum of a user.
//
//	ledger    what was published and what became of it, what each client saw and was told, and which faults happened when
//	judge     holds the ledger against the promise, when all is over
//	fleet     the nodes: the test binary again, with a push.Broker on the shared log behind net/http
//	swarm     the clients: package client, and ones that know of nothing but Last-Event-ID, as an EventSource
//	run       one test: it publishes, breaks, lets everything settle, and asks the judge
//
// What the judge demands:
//
//  1. Order: a client gets the events of a topic in the order in which they are stored, and that order agrees with the time of publishing. It gets
//     none twice; a client that drops no repeats gets one again only after a reconnect.
//  2. No silent loss: an event whose publishing was acknowledged, or that somebody has got, is got by each client that follows its topic, or the
//     client was told a gap that covers it.
//  3. Each gap is true. trimmed: more events lay behind the client's cursor than the topic keeps. other_log and rolled_back: the cursor is of a log
//     that is not the newest, and a fault that loses what was stored has come for each log since the first. Any other reason is false here.
//  4. Who goes from one log to another was told; nobody goes back to an earlier one.
//  5. What was refused, or rolled back, is got by nobody. Where the outcome is unknown, all get it or nobody, and a batch is stored whole or not at all.
//
// A gap covers the events of its topic that lie beyond the client's cursor, were begun to be published before it was told, and don't lie beyond the
// place where the stream went on. One that leads to another log also covers what was published while a fault lost the end of the old one.
package oracle

package pglog

import (
	"sync"
	"time"

	"github.com/buffkit/buffkit/eventlog"
)

const (
	maxLatest = 100_000         // topics: some 15 MB
	maxBehind = 5 * time.Second // of the log's own time
)

// latest knows the newest offset of topics as of a place in the log, from what this node has appended and followed. The server needs them for the
// records that come next; a look-up of each, while it holds the lock, costs as much as to store them.
type latest struct {
	mu     sync.Mutex // guards what follows
	at     eventlog.Offset
	since  eventlog.Offset // a topic that isn't here has nothing behind that, up to at
	topics map[string]eventlog.Offset
}

// follow takes records that the node has met in the log, in their order.
func (l *latest) follow(records []eventlog.Record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range records {
		l.note(records[i].Topic, records[i].Offset, records[i].Chain)
	}
}

// appended takes records that the node has stored. Behind others that it hasn't met yet they are left to follow, unless that is too late: the server
// would have to look through ever more.
func (l *latest) appended(p *packed, places []place) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if places[0].chain > l.at && places[0].chain.Time().Sub(l.at.Time()) < maxBehind && l.at > 0 {
		return
	}
	for i, at := range places {
		l.note(p.topics[p.members[i]-1], at.offset, at.chain)
	}
}

// note takes the next record. What was taken already is left out. If there is a hole before the record, only what is behind it is known.
func (l *latest) note(topic string, offset, chain eventlog.Offset) {
	if offset <= l.at {
		return
	}
	if chain != l.at || len(l.topics) >= maxLatest || l.topics == nil {
		l.topics, l.since = make(map[string]eventlog.Offset), chain
	}
	l.at, l.topics[topic] = offset, offset
}

// of returns the newest offset of each topic, 0 where it isn't known, and as of when. One that isn't known has nothing behind since.
func (l *latest) of(topics []string) (known []int64, at, since int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	known = make([]int64, len(topics))
	for i, topic := range topics {
		known[i] = int64(l.topics[topic])
	}
	return known, int64(l.at), int64(l.since)
}

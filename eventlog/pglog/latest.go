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
	topics map[string]eventlog.Offset
}

// follow takes records that the node has met in the log, in their order.
func (l *latest) follow(r *eventlog.Record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.note(r.Topic, r.Offset, r.Chain)
}

// appended takes records that the node has stored. Behind others that it hasn't met yet they are left to follow, unless that is too late: the server
// would have to look through ever more.
func (l *latest) appended(topics []string, places []place) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(places) == 0 || (places[0].chain > l.at && places[0].chain.Time().Sub(l.at.Time()) < maxBehind && l.at > 0) {
		return
	}
	for i, p := range places {
		l.note(topics[i], p.offset, p.chain)
	}
}

// note takes the next record. What was taken already is left out. If there is a hole before the record, only what is behind it is known.
func (l *latest) note(topic string, offset, chain eventlog.Offset) {
	if offset <= l.at {
		return
	}
	if chain != l.at || len(l.topics) >= maxLatest || l.topics == nil {
		l.topics = make(map[string]eventlog.Offset)
	}
	l.at, l.topics[topic] = offset, offset
}

// of returns the newest offset of each topic, 0 where it isn't known, and as of when.
func (l *latest) of(topics []string) (known []int64, at int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	known = make([]int64, len(topics))
	for i, topic := range topics {
		known[i] = int64(l.topics[topic])
	}
	return known, int64(l.at)
}

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

// link is what ties a row to the one before it.
type link struct {
	chain eventlog.Offset // the last offset of that one
	mark  int64           // of the row itself: buffkit_log_mark says what it tells
}

// follows tells whether the row before had a mark.
func (l link) follows(mark int64) bool { return uint32(l.mark>>32) == uint32(mark) }

// latest knows the newest offset of topics as of a row of the log, from what this node has appended and followed. The server needs them for the
// records that come next; a look-up of each, while it holds the lock, costs as much as to store them. It takes them only if it has that very row: the log
// that a node comes back to may have lost it, and have others at the same offsets.
type latest struct {
	mu     sync.Mutex // guards what follows
	at     eventlog.Offset
	mark   int64           // of the row that ends at at
	since  eventlog.Offset // a topic that isn't here has nothing behind that, up to at
	topics map[string]eventlog.Offset
}

// hint is what a node takes for the newest offset of each of some topics, 0 where it doesn't know, and as of which row. A topic that it doesn't know
// has nothing behind since.
type hint struct {
	known           []int64
	at, mark, since int64
}

// follow takes the records that are left of a row that the node has met in the log, in the order of the rows.
func (l *latest) follow(of link, last eventlog.Offset, records []eventlog.Record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.begin(of, last) {
		return
	}
	for i := range records {
		l.note(records[i].Topic, records[i].Offset, records[i].Chain)
	}
	l.end(of, last)
}

// appended takes a row that the node has stored. Behind others that it hasn't met yet it is left to follow, unless that is too late: the server
// would have to look through ever more.
func (l *latest) appended(of link, p *packed, places []place) {
	l.mu.Lock()
	defer l.mu.Unlock()
	last := places[len(places)-1].offset
	if of.chain > l.at && of.chain.Time().Sub(l.at.Time()) < maxBehind && l.at > 0 || !l.begin(of, last) {
		return
	}
	for i, at := range places {
		l.note(p.topics[p.members[i]-1], at.offset, at.chain)
	}
	l.end(of, last)
}

// begin tells whether a row is to be taken: one that was taken already isn't. If it doesn't follow the newest that was, only the row itself is known.
func (l *latest) begin(of link, last eventlog.Offset) bool {
	if last <= l.at {
		return false
	}
	if !of.follows(l.mark) {
		l.clear()
	}
	return true
}

// note takes the next record of a row. If there is a hole before it, only what is behind that is known.
func (l *latest) note(topic string, offset, chain eventlog.Offset) {
	if chain != l.at || len(l.topics) >= maxLatest || l.topics == nil {
		l.topics, l.since = make(map[string]eventlog.Offset), chain
	}
	l.at, l.topics[topic] = offset, offset
}

// end takes the end of a row, whose last records may be gone.
func (l *latest) end(of link, last eventlog.Offset) {
	if l.at != last {
		l.topics, l.since = nil, last
	}
	l.at, l.mark = last, of.mark
}

// forget is for a log that has lost what was taken of it.
func (l *latest) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.clear()
}

func (l *latest) clear() { l.at, l.mark, l.since, l.topics = 0, 0, 0, nil }

func (l *latest) of(topics []string) hint {
	l.mu.Lock()
	defer l.mu.Unlock()
	h := hint{known: make([]int64, len(topics)), at: int64(l.at), mark: l.mark, since: int64(l.since)}
	for i, topic := range topics {
		h.known[i] = int64(l.topics[topic])
	}
	return h
}

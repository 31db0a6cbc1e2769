package push

import (
	"hash/maphash"
	"slices"
	"strings"
	"sync"

	"github.com/buffkit/buffkit/eventlog"
)

// firstBytes begins a stream.
func (c *connection) firstBytes() []byte {
	if c.audience.gzip {
		return appendStored([]byte(gzipHeader), firstBytes)
	}
	return firstBytes
}

// write writes what is for this stream alone.
func (c *connection) write(p []byte) error {
	if !c.audience.gzip {
		return c.transport.write(p)
	}
	buf := getBuffer()
	defer buf.release()
	buf.bytes = appendStored(buf.bytes, p)
	return c.transport.write(buf.bytes)
}

// anyPrivate tells whether some of the entries are for one stream alone: a session's, a user's, or a snapshot's, which has no topic. Their
// text never gets into a block that others get, nor before one.
func anyPrivate(entries []eventlog.Entry) bool {
	for i := range entries {
		if topic := entries[i].Topic; topic == "" || isOwn(topic) {
			return true
		}
	}
	return false
}

func anyOwn(topics []string) bool { return slices.ContainsFunc(topics, isOwn) }

// isOwn tells whether a topic is one that a stream doesn't share with its audience.
func isOwn(topic string) bool {
	return strings.HasPrefix(topic, topicSession) || strings.HasPrefix(topic, topicUser)
}

// cachedBlock is the newest block that was made for streams of an audience that have goroutines, and so aren't in step. It is known by what it
// says, not by its first and last event: who heals a gap gets less of what lies between than others do.
type cachedBlock struct {
	mu    sync.Mutex // guards what follows; held while a block is made, for which the others wait
	plain uint64     // hash of what it says: another text has the same once in 2^64
	size  int        // of that
	bytes []byte
}

var blockSeed = maphash.MakeSeed()

// block returns joined frames as a block that doesn't rely on a tail. Many ask for the same one.
func (a *audience) block(joined []byte) []byte {
	b, plain := &a.last, maphash.Bytes(blockSeed, joined)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.plain != plain || b.size != len(joined) {
		b.plain, b.size = plain, len(joined)
		b.bytes = appendBlock(nil, nil, joined)
	}
	return b.bytes
}

// blocks are what a window is to streams that are compressed: from each entry on, and behind each length of a tail, a block.
type blocks struct {
	made  []block // of the window at hand
	spare [][]byte
}

type block struct {
	first, tail int // its first entry; the length of the tail that it needs
	bytes       []byte
	kept        bool // somebody holds a part of it, so its memory isn't ours any more
}

// spareBlocks keep their memory for the next window: those of all lengths of a tail.
const spareBlocks = 3

// reset forgets the blocks of the window before.
func (b *blocks) reset() {
	for i := range b.made {
		if !b.made[i].kept && len(b.spare) < spareBlocks {
			b.spare = append(b.spare, b.made[i].bytes[:0])
		}
		b.made[i] = block{}
	}
	b.made = b.made[:0]
}

// of returns the block of a window from an entry on, behind a tail.
func (b *blocks) of(w *window, first int, tail []byte) *block {
	for i := range b.made {
		if b.made[i].first == first && b.made[i].tail == len(tail) {
			return &b.made[i]
		}
	}
	var memory []byte
	if n := len(b.spare); n > 0 {
		memory, b.spare = b.spare[n-1], b.spare[:n-1]
	}
	plain := w.bytes[w.starts[first]:]
	if w.private {
		memory = appendStored(memory, plain)
	} else {
		memory = appendBlock(memory, tail, plain)
	}
	b.made = append(b.made, block{first: first, tail: len(tail), bytes: memory})
	return &b.made[len(b.made)-1]
}

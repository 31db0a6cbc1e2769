package push

import (
	"slices"
	"strconv"
	"strings"
	"sync"
)

// stream is an open stream as those see it who wake and end it.
type stream interface {
	// wakeOwn says that the topics of its own, its session's and its user's, may have news. It doesn't block.
	wakeOwn()
	// end makes it say goodbye for the cause. The first cause counts. It doesn't block.
	end(cause error)
}

// audience is the streams that follow the same topics in the same way. What one of them is due is due to all that stand at the same
// place, so it is read and joined once for all.
type audience struct {
	key    string
	topics []string // without those of a stream's own
	slow   SlowPolicy
	gzip   bool
	seats  []int // in the index's lists, one a topic; guarded by the index
	refs   int   // guarded by the index
	lone   *lone // what it is part of, if it has one topic

	mu      sync.Mutex // guards what follows
	streams []*connection
	crowds  []*crowd // one for each shard that has parked some of the audience

	last cachedBlock
}

// wake tells the streams that their topics may have news, but for those that are parked: it appends their crowds.
func (a *audience) wake(crowds []*crowd) []*crowd {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, c := range a.streams {
		signal(c.woken)
	}
	return append(crowds, a.crowds...)
}

// crowd returns the part of the audience that is parked at a shard.
func (a *audience) crowd(s *shard) *crowd {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, c := range a.crowds {
		if c.shard == s {
			return c
		}
	}
	var c *crowd
	if a.lone != nil && len(a.crowds) == 0 {
		c = &a.lone.crowd
	} else {
		c = new(crowd)
	}
	c.audience, c.shard = a, s
	a.crowds = append(a.crowds, c)
	return c
}

// lone is an audience of one topic, as most are, in one piece of memory with what it takes to wake and to serve it. With a hundred thousand of them, each piece
// that lies elsewhere is waited for by itself.
type lone struct {
	audience audience
	crowd    crowd // the first
	topic    [1]string
	seat     [1]int
	crowds   [1]*crowd   // while it is the only one
	follower [1]follower // the topic's list, while there is no other
}

func newAudience(key string, topics []string, slow SlowPolicy, gzip bool) *audience {
	if len(topics) != 1 {
		return &audience{key: key, topics: topics, slow: slow, gzip: gzip, seats: make([]int, len(topics))}
	}
	l := &lone{topic: [1]string{topics[0]}}
	a := &l.audience
	a.key, a.topics, a.slow, a.gzip, a.seats, a.crowds, a.lone = key, l.topic[:], slow, gzip, l.seat[:], l.crowds[:0], l
	return a
}

// list returns a list of followers to which the audience can be added.
func (a *audience) list(followers []follower) []follower {
	if a.lone != nil && followers == nil {
		return a.lone.follower[:0]
	}
	return followers
}

func (a *audience) add(c *connection) {
	a.mu.Lock()
	defer a.mu.Unlock()
	c.place = len(a.streams)
	a.streams = append(a.streams, c)
}

func (a *audience) remove(c *connection) {
	a.mu.Lock()
	defer a.mu.Unlock()
	last := len(a.streams) - 1
	a.streams[c.place] = a.streams[last]
	a.streams[c.place].place = c.place
	a.streams[last] = nil
	a.streams = a.streams[:last]
}

// index finds who follows a topic. A publish touches the audiences of its topic and nothing else.
type index struct {
	mu        sync.RWMutex // guards what follows
	audiences map[string]*audience
	followers map[string][]follower
	users     map[string][]stream
}

// follower is an audience in the list of its topic number slot; its seats[slot] says where in the list it is.
type follower struct {
	a    *audience
	slot int
}

func (x *index) init() {
	x.audiences = make(map[string]*audience)
	x.followers = make(map[string][]follower)
	x.users = make(map[string][]stream)
}

// audienceKey writes topics so that no two lists share a key, whatever the names contain.
func audienceKey(topics []string, slow SlowPolicy, gzip bool) string {
	var b strings.Builder
	b.WriteByte('0' + byte(slow))
	if gzip {
		b.WriteByte('z')
	}
	for _, topic := range topics {
		b.WriteString(strconv.Itoa(len(topic)))
		b.WriteByte(':')
		b.WriteString(topic)
	}
	return b.String()
}

// join returns the audience of the topics, with one reference more. The topics are kept.
func (x *index) join(topics []string, slow SlowPolicy, gzip bool) *audience {
	slices.Sort(topics)
	key := audienceKey(topics, slow, gzip)
	x.mu.Lock()
	defer x.mu.Unlock()
	a, ok := x.audiences[key]
	if !ok {
		a = newAudience(key, topics, slow, gzip)
		x.audiences[key] = a
		for slot, topic := range topics {
			list := a.list(x.followers[topic])
			a.seats[slot] = len(list)
			x.followers[topic] = append(list, follower{a, slot})
		}
	}
	a.refs++
	return a
}

// leave gives back what join returned.
func (x *index) leave(a *audience) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if a.refs--; a.refs > 0 {
		return
	}
	delete(x.audiences, a.key)
	for slot, topic := range a.topics {
		list, seat := x.followers[topic], a.seats[slot]
		last := len(list) - 1
		list[seat] = list[last]
		list[seat].a.seats[list[seat].slot] = seat
		list[last] = follower{}
		if last == 0 {
			delete(x.followers, topic)
		} else {
			x.followers[topic] = list[:last]
		}
	}
}

// joinUser counts a stream to its user's and returns how many there were before.
func (x *index) joinUser(user string, s stream) int {
	x.mu.Lock()
	defer x.mu.Unlock()
	n := len(x.users[user])
	x.users[user] = append(x.users[user], s)
	return n
}

// replaceUser puts a stream in another's place; nil for none.
func (x *index) replaceUser(user string, old, by stream) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.users[user] = replace(x.users[user], old, by); len(x.users[user]) == 0 {
		delete(x.users, user)
	}
}

func replace(streams []stream, old, by stream) []stream {
	i := slices.Index(streams, old)
	switch {
	case i < 0:
		return streams
	case by == nil:
		return slices.Delete(streams, i, i+1)
	}
	streams[i] = by
	return streams
}

func (x *index) userStreams(user string) int {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return len(x.users[user])
}

// wakeUser tells the streams of a user that something was sent to him.
func (x *index) wakeUser(user string) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	for _, s := range x.users[user] {
		s.wakeOwn()
	}
}

// running returns the streams that have a goroutine.
func (x *index) running() []*connection {
	x.mu.RLock()
	defer x.mu.RUnlock()
	var all []*connection
	for _, a := range x.audiences {
		a.mu.Lock()
		all = append(all, a.streams...)
		a.mu.Unlock()
	}
	return all
}

package push

import "slices"

// rousing wakes the streams of some topics. What there is of a topic lies in a dozen places of memory, and with a hundred thousand topics few
// of them are in the processor's caches. Looked up one topic after the other, each place is waited for by itself; looked up step by
// step for all of them, they are waited for together.
type rousing struct {
	topics    []string
	lists     [][]follower
	audiences []*audience
	crowds    []*crowd
	seen      int
}

const together = 64 // much fewer than the cache has lines, more than a processor can wait for at once

// wake tells the streams of the topics that they may have news, and forgets the topics.
func (r *rousing) wake(x *index) {
	r.find(x)
	for some := range slices.Chunk(r.audiences, together) {
		for _, a := range some {
			r.seen += int(a.slow)
		}
		for _, a := range some {
			r.crowds = a.wake(r.crowds)
		}
		for _, c := range r.crowds {
			if c.shard == nil {
				r.seen++
			}
		}
		postNews(r.crowds)
		clear(r.crowds)
		r.crowds = r.crowds[:0]
	}
	clear(r.audiences)
	r.audiences = r.audiences[:0]
}

// find looks up who follows the topics.
func (r *rousing) find(x *index) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	for _, topic := range r.topics {
		r.lists = append(r.lists, x.followers[topic])
	}
	for _, list := range r.lists {
		for i := range list {
			r.audiences = append(r.audiences, list[i].a)
		}
	}
	clear(r.topics)
	clear(r.lists)
	r.topics, r.lists = r.topics[:0], r.lists[:0]
}

// postNews leaves the crowds at their shards, unless they are there.
func postNews(crowds []*crowd) {
	for len(crowds) > 0 {
		n := 1
		for n < len(crowds) && crowds[n].shard == crowds[0].shard {
			n++
		}
		crowds[0].shard.postNews(crowds[:n])
		crowds = crowds[n:]
	}
}

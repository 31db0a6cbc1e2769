package eventlog

import "math/bits"

// classes holds the topics in lists by the size of their memory, one list a power of two, so that the largest is found, within a
// factor of two, without sorting. Class 0 is the topics without events, those that are empty for longest first.
type classes struct {
	lists      [64]struct{ front, back *topic }
	used       uint64 // a bit for each list that isn't empty
	empties    int    // topics in class 0
	emptyBytes int64  // their memory
}

func classOf(t *topic) uint8 { return uint8(bits.Len64(uint64(t.memory))) } // memory is 0 without events, and below 1<<63

// place puts a topic at the back of the list of its size, if it isn't in it yet.
func (c *classes) place(t *topic) {
	class := classOf(t)
	if c.has(t) {
		if t.class == class {
			return
		}
		c.remove(t)
	}
	t.class = class
	l := &c.lists[class]
	t.prev, t.next = l.back, nil
	if l.back == nil {
		l.front = t
	} else {
		l.back.next = t
	}
	l.back = t
	c.used |= 1 << class
	c.countEmpty(t, 1)
}

func (c *classes) has(t *topic) bool { return t.prev != nil || c.lists[t.class].front == t }

// remove takes a topic out of its list, if it is in one.
func (c *classes) remove(t *topic) {
	if !c.has(t) {
		return
	}
	l := &c.lists[t.class]
	if t.prev == nil {
		l.front = t.next
	} else {
		t.prev.next = t.next
	}
	if t.next == nil {
		l.back = t.prev
	} else {
		t.next.prev = t.prev
	}
	t.prev, t.next = nil, nil
	if l.front == nil {
		c.used &^= 1 << t.class
	}
	c.countEmpty(t, -1)
}

func (c *classes) countEmpty(t *topic, n int) {
	if t.class == 0 {
		c.empties += n
		c.emptyBytes += int64(n) * t.overhead()
	}
}

func (c *classes) longestEmpty() *topic { return c.lists[0].front }

// lightest returns a topic of the smallest class in use. There must be one.
func (c *classes) lightest() *topic { return c.lists[bits.TrailingZeros64(c.used)].front }

// heaviest returns what to take memory from: a topic of the largest class, or the one that is empty for longest if all empty
// ones together are of that class. So names that come and go push out no history, but aren't lost at once either. It
// also returns the class, and nil if there is no topic.
func (c *classes) heaviest() (*topic, uint8) {
	empty := bits.Len64(uint64(c.emptyBytes))
	if largest := bits.Len64(c.used&^1) - 1; largest > empty {
		return c.lists[largest].front, uint8(largest)
	}
	return c.lists[0].front, uint8(empty)
}

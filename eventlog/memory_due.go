package eventlog

import (
	"container/heap"
	"time"
)

// expires returns when an event is too old. Without a limit that is in 292 years.
func (r Retention) expires(o Offset) Offset {
	return o + Offset(r.Age/time.Microsecond) + 1 // in whole microseconds, never none
}

// dueQueue is a heap of the topics by when their oldest event gets too old. A topic isn't moved when its oldest events are dropped
// for another reason: it is then looked at once too early, and put back.
type dueQueue []*topic

// add puts a topic into the queue, if it has events and isn't in it.
func (q *dueQueue) add(t *topic) {
	if t.dueIndex >= 0 || t.count == 0 {
		return
	}
	t.dueAt = t.keep.expires(t.oldest())
	heap.Push(q, t)
}

func (q *dueQueue) remove(t *topic) {
	if t.dueIndex >= 0 {
		heap.Remove(q, t.dueIndex)
	}
}

func (q dueQueue) Len() int           { return len(q) }
func (q dueQueue) Less(i, j int) bool { return q[i].dueAt < q[j].dueAt }
func (q dueQueue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].dueIndex, q[j].dueIndex = i, j
}

// Push implements heap.Interface.
func (q *dueQueue) Push(x any) {
	t := x.(*topic)
	t.dueIndex = len(*q)
	*q = append(*q, t)
}

// Pop implements heap.Interface.
func (q *dueQueue) Pop() any {
	old := *q
	t := old[len(old)-1]
	old[len(old)-1] = nil
	*q = old[:len(old)-1]
	t.dueIndex = -1
	return t
}

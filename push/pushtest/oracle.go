package pushtest

import (
	"bytes"
	"context"
	"fmt"
	"hash/maphash"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/buffkit/buffkit/eventlog"
	"github.com/buffkit/buffkit/push"
)

// Oracle knows what was published and what each subscriber got and was told, and says what of the promise was broken: per topic,
// in publish order, each event once, or a told gap that is one. It doesn't know how the events travelled, so
// it serves for one broker as for many nodes on a shared log.
//
// Publish through it, let subscribers follow (Subscriber.Follow, Subscriber.FollowStreams) or tell it what your own client
// sees, wait with Wait, and fail the test with what Check returns:
//
//	oracle := pushtest.NewOracle(log)
//	alice := oracle.Subscriber("alice", "orders", "prices")
//	go alice.Follow(ctx, url, nil)
//	oracle.Publish(ctx, broker, push.Event{Topic: "orders", Data: data})
//	if err := oracle.Wait(ctx); err != nil { … }
//	for _, v := range oracle.Check() { t.Error(v) }
//
// What counts as what:
//
//   - An event is published when Publish returned its cursor. One whose Publish returned an error may be delivered or not; if it is,
//     it must be once and in order.
//   - The order of a topic is that of the cursors. It must agree with time: an event whose Publish began after another
//     one's had returned comes after it, and a batch keeps its order.
//   - An event is due to a subscriber when it is beyond the place where the subscriber began. It is lost when it is due, was
//     never received, and no told gap of its topic covers it.
//   - A gap covers the events of its topics that are beyond the subscriber's cursor at the telling, were begun to be
//     published before it was received and, if the stream said so, lie before the place where it went on.
//   - A gap is true if it is what its reason says. trimmed: the log, read from its oldest event when the gap is received, lacks an
//     event of the topic beyond the cursor. other_log: the cursor has another epoch than the log. unreadable: what was sent isn't a
//     cursor. slow: more events than Subscriber.MaxBehind allows lay beyond the cursor. rolled_back: the cursor is beyond a
//     place that the test has named with RolledBack.
//   - The number told with resumed is right if it is between the events beyond the cursor that were published before the
//     request, and those that were begun before the answer was received. Where nothing is published meanwhile, that is one number.
//
// All methods may be called at the same time. Events that weren't published through the oracle, snapshots among them, are
// not looked at; don't publish any on topics that its subscribers follow, since a told number would count them.
type Oracle struct {
	log   eventlog.Log
	seed  maphash.Seed
	clock atomic.Int64 // orders what happens: each publish, answer, request and telling has a time of its own

	mu          sync.Mutex // guards what follows
	events      []*published
	subscribers []*Subscriber
	rollbacks   []eventlog.Cursor
}

// published is an event. Its fields are guarded by the oracle's mu until the publishing has ended, then not changed.
type published struct {
	number int // all events of the oracle, from 0
	topic  string
	sum    uint64          // of its data
	began  int64           // the same for all events of a batch
	ended  int64           // 0 while it lasts
	at     eventlog.Cursor // zero if Publish failed
}

// Publisher is what a *push.Broker is.
type Publisher interface {
	// PublishAll stores the events in their order, all or none, and returns a cursor for each.
	PublishAll(ctx context.Context, events ...push.Event) ([]eventlog.Cursor, error)
}

// NewOracle returns an oracle. The log is the one that the brokers serve; it is asked what it still holds when a gap is told.
func NewOracle(log eventlog.Log) *Oracle {
	return &Oracle{log: log, seed: maphash.MakeSeed()}
}

// RolledBack says that the log has lost what it had beyond a place, its head after the loss. Call it before a subscriber can be told.
func (o *Oracle) RolledBack(head eventlog.Cursor) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.rollbacks = append(o.rollbacks, head)
}

// stampMark begins the data of the oracle's events; the event's number and a space follow.
const stampMark = "oracle#"

// Publish publishes events, each with a stamp before its data so that it is known again, and records what became of them. It returns what the
// publisher does.
func (o *Oracle) Publish(ctx context.Context, to Publisher, events ...push.Event) ([]eventlog.Cursor, error) {
	events = slices.Clone(events)
	records := o.begin(events)
	cursors, err := to.PublishAll(ctx, events...)
	o.end(records, cursors, err)
	return cursors, err
}

// begin records events that are about to be published, and stamps them.
func (o *Oracle) begin(events []push.Event) []*published {
	o.mu.Lock()
	defer o.mu.Unlock()
	records := make([]*published, len(events))
	began := o.clock.Add(1)
	for i := range events {
		stamp := stampMark + strconv.Itoa(len(o.events)) + " "
		events[i].Data = append([]byte(stamp), events[i].Data...)
		records[i] = &published{number: len(o.events), topic: events[i].Topic, sum: maphash.Bytes(o.seed, events[i].Data), began: began}
		o.events = append(o.events, records[i])
	}
	return records
}

func (o *Oracle) end(records []*published, cursors []eventlog.Cursor, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	ended := o.clock.Add(1)
	for i, r := range records {
		r.ended = ended
		if err == nil && i < len(cursors) {
			r.at = cursors[i]
		}
	}
}

// stampOf reads the number from an event's data.
func stampOf(data []byte) (number int, ok bool) {
	rest, ok := bytes.CutPrefix(data, []byte(stampMark))
	if !ok {
		return 0, false
	}
	digits, _, ok := bytes.Cut(rest, []byte(" "))
	number, err := strconv.Atoi(string(digits))
	return number, ok && err == nil && number >= 0
}

// Wait waits until every subscriber has got what was published before the call, or was told a gap. It returns an error that
// says who waits for what if the context ends before.
func (o *Oracle) Wait(ctx context.Context) error {
	o.mu.Lock()
	last := make(map[string]*published) // of each topic
	for _, e := range o.events {
		if l := last[e.topic]; !e.at.IsZero() && (l == nil || e.at.Beyond(l.at)) {
			last[e.topic] = e
		}
	}
	subscribers := slices.Clone(o.subscribers)
	o.mu.Unlock()
	for _, s := range subscribers {
		for _, topic := range s.topics {
			if e := last[topic]; e != nil {
				if err := s.await(ctx, e); err != nil {
					return fmt.Errorf("pushtest: subscriber %q waits for event %s of topic %q: %w", s.name, e.at, topic, err)
				}
			}
		}
	}
	return nil
}

package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/buffkit/buffkit/eventlog"
	"github.com/buffkit/buffkit/htmx"
	"github.com/buffkit/buffkit/push"
)

// The topics of the page.
const (
	topicPulse   = "pulse"   // numbers, as named events: in htmx 4 they become DOM events
	topicMachine = "machine" // HTML, as unnamed events
	topicList    = "list"    // the same
)

var topics = []string{topicPulse, topicMachine, topicList}

// state is what the page shows at one moment. It is replaced, never changed.
type state struct {
	pulse   uint64 // the number of the last event of each topic
	machine uint64
	list    uint64
	samples []sample // the chart's window, oldest first
	items   []item
}

// publisher owns the state. All changes come through its one goroutine, run, so the numbers and the log have one order without
// a lock; everybody else reads the state of the moment.
type publisher struct {
	broker *push.Broker
	logger *slog.Logger
	host   hostInfo
	state  atomic.Pointer[state]
	edits  chan request[edit]
	bursts chan request[int]
}

// request is something for run to do, and where its error goes.
type request[T any] struct {
	what T
	done chan<- error // has room
}

func (p *publisher) run(ctx context.Context, pulses <-chan time.Time, samples <-chan sample) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-pulses:
			_ = p.publishPulses(ctx, 1) // publish has logged it
		case s := <-samples:
			_ = p.publishSample(ctx, s)
		case r := <-p.edits:
			r.done <- p.publishEdit(ctx, r.what)
		case r := <-p.bursts:
			r.done <- p.publishPulses(ctx, r.what)
		}
	}
}

// ask has run do something, and returns its error.
func ask[T any](ctx context.Context, requests chan<- request[T], what T) error {
	done := make(chan error, 1)
	select {
	case requests <- request[T]{what, done}:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (p *publisher) publishPulses(ctx context.Context, n int) error {
	next := *p.state.Load()
	events := make([]push.Event, n)
	for i := range events {
		next.pulse++
		events[i] = pulseEvent(next.pulse, false)
	}
	return p.publish(ctx, &next, events...)
}

func (p *publisher) publishSample(ctx context.Context, s sample) error {
	next := *p.state.Load()
	next.machine++
	next.samples = appendSample(next.samples, s)
	event, err := p.machineEvent(ctx, &next, false)
	if err != nil {
		return err
	}
	return p.publish(ctx, &next, event)
}

func (p *publisher) publishEdit(ctx context.Context, change edit) error {
	next := *p.state.Load()
	items, err := change(next.items)
	if err != nil {
		return err
	}
	next.list++
	next.items = items
	event, err := p.listEvent(ctx, &next, false)
	if err != nil {
		return err
	}
	return p.publish(ctx, &next, event, itemsEvent(&next))
}

// publish makes next the state, and then publishes what tells the change: a page that takes its cursor first and reads the state
// after it may get a change twice, in its HTML and as an event, but never not at all.
func (p *publisher) publish(ctx context.Context, next *state, events ...push.Event) error {
	before := p.state.Swap(next)
	if _, err := p.broker.PublishAll(ctx, events...); err != nil {
		if !errors.Is(err, eventlog.ErrNotVisible) { // which is stored, and will come
			p.state.Store(before)
		}
		if ctx.Err() == nil {
			p.logger.Error("demo: publish", "err", err)
		}
		return fmt.Errorf("publish on %q: %w", events[0].Topic, err)
	}
	return nil
}

// snapshot is the broker's SnapshotFunc: the state of the topics whose history is gone.
func (p *publisher) snapshot(ctx context.Context, lost push.Lost) ([]push.Event, error) {
	now := p.state.Load()
	var events []push.Event
	for _, topic := range lost.Topics() {
		var event push.Event
		var err error
		switch topic {
		case topicPulse:
			event = pulseEvent(now.pulse, true)
		case topicMachine:
			event, err = p.machineEvent(ctx, now, true)
		case topicList:
			event, err = p.listEvent(ctx, now, true)
		default:
			continue // of those that the broker has besides ours, the demo uses none
		}
		if err != nil {
			return nil, err
		}
		events = append(events, event)
	}
	return events, nil
}

// pulse is the data of a pulse event.
type pulse struct {
	N        uint64 `json:"n"`
	Snapshot bool   `json:"snapshot,omitempty"` // the state at N, not the event
}

func pulseEvent(n uint64, snapshot bool) push.Event {
	data, err := json.Marshal(pulse{n, snapshot})
	if err != nil {
		panic(err) // a number and a bool
	}
	return push.Event{Topic: topicPulse, Name: topicPulse, Data: data}
}

func (p *publisher) machineEvent(ctx context.Context, s *state, snapshot bool) (push.Event, error) {
	return htmx.V4.Event(ctx, topicMachine, "", htmx.Into("#machine", htmx.InnerMorph,
		htmx.Template(templates, "machine", newMachineView(p.host, s, snapshot))))
}

func (p *publisher) listEvent(ctx context.Context, s *state, snapshot bool) (push.Event, error) {
	return htmx.V4.Event(ctx, topicList, "", htmx.Into("#list", htmx.InnerMorph,
		htmx.Template(templates, "list", newListView(s, snapshot))))
}

package redislog

import (
	"context"
	"fmt"
	"strconv"

	"github.com/buffkit/buffkit/eventlog"
	"github.com/redis/rueidis"
)

// Tail implements eventlog.Store. It has a connection of its own.
//
// The position it goes on from is checked by what each batch says came before it, and once a second, while nothing comes, by the head.
func (s *Store) Tail(ctx context.Context, after eventlog.Cursor, next func(eventlog.Page) error) error {
	if err := s.begin(ctx); err != nil {
		return err
	}
	defer s.tasks.Done()
	conn, release := s.client.Dedicate()
	defer release()
	either, cancel := context.WithCancel(ctx) // the caller's end, or Close
	defer cancel()
	defer context.AfterFunc(s.ctx, cancel)()
	defer context.AfterFunc(either, conn.Close)() // a command that blocks is given up

	t := &tail{s: s, conn: conn, next: next}
	err := t.start(either, after)
	for err == nil {
		err = t.follow(either)
	}
	if t.refused {
		return err
	}
	return fmt.Errorf("follow the log in Redis: %w", s.explain(ctx, err))
}

// tail is one call of Tail.
type tail struct {
	s       *Store
	conn    rueidis.DedicatedClient
	next    func(eventlog.Page) error
	epoch   uint64 // of the last page, or of the cursor
	at      eventlog.Offset
	refused bool // by next
}

// start sends the first page.
func (t *tail) start(ctx context.Context, after eventlog.Cursor) error {
	if !after.IsZero() {
		t.epoch, t.at = after.Epoch(), after.At(0)
		return t.look(ctx)
	}
	head, _, err := t.s.peek(ctx, t.conn, "")
	if err != nil {
		return err
	}
	t.epoch, t.at = head.Epoch(), head.At(0)
	return t.send(eventlog.Page{Epoch: t.epoch, Head: head})
}

// look asks for the head and what has come, in one step. Of a log that has another epoch now only the head is sent: what is left of the one before
// may contradict itself.
func (t *tail) look(ctx context.Context) error {
	head, entries, err := t.s.peek(ctx, t.conn, formatOffset(t.at))
	if err != nil {
		return err
	}
	if head.Epoch() == t.epoch {
		if err := t.sendAll(entries); err != nil {
			return err
		}
		if len(entries) == pageEntries || len(entries) > 0 && t.epoch == head.Epoch() && t.at == head.At(0) {
			return nil
		}
	}
	return t.send(eventlog.Page{Epoch: head.Epoch(), Head: head})
}

// follow waits for news, and looks once a second if there are none.
func (t *tail) follow(ctx context.Context) error {
	read := t.conn.B().Xread().Count(pageEntries).Block(blockTime.Milliseconds()).Streams().Key(t.s.tailKey()).Id(formatOffset(t.at)).Build()
	ctx, cancel := context.WithTimeout(ctx, blockTime+t.s.opts.Timeout)
	defer cancel()
	streams, err := t.conn.Do(ctx, read).AsXReadSlices()
	if rueidis.IsRedisNil(err) {
		return t.look(ctx)
	}
	if err != nil {
		return err
	}
	return t.sendAll(streams[t.s.tailKey()])
}

// sendAll sends a page for each epoch that the entries are of.
func (t *tail) sendAll(entries []rueidis.XRangeSlice) error {
	var page eventlog.Page
	for _, entry := range entries {
		epoch, records, err := readBatch(entry)
		if err != nil {
			return err
		}
		if page.Epoch != epoch && len(page.Records) > 0 {
			if err := t.send(page); err != nil {
				return err
			}
			page = eventlog.Page{}
		}
		page.Epoch = epoch
		if page.Records == nil { // as with all but the largest pages
			page.Records = records
		} else {
			page.Records = append(page.Records, records...)
		}
		page.Head = eventlog.NewCursor(epoch, records[len(records)-1].Offset)
	}
	if len(page.Records) == 0 {
		return nil
	}
	return t.send(page)
}

func (t *tail) send(page eventlog.Page) error {
	for len(page.Records) > 0 && page.Records[0].Offset <= t.at { // a batch of which the cursor is in the middle
		page.Records = page.Records[1:]
	}
	head := page.Head.At(0)
	if len(page.Records) > 0 || page.Epoch != t.epoch { // a new log may be behind where the old one was
		t.epoch, t.at = page.Epoch, head
	}
	t.s.saw(page.Epoch, head)
	if err := t.next(page); err != nil {
		t.refused = true
		return err
	}
	return nil
}

// peek reads the head, and what the tail has behind an offset unless that is "".
func (s *Store) peek(ctx context.Context, client rueidis.CoreClient, after string) (eventlog.Cursor, []rueidis.XRangeSlice, error) {
	ctx, cancel := context.WithTimeout(ctx, s.opts.Timeout)
	defer cancel()
	reply, err := peekScript.Run(ctx, client, s.logKeys(), []string{newEpochText(), after, strconv.Itoa(pageEntries)}).ToArray()
	if err != nil {
		return eventlog.Cursor{}, nil, err
	}
	return readHead(reply)
}

package sqlitelog

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/buffkit/buffkit/eventlog"
)

const (
	groupRecords = 1024    // a tail reads a group as a whole
	groupBytes   = 1 << 20 // of bodies and keys, and a record more
	tipTopics    = 4096    // that a writer remembers: a megabyte of names at most
)

// state is how far the log is.
type state struct {
	epoch  uint64
	head   eventlog.Offset // the newest
	stored int64           // bytes of all events that ever were
}

const stateQuery = "SELECT l.epoch, max(l.head, coalesce(p.position + p.ahead, 0)), max(l.stored, coalesce(p.stored, 0)) FROM buffkit_log AS l" +
	" LEFT JOIN buffkit_packs AS p ON p.position = (SELECT max(position) FROM buffkit_packs)"

func readState(ctx context.Context, query querier) (s state, err error) {
	var epoch, head int64
	err = query.ints(ctx, []*int64{&epoch, &head, &s.stored}, stateQuery)
	s.epoch, s.head = uint64(epoch), eventlog.Offset(head)
	return s, err
}

// known is what a writer knows since its last commit: how far the log was then, and the newest offsets of some topics.
type known struct {
	version int64 // SQLite's, of the file
	state
	tips map[string]*tip
}

type tip struct {
	offset eventlog.Offset
	open   *pack // that takes more records, nil if none does
}

// appender stores records within a transaction.
type appender struct {
	opts  *Options
	query querier
	now   time.Time
	known
	added   []eventlog.Record
	buffers *buffers

	// Of the group that isn't in the file yet:
	base    eventlog.Offset // the head before it
	packs   []*pack         // by the offset of their first record
	records int
	bytes   int64
}

// begin finds out where the log is. The transaction must have the write lock.
func (a *appender) begin(ctx context.Context) error {
	now, err := readState(ctx, a.query)
	if err != nil {
		return err
	}
	if a.tips == nil || a.head != now.head || len(a.tips) > tipTopics { // somebody else has stored something, or it is too much
		a.tips = map[string]*tip{}
	}
	a.state, a.base = now, now.head
	return nil
}

// resume is begin for who has appended before on the same connection: most often nobody else has changed the file since.
func (a *appender) resume(ctx context.Context) error {
	before := a.version
	if err := a.query.ints(ctx, []*int64{&a.version}, "PRAGMA data_version"); err != nil {
		return err
	}
	if a.epoch == 0 || a.version != before || len(a.tips) > tipTopics {
		return a.begin(ctx)
	}
	a.base = a.head
	return nil
}

func (a *appender) add(ctx context.Context, records []eventlog.Record) error {
	for i := range records {
		r := &records[i]
		if r.IdempotencyKey != "" {
			if err := a.repeat(ctx, r); err != nil {
				return err
			}
			if r.Repeated {
				continue
			}
		}
		t, err := a.tip(ctx, r.Topic)
		if err != nil {
			return err
		}
		r.Partition, r.Prev, r.Chain, r.Offset, r.Repeated = 0, t.offset, a.head, a.head.Next(a.now), false
		a.put(r, t)
		if err := a.remember(ctx, r); err != nil {
			return err
		}
		if a.records >= groupRecords || a.bytes >= groupBytes {
			if err := a.flush(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// put adds a record to the group.
func (a *appender) put(r *eventlog.Record, t *tip) {
	a.head, t.offset = r.Offset, r.Offset
	a.added = append(a.added, *r)
	a.records++
	a.bytes += sizeOf(r)
	if t.open == nil || !t.open.takes(r) {
		t.open = newPack(r, a.buffers.take())
		a.packs = append(a.packs, t.open)
		return
	}
	t.open.add(r)
}

const insertPack = "INSERT INTO buffkit_packs (position, span, back, ahead, stored, count, bytes, topic, events) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"

// flush stores the group.
func (a *appender) flush(ctx context.Context) error {
	a.stored += a.bytes
	for _, p := range a.packs {
		if err := a.query.exec(ctx, insertPack, int64(p.first), int64(p.last-p.first), int64(p.first-a.base), int64(a.head-p.first),
			a.stored, int64(p.count), p.bytes, p.topic, p.sealed()); err != nil {
			return err
		}
	}
	for _, p := range a.packs {
		a.tips[p.topic].open = nil
		a.buffers.give(p.events) // the driver has a copy
	}
	a.base, a.packs, a.records, a.bytes = a.head, a.packs[:0], 0, 0
	return nil
}

// newestOf is the newest offset that a topic ever had. A damaged pack may have outlived newer ones.
const newestOf = "SELECT coalesce((SELECT max(newest) FROM (SELECT * FROM (SELECT position + span AS newest FROM buffkit_packs WHERE topic = ?1 ORDER BY position DESC LIMIT 1)" +
	" UNION ALL SELECT position FROM buffkit_trimmed WHERE topic = ?1)), (SELECT floor FROM buffkit_log))"

// tip returns the newest of a topic.
func (a *appender) tip(ctx context.Context, topic string) (*tip, error) {
	if t := a.tips[topic]; t != nil {
		return t, nil
	}
	var newest int64
	err := a.query.ints(ctx, []*int64{&newest}, newestOf, topic)
	t := &tip{offset: eventlog.Offset(newest)}
	a.tips[topic] = t
	return t, err
}

// repeat looks for the record that was stored with the same idempotency key.
func (a *appender) repeat(ctx context.Context, r *eventlog.Record) error {
	var position int64
	err := a.query.ints(ctx, []*int64{&position}, "SELECT position FROM buffkit_keys WHERE topic = ? AND key = ? AND at >= ?",
		r.Topic, r.IdempotencyKey, a.now.Add(-a.opts.IdempotencyWindow).UnixMicro())
	if errors.Is(err, sql.ErrNoRows) {
		r.Repeated = false
		return nil
	}
	r.Partition, r.Offset, r.Repeated = 0, eventlog.Offset(position), true
	return err
}

func (a *appender) remember(ctx context.Context, r *eventlog.Record) error {
	if r.IdempotencyKey == "" {
		return nil
	}
	return a.query.exec(ctx, "INSERT OR REPLACE INTO buffkit_keys (topic, key, position, at) VALUES (?, ?, ?, ?)",
		r.Topic, r.IdempotencyKey, int64(r.Offset), a.now.UnixMicro())
}

// buffers are the bytes of packs that were stored, for the next ones. A nil one keeps none.
type buffers struct{ free [][]byte }

const freeBuffers = 16 // with packBytes each, 1 MiB

func (b *buffers) take() []byte {
	if b == nil || len(b.free) == 0 {
		return nil
	}
	last := len(b.free) - 1
	free := b.free[last]
	b.free = b.free[:last]
	return free[:0]
}

func (b *buffers) give(free []byte) {
	if b != nil && len(b.free) < freeBuffers && cap(free) <= 2*packBytes {
		b.free = append(b.free, free)
	}
}

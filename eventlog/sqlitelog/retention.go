package sqlitelog

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"maps"
	"math"
	"slices"
	"sync"
	"time"

	sqlite3 "modernc.org/sqlite/lib"

	"github.com/buffkit/buffkit/eventlog"
)

const (
	retainEvery  = 5 * time.Second
	tailWindow   = 10 * time.Second       // in which every process has seen an event, or is late enough to be told a hole
	deletePacks  = 128                    // of one transaction at first, and topics that are forgotten: others write in between
	deleteKeys   = 512                    // of one, that are small rows
	pauseMost    = 100 * time.Millisecond // between two transactions
	turnPatience = 100 * time.Millisecond // for a lock, while others of this process wait for the turn
	topicsAtOnce = 128                    // that are looked at before something is deleted
)

// dirty are the topics that got something since they were last looked at.
type dirty struct {
	mu     sync.Mutex // guards what follows
	topics map[string]struct{}
}

func (d *dirty) add(records ...eventlog.Record) {
	if len(records) == 0 {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.topics == nil {
		d.topics = make(map[string]struct{})
	}
	for i := range records {
		if i == 0 || records[i].Topic != records[i-1].Topic {
			d.topics[records[i].Topic] = struct{}{}
		}
	}
}

func (d *dirty) take() map[string]struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	taken := d.topics
	d.topics = nil
	return taken
}

// back returns what is to be looked at again.
func (d *dirty) back(topics map[string]struct{}) {
	for topic := range topics {
		d.add(eventlog.Record{Topic: topic})
	}
}

// retain deletes what is over the retention, until Close.
func (s *Store) retain() {
	tick := time.NewTicker(retainEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-s.ctx.Done():
			return
		}
		if err := s.Retain(s.ctx); err != nil && s.ctx.Err() == nil {
			s.log().Error("sqlitelog: can't delete what is over the retention; trying again", "in", retainEvery, "error", err)
		}
	}
}

// heads are where the log was, oldest first. They tell that an event is old though its offset is ahead of the clock: that was set back.
type heads struct {
	mu   sync.Mutex // guards what follows
	seen []headAt
}

type headAt struct {
	at   time.Time // by the monotonic clock
	head eventlog.Offset
}

// old takes the head of now, and returns the newest of those that the tail's window is over for, 0 if there is none.
func (h *heads) old(now time.Time, head eventlog.Offset) (old eventlog.Offset) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if n := len(h.seen); n == 0 || now.Sub(h.seen[n-1].at) >= retainEvery/2 { // who calls more often adds nothing
		h.seen = append(h.seen, headAt{now, head})
	}
	for len(h.seen) > 1 && now.Sub(h.seen[1].at) >= tailWindow {
		h.seen = h.seen[1:]
	}
	if now.Sub(h.seen[0].at) < tailWindow {
		return 0
	}
	return h.seen[0].head
}

// Retain deletes what is over the retention and older than 10 seconds. It runs by itself every 5 seconds.
func (s *Store) Retain(ctx context.Context) error { return s.retainAt(ctx, time.Now()) }

func (s *Store) retainAt(ctx context.Context, now time.Time) error {
	log, err := readState(ctx, plain{s.db})
	if err != nil {
		return explain(err)
	}
	return s.retainAfter(ctx, max(eventlog.Offset(now.Add(-tailWindow).UnixMicro()), s.heads.old(now, log.head)))
}

// retainAfter is Retain that deletes nothing behind an offset.
func (s *Store) retainAfter(ctx context.Context, safe eventlog.Offset) error {
	conn, err := s.conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	r := retainer{store: s, conn: conn, safe: safe, began: time.Now()}
	for _, step := range []func(context.Context) error{r.topics, r.expired, r.budget, r.keys, r.forget} {
		if err := step(ctx); err != nil {
			return explain(err)
		}
	}
	return nil
}

// retainer is one run.
type retainer struct {
	store *Store
	conn  *sql.Conn
	safe  eventlog.Offset // nothing behind it is deleted
	began time.Time

	deleting edge // whose packs were last to be deleted, or to be cut
}

// topics deletes what is over the retention of the topics that got something.
func (r *retainer) topics(ctx context.Context) error {
	topics := r.store.dirty.take()
	defer func() { r.store.dirty.back(topics) }()
	for some := range slices.Chunk(slices.Collect(maps.Keys(topics)), topicsAtOnce) {
		var over []edge
		for _, topic := range some {
			upTo, err := r.edge(ctx, func() (eventlog.Offset, error) { return r.store.edge(ctx, r.conn, topic) })
			if err != nil {
				return err
			}
			over = append(over, edge{topic, upTo})
		}
		if err := r.trim(ctx, true, over...); err != nil {
			return err
		}
		for _, e := range over {
			if e.upTo <= r.safe {
				delete(topics, e.topic)
			}
		}
	}
	return nil
}

// edge reads one from a snapshot: another process may be deleting.
func (r *retainer) edge(ctx context.Context, read func() (eventlog.Offset, error)) (edge eventlog.Offset, err error) {
	err = snapshot(ctx, r.conn, func() (err error) {
		edge, err = read()
		return err
	})
	return edge, err
}

// edge is how far a topic is over: up to an offset, 0 for not at all.
type edge struct {
	topic string
	upTo  eventlog.Offset
}

// write runs f in a transaction, and then lets others write for as long as it has kept them from it.
// While another process has the file locked, or a transaction of the app's, who waits for the turn gets it now and then. f may be called again.
func (r *retainer) write(ctx context.Context, f func() error) error {
	began := time.Now()
	took, err := r.inTurn(ctx, f)
	for codeOf(err)&0xff == sqlite3.SQLITE_BUSY && time.Since(began) < lockPatience {
		took, err = r.inTurn(ctx, f)
	}
	if err != nil {
		return err
	}
	timer := time.NewTimer(min(took, pauseMost))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// inTurn runs f in a transaction, unless it has to wait for the lock for too long.
func (r *retainer) inTurn(ctx context.Context, f func() error) (took time.Duration, err error) {
	select {
	case <-r.store.turn:
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	defer func() { r.store.turn <- struct{}{} }()
	began := time.Now()
	if err := r.patience(ctx, turnPatience); err != nil {
		return 0, err
	}
	defer r.patience(context.WithoutCancel(ctx), lockPatience)
	err = inTx(ctx, plain{r.conn}, f)
	return time.Since(began), err
}

// patience sets how long the connection waits for a lock.
func (r *retainer) patience(ctx context.Context, long time.Duration) error {
	return r.run(ctx, fmt.Sprintf("PRAGMA busy_timeout = %d", long.Milliseconds()))
}

// trim deletes the events of topics up to their edges, but nothing that isn't safe to delete. The pack that an edge is in is rewritten; with lazy
// only once half of its bytes are over, so that less than packBytes/2 of a topic stay in the file for longer than they should.
func (r *retainer) trim(ctx context.Context, lazy bool, over ...edge) error {
	over = slices.DeleteFunc(slices.Clone(over), func(e edge) bool { return e.upTo == 0 })
	for len(over) > 0 {
		var left []edge
		err := r.write(ctx, func() (err error) {
			left, err = r.trimSome(ctx, lazy, over)
			return err
		})
		if corrupt(err) {
			left, err = over, r.leave(ctx, err)
		}
		if err != nil {
			return err
		}
		over = left
	}
	return nil
}

// leave finds the damaged packs that can't be deleted, for SQLite doesn't find all of their pages, so that the next transaction leaves them where they are.
// It returns the cause why one failed if that is another.
func (r *retainer) leave(ctx context.Context, cause error) error {
	some := false
	err := snapshot(ctx, r.conn, func() error {
		packs, err := r.edges(ctx, "SELECT topic, position FROM buffkit_packs WHERE topic = ? AND position <= ?"+r.store.damage.but(), r.deleting.topic, int64(r.deleting.upTo))
		if err != nil {
			return err
		}
		for _, p := range packs {
			switch _, err := eventsAt(ctx, r.conn, p.upTo); {
			case corrupt(err):
				some = true
				r.store.damage.stays(p.upTo)
				r.store.log().Error("sqlitelog: damaged events can't be deleted, and stay in the file", "topic", p.topic, "offset", p.upTo, "error", err)
			case err != nil:
				return err
			}
		}
		return nil
	})
	if err == nil && !some {
		return cause
	}
	return err
}

// trimSome deletes as many packs as a transaction may, and returns what is left to do.
func (r *retainer) trimSome(ctx context.Context, lazy bool, over []edge) ([]edge, error) {
	now, err := readState(ctx, plain{r.conn})
	if err != nil {
		return nil, err
	}
	some, dropped := false, int64(0)
	for room := roomAfter(time.Since(r.began)); len(over) > 0 && room > 0; room-- { // a topic of which nothing is deleted is work, too
		e := edge{over[0].topic, min(over[0].upTo, r.safe)}
		last, packs, bytes, err := r.trimTopic(ctx, e, lazy, room)
		if err != nil {
			return nil, err
		}
		if packs < room {
			over = over[1:]
		}
		some, dropped, room = some || last > 0, dropped+bytes, room-packs
	}
	if !some {
		return over, nil
	}
	return over, r.run(ctx, "UPDATE buffkit_log SET head = ?, stored = ?, dropped = dropped + ?", int64(now.head), now.stored, dropped) // the newest pack may be gone
}

// roomAfter returns how many packs a transaction may delete. A run that takes longer than it should is behind those who append: its transactions
// grow, which costs them time.
func roomAfter(took time.Duration) int {
	return deletePacks << min(took/retainEvery, 5)
}

// trimTopic deletes whole packs of a topic, so many at most. If there are no more, it deletes a part of one, too. It returns the newest offset that it deleted, 0 for none.
func (r *retainer) trimTopic(ctx context.Context, e edge, lazy bool, most int) (last eventlog.Offset, packs int, bytes int64, err error) {
	but := r.store.damage.but()
	var first eventlog.Offset // of the newest of them
	if err := r.conn.QueryRowContext(ctx, "SELECT coalesce(max(position), 0), coalesce(max(position + span), 0), coalesce(sum(bytes), 0), count(*) FROM"+
		" (SELECT position, span, bytes FROM buffkit_packs WHERE topic = ?1 AND position <= ?2"+but+" ORDER BY position LIMIT ?3) WHERE position + span <= ?2",
		e.topic, int64(e.upTo), most).Scan(&first, &last, &bytes, &packs); err != nil {
		return 0, 0, 0, err
	}
	if packs > 0 {
		r.deleting = edge{e.topic, first}
		if err := r.run(ctx, "DELETE FROM buffkit_packs WHERE topic = ? AND position <= ?"+but, e.topic, int64(first)); err != nil {
			return 0, 0, 0, err
		}
	}
	if packs < most {
		r.deleting = e
		cut, dropped, err := r.cut(ctx, e, lazy)
		if err != nil {
			return 0, 0, 0, err
		}
		last, bytes = max(last, cut), bytes+dropped
	}
	if last == 0 { // nothing is over, or too little
		return 0, packs, bytes, nil
	}
	return last, packs, bytes, r.run(ctx, "INSERT INTO buffkit_trimmed (topic, position) VALUES (?, ?) ON CONFLICT (topic) DO UPDATE SET"+
		" position = max(position, excluded.position)", e.topic, int64(last))
}

// cut rewrites the pack that an edge is in, without what is up to there. It returns the newest offset that it dropped, 0 for none, and the bytes.
func (r *retainer) cut(ctx context.Context, e edge, lazy bool) (last eventlog.Offset, bytes int64, err error) {
	var old *pack
	newest := "SELECT " + packColumns + " FROM buffkit_packs WHERE topic = ? AND position <= ?" + r.store.damage.but() + " ORDER BY position DESC LIMIT 1"
	err = eachRow(ctx, r.conn, newest, []any{e.topic, int64(e.upTo)}, func(p *pack) (bool, error) { old = p; return false, nil }) // a COMMIT fails with what it meets
	if err != nil || old == nil {
		return 0, 0, err
	}
	records, err := old.unpack()
	if err != nil { // damaged: it goes as a whole, when all of it is over
		return 0, 0, nil
	}
	var rest *pack
	for i := range records {
		switch record := &records[i]; {
		case record.Offset <= e.upTo:
			last, bytes = record.Offset, bytes+sizeOf(record)
		case rest == nil:
			rest = newPack(record, nil)
		default:
			rest.add(record)
		}
	}
	if rest == nil || lazy && bytes < rest.bytes {
		return 0, 0, nil
	}
	on := int64(rest.first - old.first)
	return last, bytes, r.run(ctx, "UPDATE buffkit_packs SET position = ?, span = ?, back = back + ?, ahead = ahead - ?, count = ?, bytes = ?, events = ?"+
		" WHERE position = ?", int64(rest.first), int64(rest.last-rest.first), on, on, rest.count, rest.bytes, rest.sealed(), int64(old.first))
}

func (r *retainer) run(ctx context.Context, query string, args ...any) error {
	_, err := r.conn.ExecContext(ctx, query, args...)
	return err
}

// keys deletes idempotency keys whose window is over, for retainEvery at most: the next run goes on.
func (r *retainer) keys(ctx context.Context) error {
	limit := time.Now().Add(-r.store.opts.IdempotencyWindow).UnixMicro()
	for began, n := time.Now(), int64(deleteKeys); n == deleteKeys && time.Since(began) < retainEvery; {
		if err := r.write(ctx, func() error {
			result, err := r.conn.ExecContext(ctx, "DELETE FROM buffkit_keys WHERE (topic, key) IN (SELECT topic, key FROM buffkit_keys WHERE at < ? LIMIT ?)", limit, deleteKeys)
			if err != nil {
				return err
			}
			n, err = result.RowsAffected()
			return err
		}); err != nil {
			return err
		}
	}
	return nil
}

// budget brings all topics that are over a level down to it, so that all together are within nine tenths of MaxBytes: a busy topic
// makes room before a quiet one does.
func (r *retainer) budget(ctx context.Context) error {
	now, err := readState(ctx, plain{r.conn})
	if err != nil {
		return err
	}
	var dropped int64
	if err := r.conn.QueryRowContext(ctx, "SELECT dropped FROM buffkit_log").Scan(&dropped); err != nil || now.stored-dropped <= r.store.opts.MaxBytes {
		return err
	}
	topics, err := r.sizes(ctx)
	if err != nil {
		return err
	}
	level := levelOf(topics, r.store.opts.MaxBytes/10*9)
	for _, t := range topics {
		if t.bytes <= level {
			continue
		}
		upTo, err := r.edge(ctx, func() (eventlog.Offset, error) { return overflow(ctx, r.conn, t.name, math.MaxInt64, level, 0) })
		if err == nil {
			err = r.trim(ctx, false, edge{t.name, upTo})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

type topicSize struct {
	name  string
	bytes int64
}

func (r *retainer) sizes(ctx context.Context) (topics []topicSize, err error) {
	rows, err := r.conn.QueryContext(ctx, "SELECT topic, sum(bytes) FROM buffkit_packs GROUP BY topic")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var t topicSize
		if err := rows.Scan(&t.name, &t.bytes); err != nil {
			return nil, err
		}
		topics = append(topics, t)
	}
	return topics, rows.Err()
}

// levelOf returns how many bytes each topic may have at most, so that all have a sum at most.
func levelOf(topics []topicSize, sum int64) int64 {
	slices.SortFunc(topics, func(a, b topicSize) int { return cmp.Compare(a.bytes, b.bytes) })
	for i, t := range topics {
		share := sum / int64(len(topics)-i)
		if t.bytes > share {
			return share
		}
		sum -= t.bytes
	}
	return math.MaxInt64
}

// forget drops the memory of topics that had their last event long ago: the floor stands for them.
func (r *retainer) forget(ctx context.Context) error {
	age := r.store.ages.longest(&r.store.opts)
	old := expiredBefore(age)
	if old == 0 || !r.store.ages.forgets() {
		return nil
	}
	old -= age.Microseconds() // who holds a cursor from before is told a gap in any case
	for last := ""; ; {
		gone, err := r.goneBehind(ctx, last, old)
		if err != nil || len(gone) == 0 {
			return err
		}
		if err := r.write(ctx, func() error { return r.forgetSome(ctx, gone) }); err != nil {
			return err
		}
		last = gone[len(gone)-1].topic
	}
}

// goneBehind returns the topics that come next in the order of their names of those that have no events, and had none for long, with the newest that they lost.
func (r *retainer) goneBehind(ctx context.Context, topic string, old int64) (gone []edge, err error) {
	return r.edges(ctx, "SELECT topic, position FROM buffkit_trimmed AS t WHERE topic > ? AND position < ?"+
		" AND NOT EXISTS (SELECT 1 FROM buffkit_packs AS p WHERE p.topic = t.topic) ORDER BY topic LIMIT ?", topic, old, deletePacks)
}

func (r *retainer) forgetSome(ctx context.Context, gone []edge) error {
	for _, e := range gone {
		if err := r.run(ctx, "UPDATE buffkit_log SET floor = max(floor, ?)", int64(e.upTo)); err != nil {
			return err
		}
		if err := r.run(ctx, "DELETE FROM buffkit_trimmed WHERE topic = ? AND position = ?", e.topic, int64(e.upTo)); err != nil { // not if it has lost more meanwhile
			return err
		}
	}
	return nil
}

// edges reads rows of a topic and an offset.
func (r *retainer) edges(ctx context.Context, query string, args ...any) (edges []edge, err error) {
	rows, err := r.conn.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var e edge
		if err := rows.Scan(&e.topic, &e.upTo); err != nil {
			return nil, err
		}
		edges = append(edges, e)
	}
	return edges, rows.Err()
}

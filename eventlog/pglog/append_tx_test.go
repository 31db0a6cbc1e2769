package pglog_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/buffkit/buffkit/eventlog"
	"github.com/buffkit/buffkit/eventlog/pglog"
)

// A thousand transactions of eight writers change one of four accounts each, which makes them wait for each other, so an account knows the order of its
// commits. Half are rolled back. Some append before the change and some after it, by pgx and by database/sql.
func TestAppendTxStoresExactlyWhatIsCommittedInTheOrderOfCommits(t *testing.T) {
	t.Parallel()
	dsn := fresh(t)
	l := openLog(t, dsn, nil)
	readers := []*reader{newReader(t, l), newReader(t, l), newReader(t, openLog(t, dsn, nil))}
	pool, db := newPool(t, dsn), openSQL(t, dsn)
	exec(t, dsn, `CREATE TABLE accounts (id int PRIMARY KEY, changes int NOT NULL); INSERT INTO accounts SELECT n, 0 FROM generate_series(0, 3) n;
		CREATE TABLE changes (id text PRIMARY KEY, account int, change int)`)
	const writers, each = 8, 125
	var all sync.WaitGroup
	var mu sync.Mutex
	committed := 0
	for w := range writers {
		all.Go(func() {
			for i := range each {
				c := change{id: fmt.Sprintf("%d-%d", w, i), account: rand.N(4), early: i%3 == 0, commit: (i+w)%2 == 0}
				var err error
				if i%4 < 2 {
					err = c.byPgx(t.Context(), pool, l)
				} else {
					err = c.bySQL(t.Context(), db, l)
				}
				if err != nil {
					t.Error(err)
				}
				if c.commit {
					mu.Lock()
					committed++
					mu.Unlock()
				}
			}
		})
	}
	all.Wait()
	want := orderOfCommits(t, pool)
	if len(want[0])+len(want[1])+len(want[2])+len(want[3]) != committed || committed != writers*each/2 {
		t.Fatalf("%d committed", committed)
	}
	for i, r := range readers {
		got := r.wait(2 * committed)
		if len(got) != 2*committed {
			t.Errorf("reader %d: %d events, want %d", i, len(got), 2*committed)
		}
		for account, ids := range want {
			if mine := ofAccount(got, account); !slices.Equal(mine, ids) {
				t.Errorf("reader %d, account %d: the events aren't in the order of the commits", i, account)
			}
		}
	}
}

// change is one transaction.
type change struct {
	id            string
	account       int
	early, commit bool
}

// events are two: each transaction's stand together.
func (c change) events() []eventlog.Event {
	return []eventlog.Event{
		{Topic: fmt.Sprint("account/", c.account), Data: []byte(c.id)},
		{Topic: "all", Data: []byte("all " + c.id)},
	}
}

var errNo = errors.New("no")

func (c change) byPgx(ctx context.Context, pool *pgxpool.Pool, l *pglog.Log) error {
	err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		return c.do(
			func() error { return l.AppendTx(ctx, tx, c.events()...) },
			func(query string, args ...any) error { _, err := tx.Exec(ctx, query, args...); return err })
	})
	if errors.Is(err, errNo) {
		return nil
	}
	return err
}

func (c change) bySQL(ctx context.Context, db *sql.DB, l *pglog.Log) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	err = c.do(
		func() error { return l.AppendSQLTx(ctx, tx, c.events()...) },
		func(query string, args ...any) error { _, err := tx.ExecContext(ctx, query, args...); return err })
	if errors.Is(err, errNo) {
		return tx.Rollback()
	}
	if err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}

func (c change) do(send func() error, exec func(query string, args ...any) error) error {
	if c.early {
		if err := send(); err != nil {
			return err
		}
	}
	err := exec(`WITH a AS (UPDATE accounts SET changes = changes + 1 WHERE id = $1 RETURNING id, changes) INSERT INTO changes SELECT $2, id, changes FROM a`, c.account, c.id)
	if err == nil && !c.early {
		err = send()
	}
	if err == nil && !c.commit {
		return errNo
	}
	return err
}

func orderOfCommits(t *testing.T, pool *pgxpool.Pool) map[int][]string {
	t.Helper()
	rows, err := pool.Query(t.Context(), "SELECT account, id FROM changes ORDER BY account, change")
	if err != nil {
		t.Fatal(err)
	}
	order := map[int][]string{}
	var account int
	var id string
	if _, err := pgx.ForEachRow(rows, []any{&account, &id}, func() error {
		order[account] = append(order[account], id)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return order
}

func ofAccount(entries []eventlog.Entry, account int) (ids []string) {
	for _, e := range entries {
		if e.Topic == fmt.Sprint("account/", account) {
			ids = append(ids, string(e.Event().Data))
		}
	}
	return ids
}

// reader is connected to a log throughout: it reads after each wake.
type reader struct {
	t      *testing.T
	log    *pglog.Log
	mu     sync.Mutex // guards what follows
	at     eventlog.Cursor
	events []eventlog.Entry
	told   []eventlog.Gap
}

var accountTopics = []string{"all", "account/0", "account/1", "account/2", "account/3"}

func newReader(t *testing.T, l *pglog.Log) *reader {
	t.Helper()
	head, err := l.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	r := &reader{t: t, log: l, at: head}
	ctx, cancel := context.WithCancel(context.Background())
	woken, done := make(chan struct{}, 1), make(chan struct{})
	var all sync.WaitGroup
	all.Go(func() {
		_ = l.Watch(ctx, func(string) {
			select {
			case woken <- struct{}{}:
			default:
			}
		})
		close(done)
	})
	all.Go(func() {
		for {
			select {
			case <-woken:
				r.read(ctx)
			case <-done:
				return
			}
		}
	})
	t.Cleanup(func() {
		cancel()
		all.Wait()
	})
	return r
}

func (r *reader) read(ctx context.Context) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for {
		b, err := r.log.Read(ctx, accountTopics, r.at, 100)
		if err != nil {
			if ctx.Err() == nil {
				r.t.Errorf("Read: %v", err)
			}
			return
		}
		r.events, r.told, r.at = append(r.events, b.Entries...), append(r.told, b.Gaps...), b.Next
		if len(b.Entries) == 0 {
			return
		}
	}
}

func (r *reader) wait(n int) []eventlog.Entry {
	r.t.Helper()
	var got []eventlog.Entry
	until(r.t, "the events", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		got = slices.Clone(r.events)
		if len(r.told) > 0 {
			r.t.Fatalf("told %v", r.told)
		}
		return len(got) >= n
	})
	return got
}

func openSQL(t testing.TB, dsn string) *sql.DB {
	t.Helper()
	db, err := sql.Open("pgx", dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func begin(t *testing.T, pool *pgxpool.Pool, opts pgx.TxOptions) pgx.Tx {
	t.Helper()
	tx, err := pool.BeginTx(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tx.Rollback(context.Background()) })
	return tx
}

// The lock isn't held from AppendTx on, but in the commit alone.
func TestATransactionThatTakesLongHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	dsn := fresh(t)
	l, pool := openLog(t, dsn, nil), newPool(t, dsn)
	r := newReader(t, l)
	slow := begin(t, pool, pgx.TxOptions{})
	if err := l.AppendTx(t.Context(), slow, eventlog.Event{Topic: "all", Data: []byte("slow")}); err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		if _, err := l.Append(t.Context(), eventlog.Event{Topic: "all", Data: fmt.Append(nil, i)}); err != nil {
			t.Fatal(err)
		}
	}
	if got := r.wait(20); len(got) != 20 {
		t.Fatalf("%d events before the commit", len(got))
	}
	if err := slow.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := r.wait(21); string(got[20].Event().Data) != "slow" {
		t.Errorf("the last is %q", got[20].Frame)
	}
}

func TestAppendTxInASavepointThatIsRolledBackStoresNothing(t *testing.T) {
	t.Parallel()
	dsn := fresh(t)
	l, pool := openLog(t, dsn, nil), newPool(t, dsn)
	tx := begin(t, pool, pgx.TxOptions{})
	for i := range 4 {
		inner, err := tx.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := l.AppendTx(t.Context(), inner, eventlog.Event{Topic: "all", Data: fmt.Append(nil, i)}); err != nil {
			t.Fatal(err)
		}
		if i%2 == 0 {
			err = inner.Rollback(t.Context())
		} else {
			err = inner.Commit(t.Context())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	r := newReader(t, l)
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	got := r.wait(2)
	if len(got) != 2 || string(got[0].Event().Data) != "1" || string(got[1].Event().Data) != "3" {
		t.Errorf("%d events: %v", len(got), got)
	}
}

// emptying is a driver that takes a nil []byte for an empty one, as lib/pq before 1.11 does.
type emptying struct{ driver.Connector }

type emptyingConn struct{ *stdlib.Conn }

func (e emptying) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := e.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return emptyingConn{conn.(*stdlib.Conn)}, nil
}

func (c emptyingConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	for i := range args {
		if b, ok := args[i].Value.([]byte); ok && b == nil {
			args[i].Value = []byte{}
		}
	}
	return c.Conn.ExecContext(ctx, query, args)
}

func TestAppendSQLTxStoresEventsWithoutKeysByAnyDriver(t *testing.T) {
	t.Parallel()
	dsn := fresh(t)
	l := openLog(t, dsn, nil)
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	db := sql.OpenDB(emptying{stdlib.GetConnector(*config)})
	defer db.Close()
	head, err := l.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		tx, err := db.BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer tx.Rollback()
		if err := l.AppendSQLTx(t.Context(), tx, eventlog.Event{Topic: "all", Data: fmt.Append(nil, i)}); err != nil {
			t.Fatal(err)
		}
		if err := tx.Commit(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := l.Append(t.Context(), eventlog.Event{Topic: "all", Data: []byte("last")}); err != nil { // what is before it can be read then
		t.Fatal(err)
	}
	b, err := l.Read(t.Context(), []string{"all"}, head, 10)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range b.Entries {
		got = append(got, string(e.Event().Data))
	}
	if !slices.Equal(got, []string{"0", "1", "2", "last"}) {
		t.Errorf("of three events there are %q", got)
	}
}

func TestAppendTxRefusesAnIsolationThatCannotSeeTheNewestOffset(t *testing.T) {
	t.Parallel()
	dsn := fresh(t)
	l, pool, db := openLog(t, dsn, nil), newPool(t, dsn), openSQL(t, dsn)
	event := eventlog.Event{Topic: "t", Data: []byte("x")}
	for _, level := range []pgx.TxIsoLevel{pgx.RepeatableRead, pgx.Serializable} {
		tx := begin(t, pool, pgx.TxOptions{IsoLevel: level})
		if err := l.AppendTx(t.Context(), tx, event); !errors.Is(err, pglog.ErrIsolation) {
			t.Errorf("%s: %v", level, err)
		}
	}
	tx, err := db.BeginTx(t.Context(), &sql.TxOptions{Isolation: sql.LevelSerializable})
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	if err := l.AppendSQLTx(t.Context(), tx, event); !errors.Is(err, pglog.ErrIsolation) {
		t.Errorf("database/sql: %v", err)
	}
}

func TestAppendTxNamesABadEvent(t *testing.T) {
	t.Parallel()
	dsn := fresh(t)
	l, pool := openLog(t, dsn, nil), newPool(t, dsn)
	tx := begin(t, pool, pgx.TxOptions{})
	err := l.AppendTx(t.Context(), tx, eventlog.Event{Topic: "t"}, eventlog.Event{})
	var at *eventlog.EventError
	if !errors.As(err, &at) || at.Index != 1 {
		t.Errorf("%v", err)
	}
}

func TestAppendTxKeepsIdempotencyKeysKeysAndManyEvents(t *testing.T) {
	t.Parallel()
	dsn := fresh(t)
	l, pool := openLog(t, dsn, nil), newPool(t, dsn)
	r := newReader(t, l)
	for range 2 {
		tx := begin(t, pool, pgx.TxOptions{})
		once := eventlog.Event{Topic: "all", Data: []byte("once"), Key: "\x00key", IdempotencyKey: "order-7"}
		if err := l.AppendTx(t.Context(), tx, once); err != nil {
			t.Fatal(err)
		}
		var many []eventlog.Event
		for i := range 2500 {
			many = append(many, eventlog.Event{Topic: accountTopics[i%5], Data: fmt.Append(nil, i)})
		}
		if err := l.AppendTx(t.Context(), tx, many...); err != nil {
			t.Fatal(err)
		}
		if err := tx.Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	got := r.wait(5001)
	if len(got) != 5001 || got[0].Key != "\x00key" {
		t.Fatalf("%d events, the first with the key %q", len(got), got[0].Key)
	}
	for i, e := range got[1:] {
		if string(e.Event().Data) != fmt.Sprint(i%2500) {
			t.Fatalf("event %d is %s", i, e.Event().Data)
		}
	}
	for _, n := range []int{1, 3} { // without idempotency keys the server takes another way
		var some []eventlog.Event
		for i := range n {
			some = append(some, eventlog.Event{Topic: accountTopics[i%2], Data: []byte(strings.Repeat("x", i)), Key: strings.Repeat("k", 2-i)})
		}
		err := pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error { return l.AppendTx(t.Context(), tx, some...) })
		if err != nil {
			t.Fatal(err)
		}
	}
	got = r.wait(5005)[5001:]
	for i, want := range []string{"kk/", "kk/", "k/x", "/xx"} {
		if e := got[i]; e.Key+"/"+string(e.Event().Data) != want {
			t.Errorf("event %d has the key %q and %q, want %s", i, e.Key, e.Event().Data, want)
		}
	}
}

// A constraint that is deferred, too, and fails takes the event along.
func TestACommitThatFailsStoresNoEvent(t *testing.T) {
	t.Parallel()
	dsn := fresh(t)
	l, pool := openLog(t, dsn, nil), newPool(t, dsn)
	exec(t, dsn, `CREATE TABLE parent (id int PRIMARY KEY); CREATE TABLE child (id int REFERENCES parent DEFERRABLE INITIALLY DEFERRED)`)
	tx := begin(t, pool, pgx.TxOptions{})
	if err := l.AppendTx(t.Context(), tx, eventlog.Event{Topic: "all", Data: []byte("never")}); err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), "INSERT INTO child VALUES (1)"); err != nil {
		t.Fatal(err)
	}
	if err := tx.Commit(t.Context()); err == nil {
		t.Fatal("the commit should have failed")
	}
	if _, err := l.Append(t.Context(), eventlog.Event{Topic: "all", Data: []byte("later")}); err != nil {
		t.Fatal(err)
	}
	b, err := l.Read(t.Context(), []string{"all"}, eventlog.Cursor{}, 10)
	if err != nil || len(b.Entries) != 1 || string(b.Entries[0].Event().Data) != "later" {
		t.Errorf("%+v, %v", b, err)
	}
}

// What is left in the table of open transactions is nothing.
func TestAppendTxLeavesNothingPending(t *testing.T) {
	t.Parallel()
	dsn := fresh(t)
	l, pool := openLog(t, dsn, nil), newPool(t, dsn)
	for i := range 10 {
		err := pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
			if err := l.AppendTx(t.Context(), tx, eventlog.Event{Topic: "t", Data: []byte("x")}); err != nil || i%2 == 0 {
				return errors.Join(err, errNo)
			}
			return nil
		})
		if err != nil && !errors.Is(err, errNo) {
			t.Fatal(err)
		}
	}
	var n int
	if err := pool.QueryRow(t.Context(), "SELECT count(*) FROM buffkit_log_pending").Scan(&n); err != nil || n != 0 {
		t.Errorf("%d rows, %v", n, err)
	}
}

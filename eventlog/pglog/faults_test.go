package pglog_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/buffkit/buffkit/eventlog"
	"github.com/buffkit/buffkit/eventlog/pglog"
	"github.com/buffkit/buffkit/internal/cable"
	"github.com/buffkit/buffkit/internal/servers"
)

// ledger is what writers were told.
type ledger struct {
	mu           sync.Mutex // guards what follows
	acknowledged map[string]eventlog.Offset
	unknown      map[string]bool
	failed       map[string]bool
}

func newLedger() *ledger {
	return &ledger{acknowledged: map[string]eventlog.Offset{}, unknown: map[string]bool{}, failed: map[string]bool{}}
}

// write appends events one after the other until stop is closed, and notes what it was told.
func (l *ledger) write(s *pglog.Store, name string, stop <-chan struct{}) {
	for i := 0; ; i++ {
		select {
		case <-stop:
			return
		default:
		}
		records := []eventlog.Record{record("t", fmt.Sprintf("%s/%d", name, i))}
		_, err := s.Append(context.Background(), records)
		l.note(string(records[0].Body), records[0].Offset, err)
		if err != nil {
			<-time.After(5 * time.Millisecond) // what a caller does who tries again
		}
	}
}

func (l *ledger) note(body string, at eventlog.Offset, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case err == nil:
		l.acknowledged[body] = at
	case errors.Is(err, eventlog.ErrUnknownOutcome):
		l.unknown[body] = true
	default:
		l.failed[body] = true
	}
}

func (l *ledger) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.acknowledged)
}

// judge compares what is stored with what was told.
func (l *ledger) judge(t *testing.T, stored []eventlog.Record) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	at := map[string]eventlog.Offset{}
	for _, r := range stored {
		if at[string(r.Body)] != 0 {
			t.Errorf("%s is stored twice", r.Body)
		}
		at[string(r.Body)] = r.Offset
		if l.failed[string(r.Body)] {
			t.Errorf("%s is stored, its Append failed", r.Body)
		}
	}
	for body, offset := range l.acknowledged {
		if at[body] != offset {
			t.Errorf("%s was acknowledged at %d and is stored at %d", body, offset, at[body])
		}
	}
	t.Logf("%d acknowledged, %d unknown, %d failed, %d stored", len(l.acknowledged), len(l.unknown), len(l.failed), len(stored))
}

// stored reads all of the topic t.
func stored(t *testing.T, s *pglog.Store) []eventlog.Record {
	t.Helper()
	h, err := s.History(t.Context(), eventlog.Range{Topic: "t", Max: 1_000_000})
	if err != nil {
		t.Fatal(err)
	}
	return h.Records
}

var forever = eventlog.Retention{Count: -1, Bytes: -1, Age: -1}

func TestWhenBackendsAreKilledWhatWasToldIsTrue(t *testing.T) {
	t.Parallel()
	server, name := freshDatabase(t)
	s := openStore(t, server.URL(name), &pglog.Options{Retention: forever})
	l, stop := newLedger(), make(chan struct{})
	var all sync.WaitGroup
	for w := range 6 {
		all.Go(func() { l.write(s, fmt.Sprint(w), stop) })
	}
	ctx, cancel := context.WithCancel(t.Context())
	tail := newPersistent(t, s, ctx)
	all.Go(tail.run)
	for i := range 40 {
		before := l.count()
		until(t, "some to be stored", func() bool { return l.count() > before+5 })
		exec(t, server.URL(""), "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '"+name+"'")
		if i == 39 {
			close(stop)
		}
	}
	until(t, "the log to work", func() bool {
		_, err := s.Append(t.Context(), []eventlog.Record{record("t", "last")})
		return err == nil
	})
	until(t, "the tail", func() bool { return tail.has("last") })
	cancel()
	all.Wait()
	records := stored(t, s)
	if got := tail.bodies(); !slices.Equal(got, bodies(records)) {
		t.Errorf("the tail saw %d records of %d", len(got), len(records))
	}
	l.judge(t, slices.DeleteFunc(records, func(r eventlog.Record) bool { return string(r.Body) == "last" }))
	if len(l.unknown) == 0 {
		t.Error("no outcome was unknown: the test kills too seldom")
	}
}

// persistent follows a store as a Replica does: it calls again after an error.
type persistent struct {
	t     *testing.T
	store *pglog.Store
	ctx   context.Context

	mu      sync.Mutex // guards what follows
	at      eventlog.Cursor
	records []eventlog.Record
}

func newPersistent(t *testing.T, s *pglog.Store, ctx context.Context) *persistent {
	t.Helper()
	h, err := s.History(ctx, eventlog.Range{Topic: "t", Max: 1})
	if err != nil {
		t.Fatal(err)
	}
	return &persistent{t: t, store: s, ctx: ctx, at: eventlog.NewCursor(h.Epoch, 0)}
}

func (p *persistent) run() {
	for p.ctx.Err() == nil {
		_ = p.store.Tail(p.ctx, p.cursor(), p.next)
	}
}

func (p *persistent) cursor() eventlog.Cursor {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.at
}

func (p *persistent) next(page eventlog.Page) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range page.Records {
		if r.Chain != p.at.At(0) {
			p.t.Errorf("record %d follows %d, not %d", r.Offset, r.Chain, p.at.At(0))
		}
		p.at = p.at.With(0, r.Offset)
		p.records = append(p.records, r)
	}
	return nil
}

func (p *persistent) bodies() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return bodies(p.records)
}

func (p *persistent) has(body string) bool { return slices.Contains(p.bodies(), body) }

func TestWhenTheServerIsKilledWhatWasAcknowledgedIsThere(t *testing.T) {
	t.Parallel()
	server := ownServer(t, "fsync=on")
	s := openStore(t, server.URL(""), &pglog.Options{Retention: forever})
	l, stop := newLedger(), make(chan struct{})
	var all sync.WaitGroup
	for w := range 6 {
		all.Go(func() { l.write(s, fmt.Sprint(w), stop) })
	}
	ctx, cancel := context.WithCancel(t.Context())
	tail := newPersistent(t, s, ctx)
	all.Go(tail.run)
	for range 3 {
		before := l.count()
		until(t, "some to be stored", func() bool { return l.count() > before+50 })
		if err := server.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := server.Start(); err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	until(t, "the log to work", func() bool {
		_, err := s.Append(t.Context(), []eventlog.Record{record("t", "last")})
		return err == nil
	})
	until(t, "the tail", func() bool { return tail.has("last") })
	cancel()
	all.Wait()
	records := stored(t, s)
	if got := tail.bodies(); !slices.Equal(got, bodies(records)) {
		t.Errorf("the tail saw %d records of %d", len(got), len(records))
	}
	l.judge(t, slices.DeleteFunc(records, func(r eventlog.Record) bool { return string(r.Body) == "last" }))
}

func TestWhenTheNetworkIsCutTheLogComesBack(t *testing.T) {
	t.Parallel()
	server, name := freshDatabase(t)
	u, err := url.Parse(server.URL(name))
	if err != nil {
		t.Fatal(err)
	}
	c := cable.New(t, u.Host)
	u.Host = c.Addr()
	far := openLog(t, u.String(), &pglog.Options{Retention: forever})
	near := openLog(t, server.URL(name), &pglog.Options{Retention: forever})
	r := newReader(t, far)
	send := func(l *pglog.Log, data string) error {
		_, err := l.Append(t.Context(), eventlog.Event{Topic: "all", Data: []byte(data)})
		return err
	}
	if err := errors.Join(send(far, "0"), send(near, "1")); err != nil {
		t.Fatal(err)
	}
	r.wait(2)
	c.Refuse.Store(true)
	c.Cut()
	if err := send(far, "lost"); err == nil {
		t.Error("an event was acknowledged without a server")
	}
	until(t, "it to say so", func() bool { return far.Health() != nil })
	if err := send(near, "2"); err != nil {
		t.Fatal(err)
	}
	<-time.After(3 * time.Second)
	c.Refuse.Store(false)
	if got := r.wait(3); string(got[2].Event().Data) != "2" {
		t.Errorf("the third is %q", got[2].Frame)
	}
	until(t, "it to work", func() bool { return send(far, "3") == nil })
	if got := r.wait(4); string(got[3].Event().Data) != "3" {
		t.Errorf("the fourth is %q", got[3].Frame)
	}
}

// The network swallows all and says nothing.
func TestWhenTheNetworkIsDeadCallersAreToldInTime(t *testing.T) {
	t.Parallel()
	server, name := freshDatabase(t)
	u, err := url.Parse(server.URL(name))
	if err != nil {
		t.Fatal(err)
	}
	c := cable.New(t, u.Host)
	u.Host = c.Addr()
	opts := &pglog.Options{}
	pglog.Timeout(opts, 2*time.Second)
	s := openStore(t, u.String(), opts)
	mustAppend(t, s, record("t", "1"))
	tailed := make(chan error, 1)
	pages := make(chan struct{}, 100)
	go func() {
		tailed <- s.Tail(t.Context(), eventlog.Cursor{}, func(eventlog.Page) error { pages <- struct{}{}; return nil })
	}()
	<-pages
	c.Dead.Store(true)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_, err = s.Append(ctx, []eventlog.Record{record("t", "2")})
	if !errors.Is(err, eventlog.ErrUnknownOutcome) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("an Append with a deadline: %v", err)
	}
	if _, err = s.Append(t.Context(), []eventlog.Record{record("t", "3")}); err == nil {
		t.Error("an Append without a deadline was acknowledged")
	}
	if err := <-tailed; err == nil || errors.Is(err, context.Canceled) {
		t.Errorf("Tail: %v", err)
	}
	c.Cut()
	c.Dead.Store(false)
	until(t, "it to work", func() bool { _, err := s.Append(t.Context(), []eventlog.Record{record("t", "4")}); return err == nil })
}

// A standby that lacks the tail becomes the primary, on the address of the old one: what nodes have seen and the log hasn't is told to every reader, and
// to those who come back with a cursor, on every node.
func TestAFailoverThatLosesTheTailIsTold(t *testing.T) {
	t.Parallel()
	for _, overtaken := range []bool{false, true} {
		t.Run(fmt.Sprint("overtaken=", overtaken), func(t *testing.T) {
			t.Parallel()
			failover(t, overtaken)
		})
	}
}

func failover(t *testing.T, overtaken bool) {
	primary := ownServer(t, "fsync=off")
	u, err := url.Parse(primary.URL(""))
	if err != nil {
		t.Fatal(err)
	}
	c := cable.New(t, u.Host)
	u.Host = c.Addr()
	logs := []*pglog.Log{openLog(t, u.String(), nil), openLog(t, u.String(), nil)}
	send := func(l *pglog.Log, data string) (eventlog.Cursor, error) {
		cursors, err := l.Append(t.Context(), eventlog.Event{Topic: "all", Data: []byte(data)})
		if err != nil {
			return eventlog.Cursor{}, err
		}
		return cursors[0], nil
	}
	early, err := send(logs[0], "kept")
	if err != nil {
		t.Fatal(err)
	}
	standby := standbyOf(t, primary)
	until(t, "the standby to have it", func() bool { return has(t, standby, "kept") })
	exec(t, standby.URL(""), "SELECT pg_wal_replay_pause()")
	if err := standby.Halt(); err != nil { // it is behind from here on
		t.Fatal(err)
	}
	late, err := send(logs[1], "lost")
	if err != nil {
		t.Fatal(err)
	}
	until(t, "both nodes to have seen it", func() bool {
		head0, _ := logs[0].Head(t.Context())
		return !late.Beyond(head0)
	})
	if err := primary.Kill(); err != nil {
		t.Fatal(err)
	}
	c.Refuse.Store(true)
	c.Cut()
	if err := standby.Start(); err != nil {
		t.Fatal(err)
	}
	exec(t, standby.URL(""), "SELECT pg_promote()")
	if overtaken { // by another node, before these two look
		other := openStore(t, standby.URL(""), nil)
		for i := range 5 {
			mustAppend(t, other, record("all", fmt.Sprintf("data: new %d\n\n", i)))
		}
	}
	v, err := url.Parse(standby.URL(""))
	if err != nil {
		t.Fatal(err)
	}
	c.Redirect(v.Host)
	c.Refuse.Store(false)
	for i, l := range logs {
		until(t, "the node to say so", func() bool {
			head, err := l.Head(t.Context())
			return err == nil && head.Epoch() != late.Epoch() && l.Health() == nil
		})
		for _, at := range []eventlog.Cursor{early, late} {
			b, err := l.Read(t.Context(), []string{"all"}, at, 10)
			if err != nil || len(b.Gaps) != 1 || len(b.Entries) != 0 {
				t.Errorf("node %d after %v: %d entries, gaps %v, %v: want a gap", i, at, len(b.Entries), b.Gaps, err)
			}
		}
	}
	after, err := send(logs[0], "after")
	if err != nil || !after.Beyond(late) || after.At(0) <= late.At(0) {
		t.Errorf("after it: %v, %v, before %v", after, err, late)
	}
}

func has(t *testing.T, server *servers.PostgresDB, data string) bool {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), server.URL(""))
	if err != nil {
		return false
	}
	defer conn.Close(t.Context())
	var n int
	err = conn.QueryRow(t.Context(), "SELECT count(*) FROM buffkit_log_batches WHERE position($1::bytea IN body) > 0", fmt.Appendf(nil, "data: %s\n\n", data)).Scan(&n)
	return err == nil && n == 1
}

func standbyOf(t *testing.T, primary *servers.PostgresDB) *servers.PostgresDB {
	t.Helper()
	s, err := primary.Standby("fsync=off")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestAServerThatOnlyReadsRefusesAppendsAndSaysWhatToDo(t *testing.T) {
	t.Parallel()
	server, name := freshDatabase(t)
	s := openStore(t, server.URL(name), nil)
	exec(t, server.URL(""), "ALTER DATABASE "+name+" SET default_transaction_read_only = on")
	exec(t, server.URL(""), "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '"+name+"'")
	var err error
	until(t, "a connection that only reads", func() bool {
		_, err = s.Append(t.Context(), []eventlog.Record{record("t", "x")})
		return err != nil && !errors.Is(err, eventlog.ErrUnknownOutcome)
	})
	if !strings.Contains(err.Error(), "target_session_attrs") {
		t.Errorf("%v", err)
	}
}

func TestOpenSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	server, err := startPostgres()
	if err != nil {
		t.Fatal(err)
	}
	latin := fmt.Sprintf("latin%d", names.Add(1))
	exec(t, server.URL(""), "CREATE DATABASE "+latin+" ENCODING 'LATIN1' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'")
	t.Cleanup(func() { exec(t, server.URL(""), "DROP DATABASE "+latin+" WITH (FORCE)") })
	tests := []struct{ name, url, want string }{
		{"no server", "postgres://postgres@127.0.0.1:1/postgres", "refused"},
		{"no database", server.URL("nobody"), `"nobody" does not exist`},
		{"no user", strings.Replace(server.URL(""), "postgres@", "stranger@", 1), "stranger"},
		{"no tables", fresh(t), "Options.Migrate"},
		{"an encoding that can't hold all", server.URL(latin), "ENCODING 'UTF8'"},
		{"no URL", "postgres://%", "parse"},
		{"too small a pool", with(t, server.URL(""), "pool_max_conns", "x"), "pool_max_conns"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			l, err := pglog.Open(t.Context(), tt.url, nil)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want it to say %q", err, tt.want)
			}
			if l != nil {
				t.Error("there is a log")
			}
		})
	}
}

func TestAWrongPasswordIsToldWithoutThePassword(t *testing.T) {
	t.Parallel()
	server := ownServer(t, "fsync=off")
	exec(t, server.URL(""), "CREATE ROLE app LOGIN PASSWORD 'right'")
	requirePasswords(t, server)
	u, err := url.Parse(server.URL(""))
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword("app", "wrong-secret")
	_, err = pglog.Open(t.Context(), u.String(), nil)
	if err == nil || !strings.Contains(err.Error(), "password authentication failed") || strings.Contains(err.Error(), "wrong-secret") {
		t.Errorf("%v", err)
	}
}

package hub_test

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/buffkit/buffkit/cmd/buffkit/internal/hub"
	"github.com/buffkit/buffkit/eventlog"
	"github.com/buffkit/buffkit/eventlog/pglog"
	"github.com/buffkit/buffkit/eventlog/redislog"
	"github.com/buffkit/buffkit/eventlog/sqlitelog"
	"github.com/buffkit/buffkit/internal/servers"
	_ "github.com/jackc/pgx/v5/stdlib" // the driver of PostgreSQL
)

// newLog makes an empty log of a kind and returns how to open it, once for each node.
type newLog func(t *testing.T, keep eventlog.Retention) (open func(t *testing.T) eventlog.Log)

// kinds are the logs that serve takes. Each starts its server, if it has one, and ends it with the test.
var kinds = []struct {
	name  string
	start func(t *testing.T) newLog
}{
	{"memory", func(*testing.T) newLog { return newMemory }},
	{"sqlite", func(*testing.T) newLog { return newSQLite }},
	{"redis", startRedis},
	{"postgres", startPostgres},
}

var names atomic.Int64 // of logs that share a server

func newName() string { return fmt.Sprintf("test%d_%d", os.Getpid(), names.Add(1)) }

// shared is a log that is there for several hubs, and for the next one.
type shared struct{ *eventlog.Memory }

func (shared) Close() error { return nil }

func newMemory(t *testing.T, keep eventlog.Retention) func(*testing.T) eventlog.Log {
	memory := eventlog.NewMemory(&eventlog.MemoryOptions{Retention: keep})
	t.Cleanup(func() { _ = memory.Close() })
	return func(*testing.T) eventlog.Log { return shared{memory} }
}

func newSQLite(t *testing.T, keep eventlog.Retention) func(*testing.T) eventlog.Log {
	file := filepath.Join(t.TempDir(), "log.db")
	return func(t *testing.T) eventlog.Log {
		log, err := sqlitelog.Open(t.Context(), file, &sqlitelog.Options{Retention: keep})
		return opened(t, log, err)
	}
}

func startRedis(t *testing.T) newLog {
	server, err := servers.Redis()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stopped(t, server) })
	return func(_ *testing.T, keep eventlog.Retention) func(*testing.T) eventlog.Log {
		prefix := newName()
		return func(t *testing.T) eventlog.Log {
			log, err := redislog.Open(t.Context(), &redislog.Options{Addrs: []string{server.Addr}, Prefix: prefix, Retention: keep})
			return opened(t, log, err)
		}
	}
}

func startPostgres(t *testing.T) newLog {
	server, err := servers.Postgres()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stopped(t, server) })
	db, err := sql.Open("pgx", server.URL(""))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return func(t *testing.T, keep eventlog.Retention) func(*testing.T) eventlog.Log {
		schema := newName()
		do := func(statement string) {
			if _, err := db.Exec(statement); err != nil {
				t.Fatal(err)
			}
		}
		do("CREATE SCHEMA " + schema)
		t.Cleanup(func() { do("DROP SCHEMA " + schema + " CASCADE") })
		at := server.URL("") + "?" + url.Values{"search_path": {schema}}.Encode()
		return func(t *testing.T) eventlog.Log {
			log, err := pglog.Open(t.Context(), at, &pglog.Options{Retention: keep, Migrate: true, Logger: slog.New(slog.DiscardHandler)})
			return opened(t, log, err)
		}
	}
}

func opened(t *testing.T, log eventlog.Log, err error) eventlog.Log {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return log
}

func stopped(t *testing.T, server interface{ Stop() error }) {
	if err := server.Stop(); err != nil {
		t.Error(err)
	}
}

// node starts a hub on a log.
func node(t *testing.T, open func(*testing.T) eventlog.Log) *bundle {
	t.Helper()
	return startOn(t, open(t), &hub.Options{})
}

// TestEveryLogOverHTTP is what publishers and readers of history may rely on, whatever --log names.
func TestEveryLogOverHTTP(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		test func(t *testing.T, newLog newLog)
	}{
		{"a repetition gets the first id and stores nothing", testRepetition},
		{"a batch is repeated event by event", testRepeatedBatch},
		{"of many that publish a key at a time one stores it", testRepeatedAtOnce},
		{"a repetition at another node, or after a restart, is one", testRepeatedElsewhere},
		{"history goes on after a cursor, in order, over several topics", testHistoryPages},
		{"history begins at a time", testHistorySince},
		{"history tells what is beyond its retention", testHistoryTrimmed},
	}
	for _, kind := range kinds {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			newLog := kind.start(t)
			for _, tt := range tests {
				t.Run(tt.name, func(t *testing.T) {
					t.Parallel()
					tt.test(t, newLog)
				})
			}
		})
	}
}

func testRepetition(t *testing.T, newLog newLog) {
	b := node(t, newLog(t, eventlog.Retention{}))
	for _, key := range []string{"7", "a b/c:7", strings.Repeat("k", eventlog.MaxTopicBytes), "\xff"} { // whatever a header can have
		first := b.publish("news", "first", "Idempotency-Key", key)
		b.publish("news", "between")
		for _, body := range []string{"first", "another body", ""} {
			if again := b.publish("news", body, "Idempotency-Key", key); again != first {
				t.Errorf("key %.10q: got %s, then %s", key, first, again)
			}
		}
		if other := b.publish("other", "elsewhere", "Idempotency-Key", key); other == first {
			t.Errorf("key %.10q counts on other topics too", key)
		}
	}
	for topic, want := range map[string]int{"news": 8, "other": 4} {
		if got := b.history("topic=" + topic).data(); len(got) != want || slices.Contains(got, "another body") {
			t.Errorf("%s keeps %q", topic, got)
		}
	}
}

// batch publishes lines of NDJSON and returns the ids.
func (b *bundle) batch(lines string, headers ...string) []string {
	b.t.Helper()
	a := b.do("POST", "/events?topic=news", lines, append(headers, "Content-Type", ndjson)...)
	var said struct{ IDs []string }
	if err := json.Unmarshal([]byte(a.body), &said); a.status != 200 || err != nil || len(said.IDs) != strings.Count(lines, "\n") {
		b.t.Fatalf("batch: %d %s", a.status, a.body)
	}
	return said.IDs
}

func testRepeatedBatch(t *testing.T, newLog newLog) {
	b := node(t, newLog(t, eventlog.Retention{}))
	const a, aa, c = `{"data":"a"}` + "\n", `{"data":"another a"}` + "\n", `{"data":"c"}` + "\n"
	first := b.batch(a+c, "Idempotency-Key", "8")
	if again := b.batch(a+c, "Idempotency-Key", "8"); !slices.Equal(again, first) {
		t.Errorf("got %q, then %q", first, again)
	}
	longer := b.batch(aa+c+`{"data":"more"}`+"\n", "Idempotency-Key", "8")
	if !slices.Equal(longer[:2], first) || slices.Contains(first, longer[2]) {
		t.Errorf("got %q, then %q for what begins like it", first, longer)
	}
	const keyed = `{"data":"k","idempotency_key":"9"}` + "\n"
	within := b.batch(keyed + `{"data":"between"}` + "\n" + keyed)
	if within[0] != within[2] || within[0] == within[1] {
		t.Errorf("a key twice in a batch: %q", within)
	}
	if single := b.publish("news", "k", "Idempotency-Key", "9"); single != within[0] {
		t.Errorf("the key of a line, alone: %s, want %s", single, within[0])
	}
	if got := b.history("topic=news").data(); !slices.Equal(got, []string{"a", "c", "more", "k", "between"}) {
		t.Errorf("kept %q", got)
	}
}

func testRepeatedAtOnce(t *testing.T, newLog newLog) {
	open := newLog(t, eventlog.Retention{})
	nodes := []*bundle{node(t, open), node(t, open)}
	const publishers = 12
	ids := make([]string, publishers)
	var publishing sync.WaitGroup
	for i := range publishers {
		publishing.Go(func() {
			var said struct{ ID string }
			a := nodes[i%2].do("POST", "/events?topic=news", fmt.Sprint("by ", i), "Idempotency-Key", "k")
			if err := json.Unmarshal([]byte(a.body), &said); a.status != 200 || err != nil {
				t.Errorf("%d %s", a.status, a.body)
			}
			ids[i] = said.ID
		})
	}
	publishing.Wait()
	for _, b := range nodes {
		p := b.history("topic=news")
		if len(p.Events) != 1 || slices.ContainsFunc(ids, func(id string) bool { return id != p.Events[0].ID }) {
			t.Errorf("kept %+v, told %q", p.Events, ids)
		}
	}
}

func testRepeatedElsewhere(t *testing.T, newLog newLog) {
	open := newLog(t, eventlog.Retention{})
	one, other := node(t, open), node(t, open)
	first := one.publish("news", "x", "Idempotency-Key", "k")
	lines := one.batch(`{"data":"a"}`+"\n"+`{"data":"b"}`+"\n", "Idempotency-Key", "k")
	repeat := func(where string, b *bundle) {
		t.Helper()
		if again := b.publish("news", "x", "Idempotency-Key", "k"); again != first {
			t.Errorf("%s: got %s, want %s", where, again, first)
		}
		if again := b.batch(`{"data":"a"}`+"\n"+`{"data":"b"}`+"\n", "Idempotency-Key", "k"); !slices.Equal(again, lines) {
			t.Errorf("%s: got %q, want %q", where, again, lines)
		}
		if got := b.history("topic=news").data(); !slices.Equal(got, []string{"x", "a", "b"}) {
			t.Errorf("%s: kept %q", where, got)
		}
	}
	repeat("at another node", other)
	one.stop()
	other.stop()
	repeat("after a restart", node(t, open))
}

func testHistoryPages(t *testing.T, newLog newLog) {
	open := newLog(t, eventlog.Retention{})
	nodes := []*bundle{node(t, open), node(t, open)}
	var ids, want []string
	for i := range 30 {
		topic, data := []string{"a", "b", "c"}[i%3], fmt.Sprint(i)
		id := nodes[i%2].publish(topic, data)
		if topic != "c" {
			ids, want = append(ids, id), append(want, data)
		}
	}
	for _, b := range nodes {
		var got []string
		for query := "after="; ; {
			p := b.history("topic=b&topic=a&limit=7&" + query)
			if len(p.Events) == 0 {
				break
			}
			got = append(got, p.data()...)
			query = "after=" + p.Next
		}
		if !slices.Equal(got, want) {
			t.Errorf("by the page: %q, want %q", got, want)
		}
		for _, at := range []int{0, 11, len(ids) - 1} {
			if p := b.history("topic=a&topic=b&after=" + ids[at]); !slices.Equal(p.data(), want[at+1:]) && at+1 < len(want) || p.Gaps != nil {
				t.Errorf("after event %d: %+v", at, p)
			}
		}
	}
}

// since writes a time as ?since= takes it.
func since(t time.Time) string { return "&since=" + url.QueryEscape(t.Format(time.RFC3339Nano)) }

func testHistorySince(t *testing.T, newLog newLog) {
	open := newLog(t, eventlog.Retention{})
	b := node(t, open)
	for _, data := range []string{"1", "2", "3", "4"} {
		b.publish("a", data)
		b.publish("b", "b"+data)
	}
	third := b.history("topic=a").Events[2].Time
	check := func(where string, b *bundle) {
		t.Helper()
		for _, tt := range []struct {
			name, query string
			want        []string
		}{
			{"the time of an event", "topic=a" + since(third), []string{"3", "4"}},
			{"a microsecond later", "topic=a" + since(third.Add(time.Microsecond)), []string{"4"}},
			{"another zone", "topic=a" + since(third.In(time.FixedZone("", 19800))), []string{"3", "4"}},
			{"several topics", "topic=b&topic=a" + since(third), []string{"3", "b3", "4", "b4"}},
			{"before the first event", "topic=a&since=1969-01-01T00:00:00Z", []string{"1", "2", "3", "4"}},
			{"the future", "topic=a&since=2100-01-01T00:00:00Z", nil},
		} {
			if p := b.history(tt.query); !slices.Equal(p.data(), tt.want) || p.Gaps != nil {
				t.Errorf("%s, %s: %q and gaps %v, want %q", where, tt.name, p.data(), p.Gaps, tt.want)
			}
		}
		p := b.history("topic=a&topic=b&limit=3" + since(third))
		if rest := b.history("topic=a&topic=b&after=" + p.Next); !slices.Equal(append(p.data(), rest.data()...), []string{"3", "b3", "4", "b4"}) {
			t.Errorf("%s: by the page %q and %q", where, p.data(), rest.data())
		}
	}
	check("where it was published", b)
	b.stop()
	check("after a restart", node(t, open))
}

func testHistoryTrimmed(t *testing.T, newLog newLog) {
	open := newLog(t, eventlog.Retention{Count: 3})
	b := node(t, open)
	quiet := b.publish("quiet", "q")
	var ids []string
	for i := range 6 {
		ids = append(ids, b.publish("busy", fmt.Sprint(i)))
	}
	from := b.history("topic=quiet").Events[0].Time
	check := func(where string, b *bundle) {
		t.Helper()
		for _, tt := range []struct {
			query string
			gap   bool
			want  []string
		}{
			{"", false, []string{"q", "3", "4", "5"}},
			{"&after=" + ids[2], false, []string{"3", "4", "5"}},
			{"&after=" + ids[1], true, nil},
			{"&after=" + quiet, true, nil},
			{since(from), true, []string{"q"}},
		} {
			p := b.history("topic=quiet&topic=busy" + tt.query)
			gap := len(p.Gaps) == 1 && p.Gaps[0].Topic == "busy" && p.Gaps[0].Reason == "trimmed"
			if !slices.Equal(p.data(), tt.want) || gap != tt.gap || !gap && p.Gaps != nil {
				t.Errorf("%s, %q: %q and gaps %v, want %q", where, tt.query, p.data(), p.Gaps, tt.want)
			}
			if p := b.history("topic=quiet&topic=busy&after=" + p.Next); p.Gaps != nil || len(p.Events) > 0 {
				t.Errorf("%s, %q: next leads to %+v", where, tt.query, p)
			}
		}
	}
	check("where it was published", b)
	b.stop()
	check("after a restart", node(t, open))
}

package sqlsessions

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/buffkit/buffkit/internal/servers"
	"github.com/buffkit/buffkit/migrate"
	"github.com/buffkit/buffkit/migrate/dialect"
	"github.com/buffkit/buffkit/sessionstore"
	"github.com/buffkit/buffkit/sessionstore/sqlstore"
	"github.com/buffkit/buffkit/sessionstore/storetest"
)

func TestStoreKeepsTheContract(t *testing.T) {
	everywhere(t, func(t *testing.T, on target) {
		storetest.Run(t, func(t *testing.T) storetest.Store {
			driver, dsn := on.fresh(t)
			again := func(t *testing.T) sessionstore.Store { return openStore(t, on, driver, dsn) }
			return storetest.Store{Store: again(t), Again: again}
		})
	})
}

func TestADatabaseWithoutTheTablesIsToldWhatToDo(t *testing.T) {
	everywhere(t, func(t *testing.T, on target) {
		driver, dsn := on.fresh(t)
		_, err := sqlstore.Open(t.Context(), openDB(t, driver, dsn), on.dialect, nil)
		if !errors.Is(err, sqlstore.ErrNoSchema) || !strings.Contains(err.Error(), "Options.Migrate") {
			t.Errorf("Open: %v, want ErrNoSchema with advice", err)
		}
	})
}

func TestTheSchemaGoesAndComesBack(t *testing.T) {
	everywhere(t, func(t *testing.T, on target) {
		driver, dsn := on.fresh(t)
		db := openDB(t, driver, dsn)
		m, err := migrate.New(db, on.dialect, &migrate.Options{Sources: []migrate.Source{sqlstore.Source()}, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if _, err := m.Up(t.Context()); err != nil {
				t.Fatal(err)
			}
			if s, err := sqlstore.Open(t.Context(), db, on.dialect, nil); err != nil || s.Close() != nil {
				t.Fatal(err)
			}
			if _, err := m.Down(t.Context(), 1); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestBadArgumentsAreExplained(t *testing.T) {
	t.Parallel()
	if _, err := sqlstore.Open(t.Context(), nil, dialect.SQLite, nil); err == nil || !strings.Contains(err.Error(), "driver of your choice") {
		t.Errorf("no database: %v", err)
	}
	driver, dsn := onSQLite.fresh(t)
	if _, err := sqlstore.Open(t.Context(), openDB(t, driver, dsn), 0, nil); err == nil || !strings.Contains(err.Error(), "use dialect.Postgres") {
		t.Errorf("no dialect: %v", err)
	}
	store := openStore(t, onSQLite, driver, dsn)
	for _, node := range []string{"", strings.Repeat("n", 256)} {
		if _, err := store.Connect(t.Context(), node, make([]sessionstore.Claim, 1)); err == nil || !strings.Contains(err.Error(), "1 to 255") {
			t.Errorf("a node whose name has %d bytes: %v", len(node), err)
		}
	}
	if _, _, err := store.Revoked(t.Context(), "yesterday"); err == nil || !strings.Contains(err.Error(), "begin with") {
		t.Errorf("a bad mark: %v", err)
	}
}

// A storm of reconnects arrives in batches: what counts is how often the server is asked, not for how many.
func TestABatchOfAnySizeTakesAsManyStatements(t *testing.T) {
	overNetwork(t, func(t *testing.T, on target) {
		driver, dsn := on.fresh(t)
		wire, through := overCable(t, driver, dsn)
		store := openStore(t, on, driver, through)
		mustDo(t, store.Restore(t.Context(), "a", time.Hour, nil))
		took := map[int]int64{}
		for _, size := range []int{1, 200, 1, 200} { // the first of each connects, and may prepare
			var claims []sessionstore.Claim
			for range size {
				id := newID()
				claims = append(claims, sessionstore.Claim{Session: id, User: string(id[:]), Fresh: true})
			}
			for range 2 { // new sessions, and known ones
				wire.Heal()
				_, err := store.Connect(t.Context(), "a", claims)
				mustDo(t, err)
				took[size] = wire.Answers()
			}
		}
		t.Logf("a batch of 1: %d answers; of 200: %d", took[1], took[200])
		const parts = 4 // in which long answers may arrive
		if took[1] > 16 || took[200] > took[1]+parts {
			t.Errorf("a batch of 1 took %d answers of the server, one of 200 took %d", took[1], took[200])
		}
	})
}

// PostgreSQL waits for its disk here, and so does SQLite. MySQL and MariaDB are those of the tests, which don't.
func BenchmarkConnect(b *testing.B) {
	p, err := servers.PostgresWith()
	if err != nil {
		b.Fatal(err)
	}
	defer func() {
		if err := p.Stop(); err != nil {
			b.Error(err)
		}
	}()
	durable := &server{p.Server, "pgx", p.URL, nil}
	for _, on := range []target{onSQLite, onPostgres, onMySQL, onMariaDB} {
		for _, size := range []int{1, 256} {
			b.Run(fmt.Sprintf("%s/batch=%d", on.name, size), func(b *testing.B) {
				var driver, dsn string
				if on.dialect == dialect.Postgres {
					driver, dsn = durable.driver, durable.fresh(b)
				} else {
					driver, dsn = on.fresh(b)
				}
				storetest.Bench(b, openStore(b, on, driver, dsn), size)
			})
		}
	}
}

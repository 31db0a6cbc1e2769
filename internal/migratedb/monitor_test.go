package migratedb

import (
	"database/sql"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/buffkit/buffkit/migrate"
	"github.com/buffkit/buffkit/migrate/dialect"
)

func TestTheLedgerKnowsWhatTookLongAndWhatGrew(t *testing.T) {
	everywhere(t, func(t *testing.T, on target) {
		db := on.open(t)
		fill := "INSERT INTO users VALUES " + strings.TrimSuffix(strings.Repeat("('"+strings.Repeat("x", 900)+"'),", 500), ",") + ";\n"
		opts := of(files("1_users.up.sql", "CREATE TABLE users (name varchar(1000));\n", "2_fill.up.sql", fill+"UPDATE users SET name = 'y';\n"))
		opts.Monitor = true
		m := migrator(t, on, db, opts)
		res, err := m.Up(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		stats, err := m.Slowest(t.Context(), 10)
		if err != nil || len(stats) != 2 || stats[0].Took < stats[1].Took {
			t.Fatalf("%+v, %v", stats, err)
		}
		i := slices.IndexFunc(stats, func(s migrate.Stat) bool { return s.Name == "fill" })
		s := stats[i]
		if len(s.Statements) != 2 || s.Statements[0].Took < s.Statements[1].Took || len(s.Tables) != 1 || s.Tables[0] != res.Steps[1].Tables[0] {
			t.Fatalf("%+v", s)
		}
		if size := s.Tables[0]; size.After-size.Before < 100_000 && !isMySQL(on) { // these estimate, and later
			t.Errorf("%+v", size)
		}
		if on.dialect == dialect.Postgres && !slices.Equal(s.Locks, []string{"RowExclusiveLock on users"}) {
			t.Errorf("%q", s.Locks)
		}
		one, err := m.Slowest(t.Context(), 1)
		if err != nil || len(one) != 1 || one[0].Ref != stats[0].Ref {
			t.Errorf("%+v, %v", one, err)
		}
	})
}

func TestAStatementThatTakesLongIsWatchedWithItsPercentage(t *testing.T) {
	t.Parallel()
	db := onPostgres.open(t)
	mustExec(t, db, "CREATE TABLE users AS SELECT md5(n::text) AS name FROM generate_series(1, 400000) n")
	opts := of(files("1_index.up.sql", "CREATE INDEX users_name ON users (name COLLATE \"C\");"))
	opts.LockTimeout = 40 * time.Millisecond // it looks twice as often
	var looks, percents atomic.Int64
	opts.Hooks.Watching = func(w migrate.Watch) {
		looks.Add(1)
		if w.Percent >= 0 && w.Percent <= 100 && strings.HasPrefix(w.Phase, "building index") && w.N == 1 && w.Step.Ref.Version == "1" {
			percents.Add(1)
		}
	}
	if _, err := migrator(t, onPostgres, db, opts).Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	if percents.Load() == 0 {
		t.Errorf("%d looks, and no percentage", looks.Load())
	}
}

func TestTheWaitForALockIsNoted(t *testing.T) {
	t.Parallel()
	db := onPostgres.open(t)
	mustExec(t, db, "CREATE TABLE users (id int)")
	tx, err := db.BeginTx(t.Context(), &sql.TxOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	if _, err := tx.ExecContext(t.Context(), "LOCK TABLE users"); err != nil {
		t.Fatal(err)
	}
	opts := of(files("1_name.up.sql", "ALTER TABLE users ADD COLUMN name text;"))
	opts.LockTimeout = 2 * time.Second // within which the blocker is to be seen
	var blocked atomic.Bool
	opts.Hooks.Watching = func(w migrate.Watch) { blocked.Store(blocked.Load() || len(w.Blockers) > 0) }
	opts.Hooks.Retrying = func(migrate.Retry) { _ = tx.Rollback() }
	m := migrator(t, onPostgres, db, opts)
	res, err := m.Up(t.Context())
	if err != nil || res.Steps[0].LockWait < 200*time.Millisecond || !blocked.Load() {
		t.Fatalf("%+v, %v", res, err)
	}
	if stats, err := m.Slowest(t.Context(), 1); err != nil || stats[0].LockWait != res.Steps[0].LockWait {
		t.Errorf("%+v, %v", stats, err)
	}
}

// To measure takes a lock of the table, too: when that isn't had, the migration must still wait for its own, and be tried again.
func TestATableThatIsLockedIsWaitedForWithMonitorToo(t *testing.T) {
	t.Parallel()
	driverName, dsn := onPostgres.fresh(t)
	db := openDB(t, driverName, dsn)
	mustExec(t, db, "CREATE TABLE users (n int)")
	other, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Rollback()
	if _, err := other.Exec("LOCK TABLE users IN ACCESS EXCLUSIVE MODE"); err != nil {
		t.Fatal(err)
	}
	opts := of(files("1_users.up.sql", "ALTER TABLE users ADD COLUMN name text;"))
	opts.Monitor, opts.LockTimeout = true, 200*time.Millisecond
	retried := 0
	opts.Hooks.Retrying = func(migrate.Retry) {
		retried++
		_ = other.Rollback()
	}
	if _, err := migrator(t, onPostgres, db, opts).Up(t.Context()); err != nil || retried != 1 {
		t.Errorf("%v, tried again %d times", err, retried)
	}
}

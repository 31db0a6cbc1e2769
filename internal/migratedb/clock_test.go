package migratedb

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/buffkit/buffkit/migrate"
	"github.com/buffkit/buffkit/migrate/dialect"
)

// The servers' clocks count, not the runners'. SQLite has none but its runner's: a runner that is hours ahead takes the lease of another, who then
// commits nothing more and says so.
func TestRunnersWhoseClocksAreHoursOffApplyOnce(t *testing.T) {
	everywhere(t, func(t *testing.T, on target) {
		provesAtEnd(t, on, "runners whose clocks are hours off")
		driverName, dsn := on.fresh(t)
		opts := of(files(slowIndex(on)...))
		opts.Lock = migrate.LeaseLock
		var all sync.WaitGroup
		var applied sync.Map
		for n := range 9 {
			w := &wire{skew: time.Duration(n%3-1) * 5 * time.Hour}
			db, err := w.open(driverName, dsn)
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			m := migrator(t, on, db, opts)
			all.Go(func() {
				res, err := m.Up(t.Context())
				if err != nil && (on.dialect != dialect.SQLite || !errors.Is(err, migrate.ErrLockLost)) {
					t.Error(err)
				}
				if res == nil {
					return
				}
				for _, s := range res.Steps {
					if _, twice := applied.LoadOrStore(s.Ref, true); twice {
						t.Errorf("%v was applied twice", s.Ref)
					}
				}
			})
		}
		all.Wait()
		db := openDB(t, driverName, dsn)
		m := migrator(t, on, db, opts)
		if _, err := m.Up(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := number(t, db, "SELECT count(*) FROM t"); n != 2001 || !has(t, db, "last") {
			t.Errorf("%d rows", n)
		}
		infos, err := m.Status(t.Context())
		var order []string
		for _, i := range infos {
			order = append(order, string(i.Ref.Version))
		}
		if err != nil || strings.Join(order, " ") != "1 2 3 4" {
			t.Errorf("%v, %v", order, err)
		}
	})
}

// A killed runner of another machine has left a lease that ends in five hours. The time is the bubble's.
func TestALeaseFromAClockThatIsAheadEndsAllTheSame(t *testing.T) {
	t.Parallel()
	provesAtEnd(t, onSQLite, "a lease that a clock which is ahead has left")
	driverName, dsn := onSQLite.fresh(t)
	synctest.Test(t, func(t *testing.T) {
		db := openDB(t, driverName, dsn)
		m := migrator(t, onSQLite, db, of(twoTables))
		if _, err := m.Up(t.Context()); err != nil {
			t.Fatal(err)
		}
		mustExec(t, db, "INSERT INTO buffkit_migrations_lock VALUES (1, 'x', 'elsewhere:17', 0, CAST((julianday('now', '+5 hours') - 2440587.5) * 86400000000.0 AS INTEGER))")
		begun := time.Now()
		opts := of(twoTables)
		opts.LockWait = 5 * time.Minute
		if _, err := migrator(t, onSQLite, db, opts).Down(t.Context(), 1); err != nil {
			t.Error(err)
		}
		if waited := time.Since(begun); waited < 30*time.Second || waited > 31*time.Second {
			t.Errorf("it waited for %v", waited)
		}
	})
}

package migratedb

import (
	"context"
	"database/sql"
	"testing"
	"time"

	"github.com/buffkit/buffkit/migrate"
	"github.com/buffkit/buffkit/migrate/dialect"
)

// waiting counts who waits for a row.
func waiting(on target) string {
	if on.dialect == dialect.Postgres {
		return "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
	}
	// Not innodb_trx: that stays as it is while anybody reads it ten times a second.
	return "SELECT count(*) FROM information_schema.processlist WHERE db = DATABASE() AND info LIKE 'UPDATE d SET v = 1 %' AND time >= 1"
}

// rival is a transaction of the app's that wants rows in the other order.
func rival(t *testing.T, on target, db *sql.DB) *sql.Conn {
	t.Helper()
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	begin := []string{"BEGIN", "UPDATE d SET v = 1 WHERE n >= 2"} // of InnoDB's two the one that has changed less is the victim
	if on.dialect == dialect.Postgres {
		begin = append([]string{"SET deadlock_timeout = '1h'"}, begin...) // whoever looks first is
	}
	for _, query := range begin {
		if _, err := conn.ExecContext(t.Context(), query); err != nil {
			t.Fatal(err)
		}
	}
	return conn
}

func TestAfterADeadlockItTriesAgain(t *testing.T) {
	overNetwork(t, func(t *testing.T, on target) { // SQLite has one lock, so nobody can wait in a circle
		const updates = "UPDATE d SET v = v + 10 WHERE n = 1;\nUPDATE d SET v = v + 10 WHERE n = 2;\n"
		scripts := map[string]string{"a transaction": updates}
		if isMySQL(on) { // elsewhere each statement is one by itself then, and holds nothing while it waits
			scripts["no transaction"] = "CREATE TABLE e (n int);\n" + updates
		}
		for name, script := range scripts {
			t.Run(name, func(t *testing.T) {
				provesAtEnd(t, on, "a deadlock, "+name)
				driverName, dsn := on.fresh(t)
				db := openDB(t, driverName, dsn)
				mustExec(t, db, "CREATE TABLE d (n int PRIMARY KEY, v int NOT NULL)",
					"INSERT INTO d VALUES (1, 0), (2, 0), (3, 0), (4, 0), (5, 0), (6, 0), (7, 0), (8, 0)")
				other := rival(t, on, db)
				ended := make(chan error, 1)
				opts := of(files("1_d.up.sql", script))
				opts.LockTimeout = time.Minute
				met := false
				opts.Hooks.Statement = func(p migrate.Progress) {
					if !p.Done || p.SQL != "UPDATE d SET v = v + 10 WHERE n = 1" || met {
						return
					}
					met = true
					go func() {
						_, err := other.ExecContext(context.Background(), "UPDATE d SET v = 1 WHERE n = 1")
						ended <- err
					}()
					until(t, "the other one waits", func() bool { return number(t, db, waiting(on)) > 0 })
				}
				retried := 0
				opts.Hooks.Retrying = func(migrate.Retry) {
					retried++
					if err := <-ended; err != nil {
						t.Error(err)
					}
					if _, err := other.ExecContext(context.Background(), "COMMIT"); err != nil {
						t.Error(err)
					}
				}
				res, err := migrator(t, on, db, opts).Up(t.Context())
				if err != nil || retried != 1 || res.Steps[0].Attempts != 2 {
					t.Fatalf("%+v, %v, retried %d times", res, err, retried)
				}
				if n := number(t, db, "SELECT sum(v) FROM d WHERE n <= 2"); n != 22 {
					t.Errorf("the rows are %d", n)
				}
			})
		}
	})
}

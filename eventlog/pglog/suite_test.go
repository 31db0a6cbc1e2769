package pglog_test

import (
	"testing"

	"github.com/buffkit/buffkit/eventlog"
	"github.com/buffkit/buffkit/eventlog/logtest"
	"github.com/buffkit/buffkit/eventlog/pglog"
	"github.com/buffkit/buffkit/eventlog/storetest"
)

func TestStore(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T, c storetest.Config) storetest.Store {
		dsn := fresh(t)
		again := func(t *testing.T) eventlog.Store { return openStore(t, dsn, &pglog.Options{Retention: c.Retention}) }
		return storetest.Store{Store: again(t), Again: again}
	})
}

func TestStoreOverDatabaseSQL(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T, c storetest.Config) storetest.Store {
		dsn := fresh(t)
		again := func(t *testing.T) eventlog.Store {
			s, err := pglog.OpenSQLStore(t.Context(), openSQL(t, dsn), &pglog.Options{Retention: c.Retention, Migrate: true})
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		return storetest.Store{Store: again(t), Again: again}
	})
}

func TestLog(t *testing.T) {
	t.Parallel()
	logtest.Run(t, func(t *testing.T, c logtest.Config) eventlog.Log {
		return openLog(t, fresh(t), &pglog.Options{
			Retention: c.Retention,
			Replica:   eventlog.ReplicaOptions{Memory: eventlog.MemoryOptions{MaxEventBytes: c.MaxEventBytes}},
		})
	})
}

// openLog opens a log with its tables.
func openLog(t testing.TB, dsn string, opts *pglog.Options) *pglog.Log {
	t.Helper()
	if opts == nil {
		opts = &pglog.Options{}
	}
	opts.Migrate = true
	l, err := pglog.Open(t.Context(), dsn, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

package sqlitelog_test

import (
	"log/slog"
	"path/filepath"
	"testing"

	"github.com/buffkit/buffkit/eventlog"
	"github.com/buffkit/buffkit/eventlog/logtest"
	"github.com/buffkit/buffkit/eventlog/sqlitelog"
	"github.com/buffkit/buffkit/eventlog/storetest"
)

func openStore(t *testing.T, path string, opts *sqlitelog.Options) *sqlitelog.Store {
	t.Helper()
	var o sqlitelog.Options
	if opts != nil {
		o = *opts
	}
	o.Replica.Logger = slog.New(slog.DiscardHandler)
	store, err := sqlitelog.OpenStore(t.Context(), path, &o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	return store
}

func openLog(t *testing.T, path string, opts sqlitelog.Options) *sqlitelog.Log {
	t.Helper()
	opts.Replica.Logger = slog.New(slog.DiscardHandler)
	log, err := sqlitelog.Open(t.Context(), path, &opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { log.Close() })
	return log
}

func newPath(t *testing.T) string {
	t.Helper()
	return filepath.Join(t.TempDir(), "log ?#%.db")
}

func TestStore(t *testing.T) {
	t.Parallel()
	for name, options := range map[string]func(storetest.Config) *sqlitelog.Options{
		"one retention": func(c storetest.Config) *sqlitelog.Options { return &sqlitelog.Options{Retention: c.Retention} },
		"one for each topic": func(c storetest.Config) *sqlitelog.Options {
			return &sqlitelog.Options{RetentionOf: func(string) eventlog.Retention { return c.Retention }}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			storetest.Run(t, func(t *testing.T, c storetest.Config) storetest.Store {
				path, opts := newPath(t), options(c)
				return storetest.Store{
					Store: openStore(t, path, opts),
					Again: func(t *testing.T) eventlog.Store { return openStore(t, path, opts) },
				}
			})
		})
	}
}

func TestLog(t *testing.T) {
	t.Parallel()
	logtest.Run(t, func(t *testing.T, c logtest.Config) eventlog.Log {
		opts := sqlitelog.Options{RetentionOf: func(string) eventlog.Retention { return c.Retention }}
		opts.Replica.Memory.MaxEventBytes = c.MaxEventBytes
		return openLog(t, newPath(t), opts)
	})
}

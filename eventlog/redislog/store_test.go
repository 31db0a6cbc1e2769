package redislog_test

import (
	"testing"

	"github.com/buffkit/buffkit/eventlog"
	"github.com/buffkit/buffkit/eventlog/logtest"
	"github.com/buffkit/buffkit/eventlog/redislog"
	"github.com/buffkit/buffkit/eventlog/storetest"
)

func TestLogKeepsTheContract(t *testing.T) {
	t.Parallel()
	for _, kind := range kinds {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			logtest.Run(t, func(t *testing.T, c logtest.Config) eventlog.Log {
				return openLog(t, redislog.Options{Addrs: kind.addrs(t), Prefix: prefix(), Retention: c.Retention,
					Replica: &eventlog.ReplicaOptions{Memory: eventlog.MemoryOptions{MaxEventBytes: c.MaxEventBytes}}})
			})
		})
	}
}

func TestStoreKeepsTheContract(t *testing.T) {
	t.Parallel()
	for _, kind := range kinds {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			storetest.Run(t, func(t *testing.T, c storetest.Config) storetest.Store {
				opts := redislog.Options{Addrs: kind.addrs(t), Prefix: prefix(), Retention: c.Retention}
				again := func(t *testing.T) eventlog.Store { return openStore(t, opts) }
				return storetest.Store{Store: again(t), Again: again}
			})
		})
	}
}

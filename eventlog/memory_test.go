package eventlog_test

import (
	"testing"

	"github.com/buffkit/buffkit/eventlog"
	"github.com/buffkit/buffkit/eventlog/logtest"
)

func TestMemory(t *testing.T) {
	logtest.Run(t, func(t *testing.T, c logtest.Config) eventlog.Log {
		return eventlog.NewMemory(&eventlog.MemoryOptions{Retention: c.Retention, MaxEventBytes: c.MaxEventBytes})
	})
}

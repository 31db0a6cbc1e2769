package redislog_test

import (
	"testing"

	"github.com/buffkit/buffkit/eventlog"
	"github.com/buffkit/buffkit/eventlog/redislog"
)

func TestSmoke(t *testing.T) {
	for _, kind := range kinds {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			s := openStore(t, redislog.Options{Addrs: kind.addrs(t), Prefix: prefix(), Retention: eventlog.Retention{Count: 3}})
			for range 3 {
				rs := []eventlog.Record{record("a", "1"), record("b", "2"), record("a", "3")}
				mustAppend(t, s, rs...)
				t.Logf("%+v", rs)
			}
			h, err := s.History(t.Context(), eventlog.Range{Topic: "a", Max: 10})
			t.Logf("%+v %v", h, err)
		})
	}
}

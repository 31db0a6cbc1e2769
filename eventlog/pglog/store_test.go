package pglog_test

import (
	"testing"

	"github.com/buffkit/buffkit/eventlog"
	"github.com/buffkit/buffkit/eventlog/pglog"
)

func openStore(t testing.TB, dsn string, opts *pglog.Options) *pglog.Store {
	t.Helper()
	if opts == nil {
		opts = &pglog.Options{}
	}
	opts.Migrate = true
	s, err := pglog.OpenStore(t.Context(), newPool(t, dsn), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func record(topic, body string) eventlog.Record {
	return eventlog.Record{Topic: topic, Body: []byte(body)}
}

func mustAppend(t testing.TB, s *pglog.Store, records ...eventlog.Record) []eventlog.Record {
	t.Helper()
	if _, err := s.Append(t.Context(), records); err != nil {
		t.Fatalf("Append: %v", err)
	}
	return records
}

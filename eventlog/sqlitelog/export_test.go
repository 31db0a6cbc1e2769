package sqlitelog

import (
	"context"
	"time"
)

// WithPragma returns options whose connections all begin with a pragma more.
func WithPragma(o Options, pragma string) Options {
	o.pragmas = append(o.pragmas, pragma)
	return o
}

// StoreOf returns what is below a log.
func StoreOf(l *Log) *Store { return l.store }

// Age makes everything in the file older.
func (s *Store) Age(ctx context.Context, by time.Duration) error {
	_, err := s.db.ExecContext(ctx, "UPDATE buffkit_events SET position = position - ?1, chain = CASE chain WHEN 0 THEN 0 ELSE chain - ?1 END, prev = CASE prev WHEN 0 THEN 0 ELSE prev - ?1 END", by.Microseconds())
	return err
}

// Count returns how many events of a topic are in the file, and the bytes of all, counted and by the books.
func (s *Store) Count(ctx context.Context, topic string) (rows int, bytes, booked int64, err error) {
	err = s.db.QueryRowContext(ctx, "SELECT count(*) FILTER (WHERE topic = ?), coalesce(sum(length(body) + length(key)), 0), (SELECT bytes FROM buffkit_log) FROM buffkit_events",
		topic).Scan(&rows, &bytes, &booked)
	return rows, bytes, booked, err
}

// OfKind is what Check says of a file system.
var OfKind = ofKind

package sqlarchive

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/buffkit/buffkit/eventlog"
)

// History implements eventlog.Archive. The state is read before the records and after them: what the floor rose over meanwhile may be missing.
func (a *Archive) History(ctx context.Context, r eventlog.Range) (eventlog.Archived, error) {
	before, err := a.state(ctx, a.db, "")
	if err != nil {
		return eventlog.Archived{}, fmt.Errorf("sqlarchive: %w", err)
	}
	if r.Until == 0 || r.Until > before.place { // what comes meanwhile isn't proven by this state
		r.Until = before.place
	}
	records, err := a.records(ctx, r)
	if err != nil {
		return eventlog.Archived{}, fmt.Errorf("sqlarchive: %w", err)
	}
	after, err := a.state(ctx, a.db, "")
	if err != nil {
		return eventlog.Archived{}, fmt.Errorf("sqlarchive: %w", err)
	}
	records = slices.DeleteFunc(records, func(one eventlog.Record) bool { return one.Offset <= after.floor && after.floor != before.floor })
	return eventlog.Archived{
		History: eventlog.History{Epoch: before.epoch, Records: records, Trimmed: after.floor},
		Place:   before.place,
	}, nil
}

func (a *Archive) records(ctx context.Context, r eventlog.Range) (records []eventlog.Record, err error) {
	order := "ASC"
	if r.Newest {
		order = "DESC"
	}
	rows, err := a.db.QueryContext(ctx, a.args(`SELECT position, prev, mark, body FROM buffkit_archive_events
WHERE topic = ? AND position > ? AND position <= ? ORDER BY position `+order+` LIMIT ?`), r.Topic, int64(r.After), int64(r.Until), r.Max)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	left := int64(math.MaxInt64)
	if r.Newest && r.Bytes > 0 {
		left = r.Bytes
	}
	for left > 0 && rows.Next() {
		one := eventlog.Record{Topic: r.Topic}
		var key []byte
		if err := rows.Scan(&one.Offset, &one.Prev, &key, &one.Body); err != nil {
			return nil, err
		}
		one.Key = string(key)
		left -= int64(len(one.Body))
		records = append(records, one)
	}
	if r.Newest {
		slices.Reverse(records)
	}
	return records, rows.Err()
}

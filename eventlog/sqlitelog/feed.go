package sqlitelog

import (
	"slices"
	"sync"

	"github.com/buffkit/buffkit/eventlog"
)

const (
	feedRecords = 8192    // a few commits: a tail that is further behind reads the file
	feedBytes   = 4 << 20 // of bodies
)

// feed holds what this process stored last, so that its tails needn't read it back. What others stored in between shows in the chain.
type feed struct {
	mu      sync.Mutex // guards what follows
	epoch   uint64
	records []eventlog.Record // each follows the one before it in the chain
	bytes   int
}

// add takes the records of a commit, oldest first. They are never changed again.
func (f *feed) add(epoch uint64, records []eventlog.Record) {
	if len(records) == 0 {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if n := len(f.records); epoch != f.epoch || n > 0 && f.records[n-1].Offset != records[0].Chain {
		f.epoch, f.records, f.bytes = epoch, nil, 0
	}
	f.records = append(f.records, records...)
	for i := range records {
		f.bytes += len(records[i].Body)
	}
	drop := 0
	for len(f.records)-drop > feedRecords || f.bytes > feedBytes {
		f.bytes -= len(f.records[drop].Body)
		drop++
	}
	clear(f.records[:drop])
	f.records = f.records[drop:]
}

// after returns copies of what comes next behind a place, nothing if the feed doesn't know.
func (f *feed) after(at eventlog.Cursor) []eventlog.Record {
	f.mu.Lock()
	defer f.mu.Unlock()
	if at.IsZero() || at.Epoch() != f.epoch {
		return nil
	}
	i, _ := slices.BinarySearchFunc(f.records, at.At(0)+1, func(r eventlog.Record, offset eventlog.Offset) int {
		if r.Offset < offset {
			return -1
		}
		return 1
	})
	if i == len(f.records) || f.records[i].Chain != at.At(0) {
		return nil
	}
	found := slices.Clone(f.records[i:min(i+pageRecords, len(f.records))])
	for j := range found {
		found[j].Body = slices.Clone(found[j].Body)
	}
	return found
}

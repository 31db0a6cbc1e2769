package sqlitelog

import (
	"cmp"
	"slices"
	"sync"

	"github.com/buffkit/buffkit/eventlog"
)

const (
	feedRecords = 8192    // a few commits: a tail that is further behind reads the file
	feedBytes   = 4 << 20 // of bodies and keys
)

// feed holds what this process stored last, so that its tails needn't read it back. What others stored in between shows in the chain.
type feed struct {
	mu      sync.Mutex // guards what follows
	epoch   uint64
	commits [][]eventlog.Record // each follows the one before it in the chain, none is empty
	records int
	bytes   int64
}

// add takes the records of a commit, oldest first. They are never changed again.
func (f *feed) add(epoch uint64, records []eventlog.Record) {
	if len(records) == 0 {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if n := len(f.commits); epoch != f.epoch || n > 0 && last(f.commits[n-1]) != records[0].Chain {
		f.epoch, f.commits, f.records, f.bytes = epoch, nil, 0, 0
	}
	f.commits = append(f.commits, records)
	f.count(records, 1)
	for f.records > feedRecords || f.bytes > feedBytes {
		f.count(f.commits[0], -1)
		f.commits[0] = nil
		f.commits = f.commits[1:]
	}
}

// count adds records to the sums, or with -1 takes them away.
func (f *feed) count(records []eventlog.Record, sign int) {
	f.records += sign * len(records)
	for i := range records {
		f.bytes += int64(sign) * sizeOf(&records[i])
	}
}

func last(records []eventlog.Record) eventlog.Offset { return records[len(records)-1].Offset }

// after returns copies of what comes next behind a place, nothing if the feed doesn't know.
func (f *feed) after(at eventlog.Cursor) []eventlog.Record {
	f.mu.Lock()
	defer f.mu.Unlock()
	if at.IsZero() || at.Epoch() != f.epoch {
		return nil
	}
	next := at.At(0) + 1
	c, _ := slices.BinarySearchFunc(f.commits, next, func(commit []eventlog.Record, offset eventlog.Offset) int {
		return cmp.Compare(last(commit), offset)
	})
	if c == len(f.commits) {
		return nil
	}
	commit := f.commits[c]
	i, _ := slices.BinarySearchFunc(commit, next, func(r eventlog.Record, offset eventlog.Offset) int {
		return cmp.Compare(r.Offset, offset)
	})
	if commit[i].Chain != at.At(0) {
		return nil
	}
	return cloned(commit[i:min(i+pageRecords, len(commit))])
}

// cloned copies records and their bodies, which stand in one piece of memory.
func cloned(records []eventlog.Record) []eventlog.Record {
	size := 0
	for i := range records {
		size += len(records[i].Body)
	}
	copies, bodies := slices.Clone(records), make([]byte, 0, size)
	for i := range copies {
		begin := len(bodies)
		bodies = append(bodies, copies[i].Body...)
		copies[i].Body = bodies[begin:len(bodies):len(bodies)]
	}
	return copies
}

package load

import (
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Stats is what a client saw since it was asked last.
type Stats struct {
	Deliveries uint64    // events received, doubled ones too
	Rate       float64   // deliveries a second
	Bytes      uint64    // received, HTTP and all
	Reads      uint64    // system calls that returned some
	Lost       uint64    // events that were skipped: a later one of the same topic came
	Doubled    uint64    // events that had come before
	Ended      int       // connections that the server ended
	Open       int       // connections there are now
	Latency    Histogram // of each delivery, from when the event was meant to leave
	Connect    Histogram // of each connection, until its headers had come
}

func (s *Stats) reset() { *s = Stats{Latency: NewHistogram(), Connect: NewHistogram()} }

// Add counts what was seen after it, too.
func (s *Stats) Add(other Stats) {
	s.Deliveries += other.Deliveries
	s.Rate += other.Rate
	s.Bytes += other.Bytes
	s.Reads += other.Reads
	s.Lost += other.Lost
	s.Doubled += other.Doubled
	s.Ended += other.Ended
	s.Open += other.Open
	s.Latency.Add(other.Latency)
	s.Connect.Add(other.Connect)
}

// Histogram is of durations, to three digits. The zero Histogram can't be used.
type Histogram struct{ h *hdrhistogram.Histogram }

const (
	finest  = int64(time.Microsecond)   // less than a system call
	longest = int64(time.Hour) / finest // what takes longer counts as that
	digits  = 3
)

// NewHistogram returns an empty one.
func NewHistogram() Histogram {
	return Histogram{hdrhistogram.New(1, longest, digits)}
}

// Record counts a duration.
func (h Histogram) Record(d time.Duration) { h.record(int64(d)) }

func (h Histogram) record(ns int64) {
	h.h.RecordValue(min(max(ns/finest, 1), longest)) // within its range there is no error
}

// Add counts what another one has counted.
func (h Histogram) Add(other Histogram) { h.h.Merge(other.h) }

// Quantile returns the duration that a part of all, 0 to 1, doesn't exceed; 0 if there is none.
func (h Histogram) Quantile(q float64) time.Duration {
	return time.Duration(h.h.ValueAtQuantile(100*q) * finest)
}

// Max returns the longest, to three digits.
func (h Histogram) Max() time.Duration { return time.Duration(h.h.Max() * finest) }

// Count returns how many there are.
func (h Histogram) Count() int64 { return h.h.TotalCount() }

package demo

import (
	"context"
	"log/slog"
	"time"
)

// What the tests need of the inside.
type (
	Sample = sample
	Point  = point
)

const (
	MaxItems     = maxItems
	MaxItemRunes = maxItemRunes
)

var (
	Draw      = draw
	RoundUp   = roundUp
	BytesText = bytesText
)

// StartFast is New in a hurry.
func StartFast(opts Options, pulse, sample, drain time.Duration, retention int) (*Demo, error) {
	return start(opts.withDefaults(), rhythm{pulse, sample, drain, retention})
}

// Sampler returns the function that samples this machine.
func Sampler(ctx context.Context, logger *slog.Logger) func(context.Context) Sample {
	return newSampler(ctx, logger).sample
}

// Curve returns the paths of a curve.
func (s series) Curve() (line, area string) { return s.Line, s.Area }

// NewPoint is a value at a time.
func NewPoint(at time.Time, value float64) Point { return point{at, value} }

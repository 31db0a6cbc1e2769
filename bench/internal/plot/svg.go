// Package plot draws lines over a sweep as SVG, readable on light and dark pages.
package plot

// Axis says how values stand on an axis.
type Axis struct {
	Title  string
	Log    bool
	Format func(float64) string
}

package lexer

import (
	"io"
	"iter"

	"github.com/buffkit/buffkit/migrate/dialect"
)

// PiecesBy is Pieces with another least number of bytes to read at once, so that small inputs are cut everywhere too.
func PiecesBy(step int, r io.Reader, d dialect.Dialect, opts *Options) iter.Seq2[Statement, error] {
	s := newSplitter(r, d, orDefault(opts))
	s.step = step
	return s.pieces
}

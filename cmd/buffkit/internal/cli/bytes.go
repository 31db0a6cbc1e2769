package cli

import (
	"fmt"
	"math"

	"github.com/dustin/go-humanize"
)

// byteSize is a flag for a number of bytes, 0 for no limit: "64KiB", "1MB", "1048576".
type byteSize int64

func (b *byteSize) String() string {
	if *b == 0 {
		return "0"
	}
	return humanize.IBytes(uint64(*b))
}

func (b *byteSize) Set(text string) error {
	n, err := humanize.ParseBytes(text)
	if err != nil || n > math.MaxInt64 {
		return fmt.Errorf("give a size like 64KiB, 1MB or 1048576")
	}
	*b = byteSize(n)
	return nil
}

func (b *byteSize) Type() string { return "bytes" }

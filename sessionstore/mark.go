package sessionstore

import (
	"fmt"
	"strconv"
)

// ParseMark reads a mark of a store that counts revocations: how many there were. "" is 0.
func ParseMark(mark string) (uint64, error) {
	if mark == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(mark, 10, 63)
	if err != nil {
		return 0, fmt.Errorf("sessionstore: %q isn't a mark that Revoked has returned: begin with \"\"", mark)
	}
	return n, nil
}
